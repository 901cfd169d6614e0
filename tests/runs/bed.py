"""A bed for runs: bars in memory behind a real exchange function, and lists of what was heard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine import (
    Backtest,
    Engine,
    Signal,
    SimulatedClock,
    add_exchange,
    add_frame,
    add_strategy,
)
from engine.domain.ports import Store
from engine.domain.time import from_ms, to_ms
from engine.runs.instance import Instance

T0 = 1_704_067_200_000
MINUTE = 60_000
SYMBOL = "BTCUSDT"

RELAXED: dict[str, Any] = {
    "min_takeprofit_distance_percent": 0.0,
    "min_stoploss_distance_percent": 0.0,
    "max_stoploss_distance_percent": 0.0,
    "max_signal_lifetime_minutes": 999_999,
    "get_candles_retry_count": 0,
}
"""No distance limits and no retries, so that a test says what it is about."""

TOPICS = (
    "signal", "error", "exit", "done_live", "done_backtest", "progress_backtest", "partial_profit",
    "partial_loss", "risk", "validation", "instance", "data",
)  # fmt: skip

Row = list[float]
GetCandles = Callable[[str, str, datetime, int], Any]


def bar(
    minute: int,
    price: float = 100.0,
    *,
    high: float | None = None,
    low: float | None = None,
    open: float | None = None,
    volume: float = 1.0,
) -> Row:
    """The bar opened ``minute`` minutes after T0, flat at ``price`` unless told otherwise."""
    opened = price if open is None else open
    top = max(opened, price) if high is None else high
    bottom = min(opened, price) if low is None else low
    return [T0 + minute * MINUTE, opened, top, bottom, price, volume]


def flat(start: int, stop: int, price: float = 100.0) -> list[Row]:
    """Flat bars opened in minutes ``[start, stop)`` after T0."""
    return [bar(minute, price) for minute in range(start, stop)]


def path(prices: Sequence[float], *, before: int = 10) -> list[Row]:
    """Flat bars: ``before`` at the first price up to T0, then one a minute.

    The bar with the i-th price opens at minute i, and so closes at minute i + 1.
    """
    return flat(-before, 0, prices[0]) + [bar(i, price) for i, price in enumerate(prices)]


def serving(rows: Sequence[Row], clock: SimulatedClock | None = None) -> GetCandles:
    """An exchange function over rows; with a clock, only of bars that have closed on it."""

    def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> list[Row]:
        assert interval == "1m"
        now = None if clock is None else clock.now()
        first = to_ms(since)
        found = [r for r in rows if r[0] >= first and (now is None or r[0] + MINUTE <= now)]
        return found[:limit]

    return get_candles


def minute_of(when: int | datetime) -> int:
    """Whole minutes after T0."""
    instant = to_ms(when) if isinstance(when, datetime) else when
    assert (instant - T0) % MINUTE == 0
    return (instant - T0) // MINUTE


def long(minutes: int = 5, entry: float | None = None, tp: float = 110, sl: float = 90) -> Signal:
    """A long around 100."""
    return Signal("long", tp, sl, minutes, price_open=entry)


@dataclass
class Bed:
    """An engine with one exchange and one frame, and everything its events said so far."""

    engine: Engine
    heard: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    clock: SimulatedClock | None = None

    def strategy(self, get_signal: Any, name: str = "asked", **fields: Any) -> None:
        add_strategy(strategy_name=name, get_signal=get_signal, **{"interval": "1m", **fields})

    def run(self, name: str = "asked", symbol: str = SYMBOL, *, cancelled: bool = True) -> Any:
        return Backtest.run(
            symbol, strategy_name=name, exchange_name="memory", frame_name="frame",
            include_cancelled=cancelled,
        )  # fmt: skip

    async def results(self, name: str = "asked", symbol: str = SYMBOL) -> list[Any]:
        """Run a backtest to its end; its closed and cancelled results."""
        found = [result async for result in self.run(name, symbol)]
        await self.engine.bus.flush()
        return found

    def instance(self, name: str = "asked", symbol: str = SYMBOL) -> Instance:
        if self.clock is not None:
            return self.engine.live(symbol, strategy_name=name, exchange_name="memory")
        return self.engine.backtest(
            symbol, strategy_name=name, exchange_name="memory", frame_name="frame"
        )

    async def until(self, minute: int, seconds: int = 30) -> None:
        """Let the simulated clock run to ``seconds`` past a minute, and every listener finish."""
        assert self.clock is not None
        await self.clock.sleep_until(T0 + minute * MINUTE + seconds * 1000)
        await self.engine.bus.flush()

    def listen(self, *topics: str, ticks: bool = False) -> None:
        for topic in topics:
            heard = self.heard.setdefault(topic, [])
            self.engine.bus.subscribe(
                topic, heard.append, transitions_only=topic == "signal" and not ticks,
                maxsize=1_000_000,
            )  # fmt: skip

    def actions(self) -> list[tuple[str, int]]:
        """What the signal events said: action and minute."""
        return [(str(r.action), minute_of(r.when)) for r in self.heard["signal"]]

    def errors(self) -> list[str]:
        return [str(error) for error in self.heard["error"]]


@asynccontextmanager
async def bed(
    rows: Sequence[Row] | None = None,
    *,
    frame: tuple[int, int] = (0, 30),
    interval: str = "1m",
    live: bool = False,
    get_candles: GetCandles | None = None,
    intervals: Sequence[str] | None = ("1m",),
    store: Store | None = None,
    ticks: bool = False,
    config: Mapping[str, Any] | None = None,
    topics: Sequence[str] = TOPICS,
) -> AsyncIterator[Bed]:
    """An engine over ``rows``; ``live`` starts a simulated clock at T0 and holds it.

    Time then moves only inside `Bed.until`, and wherever the test itself lets it.
    """
    clock = SimulatedClock(T0) if live else None
    rows = flat(-10, frame[1] + 60) if rows is None else rows
    async with Engine(clock=clock, store=store) as engine:
        engine.configure({**RELAXED, **(config or {})}, unsafe=True)
        function = get_candles or serving(rows, clock)
        add_exchange(exchange_name="memory", get_candles=function, intervals=intervals)
        start, end = (from_ms(T0 + minute * MINUTE) for minute in frame)
        add_frame(frame_name="frame", interval=interval, start_date=start, end_date=end)
        made = Bed(engine, clock=clock)
        made.listen(*topics, ticks=ticks)
        if clock is None:
            yield made
        else:
            with clock.working():
                yield made
