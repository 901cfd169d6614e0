"""Every statistic against numbers worked out by hand, and the facts that hold for any run."""

from __future__ import annotations

import gzip
import json
import pickle
from dataclasses import fields
from math import fsum, isfinite, sqrt
from pathlib import Path
from types import NoneType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.pricing import pnl
from engine.domain.outcome import BacktestStatistics, EquityPoint
from engine.domain.signals import Closed, CloseReason, PnL, Position
from engine.domain.time import DAY, MINUTE
from engine.reports.statistics import (
    backtest_statistics,
    drawdown_curve,
    monthly_returns,
    summarise,
    trade_drawdown,
)
from tests.reports.report_samples import KEY, SETTINGS, START, hourly, no_mark, row, trade

HOUR = 60 * MINUTE


def statistics(trades, start=START, end=START + 4 * DAY):
    return summarise(
        trades, frame_start=start, frame_end=end, mark=lambda at: None, settings=SETTINGS
    )[0]


def points(*equity):
    return tuple(EquityPoint(START + n * DAY, value) for n, value in enumerate(equity))


def of_curve(*equity):
    end = START + (len(equity) - 1) * DAY
    return backtest_statistics([], points(*equity), frame_start=START, frame_end=end)


@pytest.fixture
def five() -> BacktestStatistics:
    """+10, -6 on day 1; nothing on day 2; -4, -5 on day 3; +20 on day 4; an hour each."""
    trades = [
        *hourly([10.0, -6.0]),
        *hourly([-4.0, -5.0], START + 2 * DAY),
        *hourly([20.0], START + 3 * DAY),
    ]
    return statistics(trades)


# Deviations from the mean 3: 7 -9 -7 -8 17, squares 49 + 81 + 49 + 64 + 289 = 532, / 4 = 133.
STD = sqrt(133)
# 5 trades in 4 days are 456.25 a year.
PER_YEAR = 5 * 365 / 4
# Daily: 1.1 * 0.94 = 1.034, flat, 1.034 * 0.96 * 0.95 = 0.943008, * 1.2 = 1.1316096.
FINAL = 1.1316096
# Daily returns 0.034, 0, -0.088, 0.2: mean 0.146 / 4 = 0.0365; deviations -0.0025 -0.0365
# -0.1245 0.1635, squares 0.00000625 + 0.00133225 + 0.01550025 + 0.02673225 = 0.043571.
DAILY_STD = sqrt(0.043571 / 3)
# Losing days: one of 0.088, so sqrt(0.088 ** 2 / 4) = 0.044.
DOWNSIDE = 0.044
CAGR = (FINAL ** (365 / 4) - 1) * 100


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("total_trades", 5),
        ("total_signals", 5),
        ("win_count", 2),
        ("loss_count", 3),
        ("win_rate", 40.0),
        ("total_pnl", 15.0),
        ("avg_pnl", 3.0),
        ("std_dev", STD),
        ("sharpe_ratio", 3 / STD),
        ("annualized_sharpe_ratio", 3 / STD * sqrt(PER_YEAR)),
        # Average win 15, average loss 5.
        ("certainty_ratio", 3.0),
        ("expected_yearly_returns", 3 * PER_YEAR),
        # 30 won, 15 lost.
        ("profit_factor", 2.0),
        ("expectancy", 3.0),
        ("sqn", sqrt(5) * 3 / STD),
        ("avg_duration_minutes", 60.0),
        ("max_win_streak", 1),
        ("max_loss_streak", 3),
        ("ambiguous_bars", 0),
        ("swept_entries", 0),
        ("total_return", 13.16096),
        ("cagr", CAGR),
        # From 1.034 to 0.943008: 1 - 0.96 * 0.95.
        ("max_drawdown", 8.8),
        # The peak's last day is day 2, day 4 is above it again.
        ("max_drawdown_days", 2),
        ("daily_sharpe_ratio", 0.0365 / DAILY_STD * sqrt(365)),
        ("sortino_ratio", 0.0365 / DOWNSIDE * sqrt(365)),
        ("calmar_ratio", CAGR / 8.8),
        # 300 of 5760 minutes.
        ("exposure", 300 / 5760),
        ("undefined", {}),
    ],
)
def test_five_trades(five, name, expected):
    assert getattr(five, name) == (
        expected if isinstance(expected, dict) else pytest.approx(expected, rel=1e-12)
    )


