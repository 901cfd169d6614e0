"""The fast-forward kernels find exactly the bars at which the lifecycle would act."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core import lifecycle
from engine.core.exits import PriceColumns, first_activity, first_exit, milestone_bars
from engine.core.lifecycle import BarClose, Exit, Progress, Waiting
from engine.domain.settings import Settings
from engine.domain.signals import CloseReason, OpenPosition, Position, ScheduledSignal, SignalRow

BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine makes no example a failure."""

MINUTE = 60_000
OPENED = 1_000 * MINUTE

grid = st.integers(180, 220).map(lambda step: step / 2)
position = st.sampled_from((Position.LONG, Position.SHORT))
trigger = st.sampled_from(("vwap", "touch"))


@st.composite
def bars(draw: st.DrawFn, most: int = 400) -> list[BarClose]:
    """Bars after OPENED; runs of one price make the later chunks of a scan matter."""
    rows: list[BarClose] = []
    for price, reach, vwap, times in draw(
        st.lists(
            st.tuples(grid, st.integers(0, 4), grid, st.sampled_from((1, 1, 2, 140))), min_size=1,
            max_size=12,
        )
    ):  # fmt: skip
        for _ in range(times):
            at = OPENED + (len(rows) + 1) * MINUTE
            low, high = price - reach / 2, price + reach / 2
            rows.append(BarClose(at, price, high, low, price, vwap, price))
    return rows[:most]


def columns(rows: list[BarClose]) -> PriceColumns:
    return PriceColumns(
        np.array([r.high for r in rows]),
        np.array([r.low for r in rows]),
        np.array([r.vwap for r in rows]),
    )


@st.composite
def signals(draw: st.DrawFn) -> SignalRow:
    """A row whose levels lie on the right sides; the entry lies where it may."""
    side = draw(position)
    entry, gain, risk = draw(grid), draw(st.integers(1, 30)) / 2, draw(st.integers(1, 30)) / 2
    sign = 1 if side is Position.LONG else -1
    return SignalRow(
        "id", "S", "s", "x", side, entry, entry + sign * gain, entry - sign * risk, 100_000,
        OPENED, OPENED, False,
    )  # fmt: skip


@settings(BUSY, max_examples=100)
@given(signals(), bars(), trigger, st.data())
def test_first_exit_is_the_first_bar_that_closes_the_position(
    row: SignalRow, rows: list[BarClose], exit_trigger: str, data: st.DataObject
) -> None:
    choice = Settings().updated({"exit_trigger": exit_trigger})
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    held = OpenPosition(row)
    expected = stop
    for index in range(start, stop):
        if isinstance(lifecycle.settle_position(held, rows[index], choice), Exit):
            expected = index
            break
    assert first_exit(held, columns(rows), start, stop, choice) == expected


@settings(BUSY, max_examples=100)
@given(signals(), bars(), trigger, st.data())
def test_first_activity_is_the_first_bar_that_does_not_leave_it_waiting(
    row: SignalRow, rows: list[BarClose], exit_trigger: str, data: st.DataObject
) -> None:
    choice = Settings().updated({"exit_trigger": exit_trigger, "schedule_await_minutes": 99_999})
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    held = ScheduledSignal(row)
    expected = stop
    for index in range(start, stop):
        outcome = lifecycle.settle_scheduled(held, rows[index], choice)
        if not isinstance(outcome, Waiting):
            expected = index
            break
    assert first_activity(held, columns(rows), start, stop, choice) == expected


@settings(BUSY, max_examples=150)
@given(
    position, st.sampled_from((5, 10, 20, 30)), st.sampled_from((5, 10, 20, 30)),
    st.sampled_from((0, 0, 0, 10, 50, 90, 100)), st.sampled_from((0, 0, 0, 10, 50, 90, 100)),
    st.lists(st.integers(-29, 29), max_size=60), st.data(),
)  # fmt: skip
def test_milestone_bars_miss_no_milestone_and_invent_none(
    side: Position,
    gain: int,
    risk: int,
    profit: int,
    loss: int,
    path: list[int],
    data: st.DataObject,
) -> None:
    """Prices in tenths and fifths of the path: as often exactly on a milestone as beside it."""
    sign = 0.5 if side is Position.LONG else -0.5
    row = SignalRow(
        "id", "S", "s", "x", side, 100, 100 + sign * gain, 100 - sign * risk, 100_000,
        OPENED, OPENED, False,
    )  # fmt: skip
    inside = [step for step in path if -risk < step < gain]
    rows = [
        BarClose(OPENED + (i + 1) * MINUTE, 100, 100, 100, 100, 100 + sign * step, 100)
        for i, step in enumerate(inside)
    ]
    start = data.draw(st.integers(0, len(rows)))
    held = position_ = OpenPosition(row, profit, loss)
    expected: list[int] = []
    for index in range(start, len(rows)):
        made = lifecycle.settle_position(position_, rows[index], Settings())
        assert isinstance(made, Progress)
        if made.reached:
            expected.append(index)
            position_ = lifecycle.advanced(position_, made.reached)
    assert milestone_bars(held, columns(rows).vwap, start, len(rows)) == expected


def test_a_position_expires_on_the_bar_that_ends_its_time() -> None:
    row = SignalRow("id", "S", "s", "x", Position.LONG, 100, 110, 90, 3, OPENED, OPENED, False)
    bars_ = [BarClose(OPENED + i * MINUTE, 100, 100, 100, 100, 100, 100) for i in range(5)]
    outcomes = [lifecycle.settle_position(OpenPosition(row), bar, Settings()) for bar in bars_]
    assert outcomes[0] is None, "the bar that closes at the opening opened before it"
    assert all(isinstance(outcome, Progress) for outcome in outcomes[1:3])
    assert outcomes[3] == Exit(CloseReason.TIME_EXPIRED, 100)
