"""An older file becomes one of the present version, whole or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from engine.adapters.store.schema import migrations
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import StoredState
from engine.domain.errors import StateError
from tests.store.children import script
from tests.store.store_bed import key_of, normal, opening, rows_in

PRESENT = migrations()[-1]
WITH_COLUMN = "ALTER TABLE meta ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 7;"
WITH_TABLE = "CREATE TABLE later (a TEXT) STRICT;"
BROKEN = "CREATE TABLE half (a TEXT) STRICT; INSERT INTO nowhere VALUES (1);"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


async def filled(path: Path) -> StoredState:
    store = SqliteStore(path)
    await store.open()
    for step in range(20):
        await store.commit(script(step))
    state = normal(await store.load())
    await store.close()
    return state


async def opened_with(path: Path, steps: tuple[str, ...]) -> StoredState:
    store = SqliteStore(path, steps=steps)
    await store.open()
    try:
        return normal(await store.load())
    finally:
        await store.close()


def version_of(path: Path) -> int:
    return rows_in(path, "PRAGMA user_version")[0][0]


def table_in(schema: str, name: str) -> str:
    """The statement that makes a table."""
    start = schema.index(f"CREATE TABLE {name}")
    return schema[start : schema.index(";", schema.index(") STRICT", start)) + 1]


async def test_a_new_file_has_the_present_version(path: Path) -> None:
    await opened_with(path, migrations())
    assert version_of(path) == len(migrations())
    assert rows_in(path, "PRAGMA application_id") == [(int.from_bytes(b"SIDK", "big"),)]


async def test_a_file_of_an_older_version_is_brought_forward(path: Path) -> None:
    """A file written by hand as an earlier program would have: two tables short."""
    parts = {name: table_in(PRESENT, name) for name in ("telemetry", "quarantine")}
    old = PRESENT
    for part in parts.values():
        old = old.replace(part, "")
    connection = sqlite3.connect(path)
    connection.executescript(old + "PRAGMA user_version = 1;")
    connection.execute("INSERT INTO meta VALUES ('seed', '42')")
    connection.commit()
    connection.close()
    state = await opened_with(path, (old, "".join(parts.values())))
    assert state.meta == {"seed": "42"}
    assert version_of(path) == 2
    assert rows_in(path, "SELECT count(*) FROM telemetry") == [(0,)]


async def test_several_steps_keep_everything(path: Path) -> None:
    before = await filled(path)
    steps = (*migrations(), WITH_COLUMN, WITH_TABLE)
    assert await opened_with(path, steps) == before
    assert version_of(path) == len(steps)
    # Each step once: the second would fail if it were repeated.
    assert await opened_with(path, steps) == before
    assert rows_in(path, "SELECT count(*) FROM later") == [(0,)]


async def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    before = await filled(path)
    with pytest.raises(StateError, match=r"schema 1 to 3: .*nowhere.*unchanged"):
        await opened_with(path, (*migrations(), WITH_TABLE, BROKEN))
    assert version_of(path) == 1
    tables = {name for (name,) in rows_in(path, "SELECT name FROM sqlite_master")}
    assert tables.isdisjoint({"later", "half"})
    assert await opened_with(path, migrations()) == before


async def test_a_file_brought_forward_is_newer_for_the_program_before(path: Path) -> None:
    await filled(path)
    await opened_with(path, (*migrations(), WITH_TABLE))
    with pytest.raises(StateError, match="newer signaldeck"):
        await opened_with(path, migrations())
    store = SqliteStore(path, steps=(*migrations(), WITH_TABLE))
    await store.open()
    await store.commit(opening(key_of(7)))
    await store.close()
