"""The real ccxt client against a real server on loopback, both on one simulated clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from engine.adapters.exchanges.ccxt import CcxtExchange
from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.bars import Candle, Candles
from engine.domain.time import MINUTE, from_ms, parse_instant
from engine.services.clock import SimulatedClock
from tests.servers.bars import BarSource
from tests.servers.exchange import ExchangeServer
from tests.servers.faults import Fault, FaultScript

NOON = parse_instant("2024-03-01T12:00")
"""What the clock shows at first, a whole minute: no bar is forming longer than 0 ms."""

DELAY = 1000
RETRIES = 3


class Bed:
    """A server with a simulated market, a clock, and exchanges that talk to the server."""

    def __init__(self, server: ExchangeServer, clock: SimulatedClock) -> None:
        self.server = server
        self.clock = clock
        self.retries = RETRIES
        self.opened: list[CcxtExchange] = []
        self.market = server.source

    def open(self, exchange_id: str = "binance", **options: Any) -> CcxtExchange:
        """An exchange without ccxt's own pauses."""
        given = {"urls": self.server.url, "rateLimit": 1, **options}
        exchange = CcxtExchange(
            exchange_id,
            clock=self.clock,
            options=given,
            retry_count=self.retries,
            retry_delay_ms=DELAY,
        )
        self.opened.append(exchange)
        return exchange

    def truth(self, since: int, count: int, symbol: str = "BTCUSDT") -> Candles:
        """What the market really did."""
        return self.market.get_candles(symbol, "1m", from_ms(since), count)

    def instants(self, endpoint: str = "klines") -> list[int]:
        """When an endpoint was asked, in ms after noon."""
        return [s.when - NOON for s in self.server.requests if s.endpoint == endpoint]


@asynccontextmanager
async def bed(
    faults: Sequence[Fault] = (), *, source: BarSource | None = None, start: int = NOON,
    endpoints: Sequence[str] = ("klines",), **state: Any,
) -> AsyncGenerator[Bed]:  # fmt: skip
    """A bed whose first requests to each endpoint meet ``faults``."""
    clock = SimulatedClock(start)
    script = FaultScript(at=dict(enumerate(faults, start=1)), endpoints=endpoints)
    source = source or SimulatedExchange(1)
    async with ExchangeServer(source, clock.now, script=script, **state) as server:
        made = Bed(server, clock)
        try:
            yield made
        finally:
            for exchange in made.opened:
                await exchange.close()


async def minutes(
    exchange: CcxtExchange, since: int, count: int, symbol: str = "BTC/USDT"
) -> Candles:
    """One-minute bars."""
    return await exchange.get_candles(symbol, "1m", from_ms(since), count)


def flat(start: int, count: int, price: float = 100.0) -> Candles:
    """Bars that do not move."""
    bars = [Candle(start + i * MINUTE, price, price, price, price, 1.0) for i in range(count)]
    return Candles.from_columns(*zip(*bars, strict=True))
