"""The state file as anybody can read it: with SQLite and its documented columns, nothing else.

It is read from a copy, log included: looking at the original would let SQLite repair it before the
process that has to get along with it comes back.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

RunKey: TypeAlias = tuple[str, str]
"""Strategy and symbol; mode, exchange and frame are the same for all runs here."""

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StateFile:
    """Every row of the tables that matter; ``problems`` are what SQLite finds wrong with it."""

    journal: tuple[Row, ...]
    held: dict[RunKey, Row]
    reservations: dict[tuple[str, RunKey], Row]
    progress: dict[RunKey, Row]
    instances: dict[RunKey, Row]
    commands: tuple[Row, ...]
    problems: tuple[str, ...]


def read(path: Path, scratch: Path) -> StateFile:
    """Read a state file that nobody has open.

    Args:
        path: the file; it may not exist yet, and then holds nothing.
        scratch: a folder for the copy.
    """
    if not path.exists() or not path.stat().st_size:
        return StateFile((), {}, {}, {}, {}, (), ())
    copy = scratch / "copy.db"
    for suffix in ("", "-wal", "-shm"):
        part, target = Path(f"{path}{suffix}"), Path(f"{copy}{suffix}")
        target.unlink(missing_ok=True)
        # The index of the log is rebuilt from the log: the one a dead process left is not needed.
        if part.exists() and suffix != "-shm":
            shutil.copyfile(part, target)
    with closing(sqlite3.connect(copy)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = OFF")  # it is a copy
        return _contents(connection)


def _contents(connection: sqlite3.Connection) -> StateFile:
    def rows(table: str, order: str = "rowid") -> list[Row]:
        found = connection.execute(f"SELECT * FROM {table} ORDER BY {order}")
        return [_opened(dict(row)) for row in found]

    problems = [
        f"integrity: {text}"
        for (text,) in connection.execute("PRAGMA integrity_check")
        if text != "ok"
    ]
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        return StateFile((), {}, {}, {}, {}, (), tuple(problems))
    problems += [f"quarantined: {row['source']}: {row['error']}" for row in rows("quarantine")]
    return StateFile(
        journal=tuple(rows("journal", "number")),
        held={_key(row): row for row in rows("held")},
        reservations={(row["risk"], _key(row)): row for row in rows("reservation")},
        progress={_key(row): row for row in rows("progress")},
        instances={_key(row): row for row in rows("instance")},
        commands=tuple(rows("command", "number")),
        problems=tuple(problems),
    )


def _key(row: Row) -> RunKey:
    return row["strategy"], row["symbol"]


def _opened(row: Row) -> Row:
    """A row whose payload is what it says; of a signal inside, the fields."""
    if isinstance(row.get("payload"), str):
        payload = json.loads(row["payload"])
        for name in ("signal", "data", "pending_signal", "row"):
            payload.update(payload.pop(name, {}))
        row["payload"] = payload
    return row