def test_nothing_traded():
    s = statistics([])
    counts = (
        "total_trades", "win_count", "loss_count", "total_pnl", "max_win_streak",
        "max_loss_streak", "ambiguous_bars", "swept_entries", "total_return", "max_drawdown",
        "max_drawdown_days",
    )  # fmt: skip
    assert [getattr(s, name) for name in counts] == [0] * len(counts)
    # Four flat days have a growth, and no time was spent in a position.
    assert (s.cagr, s.exposure) == (0.0, 0.0)
    assert s.undefined == {
        "win_rate": "no trades",
        "avg_pnl": "no trades",
        "std_dev": "fewer than two trades",
        "sharpe_ratio": "no trades",
        "annualized_sharpe_ratio": "no trades",
        "certainty_ratio": "no trades",
        "expected_yearly_returns": "no trades",
        "profit_factor": "no trades",
        "expectancy": "no trades",
        "sqn": "no trades",
        "avg_duration_minutes": "no trades",
        "daily_sharpe_ratio": "every day has the same return",
        "sortino_ratio": "no losing day",
        "calmar_ratio": "no drawdown",
    }


def test_one_trade_has_no_deviation():
    # The reference called these 0, and sqrt(365) a trade's year: +629 420 % for eight minutes.
    s = statistics([trade(9.58, START, START + 8 * MINUTE)])
    assert (s.avg_pnl, s.win_rate, s.expectancy) == (9.58, 100.0, 9.58)
    assert (s.std_dev, s.sharpe_ratio, s.annualized_sharpe_ratio, s.sqn) == (None,) * 4
    assert s.undefined["sharpe_ratio"] == "fewer than two trades"
    assert (s.certainty_ratio, s.profit_factor) == (None, None)
    assert s.undefined["profit_factor"] == s.undefined["certainty_ratio"] == "no losing trade"
    # One trade in four days: 91.25 a year.
    assert s.expected_yearly_returns == pytest.approx(9.58 * 91.25, rel=1e-12)
    assert s.exposure == pytest.approx(8 / 5760, rel=1e-12)


def test_only_losses():
    s = statistics(hourly([-1.0, -3.0]))
    # Nothing won is a sum of 0, so the factor is 0; the average of no win is undefined.
    assert s.profit_factor == 0.0
    assert s.certainty_ratio is None
    assert s.undefined["certainty_ratio"] == "no winning trade"
    assert (s.win_rate, s.win_count, s.loss_count) == (0.0, 0, 2)


@pytest.mark.parametrize("value", [0.1, -0.3, 9.580219780219787, 1e-7, 12345.678])
@pytest.mark.parametrize("count", [2, 3, 7, 10])
def test_equal_results_have_no_spread(value, count):
    # The naive deviation of ten times 0.1 is 1.5e-17, and the Sharpe ratio of that 6e15.
    s = statistics(hourly([value] * count))
    assert s.std_dev == 0.0
    assert (s.sharpe_ratio, s.annualized_sharpe_ratio, s.sqn) == (None, None, None)
    assert s.undefined["sharpe_ratio"] == "every trade has the same result"


def test_equal_up_to_rounding_is_equal():
    assert statistics(hourly([0.3, 0.1 + 0.2, 0.3])).std_dev == 0.0
    # What prices can tell apart is a spread: 1e-8 percent points.
    assert statistics(hourly([0.3, 0.30000001])).std_dev == pytest.approx(7.07e-9, rel=1e-3)


