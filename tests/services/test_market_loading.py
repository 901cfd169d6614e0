"""Bad answers of an exchange, retries on the injected clock, and live loading."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from engine.domain.bars import Candle
from engine.domain.errors import (
    CandleDataError,
    DataGapError,
    EngineError,
    ExchangeError,
    NoDataError,
)
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings
from engine.domain.time import to_ms
from engine.services.clock import SimulatedClock
from engine.services.market import Market
from tests.services.market_bed import FAR, MINUTE, T0, MemoryExchange, row, window


def market_of(
    get_candles: Callable[..., Any],
    clock: SimulatedClock | None = None,
    horizon: int = 0,
    callbacks: dict[str, Any] | None = None,
    **changes: Any,
) -> Market:
    schema = ExchangeSchema(
        exchange_name="memory", get_candles=get_candles, intervals=("1m",),
        callbacks=callbacks or {},
    )  # fmt: skip
    return Market(schema, Settings().updated(changes), clock or SimulatedClock(FAR), horizon)


def answering(*answers: Any) -> Callable[..., Any]:
    """An exchange that gives these answers in turn, the last one for ever."""
    left = list(answers)

    def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, BaseException):
            raise answer
        if not isinstance(answer, list):
            return answer
        first = to_ms(since)
        return [r for r in answer if not isinstance(r, Candle) or r.timestamp >= first]

    return get_candles


async def ask(market: Market, minute: int = 20, limit: int = 20) -> list[Candle]:
    return list(await market.window("S", "1m", T0 + minute * MINUTE, limit))


GOOD = [row(minute) for minute in range(20)]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row(7)._replace(close=float("nan")), "row 7.*finite"),
        (row(7)._replace(low=None), "row 7"),  # type: ignore[arg-type]
        (row(7)._replace(open=-1.0), "row 7.*not positive"),
        (row(7)._replace(volume=-1.0), "row 7.*volume is negative"),
        (row(7)._replace(high=50.0), "row 7.*high is below low"),
        (row(7)._replace(timestamp=T0 + 7 * MINUTE + 500), "row 7.*off the interval's grid"),
        (row(7)._replace(close="text"), "row 7.*'text', not a number"),  # type: ignore[arg-type]
        (row(6)._replace(close=99.9), "second, different candle"),
        (row(7)._replace(low=0.001), "row 7.*median"),
    ],
)
async def test_a_bad_row_is_an_error_that_names_it(bad: Candle, words: str) -> None:
    rows = [*GOOD[:7], bad, *GOOD[8:]]
    market = market_of(answering(rows), horizon=T0 + 20 * MINUTE)
    with pytest.raises(CandleDataError, match=words):
        await ask(market)


@pytest.mark.parametrize("answer", [None, 5, "rows", {"rows": []}, object()])
async def test_an_answer_that_is_no_list(answer: Any) -> None:
    with pytest.raises(CandleDataError, match="instead of a list of candles"):
        await ask(market_of(answering(answer)))


async def test_harmless_disorder_is_repaired() -> None:
    shuffled = [*GOOD[10:], GOOD[3], *GOOD[:10], GOOD[15]]
    assert await ask(market_of(answering(shuffled))) == GOOD


async def test_an_async_exchange_is_awaited() -> None:
    async def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        await asyncio.sleep(0)
        return answering(GOOD)(symbol, interval, since, limit)

    assert await ask(market_of(get_candles)) == GOOD


async def test_a_hole_too_long_names_its_ends() -> None:
    rows = [row(0), row(1), row(2000)]
    market = market_of(answering(rows), horizon=T0 + 2001 * MINUTE)
    with pytest.raises(DataGapError, match="from 2024-01-01 00:02 UTC to 2024-01-02 09:20 UTC"):
        await ask(market, 2001, 2001)
    wider = market_of(answering(rows), horizon=T0 + 2001 * MINUTE, max_gap_minutes=1998)
    assert len(await ask(wider, 2001, 2001)) == 2001
    narrower = market_of(answering(rows), horizon=T0 + 2001 * MINUTE, max_gap_minutes=1997)
    with pytest.raises(DataGapError, match="max_gap_minutes = 1997"):
        await ask(narrower, 2001, 2001)


async def test_a_hole_found_while_going_forward_is_judged_like_any_other() -> None:
    rows = [row(0), row(1), row(1500)]
    market = MemoryExchange(rows, SimulatedClock(FAR)).market(horizon=T0 + 2 * MINUTE)
    assert await ask(market, 2, 2) == rows[:2]
    with pytest.raises(DataGapError):
        await ask(market, 1501, 2)


async def test_an_unknown_symbol_has_no_data() -> None:
    with pytest.raises(NoDataError, match=r"'memory', S 1m.*check the symbol"):
        await ask(market_of(answering([])))


async def test_a_bar_of_the_future_is_an_error_and_the_forming_one_is_left_out() -> None:
    clock = SimulatedClock(T0 + 20 * MINUTE + 10_000)
    forming = row(20, 9e9)
    assert await ask(market_of(answering([*GOOD, forming]), clock), 20) == GOOD
    ahead = row(22)
    with pytest.raises(CandleDataError, match=r"row 20 opens at 2024-01-01 00:22 UTC.*future"):
        await ask(market_of(answering([*GOOD, ahead]), clock), 20)


@pytest.mark.parametrize("tries", [0, 1, 3])
async def test_retries_wait_on_the_injected_clock(tries: int) -> None:
    clock = SimulatedClock(FAR)
    failures = [ConnectionError(f"number {n}") for n in range(tries)]
    changes: dict[str, Any] = {"get_candles_retry_count": tries, "get_candles_retry_delay_ms": 7000}
    market = market_of(answering(*failures, GOOD), clock, **changes)
    assert await ask(market) == GOOD
    assert clock.now() - FAR == tries * 7000
    broken = market_of(answering(*failures, ConnectionError("the last")), clock, **changes)
    before = clock.now()
    with pytest.raises(ExchangeError, match=rf"failed {tries + 1} times.*the last") as caught:
        await ask(broken)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert clock.now() - before == tries * 7000, "no pause after the last failure"


async def test_an_engine_error_of_an_exchange_is_its_last_word() -> None:
    calls = []

    def get_candles(*_: Any) -> Any:
        calls.append(1)
        raise EngineError("not listed here")

    with pytest.raises(EngineError, match="not listed here"):
        await ask(market_of(get_candles))
    assert len(calls) == 1


async def test_a_failure_leaves_the_market_as_it_was() -> None:
    exchange = MemoryExchange(GOOD, SimulatedClock(FAR))
    broken = [False]

    def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        if broken[0]:
            raise ConnectionError("gone")
        return exchange.get_candles(symbol, interval, since, limit)

    market = market_of(get_candles, exchange.clock, get_candles_retry_count=0)
    assert await ask(market, 10, 3) == GOOD[7:10]
    broken[0] = True
    with pytest.raises(ExchangeError):
        await ask(market, 20, 3)
    assert await ask(market, 10, 3) == GOOD[7:10]
    broken[0] = False
    assert await ask(market, 20, 20) == GOOD


async def test_the_candle_callback_gets_clean_rows_and_cannot_break_a_run() -> None:
    clock = SimulatedClock(T0 + 20 * MINUTE + 10_000)
    seen: list[Any] = []

    def on_candle_data(
        symbol: str, interval: str, since: datetime, limit: int, candles: Any
    ) -> None:
        seen.extend(candle[0] for candle in candles)
        raise ValueError("mine")

    market = market_of(
        answering([*GOOD, row(20, 9e9)]), clock, callbacks={"on_candle_data": on_candle_data}
    )
    assert await ask(market) == GOOD
    assert clock.now() == T0 + 20 * MINUTE + 10_000, "nothing was tried again"
    assert seen
    assert max(seen) == GOOD[-1].timestamp, "the forming bar is no candle yet"


# -- live --------------------------------------------------------------------------------------


class Feed:
    """A live exchange: rows appear ``delay`` seconds after they close, or never."""

    def __init__(self, clock: SimulatedClock, **delays: float | None) -> None:
        self.clock = clock
        self.delays = {int(name[1:]): delay for name, delay in delays.items()}
        self.calls: list[int] = []

    def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Any:
        self.calls.append(self.clock.now())
        first = (to_ms(since) - T0) // MINUTE
        found = []
        for minute in range(max(first, -50), (self.clock.now() - T0) // MINUTE):
            delay = self.delays.get(minute, 0.0)
            if delay is not None and T0 + (minute + 1) * MINUTE + delay * 1000 <= self.clock.now():
                found.append(row(minute, 100 + minute))
        return found[:limit]


async def test_a_bar_that_is_there_costs_one_request() -> None:
    clock = SimulatedClock(T0)
    feed = Feed(clock)
    market = market_of(feed.get_candles, clock)
    with clock.working():
        assert await market.advance("S", T0)
        for minute in range(1, 4):
            await clock.sleep_until(T0 + minute * MINUTE)
            feed.calls.clear()
            assert await market.advance("S", clock.now())
            assert await market.advance("S", clock.now())
            assert len(feed.calls) == 1
    assert market.minutes("S").end == T0 + 3 * MINUTE


async def test_a_late_bar_is_polled_for_until_it_comes() -> None:
    clock = SimulatedClock(T0)
    feed = Feed(clock, m0=17.0)
    market = market_of(feed.get_candles, clock)
    with clock.working():
        assert await market.advance("S", T0)
        await clock.sleep_until(T0 + MINUTE)
        assert await market.advance("S", T0 + MINUTE)
        assert 17_000 <= clock.now() - T0 - MINUTE <= 20_000
        assert len(feed.calls) < 20


async def test_a_missing_bar_is_late_until_a_newer_one_exists_and_filled_then() -> None:
    clock = SimulatedClock(T0)
    feed = Feed(clock, m0=None)
    market = market_of(feed.get_candles, clock)
    with clock.working():
        assert await market.advance("S", T0)
        await clock.sleep_until(T0 + MINUTE)
        assert not await market.advance("S", T0 + MINUTE)
        assert clock.now() == T0 + 2 * MINUTE, "the next minute began"
        series = market.minutes("S")
        assert series.end == T0, "not filled while nothing newer exists"
        found = await market.window("S", "1m", T0 + MINUTE, 3)
        assert found.timestamp[-1] == T0 - MINUTE
        assert await market.advance("S", T0 + 2 * MINUTE)
        assert series.end == T0 + 2 * MINUTE
        assert series.real[series.size - 2 : series.size].tolist() == [False, True]
        bars = list(await market.window("S", "1m", T0 + 2 * MINUTE, 3))
        assert bars == window([row(-1, 99), row(1, 101)], "1m", T0 + 2 * MINUTE, 3)


async def test_a_bar_that_comes_after_it_was_filled_changes_nothing() -> None:
    clock = SimulatedClock(T0)
    feed = Feed(clock, m0=90.0)
    market = market_of(feed.get_candles, clock)
    with clock.working():
        await market.advance("S", T0)
        await clock.sleep_until(T0 + 2 * MINUTE)
        assert await market.advance("S", T0 + 2 * MINUTE)
        before = list(await market.window("S", "1m", T0 + 2 * MINUTE, 3))
        await clock.sleep_until(T0 + 3 * MINUTE)
        assert await market.advance("S", T0 + 3 * MINUTE)
        assert list(await market.window("S", "1m", T0 + 2 * MINUTE, 3)) == before
        assert before[-2].volume == 0


async def test_many_runs_share_one_request_and_its_failure() -> None:
    clock = SimulatedClock(T0)
    feed = Feed(clock)
    broken = [False]

    async def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        found = feed.get_candles(symbol, interval, since, limit)
        await clock.sleep_until(clock.now() + 400)
        if broken[0]:
            raise ConnectionError("gone")
        return found

    market = market_of(get_candles, clock, get_candles_retry_count=0)
    await market.advance("S", T0)
    with clock.working():
        await clock.sleep_until(T0 + MINUTE)
        feed.calls.clear()
        with clock.waiting():
            arrived = await asyncio.gather(*(market.advance("S", T0 + MINUTE) for _ in range(50)))
        assert arrived == [True] * 50
        assert len(feed.calls) == 1
        await clock.sleep_until(T0 + 2 * MINUTE)
        broken[0] = True
        with clock.waiting():
            failed = await asyncio.gather(
                *(market.advance("S", T0 + 2 * MINUTE) for _ in range(5)), return_exceptions=True
            )
        assert all(isinstance(error, ExchangeError) for error in failed)
        broken[0] = False
        assert await market.advance("S", T0 + 2 * MINUTE), "the next one asks again"


async def test_a_run_that_waits_for_a_later_minute_is_not_told_of_an_earlier_one() -> None:
    clock = SimulatedClock(T0)
    feed = Feed(clock)
    hang = [0]

    async def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        found = feed.get_candles(symbol, interval, since, limit)
        pause, hang[0] = hang[0], 0
        await clock.sleep_until(clock.now() + pause * 1000)
        return found

    market = market_of(get_candles, clock)
    await market.advance("S", T0)
    with clock.working():
        await clock.sleep_until(T0 + MINUTE)
        hang[0] = 70
        slow = asyncio.create_task(market.advance("S", T0 + MINUTE))
        await clock.sleep_until(T0 + 2 * MINUTE + 5_000)
        assert await market.advance("S", T0 + 2 * MINUTE)
        assert market.minutes("S").end == T0 + 2 * MINUTE
        with clock.waiting():
            assert not await slow, "it came when its minute was over"
