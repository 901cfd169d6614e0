"""What kills have shown to go wrong once, each in the fewest steps and without a process.

A crash is a copy of the store: whoever goes on with the copy knows what had been committed when it
was made, and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest

from engine import Engine, Signal, SimulatedClock, add_exchange, add_strategy
from engine.adapters.store.memory import MemoryStore
from engine.runs.instance import Instance
from tests.runs.bed import MINUTE, RELAXED, SYMBOL, T0, flat, long, minute_of, serving


class Desk:
    """One life of one run over a store, on a clock that goes on where the life before stood."""

    def __init__(self, engine: Engine, clock: SimulatedClock) -> None:
        self.engine = engine
        self.clock = clock
        self.asked: list[int] = []
        self.answers: dict[int, Signal] = {}

    @property
    def run(self) -> Instance:
        return self.engine.live(SYMBOL, strategy_name="asked", exchange_name="memory")

    async def until(self, minute: int, seconds: int = 20) -> None:
        await self.clock.sleep_until(T0 + minute * MINUTE + seconds * 1000)

    async def get_signal(self, symbol: str, when: datetime) -> Signal | None:
        self.asked.append(minute_of(when))
        return self.answers.get(minute_of(when))


@asynccontextmanager
async def desk(
    store: MemoryStore, now: int = T0, interval: str = "1m"
) -> AsyncIterator[Desk]:  # fmt: skip
    clock = SimulatedClock(now)
    with clock.working():
        async with Engine(clock=clock, store=store) as engine:
            engine.configure(RELAXED, unsafe=True)
            function = serving(flat(-10, 60), clock)
            add_exchange(exchange_name="memory", get_candles=function, intervals=("1m",))
            made = Desk(engine, clock)
            add_strategy(strategy_name="asked", interval=interval, get_signal=made.get_signal)
            yield made


async def operate(made: Desk, command: Any) -> str:
    with made.clock.waiting():
        return await made.engine.live_runs.operate(made.run, command)


@pytest.mark.parametrize("entry", [None, 95.0])
async def test_nothing_is_decided_at_an_operators_instant_after_a_restart(
    entry: float | None,
) -> None:
    store = MemoryStore()
    async with desk(store) as made:
        made.answers[0] = long(30, entry)
        made.run.start()
        await made.until(3)
        answer = await operate(made, "close" if entry is None else "cancel")
        assert answer.endswith("100")
        assert made.asked == [0]
        now = made.clock.now()
    async with desk(store, now) as made:
        await made.engine.recover()
        await made.until(5)
        assert made.asked == [4, 5]


@pytest.mark.parametrize("holding", [False, True])
async def test_an_acknowledged_start_survives(holding: bool) -> None:
    store = MemoryStore()
    async with desk(store) as made:
        if holding:
            made.answers[0] = long(30)
        made.run.start()
        await made.until(1)
        await operate(made, "stop")
        await made.until(2)
        assert made.run.status == ("stopping" if holding else "done")
        assert await operate(made, "start") == ("resumed" if holding else "started again")
        crashed, now = deepcopy(store), made.clock.now()
    async with desk(crashed, now) as made:
        await made.engine.recover()
        assert made.run.status == "running"
        await made.until(3)
        assert made.asked == ([] if holding else [2, 3])


async def test_a_new_session_asks_at_once_also_after_a_restart() -> None:
    store = MemoryStore()
    async with desk(store, interval="5m") as made:
        made.run.start()
        await made.until(1)
        await operate(made, "stop")
        await made.until(2)
        await operate(made, "start")
        crashed, now = deepcopy(store), made.clock.now()
        await made.until(8)
        assert made.asked == [0, 2, 7]
    async with desk(crashed, now, "5m") as made:
        await made.engine.recover()
        await made.until(8)
        assert made.asked == [2, 7]


class NoTelemetry(MemoryStore):
    """What may be lost with the process is lost."""

    def telemetry(self, rows: Any) -> None:
        pass


async def test_when_a_session_ended_is_known_after_a_restart() -> None:
    store = NoTelemetry()
    async with desk(store) as made:
        made.answers[0] = long(3)
        made.run.start()
        await made.until(10)
        await operate(made, "stop")
        await made.until(12)
        assert made.run.status == "done"
        expected = await made.engine.live_runs.figures(made.run.key)
        assert expected[0].exposure == pytest.approx(0.3)
        now = made.clock.now()
    async with desk(store, now) as made:
        await made.engine.recover()
        assert await made.engine.live_runs.figures(made.run.key) == expected
