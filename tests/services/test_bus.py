"""Listeners: order, isolation, overflow, once, and contexts."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import RunError
from engine.domain.signals import Idle, Mode, Opened, Position, RunKey, SignalRow
from engine.services.bus import TOPICS, Bus

KEY = RunKey(Mode.BACKTEST, "x", "s", "BTCUSDT", "f")
IDLE = Idle(KEY, 60_000, 100.0)
ROW = SignalRow("i", "BTCUSDT", "s", "x", Position.LONG, 1, 2, 0.5, 9, 60_000, 60_000, False)
OPENED = Opened(KEY, 60_000, 100.0, ROW)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=40))
def test_every_listener_gets_every_event_in_order_and_one_at_a_time(
    plan: list[tuple[int, int]],
) -> None:
    """A plain listener, a quick async one, and one that waits a few rounds for each event."""

    async def check() -> None:
        bus, seen, inside = Bus(), [[], [], []], [0]

        async def quick(event: int) -> None:
            seen[1].append(event)

        async def slow(event: int) -> None:
            inside[0] += 1
            assert inside[0] == 1
            for _ in range(event % 4):
                await asyncio.sleep(0)
            seen[2].append(event)
            inside[0] -= 1

        for listener in (seen[0].append, quick, slow):
            bus.subscribe("data", listener)
        for event, (rounds, more) in enumerate(plan):
            for extra in range(more + 1):
                bus.publish("data", event * 10 + extra)
            for _ in range(rounds):
                await asyncio.sleep(0)
        await bus.flush()
        expected = [e * 10 + x for e, (_, more) in enumerate(plan) for x in range(more + 1)]
        assert seen == [expected] * 3

    asyncio.run(check())


async def test_publishing_calls_nobody_at_once() -> None:
    bus, seen = Bus(), []
    bus.subscribe("data", seen.append)
    bus.publish("data", 1)
    assert seen == []
    await bus.flush()
    assert seen == [1]


@pytest.mark.parametrize("failure", [ValueError("mine"), asyncio.CancelledError()])
@pytest.mark.parametrize("form", ["plain", "async"])
async def test_a_failing_listener_is_reported_and_goes_on(
    form: str, failure: BaseException
) -> None:
    bus, seen, other, errors = Bus(), [], [], []

    def plain(event: Any) -> None:
        seen.append(event)
        if event.when == 60_000:
            raise failure

    async def waiting(event: Any) -> None:
        plain(event)

    bus.subscribe("signal", plain if form == "plain" else waiting)
    bus.subscribe("signal", other.append)
    bus.subscribe("error", errors.append)
    for when in (0, 60_000, 120_000):
        bus.publish_result("signal", Idle(KEY, when, 1.0))
    await bus.flush()
    await bus.flush()
    assert [event.when for event in seen] == [0, 60_000, 120_000]
    assert other == seen
    [error] = errors
    assert isinstance(error, RunError)
    assert (error.stage, error.when, error.strategy_name) == ("listener", 60_000, "s")
    assert (error.symbol, error.mode, error.frame_name) == ("BTCUSDT", "backtest", "f")


async def test_an_error_listener_that_fails_does_not_feed_itself() -> None:
    bus, seen = Bus(), []

    def failing(error: Any) -> None:
        seen.append(error)
        raise ValueError("again")

    bus.subscribe("error", failing)
    bus.publish("error", RunError(ValueError("first"), stage="tick"))
    await bus.flush()
    await bus.flush()
    assert len(seen) == 1


async def test_overflow_is_counted_and_hurts_only_the_slow_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus, gate, slow, quick = Bus(), asyncio.Event(), [], []

    async def waits(event: int) -> None:
        await gate.wait()
        slow.append(event)

    bus.subscribe("data", waits, maxsize=3)
    bus.subscribe("data", quick.append)
    bus.publish("data", 0)
    for _ in range(3):
        await asyncio.sleep(0)
    for event in range(1, 11):
        bus.publish("data", event)
    assert bus.dropped() == 7
    assert sum("too slow" in record.message for record in caplog.records) == 1
    gate.set()
    await bus.flush()
    assert slow == [0, 1, 2, 3]
    assert quick == list(range(11))


async def test_transitions_only_leaves_ticks_out() -> None:
    bus, few, everything = Bus(), [], []
    assert not bus.wants("signal")
    unsubscribe = bus.subscribe("signal", few.append, transitions_only=True)
    assert bus.wants("signal")
    assert not bus.wants_ticks("signal")
    stop = bus.subscribe("signal", everything.append)
    assert bus.wants_ticks("signal")
    for result in (IDLE, OPENED):
        bus.publish_result("signal", result)
    await bus.flush()
    assert few == [OPENED]
    assert everything == [IDLE, OPENED]
    stop()
    assert not bus.wants_ticks("signal")
    unsubscribe()
    assert not bus.wants("signal")


async def test_unsubscribing_ends_it_at_once_even_with_events_queued() -> None:
    bus, seen = Bus(), []
    unsubscribe = bus.subscribe("data", seen.append)
    bus.publish("data", 1)
    unsubscribe()
    unsubscribe()
    bus.publish("data", 2)
    await bus.flush()
    assert seen == []


async def test_a_listener_may_unsubscribe_itself_and_others() -> None:
    bus, first, second = Bus(), [], []

    def once(event: int) -> None:
        first.append(event)
        for stop in stops:
            stop()

    stops = [bus.subscribe("data", once), bus.subscribe("data", second.append)]
    for event in range(3):
        bus.publish("data", event)
    await bus.flush()
    assert first == [0]
    assert second in ([], [0, 1, 2])
    bus.publish("data", 3)
    await bus.flush()
    assert 3 not in second


async def test_once_is_called_for_the_first_match_alone() -> None:
    bus, seen, errors = Bus(), [], []

    async def waiting(event: int) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    bus.subscribe("error", errors.append)
    bus.subscribe_once("data", lambda event: event > 1, seen.append)
    bus.subscribe_once("data", lambda event: event > 2, waiting)
    cancel = bus.subscribe_once("data", lambda event: True, lambda event: seen.append("never"))
    cancel()
    for event in range(6):
        bus.publish("data", event)
    await bus.flush()
    assert sorted(seen) == [2, 3]
    assert not bus.wants("data")
    assert errors == []


async def test_a_filter_that_fails_is_reported_and_asked_again() -> None:
    bus, seen, errors = Bus(), [], []

    def accepts(event: int) -> bool:
        if event == 0:
            raise ValueError("filter")
        return True

    bus.subscribe("error", errors.append)
    bus.subscribe_once("data", accepts, seen.append)
    for event in range(3):
        bus.publish("data", event)
    await bus.flush()
    await bus.flush()
    assert seen == [1]
    assert len(errors) == 1


async def test_an_event_is_handled_in_the_context_it_was_published_in() -> None:
    name: ContextVar[str] = ContextVar("name", default="none")
    bus, seen = Bus(), []

    async def waiting(event: int) -> None:
        await asyncio.sleep(0)
        seen.append(("async", event, name.get()))

    bus.subscribe("data", lambda event: seen.append(("plain", event, name.get())))
    bus.subscribe("data", waiting)
    for event, value in enumerate(("a", "b")):
        token = name.set(value)
        bus.publish("data", event)
        name.reset(token)
    await bus.flush()
    assert sorted(seen) == [
        ("async", 0, "a"), ("async", 1, "b"), ("plain", 0, "a"), ("plain", 1, "b"),
    ]  # fmt: skip


async def test_flush_waits_for_the_events_of_events() -> None:
    bus, seen = Bus(), []

    async def republish(event: int) -> None:
        await asyncio.sleep(0)
        if event < 3:
            bus.publish("data", event + 1)
        seen.append(event)

    bus.subscribe("data", republish)
    bus.publish("data", 0)
    await bus.flush()
    assert seen == [0, 1, 2, 3]


async def test_flush_inside_a_listener_does_not_wait_for_itself() -> None:
    bus, seen, other = Bus(), [], []

    async def flushes(event: int) -> None:
        await bus.flush()
        seen.append(event)

    async def slow(event: int) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        other.append(event)

    bus.subscribe("data", flushes)
    bus.subscribe("data", slow)
    bus.publish("data", 1)
    await bus.flush()
    assert (seen, other) == ([1], [1])


async def test_closing_ends_every_task() -> None:
    bus, cancelled = Bus(), []

    async def forever(event: int) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(event)
            raise

    for topic in TOPICS:
        bus.subscribe(topic, forever)
        bus.publish(topic, 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await bus.close()
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left
    assert len(cancelled) == len(TOPICS)


async def test_an_unknown_topic_is_an_error() -> None:
    with pytest.raises(KeyError):
        Bus().subscribe("nonsense", print)


async def test_done_is_told_when_transitions_were_handled_and_not_before() -> None:
    bus, told, goes_on = Bus(), [], asyncio.Event()

    async def slow(event: Opened) -> None:
        await goes_on.wait()

    bus.after_handled(lambda: told.append("nobody listens"))
    assert told == ["nobody listens"]
    bus.subscribe("signal", slow)
    bus.subscribe("data", lambda event: None)
    bus.publish("data", 1)
    bus.after_handled(lambda: told.append("not about transitions"))
    assert told[1:] == ["not about transitions"]
    bus.publish_result("signal", OPENED)
    bus.after_handled(lambda: told.append("first"))
    for _ in range(20):
        await asyncio.sleep(0)
    bus.publish_result("signal", OPENED)
    bus.after_handled(lambda: told.append("second"))
    assert told[2:] == []
    goes_on.set()
    await bus.close()
    assert told[2:] == ["first", "second"]


async def test_what_a_closing_bus_drops_was_not_handled() -> None:
    bus, told = Bus(), []

    async def never(event: Opened) -> None:
        await asyncio.Event().wait()

    bus.subscribe("risk", never)
    bus.publish("risk", 1)
    bus.after_handled(lambda: told.append("handled"))
    await bus.close(0.01)
    for _ in range(20):
        await asyncio.sleep(0)
    assert told == []
