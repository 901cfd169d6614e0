"""Heat: a row per symbol, and a portfolio that is the mean of the members' equity curves."""

from __future__ import annotations

from math import fsum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.outcome import EquityPoint
from engine.domain.time import DAY
from engine.reports.heat import (
    HEAT_COLUMNS,
    HeatMember,
    HeatRow,
    heat_report,
    heat_statistics,
    mean_equity,
)
from engine.reports.statistics import summarise, trade_drawdown
from tests.reports.report_samples import SETTINGS, START, hourly, outcome


def member(symbol: str, percents: list[float], days: int = 4, start: int = START) -> HeatMember:
    trades = hourly(percents, start)
    figures, equity = summarise(
        trades, frame_start=start, frame_end=start + days * DAY, mark=lambda at: None,
        settings=SETTINGS,
    )  # fmt: skip
    return HeatMember(symbol, trades, figures, equity)


def curve(*values: float, start: int = START) -> tuple[EquityPoint, ...]:
    return tuple(EquityPoint(start + n * DAY, value) for n, value in enumerate(values))


def values(points: Any) -> list[float]:
    return [point.equity for point in points]


def test_five_trades_of_one_symbol() -> None:
    data = heat_statistics([member("BTCUSDT", [10.0, -6.0, -4.0, -5.0, 20.0])])
    [row] = data.rows
    assert row.max_drawdown == pytest.approx(14.2720, abs=1e-4)  # 1 - .94 * .96 * .95
    assert (row.expectancy, row.profit_factor) == (pytest.approx(3.0), pytest.approx(2.0))
    assert (row.max_win_streak, row.max_loss_streak) == (1, 3)
    assert (row.avg_win, row.avg_loss) == (pytest.approx(15.0), pytest.approx(-5.0))
    assert (row.total_trades, row.win_rate, row.total_pnl) == (5, 40.0, pytest.approx(15.0))
    assert row.undefined == {}
    assert data.symbols == data.rows


def test_zero_trades_neither_extend_nor_break_a_streak() -> None:
    [row] = heat_statistics([member("X", [1.0, 0.0, 2.0, -1.0, 0.0, -1.0])]).rows
    assert (row.max_win_streak, row.max_loss_streak) == (2, 2)


def test_what_is_undefined_has_a_reason_and_is_never_zero() -> None:
    rows = {row.symbol: row for row in heat_statistics(
        [member("none", []), member("one", [5.0]), member("same", [2.0, 2.0])]
    ).rows}  # fmt: skip
    none, one, same = rows["none"], rows["one"], rows["same"]
    assert (none.total_trades, none.total_pnl, none.max_drawdown) == (0, 0.0, 0.0)
    assert none.win_rate is none.avg_win is none.avg_loss is none.sharpe_ratio is None
    assert none.undefined["avg_win"] == "no trades"
    assert one.std_dev is one.sharpe_ratio is one.profit_factor is one.avg_loss is None
    assert one.undefined["avg_loss"] == "no losing trade"
    assert (one.avg_win, one.expectancy) == (5.0, 5.0)
    assert same.sharpe_ratio is None and same.undefined["sharpe_ratio"]


def test_rows_are_sorted_by_sharpe_and_undefined_ones_come_last() -> None:
    data = heat_statistics(
        [
            member("single", [50.0]), member("bad", [-3.0, -1.0]), member("good", [3.0, 2.0]),
            member("middling", [3.0, -1.0]),
        ]
    )  # fmt: skip
    assert [row.symbol for row in data.rows] == ["good", "middling", "bad", "single"]
    assert (data.total_symbols, data.portfolio_total_trades) == (4, 7)


def test_the_portfolio_is_the_mean_of_its_members() -> None:
    data = heat_statistics([member("A", [10.0], days=2), member("B", [-5.0, -5.0], days=2)])
    # A: 1.1 at the first midnight; B: .95 * .95 = .9025; mean 1.00125, flat on the second day.
    assert values(data.equity) == [1.0, pytest.approx(1.00125), pytest.approx(1.00125)]
    assert data.portfolio_total_pnl == pytest.approx(0.125)
    assert data.portfolio_max_drawdown == 0.0
    assert data.portfolio_sharpe_ratio == data.portfolio.daily_sharpe_ratio
    assert data.portfolio_sharpe_ratio is not None


def test_curves_of_different_length_wait_at_one_and_stay_where_they_ended() -> None:
    late = curve(1.0, 1.2, 1.4, start=START + 2 * DAY)
    mean = mean_equity([curve(1.0, 2.0, 3.0), late])
    assert [point.timestamp for point in mean] == [START + n * DAY for n in range(5)]
    assert values(mean) == [1.0, 1.5, 2.0, pytest.approx(2.1), pytest.approx(2.2)]
    assert mean_equity([]) == mean_equity([()]) == ()


