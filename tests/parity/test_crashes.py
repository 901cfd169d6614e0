"""Parity survives crashes: the same trades when the process dies again and again in the replay.

A crash is a store that stops answering: before a commit, after one (so that nothing was published),
or between ticks. What follows starts from nothing but the store and the stopped clock.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from engine import Engine, SimulatedClock
from engine.adapters.store.memory import MemoryStore
from engine.core.frames import Frame
from engine.domain.changes import Change
from engine.domain.time import to_ms
from tests.golden.cases import SYMBOL, Script, case_ids, case_of, registered
from tests.parity.test_parity import backtested, transition_fields


class DyingStore(MemoryStore):
    """Hangs for good at chosen commits: the process is dead as far as its runs can tell."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.dead = asyncio.Event()

    def revive(self) -> None:
        self.dead = asyncio.Event()

    async def commit(self, changes: Sequence[Change]) -> tuple[int, ...]:
        fate = self._chance.random()
        if fate < 0.15:
            await self._die()
        numbers = await super().commit(changes)
        if fate > 0.85:
            await self._die()
        return numbers

    async def close(self) -> None:
        """A dead process closes nothing."""

    async def _die(self) -> None:
        self.dead.set()
        await asyncio.Future()


class Remembering(Script):
    """Answers a repeated question like the first time, as a strategy of its instant would."""

    def __init__(self, script: Script) -> None:
        self.__dict__.update(script.__dict__)
        self._answers: dict[int, Any] = {}

    async def __call__(self, symbol: str, when: datetime) -> dict[str, Any] | None:
        now = to_ms(when)
        if now not in self._answers:
            self._answers[now] = await super().__call__(symbol, when)
        return self._answers[now]


async def replayed_with_crashes(case: dict[str, Any], trigger: str, seed: int) -> Any:
    chance = random.Random(seed)
    fields = case["frame"]
    frame = Frame.of(fields["start_date"], fields["end_date"], fields["interval"])
    end = case["candles"][-1][0] + 60_000
    store = DyingStore(chance)
    made: dict[tuple[str, str, int], Any] = {}
    script: Remembering | None = None
    when, crashes = frame.start, 0

    def note(result: Any) -> None:
        # A listener may hear of a transition twice, the second time marked as replayed.
        name = (result.signal.id, str(result.action), result.when)
        assert name not in made or result.replayed
        made[name] = transition_fields(result)

    def instants(at: int) -> bool:
        inside = frame.start <= at <= frame.end and at < end
        return inside and (at - frame.start) % frame.step == 0

    while True:
        store.revive()
        clock = SimulatedClock(when)
        engine = Engine(clock=clock, store=store)
        async with engine:
            engine.bus.subscribe("signal", note, transitions_only=True)
            with registered(case, engine, trigger) as fresh:
                script = script or Remembering(fresh)
                strategy = engine.strategies.get("scripted", "test")
                engine.strategies.remove("scripted")
                engine.strategies.add(strategy.model_copy(update={"get_signal": script}))
                engine.live_runs.instants = instants
                recovered = await engine.live_runs.recover()
                if not recovered.instances:
                    engine.live(SYMBOL, strategy_name="scripted", exchange_name="golden").start()
                over = asyncio.ensure_future(clock.sleep_until(end + 90_000))
                dead = asyncio.ensure_future(store.dead.wait())
                await asyncio.wait({over, dead}, return_when=asyncio.FIRST_COMPLETED)
                finished = over.done()
                over.cancel()
                dead.cancel()
        when, crashes = clock.now(), crashes + 1
        if finished:
            return list(made.values()), crashes


@pytest.mark.parametrize("trigger", ["vwap", "touch"])
@pytest.mark.parametrize("case_id", case_ids()[::12])
async def test_trades_survive_crashes_at_commits(case_id: str, trigger: str) -> None:
    case = case_of(case_id)
    expected = await backtested(case, trigger)
    found, crashes = await replayed_with_crashes(case, trigger, seed=int(crc(case_id)))
    assert sorted(map(str, found)) == sorted(map(str, expected))
    assert crashes > 1 or len(expected) < 5


def crc(text: str) -> int:
    return sum(ord(character) * 31**place for place, character in enumerate(text))
