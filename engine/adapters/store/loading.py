"""Start-up is recovery: everything in the file becomes values, or is set aside and named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, TypeVar

import aiosqlite

from engine.adapters.store import codec
from engine.adapters.store.codec import KEY_COLUMNS, Row
from engine.adapters.store.limits import FINISHED_KEPT, RECENT_KEPT, handed_out
from engine.domain.changes import (
    FinishedSaved,
    NumberedEvent,
    Quarantined,
    RunState,
    StoredState,
)
from engine.domain.signals import Cancelled, Closed, OpenPosition, RunKey

T = TypeVar("T")

_KEY: Final = ", ".join(KEY_COLUMNS)
_SAME_KEY: Final = " AND ".join(f"s.{column} = j.{column}" for column in KEY_COLUMNS)
# Run by run along the index of results, so that a start costs what the present sessions have, not
# what the journal has gathered in years. An instance whose progress is unreadable has all its own.
_SESSIONS: Final = (
    f"(SELECT {_KEY}, journal_from FROM progress UNION ALL SELECT {_KEY}, 0 FROM instance "
    f"WHERE ({_KEY}) NOT IN (SELECT {_KEY} FROM progress)) s "
    f"CROSS JOIN journal j ON {_SAME_KEY} AND j.number > s.journal_from"
)
_RESULTS: Final = (
    f"SELECT j.rowid AS row_number, j.* FROM {_SESSIONS} WHERE j.kind IN ('closed', 'cancelled')"
)
_COUNTS: Final = (
    f"SELECT {', '.join(f's.{column}' for column in KEY_COLUMNS)}, j.kind AS kind, "
    "CASE j.kind WHEN 'partial' THEN j.reason END AS side, count(*) AS entries "
    f"FROM {_SESSIONS} WHERE j.kind IN ('partial', 'risk') "
    f"GROUP BY {', '.join(f's.{column}' for column in KEY_COLUMNS)}, j.kind, side"
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


@dataclass(frozen=True, slots=True)
class Everything:
    """All rows a start needs, by table; made by whoever can ask the file."""

    held: Sequence[Row]
    instance: Sequence[Row]
    progress: Sequence[Row]
    results: Sequence[Row]
    counts: Sequence[Row]
    reservation: Sequence[Row]
    undelivered: Sequence[Row]
    recent: Sequence[Row]
    finished: Sequence[Row]
    meta: Sequence[Row]
    telemetry: Sequence[Row]


QUERIES: Final[Mapping[str, str]] = {
    **{table: every(table) for table in (
        "held", "instance", "progress", "reservation", "meta", "telemetry"
    )},
    "results": _RESULTS,
    "counts": _COUNTS,
    "undelivered": _UNDELIVERED,
    "recent": newest("journal", RECENT_KEPT),
}  # fmt: skip
"""SQL for the fields of `Everything`; that of ``finished`` depends on `FINISHED_SIZES`."""

FINISHED_SIZES: Final = (
    f"SELECT length(payload) AS size FROM finished ORDER BY number DESC LIMIT {FINISHED_KEPT}"
)


def finished_query(sizes: Iterable[Row]) -> str:
    """SQL for the newest finished runs, given what `FINISHED_SIZES` answered."""
    return newest("finished", handed_out(row["size"] for row in sizes))


async def loaded(connection: aiosqlite.Connection, now: datetime) -> StoredState:
    """Everything in the file, in one transaction with the quarantine of what is no value.

    Raises:
        sqlite3.Error: the file cannot be read or written; nothing was changed.
    """

    async def rows(sql: str) -> list[Row]:
        async with connection.execute(sql) as cursor:
            return named(cursor.description, await cursor.fetchall())

    connection.text_factory = codec.text_of
    try:
        await connection.execute("BEGIN IMMEDIATE")
        decoder = Decoder()
        found = {name: await rows(sql) for name, sql in QUERIES.items()}
        finished = await rows(finished_query(await rows(FINISHED_SIZES)))
        state = state_of(Everything(**found, finished=finished), decoder)
        await _quarantine(connection, decoder.bad.values(), now)
        await connection.execute("COMMIT")
    except BaseException:
        await connection.rollback()
        raise
    return state


def named(description: Iterable[Sequence[Any]], rows: Iterable[Iterable[Any]]) -> list[Row]:
    """Rows with the names of their columns."""
    names = [column[0] for column in description]
    return [dict(zip(names, row, strict=True)) for row in rows]


def state_of(rows: Everything, decoder: Decoder) -> StoredState:
    """The values of all rows; what has none is left in ``decoder.bad``."""
    runs = _runs(
        held=decoder.keyed("held", rows.held, codec.decode_held),
        instance=decoder.keyed("instance", rows.instance, codec.decode_instance),
        progress=decoder.keyed(
            "progress", rows.progress, lambda row: (row["last_attempt"], row["settled_until"])
        ),
        results=sorted(decoder.events(rows.results), key=attrgetter("number")),
        counts=_counts(rows.counts),
    )
    reservations: list[tuple[tuple[str, RunKey], OpenPosition]] = decoder.values(
        "reservation", rows.reservation, codec.decode_reserved
    )
    undelivered = decoder.events(rows.undelivered)
    recent = decoder.events(rows.recent)
    finished: list[FinishedSaved] = decoder.values("finished", rows.finished, codec.decode_finished)
    meta = decoder.values("meta", rows.meta, codec.decode_meta)
    telemetry = decoder.values("telemetry", rows.telemetry, codec.decode_telemetry)
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
    counts: Mapping[RunKey, Mapping[str, int]],
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
    for key, numbers in counts.items():
        parts[key]["counts"] = numbers
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


def _counts(rows: Iterable[Row]) -> Mapping[RunKey, Mapping[str, int]]:
    found: defaultdict[RunKey, dict[str, int]] = defaultdict(dict)
    for row in rows:
        with suppress(Exception):  # rows of a run with an unreadable name are reported as such
            name = f"partial_{row['side']}" if row["kind"] == "partial" else "risk"
            found[codec.key_of(row)][name] = row["entries"]
    return found


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
