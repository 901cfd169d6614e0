"""A series grows at both ends and stays what one load would have made it."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.candles import Filled
from engine.core.pricing import vwap_series
from engine.domain.bars import Candles, Columns, select
from engine.services.series import BarSeries

BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine makes no example a failure."""

MINUTE = 60_000
FIRST = 1_704_067_200_000


def bars(size: int, seed: int) -> Filled:
    rng = np.random.default_rng(seed)
    close = rng.uniform(50, 150, size)
    columns = Columns(
        FIRST + np.arange(size, dtype=np.int64) * MINUTE,
        rng.uniform(50, 150, size), close + 1, close - 1, close,
        np.where(rng.random(size) < 0.4, 0.0, rng.uniform(0, 10, size)),
    )  # fmt: skip
    return Filled(columns, rng.random(size) < 0.7)


def part(whole: Filled, start: int, stop: int) -> Filled:
    return Filled(select(whole.columns, slice(start, stop)), whole.real[start:stop])


@settings(BUSY, max_examples=60)
@given(
    st.integers(1, 300), st.integers(0, 100), st.integers(1, 7),
    st.lists(st.tuples(st.booleans(), st.sampled_from((1, 1, 2, 3, 4, 50))), max_size=25),
    st.data(),
)  # fmt: skip
def test_growing_in_steps_is_loading_at_once(
    size: int, seed: int, vwap_window: int, steps: list[tuple[bool, int]], data: st.DataObject
) -> None:
    whole = bars(size, seed)
    start = data.draw(st.integers(0, size - 1))
    series, stop = BarSeries(MINUTE, 0, vwap_window), start + 1
    series.append(part(whole, start, stop))
    for backwards, count in steps:
        if backwards:
            first = max(0, start - count)
            if first < start:
                series.prepend(part(whole, first, start))
            start = first
        else:
            last = min(size, stop + count)
            series.append(part(whole, stop, last))
            stop = last
    assert series.first == FIRST + start * MINUTE
    assert series.end == FIRST + stop * MINUTE
    made = Candles(series.columns, 0, series.size)
    assert made == Candles(part(whole, start, stop).columns)
    assert series.real[: series.size].tolist() == whole.real[start:stop].tolist()
    cut = part(whole, start, stop).columns
    expected = vwap_series(cut.high, cut.low, cut.close, cut.volume, vwap_window)
    # To the bit, whatever pieces it came in: a prefix of the window is older history alone.
    assert series.vwap[: series.size].tolist() == expected.tolist()


def test_bars_carry_both_prices_and_their_closing_instant() -> None:
    whole = bars(10, 3)
    series = BarSeries(MINUTE, 0, 5)
    series.append(whole)
    bar = series.bar(4, market_is_vwap=False)
    assert bar.at == FIRST + 5 * MINUTE
    assert bar.market == bar.close == whole.columns.close[4]
    assert bar.vwap == series.vwap[4]
    assert series.bar(4, market_is_vwap=True).market == bar.vwap


def test_how_many_bars_have_closed() -> None:
    series = BarSeries(MINUTE, 0, 0)
    series.append(bars(10, 3))
    assert [series.closed(FIRST + m * MINUTE) for m in (-5, 0, 1, 9, 10, 99)] == [
        0,
        0,
        1,
        9,
        10,
        10,
    ]
    assert series.closed(FIRST + 2 * MINUTE - 1) == 1


def test_the_hash_is_of_real_bars_in_the_range_and_of_nothing_else() -> None:
    whole = bars(50, 5)
    end = FIRST + 40 * MINUTE

    def digest(made: Filled, start: int = FIRST + 10 * MINUTE) -> str:
        series = BarSeries(MINUTE, 0, 5)
        series.append(made)
        return series.sha256(start, end)

    at_once = digest(whole)
    series = BarSeries(MINUTE, 0, 5)
    series.append(part(whole, 10, 45))
    series.prepend(part(whole, 3, 10))
    assert series.sha256(FIRST + 10 * MINUTE, end) == at_once
    assert digest(whole, FIRST + 11 * MINUTE) != at_once or not whole.real[10]
    changed = whole.columns.close.copy()
    at = int(np.flatnonzero(whole.real[10:40])[0]) + 10
    changed[at] += 1e-9
    assert digest(Filled(whole.columns._replace(close=changed), whole.real)) != at_once
    filler = int(np.flatnonzero(~whole.real[10:40])[0]) + 10
    changed = whole.columns.close.copy()
    changed[filler] += 1
    assert digest(Filled(whole.columns._replace(close=changed), whole.real)) == at_once


def test_counting_filled_bars() -> None:
    whole = bars(50, 5)
    series = BarSeries(MINUTE, 0, 0)
    series.append(whole)
    expected = int((~whole.real[10:20]).sum())
    assert series.filled_between(FIRST + 10 * MINUTE, FIRST + 20 * MINUTE) == expected
    assert series.filled_between(FIRST - 99 * MINUTE, FIRST) == 0
    total = int((~whole.real).sum())
    assert series.filled_between(FIRST - 99 * MINUTE, FIRST + 999 * MINUTE) == total


@settings(BUSY, max_examples=60)
@given(
    st.integers(20, 300), st.integers(0, 100), st.integers(1, 7), st.integers(1, 8),
    st.integers(0, 5), st.lists(st.sampled_from((1, 1, 2, 3, 30)), max_size=40),
)  # fmt: skip
def test_a_trimmed_series_is_bounded_and_its_newest_bars_are_untouched(
    size: int, seed: int, vwap_window: int, spare: int, wanted: int, steps: list[int]
) -> None:
    whole = bars(size, seed)
    plain, trimmed = BarSeries(MINUTE, 0, vwap_window), BarSeries(MINUTE, 0, vwap_window)
    trimmed.wanted, stop = wanted, 0
    keep = max(2 * wanted + spare, vwap_window)
    for count in (1, *steps):
        last = min(size, stop + count)
        for series in (plain, trimmed):
            series.append(part(whole, stop, last))
        stop = last
        window = trimmed.window(trimmed.end, 1)
        dropped = trimmed.trim(spare)
        assert trimmed.size < 2 * keep and (not dropped or trimmed.size == keep)
        assert not (dropped and trimmed.at_start)
        assert trimmed.end == plain.end
        assert window is not None and window[0] == trimmed.window(trimmed.end, 1)[0]  # type: ignore[index]
        count = trimmed.size
        assert trimmed.window(trimmed.end, count) == plain.window(plain.end, count)
        assert trimmed.vwap[:count].tolist() == plain.vwap[stop - count : stop].tolist()
        assert trimmed.real[:count].tolist() == plain.real[stop - count : stop].tolist()
        if dropped:
            assert trimmed.window(trimmed.end, keep + 1) is None, "older ones are loaded again"
