"""Whatever names, notes and prompts hold, it stays text, and the module stays well formed."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine import Engine, Optimizer, add_optimizer
from engine.adapters.llm.literals import assignment, keyword, listing, literal
from tests.optimizer.bed import DAY_1, DAY_2, TEST, trend

RUFF = Path(sys.executable).with_name("ruff")

INJECTIONS = (
    '"""\nimport os\nos.system("true")\n"""',
    "'''\nimport os\n'''",
    '")\nimport os\nadd_strategy(strategy_name=("',
    "{__import__('os').system('true')}",
    "\\",
    '\\"',
    "\\'); import os #",
    "line\\\nimport os",
    "\r\nimport os\r\n",
    "\x00\x1a\x7f",
    "\u2028import os\u2029",
    "\N{RIGHT-TO-LEFT OVERRIDE}so tropmi",
    "%s {0} {{}} $x ${x} `x`",
    "# -*- coding: utf-7 -*-",
    "\N{SNOWMAN} \N{CJK UNIFIED IDEOGRAPH-4E00} \N{GRINNING FACE}" * 20,
    "x" * 300 + '"' * 50 + "'" * 60 + "\n" * 5,
)
texts = st.text(st.characters(exclude_categories=()), max_size=120) | st.sampled_from(INJECTIONS)
# Names and notes pass through pydantic, which refuses lone surrogates.
clean = texts.filter(lambda text: not re.search("[\ud800-\udfff]", text))


def generated(
    name: str, symbol: str, note: str, range_notes: Sequence[str], prompts: Sequence[str]
) -> str:
    async def generate() -> str:
        words = iter(prompts)
        async with Engine():
            add_optimizer(
                optimizer_name=name,
                range_train=[{**DAY_1, "note": range_notes[0]}, {**DAY_2, "note": range_notes[1]}],
                range_test=TEST, source=[trend], note=note,
                get_prompt=lambda symbol, messages: next(words),
            )  # fmt: skip
            return await Optimizer.get_code(name, symbol=symbol)

    return asyncio.run(generate())


def shape(code: str) -> list[str]:
    """The module's statements with every string replaced, and without what notes add."""

    class Blank(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.Constant:
            return ast.Constant("") if isinstance(node.value, str) else node

        def visit_Name(self, node: ast.Name) -> ast.Name:
            return ast.Name(node.id.replace(prefix.upper(), "P"), node.ctx)

    prefix = next(
        node.name.split("_")[1]
        for node in ast.parse(code).body
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("ask_")
    )
    body = [node for node in ast.parse(code).body if "NOTE" not in ast.dump(node)]
    return [ast.dump(Blank().visit(node)).replace(prefix, "p") for node in body]


PLAIN_SHAPE = shape(generated("plain", "BTC", "note", ("one", "two"), ("up", "down")))


@settings(max_examples=30, deadline=None)
@given(
    name=clean.filter(lambda text: 0 < len(text) <= 200), symbol=texts.filter(bool), note=clean,
    notes=st.tuples(clean, clean), prompts=st.tuples(texts, texts),
)  # fmt: skip
@example(INJECTIONS[0], INJECTIONS[1], INJECTIONS[2], INJECTIONS[3:5], INJECTIONS[5:7])
@example(INJECTIONS[8], INJECTIONS[9], INJECTIONS[10], INJECTIONS[11:13], INJECTIONS[13:15])
@example("n", "s", "", ("", ""), ("\ud800 alone", "{x}"))
def test_any_text_stays_text(
    name: str, symbol: str, note: str, notes: tuple[str, str], prompts: tuple[str, str]
) -> None:
    prompts = (prompts[0] if prompts[0].strip() else "a", prompts[1] if prompts[1].strip() else "b")
    code = generated(name, symbol, note, notes, prompts)
    code.encode("utf-8")
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(code).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert (values["OPTIMIZER"], values["SYMBOL"]) == (name, symbol)
    assert values.get("OPTIMIZER_NOTE", "") == note
    assert (values.get("NOTE_1", ""), values.get("NOTE_2", "")) == notes
    assert tuple(value for key, value in values.items() if "PROMPT" in key) == prompts
    assert shape(code) == PLAIN_SHAPE


@given(text=texts)
@example("\ud83d\ude00")
def test_a_literal_has_the_value_of_its_text(text: str) -> None:
    for source in (
        literal(text), f"({assignment('x', text)[4:]})",
        keyword("x", text).strip().removeprefix("x=").removesuffix(","),
    ):  # fmt: skip
        assert ast.literal_eval(source) == text
        assert all(line.isprintable() for line in source.split("\n"))
    items = listing("x", [text, "b"]).strip().removeprefix("x=").removesuffix(",")
    assert ast.literal_eval(items) == [text, "b"]


def formatted(tmp_path: Path, **files: str) -> None:
    """Assert that the formatter would change nothing, and that the linter has no complaint."""
    for name, code in files.items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    options = ("--isolated", "--line-length", "100", "--target-version", "py311")
    rules = ("--select", "E,F,I,UP,B,SIM,RUF,ASYNC,PL", "--ignore", "RUF001")
    for command in (("format", "--diff"), ("check", *rules)):
        done = subprocess.run(
            [RUFF, *command, *options, tmp_path],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_generated_modules_are_formatted_and_clean(tmp_path: Path) -> None:
    long = 'Go long when the hourly closes rise; it\'s "strong".\n\n- wait\n' * 4
    formatted(
        tmp_path,
        plain=generated("plain", "BTCUSDT", "", ("", ""), ("up", "down")),
        long=generated("x" * 120, "BTC/USDT:USDT", long, (long, "two"), (long * 9, "y" * 93)),
        odd=generated(*INJECTIONS[:3], INJECTIONS[3:5], INJECTIONS[5:7]),
    )


def test_assignments_and_arguments_of_any_length_are_formatted(tmp_path: Path) -> None:
    lines: list[str] = []
    alphabet = "ab \"'\\\n\t漢\N{GRINNING FACE}é"
    for size in (0, 1, 5, *range(84, 106), 200, 333):
        for step in (1, 3, 7):
            text = "".join(alphabet[(step * n * n) % len(alphabet)] for n in range(size))
            lines.append(assignment(f"A_{size}_{step}", text))
            lines.append(f'print(\n    {size},\n{keyword("end", text)}\n    sep="-",\n)')
            lines.append(f"dict(\n{listing('x', [text[:40], text[40:]])}\n    y=1,\n)")
    formatted_text = "\n".join(lines) + "\n"
    path = tmp_path / "all.py"
    path.write_text(formatted_text, encoding="utf-8")
    done = subprocess.run(
        [RUFF, "format", "--isolated", "--line-length", "100", "--diff", path],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["1-first", "../../etc/passwd", "a b\nc", "", "ü", "x" * 500])
def test_files_get_names_that_can_be_imported(name: str, tmp_path: Path) -> None:
    from engine.services.module_files import free_path, module_path, write_module

    path = module_path(tmp_path, name, "BTC/USDT:USDT")
    assert path.parent == tmp_path and path.stem.isidentifier() and len(path.name) < 110
    write_module("x = 1\n", path)
    assert free_path(path) == path.with_stem(f"{path.stem}_2")
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_shapes_differ_when_code_differs() -> None:
    code = generated("plain", "BTC", "", ("", ""), ("up", "down"))
    changed: Any = shape(code + "\nimport os\n")
    assert changed != PLAIN_SHAPE
