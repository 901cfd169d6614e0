"""Live minutes: asked for once, late, missing, back again; and what is told of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from engine.domain.bars import Candle, interval_ms
from engine.domain.bars import CandleKey as Source
from engine.domain.errors import DataGapError, ExchangeError
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings
from engine.domain.time import to_ms
from engine.services.clock import SimulatedClock
from engine.services.market import Market
from tests.services.market_bed import MINUTE, T0, grouped, row


class Exchange:
    """Bars that appear when they are told to, and an exchange that can be out of order.

    Attributes:
        rows: one-minute bars.
        delays: seconds after its close at which a minute appears, by minute; at once otherwise.
        higher_delay: the same for bars of higher intervals.
        broken: raises instead of answering.
        calls: what was asked: interval, second after T0, limit.
    """

    def __init__(self, rows: Sequence[Candle]) -> None:
        self.clock = SimulatedClock(T0)
        self.rows = list(rows)
        self.delays: dict[int, float] = {}
        self.higher_delay = 0.0
        self.broken = False
        self.calls: list[tuple[str, float, int]] = []

    async def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Any:
        now = self.clock.now()
        self.calls.append((interval, (now - T0) / 1000, limit))
        await asyncio.sleep(0)
        if self.broken:
            raise ConnectionError("no route to host")
        step = interval_ms(interval)
        shown = [r for r in self.rows if self._appears(r) <= now]
        if interval != "1m":
            shown = [r for r in grouped(shown, step) if r.timestamp + step <= now - self._late_ms()]
        return [r for r in shown if r.timestamp >= to_ms(since)][:limit]

    def _appears(self, candle: Candle) -> float:
        minute = (candle.timestamp - T0) // MINUTE
        return candle.timestamp + MINUTE + self.delays.get(minute, 0.0) * 1000

    def _late_ms(self) -> float:
        return self.higher_delay * 1000

    def market(self, **how: Any) -> Market:
        schema = ExchangeSchema(
            exchange_name="memory", get_candles=self.get_candles, intervals=("1m", "15m")
        )
        settings = Settings().updated({"get_candles_retry_count": 0})
        return Market(schema, settings, self.clock, **how)

    def minutes(self, after: int) -> list[float]:
        """Seconds after a minute at which bars of it were asked for until the next one."""
        return [at - after * 60 for _, at, _ in self.calls if 0 <= at - after * 60 < 60]


def bars(start: int, stop: int) -> list[Candle]:
    return [row(minute, 100 + minute % 7) for minute in range(start, stop)]


async def at(exchange: Exchange, minute: float) -> int:
    """Let time move to a minute after T0; the whole minute it is in."""
    await exchange.clock.sleep_until(T0 + int(minute * MINUTE))
    return T0 + int(minute) * MINUTE


# -- late bars ---------------------------------------------------------------------------------


async def test_a_bar_that_comes_after_its_minute_was_filled_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exchange = Exchange(bars(-50, 60))
    exchange.delays = {1: 150}
    market = exchange.market()
    with exchange.clock.working(), caplog.at_level(logging.WARNING, "signaldeck.market"):
        for minute in range(8):
            await market.advance("S", await at(exchange, minute))
        series = market.minutes("S")
        assert not series.real[series.closed(T0 + 2 * MINUTE) - 1]
        assert series.real[series.closed(T0 + 3 * MINUTE) - 1 : series.size].all()
    [warning] = [r.getMessage() for r in caplog.records]
    assert warning.startswith("exchange 'memory', S 1m: the bar of 2024-01-01 00:01 UTC came after")
    assert "it is ignored" in warning
    assert exchange.minutes(5) == exchange.minutes(6) == [0.0], "looking out costs no request"


async def test_a_symbol_that_is_late_for_long_is_asked_less_often() -> None:
    exchange = Exchange(bars(-50, 2))
    market = exchange.market()
    with exchange.clock.working():
        for minute in range(6):
            when = await at(exchange, minute)
            arrived = await market.advance("S", when)
            market.feed.note("S", when, stale=not arrived)
    assert 25 <= len(exchange.minutes(3)) <= 35
    assert 7 <= len(exchange.minutes(4)) <= 12
    assert exchange.minutes(4)[0] == 0


async def test_news_is_news_once() -> None:
    feed = Exchange([]).market().feed
    assert not feed.note("S", T0, stale=False), "nobody thought that it was late"
    assert feed.note("S", T0 + MINUTE, stale=True)
    assert not feed.note("S", T0 + MINUTE, stale=True)
    assert feed.note("S", T0 + 2 * MINUTE, stale=False)
    assert not feed.note("S", T0 + MINUTE, stale=True), "a run that speaks of an earlier minute"
    assert feed.note("OTHER", T0 + MINUTE, stale=True)
    first, second = ExchangeError("the same words"), ExchangeError("the same words")
    assert [feed.is_news("S", error) for error in (first, first, second, first)] == [
        True, False, True, False,
    ]  # fmt: skip


# -- what many wait for ------------------------------------------------------------------------


async def test_an_alarm_ends_the_wait_and_not_the_poll() -> None:
    exchange = Exchange(bars(-50, 60))
    exchange.delays = {0: 20}
    market = exchange.market()
    with exchange.clock.working():
        await market.advance("S", T0)
        when = await at(exchange, 1)
        alarm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waits = asyncio.create_task(market.feed.advance("S", when, None, alarm))
        other = asyncio.create_task(market.feed.advance("S", when))
        await exchange.clock.sleep_until(when + 5_000)
        alarm.set_result(None)
        with exchange.clock.waiting():
            assert await waits is None
        assert exchange.clock.now() == when + 5_000
        with exchange.clock.waiting():
            assert await other is True
        assert 20_000 <= exchange.clock.now() - when <= 22_000


async def test_runs_that_were_away_share_one_question_and_its_failure() -> None:
    exchange = Exchange(bars(-3000, 60))
    market = exchange.market()
    since = T0 - 2500 * MINUTE
    exchange.broken = True
    with exchange.clock.working(), exchange.clock.waiting():
        waiting = [market.advance("S", T0, since + n * MINUTE) for n in range(5)]
        failed = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(failed[0], ExchangeError)
    assert all(error is failed[0] for error in failed)
    assert len(exchange.calls) == 1


async def test_nobody_goes_on_with_less_history_than_asked_for() -> None:
    """A run that joins a question of another, which needs less, asks for the rest itself."""
    exchange = Exchange(bars(-5000, 60))
    market = exchange.market()
    with exchange.clock.working(), exchange.clock.waiting():
        arrived = await asyncio.gather(
            market.advance("S", T0, T0), market.advance("S", T0, T0 - 4000 * MINUTE)
        )
    assert arrived == [True, True]
    assert market.minutes("S").first <= T0 - 4005 * MINUTE


@pytest.mark.parametrize(("offset", "asked"), [(-3000, 3.0), (3000, 0.0), (0, 0.0), (None, 0.0)])
async def test_an_exchange_that_is_behind_is_asked_when_it_can_know(
    offset: int | None, asked: float
) -> None:
    exchange = Exchange(bars(-50, 60))
    exchange.delays = dict.fromkeys(range(10), max(0, -(offset or 0)) / 1000)

    async def clock_offset() -> int | None:
        return offset

    market = exchange.market(clock_offset=clock_offset)
    with exchange.clock.working():
        for minute in range(4):
            assert await market.advance("S", await at(exchange, minute))
    assert exchange.minutes(2) == exchange.minutes(3) == [asked]


# -- holes -------------------------------------------------------------------------------------

HOLED = [*bars(-50, 3), *bars(3000, 3010)]


async def test_a_long_hole_is_told_of_and_ends_nothing() -> None:
    exchange = Exchange(HOLED)
    told: list[tuple[Exception, Source]] = []
    market = exchange.market(holed=lambda error, source: told.append((error, source)))
    with exchange.clock.working():
        await market.advance("S", await at(exchange, 2))
        assert await market.advance("S", await at(exchange, 3001))
        series = market.minutes("S")
        assert series.size == 3051, "nothing is dropped before runs have settled it"
        assert int((~series.real[: series.size]).sum()) == 2997
        for minute in range(3002, 3004):
            assert await market.advance("S", await at(exchange, minute))
    assert series.size < 3000 and series.end == market.minutes("S").end
    [(error, source)] = told
    assert isinstance(error, DataGapError)
    assert source == Source("memory", "S", "1m")
    assert str(error).startswith(
        "exchange 'memory', S 1m: no candles from 2024-01-01 00:03 UTC to 2024-01-03 02:00 UTC, "
        "2997 minutes (max_gap_minutes = 1440): the runs go on"
    )


async def test_a_run_that_comes_back_after_a_long_hole_is_not_kept_out() -> None:
    exchange = Exchange(HOLED)
    told: list[Exception] = []
    market = exchange.market(holed=lambda error, source: told.append(error))
    with exchange.clock.working():
        when = await at(exchange, 3005)
        assert await market.advance("S", when, T0)
    assert market.minutes("S").first <= T0
    assert len(told) == 1


# -- higher intervals --------------------------------------------------------------------------


async def quarters(market: Market, when: int, limit: int = 2) -> list[int]:
    found = await market.window("S", "15m", when, limit)
    return [(int(stamp) - T0) // MINUTE for stamp in found.timestamp]


async def test_a_late_bar_of_a_higher_interval_is_waited_for_by_all_at_once() -> None:
    exchange = Exchange(bars(-3000, 60))
    market = exchange.market()
    with exchange.clock.working():
        assert await quarters(market, T0) == [-30, -15]
        exchange.higher_delay = 5.0
        when = await at(exchange, 15)
        await market.advance("S", when)
        exchange.calls.clear()
        with exchange.clock.waiting():
            seen = await asyncio.gather(*(quarters(market, when) for _ in range(4)))
        assert seen == [[-15, 0]] * 4
        assert 5_000 <= exchange.clock.now() - when <= 7_000
        assert len([1 for interval, _, _ in exchange.calls if interval == "15m"]) <= 10


async def test_a_bar_of_a_higher_interval_that_does_not_come_is_an_error() -> None:
    exchange = Exchange(bars(-3000, 60))
    market = exchange.market()
    with exchange.clock.working():
        await quarters(market, T0)
        exchange.higher_delay = 500.0
        when = await at(exchange, 15)
        with pytest.raises(ExchangeError, match=r"S 15m: the bar that closed at .*:15 UTC has not"):
            await quarters(market, when)
        assert exchange.clock.now() == when + MINUTE


async def test_an_interval_without_any_trade_is_flat_at_once() -> None:
    exchange = Exchange([*bars(-3000, 15), *bars(33, 60)])
    market = exchange.market()
    with exchange.clock.working():
        when = await at(exchange, 15)
        assert await quarters(market, when, 1) == [0]
        when = await at(exchange, 34)
        found = await market.window("S", "15m", when, 2)
        assert exchange.clock.now() == when, "nothing was waited for"
    assert list(found.timestamp) == [T0, T0 + 15 * MINUTE]
    assert found.volume[1] == 0 and found.open[1] == found.close[1] == found.close[0]
