"""The backtest's report, JSON and CSV: their shape, their words, and what they survive."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import fields, replace
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from engine.domain.outcome import BacktestStatistics, RunCounts
from engine.domain.signals import CancelReason, Closed, CloseReason
from engine.domain.time import DAY, MINUTE
from engine.reports.backtest import (
    backtest_report,
    json_safe,
    outcome_to_json,
    statistic_lines,
    trades_to_csv,
)
from engine.reports.columns import BACKTEST_COLUMNS, Column
from engine.reports.files import dump_report, report_path
from tests.reports.report_samples import KEY, START, cancelled, hourly, outcome, trade

FIVE = hourly([10.0, -6.0, -4.0, -5.0, 20.0])


def tables(report: str) -> list[list[list[str]]]:
    """Cells of every table of a report, as a Markdown parser sees them."""
    found: list[list[list[str]]] = []
    inside = False
    for token in MarkdownIt("commonmark").enable("table").parse(report):
        if token.type == "table_open":
            found.append([])
        inside = {"table_open": True, "table_close": False}.get(token.type, inside)
        if token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and inside:
            found[-1][-1].append("".join(child.content for child in token.children or []))
    return found


def test_title_table_and_totals():
    report = backtest_report(outcome(FIVE))
    assert report.startswith("# Backtest Report: sma_cross\n\n| Signal ID | Symbol |")
    assert report.endswith("\n") and not report.endswith("\n\n")
    trades = tables(report)[0]
    assert trades[0] == [column.label for column in BACKTEST_COLUMNS]
    assert [line[0] for line in trades[1:]] == ["t4", "t3", "t2", "t1", "t0"]
    assert [line[7] for line in trades[1:]] == ["+20.00%", "-5.00%", "-4.00%", "-6.00%", "+10.00%"]
    wanted = """
- **Total signals:** 5
- **Closed signals:** 5
- **Win rate:** 40.00% (2W / 3L) (higher is better)
- **Average PNL:** +3.00% (higher is better)
- **Total PNL:** +15.00% (higher is better)
- **Standard Deviation:** 11.533% (lower is better)
- **Sharpe Ratio:** 0.260 (higher is better)
- **Annualized Sharpe Ratio:** 5.556 (higher is better)
- **Certainty Ratio:** 3.000 (higher is better)
- **Expected Yearly Returns:** +1368.75% (higher is better)
- **Profit Factor:** 2.000 (higher is better)
- **Expectancy:** +3.00% (higher is better)
- **SQN:** 0.582 (higher is better)
- **Average Duration:** 60.00 min
- **Longest Win Streak:** 1 (higher is better)
- **Longest Loss Streak:** 3 (lower is better)
- **Ambiguous Bars:** 0 (lower is better)
- **Swept Entries:** 0 (lower is better)
"""
    assert wanted in report


def test_the_daily_section():
    # Two days: 0.9, then 0.9 * 1.25 = 1.125; returns -0.1 and 0.25, mean 0.075, deviation
    # sqrt(2 * 0.175 ** 2) = 0.24749; losing sqrt(0.1 ** 2 / 2) = 0.07071; 3 of 2880 minutes;
    # 1.125 ** (365 / 2) = 2164389142.438.
    trades = [
        trade(-10.0, START, START + MINUTE),
        trade(25.0, START + DAY + MINUTE, START + DAY + 3 * MINUTE),
    ]
    wanted = """
## Daily equity

- **Total Return:** +12.50% (higher is better)
- **CAGR:** +216438914143.83% (higher is better)
- **Max Drawdown:** 10.00% (2 days) (lower is better)
- **Daily Sharpe Ratio:** 5.790 (higher is better)
- **Sortino Ratio:** 20.264 (higher is better)
- **Calmar Ratio:** 21643891414.383 (higher is better)
- **Exposure:** 0.10%

