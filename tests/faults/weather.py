"""Random mixtures of everything that can be wrong, made of one number.

Quiet stretches, drizzle (now and then a request meets a fault), storms (most requests do, each its
own), outages (all requests meet the same one for minutes, rarely for more than an hour), silences
that the exchange asks for, a clock that is wrong by another amount every half an hour, and bars
that appear after newer ones.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.time import MINUTE, from_ms
from tests.faults.simulation import Plan
from tests.faults.strategies import MINUTES_ONLY
from tests.faults.troubled import Scripts
from tests.servers import faults
from tests.servers.faults import EVERY_KIND, Fault, FaultScript, status

MIXTURE: tuple[Fault, ...] = (
    *EVERY_KIND, status(429, 30), status(503, 20), faults.late(15_000), faults.late(70_000),
)  # fmt: skip
"""What a single request may meet."""

OUTAGES: tuple[Fault, ...] = (*MIXTURE, status(403), status(520), faults.late(200_000))
"""What every request of a stretch may meet."""

SILENCES: tuple[Fault, ...] = (status(418, 90), status(418), status(429, 240), status(429))
"""What one request in a quiet time may meet, with an effect on all others."""

SKEWS = (0, 0, 300, -300, 800, -800, 2500, -3000, 15_000, -12_000)
_SKEW_EVERY = 30 * MINUTE
_QUIET_END = 6 * MINUTE
_WITHHELD_EVERY = 45


class Stretch(NamedTuple):
    """Some time under one script."""

    start: int
    script: FaultScript


class Weather:
    """Scripts one after the other."""

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self._starts = [stretch.start for stretch in stretches]
        self._scripts = [stretch.script for stretch in stretches]

    def pick(self, endpoint: str, number: int, now: int) -> Fault | None:
        """The fault of a request."""
        at = bisect_right(self._starts, now) - 1
        return self._scripts[at].pick(endpoint, number, now) if at >= 0 else None


def mixture(
    seed: int, start: int, minutes: int, *, state: Path | None = None, cache: Path | None = None
) -> Plan:
    """A plan that is all made of ``seed``, quiet in its last minutes."""
    dice = random.Random(seed)
    end = start + minutes * MINUTE - _QUIET_END
    times = range(start, start + (minutes + 1) * MINUTE, _SKEW_EVERY)
    time_script = FaultScript(chance=0.1, mixture=MIXTURE, seed=seed, endpoints=("time",))
    listing = FaultScript(at={1: dice.choice(EVERY_KIND)}, endpoints=("exchangeInfo",))
    return Plan(
        start,
        minutes,
        Scripts(
            {
                "klines": Weather(_stretches(dice, start + 3 * MINUTE, end)),
                "time": time_script,
                "exchangeInfo": listing,
            }
        ),
        skews=[(instant, dice.choice(SKEWS)) for instant in times],
        withheld={MINUTES_ONLY: _withheld(dice, seed, start, minutes)},
        settings={"exit_trigger": dice.choice(("vwap", "touch"))},
        state=state,
        cache=cache,
        seed=seed,
    )


def _stretches(dice: random.Random, start: int, end: int) -> list[Stretch]:
    found: list[Stretch] = []
    now = start
    while now < end:
        kind = dice.choices(("quiet", "drizzle", "storm", "outage", "silence"), (3, 4, 2, 4, 1))[0]
        script, length = FaultScript(), dice.uniform(4, 20)
        if kind == "drizzle":
            script = _random(dice, dice.uniform(0.05, 0.35))
        elif kind == "storm":
            script, length = _random(dice, dice.uniform(0.6, 1.0)), dice.uniform(0.5, 6)
        elif kind == "outage":
            script = _random(dice, 1.0, dice.choice(OUTAGES))
            length = dice.uniform(0.5, 8) if dice.random() < 0.93 else dice.uniform(30, 90)
        elif kind == "silence":
            script, length = _random(dice, 1.0, dice.choice(SILENCES)), 0.4
        found.append(Stretch(now, script))
        now += int(length * MINUTE)
        if kind == "silence":
            found.append(Stretch(now, FaultScript()))
            now += 5 * MINUTE
    return [*found, Stretch(min(now, end), FaultScript())]


def _random(dice: random.Random, chance: float, *only: Fault) -> FaultScript:
    return FaultScript(chance=chance, mixture=only or MIXTURE, seed=dice.randrange(10**9))


def _withheld(dice: random.Random, seed: int, start: int, minutes: int) -> dict[int, int]:
    """Bars that appear when their minute has been filled, unless an outage outlasts them."""
    market = SimulatedExchange(seed)
    found: dict[int, int] = {}
    for first in range(10, minutes - 20, _WITHHELD_EVERY):
        minute = start + (first + dice.randrange(_WITHHELD_EVERY // 2)) * MINUTE
        [bar] = market.get_candles(MINUTES_ONLY, "1m", from_ms(minute), 1)
        found[bar.timestamp] = bar.timestamp + MINUTE * dice.randint(3, 9) + 30_000
    return found
