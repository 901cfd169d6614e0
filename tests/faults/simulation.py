"""Twenty live runs on an exchange in trouble, and everything that could be seen of them.

The engine, its wiring of ccxt exchanges, the ccxt client and the HTTP server are the real ones.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from engine import Engine, Signal, add_risk, add_strategy
from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.bars import Candle, Candles, interval_ms, select
from engine.domain.errors import RunError
from engine.domain.events import DataStatus
from engine.domain.time import MINUTE, to_ms
from engine.exchanges import ExchangeSpec
from tests.faults.strategies import STRATEGIES, Strategy
from tests.faults.troubled import (
    TIME_LIMIT_MS,
    Question,
    Scripts,
    SkippingClock,
    Trouble,
    TroubledServer,
    Withheld,
)

EXCHANGE = "binance"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "LTCUSDT", "DOGEUSDT")
"""The last two have minutes without a bar."""

SETTINGS: dict[str, Any] = {
    "min_takeprofit_distance_percent": 0.4,
    "min_stoploss_distance_percent": 0.1,
    "schedule_await_minutes": 20,
}

SAMPLED_AT = 59_900
"""How late in each minute it is looked at how far runs have come, ms."""

Instance = tuple[str, str]
"""Strategy and symbol."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated.

    Attributes:
        start: the first whole minute, ms UTC; runs are started half a minute later.
        minutes: how long.
        scripts: the faults.
        skews: of the exchange's clock, as `TroubledServer` takes them.
        withheld: bars that appear after newer ones, as `Withheld` takes them.
        settings: beside `SETTINGS`.
        state: the state file; None keeps it in memory.
        cache: folder of the candle cache; None has none.
        seed: of the market.
    """

    start: int
    minutes: int
    scripts: Scripts
    skews: Sequence[tuple[int, int]] = ()
    withheld: Mapping[str, Mapping[int, int]] = field(default_factory=dict[str, Any])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    state: Path | None = None
    cache: Path | None = None
    seed: int = 1

    @property
    def end(self) -> int:
        """The last whole minute."""
        return self.start + self.minutes * MINUTE


@dataclass(slots=True)
class Call:
    """One request of the engine to its exchange adapter, patience included.

    Attributes:
        until: close of the newest bar that was asked for.
        brought: close of the newest one that came; 0 if none did.
        error: why it failed, "" if it did not.
    """

    symbol: str
    interval: str
    began: int
    until: int
    ended: int = 0
    brought: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """How far things were at the end of a minute.

    Attributes:
        minute: its beginning, ms UTC.
        served: by symbol, the close of the newest minute that any answer had brought.
        settled: by instance, the close of the newest minute it had settled.
        ended: instances that were no longer running.
    """

    minute: int
    served: Mapping[str, int]
    settled: Mapping[Instance, int]
    ended: tuple[Instance, ...]


@dataclass(slots=True)
class Observed:
    """What was seen.

    Attributes:
        asked: by instance, the instants at which its strategy answered.
        refused: by instance, those at which it was asked and raised.
        transitions: results of the signal topic but ticks, by instance.
        served: by symbol, the close of the newest minute that any answer has brought.
        bars: by symbol, the minutes the engine went by.
        real: by symbol, the open times of those that fill no hole.
        warnings: what the market's log says.
        unhandled: what reached the event loop.
    """

    plan: Plan
    calls: list[Call] = field(default_factory=list[Call])
    samples: list[Sample] = field(default_factory=list[Sample])
    asked: dict[Instance, set[int]] = field(default_factory=lambda: defaultdict(set))
    refused: dict[Instance, set[int]] = field(default_factory=lambda: defaultdict(set))
    transitions: dict[Instance, list[Any]] = field(default_factory=lambda: defaultdict(list))
    errors: list[RunError] = field(default_factory=list[RunError])
    statuses: list[DataStatus] = field(default_factory=list[DataStatus])
    troubles: list[Trouble] = field(default_factory=list[Trouble])
    questions: list[Question] = field(default_factory=list[Question])
    time_requests: int = 0
    served: dict[str, int] = field(default_factory=dict[str, int])
    bars: dict[str, list[Candle]] = field(default_factory=lambda: defaultdict(list))
    real: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    offsets: list[int | None] = field(default_factory=list[int | None])
    warnings: list[str] = field(default_factory=list[str])
    unhandled: list[str] = field(default_factory=list[str])


def market_seen(seen: Observed) -> Withheld:
    """The bars as they were served: a withheld one only where the engine came late enough."""
    hidden = {
        symbol: {stamp: at for stamp, at in bars.items() if stamp not in seen.real[symbol]}
        for symbol, bars in seen.plan.withheld.items()
    }
    return Withheld(SimulatedExchange(seen.plan.seed), None, hidden)


class _Kept(logging.Handler):
    """Collects what is logged."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._texts = texts

    def emit(self, record: logging.LogRecord) -> None:
        self._texts.append(record.getMessage())


