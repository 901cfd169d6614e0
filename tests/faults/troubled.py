"""An exchange in trouble, on a clock that nobody has to wait for.

The server of `tests.servers` speaks real HTTP to the real ccxt client. Three things are added so
that weeks of trouble pass in minutes: a request that is never answered costs the client its whole
time limit at once, on the engine's clock and on the event loop's; the server's own clock moves
against ours whenever it is asked for the time; and bars can be withheld for a while.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from aiohttp import web

from engine.domain.bars import Candles
from engine.domain.changes import Change
from engine.domain.ports import Store
from engine.domain.time import MINUTE
from engine.services.clock import SimulatedClock
from tests.servers.bars import BarSource
from tests.servers.exchange import ExchangeServer, Served
from tests.servers.faults import Fault

TIME_LIMIT_MS = 10_000
"""What ccxt clients wait for an answer."""

_CALM_ROUNDS = 5
_ROUND_SECONDS = 0.001


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward: timers that are due by then go off at once.

    Attributes:
        skipped: seconds it was put forward by so far.
        threads: calls that are under way in threads: of their end the loop hears later.
    """

    skipped = 0.0
    threads = 0

    def time(self) -> float:
        """Seconds, with what was skipped."""
        return super().time() + self.skipped

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Call a function in a thread."""
        future = super().run_in_executor(executor, func, *args)
        self.threads += 1
        future.add_done_callback(self._done)
        return future

    def _done(self, _: object) -> None:
        self.threads -= 1


class SkippingClock(SimulatedClock):
    """A simulated clock that moves although somebody is working: what is done takes that long."""

    def elapse(self, ms: int) -> None:
        """Put the clock forward; who slept until meanwhile wakes up late."""
        self._now += ms


def label(fault: Fault) -> str:
    """What a fault is called in a table."""
    if fault.kind == "status":
        wait = f", wait {fault.retry_after} s" if fault.retry_after else ""
        return f"HTTP {fault.status}{wait}"
    return f"late {fault.ms / 1000:g} s" if fault.kind == "late" else fault.kind.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Trouble:
    """One request that met a fault.

    Attributes:
        when: the instant, ms UTC.
        until: the instant until which it has an effect: a silence asked for, an answer that does
            not come.
        name: of the fault.
        for_all: whether other symbols are affected as well.
    """

    when: int
    until: int
    name: str
    symbol: str
    endpoint: str
    for_all: bool


@dataclass(slots=True)
class Question:
    """One request for candles: when, of what, and whether it was answered well."""

    when: int
    symbol: str
    interval: str
    good: bool


class Script(Protocol):
    """Says which request meets which fault."""

    def pick(self, endpoint: str, number: int, now: int) -> Fault | None: ...


@dataclass(frozen=True, slots=True)
class Scripts:
    """A script for each endpoint; the others are always answered well."""

    by_endpoint: Mapping[str, Script] = field(default_factory=dict[str, "Script"])

    def pick(self, endpoint: str, number: int, now: int) -> Fault | None:
        """The fault of a request."""
        script = self.by_endpoint.get(endpoint)
        return None if script is None else script.pick(endpoint, number, now)


class _Requests(list[Served]):
    """What the server was asked, passed on before the older half is forgotten."""

    def __init__(self, server: TroubledServer) -> None:
        super().__init__()
        self._server = server

    def append(self, served: Served) -> None:
        super().append(served)
        self._server.asked(served)


class TroubledServer(ExchangeServer):
    """The exchange server with skips.

    Args:
        source: its bars.
        clock: of everybody.
        scripts: what goes wrong.
        skews: ``(from, ms)``: how far its clock is off, from an instant on; it takes effect when
            the server is next asked for the time, so that it is never off unnoticed.

    Attributes:
        troubles: the requests that met a fault, oldest first.
        questions: requests for candles, oldest first.
    """

    def __init__(
        self, source: BarSource, clock: SkippingClock, scripts: Scripts,
        skews: Sequence[tuple[int, int]] = (),
    ) -> None:  # fmt: skip
        super().__init__(source, clock.now)
        self.troubles: list[Trouble] = []
        self.questions: list[Question] = []
        self.requests = _Requests(self)
        self.script: Any = scripts
        self._clock = clock
        self._skews = skews
        self._skipper: asyncio.Task[None] | None = None
        self._hanging = 0
        self._events = 0
        self._commits = 0

    def heed(self, store: Store) -> None:
        """Put no clock forward while a commit is under way, however slow the disk is."""
        commit = store.commit

        async def counted(changes: Sequence[Change]) -> tuple[int, ...]:
            self._commits += 1
            try:
                return await commit(changes)
            finally:
                self._commits -= 1
                self._events += 1

        vars(store)["commit"] = counted

    def asked(self, served: Served) -> None:
        """Note a request that has just arrived."""
        self._events += 1
        symbol, interval = (served.query.get(name, "") for name in ("symbol", "interval"))
        fault = self.script.pick(served.endpoint, served.number, served.when)
        if served.endpoint == "klines":
            self.questions.append(Question(served.when, symbol, interval, fault is None))
        if fault is None:
            return
        until, for_all = served.when, False
        if fault.kind == "timeout":
            until += TIME_LIMIT_MS
        elif fault.retry_after:
            until, for_all = until + int(fault.retry_after) * 1000, True
        elif fault.status in (429, 418):
            until, for_all = until + (120_000 if fault.status == 418 else 0), True
        self.troubles.append(
            Trouble(served.when, until, label(fault), symbol, served.endpoint, for_all)
        )
        if fault.kind == "timeout":
            self._hanging += 1
            if self._skipper is None or self._skipper.done():
                self._skipper = asyncio.get_running_loop().create_task(self._skip())

    async def close(self) -> None:
        """Stop, and end what hangs."""
        if self._skipper is not None:
            self._skipper.cancel()
            await asyncio.gather(self._skipper, return_exceptions=True)
        await super().close()

    async def _skip(self) -> None:
        """Put the clocks forward by a time limit once everybody else has got an answer."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SkippingLoop)
        while self._hanging:
            before = self._events
            for _ in range(_CALM_ROUNDS):
                await asyncio.sleep(_ROUND_SECONDS)
            if self._events != before or self._commits or loop.threads:
                continue
            self._hanging = 0
            self._clock.elapse(TIME_LIMIT_MS)
            # aiohttp rounds longer limits up to a whole second of the loop's clock.
            loop.skipped += math.ceil(TIME_LIMIT_MS / 1000) + 1

    async def _time(self, request: web.Request) -> web.Response:
        now = self.now()
        mid_minute = 15_000 <= now % MINUTE <= 45_000
        if mid_minute and self.script.pick("time", self.count("time"), now) is None:
            self.skew_ms = next((ms for since, ms in reversed(self._skews) if since <= now), 0)
        return await super()._time(request)


class Withheld:
    """Bars of another source, some of which appear only after newer ones have.

    Args:
        source: the bars.
        now: the present instant; None never shows what is withheld.
        hidden: by symbol and open time, the instant at which a bar appears, ms UTC.
    """

    def __init__(
        self, source: BarSource, now: Any, hidden: Mapping[str, Mapping[int, int]]
    ) -> None:
        self._source = source
        self._now = now
        self._hidden = hidden
        self.format_price = source.format_price
        self.format_quantity = source.format_quantity
        self.symbols = source.symbols

    def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Candles:
        """Up to ``limit`` bars from ``since`` on that are not withheld now."""
        hidden = self._hidden.get(symbol)
        if not hidden:
            return self._source.get_candles(symbol, interval, since, limit)
        bars = self._source.get_candles(symbol, interval, since, limit + len(hidden))
        now = -1 if self._now is None else self._now()
        kept = [bar for bar in bars if now >= hidden.get(bar.timestamp, -1)]
        return Candles.from_columns(*zip(*kept[:limit], strict=True)) if kept else Candles.empty()
