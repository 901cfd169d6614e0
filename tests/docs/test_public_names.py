"""Every public name is there, says what it takes, gives and raises, and is used by some test."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import engine
from engine import sync

HERE = Path(__file__)
ROOT = HERE.parents[2]
LINES = HERE.with_name("public_names.txt").read_text(encoding="utf-8").splitlines()
NAMES = [line for line in LINES if line and not line.startswith("#")]


def named(name: str) -> Any:
    """What a name stands for; a static method as its function."""
    owner, _, last = name.rpartition(".")
    module = sync if owner == "sync" else engine
    return getattr(getattr(engine, owner) if owner and owner != "sync" else module, last)


def section(doc: str, title: str) -> str:
    found = re.search(rf"^{title}:\n((?: +.*\n|\n)*)", doc + "\n", re.M)
    return found[1] if found else ""


def raises(function: Any) -> bool:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Raise) for node in ast.walk(tree))


def faults(name: str) -> Iterator[str]:
    """What is wrong with the documentation of a name."""
    thing = named(name)
    doc = inspect.getdoc(thing) or ""
    if not doc.partition("\n")[0].strip():
        yield "has no docstring"
    if not inspect.isroutine(thing):
        return
    signature = inspect.signature(thing)
    told = re.findall(r"^ {4}(\w[\w, ]*):", section(doc, "Args"), re.M)
    told = [one.strip() for line in told for one in line.split(",")]
    wanted = [one for one in signature.parameters if one not in ("self", "cls")]
    if told != wanted:
        yield f"takes {wanted} and documents {told}"
    given = signature.return_annotation
    if (given not in (None, "None")) != bool(section(doc, "Returns")):
        yield f"returns {given} and says {section(doc, 'Returns').strip()!r}"
    if raises(thing) and not section(doc, "Raises"):
        yield "does not say what it raises"


def used(code: str) -> set[str]:
    """Names and ``owner.attribute`` that some code uses; an import alone is no use."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            owner = node.value
            inner = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            found.add(f"{inner}.{node.attr}")
            if inner == "engine":  # the module, or an engine
                found |= {node.attr, f"Engine.{node.attr}"}
    return found


def codes() -> Iterator[str]:
    """The examples of the documentation that are executed, and every test."""
    page = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    yield from re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path.parent != HERE.parent:
            yield path.read_text(encoding="utf-8")


def test_the_list_is_of_different_names() -> None:
    assert len(NAMES) == len(set(NAMES)) > 130
    assert sum(name.startswith("listen_") for name in NAMES) == 28


@pytest.mark.parametrize("kind", ["functions", "methods"])
def test_each_is_there_and_documented(kind: str) -> None:
    wrong = [
        f"{name} {fault}"
        for name in NAMES
        if ("." in name) == (kind == "methods")
        for fault in faults(name)
    ]
    assert wrong == []
    if kind == "functions":
        assert set(engine.__all__) >= {name for name in NAMES if "." not in name}
        assert all(named(n).__name__ == n for n in NAMES if n.startswith("listen_"))


def test_each_is_used_by_a_test_or_an_executed_example() -> None:
    missing = set(NAMES)
    for code in codes():
        if any(name.replace("Engine.", "engine.") in code for name in missing):
            missing -= used(code)
        if not missing:
            break
    assert sorted(missing) == []


def test_what_is_wrong_with_a_docstring_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(first: int, second: int) -> int:
        """Does it.

        Args:
            first: the first.
        """
        raise ValueError(first + second)

    def good(first: int, second: int) -> int:
        """Do it.

        Args:
            first, second: the two.

        Returns:
            A number.

        Raises:
            ValueError: always.
        """
        raise ValueError(first + second)

    for function in (bad, good):
        monkeypatch.setattr(engine, function.__name__, function, raising=False)
    assert len(list(faults("bad"))) == 3
    assert list(faults("good")) == []
    assert used("import a\nfrom b import c\nengine.d(Backtest.run(e))  # f\n'''g'''") == {
        "engine", "engine.d", "Engine.d", "d", "Backtest", "Backtest.run", "e",
    }  # fmt: skip
