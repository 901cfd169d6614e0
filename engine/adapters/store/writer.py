"""The one task that writes the state file.

Commits that wait share a transaction, so that a thousand runs that decide at the same minute cost
one synchronisation of the disk, not a thousand; none is ever split, and one that fails is found by
halving and fails alone. What may be lost, marks of delivery and telemetry, goes through a second
connection that does not wait for the disk. ``synchronous`` belongs to a connection: with two of
them nothing can forget to switch it back.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import aiosqlite

from engine.adapters.store.database import explained
from engine.adapters.store.loading import loaded
from engine.adapters.store.statements import Group, Statement, arranged, marked, translated
from engine.domain.changes import Change, Committed, InstanceForgotten, StoredState, Telemetry
from engine.domain.errors import StateError
from engine.domain.signals import RunKey

T = TypeVar("T")

WritePoint: TypeAlias = Literal[
    "before_begin", "after_begin", "mid_changes", "before_commit", "after_commit",
    "marks_before_begin", "marks_after_begin", "marks_mid_changes", "marks_before_commit",
    "marks_after_commit",
]  # fmt: skip
"""Where a write can be interrupted; ``marks_`` are those of the lazy writes."""

_Step: TypeAlias = Literal[
    "before_begin", "after_begin", "mid_changes", "before_commit", "after_commit"
]
_UNSTORABLE = (OverflowError, TypeError, sqlite3.ProgrammingError)
"""Telemetry that no database takes is dropped: it may not hold up the marks of delivery."""

_log = logging.getLogger("signaldeck.store")


@dataclass(frozen=True, slots=True)
class _Commit:
    """Changes on their way to the file."""

    statements: Sequence[Statement]
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Errand:
    """Something else that has to happen between two transactions."""

    carry_out: Callable[[], Awaitable[Any]]
    done: asyncio.Future[Any]


class Writer:
    """Owns the write connections from its making, on a running loop, to `end`.

    Args:
        path: the state file, for messages.
        durable: commits here are on the disk.
        lazy: commits here survive the process, and the power only with a later durable one.
        last_number: the highest journal number given so far.
        flush_seconds: how long what `note` is told may wait.
        on_write_point: called at each `WritePoint`.
        on_end: called when the connections are closed.

    Attributes:
        refuses: the newest transaction failed.
    """

    def __init__(
        self,
        path: Path,
        *,
        durable: aiosqlite.Connection,
        lazy: aiosqlite.Connection,
        last_number: int,
        flush_seconds: float,
        on_write_point: Callable[[WritePoint], None] | None,
        on_end: Callable[[], None],
    ) -> None:
        self._path = path
        self._durable = durable
        self._lazy = lazy
        self._number = last_number
        self._flush_seconds = flush_seconds
        self._on_write_point = on_write_point
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Commit | _Errand] = deque()
        self._in_hand: list[_Commit | _Errand] = []
        self._wake = asyncio.Event()
        self._ending = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._delivered: set[int] = set()
        self._telemetry: dict[RunKey, Telemetry] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._marks_due = False
        self._marks_refused = False
        self.refuses = False
        self._task = self._loop.create_task(self._run(), name="state writer")

    # -- what is asked of it -------------------------------------------------------------------

    async def commit(self, changes: Sequence[Change]) -> tuple[int, ...]:
        """See `engine.domain.ports.Store.commit`; from the call on it is carried out."""
        self._refuse_ended()
        statements, numbers = translated(changes, self._number)
        if not statements:
            return ()
        # A number is used up even if its commit fails: nobody may ever see it twice.
        self._number += len(numbers)
        for change in changes:
            if isinstance(change, InstanceForgotten):
                self._telemetry.pop(change.key, None)
        commit = _Commit(statements, self._loop.create_future())
        self._enqueue(commit)
        try:
            await _carried_out(commit.done)
        except asyncio.CancelledError as cancelled:
            if cancelled.__cause__ is None:
                raise asyncio.CancelledError(Committed(numbers)) from None
            raise
        return numbers

    def note(self, delivered: Iterable[int], telemetry: Iterable[Telemetry]) -> None:
        """Remember what is to be written soon."""
        if self._ending:
            return
        self._delivered.update(delivered)
        self._telemetry.update((row.key, row) for row in telemetry)
        self._set_timer()

    async def flush(self) -> None:
        """Write now what `note` was told."""
        await self._errand(self._write_marks)

    async def load(self, now: datetime) -> StoredState:
        """Everything kept, as of the commits made so far."""

        async def load() -> StoredState:
            await self._write_marks()
            return await loaded(self._durable, now)

        return await self._errand(load)

    async def end(self) -> None:
        """Carry out what waits, then close the connections; harmless when repeated."""
        self._ending = True
        self._wake.set()
        await _carried_out(self._ended)

    # -- the task ------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._serve()
        except GeneratorExit:
            # The loop is gone, nothing can be awaited: at least no thread keeps the process.
            for connection in (self._lazy, self._durable):
                connection.stop()  # pyright: ignore[reportUnknownMemberType]
            self._on_end()
            raise
        except BaseException:
            await self._finish()
            raise
        await self._finish()

    async def _serve(self) -> None:
        while not self._ending or self._queue:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._next()
            if self._marks_due:
                await self._try_marks()
        await self._try_marks()

    async def _next(self) -> None:
        self._in_hand = [self._queue.popleft()]
        first = self._in_hand[0]
        if isinstance(first, _Errand):
            try:
                found = await first.carry_out()
            except Exception as error:
                first.done.set_exception(_state_error(error, self._path))
            else:
                first.done.set_result(found)
            return
        commits = [first]
        while self._queue and isinstance(commit := self._queue[0], _Commit):
            commits.append(commit)
            self._queue.popleft()
        self._in_hand = [*commits]
        await self._write(commits)

    async def _write(self, commits: Sequence[_Commit]) -> None:
        """Write commits as one transaction; when it fails, by halves, to fail only the guilty."""
        groups = arranged(row for commit in commits for row in commit.statements)
        try:
            await self._transact(self._durable, groups)
        except Exception as error:
            if len(commits) == 1:
                commits[0].done.set_exception(_state_error(error, self._path))
                return
            half = len(commits) // 2
            await self._write(commits[:half])
            await self._write(commits[half:])
        else:
            for commit in commits:
                commit.done.set_result(None)

    async def _transact(self, connection: aiosqlite.Connection, groups: Sequence[Group]) -> None:
        lazy = connection is self._lazy
        self._point("before_begin", lazy)
        try:
            await connection.execute("BEGIN IMMEDIATE")
            self._point("after_begin", lazy)
            for index, (sql, rows) in enumerate(groups):
                if index:
                    self._point("mid_changes", lazy)
                await connection.executemany(sql, rows)
            self._point("before_commit", lazy)
            await connection.execute("COMMIT")
        except BaseException:
            self.refuses = True
            await connection.rollback()
            raise
        self.refuses = False
        self._point("after_commit", lazy)

    async def _write_marks(self) -> None:
        self._marks_due = False
        delivered, self._delivered = self._delivered, set()
        telemetry, self._telemetry = self._telemetry, {}
        try:
            if groups := marked(delivered, telemetry.values()):
                await self._transact(self._lazy, groups)
        except BaseException as error:
            self._delivered |= delivered
            if not isinstance(error, _UNSTORABLE):
                self._telemetry = {**telemetry, **self._telemetry}
            raise

    async def _try_marks(self) -> None:
        try:
            await self._write_marks()
        except Exception as error:
            # Once, not every second for as long as a disk is full.
            _log.log(
                logging.DEBUG if self._marks_refused else logging.WARNING,
                "%s", _state_error(error, self._path),
            )  # fmt: skip
            self._marks_refused = True
            if not self._ending:
                self._set_timer()
        else:
            self._marks_refused = False

    async def _finish(self) -> None:
        """Also when the loop is torn down around it: nobody waits for ever, no thread stays."""
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
        for waiting in (*self._in_hand, *self._queue):
            if not waiting.done.done():
                waiting.done.set_exception(
                    StateError(
                        f"{self._path}: the program ended before this was written; what the file "
                        "says at the next start is true"
                    )
                )
        self._queue.clear()
        try:
            for connection in (self._lazy, self._durable):
                try:
                    await connection.close()
                except sqlite3.Error as error:
                    _log.warning("%s", explained(error, self._path))
        finally:
            self._on_end()
            self._ended.set_result(None)

    # -- pieces --------------------------------------------------------------------------------

    async def _errand(self, carry_out: Callable[[], Awaitable[T]]) -> T:
        self._refuse_ended()
        done: asyncio.Future[T] = self._loop.create_future()
        self._enqueue(_Errand(carry_out, done))
        return await _carried_out(done)

    def _enqueue(self, item: _Commit | _Errand) -> None:
        self._queue.append(item)
        self._wake.set()

    def _refuse_ended(self) -> None:
        if self._ending:
            raise StateError(f"{self._path} is closed")

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._flush_seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._marks_due = True
        self._wake.set()

    def _point(self, step: _Step, lazy: bool) -> None:
        if self._on_write_point is not None:
            point: Any = f"marks_{step}" if lazy else step
            self._on_write_point(point)


async def _carried_out(done: asyncio.Future[T]) -> T:
    """Wait for the outcome whatever happens to the waiting task; its cancellation comes after."""
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait((done,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return done.result()
    raise cancelled from done.exception()


def _state_error(error: Exception, path: Path) -> StateError:
    return error if isinstance(error, StateError) else explained(error, path)