async def simulate(plan: Plan, progress: Callable[[int], None] = lambda minute: None) -> Observed:
    """Run a plan to its end."""
    seen = Observed(plan)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: seen.unhandled.append(repr(context)))
    log, kept = logging.getLogger("signaldeck.market"), _Kept(seen.warnings)
    log.addHandler(kept)
    try:
        await _simulate(plan, seen, progress)
    finally:
        log.removeHandler(kept)
    return seen


async def _simulate(plan: Plan, seen: Observed, progress: Callable[[int], None]) -> None:
    clock = SkippingClock(plan.start + MINUTE // 2)
    source = Withheld(SimulatedExchange(plan.seed), clock.now, plan.withheld)
    async with TroubledServer(source, clock, plan.scripts, plan.skews) as server:
        state = ":memory:" if plan.state is None else plan.state
        config = {**SETTINGS, **plan.settings}
        async with Engine(state=state, cache=plan.cache, clock=clock, config=config) as engine:
            server.heed(engine.store)
            _listen(engine, seen)
            _register(engine, server.url, clock, seen)
            instances = {
                (name, symbol): engine.live(symbol, strategy_name=name, exchange_name=EXCHANGE)
                for symbol in SYMBOLS
                for name in STRATEGIES
            }
            for instance in instances.values():
                instance.start()
            for minute in range(plan.start, plan.end + 1, MINUTE):
                await clock.sleep_until(minute + SAMPLED_AT)
                seen.samples.append(_sample(minute, instances, seen))
                _keep_bars(instances, seen)
                progress((minute - plan.start) // MINUTE)
            await engine.bus.flush()
        seen.troubles, seen.questions = server.troubles, server.questions
        seen.time_requests = server.count("time")


def _listen(engine: Engine, seen: Observed) -> None:
    def transition(result: Any) -> None:
        seen.transitions[result.key.strategy_name, result.key.symbol].append(result)

    listen = engine.bus.subscribe
    listen("signal", transition, transitions_only=True, maxsize=1_000_000)
    listen("error", seen.errors.append, maxsize=1_000_000)
    listen("exit", lambda error: seen.unhandled.append(f"exit: {error}"))
    listen("data", seen.statuses.append, maxsize=1_000_000)
    listen("exchange", lambda status: seen.offsets.append(status.clock_offset))


def _register(engine: Engine, url: str, clock: SkippingClock, seen: Observed) -> None:
    options = {"urls": url, "enableRateLimit": False, "timeout": TIME_LIMIT_MS}
    opened = engine.open_exchange(ExchangeSpec(EXCHANGE, "ccxt", options))
    engine.exchanges.remove(EXCHANGE)
    watched = _watched(opened.get_candles, clock, seen)
    engine.exchanges.add(opened.model_copy(update={"get_candles": watched}))
    register_strategies(lambda name, ask: _noting(name, ask, seen))


def register_strategies(around: Callable[[str, Strategy], Strategy], interval: str = "") -> None:
    """Register the strategies and their risk profile with the current engine."""
    add_risk(risk_name="any", validations=[])
    for name, (own, ask) in STRATEGIES.items():
        add_strategy(
            strategy_name=name, interval=interval or own, get_signal=around(name, ask),
            risk_name="any",
        )  # fmt: skip


def _noting(name: str, ask: Strategy, seen: Observed) -> Strategy:
    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        try:
            answer = await ask(symbol, when)
        except Exception:
            seen.refused[name, symbol].add(to_ms(when))
            raise
        seen.asked[name, symbol].add(to_ms(when))
        return answer

    return get_signal


def _watched(get_candles: Callable[..., Any], clock: SkippingClock, seen: Observed) -> Any:
    """The exchange's function, with a note of every call."""

    async def watched(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        until = to_ms(since) + limit * interval_ms(interval)
        call = Call(symbol, interval, clock.now(), until)
        seen.calls.append(call)
        try:
            answer = get_candles(symbol, interval, since, limit)
            rows = await answer if inspect.isawaitable(answer) else answer
        except BaseException as error:
            call.error = str(error) or repr(error)
            raise
        finally:
            call.ended = clock.now()
        if interval == "1m" and len(rows):
            closed = rows.timestamp + MINUTE
            closed = closed[closed <= min(until, clock.now())]
            call.brought = int(closed[-1]) if len(closed) else 0
            seen.served[symbol] = max(seen.served.get(symbol, 0), call.brought)
        return rows

    return watched


def _sample(minute: int, instances: Mapping[Instance, Any], seen: Observed) -> Sample:
    settled = {name: instance.execution.settled_until or 0 for name, instance in instances.items()}
    ended = tuple(name for name, item in instances.items() if item.status != "running")
    return Sample(minute, dict(seen.served), settled, ended)


def _keep_bars(instances: Mapping[Instance, Any], seen: Observed) -> None:
    """Note the bars that are new since the last sample; a market forgets old ones."""
    for symbol in SYMBOLS:
        series = instances["drift", symbol].execution.market.known(symbol)
        if series is None:
            continue
        bars = seen.bars[symbol]
        first = series.closed(bars[-1].timestamp + MINUTE if bars else seen.plan.start)
        new = Candles(select(series.columns, slice(first, series.size)))
        bars.extend(new)
        real = series.real[first : series.size]
        seen.real[symbol].update(new.timestamp[real].tolist())
