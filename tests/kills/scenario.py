"""What is traded while the process is killed: the market, the strategies' answers, the operator.

Everything follows from a seed and an instant, so that a process that is started again goes on as
the dead one would have, and a run that was never disturbed can be compared with it. Both the
strategies and the checker ask this module what a strategy wants; what becomes of it is the engine's
business on one side and the checker's own computation on the other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, TypeAlias

from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.bars import Candles
from engine.domain.time import MINUTE, from_ms, parse_instant
from tests.servers.bars import HeldBars

START: Final = parse_instant("2024-03-05T23:30")
"""The first instant of trading, ms UTC: shortly before midnight, when open trades are marked."""

EXCHANGE: Final = "local"
HISTORY: Final = 15
"""Minutes of bars before the start; few, because every life loads them all."""

MINUTES: Final = 3000
"""Minutes of bars after the start."""

LATE: Final[Mapping[str, int]] = {"BTCUSDT": 0, "LTCUSDT": 0, "ETHUSDT": 200, "SOLUSDT": 600}
"""How long after its minute a symbol's bar appears, ms. Runs that compete for the slots of a risk
profile trade symbols of different lateness: whose turn it is must not depend on chance, or no two
runs of the same scenario would be comparable. LTCUSDT has missing minutes."""

RunName: TypeAlias = tuple[str, str]
"""Strategy and symbol."""


@dataclass(frozen=True, slots=True)
class Trader:
    """One strategy: how often it is asked, how it likes to trade, where it asks for risk.

    Attributes:
        eager: chance of an answer that is a signal.
        waits: chance that a signal is a scheduled one.
    """

    interval: int
    symbols: tuple[str, ...]
    eager: float
    waits: float
    risks: tuple[str, ...] = ()


TRADERS: Final[Mapping[str, Trader]] = {
    "rider": Trader(1, ("BTCUSDT", "ETHUSDT", "SOLUSDT"), 0.8, 0.4, ("book", "house")),
    "waiter": Trader(1, ("BTCUSDT", "LTCUSDT"), 0.8, 1.0, ("house",)),
    "scalper": Trader(3, ("ETHUSDT", "LTCUSDT"), 0.9, 0.0),
    "patient": Trader(5, ("SOLUSDT",), 0.9, 0.5),
}
RUNS: Final[tuple[RunName, ...]] = tuple(
    (name, symbol) for name, trader in TRADERS.items() for symbol in trader.symbols
)
LIMITS: Final[Mapping[str, int]] = {"book": 2, "house": 6}
"""Positions that a risk profile lets be open at once. Three runs compete for two of ``book``."""

SETTINGS: Final[Mapping[str, Any]] = {
    "schedule_await_minutes": 6,
    "min_takeprofit_distance_percent": 0.0,
    "min_stoploss_distance_percent": 0.0,
    "max_stoploss_distance_percent": 0.0,
    "get_candles_retry_count": 1,
    "get_candles_retry_delay_ms": 100,
}
"""Levels are close together, so that a lot happens in an hour."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a strategy answers; prices are absolute, ``entry`` None means at once."""

    position: str
    take_profit: float
    stop_loss: float
    minutes: int
    entry: float | None


def wish(strategy: str, symbol: str, when: int, close: float) -> Wish | None:
    """A strategy's answer at an instant (ms UTC) with the newest close in its hands."""
    trader = TRADERS[strategy]
    chance = random.Random(sha256(f"{strategy}/{symbol}/{when}/{close!r}".encode()).digest())
    if chance.random() >= trader.eager:
        return None
    long = chance.random() < 0.5
    gain, risk = (chance.uniform(0.0005, 0.004) for _ in range(2))
    minutes = chance.randint(2, 12)
    entry = None
    reference = close
    if chance.random() < trader.waits:
        away = chance.uniform(0.0002, 0.0015)
        reference = entry = close * (1 - away if long else 1 + away)
    up, down = (gain, risk) if long else (risk, gain)
    above, below = reference * (1 + up), reference * (1 - down)
    target, stop = (above, below) if long else (below, above)
    return Wish("long" if long else "short", target, stop, minutes, entry)


# -- the operator ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """The ``number``-th thing the operator does: at ``at`` (ms UTC), half a minute after bars."""

    number: int
    at: int
    command: str
    run: RunName

    @property
    def minute(self) -> int:
        """The whole minute it acts at, ms UTC."""
        return self.at // MINUTE * MINUTE

    @property
    def origin(self) -> str:
        """How the state file knows it."""
        return f"operator-{self.number}"


def commands(seed: int) -> tuple[Command, ...]:
    """All commands of a scenario, by time.

    Only runs whose symbol has no missing minutes are commanded: the others may be waiting for a
    bar, and then obey in the next minute.
    """
    chance = random.Random(f"commands {seed}")
    found: list[tuple[int, str, RunName]] = []
    stopped_until: dict[RunName, int] = {}
    runs = [run for run in RUNS if run[1] != "LTCUSDT"]
    for minute in range(4, MINUTES - 60, 3):
        run = chance.choice(runs)
        command = chance.choice(("close", "close", "cancel", "stop"))
        if command == "stop":
            if stopped_until.get(run, 0) >= minute:
                continue
            again = minute + chance.randint(1, 14)
            stopped_until[run] = again + 1
            found.append((again, "start", run))
        found.append((minute, command, run))
    found.sort(key=lambda item: item[0])
    return tuple(
        Command(number, START + minute * MINUTE + MINUTE // 2, command, run)
        for number, (minute, command, run) in enumerate(found)
    )


# -- the market ------------------------------------------------------------------------------------


def market(seed: int) -> dict[str, Candles]:
    """One-minute bars by symbol, the missing minutes missing."""
    exchange = SimulatedExchange(seed)
    since = from_ms(START - HISTORY * MINUTE)
    end = START + MINUTES * MINUTE
    bars: dict[str, Candles] = {}
    for symbol in LATE:
        found = exchange.get_candles(symbol, "1m", since, HISTORY + MINUTES)
        bars[symbol] = found[: int((found.timestamp < end).sum())]
    return bars


class LateBars(HeldBars):
    """Bars that appear some time after their minute is over.

    Args:
        candles: all bars, by symbol.
        now: the present instant, ms UTC.
    """

    def __init__(self, candles: Mapping[str, Candles], now: Callable[[], int]) -> None:
        super().__init__(candles)
        self._now = now

    def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Candles:
        bars = super().get_candles(symbol, interval, since, limit)
        shown = int((bars.timestamp + MINUTE + LATE[symbol] <= self._now()).sum())
        return bars[:shown]
