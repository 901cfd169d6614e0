"""Schedule, partial, risk, live and performance reports: figures by hand, and every cell."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, fsum, sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.durations import Durations
from engine.domain.events import Partial, Performance, RiskRejection
from engine.domain.signals import (
    Active,
    Cancelled,
    CancelReason,
    CloseReason,
    Opened,
    Position,
    Scheduled,
)
from engine.domain.time import DAY, MINUTE
from engine.reports.live import live_columns, live_report, live_statistics
from engine.reports.partials import PARTIAL_COLUMNS, partial_report, partial_statistics
from engine.reports.performance import (
    PERFORMANCE_COLUMNS,
    metric_statistics,
    performance_report,
    performance_statistics,
)
from engine.reports.rejections import RiskStatistics, risk_columns, risk_report
from engine.reports.schedule import schedule_columns, schedule_report, schedule_statistics
from engine.reports.statistics import summarise
from tests.reports.report_samples import KEY, SETTINGS, START, hourly, row, trade

AT = START + 10 * MINUTE
WAITING = row("w1", START, is_scheduled=True, note="why | so", position=Position.SHORT)
OPENED = replace(WAITING, pending_at=AT, is_scheduled=False)


def headings(text: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith("|"))
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def cells(text: str, at: int = 0) -> list[str]:
    """The cells of a table's row; a pipe within one is escaped."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return lines[at].strip("| ").replace("\\|", "!").split(" | ")


def visible(columns: Any) -> list[str]:
    return [column.label for column in columns if column.is_visible()]


# -- schedule --------------------------------------------------------------------------------------

SCHEDULE = [
    "Timestamp", "Action", "Symbol", "Signal ID", "Position", "Note", "Current Price",
    "Entry Price", "Take Profit", "Stop Loss", "Wait Time (min)",
]  # fmt: skip
SCHEDULED = Scheduled(KEY, START, 101.0, WAITING)
CANCELLED = Cancelled(KEY, AT, 102.0, WAITING, CancelReason.TIMEOUT, AT)


def schedules(**counts: int) -> Any:
    zero = dict.fromkeys(("scheduled", "opened", "cancelled", "minutes_to_open"), 0)
    return schedule_statistics([], **{**zero, "minutes_to_cancel": 0, **counts})


def test_no_scheduled_signals() -> None:
    data = schedules()
    assert (data.total_events, data.total_scheduled) == (0, 0)
    assert data.cancellation_rate is data.activation_rate is None
    assert data.avg_wait_time is data.avg_activation_time is None
    assert data.undefined["cancellation_rate"] == "no signal was scheduled"
    text = schedule_report("s", data, ())
    assert text == "# Scheduled Signals Report: s\n\nNo signals were scheduled.\n"


def test_rates_of_scheduled_signals() -> None:
    data = schedules(scheduled=8, opened=5, cancelled=2, minutes_to_open=50, minutes_to_cancel=240)
    assert (data.total_events, data.cancellation_rate, data.activation_rate) == (15, 25.0, 62.5)
    assert (data.avg_activation_time, data.avg_wait_time) == (10.0, 120.0)
    assert data.undefined == {}


def test_schedule_report() -> None:
    opened = Opened(KEY, AT, 100.0, OPENED)
    data = schedule_statistics(
        [CANCELLED, opened, SCHEDULED], scheduled=2, opened=1, cancelled=1, minutes_to_open=10,
        minutes_to_cancel=10,
    )  # fmt: skip
    columns = schedule_columns(lambda: True)
    assert visible(columns) == SCHEDULE
    assert visible(schedule_columns(lambda: False)) == [n for n in SCHEDULE if n != "Note"]
    text = schedule_report("sma_cross", data, columns)
    assert text.startswith("# Scheduled Signals Report: sma_cross\n")
    assert cells(text) == [
        "2024-01-01T00:10:00.000Z", "CANCELLED", "BTC/USDT:USDT", "w1", "SHORT", "why ! so",
        "102.00000000 USD", "100.00000000 USD", "110.00000000 USD", "95.00000000 USD", "10",
    ]  # fmt: skip
    assert [cells(text, at)[1] for at in range(3)] == ["CANCELLED", "OPENED", "SCHEDULED"]
    assert cells(text, 2)[-1] == "N/A"
    assert "- **Activation rate:** 50.00% (higher is better)" in text
    assert "- **Cancellation rate:** 50.00% (lower is better)" in text
    assert "- **Average wait time (cancelled):** 10.00 minutes" in text
    event = data.event_list[0]
    assert (event.close_timestamp, event.cancel_reason) == (AT, "timeout")
    assert [e.duration for e in data.event_list] == [10, 10, None]


# -- partial ---------------------------------------------------------------------------------------


def reached(side: Any, level: int) -> Partial:
    return Partial(
        side, KEY, KEY.symbol, KEY.strategy_name, KEY.exchange_name, OPENED, 103.5, level, True, AT
    )