def test_equal_daily_growth_has_no_sharpe():
    # 1.01 each day: the returns differ in the last bit, the Sharpe ratio would be near 1e15.
    s = of_curve(*(1.01**n for n in range(30)))
    assert s.daily_sharpe_ratio is None
    assert s.undefined["daily_sharpe_ratio"] == "every day has the same return"


def test_rounding_is_neither_a_losing_day_nor_a_drawdown():
    s = of_curve(1.0, 1.1, 1.1 * (1 - 2e-16), 1.1 * (1 + 2e-16), 1.2)
    assert (s.max_drawdown, s.max_drawdown_days) == (0.0, 0)
    assert (s.sortino_ratio, s.calmar_ratio) == (None, None)


def test_zero_results_are_neither_wins_nor_losses():
    s = statistics(hourly([1.0, 0.0, 1.0, -1.0, 0.0, -1.0, -1.0, 0.0, 1.0]))
    assert (s.total_trades, s.win_count, s.loss_count) == (9, 3, 3)
    # A zero neither extends nor breaks: W(0)W is 2, L(0)LL is 3.
    assert (s.max_win_streak, s.max_loss_streak) == (2, 3)
    assert s.win_rate == pytest.approx(100 / 3)
    # Counted in n: (3 - 3) / 9.
    assert s.expectancy == 0.0
    assert s.profit_factor == 1.0
    assert s.certainty_ratio == 1.0


def test_only_zero_results():
    s = statistics(hourly([0.0, 0.0]))
    assert (s.max_win_streak, s.max_loss_streak, s.avg_pnl) == (0, 0, 0.0)
    assert s.undefined["profit_factor"] == "no losing trade"
    assert s.undefined["certainty_ratio"] == "no winning trade"


def test_flagged_bars_are_counted():
    trades = [
        trade(1.0, START, START + HOUR, ambiguous=True),
        trade(1.0, START + HOUR, START + HOUR, swept=True),
        trade(1.0, START + 2 * HOUR, START + 3 * HOUR, ambiguous=True),
        trade(1.0, START + 4 * HOUR, START + 5 * HOUR),
    ]
    s = statistics(trades)
    assert (s.ambiguous_bars, s.swept_entries) == (2, 1)


def test_duration_counts_from_the_opening():
    # Waiting for the entry is not time in the position: (10 + 30) / 2.
    trades = [
        trade(1.0, START + HOUR, START + HOUR + 10 * MINUTE, scheduled_at=START),
        trade(1.0, START + 2 * HOUR, START + 2 * HOUR + 30 * MINUTE),
    ]
    assert statistics(trades).avg_duration_minutes == 20.0


def test_exposure_is_cut_at_the_frame():
    # 06:00 to 18:00 of one day; 90 minutes of the second trade lie outside.
    start, end = START + 6 * HOUR, START + 18 * HOUR
    trades = [
        trade(1.0, start + HOUR, start + 2 * HOUR),
        trade(1.0, end - 30 * MINUTE, end + 90 * MINUTE),
    ]
    assert statistics(trades, start, end).exposure == pytest.approx(90 / 720, rel=1e-15)
    beyond = [trade(1.0, end, end + HOUR)]
    assert statistics(beyond, start, end).exposure == 0.0


def test_exposure_counts_no_time_before_the_frame():
    # A session may start with a position it already holds: 30 of its 90 minutes count.
    held = trade(1.0, START - HOUR, START + 30 * MINUTE)
    assert statistics([held], START, START + 5 * HOUR).exposure == pytest.approx(0.1, rel=1e-15)


@pytest.mark.parametrize("length", [0, -DAY])
def test_a_frame_without_length(length):
    trades = hourly([1.0, -2.0])
    s = statistics(trades, START, START + length)
    for name in ("annualized_sharpe_ratio", "expected_yearly_returns", "exposure"):
        assert getattr(s, name) is None
        assert s.undefined[name] == "the frame has no length"
    assert s.sharpe_ratio is not None


