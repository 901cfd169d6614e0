from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.console.cli_bed import Run, csv_rows, strategy_file

REAL = Path(__file__).parents[3] / "shared" / "data" / "BTCUSDT-1m-2022-01.csv.gz"
FRAME = ("--from", "2025-07-02", "--to", "2025-07-03T23:59")
ON_SIMULATED = ("--symbol", "BTCUSDT", "--exchange", "simulated", *FRAME)


def on_data(*paths: Path) -> tuple[str, ...]:
    return ("--symbol", "BTCUSDT", "--data", *map(str, paths), *FRAME)


def result(stdout: str) -> dict[str, Any]:
    return json.loads(stdout)


def test_the_same_bars_give_the_same_trades_from_file_and_exchange(
    run: Run, bars_csv: Path
) -> None:
    done = run("backtest", "sma-cross", *on_data(bars_csv), "--json")
    assert done.returncode == 0, done.stderr
    from_file = result(done.stdout)
    assert set(from_file) == {"run", "statistics", "trades", "cancelled"}
    assert from_file["trades"], "this frame is known to hold trades"
    assert from_file["statistics"]["total_trades"] == len(from_file["trades"])
    assert from_file["run"]["strategy_name"] == "sma-cross"
    assert len(from_file["run"]["data_hash"]) == len(from_file["run"]["strategy_hash"]) == 64
    done = run("backtest", "sma-cross", *ON_SIMULATED, "--json")
    assert done.returncode == 0, done.stderr
    names = ("pending_at", "close_timestamp", "price_open", "price_close", "pnl_percentage")
    facts = [
        [[trade[name] for name in names] for trade in data["trades"]]
        for data in (from_file, result(done.stdout))
    ]
    assert facts[0] == facts[1]


@pytest.mark.skipif(not REAL.exists(), reason="the shared market data is not here")
def test_a_real_month(run: Run) -> None:
    frame = ("--from", "2022-01-02", "--to", "2022-01-31")
    arguments = ("--data", str(REAL), "--symbol", "BTCUSDT", *frame, "--json")
    done = run("backtest", "sma-cross", *arguments)
    assert done.returncode == 0, done.stderr
    data = result(done.stdout)
    assert data["run"]["filled"] == 0 and data["statistics"]["total_trades"] > 10
    assert all(trade["pnl_percentage"] is not None for trade in data["trades"])


def test_text_goes_to_stdout_and_a_report_to_its_folder(run: Run, work: Path) -> None:
    done = run("backtest", "rsi-reversion", *ON_SIMULATED, "--report", "reports")
    assert done.returncode == 0, done.stderr
    assert "rsi-reversion on BTCUSDT @ simulated" in done.stdout
    assert "Win rate" in done.stdout and "pnl %" in done.stdout
    report = work / "reports" / "rsi-reversion_BTCUSDT.md"
    assert report.read_text(encoding="utf-8").startswith("# Backtest Report: rsi-reversion")
    assert str(report) in done.stderr


def test_several_compressed_files_make_one_history(run: Run, work: Path) -> None:
    header, *rows = csv_rows()
    half = len(rows) // 2
    for name, part in (("a.csv.gz", rows[half:]), ("b.csv.gz", rows[:half])):
        (work / name).write_bytes(gzip.compress("\n".join([header, *part]).encode()))
    done = run("backtest", "breakout", *on_data(Path("a.csv.gz"), Path("b.csv.gz")), "--json")
    assert done.returncode == 0, done.stderr
    assert result(done.stdout)["run"]["candles"] >= 2 * 1440


def test_configured_exchanges_settings_and_strategies_are_used(
    run: Run, work: Path, bars_csv: Path
) -> None:
    strategy_file(work / "mine", "always_long", 'return Signal("long", 1e6, 5e4, 60)')
    (work / "signaldeck.toml").write_text(
        'strategies = "mine"\n'
        "[engine]\npercent_fee = 0.0\nmax_stoploss_distance_percent = 90.0\n"
        f'[exchanges.history]\nkind = "files"\npaths = "{bars_csv}"\n',
        encoding="utf-8",
    )
    done = run(
        "backtest", "always_long", "--symbol", "BTCUSDT", "--exchange", "history", *FRAME, "--json"
    )
    assert done.returncode == 0, done.stderr
    data = result(done.stdout)
    assert data["run"]["settings"]["percent_fee"] == 0.0
    assert data["run"]["strategy_file"] == str(work / "mine" / "always_long.py")
    assert {trade["position"] for trade in data["trades"]} == {"long"}


SHADOWS = ("engine", "json", "multiprocessing", "strategies", "numpy", "signaldeck", "typer")


@pytest.mark.parametrize(
    "program", [None, (sys.executable, "-m", "console")], ids=["signaldeck", "python -m console"]
)
def test_modules_lying_in_the_working_directory_change_nothing(
    run: Run, work: Path, program: tuple[str, ...] | None
) -> None:
    for name in SHADOWS:
        (work / f"{name}.py").write_text("raise SystemExit('shadowed by ' + __file__)\n")
    options = {"program": program} if program else {}
    done = run("backtest", "breakout", *ON_SIMULATED, "--json", **options)
    assert done.returncode == 0, done.stderr
    assert "shadowed" not in done.stderr
    assert result(done.stdout)["run"]["symbol"] == "BTCUSDT"


