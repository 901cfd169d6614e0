"""An exchange's clock is known before its bars are taken, and measured again after a failure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from engine.domain.time import to_ms
from tests.runs.bed import MINUTE, T0, Bed, bed, flat


class Exchange:
    """Tells its time, unless it fails; notes what it was asked and at which second."""

    def __init__(self, offset: int | None) -> None:
        self.offset = offset
        self.fails_until = -1.0
        self.asked: list[tuple[str, float]] = []
        self.made: Bed | None = None

    @property
    def second(self) -> float:
        assert self.made is not None
        return (self.made.engine.clock.now() - T0) / 1000

    async def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Any:
        self.asked.append(("candles", self.second))
        now = T0 + self.second * 1000 + (self.offset or 0)
        rows = [r for r in flat(-20, 200) if r[0] >= to_ms(since) and r[0] <= now]
        if rows and rows[-1][0] + MINUTE > now:
            rows[-1] = [rows[-1][0], 100.0, 100.0, 99.0, 99.0, 0.5]  # it is forming
        return rows[:limit]

    async def clock_offset(self) -> int | None:
        self.asked.append(("time", self.second))
        if self.second <= self.fails_until:
            raise ConnectionError("no time for you")
        return self.offset

    def times(self, what: str) -> list[float]:
        return [second for name, second in self.asked if name == what]


@asynccontextmanager
async def watched(exchange: Exchange, runs: int = 1) -> AsyncIterator[Bed]:
    async with bed(live=True, get_candles=exchange.get_candles) as made:
        exchange.made = made
        made.listen("exchange")
        schema = made.engine.exchanges.get("memory", "test")
        made.engine.exchanges.remove("memory")
        tells = {"get_clock_offset": exchange.clock_offset}
        made.engine.exchanges.add(schema.model_copy(update=tells))
        made.strategy(lambda s, w: None)
        for number in range(runs):
            made.instance(symbol=f"S{number}USDT").start()
        yield made


async def test_the_clock_is_measured_once_before_the_first_bars_are_taken() -> None:
    exchange = Exchange(-800)
    async with watched(exchange, runs=5) as made:
        await made.until(2)
        assert [name for name, _ in exchange.asked[:2]] == ["time", "candles"]
        assert exchange.times("time") == [0.0]
        # It is behind: asked any earlier it would have nothing new.
        assert set(exchange.times("candles")) == {0.8, 60.8, 120.8}
        assert {status.clock_offset for status in made.heard["exchange"]} == {-800}
        for number in range(5):
            execution: Any = made.instance(symbol=f"S{number}USDT").execution
            series = execution.market.minutes(f"S{number}USDT")
            assert set(series.columns.close[: series.size].tolist()) == {100.0}


async def test_a_clock_that_cannot_be_measured_stops_nobody_and_is_asked_again_soon() -> None:
    exchange = Exchange(2500)
    exchange.fails_until = 100
    async with watched(exchange, runs=3) as made:
        await made.until(40)
        assert exchange.times("time") == [0.0, 60.0, 120.0, 30 * 60.0]
        assert [s.clock_offset for s in made.heard["exchange"]][:4] == [None, None, 2500, 2500]
        assert exchange.times("candles").count(60.0) == 3
        assert made.errors() == []


@pytest.mark.parametrize("offset", [None, 0, 5000])
async def test_an_exchange_that_is_not_behind_is_asked_at_the_minute(offset: int | None) -> None:
    exchange = Exchange(offset)
    async with watched(exchange) as made:
        await made.until(3)
        assert [at for at in exchange.times("candles") if at > 0] == [60.0, 120.0, 180.0]
