"""The state of live runs in one SQLite file: it survives whatever ends the process.

This module takes the file into possession, whatever is found in its place; `writer` writes to it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Final, Literal

import aiosqlite

from engine.adapters.store.database import (
    DamagedError,
    examined,
    explained,
    last_number,
    migrate,
    set_aside,
    wall_clock,
    writing,
)
from engine.adapters.store.limits import refuse_backtests
from engine.adapters.store.ownership import Ownership
from engine.adapters.store.schema import Migration, migrations
from engine.adapters.store.writer import WritePoint, Writer
from engine.domain.changes import Change, Quarantined, StoredState, Telemetry
from engine.domain.errors import StateError

_KEPT_TIMES: Final = 1_000
_log = logging.getLogger("signaldeck.store")


class SqliteStore:
    """Fulfils `engine.domain.ports.Store` on a file.

    Args:
        path: the state file; it and its directory are made when missing.
        now: the wall clock, for the lock file and for naming what is set aside.
        command: what this process calls itself in the lock file; its command line by default.
        start_clean_if_damaged: rename a damaged file and start with an empty one.
        flush_seconds: how long marks of delivery and telemetry may wait (wall clock).
        busy_seconds: how long to wait for another program's transaction.
        max_page_count: the file may not have more pages (of 4 KiB) than this.
        steps: the migrations; other ones only for trying them out.
        on_write_point: called synchronously, on the loop, wherever a write could be interrupted;
            it must not raise. For crash tests.

    Attributes:
        path: the state file, symbolic links resolved.
        set_aside: where a damaged file was kept by `open`, None otherwise.
        commit_seconds: how long the newest commits took, waiting included; whoever shows them
            takes them out.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        now: Callable[[], datetime] = wall_clock,
        command: str | None = None,
        start_clean_if_damaged: bool = False,
        flush_seconds: float = 1.0,
        busy_seconds: float = 5.0,
        max_page_count: int | None = None,
        steps: Sequence[Migration] | None = None,
        on_write_point: Callable[[WritePoint], None] | None = None,
    ) -> None:
        self.path: Final = Path(path).resolve()
        self.set_aside: Path | None = None
        self.commit_seconds: deque[float] = deque(maxlen=_KEPT_TIMES)
        self._now = now
        self._command = command
        self._start_clean = start_clean_if_damaged
        self._flush_seconds = flush_seconds
        self._busy_seconds = busy_seconds
        self._max_page_count = max_page_count
        self._steps = migrations() if steps is None else tuple(steps)
        self._on_write_point = on_write_point
        self._writer: Writer | None = None
        self._inode: int | None = None

    async def open(self) -> None:
        """Take ownership, check the file and bring it to the present version.

        Raises:
            StateError: another process owns it; it is damaged, of a newer version, not ours, or
                cannot be written. The message says what to do, and the file is as it was.
        """
        if self._writer is not None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(
                f"the directory of {self.path} cannot be made: {error.strerror}: choose another "
                "place with --state"
            ) from error
        ownership = await Ownership.acquire(self.path, self._now(), self._command)
        try:
            self._writer = await self._taken(ownership)
            self._inode = _inode(self.path)
        except BaseException as error:
            ownership.release()
            if isinstance(error, sqlite3.Error):
                raise explained(error, self.path) from error
            raise

    @property
    def trouble(self) -> str:
        """Why nothing is kept: ``cannot be written``, ``file is gone``; "" while all is well."""
        if self._writer is None:
            return ""
        if _inode(self.path) != self._inode:
            return "file is gone"
        return "cannot be written" if self._writer.refuses else ""

    async def load(self) -> StoredState:
        """Everything kept; rows that are no values go to the ``quarantine`` table.

        Raises:
            StateError: the file cannot be read, or is damaged.
        """
        state = await self._alive().load(self._now())
        if self.set_aside is None:
            return state
        found = Quarantined(
            "state file", str(self.set_aside), f"it was damaged and is kept as {self.set_aside}"
        )
        return replace(state, quarantined=(found, *state.quarantined))

    async def commit(self, changes: Sequence[Change]) -> tuple[int, ...]:
        """Apply changes in order as one transaction, all or none; on the disk when this returns.

        A cancelled caller gets its `asyncio.CancelledError` after the commit was carried out. If
        it failed instead, the `StateError` is the cancellation's ``__cause__``.

        Raises:
            StateError: nothing was changed.
        """
        begun = perf_counter()
        numbers = await self._alive().commit(changes)
        self.commit_seconds.append(perf_counter() - begun)
        return numbers

    def delivered(self, numbers: Sequence[int]) -> None:
        """Note, within a second or at `close`, that these entries have been delivered."""
        if self._writer is not None:
            self._writer.note(numbers, ())

    def telemetry(self, rows: Sequence[Telemetry]) -> None:
        """Note, within a second or at `close`, where runs stand; the newest row of a run wins."""
        refuse_backtests(rows)
        if self._writer is not None:
            self._writer.note((), rows)

    async def flush(self) -> None:
        """Write what `delivered` and `telemetry` noted so far.

        Raises:
            StateError: it could not be written, and is kept for the next time.
        """
        await self._alive().flush()

    async def close(self) -> None:
        """Carry out what waits, release the file and its ownership; harmless when repeated."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.end()

    def _alive(self) -> Writer:
        if self._writer is None:
            raise StateError(f"{self.path} is not open")
        return self._writer

    async def _taken(self, ownership: Ownership) -> Writer:
        version = await self._sound_version()
        connections: list[aiosqlite.Connection] = []
        try:
            connections.append(await self._writing("FULL"))
            await migrate(connections[0], self.path, version, self._steps)
            connections.append(await self._writing("NORMAL"))
            number = await last_number(connections[0])
        except BaseException:
            for connection in reversed(connections):
                await connection.close()
            raise
        return Writer(
            self.path,
            durable=connections[0],
            lazy=connections[1],
            last_number=number,
            flush_seconds=self._flush_seconds,
            on_write_point=self._on_write_point,
            on_end=ownership.release,
        )

    async def _writing(self, synchronous: Literal["FULL", "NORMAL"]) -> aiosqlite.Connection:
        return await writing(
            self.path,
            synchronous,
            busy_seconds=self._busy_seconds,
            max_page_count=self._max_page_count,
        )

    async def _sound_version(self) -> int:
        known = len(self._steps)
        try:
            # Damage that is only found later could not be set aside any more.
            return await asyncio.to_thread(examined, self.path, known, whole=self._start_clean)
        except DamagedError as error:
            if not self._start_clean:
                raise
            self.set_aside = set_aside(self.path, self._now())
            _log.warning("%s; it is kept as %s", error, self.set_aside)
            return 0


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
