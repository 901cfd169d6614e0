"""Commits of the file: whole, in order, shared, alone in their failures, and never cut short."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import pytest

from engine.adapters.store.database import writing
from engine.adapters.store.sqlite import SqliteStore
from engine.adapters.store.writer import WritePoint
from engine.domain.changes import (
    AttemptMade,
    ErrorNote,
    FinishedSaved,
    Journaled,
    StoredState,
    Telemetry,
)
from engine.domain.errors import StateError
from tests.store.store_bed import closing, key_of, normal, opening, rows_in

COMMIT_POINTS = [point for point in get_args(WritePoint) if not point.startswith("marks_")]
UNSTORABLE = 2**63


class Points:
    """Counts write points, and does something at some of them."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.actions: dict[str, Callable[[], Any]] = {}

    def __call__(self, point: WritePoint) -> None:
        self.seen.append(point)
        action = self.actions.get(point)
        if action is not None:
            action()


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def kept(path: Path) -> StoredState:
    async with opened(path) as store:
        return normal(await store.load())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.mark.parametrize("point", COMMIT_POINTS)
async def test_a_commit_is_finished_though_its_caller_is_cancelled(path: Path, point: str) -> None:
    points = Points()
    key = key_of()
    async with opened(path, on_write_point=points) as store:
        task = asyncio.ensure_future(store.commit(opening(key)))
        points.actions[point] = task.cancel
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert task.cancelled()
        assert caught.value.__cause__ is None
        # Cancelled when it had ended, not before.
        assert points.seen[-1] == "after_commit"
    assert (await kept(path)).runs[key].held is not None


async def test_repeated_cancellations_change_nothing(path: Path) -> None:
    points = Points()
    key = key_of()
    async with opened(path, on_write_point=points) as store:
        task = asyncio.ensure_future(store.commit(opening(key)))
        points.actions = dict.fromkeys(COMMIT_POINTS, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await kept(path)).runs[key].held is not None


async def test_a_waiting_commit_is_carried_out_though_its_caller_is_cancelled(path: Path) -> None:
    points = Points()
    async with opened(path, on_write_point=points) as store:
        first = asyncio.ensure_future(store.commit(opening(key_of(0))))
        late: list[asyncio.Task[Any]] = []

        def while_the_first_is_written() -> None:
            if not late:
                late.append(asyncio.ensure_future(store.commit(opening(key_of(1)))))
                # Let it begin to wait, then cancel it before its turn.
                asyncio.get_running_loop().call_soon(late[0].cancel)

        points.actions["after_begin"] = while_the_first_is_written
        await first
        with pytest.raises(asyncio.CancelledError):
            await late[0]
    assert len((await kept(path)).reservations) == 2


async def test_a_cancelled_caller_can_tell_that_its_commit_failed(path: Path) -> None:
    points = Points()
    async with opened(path, on_write_point=points) as store:
        task = asyncio.ensure_future(store.commit([AttemptMade(key_of(), UNSTORABLE)]))
        points.actions["after_begin"] = task.cancel
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert isinstance(caught.value.__cause__, StateError)
    assert await kept(path) == StoredState()


async def test_a_timeout_around_a_commit_is_a_timeout(path: Path) -> None:
    points = Points()
    key = key_of()
    async with opened(path, on_write_point=points) as store:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as scope:
                loop = asyncio.get_running_loop()
                points.actions["after_begin"] = lambda: scope.reschedule(loop.time() - 1)
                await store.commit(opening(key))
    assert (await kept(path)).runs[key].held is not None


async def test_five_hundred_commits_at_once(path: Path) -> None:
    """All durable, in order per run, numbered in the order they were asked for."""
    points = Points()
    runs = 50

    async def lives(store: SqliteStore, run: int) -> list[int]:
        key = key_of(run)
        changes = [opening, closing] * 5
        made = [make(key, at) for at, make in enumerate(changes)]
        return [number for one in made for number in await store.commit(one)]

    async with opened(path, on_write_point=points) as store:
        numbers = await asyncio.gather(*(lives(store, run) for run in range(runs)))
    assert sorted(number for one in numbers for number in one) == list(range(1, 501))
    for run, one in enumerate(numbers):
        assert one == sorted(one)
        stored = rows_in(
            path, "SELECT number, kind FROM journal WHERE symbol = ? ORDER BY number",
            key_of(run).symbol,
        )  # fmt: skip
        assert stored == list(zip(one, ["opened", "closed"] * 5, strict=True))
    assert rows_in(path, "SELECT count(*) FROM held") == [(0,)]
    assert rows_in(path, "SELECT count(*) FROM reservation") == [(0,)]
    # Ten rounds of fifty runs: commits that wait share a transaction.
    assert points.seen.count("after_commit") <= 20


