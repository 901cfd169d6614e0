"""One process owns a state file; another is told which, since when, and what it can do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.adapters.store.ownership import lock_path, owner_of
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.errors import StateError
from tests.store.children import Child, holding
from tests.store.store_bed import key_of, opening

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def store_at(path: Path) -> SqliteStore:
    return SqliteStore(path, now=lambda: START, command="signaldeck live")


async def test_a_second_store_in_this_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first, second = store_at(path), store_at(path)
    await first.open()
    with pytest.raises(StateError) as caught:
        await second.open()
    text = str(caught.value)
    for part in (
        str(path), str(os.getpid()), "2026-01-02T03:04:05+00:00", "signaldeck live",
        "signaldeck status", "--read-only",
    ):  # fmt: skip
        assert part in text
    # The first one noticed nothing.
    await first.commit(opening(key_of()))
    await first.close()
    await second.open()
    assert len((await second.load()).reservations) == 1
    await second.close()


async def test_another_name_of_the_same_file_is_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = store_at(path)
    await first.open()
    (tmp_path / "link.db").symlink_to(path)
    with pytest.raises(StateError, match="is in use"):
        await store_at(tmp_path / "link.db").open()
    await first.close()


async def test_two_processes(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with Child(holding, str(path)) as child:
        assert child.line() == "open"
        with pytest.raises(StateError, match=f"process {child.pid} owns it since 20"):
            await store_at(path).open()
        found = owner_of(path)
        assert found is not None and (found.pid, found.alive) == (child.pid, True)
        child.kill(signal.SIGKILL)
    # The lock file says what the dead one wrote; the kernel knows better.
    dead = owner_of(path)
    assert dead is not None and (dead.pid, dead.alive) == (child.pid, False)
    store = store_at(path)
    await store.open()
    mine = owner_of(path)
    assert mine is not None
    assert (mine.pid, mine.started_at, mine.command, mine.alive) == (
        os.getpid(), "2026-01-02T03:04:05+00:00", "signaldeck live", True
    )  # fmt: skip
    await store.close()
    assert owner_of(path) is None


async def test_a_lock_file_of_anything_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for content in (b"", b"nonsense", b"[]", b'{"pid": 1}', b"x" * 10_000):
        lock_path(path).write_bytes(content)
        assert owner_of(path) is None
        store = store_at(path)
        await store.open()
        assert json.loads(lock_path(path).read_text())["pid"] == os.getpid()
        await store.close()


async def test_asking_for_the_owner_keeps_nobody_out(tmp_path: Path) -> None:
    """Readers hold the lock for an instant; an opener does not take them for an owner."""
    path = tmp_path / "state.db"
    over = False

    def ask() -> int:
        count = 0
        while not over:
            owner_of(path)
            count += 1
        return count

    lock_path(path).touch()
    asking = asyncio.ensure_future(asyncio.to_thread(ask))
    try:
        for _ in range(30):
            store = store_at(path)
            await store.open()
            await store.close()
    finally:
        over = True
    assert await asking > 0


async def test_a_store_that_cannot_be_opened_owns_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("this is no database, and long enough to be looked at" * 100)
    with pytest.raises(StateError):
        await store_at(path).open()
    assert owner_of(path) is None
    path.unlink()
    store = store_at(path)
    await store.open()
    await store.close()
