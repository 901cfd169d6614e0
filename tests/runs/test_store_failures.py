"""Commit first, then tell: what happens when a commit fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest

from engine import Signal, add_risk
from engine.adapters.store.memory import MemoryStore
from engine.domain.changes import (
    AttemptMade,
    Change,
    HeldChanged,
    Journaled,
    Released,
    Reserved,
)
from engine.domain.errors import StateError
from engine.domain.signals import Closed, Mode, Opened, OpenPosition, RunKey, ScheduledSignal
from tests.runs.bed import SYMBOL, T0, Bed, bed, flat, long, minute_of, path

KEY = RunKey(Mode.LIVE, "memory", "asked", SYMBOL)


class FailingStore(MemoryStore):
    """Refuses the commits that ``fails`` says yes to, as many times as it is told."""

    def __init__(self, fails: Callable[[Sequence[Change]], bool], times: int = 1) -> None:
        super().__init__()
        self.fails = fails
        self.left = times
        self.failed = 0
        self.committed: list[Sequence[Change]] = []

    async def commit(self, changes: Sequence[Change]) -> tuple[int, ...]:
        if self.left and self.fails(changes):
            self.left -= 1
            self.failed += 1
            raise StateError("the disk is full")
        numbers = await super().commit(changes)
        self.committed.append(changes)
        return numbers


def holding(kind: type | None) -> Callable[[Sequence[Change]], bool]:
    """Commits after which this is held; None for nothing."""

    def fails(changes: Sequence[Change]) -> bool:
        return any(
            isinstance(c, HeldChanged) and (c.held is None if kind is None else
                                            isinstance(c.held, kind))
            for c in changes
        )  # fmt: skip

    return fails


def attempting(changes: Sequence[Change]) -> bool:
    return any(isinstance(change, AttemptMade) for change in changes)


def reaching_a_milestone(changes: Sequence[Change]) -> bool:
    return any(isinstance(c, Journaled) and hasattr(c.event, "level") for c in changes)


async def once(symbol: str, when: datetime) -> Signal:
    """Long; from minute 3 on with a limit, so that it is scheduled first."""
    return long(3, tp=200) if minute_of(when) < 3 else long(3, entry=98, tp=200, sl=60)


ROWS = path([100, 101, 102, 102, 99, 96, 94, 96, 99, 99, 99, 99], before=10) + flat(12, 60, 99.0)
CALLBACKS = ("on_open", "on_close", "on_write", "on_schedule", "on_cancel", "on_partial_profit")


async def run(
    store: MemoryStore, minutes: int = 12
) -> tuple[Bed, list[tuple[str, int]], list[int]]:
    """A live run with risk; what was heard, and the minutes at which it was asked."""
    asked: list[int] = []
    told: list[tuple[str, int]] = []

    async def get_signal(symbol: str, when: datetime) -> Signal:
        asked.append(minute_of(when))
        return await once(symbol, when)

    def noting(name: str) -> Any:
        return lambda *arguments: told.append((name, minute_of(made.engine.clock.now() // 60_000
                                                               * 60_000)))  # fmt: skip

    async with bed(ROWS, live=True, store=store, config={"schedule_await_minutes": 30}) as made:
        add_risk(risk_name="r", validations=[])
        made.strategy(
            get_signal, risk_name="r", callbacks={name: noting(name) for name in CALLBACKS[:5]}
        )
        made.instance().start()
        await made.until(minutes)
        told.extend((f"heard {r.action}", minute_of(r.when)) for r in made.heard["signal"])
        execution: Any = made.instance().execution
        slots = execution._risk.book.active("r")
        held = execution.session.held
        assert bool(slots) == isinstance(held, OpenPosition)
        state = (await store.load()).runs[KEY]
        assert state.held == held, "memory and store agree"
        stored = {key for _, key in (await store.load()).reservations}
        assert bool(stored) == bool(slots)
    return made, told, asked


async def test_without_failures() -> None:
    made, told, asked = await run(FailingStore(lambda _: False))
    assert made.errors() == []
    assert made.actions()[:4] == [("opened", 0), ("closed", 3), ("scheduled", 3), ("opened", 8)]
    assert asked[:2] == [0, 3]
    assert ("on_open", 0) in told


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("fails", "action", "minute"),
    [
        (holding(OpenPosition), "opened", 0),
        (holding(None), "closed", 3),
        (holding(ScheduledSignal), "scheduled", 3),
    ],
)
async def test_a_failed_commit_is_an_error_and_the_next_tick_tries_again(
    fails: Callable[[Sequence[Change]], bool], action: str, minute: int, times: int
) -> None:
    store = FailingStore(fails, times)
    made, told, _ = await run(store)
    assert store.failed == times
    # However often it is met, it is told once.
    assert [(e.stage, str(e), minute_of(e.when)) for e in made.heard["error"]] == [
        ("tick", "the disk is full", minute)
    ]
    first = next(r for r in made.heard["signal"] if r.action == action)
    # A transition of a bar keeps the bar's instant; an attempt is made anew at its own.
    assert minute_of(first.when) == (minute if action == "closed" else minute + times)
    callback = {"opened": "on_open", "closed": "on_close", "scheduled": "on_schedule"}[action]
    told_at = [at for name, at in told if name == callback]
    assert min(told_at) == minute + times, "nobody heard of it before it was durable"


async def test_nothing_is_published_before_its_commit() -> None:
    """Every event and callback of a transition finds it in the store."""
    store = MemoryStore()
    seen: list[str] = []

    async def check(name: str, row_id: str, expected: type | None) -> None:
        held = (await store.load()).runs[KEY].held
        assert isinstance(held, expected) if expected else held is None
        assert any(
            getattr(getattr(entry.event, "signal", None), "id", None) == row_id
            for entry in (await store.load()).recent
        )
        seen.append(name)

    async def on_open(symbol: str, row: Any, *_: Any) -> None:
        await check("open", row.id, OpenPosition)

    async def on_close(symbol: str, row: Any, *_: Any) -> None:
        await check("close", row.id, None)

    async def on_schedule(symbol: str, row: Any, *_: Any) -> None:
        await check("schedule", row.id, ScheduledSignal)

    async with bed(ROWS, live=True, store=store) as made:
        made.strategy(
            once,
            callbacks={"on_open": on_open, "on_close": on_close, "on_schedule": on_schedule},
        )
        made.instance().start()
        await made.until(12)
        assert made.errors() == []
        assert seen[:4] == ["open", "close", "schedule", "open"]


async def test_a_failed_activation_is_tried_again_and_leaves_no_slot() -> None:
    def fails(changes: Sequence[Change]) -> bool:
        return holding(OpenPosition)(changes) and not attempting(changes)

    store = FailingStore(fails, 2)
    made, _, _ = await run(store)
    assert store.failed == 2
    opened = [r for r in made.heard["signal"] if r.action == "opened"][1]
    # The bar that reached the entry is settled again: the same instant, the same price.
    assert (minute_of(opened.when), opened.current_price) == (8, 98)
    assert [minute_of(error.when) for error in made.heard["error"]] == [8]


async def test_a_failed_attempt_does_not_use_the_slot_up() -> None:
    store = FailingStore(attempting, 2)
    _, _, asked = await run(store, minutes=2)
    assert asked == [0, 1, 2]
    assert (await store.load()).runs[KEY].last_attempt == T0 + 2 * 60_000


async def test_a_failed_milestone_fires_once_when_it_could_be_kept() -> None:
    rows = path([100, 101, 102, 103, 104, 105], before=10) + flat(6, 60, 105.0)

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        return long(50, tp=110) if minute_of(when) == 0 else None

    async def levels(store: MemoryStore) -> list[tuple[int, int]]:
        async with bed(rows, live=True, store=store) as made:
            made.strategy(get_signal)
            made.instance().start()
            await made.until(12)
            state = (await store.load()).runs[KEY].held
            assert isinstance(state, OpenPosition)
            heard = [(p.level, minute_of(p.timestamp)) for p in made.heard["partial_profit"]]
            assert state.profit_level == max(level for level, _ in heard)
            return heard

    expected = await levels(MemoryStore())
    assert [level for level, _ in expected] == [10, 20, 30, 40, 50]
    assert await levels(FailingStore(reaching_a_milestone, 3)) == expected


async def test_one_transition_is_one_commit() -> None:
    store = FailingStore(lambda _: False)
    await run(store)
    opening = next(c for c in store.committed if holding(OpenPosition)(c))
    assert [type(change) for change in opening] == [AttemptMade, HeldChanged, Reserved, Journaled]
    closing = next(c for c in store.committed if holding(None)(c))
    assert {type(change) for change in closing} == {HeldChanged, Released, Journaled}
    for changes in store.committed:
        events = [c.event for c in changes if isinstance(c, Journaled)]
        held = [c for c in changes if isinstance(c, HeldChanged)]
        if any(isinstance(event, Opened | Closed) for event in events):
            assert held, "an opening or a close says what is held now"


async def test_a_backtest_writes_nothing() -> None:
    store = FailingStore(lambda _: True, times=99)
    async with bed(store=store, frame=(0, 8)) as made:
        add_risk(risk_name="r", validations=[])
        made.strategy(lambda s, w: long(3), risk_name="r")
        assert len(await made.results()) == 3
        assert store.failed == 0
        assert store.committed == []


async def test_a_slot_refused_by_risk_is_committed_once() -> None:
    def refuse(_: Any) -> None:
        raise ValueError("no")

    store = FailingStore(attempting, 1)
    async with bed(live=True, store=store) as made:
        add_risk(risk_name="r", validations=[refuse])
        made.strategy(lambda s, w: long(3), risk_name="r", interval="5m")
        made.instance().start()
        await made.until(4)
        # At minute 0 it could not be kept, so the slot was given back and used at minute 1.
        assert [minute_of(e.timestamp) for e in made.heard["risk"]] == [1]
        assert [str(e) for e in made.heard["error"]] == ["the disk is full"]
        assert (await store.load()).runs[KEY].last_attempt == T0 + 60_000


@pytest.mark.parametrize("kind", ["immediate", "activated", "swept"])
async def test_the_slot_of_a_position_that_could_not_be_kept_is_free_for_others(kind: str) -> None:
    """With a limit of one, and a run whose every opening fails."""

    def fails(changes: Sequence[Change]) -> bool:
        return any(
            isinstance(c, Journaled) and isinstance(c.event, Opened)
            and c.key.strategy_name == "unlucky"
            for c in changes
        )  # fmt: skip

    def one(check: Any) -> None:
        if check.active_position_count:
            raise ValueError("full")

    rows = path([100, 100, 94, 94, 94, 94, 100, 100, 100])
    if kind == "swept":  # the bar that opens at 2 reaches the entry and the stop-loss
        rows[12][1:5] = [100, 100, 70, 94]
    async with bed(
        rows, live=True, store=FailingStore(fails, 99), config={"exit_trigger": "touch"}
    ) as made:
        add_risk(risk_name="r", validations=[one])
        entry = None if kind == "immediate" else 95.0

        def unlucky(symbol: str, when: datetime) -> Signal | None:
            return long(9, entry=entry, sl=80) if minute_of(when) == 0 else None

        def other(symbol: str, when: datetime) -> Signal | None:
            return long(2, sl=80) if minute_of(when) == 5 else None

        made.strategy(unlucky, "unlucky", risk_name="r")
        made.strategy(other, "other", risk_name="r")
        made.instance("unlucky").start()
        made.instance("other").start()
        await made.until(6)
        assert made.heard["error"]
        opened = [r for r in made.heard["signal"] if r.action == "opened"]
        assert [(r.strategy_name, minute_of(r.when)) for r in opened] == [("other", 5)]


async def test_a_store_that_stays_full_is_told_once_by_all_runs_and_again_after_half_an_hour() -> (
    None
):
    store = FailingStore(attempting, times=10_000)
    async with bed(flat(-10, 60), live=True, store=store) as made:
        for name in ("one", "two", "three"):
            made.strategy(once, name)
            made.instance(name).start()
        await made.until(50)
        told = [minute_of(e.when) for e in made.heard["error"]]
        assert told == [0, 30] and store.failed > 100
        assert {str(e) for e in made.heard["error"]} == {"the disk is full"}
        for instance in made.engine.instances():
            assert instance.execution.journal.error_count > 40, "every run has noted its own"