def test_partial_report() -> None:
    data = partial_statistics([reached("loss", 20), reached("profit", 10)], profit=7, loss=4)
    assert (data.total_events, data.total_profit, data.total_loss) == (11, 7, 4)
    text = partial_report("BTC/USDT:USDT", "sma_cross", data, PARTIAL_COLUMNS)
    assert text.startswith("# Partial Profit/Loss Report: BTC/USDT:USDT:sma_cross\n")
    assert headings(text) == [
        "Action", "Symbol", "Strategy", "Signal ID", "Position", "Level %", "Current Price",
        "Timestamp", "Mode",
    ]  # fmt: skip
    assert cells(text) == [
        "LOSS", "BTC/USDT:USDT", "sma_cross", "w1", "SHORT", "-20%", "103.50000000 USD",
        "2024-01-01T00:10:00.000Z", "Backtest",
    ]  # fmt: skip
    assert cells(text, 1)[5] == "+10%"
    assert "- **Profit events:** 7\n- **Loss events:** 4" in text
    live = partial_statistics([replace(reached("profit", 10), backtest=False)], profit=1, loss=0)
    assert cells(partial_report("x", "y", live, PARTIAL_COLUMNS))[-1] == "Live"


# -- risk ------------------------------------------------------------------------------------------


def test_risk_report() -> None:
    refused = RiskRejection(
        KEY, "few", KEY.symbol, KEY.strategy_name, KEY.exchange_name, WAITING, 101.5, 3,
        "three | are enough", AT,
    )  # fmt: skip
    data = RiskStatistics((refused,), 5, {"ETHUSDT": 2, "BTCUSDT": 3}, {"sma_cross": 5})
    columns = risk_columns(lambda: True)
    assert visible(columns) == [
        "Symbol", "Strategy", "Signal ID", "Position", "Note", "Exchange", "Open Price",
        "Take Profit", "Stop Loss", "Current Price", "Active Positions", "Reason", "Timestamp",
    ]  # fmt: skip
    assert "Note" not in visible(risk_columns(lambda: False))
    text = risk_report("BTCUSDT", "sma_cross", data, columns)
    assert text.startswith("# Risk Rejection Report: BTCUSDT:sma_cross\n")
    assert cells(text) == [
        "BTC/USDT:USDT", "sma_cross", "w1", "SHORT", "why ! so", "binance", "100.00000000 USD",
        "110.00000000 USD", "95.00000000 USD", "101.50000000 USD", "3", "three ! are enough",
        "2024-01-01T00:10:00.000Z",
    ]  # fmt: skip
    assert "**Total rejections:** 5" in text
    assert "## Rejections by Symbol\n\n- BTCUSDT: 3\n- ETHUSDT: 2\n" in text
    assert "## Rejections by Strategy\n\n- sma_cross: 5\n" in text


def test_empty_reports_say_so() -> None:
    nothing = RiskStatistics((), 0)
    assert risk_report("x", "y", nothing, ()).splitlines()[-1] == "No signals were refused."
    none = partial_statistics([], profit=0, loss=0)
    assert partial_report("x", "y", none, ()).splitlines()[-1] == "No milestones were reached."


# -- live ------------------------------------------------------------------------------------------


def live_data(trades: Any, newest: Any = (), **counts: int) -> Any:
    figures, _ = summarise(
        trades, frame_start=START, frame_end=START + 4 * DAY, mark=lambda at: 100.0,
        settings=SETTINGS,
    )  # fmt: skip
    names = ("total_events", "total_scheduled", "total_opened", "total_cancelled")
    return live_statistics(figures, newest, **{**dict.fromkeys(names, 0), **counts})


def test_a_live_run_without_trades_has_no_ratios() -> None:
    opened = Opened(KEY, AT, 100.0, row("a", AT))
    data = live_data([], [opened], total_events=1, total_opened=1)
    assert (data.total_events, data.total_closed, data.total_signals) == (1, 0, 0)
    for name in (
        "win_rate", "avg_pnl", "std_dev", "sharpe_ratio", "annualized_sharpe_ratio",
        "certainty_ratio", "expected_yearly_returns", "profit_factor", "expectancy", "sqn",
    ):  # fmt: skip
        assert getattr(data, name) is None
        assert data.undefined[name]


