"""Every block of docs/strategies.md, run as it stands there."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from console.settings import load_project
from engine import Backtest, Engine, add_frame, listen_error, open_exchange
from engine.domain.time import from_ms, parse_instant
from engine.runtime import _current
from tests.console.cli_bed import environment
from tests.console.warm import WarmCommand
from tests.servers.ollama import MODEL, Asked, in_background, trader

PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
PYTHON = {code.split("\n")[0].removeprefix("# "): code for kind, code in BLOCKS if kind == "python"}
STRATEGIES = [name for name in PYTHON if name.startswith("strategies/")]
PROGRAMS = [name for name in PYTHON if name not in STRATEGIES]
SHELL = [code for kind, code in BLOCKS if kind == "sh"]


def said(asked: Asked) -> str:
    """Words, or a signal at the newest close of rows of four prices."""
    if asked.format is None:
        return "Go long when the days rise."
    rows = [line for m in asked.messages for line in m["content"].splitlines() if ", " in line]
    if len(rows[-1].split(", ")) != 4:
        return trader(asked)
    close = float(rows[-1].split(", ")[-1])
    return json.dumps(
        {
            "position": "long", "note": "", "price_open": close, "price_take_profit": close * 1.01,
            "price_stop_loss": close * 0.99, "minute_estimated_time": 30,
        }
    )  # fmt: skip


@pytest.fixture(autouse=True)
def ollama(monkeypatch: Any, tmp_path: Path) -> Iterator[None]:
    """A working folder of one's own, and a model that answers."""
    monkeypatch.chdir(tmp_path)
    with in_background(said) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        monkeypatch.setenv("OLLAMA_MODEL", MODEL)
        yield


def test_nothing_on_the_page_is_left_out() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "sh", "toml"}
    assert len(PYTHON) == sum(kind == "python" for kind, _ in BLOCKS)
    assert all(re.fullmatch(r"[\w/]+\.py", name) for name in PYTHON)
    assert len(STRATEGIES) >= 6 and len(PROGRAMS) >= 6 and len(SHELL) >= 2


@pytest.mark.parametrize("name", STRATEGIES)
async def test_a_strategy_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / Path(name).name
    path.write_text(PYTHON[name], encoding="utf-8")
    errors: list[str] = []
    trades = 0
    async with Engine() as engine:
        loaded = engine.load_file(path)
        assert loaded.error == "" and loaded.components
        listen_error(lambda error: errors.append(str(error)))
        open_exchange("simulated", "simulated")
        start, end = (from_ms(parse_instant(text)) for text in ("2024-01-02", "2024-01-03T12:00"))
        add_frame(frame_name="frame", interval="1m", start_date=start, end_date=end)
        for strategy in loaded.names("strategy"):
            run = Backtest.run(
                "BTCUSDT", strategy_name=strategy, exchange_name="simulated", frame_name="frame"
            )
            trades += len([trade async for trade in run])
        await engine.bus.flush()
    assert errors == [] and (trades or not loaded.names("strategy"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program(name: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / name
    path.write_text(PYTHON[name], encoding="utf-8")
    context = copy_context()
    # As in a process of its own, where nothing has been registered yet.
    context.run(_current.set, Engine())
    context.run(runpy.run_path, str(path), run_name="__main__")
    printed = capsys.readouterr()
    assert printed.out and "Traceback" not in printed.err
    for line in printed.out.splitlines():
        if line.endswith(".md"):
            assert Path(line).read_text(encoding="utf-8").startswith("# ")


def test_the_commands(tmp_path: Path, warm: WarmCommand) -> None:
    (tmp_path / "strategies").mkdir()
    for name in STRATEGIES:
        (tmp_path / name).write_text(PYTHON[name], encoding="utf-8")
    told = {name: os.environ[name] for name in ("OLLAMA_HOST", "OLLAMA_MODEL")}
    home = {**environment(tmp_path / "home"), **told}
    for line in "".join(SHELL).splitlines():
        command, *arguments = shlex.split(line, comments=True)
        assert command == "signaldeck"
        done = warm.run(arguments, tmp_path, home, timeout=120)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "generated" / "moves_BTCUSDT.py").is_file()


def test_the_configuration(tmp_path: Path) -> None:
    (block,) = (code for kind, code in BLOCKS if kind == "toml")
    (tmp_path / "signaldeck.toml").write_text(block, encoding="utf-8")
    assert load_project().engine == {
        "ollama_host": "http://127.0.0.1:11434", "ollama_model": "llama3.1:8b",
        "ollama_timeout_seconds": 60,
    }  # fmt: skip


def test_the_page_is_formatted(tmp_path: Path) -> None:
    for name, code in PYTHON.items():
        (tmp_path / name.replace("/", "_")).write_text(code, encoding="utf-8")
    ruff = Path(sys.executable).with_name("ruff")
    for command in (("format", "--check"), ("check", "--select", "E,F,I,UP,B")):
        done = subprocess.run(
            [ruff, *command, "--isolated", "--line-length", "100", tmp_path],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
