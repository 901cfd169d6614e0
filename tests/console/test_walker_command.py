from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from console import cli
from console.walker_command import ranking_text
from engine.domain.walks import Candidate, WalkedStrategy, WalkerStatistics
from tests.console.cli_bed import Run, strategy_file
from tests.reports.report_samples import hourly, outcome

FRAME = ("--from", "2025-07-02", "--to", "2025-07-02T23:59")
SIMULATED = ("--symbol", "BTCUSDT", "--exchange", "simulated", *FRAME)

WALKER = """
from engine import Signal, add_frame, add_strategy, add_walker, get_candles
from datetime import datetime

@add_strategy(strategy_name="swept", interval="1h", params={"minutes": 30})
async def swept(symbol, when, minutes):
    price = (await get_candles(symbol, "1m", 1)).close[-1]
    return Signal("long", price * 1.5, price * 0.9, minutes)

@add_strategy(strategy_name="fails", interval="1h")
def fails(symbol, when):
    raise ValueError("no idea")

add_frame(frame_name="july", interval="5m", start_date=datetime(2025, 7, 2),
          end_date=datetime(2025, 7, 3))
add_walker(walker_name="grid", exchange_name="simulated", frame_name="july", metric="win_rate",
           strategies=["swept"], grid={"minutes": [30, 300]}, symbols=["BTCUSDT", "BTCUSDT2"][:1])
"""


def result(stdout: str) -> list[dict[str, Any]]:
    return json.loads(stdout)["walks"]


def test_strategies_are_ranked_by_a_metric(run: Run, work: Path, bars_csv: Path) -> None:
    arguments = ("--symbol", "BTCUSDT", "--data", str(bars_csv), *FRAME, "--metric", "total_pnl")
    names = ("sma-cross", "breakout")
    done = run("walker", "--strategies", ",".join(names), *arguments, "--report", "reports")
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    lines = [line for line in done.stdout.splitlines() if re.match(r" ?\d\*? ", line)]
    assert [line.split()[0] for line in lines] == ["1*", "2"]
    assert {line.split()[1] for line in lines} == set(names)
    totals = [float(line.split()[2]) for line in lines]
    assert totals == sorted(totals, reverse=True)
    winner = lines[0].split()[1]
    assert f"* best: {winner}" in done.stdout
    report = work / "reports" / "comparison_BTCUSDT.md"
    assert str(report) in done.stderr
    text = report.read_text(encoding="utf-8")
    assert f"## Best Strategy: {winner}" in text
    assert all(f"### {name}" in text for name in names)
    alone = run("backtest", winner, *arguments[:-2], "--json")
    figures = json.loads(alone.stdout)["statistics"]
    assert f"{figures['total_pnl']:.4g}" == lines[0].split()[2]


def test_a_registered_walker_brings_its_own_frame_symbols_and_grid(run: Run, work: Path) -> None:
    (work / "strategies").mkdir()
    (work / "strategies" / "mine.py").write_text(WALKER)
    done = run("walker", "grid", "--json", "--workers", "1")
    assert done.returncode == 0, done.stderr
    (walk,) = result(done.stdout)
    assert (walk["walker_name"], walk["symbol"], walk["metric"]) == ("grid", "BTCUSDT", "win_rate")
    assert (walk["frame_interval"], walk["frame_name"]) == ("5m", "july")
    assert {row["strategy_name"] for row in walk["ranking"]} == {
        "swept(minutes=30)", "swept(minutes=300)",
    }  # fmt: skip
    assert walk["best_strategy"] == walk["ranking"][0]["strategy_name"]
    assert len(walk["ranking"][0]["strategy_hash"]) == len(walk["ranking"][0]["data_hash"]) == 64
    changed = run(
        "walker", "grid", "--symbol", "ETHUSDT", "--symbol", "BTCUSDT", *FRAME, "--metric",
        "total_pnl", "--json",
    )  # fmt: skip
    assert changed.returncode == 0, changed.stderr
    walks = result(changed.stdout)
    assert [(w["symbol"], w["metric"]) for w in walks] == [
        ("ETHUSDT", "total_pnl"), ("BTCUSDT", "total_pnl"),
    ]  # fmt: skip
    assert walks[0]["ranking"] != walks[1]["ranking"]