def test_live_report() -> None:
    closed = trade(
        -2.5, AT, AT + 90 * MINUTE, id="w1", position=Position.SHORT, note="x",
        close_reason=CloseReason.STOP_LOSS,
    )  # fmt: skip
    active = Active(KEY, AT + MINUTE, 99.0, OPENED, 12.345, 0.0)
    newest = [closed, active, Opened(KEY, AT, 100.0, OPENED), CANCELLED, SCHEDULED]
    counts = {"total_opened": 1, "total_scheduled": 2, "total_cancelled": 1}
    data = live_data([closed], newest, total_events=9, **counts)
    columns = live_columns(lambda: True)
    assert visible(columns) == [
        "Timestamp", "Action", "Symbol", "Signal ID", "Position", "Note", "Current Price",
        "Open Price", "Take Profit", "Stop Loss", "% to TP", "% to SL", "PNL (net)",
        "Close Reason", "Duration (min)",
    ]  # fmt: skip
    assert "Note" not in visible(live_columns(lambda: False))
    text = live_report("sma_cross", data, columns)
    assert text.startswith("# Live Trading Report: sma_cross\n")
    assert [cells(text, at)[1] for at in range(5)] == [
        "CLOSED", "ACTIVE", "OPENED", "CANCELLED", "SCHEDULED",
    ]  # fmt: skip
    assert cells(text) == [
        "2024-01-01T01:40:00.000Z", "CLOSED", "BTC/USDT:USDT", "w1", "SHORT", "x",
        "97.50000000 USD", "100.00000000 USD", "110.00000000 USD", "95.00000000 USD", "N/A",
        "N/A", "-2.50%", "stop_loss", "90",
    ]  # fmt: skip
    assert cells(text, 1)[10:] == ["12.35%", "0.00%", "N/A", "N/A", "N/A"]
    assert cells(text, 3)[12:] == ["N/A", "timeout", "10"]
    assert cells(text, 4)[10:] == ["N/A"] * 5
    assert "4 older events are counted, not shown." in text
    for line in (
        "- **Total events:** 9", "- **Closed signals:** 1",
        "- **Win rate:** 0.00% (0W / 1L) (higher is better)",
        "- **Total PNL:** -2.50% (higher is better)",
        "- **Standard Deviation:** N/A (fewer than two trades)",
    ):  # fmt: skip
        assert line in text.splitlines()


def test_live_statistics_are_those_of_a_backtest_of_the_same_trades() -> None:
    trades = hourly([10.0, -6.0, -4.0, -5.0, 20.0])
    data = live_data(trades)
    figures, _ = summarise(
        trades, frame_start=START, frame_end=START + 4 * DAY, mark=lambda at: 100.0,
        settings=SETTINGS,
    )  # fmt: skip
    for name in ("sharpe_ratio", "max_drawdown", "sqn", "exposure", "total_trades", "undefined"):
        assert getattr(data, name) == getattr(figures, name)


# -- performance -----------------------------------------------------------------------------------


def brute(values: list[float]) -> dict[str, float]:
    ordered, mean = sorted(values), fsum(values) / len(values)
    rank = lambda p: ordered[max(0, ceil(len(ordered) * p / 100) - 1)]  # noqa: E731
    return {
        "count": len(values), "total_duration": fsum(values), "avg_duration": mean,
        "min_duration": ordered[0], "max_duration": ordered[-1],
        "std_dev": sqrt(fsum((v - mean) ** 2 for v in values) / len(values)),
        "median": rank(50), "p95": rank(95), "p99": rank(99),
    }  # fmt: skip


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=80))
def test_metric_statistics_against_a_brute_force(values: list[float]) -> None:
    made = metric_statistics("live_tick", Durations(values), Durations(values[1:]))
    for name, expected in brute(values).items():
        assert getattr(made, name) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    waits = values[1:]
    if waits:
        assert made.avg_wait_time == pytest.approx(fsum(waits) / len(waits), abs=1e-9)
        assert (made.min_wait_time, made.max_wait_time) == (min(waits), max(waits))
    else:
        assert (made.avg_wait_time, made.min_wait_time, made.max_wait_time) == (None,) * 3


def test_performance_report() -> None:
    event = Performance(2.0, 1.0, "live_tick", 1.0, "s", "e", "BTCUSDT", False)
    by_type = {
        "fast": (Durations([1.0, 3.0]), Durations()),
        "slow": (Durations([10.0, 20.0, 66.0]), Durations([5.0, 7.0])),
    }
    data = performance_statistics("sma_cross", by_type, [event])
    assert (data.total_events, data.total_duration, data.events) == (5, 100.0, (event,))
    assert list(data.metric_stats) == ["fast", "slow"]
    text = performance_report(data, PERFORMANCE_COLUMNS)
    assert text.startswith("# Performance Report: sma_cross\n")
    assert text.index("Total events") < text.index("## Time Distribution")
    assert text.index("## Time Distribution") < text.index("## Detailed Metrics")
    assert "- **slow**: 96.0% (96.00 ms total)\n- **fast**: 4.0% (4.00 ms total)" in text
    assert "- **Total execution time:** 100.00 ms" in text
    assert headings(text) == [
        "Metric Type", "Count", "Total (ms)", "Avg (ms)", "Min (ms)", "Max (ms)", "Std Dev (ms)",
        "Median (ms)", "P95 (ms)", "P99 (ms)", "Avg Wait (ms)", "Min Wait (ms)", "Max Wait (ms)",
    ]  # fmt: skip
    assert cells(text) == [
        "slow", "3", "96.00", "32.00", "10.00", "66.00", "24.39", "20.00", "66.00", "66.00",
        "6.00", "5.00", "7.00",
    ]  # fmt: skip
    assert cells(text, 1)[-3:] == ["N/A", "N/A", "N/A"]
    nothing = performance_statistics("s", {}, [])
    assert performance_report(nothing, ()) == "# Performance Report: s\n\nNo measurements yet.\n"
