"""The simulated clock: order of wake-ups, and who holds time still."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.services.clock import AcceleratedClock, SimulatedClock, SystemClock


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 50), max_size=6), max_size=6))
def test_sleepers_wake_in_the_order_of_their_instants(plans: list[list[int]]) -> None:
    async def check() -> None:
        clock, woken = SimulatedClock(1000), []

        async def sleeper(name: int, pauses: list[int]) -> None:
            with clock.working():
                for pause in pauses:
                    until = clock.now() + pause
                    await clock.sleep_until(until)
                    assert clock.now() == until, "time waited for who was working"
                    woken.append(clock.now())

        await asyncio.gather(*(sleeper(i, plan) for i, plan in enumerate(plans)))
        assert woken == sorted(woken)
        assert len(woken) == sum(map(len, plans))
        assert clock.now() == 1000 + max((sum(plan) for plan in plans), default=0)

    asyncio.run(check())


async def test_time_stands_still_while_somebody_works() -> None:
    clock, events = SimulatedClock(0), []

    async def worker() -> None:
        with clock.working():
            for _ in range(50):
                await asyncio.sleep(0)
                events.append(clock.now())
            await clock.sleep_until(30)
            events.append(clock.now())

    task = asyncio.create_task(worker())
    await asyncio.sleep(0)
    await clock.sleep_until(10)
    assert events == [0] * 50
    await task
    assert events[-1] == 30


async def test_a_worker_that_waits_for_another_lets_time_move() -> None:
    clock = SimulatedClock(0)

    async def other() -> int:
        await clock.sleep_until(500)
        return clock.now()

    with clock.working():
        task = asyncio.create_task(other())
        for _ in range(20):
            await asyncio.sleep(0)
        assert clock.now() == 0
        with clock.waiting():
            assert await task == 500
        for _ in range(20):
            await asyncio.sleep(0)
        assert clock.now() == 500


async def test_a_cancelled_sleeper_neither_wakes_nor_holds_time() -> None:
    clock = SimulatedClock(0)
    with clock.working():
        task = asyncio.create_task(clock.sleep_until(5))
        await asyncio.sleep(0)
        task.cancel()
        await clock.sleep_until(100)
        assert clock.now() == 100
    assert task.cancelled()


async def test_a_worker_cancelled_in_its_sleep_lets_time_go() -> None:
    clock = SimulatedClock(0)

    async def worker() -> None:
        with clock.working():
            await clock.sleep_until(1000)

    task = asyncio.create_task(worker())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await clock.sleep_until(10)
    assert clock.now() == 10


async def test_sleeping_into_the_past_returns_and_changes_nothing() -> None:
    clock = SimulatedClock(100)
    await clock.sleep_until(50)
    await clock.sleep_until(100)
    assert clock.now() == 100


async def test_real_clocks_reach_what_they_are_asked_for() -> None:
    system = SystemClock()
    target = system.now() + 2
    await system.sleep_until(target)
    assert system.now() >= target
    fast = AcceleratedClock(1_000_000, 10_000)
    assert fast.speed == 10_000
    await fast.sleep_until(1_000_500)
    assert fast.now() >= 1_000_500