def test_one_that_fails_is_shown_and_the_status_says_so(
    run: Run, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = work / ("shared" * 20)  # longer than what a socket may be called
    shared.mkdir()
    monkeypatch.setenv("TMPDIR", str(shared))
    (work / "other").mkdir()
    (work / "other" / "mine.py").write_text(WALKER)
    strategy_file(work / "other", "asleep", "threading.Event().wait()", "def")
    (work / "signaldeck.toml").write_text("[engine]\nmax_signal_generation_seconds = 4\n")
    done = run(
        "walker", "--strategies", "other", "--strategies", "fails,asleep,breakout", *SIMULATED
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    rows = {line.split()[1]: line.split() for line in done.stdout.splitlines() if len(line) > 3}
    assert rows["asleep"] == ["-", "asleep", "failed"]
    assert rows["fails"][0] == "-" and rows["fails"][2] == "n/a"
    for words in ("'asleep' on BTCUSDT", "within 4 s for the bar at 2025-07-02 00:00 UTC",
                  "'fails' on BTCUSDT", "failed 24 times", "ValueError: no idea"):  # fmt: skip
        assert words in done.stderr, words
    assert [*shared.iterdir()] == [], "what the walk shared is gone"


KILLED = """
import os, signal

def kill(*_):
    print("noise")
    os.kill(os.getpid(), signal.SIGTERM)

add_walker(walker_name="killed", exchange_name="simulated", frame_name="july",
           strategies=["swept"], grid={"minutes": [30, 300]}, symbols=["BTCUSDT", "ETHUSDT"],
           callbacks={"on_strategy_complete": kill})
"""


def test_a_stop_is_one_of_all_symbols_and_leaves_nothing_behind(
    run: Run, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = work / "shared"
    shared.mkdir()
    monkeypatch.setenv("TMPDIR", str(shared))
    (work / "strategies").mkdir()
    (work / "strategies" / "mine.py").write_text(WALKER + KILLED)
    done = run("walker", "killed", "--json", "--workers", "1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    first, second = result(done.stdout)
    assert "noise" in done.stderr, "stdout is the result alone"
    assert first["stopped"] and second["stopped"]
    assert first["strategies_tested"] >= 1
    assert [row["status"] for row in second["ranking"]] == ["stopped", "stopped"]
    assert [*shared.iterdir()] == []


BAD_USAGE = {
    "nothing": ([], ["NAME", "--strategies"]),
    "both": (["grid", "--strategies", "breakout", *SIMULATED], ["NAME", "--strategies"]),
    "unknown walker": (["grid", *SIMULATED], ["walker 'grid' not found"]),
    "unknown strategy": (
        ["--strategies", "breakout,sma-kross", *SIMULATED],
        ["'sma-kross'", "Did you mean 'sma-cross'"],
    ),
    "unknown metric": (
        ["--strategies", "breakout", "--metric", "luck", *SIMULATED], ["'luck'", "sharpe_ratio"],
    ),
    "no exchange": (["--strategies", "breakout", "--symbol", "X", *FRAME], ["--exchange"]),
    "no symbol": (
        ["--strategies", "breakout", "--exchange", "simulated", *FRAME], ["no symbol is given"],
    ),
    "one date": (["--strategies", "breakout", *SIMULATED[:-2]], ["--from and --to"]),
    "missing file": (
        ["--strategies", "breakout", "--symbol", "X", "--data", "no.csv", *FRAME],
        ["no.csv", "does not exist"],
    ),
    "negative workers": (["--strategies", "breakout", *SIMULATED, "--workers=-2"], ["--workers"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_USAGE)
def test_bad_usage_names_the_thing_and_the_fix(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, words = BAD_USAGE[name]
    status = cli.run(["walker", *arguments])
    said = capsys.readouterr()
    assert (status, said.out) == (2, ""), said.err
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err


def test_long_names_are_cut_in_the_table_and_spelled_out_below() -> None:
    name = "a-strategy-with-a-long-name(fast=100, slow=2000, threshold=0.12345)"
    made = outcome(hourly([1.5, -0.5, 2.0]))
    rows = (
        WalkedStrategy(Candidate(name, "a"), "done", 123456.789, 1.0, made),
        WalkedStrategy(Candidate("short", "short"), "skipped"),
    )
    data = WalkerStatistics(
        "w", "BTCUSDT", "simulated", "f", "1m", 0, 60_000, "total_pnl", rows, name, 123456.789,
        made.statistics, 2, 1,
    )  # fmt: skip
    text = ranking_text(data)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "a-strategy-with-a-lo" in text and name[-20:] in text.replace("\n", "")
    assert re.search(r"^ *- +short +skipped$", text, re.MULTILINE)