BAD_USAGE = {
    "unknown strategy": (["sma-kross", *ON_SIMULATED], ["'sma-kross'", "Did you mean 'sma-cross'"]),
    "unknown symbol": (
        ["breakout", "--symbol", "GOLD", "--exchange", "simulated", *FRAME],
        ["'GOLD'", "'simulated'", "BTCUSDT"],
    ),
    "unknown exchange": (
        ["breakout", "--symbol", "GOLD", "--exchange", "nyse", *FRAME],
        ["'nyse'", "simulated", "[exchanges.nyse]"],
    ),
    "neither exchange nor data": (
        ["breakout", "--symbol", "BTCUSDT", *FRAME],
        ["--exchange", "--data"],
    ),
    "missing file": (
        ["breakout", "--symbol", "BTCUSDT", "--data", "nowhere.csv", *FRAME],
        ["nowhere.csv", "does not exist"],
    ),
    "other symbol's file": (
        ["breakout", "--symbol", "ETHUSDT", "--data", "BTCUSDT-1m.csv", *FRAME],
        ["'ETHUSDT'", "BTCUSDT-1m.csv", "--symbol BTCUSDT"],
    ),
    "--from after --to": (
        ["breakout", *ON_SIMULATED[:4], "--from", "2025-07-03", "--to", "2025-07-02"],
        ["2025-07-03", "2025-07-02", "after"],
    ),
    "no date": (
        ["breakout", *ON_SIMULATED[:4], "--from", "yesterday", "--to", "2025-07-02"],
        ["'yesterday'", "2024-01-31"],
    ),
    "seconds": (
        ["breakout", *ON_SIMULATED[:4], "--from", "2025-07-01T10:00:30", "--to", "2025-07-02"],
        ["whole minute"],
    ),
    "unknown interval": (["breakout", *ON_SIMULATED, "--interval", "7m"], ["'7m'", "15m"]),
    "no --to": (["breakout", *ON_SIMULATED[:-2]], ["--to"]),
    "unknown option": (["breakout", *ON_SIMULATED, "--sybmol", "X"], ["--sybmol"]),
    "missing folder": (["breakout", *ON_SIMULATED, "--strategies", "no"], ["no does not exist"]),
}


@pytest.mark.parametrize("name", BAD_USAGE)
def test_bad_usage_names_the_thing_and_the_fix(run: Run, work: Path, name: str) -> None:
    (work / "BTCUSDT-1m.csv").write_text("timestamp,open,high,low,close,volume\n")
    arguments, words = BAD_USAGE[name]
    done = run("backtest", *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def broken_data(rows: list[str], how: str) -> list[str]:
    header, *bars = rows
    if how == "empty":
        return []
    if how == "header only":
        return [header]
    if how == "text price":
        cells = bars[100].split(",")
        bars[100] = ",".join([*cells[:4], "n/a", cells[5]])
    if how == "hole":
        hole = 3 * 1440
        start = 60
        return [header, *bars[:start], *bars[start + hole :]]
    return [header, *bars]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("empty", ["prices.csv", "empty"]),
        ("header only", ["prices.csv"]),
        ("text price", ["prices.csv", "102", "close", "n/a"]),
        ("hole", ["2025-07-01 01:00", "2025-07-04 01:00", "max_gap_minutes"]),
    ],
)
def test_bad_data_fails_with_the_place(run: Run, work: Path, how: str, words: list[str]) -> None:
    (work / "prices.csv").write_text("\n".join(broken_data(csv_rows(), how)))
    frame = ("--from", "2025-07-01T00:30", "--to", "2025-07-04T12:00")
    done = run("backtest", "sma-cross", "--symbol", "BTCUSDT", "--data", "prices.csv", *frame)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("head", ["def", "async def"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise ValueError('no idea')", ["ValueError: no idea"]),
        ("return 'buy'", ["str"]),
        ("return {'position': 'long'}", ["price_take_profit"]),
        ("return Signal('long', 1.0, 2.0, 60)", ["long", "take"]),
    ],
)
def test_a_strategy_that_fails_is_named_and_the_run_is_not_a_success(
    run: Run, work: Path, head: str, body: str, words: list[str]
) -> None:
    path = strategy_file(work / "strategies", "wrong", body, head)
    done = run("backtest", "wrong", *ON_SIMULATED, "--json")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for word in (*words, "'wrong'", str(path)):
        assert word in done.stderr
    assert result(done.stdout)["run"]["error_count"] == 48, "the run itself went on to its end"


@pytest.mark.parametrize(
    ("head", "body"),
    [("def", "threading.Event().wait()"), ("async def", "await asyncio.Event().wait()")],
)
def test_a_strategy_that_never_answers_ends_at_its_time_limit(
    run: Run, work: Path, head: str, body: str
) -> None:
    strategy_file(work / "strategies", "asleep", body, head)
    (work / "signaldeck.toml").write_text("[engine]\nmax_signal_generation_seconds = 1\n")
    frame = ("--from", "2025-07-02", "--to", "2025-07-02T00:30")
    done = run("backtest", "asleep", *ON_SIMULATED[:4], *frame)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for word in ("asleep", "1 s", "2025-07-02 00:00", "max_signal_generation_seconds"):
        assert word in done.stderr


def test_a_broken_file_is_said_and_harms_nothing_else(run: Run, work: Path) -> None:
    strategy_file(work / "strategies", "fine", "return None")
    (work / "strategies" / "typo.py").write_text("x = 1\nif x\n    pass\n")
    done = run("backtest", "fine", *ON_SIMULATED)
    assert done.returncode == 0
    assert f"{work / 'strategies' / 'typo.py'}:2: SyntaxError" in done.stderr
    done = run("backtest", "typo", *ON_SIMULATED)
    assert done.returncode == 2
    assert "typo.py:2: SyntaxError" in done.stderr, "the message leads to the broken file"
