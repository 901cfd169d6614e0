"""An exchange on loopback, speaking as much of the Binance spot protocol as ccxt's client needs.

It serves the bars of a simulated market, or given ones, as of an injected clock, and misbehaves by
script. ``python -m tests.servers.exchange --port 0`` runs it as a process of its own: it prints
its port, then serves until it is terminated or its parent is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from aiohttp import web

from engine.adapters.exchanges.files import FilesExchange
from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.bars import INTERVAL_MINUTES, Candle, Candles
from engine.domain.time import MINUTE, from_ms, parse_instant
from engine.services.clock import AcceleratedClock, SystemClock
from tests.servers.bars import BarSource, HeldBars, shown
from tests.servers.faults import PAGE, Fault, FaultScript

WEIGHT_LIMIT = 6000
MOST = 1000
REMEMBERED = 50_000
QUOTES = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB", "EUR", "USD")
_WEIGHTS = {"klines": 2, "exchangeInfo": 20}
_FAULT: web.RequestKey[Fault | None] = web.RequestKey("fault")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Served:
    """One request that arrived: to which endpoint, as which number, when, and what it met."""

    endpoint: str
    number: int
    when: int
    query: dict[str, str]
    fault: str


class ExchangeServer:
    """The server; a fresh one listens on a free port.

    Args:
        source: final one-minute bars.
        now: the present instant, ms UTC.
        script: faults by request.
        skew_ms: the server's clock minus ``now``.
        late_ms: closed bars appear this much after their close.
        windowed: look for bars no further than ``limit`` intervals from the start, as some
            exchanges do; Binance gives the next ``limit`` bars wherever they are.

    Attributes:
        url: such as ``http://127.0.0.1:40123``, the ``urls`` option of a ccxt exchange.
        requests: what was asked so far, the newest last; of very many the older are forgotten.
    """

    def __init__(
        self, source: BarSource, now: Callable[[], int], *, script: FaultScript | None = None,
        skew_ms: int = 0, late_ms: int = 0, windowed: bool = False,
    ) -> None:  # fmt: skip
        self.source = source
        self.now = now
        self.script = script or FaultScript()
        self.skew_ms = skew_ms
        self.late_ms = late_ms
        self.windowed = windowed
        self.url = ""
        self.requests: list[Served] = []
        self._counts: Counter[str] = Counter()
        self._weights: Counter[int] = Counter()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on loopback."""
        app = web.Application(middlewares=[self._misbehave])
        app.add_routes(
            [
                web.get("/api/v3/ping", self._ping),
                web.get("/api/v3/time", self._time),
                web.get("/api/v3/exchangeInfo", self._exchange_info),
                web.get("/api/v3/klines", self._klines),
                web.get("/control/requests", self._log),
                web.post("/control", self._control),
            ]
        )
        # Cancelling handlers lets requests that are never answered end with their connection.
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def count(self, endpoint: str = "klines") -> int:
        """How many requests an endpoint got."""
        return self._counts[endpoint]

    def clock(self) -> int:
        """The exchange's own clock, ms UTC."""
        return self.now() + self.skew_ms

    # -- faults ----------------------------------------------------------------------------------

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        endpoint = request.path.rpartition("/")[2]
        if request.path.startswith("/control"):
            return await handler(request)
        self._counts[endpoint] += 1
        number, now = self._counts[endpoint], self.now()
        fault = self.script.pick(endpoint, number, now)
        query = dict(request.query)
        kind = "" if fault is None else fault.kind
        if len(self.requests) >= REMEMBERED:
            del self.requests[: REMEMBERED // 2]
        self.requests.append(Served(endpoint, number, now, query, kind))
        self._weights[now // MINUTE] += _WEIGHTS.get(endpoint, 1)
        request[_FAULT] = fault
        instead = None if fault is None else await _instead(fault, request)
        response = instead or await handler(request)
        if not response.prepared:
            response.headers["X-MBX-USED-WEIGHT-1M"] = str(self._weights[now // MINUTE])
        if fault is not None and fault.kind in ("truncated", "cut"):
            return await _halved(fault, request, response)
        return response

    # -- endpoints -------------------------------------------------------------------------------

    async def _ping(self, request: web.Request) -> web.Response:
        return _answer({})

    async def _time(self, request: web.Request) -> web.Response:
        return _answer({"serverTime": self.clock()})

    async def _exchange_info(self, request: web.Request) -> web.Response:
        weight = {
            "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
            "limit": WEIGHT_LIMIT,
        }  # fmt: skip
        return _answer(
            {
                "timezone": "UTC",
                "serverTime": self.clock(),
                "rateLimits": [weight],
                "exchangeFilters": [],
                "symbols": [_listing(self.source, symbol) for symbol in self.source.symbols()],
            }
        )

    async def _klines(self, request: web.Request) -> web.Response:
        query = request.query
        symbol, interval = query.get("symbol", ""), query.get("interval", "")
        if symbol not in self.source.symbols():
            return _answer({"code": -1121, "msg": "Invalid symbol."}, 400)
        if interval not in INTERVAL_MINUTES:
            return _answer({"code": -1120, "msg": "Invalid interval."}, 400)
        start, end = (query.get(name) for name in ("startTime", "endTime"))
        limit = min(int(query.get("limit", 500)), MOST)
        now = self.clock()
        step = INTERVAL_MINUTES[interval] * MINUTE
        if self.windowed and start and not end:
            end = str(int(start) + limit * step - 1)
        bars = shown(
            self.source, symbol, interval, now, int(start) if start else None,
            int(end) if end else None, limit,
        )  # fmt: skip
        fault = request[_FAULT]
        late = fault.ms if fault is not None and fault.kind == "late" else self.late_ms
        if late:
            bars = [bar for bar in bars if bar.timestamp + step + late <= now]
        rows = [_row(bar, step) for bar in bars]
        return _answer(_disturbed(rows, fault))

    # -- remote control --------------------------------------------------------------------------

    async def _log(self, request: web.Request) -> web.Response:
        return _answer([asdict(served) for served in self.requests])

    async def _control(self, request: web.Request) -> web.Response:
        """Change ``now`` (ms), ``skew_ms``, ``late_ms`` or ``script``; answers the state."""
        wishes: dict[str, Any] = await request.json()
        if "now" in wishes:
            instant = int(wishes["now"])
            self.now = lambda: instant
        self.skew_ms = int(wishes.get("skew_ms", self.skew_ms))
        self.late_ms = int(wishes.get("late_ms", self.late_ms))
        if "script" in wishes:
            self.script = FaultScript.from_json(wishes["script"])
        return _answer({"now": self.now(), "skew_ms": self.skew_ms, "late_ms": self.late_ms})


async def _instead(fault: Fault, request: web.Request) -> web.StreamResponse | None:
    """The answer of a fault that lets no endpoint have its say."""
    if fault.kind == "status":
        headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        code = {429: -1003, 418: -1003}.get(fault.status)
        if code is not None:
            text = json.dumps({"code": code, "msg": "Too much request weight used."})
            return web.Response(
                status=fault.status, headers=headers, text=text, content_type="application/json"
            )
        page = PAGE.replace("Log in", f"Error {fault.status}")
        return web.Response(
            status=fault.status, headers=headers, text=page, content_type="text/html"
        )
    if fault.kind == "timeout":
        await asyncio.Event().wait()
    if fault.kind == "drop":
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    if fault.kind == "html":
        return web.Response(text=PAGE, content_type="text/html")
    if fault.kind == "empty":
        return web.Response(text="", content_type="application/json")
    return None


async def _halved(
    fault: Fault, request: web.Request, response: web.StreamResponse
) -> web.StreamResponse:
    """Half of an answer: as if it were all, or with the connection closed in the middle."""
    assert isinstance(response, web.Response) and isinstance(response.body, bytes)
    half = response.body[: len(response.body) // 2]
    if fault.kind == "cut":
        return web.Response(body=half, content_type="application/json")
    headers = {"Content-Type": "application/json", "Content-Length": str(len(response.body))}
    stream = web.StreamResponse(headers=headers)
    await stream.prepare(request)
    await stream.write(half)
    if request.transport is not None:
        request.transport.close()
    return stream


def _disturbed(rows: list[list[Any]], fault: Fault | None) -> list[list[Any]]:
    kind = "" if fault is None else fault.kind
    if kind == "none_rows":
        return [[None] * 12 for _ in rows]
    if kind == "duplicates":
        return [row for row in rows for _ in range(2)]
    if kind == "unsorted":
        random.Random(len(rows)).shuffle(rows)
    return rows


def _row(bar: Candle, step: int) -> list[Any]:
    prices = [np.format_float_positional(value, trim="0") for value in bar[1:]]
    return [bar.timestamp, *prices, bar.timestamp + step - 1, "0.0", 1, "0.0", "0.0", "0"]


def _listing(source: BarSource, symbol: str) -> dict[str, Any]:
    quote = next((name for name in QUOTES if symbol.endswith(name)), symbol[-3:])
    tick, lot = (
        f"{10.0 ** -len(text.partition('.')[2]):.8f}"
        for text in (source.format_price(symbol, 1.0), source.format_quantity(symbol, 1.0))
    )
    return {
        "symbol": symbol, "status": "TRADING", "baseAsset": symbol.removesuffix(quote),
        "quoteAsset": quote, "baseAssetPrecision": 8, "quotePrecision": 8,
        "isSpotTradingAllowed": True, "isMarginTradingAllowed": False, "permissions": ["SPOT"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "0", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000", "stepSize": lot},
        ],
    }  # fmt: skip


def _answer(content: object, code: int = 200) -> web.Response:
    # Without spaces, as the real one writes it.
    text = json.dumps(content, separators=(",", ":"))
    return web.Response(text=text, status=code, content_type="application/json")


# -- as a process ----------------------------------------------------------------------------------


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--port", type=int, default=0)
    add("--seed", type=int, default=1, help="of the simulated market")
    add("--csv", action="append", default=[], metavar="FILE", help="serve these bars instead")
    add("--start", default="", help="the clock's first instant, an ISO date; the wall clock's now")
    add("--speed", type=float, default=1.0, help="of the clock; 0 stands until POST /control")
    add("--skew-ms", type=int, default=0)
    add("--late-ms", type=int, default=0)
    add("--script", default="{}", help="a fault script as JSON")
    add("--fault-seed", type=int, help="replaces the script's seed")
    return parser.parse_args(given)


def _server(options: argparse.Namespace) -> ExchangeServer:
    source: BarSource = SimulatedExchange(options.seed)
    if options.csv:
        files = [FilesExchange(path) for path in options.csv]
        bars = {file.symbols()[0]: file for file in files}
        source = HeldBars({name: _all(file, name) for name, file in bars.items()})
    script = FaultScript.from_json(json.loads(options.script))
    if options.fault_seed is not None:
        script = replace(script, seed=options.fault_seed)
    clock = SystemClock()
    if options.start or options.speed != 1.0:
        start = parse_instant(options.start) if options.start else clock.now()
        clock = AcceleratedClock(start, options.speed)
    return ExchangeServer(
        source, clock.now, script=script, skew_ms=options.skew_ms, late_ms=options.late_ms
    )


def _all(file: FilesExchange, symbol: str) -> Candles:
    return file.get_candles(symbol, "1m", from_ms(0), 10**9)


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM, SIGINT, or until the parent process is gone."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parent = os.getppid()
    server = _server(options)
    await server.start(options.port)
    print(server.url.rpartition(":")[2], flush=True)
    while not stop.is_set() and os.getppid() == parent:
        try:
            await asyncio.wait_for(stop.wait(), 1.0)
        except TimeoutError:
            continue
    await server.close()


if __name__ == "__main__":
    asyncio.run(serve(_arguments(None)))
