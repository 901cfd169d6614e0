"""Parity survives crashes: the same trades when the process dies again and again in the replay.

A crash is a store that stops answering, and takes everything else with it: before a commit, after
one (so that nothing was published), or between two instants. What follows starts from nothing but
the store and the stopped clock. Dying in the middle of a write is what `tests/store` is about.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, SimulatedClock
from engine.adapters.store.memory import MemoryStore
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import Change
from engine.domain.events import Partial
from engine.domain.time import MINUTE, to_ms
from engine.runs.instance import Instance
from tests.golden.cases import Script
from tests.parity.replay_bed import (
    Replay,
    Transition,
    equip,
    expected_of,
    listening,
    replays,
    share,
    started,
    transition_of,
)
from tests.store.store_bed import MEMORY

GROUPS = 2
ONE_IN = 8
"""The part of all cases that lives over a state file with crashes."""


class Mortal:
    """Makes a store hang for good at some commits: the process is dead, for all that hear of it."""

    def __init__(self, chance: random.Random, deadly: float, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.chance = chance
        self.deadly = deadly
        self.dead = asyncio.Event()

    async def commit(self, changes: Sequence[Change]) -> tuple[int, ...]:
        fate = self.chance.random()
        if self.dead.is_set() or fate < self.deadly:
            await self._die()
        numbers: tuple[int, ...] = await super().commit(changes)  # type: ignore[misc]
        if fate > 1 - self.deadly:
            await self._die()
        return numbers

    async def close(self) -> None:
        """A dead process closes nothing."""

    async def _die(self) -> None:
        self.dead.set()
        await asyncio.Future()


class MortalMemory(Mortal, MemoryStore):
    """Its next life has the same memory."""


class MortalFile(Mortal, SqliteStore):
    """Its next life opens the file before this one has closed it."""

    def __init__(self, *arguments: Any, before: MortalFile | None = None) -> None:
        # What was delivered is written now and then, never by a timer of a life that is over.
        super().__init__(*arguments, flush_seconds=1e9)
        self._before = before

    async def open(self) -> None:
        """The kernel takes the lock from the dead; its connections are as it left them."""
        writer = self._before and self._before._writer
        if writer:
            writer._on_end()
        await super().open()
        if writer:
            writer._task.cancel()
            await asyncio.wait([writer._task])

    async def commit(self, changes: Sequence[Change]) -> tuple[int, ...]:
        numbers = await super().commit(changes)
        if self.chance.random() < 0.2:
            await self.flush()
        return numbers


class Remembering(Script):
    """Answers a repeated question like the first time, and only at instants of its frame."""

    def __init__(self, one: Replay) -> None:
        super().__init__(one.case)
        self._one = one
        self._answers: dict[int, Any] = {}

    async def __call__(self, symbol: str, when: datetime) -> dict[str, Any] | None:
        now = to_ms(when)
        if now not in self._answers:
            inside = self._one.is_instant(now)
            self._answers[now] = await super().__call__(symbol, when) if inside else None
        return self._answers[now]


@dataclass
class Fate:
    """Cases that live and die together.

    Attributes:
        lives: makes the store of the next life from the one before, None at first.
        made: what anybody heard of, by run and by transition.
        crashes: how often they died.
    """

    chosen: Sequence[Replay]
    expected: dict[str, list[Transition]]
    lives: Callable[[Any], Any]
    chance: random.Random
    made: dict[str, dict[tuple[str, str], Transition]] = field(init=False)
    crashes: int = 0

    def __post_init__(self) -> None:
        self.made = {one.name: {} for one in self.chosen}
        self._scripts = {one.name: Remembering(one) for one in self.chosen}
        self._ends = {one.name: one.end(self.expected[one.name]) for one in self.chosen}

    async def run(self) -> Any:
        """Live until all is over; answers the last store."""
        when = min(one.frame.start for one in self.chosen)
        store: Any = None
        while True:
            store = self.lives(store)
            clock = SimulatedClock(when)
            if await self._live(clock, store):
                return store
            when = clock.now()
            self.crashes += 1

    async def _live(self, clock: SimulatedClock, store: Any) -> bool:
        """One life; whether it reached the end of all."""
        async with Engine(clock=clock, store=store) as engine:
            listening(engine, self._hear)
            for one in self.chosen:
                equip(engine, one, self._scripts[one.name])
            recovered = await engine.recover()
            assert recovered.problems == ()
            known = {instance.key: instance for instance in recovered.instances}
            over = asyncio.gather(
                *(self._follow(engine, one, known.get(one.key)) for one in self.chosen)
            )
            dead = asyncio.ensure_future(store.dead.wait())
            doom = asyncio.ensure_future(self._doom(clock))
            await asyncio.wait({over, dead, doom}, return_when=asyncio.FIRST_COMPLETED)
            finished = over.done()
            if finished:
                await over
                await engine.bus.flush()
            store.dead.set()
            for task in (over, dead, doom):
                task.cancel()
            await asyncio.gather(over, dead, doom, return_exceptions=True)
        return finished

    async def _follow(self, engine: Engine, one: Replay, instance: Instance | None) -> None:
        await engine.clock.sleep_until(one.frame.start)
        if instance is None:
            instance = started(engine, one)
        await engine.clock.sleep_until(self._ends[one.name] + 30_000)
        await instance.cancel()

    async def _doom(self, clock: SimulatedClock) -> None:
        """Now and then it ends between two instants."""
        if self.chance.random() < 0.3:
            instant = clock.now() + self.chance.randrange(1, 90) * MINUTE
            await clock.sleep_until(instant + self.chance.choice((0, 1, 30_000)))
        else:
            await asyncio.Future()

    def _hear(self, result: Any) -> None:
        # A listener may hear of a transition twice, the second time marked as replayed.
        made = self.made[result.strategy_name]
        transition = transition_of(result)
        row = result.data if isinstance(result, Partial) else result.signal
        name = row.id, str(transition)
        assert name not in made or result.replayed
        made[name] = transition


async def crashing(chosen: Sequence[Replay], kind: str, deadly: float, seed: int) -> int:
    """Replay cases with crashes, and check all that came of it; answers the number of crashes."""
    expected = await expected_of(chosen)
    chance = random.Random(seed)
    memory = MortalMemory(chance, deadly)
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        path = Path(name) / "state.db"

        def lives(before: Any) -> Any:
            if kind == "memory":
                memory.dead.clear()
                return memory
            return MortalFile(chance, deadly, path, before=before)

        fate = Fate(chosen, expected, lives, chance)
        last = await fate.run()
        state = await last.load()
        await SqliteStore.close(last) if kind == "file" else None
    wrong = [
        one.name
        for one in chosen
        if sorted(map(str, fate.made[one.name].values())) != sorted(map(str, expected[one.name]))
    ]
    assert not wrong, f"{len(wrong)} differ after {fate.crashes} crashes: {', '.join(wrong)}"
    for one in chosen:
        # The statistics of the next start are those of a run that never died.
        trades = [transition_of(trade) for trade in state.runs[one.key].trades]
        assert trades == [item for item in expected[one.name] if item[0] == "closed"]
    return fate.crashes


def events_in(expected: dict[str, Any]) -> int:
    return sum(len(expected[name]) for name in ("opened", "scheduled", "cancelled", "partials"))


def eventful() -> list[Replay]:
    """Of each strategy interval the short cases in which most happens."""
    found: dict[str, list[Replay]] = {}
    for one in replays():
        if one.data_end - one.frame.start <= 310 * MINUTE:
            found.setdefault(one.case["strategy"]["interval"], []).append(one)
    for same in found.values():
        same.sort(key=lambda one: -events_in(one.case["expected"][one.trigger]))
    return [one for same in found.values() for one in same[:5]]


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_trades_survive_a_crash_at_every_third_commit(kind: str) -> None:
    assert await crashing(eventful(), kind, 0.15, seed=1) > 50


@pytest.mark.parametrize("group", range(GROUPS))
async def test_trades_of_many_runs_survive_crashes_in_one_state_file(group: int) -> None:
    chosen = [one for one in share(group, GROUPS * ONE_IN) if one.frame.step == MINUTE]
    assert await crashing(chosen, "file", 0.003, seed=group) > 15
