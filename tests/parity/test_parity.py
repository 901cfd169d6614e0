"""Backtest and live give the same trades: every golden case, replayed through the live driver.

The replay runs minute by minute on a simulated clock, bars arrive as time passes, and the results
are compared to the bit. Only what ends a backtest (``end_of_data``) exists in it alone.
"""

from __future__ import annotations

from typing import Any

import pytest

from engine import Backtest, Engine, SimulatedClock
from engine.core.frames import Frame
from engine.domain.signals import Mode
from tests.golden.cases import SYMBOL, case_ids, case_of, registered
from tests.golden.test_golden import cancelled_fields, trade_fields

Transitions = list[tuple[str, dict[str, Any]]]


def transition_fields(result: Any) -> tuple[str, dict[str, Any]]:
    if result.action == "closed":
        return "closed", trade_fields(result)
    if result.action == "cancelled":
        return "cancelled", cancelled_fields(result)
    row = result.signal
    return str(result.action), {
        "when": result.when,
        "price": result.current_price,
        "price_open": row.price_open,
        "scheduled_at": row.scheduled_at,
        "pending_at": row.pending_at,
    }


def of_backtests_alone(transition: tuple[str, dict[str, Any]]) -> bool:
    fields = transition[1]
    return "end_of_data" in (fields.get("close_reason"), fields.get("cancel_reason"))


async def backtested(case: dict[str, Any], trigger: str) -> Transitions:
    async with Engine() as engine:
        made: Transitions = []
        engine.bus.subscribe(
            "signal", lambda r: made.append(transition_fields(r)), transitions_only=True
        )
        with registered(case, engine, trigger):
            async for _ in Backtest.run(
                SYMBOL, strategy_name="scripted", exchange_name="golden", frame_name="case"
            ):
                pass
        await engine.bus.flush()
    return [item for item in made if not of_backtests_alone(item)]


async def replayed(case: dict[str, Any], trigger: str) -> Transitions:
    frame_fields = case["frame"]
    frame = Frame.of(frame_fields["start_date"], frame_fields["end_date"], frame_fields["interval"])
    end = case["candles"][-1][0] + 60_000
    clock = SimulatedClock(frame.start)
    async with Engine(clock=clock) as engine:
        made: Transitions = []

        def instants(when: int) -> bool:
            return (
                frame.start <= when <= frame.end
                and (when - frame.start) % frame.step == 0
                and when < end
            )

        engine.bus.subscribe(
            "signal", lambda r: made.append(transition_fields(r)), transitions_only=True,
            maxsize=1_000_000,
        )  # fmt: skip
        with registered(case, engine, trigger):
            engine.live_runs.instants = instants
            instance = engine.live(SYMBOL, strategy_name="scripted", exchange_name="golden")
            instance.start()
            await clock.sleep_until(end + 90_000)
            execution: Any = instance.execution
            # A backtest decides no more after its frame and settles what is left.
            assert execution.missed_decisions == 0
        await engine.bus.flush()
        assert instance.key.mode is Mode.LIVE
    return made


@pytest.mark.parametrize("trigger", ["vwap", "touch"])
@pytest.mark.parametrize("case_id", case_ids())
async def test_live_replay_gives_the_same_transitions(case_id: str, trigger: str) -> None:
    case = case_of(case_id)
    expected = await backtested(case, trigger)
    assert await replayed(case, trigger) == expected
