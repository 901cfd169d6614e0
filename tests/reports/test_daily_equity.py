"""The daily equity curve: which days it has, what counts at 24:00, how open trades are marked."""

from __future__ import annotations

from math import isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import EngineError
from engine.domain.outcome import EquityPoint
from engine.domain.signals import Position
from engine.domain.time import DAY, MINUTE
from engine.reports.statistics import daily_equity
from tests.reports.report_samples import SETTINGS, START, no_mark, priced, trade

HOUR = 60 * MINUTE


def curve(trades, start=START, end=START + 2 * DAY, mark=no_mark):
    return daily_equity(trades, frame_start=start, frame_end=end, mark=mark, settings=SETTINGS)


def days(points):
    return [(point.timestamp - START) / DAY for point in points]


def values(points):
    return [point.equity for point in points]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        # Midnight to midnight: as many points as days, the closing midnight opens no new day.
        (0, 2 * DAY, [0, 1, 2]),
        # One minute further is an instant of the third day.
        (0, 2 * DAY + MINUTE, [0, 1, 2, 3]),
        (0, 2 * DAY - MINUTE, [0, 1, 2]),
        # Both ends inside a day: that day's 24:00.
        (6 * HOUR, 18 * HOUR, [0.25, 1]),
        (6 * HOUR, DAY + 6 * HOUR, [0.25, 1, 2]),
        # A single instant: at midnight no day at all, else the day it lies in.
        (0, 0, [0]),
        (6 * HOUR, 6 * HOUR, [0.25, 1]),
        # A frame that ends before it starts.
        (DAY, 0, [1]),
        (18 * HOUR, 6 * HOUR, [0.75]),
    ],
)
def test_days_of_the_frame(start, end, expected):
    points = curve([], START + start, START + end)
    assert days(points) == expected
    assert values(points) == [1.0] * len(expected)


def test_a_close_counts_in_the_day_that_ends_with_it():
    at_midnight = trade(10.0, START + 23 * HOUR, START + DAY)
    a_minute_later = trade(10.0, START + 23 * HOUR, START + DAY + MINUTE)
    # Closed up to and at 24:00, so nothing is open there and no market price is asked for.
    assert values(curve([at_midnight])) == pytest.approx([1.0, 1.1, 1.1], rel=1e-15)
    # Open at 24:00, without a price: it counts when it closes.
    later = curve([a_minute_later], mark=lambda at: None)
    assert values(later) == pytest.approx([1.0, 1.0, 1.1], rel=1e-15)


def test_trades_compound_and_flat_days_repeat_the_value():
    trades = [
        trade(10.0, START + HOUR, START + 2 * HOUR),
        trade(-6.0, START + 3 * HOUR, START + 4 * HOUR),
        trade(50.0, START + 2 * DAY + HOUR, START + 2 * DAY + 2 * HOUR),
    ]
    # 1.1 * 0.94 = 1.034; a flat day; 1.034 * 1.5 = 1.551
    points = curve(trades, end=START + 3 * DAY)
    assert values(points) == pytest.approx([1.0, 1.034, 1.034, 1.551], rel=1e-15)


@pytest.mark.parametrize(
    ("position", "marks", "expected"),
    [
        # Long 42000 at 43000, slippage and fee 0.1 %: +1.9764 % (O' 42042, C' 42957).
        (Position.LONG, 43000.0, (42957 - 42042) / 42042 * 100 - 0.2),
        # Short 42000 at 43000: -2.7859 % (O' 41958, C' 43043).
        (Position.SHORT, 43000.0, (41958 - 43043) / 41958 * 100 - 0.2),
        # An unmoved market still costs slippage and fees, as if it closed there.
        (Position.LONG, 42000.0, (41958 - 42042) / 42042 * 100 - 0.2),
    ],
)
def test_an_open_trade_is_marked_with_costs(position, marks, expected):
    asked = []

    def mark(instant):
        asked.append(instant)
        return marks

    held = priced(position, 42000.0, 42500.0, START + 23 * HOUR, START + DAY + HOUR)
    points = curve([held], mark=mark)
    assert asked == [START + DAY]
    final = 1 + held.pnl.pnl_percentage / 100
    assert values(points) == pytest.approx([1.0, 1 + expected / 100, final], rel=1e-12)


