"""The closed-bar rule, and that windows do not depend on how or when bars were loaded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.bars import CANDLE_INTERVALS, Candle, interval_ms
from engine.domain.errors import EngineError, SchemaError
from engine.services.clock import SimulatedClock
from tests.services.market_bed import (
    FAR,
    MINUTE,
    T0,
    MemoryExchange,
    filled,
    grouped,
    row,
    window,
)

BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine makes no example a failure."""

INTERVALS = st.sampled_from(("1m", "1m", "3m", "5m", "15m"))


@st.composite
def histories(draw: st.DrawFn, most: int = 200) -> list[Candle]:
    jumps = draw(st.lists(st.sampled_from((1, 1, 1, 1, 2, 4, 17)), max_size=most))
    minute, found = draw(st.integers(0, 7)), []
    for number, jump in enumerate([0, *jumps]):
        minute += jump
        found.append(row(minute, 100 + number % 13, number % 3))
    return found


manners = st.fixed_dictionaries(
    {
        "page": st.sampled_from((1, 3, 50, 10_000)),
        "ignores_limit": st.booleans(),
        "earlier": st.sampled_from((0, 0, 2, 500)),
        "others": st.sampled_from(("raise", "empty")),
    }
)


@settings(BUSY, max_examples=100)
@given(histories(), manners, st.booleans(), st.data())
def test_windows_are_those_of_all_bars_loaded_at_once(
    rows: list[Candle], how: dict[str, Any], known: bool, data: st.DataObject
) -> None:
    """In any order of asking, from any exchange, whether it says what it serves or not."""
    first, last = ((rows[at].timestamp - T0) // MINUTE for at in (0, -1))
    questions = data.draw(
        st.lists(
            st.tuples(INTERVALS, st.integers(first + 1, last + 40), st.integers(1, 120)),
            min_size=1, max_size=8,
        )
    )  # fmt: skip

    async def check() -> None:
        exchange = MemoryExchange(rows, SimulatedClock(FAR), **how)
        market = exchange.market(
            served=("1m",) if known else None, horizon=T0 + (last + 1) * MINUTE
        )
        for interval, minute, limit in questions:
            when = T0 + minute * MINUTE
            expected = window(rows, interval, when, limit)
            found = await market.window("S", interval, when, limit)
            assert list(found) == expected
            # What is remembered is the same, or is not remembered.
            again = market.cached_window("S", interval, when, limit)
            assert again is None or list(again) == expected

    asyncio.run(check())


@settings(BUSY, max_examples=60)
@given(histories(), manners, st.sampled_from(("3m", "5m", "1h")), st.data())
def test_served_intervals_are_handed_out_as_the_exchange_makes_them(
    rows: list[Candle], how: dict[str, Any], interval: str, data: st.DataObject
) -> None:
    step = interval_ms(interval)
    served = filled(grouped(rows, step), step)
    first, last = ((rows[at].timestamp - T0) // MINUTE for at in (0, -1))
    minutes = data.draw(st.lists(st.integers(first + 70, last + 70), min_size=1, max_size=5))

    async def check() -> None:
        exchange = MemoryExchange(rows, SimulatedClock(FAR), **{**how, "others": "serve"})
        market = exchange.market(served=("1m", interval), horizon=T0 + (last + 100) * MINUTE)
        for minute in minutes:
            when = T0 + minute * MINUTE
            expected = [c for c in served if c.timestamp + step <= when][-7:]
            assert list(await market.window("S", interval, when, 7)) == expected

    asyncio.run(check())


def closed_by(rows: list[Candle], when: int) -> list[Candle]:
    return [candle for candle in rows if candle.timestamp + MINUTE <= when]


@settings(BUSY, max_examples=60)
@given(
    histories(most=60), st.sampled_from((1, 3, 10_000)), st.booleans(),
    st.sampled_from(("raise", "serve", "empty")), st.booleans(), st.data(),
)  # fmt: skip
def test_on_a_moving_clock_nothing_open_is_ever_seen(
    rows: list[Candle], page: int, known: bool, others: str, ignores: bool, data: st.DataObject
) -> None:
    """The exchange adds the forming bar, of wild prices, to every answer."""
    steps = data.draw(st.lists(st.integers(1, 9 * 60), min_size=1, max_size=8))

    async def check() -> None:
        clock = SimulatedClock(rows[0].timestamp + MINUTE)
        exchange = MemoryExchange(
            rows, clock, page=page, forming=True, others=others, ignores_limit=ignores
        )
        served = ["1m", *(("5m", "15m") if others == "serve" else ())] if known else None
        market = exchange.market(served=served)
        for seconds in steps:
            await clock.sleep_until(clock.now() + seconds * 1000)
            when = clock.now() // MINUTE * MINUTE
            for interval in ("1m", "5m", "15m"):
                step = interval_ms(interval)
                if interval != "1m" and when // step * step <= rows[0].timestamp:
                    continue  # not one has closed yet
                found = await market.window("S", interval, when, 9)
                if interval == "1m":
                    assert list(found) == window(closed_by(rows, when), "1m", when, 9)
                assert all(c.timestamp + step <= when for c in found)
                assert all(c.high < 1000 for c in found)
                stamps = [c.timestamp for c in found]
                assert all(stamp % step == 0 for stamp in stamps)
                assert stamps == list(range(stamps[0], stamps[-1] + step, step)) if stamps else True

    asyncio.run(check())


@pytest.mark.parametrize("interval", CANDLE_INTERVALS)
@pytest.mark.parametrize("served", [True, False])
async def test_the_newest_bar_is_the_one_that_closed_last(interval: str, served: bool) -> None:
    """At 10:24 the newest visible 1h bar is the one opened at 09:00."""
    rows = [row(minute, 100 + minute % 7) for minute in range(-3000, 3000)]
    exchange = MemoryExchange(rows, SimulatedClock(FAR), others="serve" if served else "raise")
    market = exchange.market(
        served=("1m", interval) if served else ("1m",), horizon=T0 + 3000 * MINUTE
    )
    step = interval_ms(interval)
    for minute in (624, 625, 720, 959, 960, 961):
        when = T0 + minute * MINUTE
        found = await market.window("S", interval, when, 3)
        newest = when // step * step - step
        assert found.timestamp.tolist() == [newest - 2 * step, newest - step, newest]
        assert list(found) == window(rows, interval, when, 3)


async def test_fewer_bars_only_where_history_starts() -> None:
    rows = [row(minute) for minute in range(100)]
    market = MemoryExchange(rows, SimulatedClock(FAR)).market(horizon=T0 + 100 * MINUTE)
    at = T0 + 50 * MINUTE
    assert len(await market.window("S", "1m", at, 50)) == 50
    assert len(await market.window("S", "1m", at, 51)) == 50
    assert len(await market.window("S", "1m", at, 5000)) == 50
    assert len(await market.window("S", "5m", at, 5000)) == 10
    assert len(await market.window("S", "1h", at, 3)) == 0
    assert len(await market.window("S", "1m", at, 1)) == 1


async def test_a_question_before_history_gives_no_bars() -> None:
    rows = [row(minute) for minute in range(100)]
    market = MemoryExchange(rows, SimulatedClock(FAR)).market(horizon=T0 + 100 * MINUTE)
    assert len(await market.window("S", "1m", T0 - 5 * MINUTE, 10)) == 0
    assert len(await market.window("S", "1m", T0, 10)) == 0
    assert len(await market.window("S", "1m", T0 + MINUTE, 10)) == 1


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_limit_below_one_is_an_error(limit: int) -> None:
    market = MemoryExchange([row(0)], SimulatedClock(FAR)).market()
    with pytest.raises(EngineError, match=f"limit is {limit}: must be at least 1"):
        await market.window("S", "1m", T0 + 10 * MINUTE, limit)


@pytest.mark.parametrize("interval", ["7m", "1d", "", "1M"])
async def test_an_unknown_interval_is_an_error(interval: str) -> None:
    market = MemoryExchange([row(0)], SimulatedClock(FAR)).market()
    with pytest.raises(SchemaError, match="unknown: use one of 1m, 3m"):
        await market.window("S", interval, T0 + 10 * MINUTE, 5)


async def test_an_exchange_that_ignores_the_interval_is_found_out_whatever_is_asked() -> None:
    rows = [row(minute, 100 + minute) for minute in range(100)]
    for limits in ((1,), (1, 2, 5), (2, 1), (5, 1)):
        exchange = MemoryExchange(rows, SimulatedClock(T0 + 60 * MINUTE), others="minutes")
        market = exchange.market(served=None)
        for limit in limits:
            found = await market.window("S", "5m", T0 + 60 * MINUTE, limit)
            assert list(found) == window(rows, "5m", T0 + 60 * MINUTE, limit), limits


async def test_a_window_stays_what_it_was_when_more_is_loaded() -> None:
    rows = [row(minute, 100 + minute % 50) for minute in range(3000)]
    clock = SimulatedClock(T0 + 2000 * MINUTE)
    market = MemoryExchange(rows, clock).market()
    early = await market.window("S", "1m", clock.now(), 5)
    before = list(early)
    await market.window("S", "1m", clock.now(), 1900)  # older
    await clock.sleep_until(T0 + 2900 * MINUTE)
    await market.window("S", "1m", clock.now(), 5)  # newer
    assert list(early) == before


async def test_the_vwap_of_a_foreign_symbol_covers_the_whole_window() -> None:
    """Loading one bar must not make the average price that of one bar."""
    rows = [row(minute, 100 + 10 * minute) for minute in range(100)]
    exchange = MemoryExchange(rows, SimulatedClock(FAR))
    market, at = exchange.market(horizon=T0 + 100 * MINUTE), T0 + 50 * MINUTE
    await market.window("S", "1m", at, 1)
    price = market.vwap("S", at)
    closed = rows[45:50]
    full = sum((c.high + c.low + c.close) / 3 for c in closed) / 5
    assert price is None or price == pytest.approx(full), "either not known, or right"


async def test_hundreds_of_rows_come_page_by_page_and_each_page_once() -> None:
    rows = [row(minute) for minute in range(2500)]
    exchange = MemoryExchange(rows, SimulatedClock(FAR), page=500)
    market = exchange.market(horizon=T0 + 2500 * MINUTE)
    assert len(await market.window("S", "1m", T0 + 2500 * MINUTE, 2500)) == 2500
    inside = [since for _, since, _ in exchange.calls if 0 <= since < 2500]
    assert inside == [0, 500, 1000, 1500, 2000]
    assert all(limit <= 1000 for _, since, limit in exchange.calls if 0 <= since < 2500)
