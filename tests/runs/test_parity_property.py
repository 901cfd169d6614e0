"""Parity on random series: the live driver, minute by minute, makes the trades of the backtest.

With holes, zero volumes and prices exactly on levels. What the strategy sees is compared as well:
not one bar may differ, in any interval.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import Candle, Signal, get_average_price, get_candles
from engine.core.frames import Frame
from tests.runs.bed import MINUTE, T0, Bed, bed, minute_of
from tests.runs.test_fast_forward import GRID, Case, cases

BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine makes no example a failure."""


class Seen(NamedTuple):
    """What a run did, without ids: transitions, milestones, and what the strategy was shown."""

    transitions: list[tuple[Any, ...]]
    partials: list[tuple[Any, ...]]
    windows: list[tuple[int, float, list[list[Candle]]]]
    errors: list[tuple[Any, str]]


def transitions(made: Bed) -> list[tuple[Any, ...]]:
    found = []
    for result in made.heard["signal"]:
        row = result.signal
        reason = getattr(result, "close_reason", None) or getattr(result, "cancel_reason", None)
        if reason != "end_of_data":
            found.append(
                (str(result.action), result.when, result.current_price, row.position,
                 row.price_open, row.price_take_profit, row.price_stop_loss, row.scheduled_at,
                 row.pending_at, reason, result.pnl if reason else None)
            )  # fmt: skip
    return found


async def run(case: Case, *, live: bool, stop_after: int = 0) -> Seen:
    windows: list[tuple[int, float, list[list[Candle]]]] = []

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        minute = minute_of(when)
        shown = [list(await get_candles(symbol, name, 3)) for name in ("1m", "3m", "5m")]
        windows.append((minute, await get_average_price(symbol), shown))
        plan = case.plans[minute % len(case.plans)]
        if plan is None:
            return None
        close = shown[0][-1].close
        sign = 1 if plan.position == "long" else -1
        entry = close if plan.entry is None else close + plan.entry * GRID
        return Signal(
            plan.position, entry + sign * plan.target * GRID, entry - sign * plan.stop * GRID,
            plan.minutes, price_open=None if plan.entry is None else entry,
        )  # fmt: skip

    told = [0]

    def transition(*_: Any) -> None:
        told[0] += 1
        if told[0] == stop_after:
            made.instance().stop()

    start, end = case.frame
    data_end = int(case.rows[-1][0]) + MINUTE
    frame = Frame.of(T0 + start * MINUTE, T0 + end * MINUTE, case.interval)

    def instants(when: int) -> bool:
        inside = frame.start <= when <= frame.end and when < data_end
        return inside and (when - frame.start) % frame.step == 0

    topics = ("error", "signal", "partial_profit", "partial_loss")
    async with bed(
        case.rows, frame=case.frame, interval=case.interval, config=case.config, live=live,
        topics=topics,
    ) as made:  # fmt: skip
        callbacks = dict.fromkeys(("on_open", "on_close", "on_schedule", "on_cancel"), transition)
        made.strategy(get_signal, interval=case.strategy_interval, callbacks=callbacks)
        if made.clock is None:
            await made.results()
        else:
            made.engine.live_runs.instants = instants
            await made.clock.sleep_until(max(frame.start, int(case.rows[0][0]) + MINUTE))
            made.instance().start()
            await made.clock.sleep_until(data_end + MINUTE)
            await made.engine.bus.flush()
            execution: Any = made.instance().execution
            assert execution.missed_decisions == 0
    partials = sorted(
        (p.timestamp, p.side, p.level, p.current_price, p.data.pending_at)
        for p in made.heard["partial_profit"] + made.heard["partial_loss"]
    )
    errors = [(error.when, str(error)) for error in made.heard["error"]]
    return Seen(transitions(made), partials, windows, errors)


@settings(BUSY, max_examples=40)
@given(cases(), st.sampled_from((0, 0, 1, 2, 3)))
def test_live_makes_the_trades_of_the_backtest(case: Case, stop_after: int) -> None:
    """Also when a callback stops the run at its first, second or third transition."""
    backtest = asyncio.run(run(case, live=False, stop_after=stop_after))
    live = asyncio.run(run(case, live=True, stop_after=stop_after))
    assert live.windows == backtest.windows
    assert live.transitions == backtest.transitions
    assert live.errors == backtest.errors
    assert live.partials == backtest.partials
