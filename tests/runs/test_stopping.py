"""Stopping and starting again: what is held is followed, and nothing new begins."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from engine import Backtest, Signal, listen_signal_backtest_once, listen_signal_once
from tests.runs.bed import SYMBOL, Bed, bed, long, minute_of, path


async def every(symbol: str, when: datetime) -> Signal:
    return long(3)


async def never(symbol: str, when: datetime) -> None:
    return None


def waits_below(symbol: str, when: datetime) -> Signal:
    return long(3, entry=95)


def statuses(made: Bed) -> list[str]:
    return [event.status for event in made.heard["instance"]]


@pytest.mark.parametrize("form", ["plain", "async", "callback"])
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("opened", [("opened", 0), ("closed", 3)]),
        ("closed", [("opened", 0), ("closed", 3)]),
        ("scheduled", [("scheduled", 0), ("cancelled", 0)]),
        ("cancelled", [("scheduled", 0), ("cancelled", 2)]),
    ],
)
async def test_a_stop_by_a_listener_comes_before_the_next_decision(
    action: str, expected: list[tuple[str, int]], form: str
) -> None:
    calls = []

    async def get_signal(symbol: str, when: datetime) -> Signal:
        calls.append(minute_of(when))
        return long(3, entry=95) if action in ("scheduled", "cancelled") else long(3)

    async def stops(result: Any) -> None:
        await asyncio.sleep(0)
        await Backtest.stop(SYMBOL, "asked")

    def stop_now(*_: Any) -> None:
        made.instance().stop()

    async with bed(frame=(0, 60), config={"schedule_await_minutes": 2}) as made:
        on = {"opened": "on_open", "closed": "on_close", "scheduled": "on_schedule",
              "cancelled": "on_cancel"}[action]  # fmt: skip
        made.strategy(get_signal, callbacks={on: stop_now} if form == "callback" else {})
        if form != "callback":
            listener = stops if form == "async" else stop_now
            listen_signal_backtest_once(lambda r: r.action == action, listener)
        await made.results()
        assert made.actions() == expected
        assert calls == [0]
        assert statuses(made) == ["running", "stopping", "done"]
        assert made.instance().is_stopped
        assert len(made.heard["done_backtest"]) == 1
        assert made.heard["progress_backtest"][-1].progress == 1.0


async def test_a_stopped_scheduled_signal_is_never_activated() -> None:
    """The very next bar would reach the entry."""
    rows = path([100, 94, 94, 94, 100, 100])
    async with bed(rows, frame=(0, 5), config={"exit_trigger": "touch"}) as made:
        made.strategy(waits_below)
        listen_signal_once(lambda r: r.action == "scheduled", lambda r: made.instance().stop())
        [result] = await made.results()
        assert str(result.cancel_reason) == "stopped"
        assert all(action != "opened" for action, _ in made.actions())


@pytest.mark.parametrize("live", [False, True], ids=["backtest", "live"])
@pytest.mark.parametrize("action", ["opened", "scheduled"])
async def test_a_stop_in_a_callback_is_the_same_in_backtest_and_live(
    action: str, live: bool
) -> None:
    async with bed(live=live, frame=(0, 9)) as made:
        on = "on_open" if action == "opened" else "on_schedule"
        made.strategy(
            every if action == "opened" else waits_below,
            callbacks={on: lambda *_: made.instance().stop()},
        )
        if live:
            made.instance().start()
            await made.until(9)
        else:
            await made.results()
        expected = {
            "opened": [("opened", 0), ("closed", 3)],
            "scheduled": [("scheduled", 0), ("cancelled", 0)],
        }
        assert made.actions() == expected[action]
        assert made.instance().status == "done"


async def test_a_live_stop_drains() -> None:
    async with bed(live=True) as made:
        made.strategy(every)
        instance = made.instance()
        instance.start()
        await made.until(1)
        cancel = instance.stop
        cancel()
        cancel()
        assert (instance.status, instance.is_stopped, instance.is_done) == ("stopping", True, False)
        await made.until(2)
        assert instance.status == "stopping"
        await made.until(10)
        assert instance.status == "done"
        assert made.actions() == [("opened", 0), ("closed", 3)]
        assert len(made.heard["done_live"]) == 1
        assert made.heard["done_live"][0].backtest is False


async def test_a_live_stop_while_flat_ends_at_once_and_cancels_what_is_scheduled() -> None:
    async with bed(live=True) as made:
        made.strategy(never)
        made.strategy(waits_below, "waits")
        idle, waiting = made.instance(), made.instance("waits")
        idle.start()
        waiting.start()
        await made.until(2)
        idle.stop()
        waiting.stop()
        await made.until(4)
        assert idle.status == waiting.status == "done"
        assert made.actions()[-1][0] == "cancelled"
        [result] = [r for r in made.heard["signal"] if r.action == "cancelled"]
        assert str(result.cancel_reason) == "stopped"


async def test_a_start_while_draining_resumes_and_a_start_after_the_end_begins_anew() -> None:
    async with bed(live=True) as made:
        made.strategy(every)
        instance = made.instance()
        instance.start()
        await made.until(1)
        instance.stop()
        await made.until(2)
        instance.start()
        assert (instance.status, instance.is_stopped) == ("running", False)
        await made.until(7)
        assert made.actions() == [("opened", 0), ("closed", 3), ("opened", 3), ("closed", 6),
                                  ("opened", 6)]  # fmt: skip
        instance.stop()
        await made.until(10)
        assert instance.status == "done"
        instance.start()
        await made.until(12)
        assert made.actions()[-1] == ("opened", 10)
        execution: Any = instance.execution
        assert not execution.journal.trades
        assert statuses(made) == ["running", "stopping", "running", "stopping", "done", "running"]


async def test_stop_before_a_start_and_after_the_end_is_harmless() -> None:
    async with bed(frame=(0, 8)) as made:
        made.strategy(every)
        instance = made.instance()
        instance.stop()
        assert instance.status == "idle"
        first = await made.results()
        instance.stop()
        assert instance.status == "done"
        assert await made.results() == first


async def test_wait_returns_when_the_session_has_ended() -> None:
    async with bed(frame=(0, 8)) as made:
        made.strategy(every)
        instance = made.instance()
        await instance.wait()
        instance.start()
        await asyncio.gather(instance.wait(), instance.wait())
        assert instance.is_done


@pytest.mark.parametrize("live", [False, True], ids=["backtest", "live"])
@pytest.mark.parametrize("entry", [None, 95.0], ids=["immediate", "scheduled"])
async def test_a_stop_while_the_strategy_is_being_asked_discards_its_answer(
    live: bool, entry: float | None
) -> None:
    """Behaviour 2.2: stopped meanwhile means no signal."""

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        if minute_of(when) == 2:
            made.instance().stop()
            await asyncio.sleep(0)
            return long(3, entry=entry)
        return None

    async with bed(live=live, frame=(0, 9)) as made:
        made.strategy(get_signal)
        if live:
            made.instance().start()
            await made.until(9)
        else:
            await made.results()
        assert made.actions() == []
        assert made.instance().status == "done"
