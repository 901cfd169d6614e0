"""Rows of every kind become clean columns, or an error that names the row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.candles import cleaned, fill, resampled, to_columns
from engine.domain.bars import Candle, Candles, Columns
from engine.domain.bars import CandleKey as Source
from engine.domain.errors import CandleDataError, DataGapError
from engine.domain.settings import Settings

BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine makes no example a failure."""

SOURCE = Source("memory", "BTCUSDT", "1m")
T0 = 1_704_067_200_000
MINUTE = 60_000


def row(minute: int, price: float = 100.0, volume: float = 1.0) -> list[float]:
    return [T0 + minute * MINUTE, price - 0.5, price + 1, price - 1, price, volume]


def clean(rows: Any, step: int = MINUTE, **changes: Any) -> Columns:
    config = Settings().updated(changes)
    return cleaned(to_columns(rows, SOURCE), SOURCE, step, config)


def as_mapping(values: list[float]) -> dict[str, float]:
    return dict(zip(Candle._fields, values, strict=True))


def test_every_form_of_rows_gives_the_same_columns() -> None:
    rows = [row(0), row(1, 101.5), row(2, 99.0)]
    expected = Candles(clean(rows))
    forms: list[Any] = [
        [tuple(r) for r in rows],
        tuple(rows),
        [Candle(int(r[0]), *r[1:]) for r in rows],
        [as_mapping(r) for r in rows],
        [np.array(r) for r in rows],
        Candles.from_columns(*zip(*rows, strict=True)),
    ]
    for form in forms:
        assert Candles(clean(form)) == expected
    assert [c.close for c in expected] == [100.0, 101.5, 99.0]


def test_no_rows_are_no_bars() -> None:
    assert len(clean([]).timestamp) == 0
    assert len(clean(Candles.empty()).timestamp) == 0


@pytest.mark.parametrize("rows", [None, 5, "rows", b"rows", {"a": 1}, object(), iter([])])
def test_what_is_no_list_is_named(rows: Any) -> None:
    with pytest.raises(CandleDataError, match="instead of a list of candles"):
        to_columns(rows, SOURCE)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([T0, 1.0, 2.0], "six values"),
        ([*row(1), 7.0], "six values"),
        ("text", "six values"),
        (None, "six values"),
        ([T0 + MINUTE, "x", 101, 99, 100, 1], "'x', not a number"),
        ([T0 + MINUTE, [1], 101, 99, 100, 1], "not a number"),
        ([T0 + MINUTE, None, 101, 99, 100, 1], ""),
        ([None, 100, 101, 99, 100, 1], ""),
        ([T0 + MINUTE + 0.5, 100, 101, 99, 100, 1], "whole number"),
        ([math.nan, 100, 101, 99, 100, 1], "whole number"),
        ([math.inf, 100, 101, 99, 100, 1], "whole number"),
        ([T0 + MINUTE, math.nan, 101, 99, 100, 1], "finite"),
        ([T0 + MINUTE, 100, math.inf, 99, 100, 1], "finite"),
        ([T0 + MINUTE, 100, 101, 99, 100, math.nan], "finite"),
        ([T0 + MINUTE, 0, 101, 99, 100, 1], "not positive"),
        ([T0 + MINUTE, 100, 101, -99, 100, 1], "not positive"),
        ([T0 + MINUTE, 100, 101, 99, 100, -1], "volume is negative"),
        ([T0 + MINUTE, 100, 99, 101, 100, 1], "high is below low"),
        ([T0 + MINUTE + 1, 100, 101, 99, 100, 1], "off the interval's grid"),
        ([10**400, 100, 101, 99, 100, 1], ""),
        ([T0 + MINUTE, 10**400, 101, 99, 100, 1], ""),
    ],
)
def test_a_bad_row_is_named_by_number(bad: Any, words: str) -> None:
    with pytest.raises(CandleDataError) as caught:
        clean([row(0), bad, row(2)])
    assert "row 1" in str(caught.value)
    assert "'memory', BTCUSDT 1m" in str(caught.value)
    assert words in str(caught.value)


def test_a_mapping_with_a_field_missing_is_named() -> None:
    short = as_mapping(row(1))
    del short["volume"]
    with pytest.raises(CandleDataError, match=r"row 1.*volume missing"):
        clean([as_mapping(row(0)), short])
    mixed: Any = [as_mapping(row(0)), row(1)]
    with pytest.raises(CandleDataError, match=r"row 1.*mix"):
        clean(mixed)


def test_zero_volume_is_fine() -> None:
    assert clean([row(0, volume=0.0)]).volume.tolist() == [0.0]


def test_unsorted_rows_are_sorted_and_equal_duplicates_dropped() -> None:
    rows = [row(2, 102), row(0), row(1, 101), row(0), row(2, 102)]
    assert clean(rows).close.tolist() == [100, 101, 102]


def test_two_different_candles_of_one_minute_are_an_error() -> None:
    with pytest.raises(CandleDataError, match="a second, different candle"):
        clean([row(0), row(1), row(0, 100.5)])


def test_anomalies_are_judged_by_the_median_of_preceding_closes() -> None:
    prices = [42_000.0] * 20
    with pytest.raises(CandleDataError, match=r"row 10.*median 42000"):
        clean([row(i, p if i != 10 else 2.0) for i, p in enumerate(prices)])
    # Not one of the first, for want of a median.
    assert len(clean([row(i, p if i != 3 else 2.0) for i, p in enumerate(prices)]).close) == 20
    # The factor is the bound: 42000 / 1000 itself passes.
    at_bound = [[T0 + i * MINUTE, p, p, p, p, 1.0] for i, p in enumerate(prices)]
    at_bound[10][1:5] = [42.0] * 4
    assert clean(at_bound).close[10] == 42
    at_bound[10][3] = 41.99
    with pytest.raises(CandleDataError, match="row 10"):
        clean(at_bound)


