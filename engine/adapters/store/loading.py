"""Start-up is recovery: everything in the file becomes values, or is set aside and named."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

import aiosqlite

from engine.adapters.store import codec
from engine.adapters.store.codec import KEY_COLUMNS, Row
from engine.adapters.store.limits import FINISHED_KEPT, RECENT_KEPT
from engine.domain.changes import (
    FinishedSaved,
    NumberedEvent,
    Quarantined,
    RunState,
    StoredState,
)
from engine.domain.signals import Cancelled, Closed, OpenPosition, RunKey

T = TypeVar("T")

_SAME_KEY: Final = " AND ".join(f"p.{column} = j.{column}" for column in KEY_COLUMNS)
_RESULTS: Final = (
    f"SELECT j.rowid AS row_number, j.* FROM journal j LEFT JOIN progress p ON {_SAME_KEY} "
    "WHERE j.kind IN ('closed', 'cancelled') AND j.number > coalesce(p.journal_from, 0) "
    "ORDER BY j.number"
)
_UNDELIVERED: Final = (
    "SELECT rowid AS row_number, * FROM journal WHERE deliver = 1 AND delivered = 0 ORDER BY number"
)


def every(table: str) -> str:
    """SQL for all rows of a table, in the order they were first written."""
    return f"SELECT rowid AS row_number, * FROM {table} ORDER BY rowid"


def newest(table: str, count: int) -> str:
    """SQL for the newest rows of a numbered table, oldest first."""
    return (
        f"SELECT * FROM (SELECT rowid AS row_number, * FROM {table} ORDER BY number DESC "
        f"LIMIT {count}) ORDER BY number"
    )


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that could not be understood."""

    row_number: int
    found: Quarantined


@dataclass
class Decoder:
    """Turns rows into values; what cannot be turned is collected, once."""

    bad: dict[tuple[str, int], Bad] = field(default_factory=dict[tuple[str, int], Bad])
    _events: dict[int, NumberedEvent] = field(default_factory=dict[int, NumberedEvent])

    def values(self, table: str, rows: Iterable[Row], decode: Callable[[Row], T]) -> list[T]:
        """The values of all rows that have one."""
        values: list[T] = []
        for row in rows:
            at = (table, row["row_number"])
            if at in self.bad:
                continue
            try:
                values.append(decode(row))
            except Exception as error:
                # Whatever is wrong with one row, the others have to load.
                text = " ".join(f"{type(error).__name__}: {error}".split())
                self.bad[at] = Bad(at[1], Quarantined(table, codec.row_text(row), text))
        return values

    def keyed(
        self, table: str, rows: Iterable[Row], decode: Callable[[Row], T]
    ) -> list[tuple[RunKey, T]]:
        """Like `values`, with the run each row belongs to."""
        return self.values(table, rows, lambda row: (codec.key_of(row), decode(row)))

    def events(self, rows: Iterable[Row]) -> list[NumberedEvent]:
        """Journal entries; one that occurs in several lists is decoded once."""
        return self.values("journal", rows, self._event)

    def _event(self, row: Row) -> NumberedEvent:
        number: int = row["number"]
        entry = self._events.get(number)
        if entry is None:
            entry = NumberedEvent(number, codec.key_of(row), codec.decode_event(row))
            self._events[number] = entry
        return entry


async def loaded(connection: aiosqlite.Connection, now: datetime) -> StoredState:
    """Everything in the file, in one transaction with the quarantine of what is no value.

    Raises:
        sqlite3.Error: the file cannot be read or written; nothing was changed.
    """
    connection.row_factory = sqlite3.Row
    connection.text_factory = codec.text_of
    try:
        await connection.execute("BEGIN IMMEDIATE")
        decoder = Decoder()
        state = await _state(connection, decoder)
        await _quarantine(connection, decoder.bad.values(), now)
        await connection.execute("COMMIT")
    except BaseException:
        await connection.rollback()
        raise
    return state


async def _state(connection: aiosqlite.Connection, decoder: Decoder) -> StoredState:
    async def rows(sql: str) -> list[dict[str, Any]]:
        return [dict(row) for row in await connection.execute_fetchall(sql)]

    runs = _runs(
        held=decoder.keyed("held", await rows(every("held")), codec.decode_held),
        instance=decoder.keyed("instance", await rows(every("instance")), codec.decode_instance),
        progress=decoder.keyed(
            "progress",
            await rows(every("progress")),
            lambda row: (row["last_attempt"], row["settled_until"]),
        ),
        results=decoder.events(await rows(_RESULTS)),
    )
    reservations: list[tuple[tuple[str, RunKey], OpenPosition]] = decoder.values(
        "reservation", await rows(every("reservation")), codec.decode_reserved
    )
    undelivered = decoder.events(await rows(_UNDELIVERED))
    recent = decoder.events(await rows(newest("journal", RECENT_KEPT)))
    finished: list[FinishedSaved] = decoder.values(
        "finished", await rows(newest("finished", FINISHED_KEPT)), codec.decode_finished
    )
    meta = decoder.values("meta", await rows(every("meta")), codec.decode_meta)
    telemetry = decoder.values("telemetry", await rows(every("telemetry")), codec.decode_telemetry)
    return StoredState(
        runs=runs,
        reservations=dict(reservations),
        undelivered=tuple(undelivered),
        recent=tuple(recent),
        finished=tuple(finished),
        meta=dict(meta),
        quarantined=tuple(bad.found for bad in decoder.bad.values()),
        telemetry={row.key: row for row in telemetry},
    )


def _runs(
    *,
    held: Iterable[tuple[RunKey, Any]],
    instance: Iterable[tuple[RunKey, Any]],
    progress: Iterable[tuple[RunKey, tuple[int | None, int | None]]],
    results: Iterable[NumberedEvent],
) -> Mapping[RunKey, RunState]:
    parts: defaultdict[RunKey, dict[str, Any]] = defaultdict(dict)
    for key, value in held:
        parts[key]["held"] = value
    for key, value in instance:
        parts[key]["instance"] = value
    for key, (last_attempt, settled_until) in progress:
        parts[key].update(last_attempt=last_attempt, settled_until=settled_until)
    trades: defaultdict[RunKey, list[Closed]] = defaultdict(list)
    cancelled: defaultdict[RunKey, list[Cancelled]] = defaultdict(list)
    for entry in results:
        if isinstance(entry.event, Closed):
            trades[entry.key].append(entry.event)
        elif isinstance(entry.event, Cancelled):
            cancelled[entry.key].append(entry.event)
    keys = {**parts, **trades, **cancelled}
    runs = {
        key: RunState(
            trades=tuple(trades.get(key, ())),
            cancelled=tuple(cancelled.get(key, ())),
            **parts.get(key, {}),
        )
        for key in keys
    }
    return {key: state for key, state in runs.items() if state != RunState()}


async def _quarantine(connection: aiosqlite.Connection, bad: Iterable[Bad], now: datetime) -> None:
    for one in bad:
        found = one.found
        await connection.execute(
            "INSERT INTO quarantine (source, source_row, payload, error, at) "
            "VALUES (?, ?, ?, ?, ?)",
            (
                found.table,
                one.row_number,
                found.row,
                codec.storable_text(found.error),
                now.isoformat(timespec="seconds"),
            ),
        )
        await connection.execute(f"DELETE FROM {found.table} WHERE rowid = ?", (one.row_number,))