## Run
"""
    assert wanted in backtest_report(outcome(trades, frame_end=START + 2 * DAY))


def test_run_facts():
    report = backtest_report(outcome(FIVE, cancelled=[cancelled(CancelReason.TIMEOUT)]))
    for line in (
        "- **Symbol:** BTC/USDT:USDT",
        "- **Exchange:** binance",
        "- **Frame:** january, 1m, 2024-01-01 00:00 UTC to 2024-01-05 00:00 UTC",
        "- **Filled minutes:** 17",
        "- **Strategy calls:** 321",
        "- **Cancelled signals:** 1",
        "- **Ended:** complete",
        f"- **Strategy SHA-256:** {'5' * 64}",
        f"- **Bars SHA-256:** {'d' * 64}",
        "| percent_fee | 0.1 |",
    ):
        assert line in report.splitlines()
    assert "## Warnings" not in report and "## Errors" not in report
    assert "- **Ended:** stopped before the frame's end" in backtest_report(
        outcome(FIVE, stopped=True)
    )


def test_no_trades():
    report = backtest_report(outcome())
    assert "No signals closed in this run." in report
    assert "Win rate" not in report and "Signal ID" not in report
    assert "- **Symbol:** BTC/USDT:USDT" in report


def test_undefined_statistics_say_why():
    report = backtest_report(outcome(hourly([9.58])))
    assert "- **Sharpe Ratio:** N/A (fewer than two trades)" in report
    assert "- **Profit Factor:** N/A (no losing trade)" in report
    assert "- **Win rate:** 100.00% (1W / 0L) (higher is better)" in report
    assert "None" not in report and "nan" not in report.lower().replace("binance", "")


def test_daily_lines():
    # -10 % on day one, back above on day two.
    trades = [
        trade(-10.0, START, START + MINUTE),
        trade(25.0, START + DAY + MINUTE, START + DAY + 2 * MINUTE),
    ]
    found = {line.field: line for line in statistic_lines(outcome(trades).statistics)}
    # From the frame's start, the peak, to the end of day two.
    assert found["max_drawdown"].text == "10.00% (2 days)"
    under_water = outcome(trades[:1], frame_end=START + DAY).statistics
    assert "10.00% (1 day)" in {line.text for line in statistic_lines(under_water)}
    assert found["total_return"].text == "+12.50%"
    # 2 of 5760 minutes.
    assert found["exposure"].text == "0.03%"
    assert found["exposure"].daily and not found["total_pnl"].daily


def test_every_statistic_is_shown():
    shown = {line.field for line in statistic_lines(outcome(FIVE).statistics)}
    inside_others = {"win_count", "loss_count", "max_drawdown_days", "undefined"}
    assert shown == {item.name for item in fields(BacktestStatistics)} - inside_others


def test_cancellations_are_counted_by_reason():
    reasons = [CancelReason.TIMEOUT, CancelReason.RISK, CancelReason.TIMEOUT]
    report = backtest_report(outcome(FIVE, cancelled=[cancelled(r) for r in reasons]))
    assert [["Reason", "Signals"], ["timeout", "2"], ["risk", "1"]] in tables(report)


def test_custom_columns_replace_the_default_ones():
    mine: list[Column[Closed]] = [
        Column("n", "No", lambda row, index: f"{index + 1}", lambda: True),
        Column("h", "Hidden", lambda row, index: "x", lambda: False),
        Column("r", "Result", lambda row, index: f"{row.pnl.pnl_percentage:g}", lambda: True),
    ]
    report = backtest_report(outcome(FIVE), mine)
    trades = tables(report)[0]
    assert trades[:3] == [["No", "Result"], ["1", "20"], ["2", "-5"]]
    assert "Signal ID" not in report
    lines = report.splitlines()
    assert lines[2].count("|") == lines[3].count("|") == 3


def test_no_visible_column_leaves_the_statistics():
    report = backtest_report(outcome(FIVE), [])
    assert "Signal ID" not in report
    assert report.startswith("# Backtest Report: sma_cross\n\n- **Total signals:** 5")


def test_warnings_and_errors_are_listed_up_to_a_bound():
    errors = [f"error {n}\nsecond line" for n in range(60)]
    report = backtest_report(outcome(FIVE, warnings=("1. frame | data",), errors=tuple(errors)))
    assert "\n## Warnings\n\n- 1\\. frame \\| data\n" in report
    assert "- error 49 second line\n- ... and 10 more\n" in report
    assert "error 50" not in report
    # A run may keep fewer errors than it counted.
    kept = backtest_report(outcome(FIVE, errors=("only",), counts=RunCounts(errors=7)))
    assert kept.endswith("## Errors\n\n- only\n- ... and 6 more\n")
    assert "more" not in backtest_report(outcome(FIVE, errors=("a", "b"), warnings=("c",)))


@settings(max_examples=50)
@given(
    note=st.text(max_size=60), name=st.text(min_size=1, max_size=20), warning=st.text(max_size=30)
)
def test_foreign_text_never_breaks_a_report(tmp_path_factory, note, name, warning):
    key = replace(KEY, strategy_name=name, symbol=name)
    trades = [trade(1.0, START, START + MINUTE, id=name, symbol=name, note=note)]
    result = outcome(trades, key=key, warnings=(warning,))
    report = backtest_report(result)
    trades_table, settings_table = tables(report)
    assert [len(line) for line in trades_table] == [13, 13]
    assert {len(line) for line in settings_table} == {2}
    headings = [line for line in report.split("\n") if line.startswith("#")]
    assert headings[1:] == ["## Daily equity", "## Run", "## Settings", "## Warnings"]
    folder = tmp_path_factory.mktemp("dump")
    path = report_path(str(folder), mode="backtest", name=name, symbol=name)
    assert dump_report(report, path).read_text("utf-8") == report
    assert path.parent == folder


def test_json_shape():
    data = outcome_to_json(
        outcome(FIVE, cancelled=[cancelled(CancelReason.RISK)], warnings=("w",), errors=("e",))
    )
    assert list(data) == ["run", "statistics", "trades", "cancelled"]
    assert data["trades"][0] == {
        "id": "t0",
        "position": "long",
        "price_open": 100.0,
        "price_take_profit": 110.0,
        "price_stop_loss": 95.0,
        "minute_estimated_time": 240,
        "scheduled_at": START,
        "pending_at": START,
        "price_close": 110.0,
        "close_reason": "take_profit",
        "close_timestamp": START + 60 * MINUTE,
        "pnl_percentage": 10.0,
    }
    # Close order, unlike the report.
    assert [t["id"] for t in data["trades"]] == ["t0", "t1", "t2", "t3", "t4"]
    assert data["cancelled"] == [
        {
            "id": "c",
            "position": "long",
            "price_open": 100.0,
            "price_take_profit": 110.0,
            "price_stop_loss": 95.0,
            "minute_estimated_time": 240,
            "scheduled_at": START,
            "price": 101.5,
            "cancel_reason": "risk",
            "close_timestamp": START + MINUTE,
        }
    ]
    run = data["run"]
    assert run["settings"]["percent_fee"] == 0.1
    assert {name: run[name] for name in run if name != "settings"} == {
        "mode": "backtest",
        "symbol": "BTC/USDT:USDT",
        "strategy_name": "sma_cross",
        "exchange_name": "binance",
        "frame_name": "january",
        "frame_interval": "1m",
        "frame_start": START,
        "frame_end": START + 4 * DAY,
        "stopped": False,
        "candles": 5760,
        "filled": 17,
        "calls": 321,
        "rejections": 4,
        "error_count": 0,
        "errors": ["e"],
        "warnings": ["w"],
        "strategy_file": "strategies/sma_cross.py",
        "strategy_hash": "5" * 64,
        "data_hash": "d" * 64,
    }


def test_json_statistics_hold_every_field():
    result = outcome(FIVE)
    found = outcome_to_json(result)["statistics"]
    assert found["total_signals"] == found["total_trades"] == 5
    for item in fields(BacktestStatistics):
        assert found[item.name] == getattr(result.statistics, item.name)
    alone = outcome_to_json(outcome(hourly([1.0])))["statistics"]
    assert alone["sharpe_ratio"] is None
    assert alone["undefined"]["sharpe_ratio"] == "fewer than two trades"


def test_the_booked_entry_is_what_json_shows():
    closed = trade(1.0, START, START + MINUTE, price_open=100.0)
    moved = replace(closed, pnl=replace(closed.pnl, price_open=99.5))
    assert outcome_to_json(outcome([moved]))["trades"][0]["price_open"] == 99.5


@given(results=st.lists(st.floats(min_value=-1e9, max_value=1e9), max_size=20))
def test_json_is_strict(results):
    data = outcome_to_json(outcome(hourly(results)))
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_json_safe():
    given_values = {
        "nan": nan, "inf": [inf, -inf, 1.5], 3: (1, True, None), "np": np.int64(4),
        "npf": np.float64(2.5), "npn": np.float32("nan"), "reason": CloseReason.STOP_LOSS,
        "path": Exception("x"), "set": {7},
    }  # fmt: skip
    found: Any = json_safe(given_values)
    assert found == {
        "nan": None, "inf": [None, None, 1.5], "3": [1, True, None], "np": 4, "npf": 2.5,
        "npn": None, "reason": "stop_loss", "path": "x", "set": [7],
    }  # fmt: skip
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert type(found["reason"]) is str


def test_the_same_run_gives_the_same_bytes():
    fast, slow = outcome(FIVE, elapsed_seconds=1.0), outcome(FIVE, elapsed_seconds=9.0)
    assert backtest_report(fast) == backtest_report(slow)
    assert outcome_to_json(fast) == outcome_to_json(slow)


@given(notes=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_csv_reads_back(notes):
    trades = [
        trade(-1.23456789012345678, START, START + MINUTE, id=f"t{n}", note=note)
        for n, note in enumerate(notes)
    ]
    text = trades_to_csv(trades)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert text.startswith("id,position,price_open,price_take_profit,price_stop_loss,")
    assert text.count("\n") == len(notes) + 1
    assert "\r" not in text
    assert [r["note"] for r in rows] == [" ".join(note.split()) for note in notes]
    for found, wanted in zip(rows, outcome_to_json(outcome(trades))["trades"], strict=True):
        assert {name: found[name] for name in wanted} == {k: str(v) for k, v in wanted.items()}


@pytest.mark.parametrize("reason", list(CloseReason))
def test_reasons_are_plain_words(reason):
    closed = trade(1.0, START, START + MINUTE, close_reason=reason)
    assert f"| {reason.value} |" in backtest_report(outcome([closed]))
