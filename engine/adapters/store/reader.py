"""Looking at a state file without owning it: for ``signaldeck status`` and ``--read-only``.

Works beside the owner while it writes, and when there is none. A reader changes nothing: what it
cannot understand it names, and leaves it to the next owner to set aside.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from engine.adapters.store import codec
from engine.adapters.store.database import explained, file_exists, read_only, recognised
from engine.adapters.store.loading import Decoder, every, newest
from engine.adapters.store.ownership import Owner, owner_of
from engine.adapters.store.schema import migrations
from engine.domain.changes import (
    CommandNoted,
    InstanceRecord,
    NumberedEvent,
    Quarantined,
    Telemetry,
)
from engine.domain.errors import StateError
from engine.domain.signals import OpenPosition, RunKey, ScheduledSignal

_COUNTS: Final[Mapping[str, str]] = {
    "instances": "SELECT count(*) FROM instance",
    "positions": "SELECT count(*) FROM held WHERE kind = 'position'",
    "scheduled": "SELECT count(*) FROM held WHERE kind = 'scheduled'",
    "reservations": "SELECT count(*) FROM reservation",
    "undelivered": "SELECT count(*) FROM journal WHERE deliver = 1 AND delivered = 0",
    "finished": "SELECT count(*) FROM finished",
    "quarantined": "SELECT count(*) FROM quarantine",
}


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """One run as the file has it; what the file does not have is None.

    Attributes:
        last_attempt, settled_until: instants, ms UTC.
    """

    key: RunKey
    instance: InstanceRecord | None = None
    held: ScheduledSignal | OpenPosition | None = None
    last_attempt: int | None = None
    settled_until: int | None = None
    telemetry: Telemetry | None = None


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """The file at one moment.

    Attributes:
        runs: ordered by key.
        journal: the newest entries, oldest first.
        commands: the newest operators' commands, oldest first.
        last_number: of the newest journal entry, 0 when there is none. The journal itself grows for
            years and is not counted.
        counts: rows by what they are: ``instances``, ``positions``, ``scheduled``,
            ``reservations``, ``undelivered``, ``finished``, ``quarantined``.
        meta: named values of the file.
        unreadable: rows that cannot be understood, still in their place.
    """

    runs: tuple[RunSnapshot, ...]
    journal: tuple[NumberedEvent, ...]
    commands: tuple[CommandNoted, ...]
    last_number: int
    counts: Mapping[str, int]
    meta: Mapping[str, str]
    unreadable: tuple[Quarantined, ...]


class StateReader:
    """Reads a state file; one caller at a time, from any thread. A context manager.

    Args:
        path: the state file.

    Raises:
        StateError: there is none, or it is no state file of this version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path: Final = Path(path).resolve()
        self._known = len(migrations())
        self._connection = self._opened()
        self._identity = self._file_identity()
        self._data_version: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def owner(self) -> Owner | None:
        """Who owns the file; with ``alive=False`` who did when it died; None: nobody does."""
        return owner_of(self.path)

    def changed(self) -> bool:
        """Whether anything was committed since the last call; True the first time. Microseconds.

        Raises:
            StateError: the file is gone or cannot be read.
        """
        identity = self._file_identity()
        if identity != self._identity:
            # Set aside and begun anew: follow the name, not the file.
            self._connection.close()
            self._connection = self._opened()
            self._identity, self._data_version = identity, None
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
        try:
            self._connection.execute("BEGIN")
            try:
                return self._snapshot(journal, commands)
            finally:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

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

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(sql)]

    def _number(self, sql: str) -> int:
        return int(self._connection.execute(sql).fetchone()[0])

    def _opened(self) -> sqlite3.Connection:
        if not file_exists(self.path):
            raise StateError(f"{self.path} does not exist: no live run has been started on it")
        try:
            connection = read_only(self.path)
            connection.row_factory = sqlite3.Row
            connection.text_factory = codec.text_of
            try:
                version = recognised(connection, self.path, self._known)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        if version < self._known:
            connection.close()
            raise StateError(
                f"{self.path} was written by an older signaldeck (schema {version}): start "
                "signaldeck on it once to bring it up to date"
            )
        return connection

    def _file_identity(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _progress(row: codec.Row) -> dict[str, int | None]:
    return {"last_attempt": row["last_attempt"], "settled_until": row["settled_until"]}


def _command(row: codec.Row) -> CommandNoted:
    return CommandNoted(row["at"], row["origin"], row["command"], row["target"], row["result"])
