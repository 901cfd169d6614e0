"""The conformance page: each case and defect has one row, and each test it names is there."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tests.docs.test_conformance_check import ROOT, check_script

PAGE = ROOT / "docs" / "conformance.md"


@cache
def named_in(path: Path) -> frozenset[str]:
    """Names of the test functions of a file, and ``Class::method`` of its test classes."""
    if not path.is_file():
        return frozenset()
    found: set[str] = set()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, functions):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            found |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, functions)}
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test"))


def test_each_case_and_defect_has_one_row() -> None:
    script = check_script()
    rows, problems = script.rows_of(PAGE.read_text(encoding="utf-8"))
    assert problems == []
    assert script.counted(rows) == []


def test_every_test_it_names_exists() -> None:
    rows, _ = check_script().rows_of(PAGE.read_text(encoding="utf-8"))
    missing: list[str] = []
    for row in rows:
        for test in row.tests:
            path, _, name = test.partition("::")
            if name.partition("[")[0] not in named_in(ROOT / path):
                missing.append(f"{row.kind} {row.name}: {test}")
    assert missing == []


def test_names_are_found_wherever_a_test_may_be(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(
        "import pytest\n"
        "async def test_a(): ...\n"
        "@pytest.mark.parametrize('x', [1])\ndef test_b(x): ...\n"
        "class TestMore:\n    def test_c(self): ...\n    def helper(self): ...\n"
        "class Other:\n    def test_d(self): ...\n"
        "def helper():\n    def test_e(): ...\n",
        encoding="utf-8",
    )
    assert named_in(file) == {"test_a", "test_b", "TestMore::test_c"}
    assert named_in(tmp_path / "test_not_there.py") == set()


def test_it_is_checked_after_every_run() -> None:
    """The tests have run by then, and the report is still there."""
    last = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
    assert last == (
        '.venv/bin/python .ci/conformance.py "$report" docs/conformance.md .ci/allowed-skips.txt'
    )