def test_a_frame_without_days():
    s = statistics([], START, START)
    for name in ("cagr", "daily_sharpe_ratio", "sortino_ratio", "calmar_ratio"):
        assert s.undefined[name] == "the frame has no days"
    assert (s.total_return, s.max_drawdown, s.max_drawdown_days) == (0.0, 0.0, 0)


def test_a_single_day():
    s = of_curve(1.0, 0.9)
    assert s.total_return == pytest.approx(-10.0)
    assert s.cagr == pytest.approx((0.9**365 - 1) * 100)
    assert s.max_drawdown == pytest.approx(10.0)
    assert s.max_drawdown_days == 1
    assert s.undefined["daily_sharpe_ratio"] == "fewer than two days"
    assert s.undefined["sortino_ratio"] == "fewer than two days"


@pytest.mark.parametrize(
    ("equity", "percent", "length"),
    [
        # Down from E0 itself, never back: until the end.
        ((1.0, 0.9, 0.8, 0.85), 20.0, 3),
        # Back exactly at the peak counts as recovered; the plateau before is not under water.
        ((1.0, 1.2, 1.2, 0.9, 1.0, 1.2, 1.3), 25.0, 3),
        # The deeper of two, the first of two equal ones.
        ((1.0, 0.9, 1.0, 0.5, 1.0, 1.0), 50.0, 2),
        ((1.0, 0.5, 1.0, 0.5, 0.6, 1.0), 50.0, 2),
        ((1.0, 1.1, 1.2), 0.0, 0),
        ((1.0, 0.0, 0.0), 100.0, 2),
    ],
)
def test_drawdown_and_its_duration(equity, percent, length):
    s = of_curve(*equity)
    assert s.max_drawdown == pytest.approx(percent, rel=1e-12)
    assert s.max_drawdown_days == length


def test_ruin():
    s = of_curve(1.0, 0.0, 0.0, 0.0)
    assert (s.total_return, s.cagr, s.max_drawdown) == (-100.0, -100.0, 100.0)
    assert s.calmar_ratio == -1.0
    # Returns -1, 0, 0: nothing can be lost of nothing.
    assert s.sortino_ratio == pytest.approx((-1 / 3) / sqrt(1 / 3) * sqrt(365), rel=1e-12)


def test_growth_beyond_numbers_is_undefined():
    # 100 a day is 100 ** 365 a year.
    s = of_curve(1.0, 100.0)
    assert s.cagr is None
    assert (
        s.undefined["cagr"] == s.undefined["calmar_ratio"] == "the value is too large for a number"
    )


def test_endless_gains_stay_a_number():
    # (1 + 1e7) ** 60 is 1e420, beyond any float.
    s = statistics(hourly([1e9] * 60), START, START + 10 * DAY)
    assert isfinite(s.total_return) and s.total_return > 1e300
    check_sound(s)


def test_drawdown_over_trades():
    # Peak 1.1, then * 0.94 * 0.96 * 0.95: 1 - 0.857280 = 14.272 %.
    assert trade_drawdown([10.0, -6.0, -4.0, -5.0, 20.0]) == pytest.approx(14.272, rel=1e-12)
    assert round(trade_drawdown([10.0, -6.0, -4.0, -5.0, 20.0]), 2) == 14.27
    assert trade_drawdown([]) == trade_drawdown([3.0, 4.0]) == 0.0
    assert trade_drawdown([-10.0]) == pytest.approx(10.0)
    assert trade_drawdown([-200.0, 50.0]) == 100.0


def test_drawdown_curve():
    found = drawdown_curve(points(1.0, 1.25, 1.0, 1.25, 0.5))
    assert [p.timestamp for p in found] == [START + n * DAY for n in range(5)]
    assert [p.drawdown for p in found] == pytest.approx([0, 0, 20, 0, 60])
    assert drawdown_curve([]) == ()


