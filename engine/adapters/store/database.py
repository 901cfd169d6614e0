"""The state file as a file: what it is, whether it can be trusted, and what its errors mean.

A file is looked at before it is opened for writing, through a connection that cannot write:
SQLite repairs and checkpoints on its own, and a damaged file is evidence.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import aiosqlite

from engine.adapters.store.schema import APPLICATION_ID, Migration, migration_script
from engine.domain.errors import StateError

_WHOLE_CHECK_BYTES: Final = 256 * 1024 * 1024
_STATE_TABLES: Final = ("instance", "held", "progress", "reservation", "meta")
_BUSY_SECONDS: Final = 5.0
_DAMAGED_CODES: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class DamagedError(StateError):
    """The file is no sound database."""


def wall_clock() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)


def read_only(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """A connection that can read, also beside a writer, and never changes the file.

    With ``immutable`` there must be no writer: nothing is locked and no log is looked at.
    """
    uri = f"file:{quote(str(path))}?mode=ro{'&immutable=1' if immutable else ''}"
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False
    )


def file_exists(path: Path) -> bool:
    """Whether there is a state file.

    Raises:
        StateError: there is something else, or it cannot be looked at.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StateError(f"{path} cannot be used: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise StateError(f"{path} is {kind}: name a file to keep the state in")
    return found.st_size > 0


def examined(path: Path, known: int, *, whole: bool = False) -> int:
    """The schema version of a file, 0 when there is none; ``known`` is the newest we know.

    Checks the structure of the whole file if asked for (``whole``) or while that is cheap (a
    quarter of a gigabyte), of the tables that hold positions always.

    Raises:
        DamagedError: it is no database, or its structure is broken.
        StateError: it cannot be read, belongs to another program, or to a newer version.
    """
    if not file_exists(path):
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            # SQLite would delete it together with whatever was not yet in the file.
            raise DamagedError(damage_text(path, f"it is gone, and its log {log.name} is there"))
        return 0
    try:
        connection = read_only(path)
        try:
            version = recognised(connection, path, known)
            if version:
                _check(connection, path, whole)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise explained(error, path) from error
    return version


def recognised(connection: sqlite3.Connection, path: Path, known: int) -> int:
    """The schema version of an open database.

    Raises:
        StateError: it belongs to another program or to a newer version.
        sqlite3.Error: it cannot be read.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (tables or version):
        raise StateError(
            f"{path} is the database of another program: choose another file with --state"
        )
    if version > known:
        raise StateError(
            f"{path} was written by a newer signaldeck (schema {version}, this one knows "
            f"{known}): update signaldeck, or choose another file with --state; the file is "
            "unchanged"
        )
    return version


def problems_in(connection: sqlite3.Connection, *tables: str) -> tuple[str, ...]:
    """What SQLite finds wrong with a file, or with these tables of it; () when they are sound.

    Raises:
        sqlite3.Error: it cannot even be looked at.
    """
    found: list[str] = []
    for check in (f"quick_check({table})" for table in tables or ("3",)):
        found += [str(text) for (text,) in connection.execute(f"PRAGMA {check}") if text != "ok"]
    return tuple(found)


def _check(connection: sqlite3.Connection, path: Path, whole: bool) -> None:
    whole = whole or path.stat().st_size <= _WHOLE_CHECK_BYTES
    problems = problems_in(connection, *(() if whole else _STATE_TABLES))
    if problems:
        raise DamagedError(damage_text(path, "; ".join(problems)))


def damage_text(path: Path, detail: str) -> str:
    """What to tell an operator about a damaged file."""
    return (
        f"{path} is damaged ({detail}). Nothing was changed. Restore a copy of it (and remove "
        f"{path.name}-wal and {path.name}-shm, which belong to this one), or start with an empty "
        "state with --start-clean-if-damaged (start_clean_if_damaged=True), which keeps this file "
        "beside the new one"
    )


def set_aside(path: Path, now: datetime) -> Path:
    """Rename a damaged file, with what belongs to it, and return its new name.

    Raises:
        StateError: it cannot be renamed; it is where it was.
    """
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    count = 1
    while os.path.lexists(kept):
        count += 1
        kept = path.with_name(f"{path.name}.damaged-{stamp}-{count}")
    try:
        # The log last: one that is left behind by a crash in between is refused at the next
        # start, while a file without its log would pass for a sound one of an earlier time.
        for suffix in ("", "-wal", "-shm"):
            part = Path(f"{path}{suffix}")
            if part.exists():
                part.rename(f"{kept}{suffix}")
    except OSError as error:
        raise StateError(f"{path} is damaged and cannot be set aside: {error.strerror}") from error
    return kept


async def writing(
    path: Path,
    synchronous: Literal["FULL", "NORMAL"],
    *,
    busy_seconds: float = _BUSY_SECONDS,
    max_page_count: int | None = None,
) -> aiosqlite.Connection:
    """A connection that writes ahead.

    With ``FULL`` a commit is on the disk when it returns. With ``NORMAL`` it survives the death
    of the process, and of the machine once a later ``FULL`` commit returns: both append to one log.

    Raises:
        sqlite3.Error: it cannot be opened.
        StateError: the file system cannot hold a write-ahead log.
    """
    connection = await aiosqlite.connect(path, isolation_level=None, timeout=busy_seconds)
    try:
        rows = await connection.execute_fetchall("PRAGMA journal_mode = WAL")
        mode = next(iter(rows))[0]
        if mode != "wal":
            raise StateError(
                f"{path}: the file system cannot hold a write-ahead log ({mode}): choose a local "
                "disk with --state"
            )
        await connection.execute(f"PRAGMA synchronous = {synchronous}")
        if max_page_count is not None:
            await connection.execute_fetchall(f"PRAGMA max_page_count = {int(max_page_count)}")
        # SQLite opens what it may not write for reading, and says so at the first write only.
        await connection.executescript("BEGIN IMMEDIATE; CREATE TABLE probe (a); ROLLBACK;")
    except BaseException:
        await connection.close()
        raise
    return connection


async def migrate(
    connection: aiosqlite.Connection, path: Path, version: int, steps: Sequence[Migration]
) -> None:
    """Bring a file to the present version, in one transaction.

    Raises:
        StateError: a step failed; the file is as it was.
    """
    if version == len(steps):
        return
    try:
        await connection.executescript(migration_script(version, steps))
    except sqlite3.Error as error:
        await connection.rollback()
        cause = explained(error, path)
        raise StateError(
            f"{path} cannot be brought from schema {version} to {len(steps)}: {cause}; it is "
            "unchanged"
        ) from error


async def last_number(connection: aiosqlite.Connection) -> int:
    """The highest journal number ever given, also to entries that were removed."""
    rows = await connection.execute_fetchall(
        "SELECT max(coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'journal'), 0), "
        "coalesce((SELECT max(number) FROM journal), 0))"
    )
    return int(next(iter(rows))[0])


_MEANINGS: Final[Sequence[tuple[str, Callable[[Path, str], str]]]] = (
    ("SQLITE_FULL", lambda path, _: (
        f"{path}: the disk (or the size allowed for the state) is full: nothing was changed; "
        "free some space, it is tried again"
    )),
    ("SQLITE_READONLY", lambda path, _: (
        f"{path} cannot be written: file or directory is read-only; nothing was changed; choose "
        "another place with --state, or only look at it with --read-only"
    )),
    ("SQLITE_CANTOPEN", lambda path, _: (
        f"{path} cannot be opened: check that the directory exists and may be written to"
    )),
    ("SQLITE_BUSY", lambda path, _: (
        f"{path} is locked by another program (a database browser?): nothing was changed; close it"
    )),
    ("SQLITE_IOERR", lambda path, text: (
        f"{path}: the disk refuses ({text}): nothing was changed; check the disk"
    )),
)  # fmt: skip


def explained(error: Exception, path: Path) -> StateError:
    """An error of SQLite in the words of an operator."""
    name: str = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(_DAMAGED_CODES):
        return DamagedError(damage_text(path, str(error)))
    for code, meaning in _MEANINGS:
        if name.startswith(code):
            return StateError(meaning(path, str(error)))
    return StateError(f"{path}: nothing was changed: {error}")
