"""`signaldeck optimize`, end to end: collected, worded by a local Ollama, written, backtested."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from console.list_command import run_list
from console.optimize_command import OptimizeOptions, run_optimize
from console.outcomes import UsageProblem
from console.settings import load_project
from engine import GeneratedCodeError
from tests.console.cli_bed import Run, environment
from tests.servers.ollama import MODEL, Asked, Fault, OllamaServer, in_background, trader

INJECTED = "evil'); import os; os.system('true') #\n\"\"\""
OPTIMIZERS = f"""
from datetime import UTC, datetime

from engine import add_optimizer

print("loading is narration")


def trend(symbol, start_date, end_date, limit, offset):
    rows = range(offset, min(30, offset + limit))
    return [{{"id": n, "day": f"{{start_date:%d}}", "move": "up"}} for n in rows]


async def volume(**page):
    return [{{"id": "only", "volume": 7.5}}]


def market(symbol, exchange):
    return f'open_exchange({{exchange!r}}, "simulated")'


def span(first, last, **more):
    return {{"start_date": first, "end_date": last, **more}}


add_optimizer(
    optimizer_name="daily",
    note="A \\"quoted\\" note",
    range_train=[
        span(datetime(2023, 3, 1, tzinfo=UTC), datetime(2023, 3, 2, tzinfo=UTC)),
        span(datetime(2023, 3, 2, tzinfo=UTC), datetime(2023, 3, 3, tzinfo=UTC), note={INJECTED!r}),
    ],
    range_test=span(datetime(2023, 3, 3, tzinfo=UTC), datetime(2023, 3, 3, 1, tzinfo=UTC)),
    source=[trend, {{"name": {INJECTED!r}, "fetch": volume}}],
    template={{"get_exchange_template": market}},
)
add_optimizer(
    optimizer_name="reckless",
    range_train=[span(datetime(2023, 3, 1), datetime(2023, 3, 2))],
    range_test=span(datetime(2023, 3, 1), datetime(2023, 3, 2)),
    source=[volume],
    get_prompt=lambda symbol, messages: "import os",
    template={{"get_strategy_template": lambda name, interval, prompt: prompt}},
)
"""

Optimize: TypeAlias = Callable[..., Any]


def said(asked: Asked) -> str | Fault:
    """Words with an injection, and signals as `trader` gives them."""
    return INJECTED if asked.format is None else trader(asked)


@pytest.fixture(scope="module")
def server() -> Iterator[OllamaServer]:
    with in_background(said) as running:
        yield running


@pytest.fixture
def optimize(run: Run, work: Path, server: OllamaServer) -> Optimize:
    """Run the command in a project with the optimizers above."""
    server.asked.clear()
    (work / "strategies").mkdir(exist_ok=True)
    (work / "strategies" / "optimizers.py").write_text(OPTIMIZERS, encoding="utf-8")
    (work / "signaldeck.toml").write_text(
        f'[ollama]\nhost = "{server.url}"\nmodel = "{MODEL}"\ntimeout_seconds = 20\n'
    )
    return lambda *arguments: run("optimize", *arguments)


@pytest.fixture
def inline(optimize: Optimize, work: Path, monkeypatch: Any, capsys: Any) -> Callable[..., Any]:
    """Run the command in this process; what it printed."""
    monkeypatch.chdir(work)

    def call(name: str, symbol: str, out: Path | None = None) -> Any:
        assert run_optimize(load_project(), OptimizeOptions(name, symbol, out, False)) == 0
        return capsys.readouterr()

    return call


def program(path: Path, home: Path, server: OllamaServer) -> subprocess.CompletedProcess[str]:
    """Run a generated module as a program, in a process that knows nothing of the project."""
    told = {"OLLAMA_HOST": server.url, "OLLAMA_MODEL": MODEL}
    return subprocess.run(
        [sys.executable, path], cwd=path.parent, env={**environment(home), **told},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_from_sources_to_a_backtest(
    optimize: Optimize, run: Run, work: Path, tmp_path: Path, server: OllamaServer
) -> None:
    done = optimize("daily", "--symbol", "BTCUSDT", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "4 of 4 sources collected" in done.stderr and "loading is narration" in done.stderr

    path = Path(found["path"])
    code = path.read_text(encoding="utf-8")
    assert path == work / "generated" / "daily_BTCUSDT.py"
    assert found["sha256"] == hashlib.sha256(code.encode()).hexdigest()
    assert found["written_by"] == f"{MODEL} at {server.url}" and found["executed"] is False
    assert len(found["checks"]) >= 4 and found["warnings"] == []
    assert [(item["note"], item["messages"]) for item in found["strategies"]] == [
        ("", 4), (INJECTED, 4),
    ]  # fmt: skip
    assert [item["sources"] for item in found["strategies"]] == [["trend", INJECTED]] * 2

    # Two ranges, two sources, 30 rows of the first: the model saw all of it, and was asked twice.
    assert [len(asked.messages) for asked in server.asked] == [5, 5]
    rows = json.loads(server.asked[1].messages[0]["content"].split("\n\n")[1])
    assert [row["id"] for row in rows] == list(range(30)) and rows[0]["day"] == "02"

    # Whatever was injected is a string, and only that.
    tree = ast.parse(code)
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert strings.count(INJECTED) == 3, "two strategies and a note"
    imported = {
        name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", None) or node.names[0].name,)
    }  # fmt: skip
    assert imported == {"__future__", "asyncio", "datetime", "typing", "engine"}

    # The operator's word: the folder is named, in a fresh process.
    name, prefix = found["strategies"][1]["name"], found["walker"].removesuffix("_walker")
    done = run(
        "backtest", name, "--symbol", "BTCUSDT", "--exchange", f"{prefix}_exchange",
        "--from", "2023-03-03", "--to", "2023-03-03T02:00", "--strategies", "generated", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["trades"] and result["run"]["strategy_file"] == str(path)
    signals = [asked for asked in server.asked if asked.format is not None]
    assert all(INJECTED in asked.last for asked in signals)
    kept = {folder.name for folder in (work / "dump" / "strategy").iterdir()}
    assert {trade["id"] for trade in result["trades"]} <= kept

    done = program(path, tmp_path, server)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert all(item["name"] in done.stdout for item in found["strategies"])
    (report,) = (path.parent / "dump" / "walker").iterdir()
    assert f"report: {report}" in done.stdout
    assert all(item["name"] in report.read_text() for item in found["strategies"])


def test_what_is_printed_says_where_what_and_how(inline: Optimize, work: Path) -> None:
    first, second = (inline("daily", "BTC/USDT") for _ in range(2))
    assert f"module      {work / 'generated' / 'daily_BTC_USDT.py'}\n" in first.out
    assert str(work / "generated" / "daily_BTC_USDT_2.py") in second.out, "nothing is replaced"
    for words in ("checked:", "Nobody has executed it", "signaldeck backtest o", "OLLAMA_HOST="):
        assert words in first.out
    assert all(line.isprintable() for line in first.out.splitlines())
    assert "4 of 4 sources collected" in first.err and "warning" not in first.err

    beside = inline("daily", "BTC", Path("strategies/mine.py"))
    assert "mine.py lies in the strategies folder" in beside.err
    with pytest.raises(UsageProblem, match=r"mine\.py exists: remove it"):
        inline("daily", "BTC", Path("strategies/mine.py"))
    with pytest.raises(UsageProblem, match=r"mine\.py is no folder: give another --out"):
        inline("daily", "BTC", Path("strategies/mine.py/deep"))


def test_failures_are_clear_and_write_nothing(
    inline: Optimize, optimize: Optimize, work: Path, server: OllamaServer
) -> None:
    with pytest.raises(GeneratedCodeError, match=r"refused and not written(.|\n)*imports os"):
        inline("reckless", "BTC")
    with pytest.raises(UsageProblem, match="Did you mean 'daily'"):
        inline("dayly", "BTC")
    (work / "signaldeck.toml").write_text('[ollama]\nhost = "http://127.0.0.1:1"\n')
    done = optimize("daily", "--symbol", "BTC")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no Ollama answers at http://127.0.0.1:1: start it" in done.stderr
    assert "Traceback" not in done.stderr and not (work / "generated").exists()


def test_optimizers_are_listed(inline: Optimize, work: Path, capsys: Any) -> None:
    assert run_list(load_project(), "optimizers", as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [line.split() for line in lines if line.startswith("  ")]
    assert [words[0] for words in found] == ["daily", "reckless"]
    assert 'A "quoted" note' in " ".join(found[0])
    assert found[0][-1] == f"({work / 'strategies' / 'optimizers.py'})"
