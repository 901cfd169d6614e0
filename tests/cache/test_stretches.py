from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.adapters.cache.stretches import (
    Conflict,
    Part,
    check_part,
    clipped,
    covered_by,
    holes,
    inside,
    join,
    joined,
    shared,
    united,
)
from engine.domain.bars import Candles, Columns, concat, select
from engine.domain.time import MINUTE
from tests.cache.cache_bed import T0, bars, bars_at, minutes, part, stretch

EDGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6)
EXISTING = frozenset(range(90)) - {3, 4, 17, 18, 19, 33}


def points(stretches: object) -> set[int]:
    return {n for start, end in stretches for n in range(start, end)}  # type: ignore[attr-defined]


def piece(first: int, count: int) -> Part:
    """What an exchange with holes says about some minutes."""
    return part(first, count, [m for m in range(90) if m not in EXISTING])


@settings(deadline=None)
@given(EDGES, EDGES)
def test_stretches_are_sets_of_instants(some: object, others: object) -> None:
    a, b = united(some), united(others)  # type: ignore[arg-type]
    assert points(a) == points(some)
    assert all(end < start for (_, end), (start, _) in pairwise(a))
    assert points(shared(a, b)) == points(a) & points(b)
    assert united((*a, *b)) == united((*b, *a))
    assert set(np.flatnonzero(inside(a, np.arange(50)))) == points(a)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 30)), min_size=1, max_size=6))
def test_whatever_is_joined_in_whatever_order_is_what_exists(spans: list[tuple[int, int]]) -> None:
    whole = joined([piece(first, count) for first, count in spans])
    known = {m for first, count in spans for m in range(first, first + count)}
    assert (whole.columns.timestamp - T0).tolist() == [m * MINUTE for m in sorted(known & EXISTING)]
    assert points([((a - T0) // MINUTE, (b - T0) // MINUTE) for a, b in whole.covered]) == known
    assert holes(whole, MINUTE) == len(known - EXISTING)
    assert Candles(whole.columns) == Candles(bars_at(whole.columns.timestamp))
    assert check_part(whole, MINUTE) == ""


def changed(columns: Columns, at: int, **values: float) -> Columns:
    copy = {name: np.array(column) for name, column in columns._asdict().items()}
    for name, value in values.items():
        copy[name][at] = value
    return Columns(**copy)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (Part(changed(bars(5, 10), 2, close=99.5), stretch(5, 10)), r"row 2 at 2024-01-01 00:07"),
        (Part(changed(bars(5, 10), 4, volume=1e9), stretch(5, 10)), r"row 4 .* differs"),
        (part(5, 10, missing=[8]), r"before row 3, the bar kept at 2024-01-01 00:08 .* is missing"),
        (part(5, 5, missing=[9]), r"after the last row, the bar kept at 2024-01-01 00:09"),
        (Part(bars(0, 0), stretch(0, 10)), r"the bar kept at 2024-01-01 00:00 .* is missing"),
        (part(0, 30), r"row 20 at 2024-01-01 00:20 .* is kept as a hole, where no bar is"),
    ],
)
def test_what_overlaps_must_be_equal(new: Part, message: str) -> None:
    known = part(0, 25, missing=[20])
    with pytest.raises(Conflict, match=message):
        join(known, new)


def test_nothing_is_said_about_what_is_not_covered() -> None:
    known = Part(concat([bars(0, 10), bars(20, 10)]), (*stretch(0, 10), *stretch(20, 10)))
    whole = join(known, part(8, 14, missing=[14]))
    assert whole.covered == stretch(0, 30)
    assert Candles(whole.columns) == Candles(bars(0, 30, missing=[14]))


def test_long_silences_end_a_stretch() -> None:
    stamps = np.array(minutes(3, 4, 8, 30, 31))
    step = MINUTE
    assert covered_by(stamps, step, 5 * MINUTE) == (*stretch(3, 6), *stretch(30, 2))
    assert covered_by(stamps, step, 5 * MINUTE, start=T0) == (*stretch(0, 9), *stretch(30, 2))
    assert covered_by(stamps, step, 2 * MINUTE, start=T0) == (
        *stretch(3, 2), *stretch(8, 1), *stretch(30, 2)
    )  # fmt: skip
    assert covered_by(stamps, step, 60 * MINUTE) == stretch(3, 29)
    assert covered_by(stamps[:0], step, 60 * MINUTE, start=T0) == ()


def test_clipping_keeps_holes() -> None:
    cut = clipped(part(0, 30, missing=[9, 10, 11]), T0 + 10 * MINUTE, T0 + 20 * MINUTE)
    assert cut.covered == stretch(10, 10) and holes(cut, MINUTE) == 2
    assert Candles(cut.columns) == Candles(bars(12, 8))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Part(bars_at([T0, T0 + 1]), stretch(0, 5)), r"row 1 .* off the interval's grid"),
        (Part(bars_at(minutes(0, 2, 1)), stretch(0, 5)), r"row 2 .* not in order of time"),
        (Part(bars_at(minutes(0, 0)), stretch(0, 5)), r"row 1 .* not in order of time"),
        (Part(bars(0, 9), stretch(0, 5)), r"row 5 .* outside of the covered stretches"),
        (Part(changed(bars(0, 5), 3, high=np.nan), stretch(0, 5)), r"row 3 .* not a finite"),
        (Part(changed(bars(0, 5), 0, low=np.inf), stretch(0, 5)), r"row 0 .* not a finite"),
        (Part(bars(0, 5), ((T0, T0 + 5 * MINUTE + 1),)), "begins or ends off the interval's grid"),
        (Part(bars(0, 5), (*stretch(3, 2), *stretch(0, 3))), "are not in order"),
    ],
)
def test_parts_that_are_none_are_told_by_row(broken: Part, message: str) -> None:
    assert re.search(message, check_part(broken, MINUTE))
    assert check_part(part(0, 5, missing=[2]), MINUTE) == ""


def test_select_of_a_part_is_a_view() -> None:
    whole = part(0, 100)
    cut = clipped(whole, T0, T0 + 50 * MINUTE)
    assert np.shares_memory(cut.columns.close, select(whole.columns, slice(0, 50)).close)
