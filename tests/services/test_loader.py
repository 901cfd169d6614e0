"""Strategy files: executed by path, afresh, and never dangerous to the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine import Engine

GOOD = """
from engine import add_strategy, add_exchange, add_frame, add_risk

@add_strategy(strategy_name="{name}", interval="1m")
async def asked(symbol, when):
    return None
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


async def test_what_a_file_registers_goes_to_the_engine_that_loads_it(tmp_path: Path) -> None:
    more = GOOD.format(name="one") + "add_risk(risk_name='r')\n"
    path = write(tmp_path, "one.py", more)
    async with Engine() as first, Engine() as second:
        loaded = first.load_file(path)
        assert loaded.error == ""
        assert loaded.names("strategy") == ("one",)
        assert loaded.names("risk") == ("r",)
        assert len(loaded.sha256) == 64
        assert first.strategies.names() == ("one",)
        assert second.strategies.names() == ()
        assert second.load_file(path).names("strategy") == ("one",)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("x = 1\ndef broken(:\n    pass\n", 2, "SyntaxError"),
        ("x = 1\n\nraise ValueError('on line three')\n", 3, "on line three"),
        ("import no_such_module_here\n", 1, "no_such_module_here"),
        ("def f():\n    g()\n\ndef g():\n    1 / 0\n\nf()\n", 5, "ZeroDivisionError"),
        (GOOD.format(name="taken"), None, "already exists"),
        ("from engine import add_strategy\nadd_strategy(strategy_name='s', interval='7m', "
         "get_signal=print)\n", 2, "must be one of"),
    ],
)  # fmt: skip
async def test_a_broken_file_is_an_error_with_file_and_line(
    tmp_path: Path, text: str, line: int | None, words: str
) -> None:
    async with Engine() as engine:
        engine.load_file(write(tmp_path, "taken.py", GOOD.format(name="taken")))
        path = write(tmp_path, "broken.py", text)
        loaded = engine.load_file(path)
        assert loaded.error.startswith(f"{path}:{line}:" if line else f"{path}:")
        assert words in loaded.error
        assert loaded.components == ()
        good = engine.load_file(write(tmp_path, "good.py", GOOD.format(name="good")))
        assert good.error == ""
        assert engine.strategies.names() == ("taken", "good")


async def test_odd_files_raise_nothing(tmp_path: Path) -> None:
    async with Engine() as engine:
        assert "cannot be read" in engine.load_file(tmp_path / "missing.py").error
        assert "cannot be read" in engine.load_file(tmp_path).error
        assert "exit" in engine.load_file(write(tmp_path, "e.py", "import sys\nsys.exit(3)")).error
        raw = tmp_path / "raw.py"
        raw.write_bytes(b"\xff\xfe\x00bad")
        assert str(raw) in engine.load_file(raw).error
        zero = tmp_path / "zero.py"
        zero.write_bytes(b"x = 1\x00")
        assert str(zero) in engine.load_file(zero).error


async def test_a_file_is_executed_afresh_each_time_and_leaves_the_path_alone(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, "helper.py", GOOD.format(name="one"))
    before = list(sys.path)
    async with Engine() as engine:
        engine.load_file(path)
    path.write_text(GOOD.format(name="two"), encoding="utf-8")
    async with Engine() as engine:
        assert engine.load_file(path).names("strategy") == ("two",)
    assert sys.path == before
    assert "helper" not in sys.modules


async def test_dataclasses_work_in_strategy_files(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass State:\n    x: int = 1\n" + GOOD.format(name="one")
    )
    async with Engine() as engine:
        assert engine.load_file(write(tmp_path, "d.py", text)).error == ""
