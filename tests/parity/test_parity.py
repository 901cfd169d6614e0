"""Backtest and live give the same trades: every golden case, replayed through the live driver.

Most with both triggers, long ones with either; ``make parity`` replays all with both.

The replay runs minute by minute on a simulated clock, bars arrive as time passes, and the results
are compared to the bit. Only what ends a backtest (``end_of_data``) exists in it alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from engine import Engine, SimulatedClock
from tests.parity.replay_bed import (
    Replay,
    Transition,
    by_topic,
    equip,
    expected_of,
    listening,
    script_of,
    share,
    started,
    transition_of,
)

GROUPS = 8


async def replayed(
    chosen: Sequence[Replay], expected: dict[str, list[Transition]]
) -> dict[str, list[Transition]]:
    """What live runs of all of them do, by name."""
    made: dict[str, list[Transition]] = {one.name: [] for one in chosen}
    clock = SimulatedClock(min(one.frame.start for one in chosen))

    async def live(one: Replay) -> None:
        await clock.sleep_until(one.frame.start)
        equip(engine, one, script_of(one))
        engine.live_runs.instants = one.is_instant
        instance = started(engine, one)
        await clock.sleep_until(one.end(expected[one.name]) + 30_000)
        execution: Any = instance.execution
        # A backtest decides no more after its frame and settles what is left.
        assert execution.missed_decisions == 0
        await instance.cancel()

    async with Engine(clock=clock) as engine:
        listening(engine, lambda r: made[r.strategy_name].append(transition_of(r)))
        await asyncio.gather(*map(live, chosen))
        await engine.bus.flush()
    return made


@pytest.mark.parametrize("group", range(GROUPS))
async def test_live_replays_give_the_same_transitions(group: int) -> None:
    chosen = share(group, GROUPS)
    expected = await expected_of(chosen)
    found = await replayed(chosen, expected)
    names = [one.name for one in chosen]
    wrong = [name for name in names if by_topic(found[name]) != by_topic(expected[name])]
    assert not wrong, f"{len(wrong)} differ: {', '.join(wrong)}"
    kinds = {kind for transitions in found.values() for kind, _ in transitions}
    assert kinds >= {"scheduled", "opened", "closed", "cancelled", "partial profit"}
