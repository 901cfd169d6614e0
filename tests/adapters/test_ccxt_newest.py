"""The newest bar: taken only if it had closed when the answer was written, and asked for once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import web

from engine.adapters.exchanges.ccxt import CcxtExchange
from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.time import MINUTE, from_ms
from tests.adapters.ccxt_bed import NOON, minutes
from tests.faults.troubled import SkippingClock, Withheld
from tests.servers.exchange import ExchangeServer

WAY_MS = 150
HOLE = {NOON - 4 * MINUTE: 0, NOON - 3 * MINUTE: 0}


class FarServer(ExchangeServer):
    """An exchange whose answers are on their way for a while."""

    async def _klines(self, request: web.Request) -> web.Response:
        answer = await super()._klines(request)
        self.travel()
        return answer

    def travel(self) -> None:
        """Replaced where time passes."""


@asynccontextmanager
async def far(
    start: int, *, measured: bool = True
) -> AsyncGenerator[tuple[FarServer, CcxtExchange, SkippingClock]]:
    clock = SkippingClock(start)
    market = Withheld(SimulatedExchange(1), None, {"BTCUSDT": HOLE})
    async with FarServer(market, clock.now) as server:
        options = {"urls": server.url, "enableRateLimit": False}
        exchange = CcxtExchange("binance", clock=clock, options=options)
        try:
            if measured:
                assert await exchange.clock_offset() == 0
            yield server, exchange, clock
        finally:
            await exchange.close()


async def test_a_bar_that_closed_while_the_answer_was_on_its_way_is_left_out() -> None:
    async with far(NOON - 100) as (server, exchange, clock):
        server.travel = lambda: clock.elapse(WAY_MS)
        seen = await minutes(exchange, NOON - 2 * MINUTE, 2)
        assert clock.now() == NOON + 50, "by now it has closed; in the answer it was forming"
        assert seen.timestamp.tolist() == [NOON - 2 * MINUTE]
        seen = await minutes(exchange, NOON - 2 * MINUTE, 2)
        assert server.count() == 2
        truth = SimulatedExchange(1).get_candles("BTCUSDT", "1m", from_ms(NOON - 2 * MINUTE), 2)
        assert seen == truth


async def test_a_hole_is_no_reason_to_ask_again_for_what_has_not_closed() -> None:
    async with far(NOON) as (server, exchange, _):
        seen = await minutes(exchange, NOON - 10 * MINUTE, 10)
        assert len(seen) == 8 and int(seen.timestamp[-1]) == NOON - MINUTE
        assert server.count() == 1
        assert len(await minutes(exchange, NOON, 1)) == 0
        assert server.count() == 1, "nothing can have closed"


async def test_without_a_measured_clock_the_forming_bar_comes_along() -> None:
    async with far(NOON + 30_000, measured=False) as (server, exchange, _):
        seen = await minutes(exchange, NOON - MINUTE, 2)
        assert seen.timestamp.tolist() == [NOON - MINUTE, NOON]
        assert server.count() == 1
