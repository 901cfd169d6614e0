"""Candles behave like a tuple of `Candle` and let nobody write to them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.bars import (
    CANDLE_INTERVALS,
    FRAME_INTERVALS,
    SIGNAL_INTERVALS,
    Candle,
    Candles,
    interval_ms,
)
from engine.domain.errors import SchemaError

rows = st.lists(
    st.builds(Candle, st.integers(0, 2**50), *(st.floats(0.1, 1e6) for _ in range(5))), max_size=12
)


def candles(items: list[Candle]) -> Candles:
    return Candles.from_columns(*zip(*items, strict=True)) if items else Candles.empty()


@given(rows, st.data())
def test_it_is_a_sequence_of_candles(items: list[Candle], data: st.DataObject) -> None:
    made = candles(items)
    assert len(made) == len(items)
    assert list(made) == items
    assert bool(made) == bool(items)
    for index in range(-len(items), len(items)):
        assert made[index] == items[index]
        assert type(made[index].timestamp) is int
        assert type(made[index].close) is float
    for index in (len(items), -len(items) - 1):
        with pytest.raises(IndexError):
            made[index]
    bound = st.one_of(st.none(), st.integers(-15, 15))
    cut = slice(data.draw(bound), data.draw(bound), data.draw(st.sampled_from((None, 1, 2, -1))))
    assert list(made[cut]) == items[cut]
    # A slice of a slice, which is a view of a view.
    again = slice(data.draw(bound), data.draw(bound))
    assert list(made[cut][again]) == items[cut][again]
    assert made[cut].close.tolist() == [item.close for item in items[cut]]
    assert made[cut].timestamp.tolist() == [item.timestamp for item in items[cut]]


@given(rows)
def test_equality_is_of_content_and_pickling_keeps_it(items: list[Candle]) -> None:
    made = candles(items)
    copy = pickle.loads(pickle.dumps(made))
    assert copy == made
    assert copy != [*items, "x"]
    assert made == candles(items)
    if items:
        assert made != candles(items[:-1])
        assert made != candles([*items[:-1], items[-1]._replace(close=0.05)])


def test_a_pickled_window_carries_only_itself() -> None:
    made = candles([Candle(i, 1.0, 1.0, 1.0, 1.0, 1.0) for i in range(1000)])
    assert len(pickle.dumps(made[-5:])) < 1500


def test_slicing_copies_nothing_and_columns_are_read_only() -> None:
    made = candles([Candle(i, 1.0, 2.0, 0.5, 1.5, 1.0) for i in range(10)])
    part = made[2:8]
    assert np.shares_memory(part.close, made.close)
    for column in (*part.columns(), part.close, part.timestamp):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 7


def test_columns_must_be_equally_long() -> None:
    with pytest.raises(SchemaError, match="shape"):
        Candles.from_columns([1, 2], [1.0], [1.0], [1.0], [1.0], [1.0])


def test_a_window_has_a_short_repr_and_no_hash() -> None:
    assert repr(Candles.empty()) == "Candles(0)"
    made = candles([Candle(i, 1.0, 2.0, 0.5, 1.5, 1.0) for i in range(1000)])
    assert len(repr(made)) < 300
    with pytest.raises(TypeError):
        hash(made)


def test_intervals() -> None:
    assert [interval_ms(name) // 60_000 for name in FRAME_INTERVALS] == [
        1, 3, 5, 15, 30, 60, 120, 240, 360, 480, 720, 1440, 4320,
    ]  # fmt: skip
    assert set(SIGNAL_INTERVALS) < set(CANDLE_INTERVALS) < set(FRAME_INTERVALS)
    with pytest.raises(SchemaError, match=r"'7m'.*1m, 3m"):
        interval_ms("7m")
    with pytest.raises(SchemaError, match="'12h'"):
        interval_ms("12h", CANDLE_INTERVALS)