def test_a_trade_opened_at_midnight_is_open_there():
    held = priced(Position.LONG, 100.0, 100.0, START + DAY, START + DAY + HOUR)
    assert values(curve([held], mark=lambda at: 100.0))[1] == pytest.approx(0.996002, abs=1e-6)


def test_a_trade_opened_after_midnight_is_not_marked():
    held = priced(Position.LONG, 100.0, 90.0, START + DAY + MINUTE, START + DAY + HOUR)
    assert values(curve([held]))[1] == 1.0


def test_a_trade_over_several_days_is_marked_at_each_midnight():
    held = priced(Position.LONG, 100.0, 104.0, START, START + 3 * DAY - MINUTE)
    prices = {START + DAY: 101.0, START + 2 * DAY: 103.0}
    points = curve([held], mark=prices.__getitem__)
    # Beyond the frame's two days, because the last close is later; 0.999 / 1.001 * C - 0.002.
    growth = [0.999 / 1.001 * price / 100 - 0.002 for price in (101.0, 103.0, 104.0)]
    assert days(points) == [0, 1, 2, 3]
    assert values(points) == pytest.approx([1.0, *growth], rel=1e-12)


def test_the_last_close_at_a_midnight_adds_no_day_after_it():
    points = curve([trade(1.0, START, START + 3 * DAY)], mark=lambda at: None)
    assert days(points) == [0, 1, 2, 3]
    assert values(points)[-1] == 1.01


def test_equity_stops_at_zero():
    trades = [
        trade(-150.0, START + HOUR, START + 2 * HOUR),
        trade(900.0, START + DAY + HOUR, START + DAY + 2 * HOUR),
    ]
    assert values(curve(trades)) == [1.0, 0.0, 0.0]


def test_an_open_trade_is_never_marked_below_zero():
    held = priced(Position.SHORT, 100.0, 101.0, START + HOUR, START + DAY + HOUR)
    points = curve([held], mark=lambda at: 1000.0)
    assert values(points)[1] == 0.0
    assert values(points)[2] > 0.9


@pytest.mark.parametrize("percent", [nan, float("inf"), -float("inf"), 1e101])
def test_an_unusable_result_names_the_trade(percent):
    with pytest.raises(EngineError, match="trade broken closed with pnl_percentage"):
        curve([trade(percent, START, START + HOUR, id="broken")])


minutes = st.integers(min_value=0, max_value=6 * 1440)
percents = st.floats(min_value=-120, max_value=400, allow_nan=False)


@given(
    cuts=st.lists(minutes, unique=True, max_size=24).map(sorted),
    results=st.lists(percents, min_size=12, max_size=12),
    offset=st.integers(min_value=0, max_value=1440),
    length=st.integers(min_value=0, max_value=5 * 1440),
    price=st.floats(min_value=0.5, max_value=300),
)
def test_equals_the_definition_read_literally(cuts, results, offset, length, price):
    start, end = START + offset * MINUTE, START + (offset + length) * MINUTE
    spans = zip(cuts[::2], cuts[1::2], strict=False)
    trades = [
        trade(p, start + a * MINUTE, start + b * MINUTE)
        for p, (a, b) in zip(results, spans, strict=False)
    ]
    points = curve(trades, start, end, mark=lambda at: price)
    finish = max([end, *(t.close_timestamp for t in trades)])
    assert points[0] == EquityPoint(start, 1.0)
    midnights = [START + n * DAY for n in range(1, 20) if START + (n - 1) * DAY < finish]
    midnights = [at for at in midnights if at > start]
    assert [point.timestamp for point in points[1:]] == midnights
    for point in points[1:]:
        expected = 1.0
        for t in trades:
            if t.close_timestamp <= point.timestamp:
                expected *= max(0.0, 1 + t.pnl.pnl_percentage / 100)
            elif t.signal.pending_at <= point.timestamp:
                expected *= max(0.0, 1 + ((price * 0.999) / 100.1 - 1) - 0.002)
        assert isfinite(point.equity)
        assert point.equity == pytest.approx(expected, rel=1e-9, abs=1e-12)
