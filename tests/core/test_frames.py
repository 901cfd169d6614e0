"""Frames: both ends inclusive, on their own grid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.frames import Frame
from engine.domain.bars import FRAME_INTERVALS, INTERVAL_MINUTES
from engine.domain.errors import SchemaError

T0 = 1_704_067_200_000
MINUTE = 60_000


@pytest.mark.parametrize(
    ("minutes", "interval", "count"),
    [(15, "1m", 16), (150, "1h", 3), (1440, "1d", 2), (0, "1m", 1), (59, "1h", 1), (-1, "1m", 0)],
)
def test_how_many_instants(minutes: int, interval: str, count: int) -> None:
    assert len(Frame.of(T0, T0 + minutes * MINUTE, interval)) == count


def test_bounds_off_the_minute_and_unknown_intervals_are_errors() -> None:
    with pytest.raises(SchemaError, match="start_date"):
        Frame.of(T0 + 1, T0 + MINUTE, "1m")
    with pytest.raises(SchemaError, match="end_date"):
        Frame.of(T0, T0 + 1, "1m")
    with pytest.raises(SchemaError, match="7m"):
        Frame.of(T0, T0 + MINUTE, "7m")


@given(
    st.integers(-10_000, 10_000), st.integers(-100, 20_000), st.sampled_from(FRAME_INTERVALS),
    st.integers(-12_000, 40_000),
)  # fmt: skip
def test_the_grid(start: int, length: int, interval: str, probe: int) -> None:
    step = INTERVAL_MINUTES[interval]
    frame = Frame.of(T0 + start * MINUTE, T0 + (start + length) * MINUTE, interval)
    instants = list(range(start, start + length + 1, step))
    assert len(frame) == len(instants)
    at = T0 + probe * MINUTE
    following = frame.at_or_after(at)
    assert following >= at
    assert (following - frame.start) % frame.step == 0
    assert following - frame.step < at or following == frame.start
    assert frame.index(at) == sum(1 for instant in instants if instant < probe)