async def test_commits_of_one_caller_are_applied_in_order_though_none_is_awaited(
    path: Path,
) -> None:
    key = key_of()
    async with opened(path) as store:
        changes = [make(key, at) for at in range(40) for make in (opening, closing)]
        numbers = await asyncio.gather(*map(store.commit, changes))
        assert [number for (number,) in numbers] == list(range(1, 81))
    run = (await kept(path)).runs[key]
    assert run.held is None
    assert [trade.signal.id for trade in run.trades] == [f"{key.symbol}-{at}" for at in range(40)]


async def test_a_failing_commit_fails_alone(path: Path) -> None:
    """Also among those that share its transaction; the others keep their order."""
    bad = {3, 4, 11, 19}
    async with opened(path) as store:
        batches = [
            [*opening(key_of(0), at), AttemptMade(key_of(1 + at), UNSTORABLE if at in bad else at)]
            for at in range(20)
        ]
        outcomes = await asyncio.gather(*map(store.commit, batches), return_exceptions=True)
    failed = {at for at, outcome in enumerate(outcomes) if isinstance(outcome, StateError)}
    assert failed == bad
    state = await kept(path)
    good = [at for at in range(20) if at not in bad]
    symbol = key_of(0).symbol
    assert [entry.event.signal.id for entry in state.recent] == [  # type: ignore[union-attr]
        f"{symbol}-{at}" for at in good
    ]
    assert [entry.number for entry in state.recent] == [outcomes[at][0] for at in good]  # type: ignore[index]
    assert [at for at in range(20) if key_of(1 + at) in state.runs] == good


async def test_a_refused_commit_leaves_the_store_usable(path: Path) -> None:
    key = key_of()
    async with opened(path) as store:
        with pytest.raises(StateError, match="nothing was changed"):
            await store.commit([*opening(key), AttemptMade(key, UNSTORABLE)])
        with pytest.raises(StateError, match="summary of backtest r"):
            await store.commit(
                [*opening(key), FinishedSaved("backtest", "r", 1, {"x": object()}, b"")]
            )
        assert normal(await store.load()) == StoredState()
        await store.commit(opening(key))
    assert (await kept(path)).runs[key].held is not None


async def test_numbers_of_failed_commits_are_never_given_again(path: Path) -> None:
    note = ErrorNote(key_of(), 1, "tick", "x")
    async with opened(path) as store:
        assert await store.commit([Journaled(key_of(), note)]) == (1,)
        with pytest.raises(StateError):
            await store.commit([Journaled(key_of(), note), AttemptMade(key_of(), UNSTORABLE)])
        (later,) = await store.commit([Journaled(key_of(), note)])
        assert later > 2


async def test_close_carries_out_what_waits(path: Path) -> None:
    async with opened(path) as store:
        tasks = [asyncio.ensure_future(store.commit(opening(key_of(run)))) for run in range(30)]
        # Begin every one of them, await none.
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        store.telemetry([Telemetry(key_of(0), 1, 2.0, 3.0, 4)])
        store.delivered([1])
        await store.close()
        assert [number for task in tasks for number in await task] == list(range(1, 31))
    state = await kept(path)
    assert len(state.reservations) == 30
    assert [entry.number for entry in state.undelivered] == list(range(2, 31))
    assert rows_in(path, "SELECT at, last_price, pnl_percent, heartbeat FROM telemetry") == [
        (1, 2.0, 3.0, 4)
    ]