def test_monthly_returns():
    # From 2024-01-30: the points are the 24:00 of Jan 30, Jan 31, Feb 1, ..., Feb 29, Mar 1.
    start = START + 29 * DAY
    equity = [EquityPoint(start, 1.0)]
    equity += [EquityPoint(start + n * DAY, 1.0 + n / 100) for n in range(1, 33)]
    months = monthly_returns(equity)
    assert [(m.year, m.month) for m in months] == [(2024, 1), (2024, 2), (2024, 3)]
    # End of January 1.02, of February (29 days) 1.31, of March 1.32.
    expected = [2.0, (1.31 / 1.02 - 1) * 100, (1.32 / 1.31 - 1) * 100]
    assert [m.percent for m in months] == pytest.approx(expected, rel=1e-12)
    assert monthly_returns([]) == monthly_returns(equity[:1]) == ()


def test_monthly_returns_after_ruin():
    equity = [EquityPoint(START + n * 31 * DAY, value) for n, value in enumerate((1.0, 0.0, 0.0))]
    assert [m.percent for m in monthly_returns(equity)] == [-100.0, 0.0]


def golden_trades(rows):
    for number, r in enumerate(rows):
        opened, closed = r["pending_at"], r["close_timestamp"]
        money = PnL(r["pnl_percentage"], r["price_open"], r["price_close"], 0.0, 0.0)
        signal = row(f"g{number}", opened, position=Position(r["position"]))
        reason = CloseReason(r["close_reason"])
        yield Closed(KEY, closed, r["price_close"], signal, reason, closed, money)


def test_golden_totals():
    path = Path(__file__).parents[1] / "golden" / "cases.json.gz"
    cases = json.loads(gzip.decompress(path.read_bytes()))
    assert len(cases) == 289
    for case in cases:
        frame = case["frame"]
        for expected in case["expected"].values():
            trades = list(golden_trades(expected["trades"]))
            s = statistics(trades, frame["start_date"], frame["end_date"])
            wanted = expected["stats"]
            assert s.total_trades == wanted["total"], case["id"]
            assert (s.win_count, s.loss_count) == (wanted["wins"], wanted["losses"]), case["id"]
            assert s.total_pnl == pytest.approx(wanted["total_pnl"], rel=1e-9, abs=1e-12)
            if wanted["total"]:
                assert s.win_rate == pytest.approx(wanted["win_rate"], rel=1e-12)


def test_statistics_survive_a_process_boundary(five):
    assert pickle.loads(pickle.dumps(five)) == five


# Any run: results far beyond what a market does, and frames of any length.
wild = st.floats(min_value=-1e9, max_value=1e9)
tame = st.floats(min_value=-60, max_value=120).map(lambda p: round(p, 6))


def check_sound(s: BacktestStatistics) -> None:
    missing = set()
    for item in fields(s):
        value = getattr(s, item.name)
        assert isinstance(value, (int, float, NoneType, dict)), item.name
        if isinstance(value, float):
            assert isfinite(value), item.name
        if value is None:
            missing.add(item.name)
    assert set(s.undefined) == missing
    assert all(isinstance(reason, str) and reason for reason in s.undefined.values())


@given(
    results=st.lists(wild, max_size=60),
    step=st.integers(min_value=60, max_value=4000),
    start=st.integers(min_value=0, max_value=3000),
    length=st.integers(min_value=-1000, max_value=600_000),
)
def test_no_nan_no_infinity(results, step, start, length):
    first = START + start * MINUTE
    s, curve = summarise(
        hourly(results, first, step), frame_start=first, frame_end=first + length * MINUTE,
        mark=lambda at: 100.0, settings=SETTINGS,
    )  # fmt: skip
    check_sound(s)
    assert all(isfinite(point.equity) and point.equity >= 0 for point in curve)
    assert all(isfinite(m.percent) for m in monthly_returns(curve))
    assert all(0 <= p.drawdown <= 100 for p in drawdown_curve(curve))
    assert 0 <= s.max_drawdown <= 100
    assert max(p.drawdown for p in drawdown_curve(curve)) == s.max_drawdown
    assert s.win_count + s.loss_count <= s.total_trades
    assert s.exposure is None or 0 <= s.exposure <= 1