def test_a_real_crash_and_a_real_rise_pass() -> None:
    assert len(clean([row(i, 10_000 * 0.8**i) for i in range(25)]).close) == 25
    assert len(clean([row(i, 2.0 * 1.9**i) for i in range(25)]).close) == 25


def test_the_closes_before_count_for_the_first_rows() -> None:
    before = np.full(10, 42_000.0)
    for rows in ([row(0, 2.0)], [row(0, 2.0), row(1, 42_000.0)]):
        columns = to_columns(rows, SOURCE)
        with pytest.raises(CandleDataError, match="row 0"):
            cleaned(columns, SOURCE, MINUTE, Settings(), before)


junk = st.one_of(
    st.none(), st.booleans(), st.text(max_size=3), st.floats(), st.integers(),
    st.integers(-(10**400), 10**400), st.lists(st.integers(), max_size=2), st.just(b"x"),
    st.just(T0), st.just(T0 + MINUTE), st.just(100.0),
)  # fmt: skip
junk_row = st.one_of(
    junk, st.lists(junk, max_size=8), st.lists(junk, min_size=6, max_size=6),
    st.dictionaries(st.sampled_from(Candle._fields), junk),
    st.fixed_dictionaries(dict.fromkeys(Candle._fields, junk)),
    st.just(row(0)),
)  # fmt: skip


@settings(BUSY, max_examples=120)
@given(st.lists(junk_row, max_size=4))
def test_nonsense_gives_clean_bars_or_one_error_that_names_a_row(rows: list[Any]) -> None:
    try:
        columns = clean(rows)
    except CandleDataError as error:
        assert "row " in str(error)
        return
    assert (np.diff(columns.timestamp) > 0).all()
    assert (columns.timestamp % MINUTE == 0).all()
    for column in columns[1:5]:
        assert np.isfinite(column).all()
        assert (column > 0).all()
    assert (columns.high >= columns.low).all()
    assert (columns.volume >= 0).all()


def filled(rows: list[list[float]], most: int = 1440, step: int = MINUTE) -> Any:
    return fill(clean(rows, step), SOURCE, step, most)


def test_a_hole_is_filled_with_flat_bars_at_the_previous_close() -> None:
    made = filled([row(0, 100), row(3, 103)])
    bars = list(Candles(made.columns))
    flat_bars = [Candle(T0 + i * MINUTE, 100, 100, 100, 100, 0) for i in (1, 2)]
    assert bars == [Candle(*row(0, 100)), *flat_bars, Candle(*row(3, 103))]  # type: ignore[arg-type]
    assert made.real.tolist() == [True, False, False, True]


def test_the_longest_hole_that_is_filled() -> None:
    assert len(filled([row(0), row(11)], most=10).real) == 12
    with pytest.raises(DataGapError, match=r"00:01 UTC to 2024-01-01 00:12 UTC.*= 10"):
        filled([row(0), row(12)], most=10)


@settings(BUSY, max_examples=60)
@given(st.lists(st.integers(1, 9), max_size=30), st.data())
def test_filling_is_what_a_loop_does(jumps: list[int], data: st.DataObject) -> None:
    minutes = [0]
    for jump in jumps:
        minutes.append(minutes[-1] + jump)
    rows = [row(minute, data.draw(st.integers(50, 90))) for minute in minutes]
    known = {int(r[0]): r for r in rows}
    expected, last = [], rows[0]
    for minute in range(minutes[-1] + 1):
        stamp = T0 + minute * MINUTE
        last = known.get(stamp, [stamp, *[last[4]] * 4, 0.0])
        expected.append([float(value) for value in last])
    made = filled(rows)
    assert [[float(v) for v in bar] for bar in Candles(made.columns)] == expected
    assert made.real.tolist() == [T0 + m * MINUTE in known for m in range(minutes[-1] + 1)]


@settings(BUSY, max_examples=60)
@given(st.integers(0, 40), st.integers(0, 80), st.sampled_from((3, 5, 15)), st.data())
def test_resampling_makes_whole_groups_on_the_targets_grid(
    start: int, size: int, per: int, data: st.DataObject
) -> None:
    rows = [
        row(start + i, data.draw(st.integers(50, 90)), data.draw(st.integers(0, 3)))
        for i in range(size)
    ]
    if not rows:
        return
    real = np.array([data.draw(st.booleans()) for _ in rows])
    made = resampled(clean(rows), real, MINUTE, per * MINUTE)
    expected, flags = [], []
    for group in range(-(-start // per), (start + size) // per):
        part = [i for i, r in enumerate(rows) if (r[0] - T0) // MINUTE // per == group]
        assert len(part) == per
        chosen = [rows[i] for i in part]
        expected.append(
            Candle(
                T0 + group * per * MINUTE, chosen[0][1], max(r[2] for r in chosen),
                min(r[3] for r in chosen), chosen[-1][4], sum(r[5] for r in chosen),
            )
        )  # fmt: skip
        flags.append(any(real[i] for i in part))
    assert list(Candles(made.columns)) == expected
    assert made.real.tolist() == flags