async def test_marks_made_right_after_opening_are_not_lost(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    store.telemetry([Telemetry(key_of(0), 1, None, None, 4)])
    await store.close()
    assert rows_in(path, "SELECT heartbeat FROM telemetry") == [(4,)]


async def test_close_is_finished_though_cancelled(path: Path) -> None:
    points = Points()
    store = SqliteStore(path, on_write_point=points)
    await store.open()
    told = Telemetry(key_of(0), 1, None, None, 4)
    store.telemetry([told])
    closing_task = asyncio.ensure_future(store.close())
    points.actions["marks_mid_changes"] = points.actions["marks_before_commit"] = (
        closing_task.cancel
    )
    with pytest.raises(asyncio.CancelledError):
        await closing_task
    # And the file is free.
    assert await kept(path) == StoredState(telemetry={told.key: told})


async def test_a_store_that_is_not_open_says_so(path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(StateError, match="not open"):
        await store.commit(opening(key_of()))
    await store.close()
    await store.open()
    await store.open()
    await store.commit(opening(key_of()))
    await store.close()
    await store.close()
    with pytest.raises(StateError, match="not open"):
        await store.load()
    store.delivered([1])
    store.telemetry([Telemetry(key_of(0), 1, None, None, 4)])
    await store.open()
    assert len((await store.load()).undelivered) == 1
    await store.close()


async def test_telemetry_is_coalesced_and_written_by_itself(path: Path) -> None:
    points = Points()
    written = asyncio.Event()
    points.actions["marks_after_commit"] = written.set
    async with opened(path, flush_seconds=0.0, on_write_point=points) as store:
        (number,) = await store.commit(opening(key_of(0)))
        for heartbeat in range(100):
            store.telemetry([Telemetry(key_of(run), 1, 2.0, None, heartbeat) for run in range(3)])
        store.delivered([number])
        await written.wait()
        assert rows_in(path, "SELECT heartbeat FROM telemetry") == [(99,)] * 3
        assert rows_in(path, "SELECT delivered FROM journal") == [(1,)]
        assert points.seen.count("marks_after_commit") == 1


async def test_telemetry_that_cannot_be_stored_holds_nothing_up(path: Path) -> None:
    async with opened(path) as store:
        (number,) = await store.commit(opening(key_of(0)))
        store.delivered([number])
        store.telemetry([Telemetry(key_of(0), UNSTORABLE, 2.0, None, 1)])
        with pytest.raises(StateError):
            await store.flush()
        await store.flush()
    assert rows_in(path, "SELECT delivered FROM journal") == [(1,)]


def test_a_loop_that_ends_without_close_frees_the_file(path: Path) -> None:
    """And answers whoever waits: a commit that was never begun is refused."""
    waiting: list[asyncio.Task[Any]] = []
    stores: list[SqliteStore] = []

    async def careless() -> None:
        store = SqliteStore(path)
        stores.append(store)
        await store.open()
        await store.commit(opening(key_of(0)))
        waiting.extend(asyncio.ensure_future(store.commit(opening(key_of(n)))) for n in (1, 2))

    asyncio.run(careless())
    assert all(task.done() for task in waiting)
    state = asyncio.run(kept(path))
    assert ("limit", key_of(0)) in state.reservations


@pytest.mark.parametrize(("synchronous", "level"), [("FULL", 2), ("NORMAL", 1)])
async def test_what_waits_for_the_disk(path: Path, synchronous: Any, level: int) -> None:
    connection = await writing(path, synchronous)
    try:
        for pragma, expected in (("synchronous", level), ("journal_mode", "wal")):
            (row,) = await connection.execute_fetchall(f"PRAGMA {pragma}")
            assert row[0] == expected
    finally:
        await connection.close()


def test_a_loop_that_is_closed_around_a_store_leaves_no_thread(path: Path) -> None:
    """A thread that stayed would keep the process from ending."""
    before = set(threading.enumerate())
    loop = asyncio.new_event_loop()
    store = SqliteStore(path)
    loop.run_until_complete(store.open())
    (*threads,) = set(threading.enumerate()) - before
    assert len(threads) >= 2
    loop.close()
    del store
    gc.collect()
    for thread in threads:
        if "executor" not in thread.name and "asyncio" not in thread.name:
            thread.join()
    assert asyncio.run(kept(path)) == StoredState()
