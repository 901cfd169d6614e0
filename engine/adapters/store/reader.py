"""Looking at a state file without owning it: for ``signaldeck status`` and ``--read-only``.

Works beside the owner while it writes, and when there is none. A reader changes nothing: what it
cannot understand it names, and leaves it to the next owner to set aside.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from engine.adapters.store import codec
from engine.adapters.store.database import (
    DamagedError,
    damage_text,
    explained,
    file_exists,
    problems_in,
    read_only,
    recognised,
)
from engine.adapters.store.limits import RECENT_KEPT
from engine.adapters.store.loading import (
    FINISHED_SIZES,
    QUERIES,
    Decoder,
    Everything,
    every,
    finished_query,
    named,
    newest,
    state_of,
)
from engine.adapters.store.ownership import owner_of
from engine.adapters.store.schema import migrations
from engine.domain.changes import (
    CommandNoted,
    FinishedSaved,
    NumberedEvent,
    StoredState,
)
from engine.domain.errors import StateError
from engine.domain.signals import RunKey
from engine.domain.snapshots import FileFacts, Owner, RunSnapshot, StateSnapshot

T = TypeVar("T")

_COUNTS: Final[Mapping[str, str]] = {
    "instances": "SELECT count(*) FROM instance",
    "positions": "SELECT count(*) FROM held WHERE kind = 'position'",
    "scheduled": "SELECT count(*) FROM held WHERE kind = 'scheduled'",
    "reservations": "SELECT count(*) FROM reservation",
    "undelivered": "SELECT count(*) FROM journal WHERE deliver = 1 AND delivered = 0",
    "finished": "SELECT count(*) FROM finished",
    "quarantined": "SELECT count(*) FROM quarantine",
}


class StateReader:
    """Fulfils `engine.domain.snapshots.Reader` on a file.

    Args:
        path: the state file.

    Raises:
        StateError: there is none, or it is no state file of this version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path: Final = Path(path).resolve()
        self._known = len(migrations())
        self._immutable = False
        self._connection = self._opened()
        self._identity = self._file_identity()
        self._data_version: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def owner(self) -> Owner | None:
        """Who owns the file; with ``alive=False`` who did when it died; None: nobody does."""
        return owner_of(self.path)

    def changed(self) -> bool:
        """Whether anything was committed since the last call; True the first time. Microseconds.

        Raises:
            StateError: the file is gone or cannot be read.
        """
        self._follow()
        before = self._data_version
        try:
            (self._data_version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        return self._data_version != before

    def snapshot(self, *, journal: int = 50, commands: int = 20) -> StateSnapshot:
        """The whole state at one moment, with the newest ``journal`` and ``commands`` entries.

        Raises:
            StateError: the file cannot be read, or is damaged.
        """
        return self._at_one_moment(lambda: self._snapshot(journal, commands))

    def load(self) -> StoredState:
        """What the next owner would start from, in one look; ``quarantined`` is still in its place.

        Raises:
            StateError: the file cannot be read, or is damaged.
        """

        def look() -> StoredState:
            found = {name: self._rows(sql) for name, sql in QUERIES.items()}
            return state_of(Everything(**found, finished=self._finished_rows()), Decoder())

        return self._at_one_moment(look)

    def finished(self) -> tuple[FinishedSaved, ...]:
        """The newest finished backtests and walkers, as many as `load` hands out, oldest first.

        Raises:
            StateError: the file cannot be read, or is damaged.
        """

        def look() -> tuple[FinishedSaved, ...]:
            rows = self._finished_rows()
            return tuple(Decoder().values("finished", rows, codec.decode_finished))

        return self._at_one_moment(look)

    def events(self, after: int, limit: int = RECENT_KEPT) -> tuple[NumberedEvent, ...]:
        """Journal entries with numbers above ``after``, oldest first; unreadable ones are left out.

        Raises:
            StateError: the file cannot be read, or is damaged.
        """
        sql = (
            "SELECT rowid AS row_number, * FROM journal "
            f"WHERE number > {int(after)} ORDER BY number LIMIT {int(limit)}"
        )
        return self._at_one_moment(lambda: tuple(Decoder().events(self._rows(sql))))

    def facts(self) -> FileFacts:
        """The file as a file; reads all of it to see whether it is sound.

        Raises:
            StateError: the file cannot be read, or is damaged.
        """
        self._follow()
        try:
            problems = problems_in(self._connection)
            if problems:
                raise DamagedError(damage_text(self.path, "; ".join(problems)))
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            quarantined = self._number(_COUNTS["quarantined"])
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        parts = (self.path, self._log)
        size = sum(part.stat().st_size for part in parts if part.exists())
        return FileFacts(version, size, quarantined)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _at_one_moment(self, look: Callable[[], T]) -> T:
        self._follow()
        try:
            self._connection.execute("BEGIN")
            try:
                return look()
            finally:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    def _snapshot(self, journal: int, commands: int) -> StateSnapshot:
        decoder = Decoder()
        parts: dict[RunKey, dict[str, Any]] = {}
        for table, name, decode in (
            ("instance", "instance", codec.decode_instance),
            ("held", "held", codec.decode_held),
            ("progress", "", _progress),
            ("telemetry", "telemetry", codec.decode_telemetry),
        ):
            for key, value in decoder.keyed(table, self._rows(every(table)), decode):
                fields: Any = {name: value} if name else value
                parts.setdefault(key, {}).update(fields)
        runs = (RunSnapshot(key, **fields) for key, fields in parts.items())
        events = decoder.events(self._rows(newest("journal", journal)))
        noted = decoder.values("command", self._rows(newest("command", commands)), _command)
        meta = decoder.values("meta", self._rows(every("meta")), codec.decode_meta)
        return StateSnapshot(
            runs=tuple(sorted(runs, key=lambda run: str(run.key))),
            journal=tuple(events),
            commands=tuple(noted),
            last_number=self._number("SELECT coalesce(max(number), 0) FROM journal"),
            counts={name: self._number(sql) for name, sql in _COUNTS.items()},
            meta=dict(meta),
            unreadable=tuple(bad.found for bad in decoder.bad.values()),
        )

    def _rows(self, sql: str) -> list[codec.Row]:
        cursor = self._connection.execute(sql)
        return named(cursor.description, cursor)

    def _finished_rows(self) -> list[codec.Row]:
        return self._rows(finished_query(self._rows(FINISHED_SIZES)))

    def _number(self, sql: str) -> int:
        return int(self._connection.execute(sql).fetchone()[0])

    def _opened(self) -> sqlite3.Connection:
        if not file_exists(self.path):
            raise StateError(f"{self.path} does not exist: no live run has been started on it")
        try:
            connection, version = self._recognised()
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        if version < self._known:
            connection.close()
            raise StateError(
                f"{self.path} was written by an older signaldeck (schema {version}): start "
                "signaldeck on it once to bring it up to date"
            )
        return connection

    def _recognised(self) -> tuple[sqlite3.Connection, int]:
        self._immutable = False
        try:
            return self._connected()
        except sqlite3.Error as error:
            if not _cannot_be_locked(error) or self._log.exists():
                raise
        # Beside a file others have to be made while it is read, and this directory takes none.
        # Without a log there is no owner, so the file stands still until there is one.
        self._immutable = True
        return self._connected()

    def _connected(self) -> tuple[sqlite3.Connection, int]:
        connection = read_only(self.path, immutable=self._immutable)
        try:
            connection.text_factory = codec.text_of
            return connection, recognised(connection, self.path, self._known)
        except BaseException:
            connection.close()
            raise

    @property
    def _log(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def _follow(self) -> None:
        """Look at what has the file's name now: it may have been set aside and begun anew."""
        if self._file_identity() == self._identity and not (self._immutable and self._log.exists()):
            return
        self._connection.close()
        self._connection = self._opened()
        self._identity, self._data_version = self._file_identity(), None

    def _file_identity(self) -> tuple[int, ...] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        # SQLite does not ask whether a file that cannot change has changed.
        return found.st_dev, found.st_ino, found.st_mtime_ns if self._immutable else 0


def _cannot_be_locked(error: sqlite3.Error) -> bool:
    name = getattr(error, "sqlite_errorname", "")
    return name in ("SQLITE_READONLY_DIRECTORY", "SQLITE_CANTOPEN")


def _progress(row: codec.Row) -> dict[str, int | None]:
    return {"last_attempt": row["last_attempt"], "settled_until": row["settled_until"]}


def _command(row: codec.Row) -> CommandNoted:
    return CommandNoted(row["at"], row["origin"], row["command"], row["target"], row["result"])
