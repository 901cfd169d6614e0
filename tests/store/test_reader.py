"""Looking at a state file without owning it, whoever owns it and whatever is in it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.store.memory import MemoryStore
from engine.adapters.store.reader import RunSnapshot, StateReader
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import CommandNoted, InstanceSaved, MetaSaved, Settled, Telemetry
from engine.domain.errors import StateError
from engine.domain.signals import OpenPosition
from tests.store.children import Child, holding, one_by_one, script
from tests.store.store_bed import (
    T0,
    closing,
    key_of,
    normal,
    opening,
    record_of,
    row_of,
    rows_in,
    tampered,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


async def opened(path: Path, **options: Any) -> SqliteStore:
    store = SqliteStore(path, **options)
    await store.open()
    return store


async def test_it_sees_what_the_owner_has_committed(path: Path) -> None:
    store = await opened(path)
    key = key_of()
    await store.commit([InstanceSaved(key, record_of()), Settled(key, T0 + 1), *opening(key)])
    await store.commit([CommandNoted(T0, "console", "stop", str(key), "draining")])
    await store.commit([*opening(key_of(1)), *closing(key_of(1)), MetaSaved("seed", "1")])
    told = Telemetry(key, T0, 101.5, None, T0 + 2)
    store.telemetry([told])
    await store.flush()
    with StateReader(path) as reader:
        owner = reader.owner()
        assert owner is not None and (owner.pid, owner.alive) == (os.getpid(), True)
        seen = reader.snapshot()
    assert seen.runs == (
        RunSnapshot(key, record_of(), OpenPosition(row_of(key)), T0, T0 + 1, told),
        RunSnapshot(key_of(1), last_attempt=T0),
    )
    assert seen.journal == (await store.load()).recent
    assert seen.commands == (CommandNoted(T0, "console", "stop", str(key), "draining"),)
    assert seen.counts == {
        "instances": 1, "positions": 1, "scheduled": 0, "reservations": 1,
        "undelivered": 3, "finished": 0, "quarantined": 0,
    }  # fmt: skip
    assert seen.last_number == 3
    assert seen.meta == {"seed": "1"} and seen.unreadable == ()
    await store.close()


async def test_it_loads_what_the_next_owner_would(path: Path) -> None:
    store = await opened(path)
    for step in range(30):
        await store.commit(script(step))
    store.telemetry([Telemetry(key_of(), T0, 101.5, 0.5, T0 + 2)])
    state = await store.load()
    with StateReader(path) as reader:
        assert reader.load() == state
        assert reader.finished() == state.finished != ()
        assert reader.events(0) == state.recent
        assert reader.events(27) == state.recent[27:]
        assert reader.events(0, limit=5) == state.recent[:5]
        facts = reader.facts()
        assert (facts.version, facts.quarantined) == (1, 0)
        assert facts.size > path.stat().st_size
    await store.close()


async def test_it_is_bounded_by_what_was_asked_for(path: Path) -> None:
    store = await opened(path)
    for step in range(20):
        await store.commit(script(step))
    await store.close()
    with StateReader(path) as reader:
        seen = reader.snapshot(journal=5, commands=2)
    assert [entry.number for entry in seen.journal] == [16, 17, 18, 19, 20]
    assert [noted.when for noted in seen.commands] == [18, 19]


async def test_it_notices_changes_and_only_those(path: Path) -> None:
    store = await opened(path)
    with StateReader(path) as reader:
        assert reader.changed()
        assert not reader.changed()
        reader.snapshot()
        assert not reader.changed()
        await store.commit(opening(key_of()))
        assert reader.changed()
        assert not reader.changed()
        store.telemetry([Telemetry(key_of(), 1, 1.0, 1.0, 1)])
        await store.flush()
        assert reader.changed()
        await store.close()
        reader.changed()
        assert not reader.changed()
        assert reader.owner() is None
        assert len(reader.snapshot().runs) == 1


async def test_it_sees_whole_commits_at_every_point_of_a_write(path: Path) -> None:
    """In the middle of a transaction the state before it, after it the state after it."""
    store = await opened(path)
    await store.commit(script(0))
    seen: dict[str, int] = {}

    with StateReader(path) as reader:

        def look(point: str) -> None:
            snapshot = reader.snapshot()
            held = {run.key for run in snapshot.runs if run.held is not None}
            assert len(held) == snapshot.counts["positions"] == snapshot.counts["reservations"]
            assert snapshot.counts["undelivered"] == snapshot.last_number
            seen[point] = snapshot.last_number

        writer = await opened_again(store, path, look)
        for step in range(1, 12):
            await writer.commit(script(step))
            assert seen["mid_changes"] == seen["before_commit"] == step
            assert seen["after_commit"] == step + 1
        await writer.close()


async def opened_again(store: SqliteStore, path: Path, look: Any) -> SqliteStore:
    await store.close()
    return await opened(path, on_write_point=look)


async def test_it_keeps_up_with_another_process_that_writes(path: Path) -> None:
    with Child(one_by_one, str(path), 400, "", 0) as child:
        assert child.line() == "0"
        counts: list[int] = []
        with StateReader(path) as reader:
            while not counts or counts[-1] < 400:
                if reader.changed():
                    snapshot = reader.snapshot(journal=400)
                    numbers = [entry.number for entry in snapshot.journal]
                    assert numbers == list(range(1, len(numbers) + 1))
                    assert snapshot.last_number == len(numbers)
                    counts.append(len(numbers))
            assert counts == sorted(counts)
            child.rest()
            assert child.exit_code() == 0
            assert reader.owner() is None


async def test_it_reads_what_a_killed_owner_left(path: Path) -> None:
    with Child(one_by_one, str(path), 60, "after_commit", 10) as child:
        child.rest()
        child.exit_code()
    with StateReader(path) as reader:
        owner = reader.owner()
        assert owner is not None and (owner.pid, owner.alive) == (child.pid, False)
        seen = reader.snapshot()
    expected = MemoryStore()
    for step in range(10):
        await expected.commit(script(step))
    state = normal(await expected.load())
    assert seen.journal == state.recent
    assert {run.key: run.held for run in seen.runs} == {
        key: run.held for key, run in state.runs.items()
    }
    # It owns nothing, so an owner can come while it looks.
    with StateReader(path) as reader:
        store = await opened(path)
        assert len(reader.snapshot().journal) == 10
        await store.close()


async def test_it_changes_nothing(path: Path) -> None:
    store = await opened(path)
    await store.commit(opening(key_of()))
    await store.close()
    tampered(path, [("UPDATE held SET payload = 'x'", ())])
    before = path.read_bytes()
    with StateReader(path) as reader:
        assert [one.table for one in reader.load().quarantined] == ["held"]
        for _ in range(2):
            seen = reader.snapshot()
            (found,) = seen.unreadable
            assert (found.table, seen.counts["quarantined"]) == ("held", 0)
            assert [run.held for run in seen.runs] == [None]
    assert path.read_bytes() == before
    # Naming it is left to the next owner.
    store = await opened(path)
    assert len((await store.load()).quarantined) == 1
    await store.close()


async def test_it_follows_the_name_when_the_file_is_set_aside(path: Path) -> None:
    store = await opened(path)
    await store.commit(opening(key_of()))
    await store.close()
    with StateReader(path) as reader:
        reader.changed()
        for part in ("", "-wal", "-shm"):
            old = Path(f"{path}{part}")
            if old.exists():
                old.rename(f"{path}.old{part}")
        with pytest.raises(StateError, match="does not exist"):
            reader.changed()
        store = await opened(path)
        assert reader.changed()
        assert reader.snapshot().runs == ()
        await store.close()


async def test_it_says_what_it_cannot_read(path: Path) -> None:
    with pytest.raises(StateError, match="does not exist"):
        StateReader(path)
    assert not path.exists()
    path.write_text("no database " * 100)
    with pytest.raises(StateError, match="damaged"):
        StateReader(path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(StateError, match="another program"):
        StateReader(path)
    path.unlink()
    await (await opened(path)).close()
    for version, words in ((99, "newer signaldeck"), (0, "older signaldeck")):
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        with pytest.raises(StateError, match=words):
            StateReader(path)


async def test_damage_under_a_reader_is_named(path: Path) -> None:
    store = await opened(path)
    for step in range(300):
        await store.commit(script(step))
    await store.close()
    with StateReader(path) as reader:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(2 * 4096)
            file.write(os.urandom(size - 2 * 4096))
        with pytest.raises(StateError, match="damaged"):
            reader.snapshot()
        with pytest.raises(StateError, match="damaged"):
            reader.facts()


async def test_many_readers_and_an_owner_in_another_process(path: Path) -> None:
    with Child(holding, str(path)) as child:
        assert child.line() == "open"
        readers = [StateReader(path) for _ in range(5)]
        snapshots = await asyncio.gather(
            *(asyncio.to_thread(reader.snapshot) for reader in readers)
        )
        assert all(snapshot.runs == () for snapshot in snapshots)
        for reader in readers:
            owner = reader.owner()
            assert owner is not None and owner.alive
            reader.close()
        child.kill(signal.SIGKILL)
    assert rows_in(path, "PRAGMA integrity_check") == [("ok",)]