def test_a_curve_that_starts_within_a_day_meets_the_others_at_midnight() -> None:
    noon = (EquityPoint(START + DAY // 2, 1.0), EquityPoint(START + DAY, 1.5))
    assert values(mean_equity([curve(1.0, 2.0), noon])) == [1.0, 1.75]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.lists(st.floats(0, 3), max_size=6)), min_size=1, max_size=4
    )
)
def test_the_mean_of_curves_against_a_brute_force(plans: list[tuple[int, list[float]]]) -> None:
    curves = [curve(1.0, *later, start=START + begin * DAY) for begin, later in plans]
    mean = mean_equity(curves)
    start = min(c[0].timestamp for c in curves)
    days = sorted({p.timestamp for c in curves for p in c[1:]})
    assert [point.timestamp for point in mean] == [start, *days]
    for point in mean[1:]:
        at = [
            next((p.equity for p in reversed(c) if p.timestamp <= point.timestamp), 1.0)
            for c in curves
        ]
        assert point.equity == pytest.approx(fsum(at) / len(at))
        assert min(at) - 1e-9 <= point.equity <= max(at) + 1e-9


@given(st.lists(st.lists(st.floats(-40, 40), max_size=8), max_size=4))
def test_totals_of_rows_and_portfolio(percents: list[list[float]]) -> None:
    members = [member(f"S{n}", each) for n, each in enumerate(percents)]
    data = heat_statistics(members)
    assert data.portfolio_total_trades == sum(map(len, percents))
    expected = [values(m.equity)[-1] for m in members]
    total = (fsum(expected) / len(expected) - 1) * 100 if expected else 0.0
    assert data.portfolio_total_pnl == pytest.approx(total, abs=1e-9)
    for row in data.rows:
        each = percents[int(row.symbol[1:])]
        assert row.max_drawdown == trade_drawdown(each)
    keys = [(row.sharpe_ratio is None, -(row.sharpe_ratio or 0)) for row in data.rows]
    assert keys == sorted(keys)


def test_one_member_is_its_own_portfolio() -> None:
    made = outcome(hourly([10.0, -6.0, -4.0]))
    alone = heat_statistics([HeatMember("X", made.trades, made.statistics, made.equity)])
    assert alone.equity == made.equity
    for name in ("total_return", "max_drawdown", "daily_sharpe_ratio", "sortino_ratio", "cagr"):
        assert getattr(alone.portfolio, name) == getattr(made.statistics, name)


def test_heat_report() -> None:
    data = heat_statistics([member("BTC|X", [10.0, -6.0, -4.0, -5.0, 20.0]), member("ETH", [5.0])])
    text = heat_report("sma_cross", data, HEAT_COLUMNS)
    lines = text.splitlines()
    assert lines[0] == "# Portfolio Heatmap: sma_cross"
    # BTC: .94 * .96 * .95 * 1.1 * 1.2 = 1.1316..., ETH 1.05.
    assert lines[2].startswith("**Total Symbols:** 2 | **Portfolio PNL:** +9.08% | ")
    assert lines[2].endswith("| **Total Trades:** 6")
    assert lines[4] == (
        "| Symbol | Total PNL | Sharpe | PF | Expect | WR | Avg Win | Avg Loss | Max DD | W Streak "
        "| L Streak | Trades |"
    )
    assert lines[6] == (
        "| BTC\\|X | +15.00% | 0.26 | 2.00 | +3.00% | 40.0% | +15.00% | -5.00% | -14.27% | 1 | 3 "
        "| 5 |"
    )
    assert lines[7] == (
        "| ETH | +5.00% | N/A | N/A | +5.00% | 100.0% | +5.00% | N/A | 0.00% | 1 | 0 | 1 |"
    )


def test_an_empty_heatmap_says_so() -> None:
    text = heat_report("s", heat_statistics([]), HEAT_COLUMNS)
    assert text.splitlines()[-1].startswith("*No data")
    assert heat_statistics([]).portfolio_total_pnl == 0.0


def test_zero_is_formatted_like_any_number() -> None:
    row = HeatRow("X", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
    assert [c.format(row, 0) for c in HEAT_COLUMNS][1:9] == [
        "0.00%", "0.00", "0.00", "0.00%", "0.0%", "0.00%", "0.00%", "0.00%"
    ]  # fmt: skip