@given(values=st.lists(st.floats(min_value=0, max_value=1e300), max_size=30))
def test_any_curve_gives_numbers(values):
    s = of_curve(1.0, *values)
    check_sound(s)
    assert 0 <= trade_drawdown([(v - 1) * 100 for v in values if v < 1e100]) <= 100


@given(data=st.data(), results=st.lists(tame, min_size=1, max_size=20))
def test_order_matters_only_where_it_should(data, results):
    shuffled = data.draw(st.permutations(results))
    a, b = statistics(hourly(results)), statistics(hourly(shuffled))
    for name in ("total_trades", "win_count", "loss_count", "win_rate", "total_pnl", "avg_pnl",
                 "certainty_ratio", "profit_factor", "expectancy", "avg_duration_minutes",
                 "exposure"):  # fmt: skip
        assert getattr(a, name) == getattr(b, name), name
    for name in ("std_dev", "sharpe_ratio", "sqn", "annualized_sharpe_ratio"):
        # Sums are exactly rounded, so not even the last bit moves.
        assert getattr(a, name) == getattr(b, name), name
    assert a.total_return == pytest.approx(b.total_return, rel=1e-9, abs=1e-9)


@given(results=st.lists(tame, min_size=2, max_size=20), factor=st.sampled_from([2.0, 4.0, 8.0]))
def test_scaling_every_result(results, factor):
    a, b = statistics(hourly(results)), statistics(hourly([p * factor for p in results]))
    assert b.total_pnl == a.total_pnl * factor
    assert b.avg_pnl == a.avg_pnl * factor
    assert b.expected_yearly_returns == pytest.approx(a.expected_yearly_returns * factor)
    assert b.std_dev == pytest.approx(a.std_dev * factor, rel=1e-12)
    for name in ("win_rate", "profit_factor", "certainty_ratio", "sharpe_ratio", "sqn",
                 "max_win_streak", "max_loss_streak"):  # fmt: skip
        expected = getattr(a, name)
        assert getattr(b, name) == (
            None if expected is None else pytest.approx(expected, rel=1e-12, abs=1e-15)
        ), name


@given(results=st.lists(tame, max_size=20), days=st.integers(min_value=1, max_value=900))
def test_moving_a_run_by_whole_days_changes_nothing(results, days):
    moved = START + days * DAY
    a = statistics(hourly(results, step=700), START, START + 9 * DAY)
    b = statistics(hourly(results, moved, step=700), moved, moved + 9 * DAY)
    assert a == b


@given(results=st.lists(tame, min_size=1, max_size=20))
def test_mirrored_results_swap_wins_and_losses(results):
    a, b = statistics(hourly(results)), statistics(hourly([-p for p in results]))
    assert (a.win_count, a.max_win_streak) == (b.loss_count, b.max_loss_streak)
    assert a.total_pnl == -b.total_pnl
    assert a.total_pnl == fsum(results)
    if a.profit_factor and b.profit_factor:
        assert a.profit_factor * b.profit_factor == pytest.approx(1.0)


def test_settled_trades_never_ask_for_a_market_price():
    figures, _ = summarise(
        hourly([1.0, 2.0]), frame_start=START, frame_end=START + DAY, mark=no_mark,
        settings=SETTINGS,
    )  # fmt: skip
    assert figures.total_trades == 2


@pytest.mark.parametrize(
    ("position", "closing", "expected"),
    [
        (Position.LONG, 43000.0, 1.9764),
        (Position.LONG, 41000.0, -2.7760),
        (Position.SHORT, 41000.0, 1.9855),
        (Position.SHORT, 43000.0, -2.7859),
    ],
)
def test_marks_use_the_pricing_of_closes(position, closing, expected):
    assert pnl(position, 42000.0, closing, SETTINGS).pnl_percentage == pytest.approx(
        expected, abs=1e-4
    )
