"""Changes as SQL, and many commits as few statements.

A minute of a thousand runs is a few thousand small changes. They share one transaction, and inside
it rows of one kind are written together, because a round trip to the writing thread costs more than
the row. Only what may be reordered without a trace is: the newest value of a slot wins, and
where order matters between tables there is a fence.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from engine.adapters.store import codec
from engine.adapters.store.codec import KEY_COLUMNS
from engine.adapters.store.limits import FINISHED_KEPT, refuse_backtests
from engine.domain.changes import (
    AttemptMade,
    Change,
    CommandNoted,
    FinishedSaved,
    HeldChanged,
    InstanceForgotten,
    InstanceSaved,
    Journaled,
    MetaSaved,
    Released,
    Reserved,
    Settled,
    Telemetry,
)
from engine.domain.events import Partial, RiskRejection
from engine.domain.signals import Cancelled, Closed, RunKey

Parameters: TypeAlias = tuple[Any, ...]
Group: TypeAlias = tuple[str, list[Parameters]]
"""One SQL statement and the rows it is executed with."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One row's worth of SQL.

    Attributes:
        slot: what it writes; of statements for one slot only the last needs to be executed. None:
            it stays between what comes before and after it.
        fenced: it counts on what was written to its slot before.
    """

    sql: str
    parameters: Parameters
    slot: Hashable | None
    fenced: bool = False


_KEY: Final = ", ".join(KEY_COLUMNS)
_IS_KEY: Final = " AND ".join(f"{column} = ?" for column in KEY_COLUMNS)


def _replace(table: str, columns: Iterable[str]) -> str:
    names = tuple(columns)
    marks = ", ".join("?" * len(names))
    return f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({marks})"


def _delete(table: str) -> str:
    return f"DELETE FROM {table} WHERE {_IS_KEY}"


def _progress(column: str) -> str:
    return (
        f"INSERT INTO progress ({_KEY}, {column}) VALUES (?, ?, ?, ?, ?, ?) "
        f"ON CONFLICT DO UPDATE SET {column} = excluded.{column}"
    )


_ATTEMPT: Final = _progress("last_attempt")
_SETTLED: Final = _progress("settled_until")
# A new session starts a new list of results: it begins after the numbers given so far.
_SESSION: Final = (
    f"INSERT INTO progress ({_KEY}, journal_from) SELECT ?, ?, ?, ?, ?, ? "
    f"WHERE coalesce((SELECT session FROM instance WHERE {_IS_KEY}), 0) <> ? "
    "ON CONFLICT DO UPDATE SET journal_from = excluded.journal_from"
)
_FORGET_PROGRESS: Final = (
    f"INSERT INTO progress ({_KEY}, journal_from) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET journal_from = excluded.journal_from, "
    "last_attempt = NULL, settled_until = NULL"
)
_PRUNE_FINISHED: Final = (
    "DELETE FROM finished WHERE number <= "
    "(SELECT number FROM finished ORDER BY number DESC LIMIT 1 OFFSET ?)"
)
# Results and counts are found by way of their run's progress.
_KNOWN: Final = f"INSERT OR IGNORE INTO progress ({_KEY}) VALUES (?, ?, ?, ?, ?)"
_DELIVERED: Final = "UPDATE journal SET delivered = 1 WHERE number = ?"
_TELEMETRY: Final = _replace(
    "telemetry", (*KEY_COLUMNS, "at", "last_price", "pnl_percent", "heartbeat")
)
_COMMAND: Final = "INSERT INTO command (at, origin, command, target, result) VALUES (?, ?, ?, ?, ?)"
_EVENT_COLUMNS: Final = (
    "kind", "at", "signal_id", "position", "price", "price_open", "price_take_profit",
    "price_stop_loss", "level", "reason", "pnl_percent", "payload",
)  # fmt: skip
_JOURNAL_COLUMNS: Final = ("number", *KEY_COLUMNS, "deliver", *_EVENT_COLUMNS)
_JOURNAL: Final = (
    f"INSERT INTO journal ({', '.join(_JOURNAL_COLUMNS)}) "
    f"VALUES ({', '.join('?' * len(_JOURNAL_COLUMNS))})"
)


def translated(
    changes: Sequence[Change], last_number: int
) -> tuple[tuple[Statement, ...], tuple[int, ...]]:
    """Statements for a commit, and the journal numbers it takes: those after ``last_number``.

    Raises:
        StateError: a change cannot be stored.
    """
    refuse_backtests(changes)
    statements: list[Statement] = []
    numbers: list[int] = []
    for change in changes:
        if isinstance(change, Journaled):
            last_number += 1
            numbers.append(last_number)
        statements += _statements(change, last_number)
    return tuple(statements), tuple(numbers)


def _statements(change: Change, last_number: int) -> tuple[Statement, ...]:
    match change:
        case HeldChanged():
            return (_held(change),)
        case AttemptMade(key, when):
            return (Statement(_ATTEMPT, (*codec.key_values(key), when), ("attempt", key)),)
        case Settled(key, until):
            return (Statement(_SETTLED, (*codec.key_values(key), until), ("settled", key)),)
        case Reserved(risk, key, held):
            named = {"risk": risk, **_keyed(key), **codec.encode_reserved(held, key)}
            return (_row("reservation", named, ("reservation", risk, key)),)
        case Released(risk, key):
            sql = f"DELETE FROM reservation WHERE risk = ? AND {_IS_KEY}"
            parameters = (risk, *codec.key_values(key))
            return (Statement(sql, parameters, ("reservation", risk, key)),)
        case Journaled():
            return _journal(change, last_number)
        case InstanceSaved():
            return _instance(change, last_number)
        case InstanceForgotten(key):
            return _forgotten(key, last_number)
        case CommandNoted():
            texts = (change.origin, change.command, change.target, change.result)
            parameters = (change.when, *map(codec.storable_text, texts))
            return (Statement(_COMMAND, parameters, ("command", object())),)
        case FinishedSaved():
            return _finished(change)
        case MetaSaved(name, value):
            named = {"name": codec.storable_text(name), "value": codec.storable_text(value)}
            return (_row("meta", named, ("meta", named["name"])),)


def _keyed(key: RunKey) -> dict[str, str]:
    return dict(zip(KEY_COLUMNS, codec.key_values(key), strict=True))


def _row(
    table: str, named: Mapping[str, Any], slot: Hashable, *, fenced: bool = False
) -> Statement:
    return Statement(_replace(table, named), tuple(named.values()), slot, fenced)


def _held(change: HeldChanged) -> Statement:
    slot = ("held", change.key)
    if change.held is None:
        return Statement(_delete("held"), codec.key_values(change.key), slot)
    named = {**_keyed(change.key), **codec.encode_held(change.held, change.key)}
    return _row("held", named, slot)


def _journal(change: Journaled, number: int) -> tuple[Statement, ...]:
    columns = codec.encode_event(change.event, change.key)
    values = (columns.get(name) for name in _EVENT_COLUMNS)
    key = codec.key_values(change.key)
    parameters = (number, *key, int(change.deliver), *values)
    entry = Statement(_JOURNAL, parameters, ("journal", number))
    if not isinstance(change.event, Closed | Cancelled | Partial | RiskRejection):
        return (entry,)
    return entry, Statement(_KNOWN, key, ("known", change.key))


def _instance(change: InstanceSaved, last_number: int) -> tuple[Statement, ...]:
    key = codec.key_values(change.key)
    session = Statement(
        _SESSION, (*key, last_number, *key, change.record.session), ("session", change.key), True
    )
    named = {**_keyed(change.key), **codec.encode_instance(change.record, change.key)}
    return session, _row("instance", named, ("instance", change.key), fenced=True)


def _forgotten(key: RunKey, last_number: int) -> tuple[Statement, ...]:
    values = codec.key_values(key)
    deletions = (_delete(table) for table in ("held", "telemetry", "instance"))
    return (
        *(Statement(sql, values, None) for sql in deletions),
        Statement(_FORGET_PROGRESS, (*values, last_number), None),
    )


def _finished(change: FinishedSaved) -> tuple[Statement, ...]:
    named = {
        "run_id": codec.storable_text(change.run_id), "kind": codec.storable_text(change.kind),
        "at": change.when, "summary": codec.encode_summary(change), "payload": change.payload,
    }  # fmt: skip
    pruned = Statement(_PRUNE_FINISHED, (FINISHED_KEPT,), None)
    return _row("finished", named, ("finished", named["run_id"])), pruned


def marked(delivered: Iterable[int], telemetry: Iterable[Telemetry]) -> list[Group]:
    """What is written lazily."""
    numbers: list[Parameters] = [(number,) for number in sorted(delivered)]
    rows: list[Parameters] = [
        (*codec.key_values(row.key), row.when, row.last_price, row.pnl_percent, row.heartbeat)
        for row in telemetry
    ]
    return [(sql, rows) for sql, rows in ((_DELIVERED, numbers), (_TELEMETRY, rows)) if rows]


def arranged(statements: Iterable[Statement]) -> list[Group]:
    """The fewest executions that leave the same rows as the statements one by one."""
    groups: list[Group] = []
    segment: dict[Hashable, Statement] = {}
    for statement in statements:
        alone = statement.slot is None
        if alone or (statement.fenced and statement.slot in segment):
            groups += _grouped(segment.values())
            segment = {}
        if alone:
            groups.append((statement.sql, [statement.parameters]))
            continue
        # At the end, not in the place of the one before: rows are numbered as they are written.
        segment.pop(statement.slot, None)
        segment[statement.slot] = statement
    return groups + _grouped(segment.values())


def _grouped(statements: Iterable[Statement]) -> list[Group]:
    by_sql: dict[str, list[Parameters]] = {}
    for statement in statements:
        by_sql.setdefault(statement.sql, []).append(statement.parameters)
    return list(by_sql.items())
