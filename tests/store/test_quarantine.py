"""Rows of nonsense are set aside, named and kept; everything else loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import FinishedSaved, InstanceSaved, MetaSaved, Settled, StoredState
from tests.store.store_bed import (
    T0,
    closing,
    key_of,
    normal,
    opening,
    record_of,
    rows_in,
    tampered,
)

VICTIM = key_of(1).symbol
NONSENSE: dict[str, Any] = {
    "no JSON": "nonsense",
    "empty": "",
    "no object": "[]",
    "nothing in it": "{}",
    "a missing object": '{"row":7,"signal":7,"settings":7}',
    "not a number": '{"row":NaN}',
    "too deep": "[" * 100_000,
    "no text": b"\xff\xfe",
}


async def filled(path: Path) -> StoredState:
    """Two runs with one of everything each; the second is the victim."""
    store = SqliteStore(path)
    await store.open()
    for run in (0, 1):
        key = key_of(run)
        await store.commit([InstanceSaved(key, record_of()), Settled(key, T0)])
        await store.commit(closing(key, run))
        await store.commit(opening(key, run + 10))
        await store.commit([FinishedSaved("backtest", f"r{run}", T0, {"n": run}, b"x")])
        await store.commit([MetaSaved(f"m{run}", "v")])
    state = await store.load()
    await store.close()
    return state


async def loaded(path: Path) -> StoredState:
    store = SqliteStore(path)
    await store.open()
    try:
        return normal(await store.load())
    finally:
        await store.close()


CASES = [
    *(("held", "payload", value) for value in NONSENSE.values()),
    *(("journal", "payload", value) for value in NONSENSE.values()),
    *(("instance", "payload", value) for value in NONSENSE.values()),
    *(("reservation", "payload", value) for value in NONSENSE.values()),
    *(("finished", "summary", NONSENSE[name]) for name in ("no JSON", "no object", "no text")),
    ("meta", "value", b"\xff"),
    ("held", "kind", "nonsense"),
    ("held", "position", "sideways"),
    ("held", "price_open", None),
    ("held", "pending_at", None),
    ("held", "mode", "nonsense"),
    ("held", "strategy", b"\xff"),
    ("progress", "mode", "nonsense"),
    ("journal", "kind", "nonsense"),
    ("journal", "kind", "partial"),
    ("journal", "reason", "nonsense"),
    ("instance", "session", None),
]


@pytest.mark.parametrize(("table", "column", "value"), CASES)
async def test_one_bad_row(tmp_path: Path, table: str, column: str, value: Any) -> None:
    path = tmp_path / "state.db"
    before = await filled(path)
    numbered = {"journal": "number = 3", "finished": "number = 2", "meta": "name = 'm1'"}
    where = numbered.get(table, f"symbol = '{VICTIM}'")
    # SQLite itself refuses other types; bytes can only come as text that is none.
    expression = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
    ((rowid,),) = rows_in(path, f"SELECT rowid FROM {table} WHERE {where}")
    tampered(path, [(f"UPDATE {table} SET {column} = {expression} WHERE {where}", (value,))])

    state = await loaded(path)

    (found,) = state.quarantined
    assert found.table == table and found.error
    if not isinstance(value, bytes):
        assert json.loads(found.row)[column] == value
    # Moved, whole, not copied and not lost.
    assert rows_in(path, f"SELECT count(*) FROM {table} WHERE rowid = ?", rowid) == [(0,)]
    ((source, row, payload, error, at),) = rows_in(
        path, "SELECT source, source_row, payload, error, at FROM quarantine"
    )
    assert (source, row, payload, error) == (table, rowid, found.row, found.error)
    assert at.startswith("20")
    # The neighbour has all it had, and the victim all but this.
    assert state.runs[key_of(0)] == before.runs[key_of(0)]
    assert state.reservations.keys() >= {("limit", key_of(0))}
    assert len(state.recent) == len(before.recent) - (table == "journal")
    assert len(state.undelivered) == len(before.undelivered) - (table == "journal")
    assert len(state.finished) == 2 - (table == "finished")
    assert len(state.meta) == 2 - (table == "meta")
    victim, was = state.runs[key_of(1)], before.runs[key_of(1)]
    assert (victim.held == was.held) == (table != "held")
    assert (victim.instance == was.instance) == (table != "instance")
    assert (victim.trades == was.trades) == (table != "journal")
    assert (victim.settled_until == was.settled_until) == (table != "progress")

    # It is reported once.
    assert (await loaded(path)).quarantined == ()


async def test_nothing_is_taken_for_what_it_nearly_is(tmp_path: Path) -> None:
    """A word that could pass for a truth value, a text for a number: not what was written."""
    path = tmp_path / "state.db"
    await filled(path)
    tampered(path, [
        ("UPDATE journal SET payload = replace(payload, '\"swept\":false', '\"swept\":\"false\"') "
         "WHERE number = 3", ()),
        ("UPDATE held SET payload = replace(payload, ':false', ':0') WHERE symbol = ?", (VICTIM,)),
        ("UPDATE instance SET payload = replace(payload, '[\"limit\"]', '\"limit\"') "
         "WHERE symbol = ?", (VICTIM,)),
    ])  # fmt: skip
    found = (await loaded(path)).quarantined
    assert sorted(one.table for one in found) == ["held", "instance", "journal"]


async def test_many_bad_rows_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    tables = ("held", "instance", "reservation")
    tampered(path, [
        (f"UPDATE {table} SET payload = 'x' WHERE symbol = ?", (VICTIM,)) for table in tables
    ])  # fmt: skip
    state = await loaded(path)
    assert sorted(found.table for found in state.quarantined) == sorted(tables)
    # What is left of the victim: where it was in time, and its trades.
    victim = state.runs[key_of(1)]
    assert (victim.held, victim.instance, victim.settled_until) == (None, None, T0)
    assert len(victim.trades) == 1


async def test_the_number_of_a_quarantined_entry_is_not_given_again(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    before = await filled(path)
    last = before.recent[-1].number
    tampered(path, [("UPDATE journal SET payload = 'x' WHERE number = ?", (last,))])
    assert (await loaded(path)).recent[-1].number < last
    store = SqliteStore(path)
    await store.open()
    assert await store.commit(closing(key_of(0), 99)) == (last + 1,)
    await store.close()
