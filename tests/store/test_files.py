"""Files that cannot be used: each a clear message, and nothing lost."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.store.ownership import owner_of
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import FinishedSaved, StoredState
from engine.domain.errors import StateError
from tests.store.children import (
    Child,
    as_nobody,
    holding,
    looking_as_nobody,
    one_by_one,
    script,
    until_the_disk_is_full,
)
from tests.store.store_bed import key_of, normal, opening, rows_in, tampered

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAGE = 4096
PARTS = ("", "-wal", "-shm")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def contents(path: Path, parts: tuple[str, ...] = ("", "-wal")) -> dict[str, bytes]:
    """The bytes of a database and of its log, if there is anything in it."""
    found = {
        part: Path(f"{path}{part}").read_bytes() for part in parts if Path(f"{path}{part}").exists()
    }
    return {part: data for part, data in found.items() if data}


async def refusal(path: Path, **options: Any) -> str:
    """What opening says; the file must not have been touched, nor be owned."""
    before = contents(path) if path.is_file() else {}
    with pytest.raises(StateError) as caught:
        await SqliteStore(path, **options).open()
    if before:
        assert contents(path) == before
    assert owner_of(path) is None
    return str(caught.value)


async def filled(path: Path, steps: int = 40) -> StoredState:
    store = SqliteStore(path)
    await store.open()
    await store.commit([change for step in range(steps) for change in script(step)])
    state = normal(await store.load())
    await store.close()
    return state


async def loaded(path: Path, **options: Any) -> StoredState:
    store = SqliteStore(path, **options)
    await store.open()
    try:
        return normal(await store.load())
    finally:
        await store.close()


# -- not a state file --------------------------------------------------------------------------


async def test_a_directory(path: Path) -> None:
    path.mkdir()
    text = await refusal(path)
    assert f"{path} is a directory" in text


async def test_a_pipe(path: Path) -> None:
    os.mkfifo(path)
    assert "not a regular file" in await refusal(path)


async def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StateError, match="cannot be made: Not a directory"):
        await SqliteStore(tmp_path / "file" / "deep" / "state.db").open()
    with pytest.raises(StateError, match="--state"):
        await SqliteStore(tmp_path / "file" / "state.db").open()


async def test_missing_directories_are_made(tmp_path: Path) -> None:
    await filled(tmp_path / "a" / "b" / "state.db", 1)
    assert (tmp_path / "a" / "b" / "state.db").is_file()


@pytest.mark.parametrize("content", ["hello", "no database at all " * 1000])
async def test_a_file_that_is_no_database(path: Path, content: str) -> None:
    path.write_text(content)
    text = await refusal(path)
    assert str(path) in text and "start_clean_if_damaged" in text


async def test_an_empty_file_is_a_new_state(path: Path) -> None:
    path.touch()
    assert await loaded(path) == StoredState()


@pytest.mark.parametrize("version", [0, 1, 7])
async def test_a_database_of_another_program(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"CREATE TABLE theirs (a); PRAGMA user_version = {version};")
    connection.close()
    for consent in (False, True):
        text = await refusal(path, start_clean_if_damaged=consent)
        assert "another program" in text and "--state" in text
    assert rows_in(path, "SELECT name FROM sqlite_master") == [("theirs",)]


async def test_a_newer_version(path: Path) -> None:
    state = await filled(path)
    tampered(path, [])
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for consent in (False, True):
        text = await refusal(path, start_clean_if_damaged=consent)
        assert "newer signaldeck (schema 99" in text and "update signaldeck" in text
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert await loaded(path) == state


# -- damaged -----------------------------------------------------------------------------------


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def damage_page(path: Path) -> None:
    overwrite(path, 2 * PAGE, os.urandom(PAGE))


def damage_header(path: Path) -> None:
    overwrite(path, 0, b"x" * 64)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // PAGE * PAGE)


def cut_within_a_page(path: Path) -> None:
    os.truncate(path, path.stat().st_size - PAGE - 100)


DAMAGES = [damage_page, damage_header, cut, cut_within_a_page]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_file_is_left_alone_and_with_consent_kept_aside(
    path: Path, damage: Any
) -> None:
    await filled(path)
    damage(path)
    damaged = path.read_bytes()
    text = await refusal(path)
    for part in (str(path), "damaged", "start_clean_if_damaged"):
        assert part in text

    store = SqliteStore(path, start_clean_if_damaged=True, now=lambda: NOW)
    await store.open()
    kept = path.with_name("state.db.damaged-20260102T030405Z")
    assert store.set_aside == kept
    assert kept.read_bytes() == damaged
    state = await store.load()
    (found,) = state.quarantined
    assert found.row == str(kept)
    assert normal(state).runs == {}
    await store.commit(opening(key_of()))
    await store.close()

    # The new one is a state like any other; the old one is still there.
    assert len((await loaded(path)).reservations) == 1
    assert kept.read_bytes() == damaged


async def test_a_second_damaged_file_does_not_replace_the_first(path: Path) -> None:
    for text in ("first", "second", "third"):
        path.write_text(text)
        await loaded(path, start_clean_if_damaged=True, now=lambda: NOW)
    kept = sorted(path.parent.glob("state.db.damaged-*"))
    assert [file.read_text() for file in kept if "-wal" not in file.name] == [
        "first", "second", "third"
    ]  # fmt: skip


async def test_damage_beside_a_log_keeps_both(path: Path) -> None:
    """What a killed process left in the log is evidence too, and no new file may meet it."""
    await filled(path, 900)
    with Child(one_by_one, str(path), 60, "after_commit", 2) as child:
        child.rest()
    assert len(contents(path)["-wal"]) > PAGE
    for page in range(10, 30):
        overwrite(path, page * PAGE, os.urandom(PAGE))
    before = contents(path)
    assert "damaged" in await refusal(path)
    state = await loaded(path, start_clean_if_damaged=True, now=lambda: NOW)
    assert state.runs == {} and state.recent == ()
    assert contents(path.with_name("state.db.damaged-20260102T030405Z")) == before


async def test_a_log_whose_file_is_gone_is_not_thrown_away(path: Path) -> None:
    """Someone removed the file and left its log; or the program died while setting both aside."""
    with Child(one_by_one, str(path), 60, "after_commit", 9) as child:
        child.rest()
    log = contents(path)["-wal"]
    path.unlink()
    text = await refusal(path)
    assert "it is gone, and its log state.db-wal is there" in text
    assert contents(path) == {"-wal": log}
    state = await loaded(path, start_clean_if_damaged=True, now=lambda: NOW)
    assert state.runs == {}
    assert contents(path.with_name("state.db.damaged-20260102T030405Z")) == {"-wal": log}


async def test_damage_that_appears_while_the_file_is_in_use(path: Path) -> None:
    before = await filled(path, 900)
    whole = path.read_bytes()
    store = SqliteStore(path)
    await store.open()
    for page in range(2, len(whole) // PAGE):
        overwrite(path, page * PAGE, os.urandom(PAGE))
    with pytest.raises(StateError, match="damaged"):
        await store.load()
    with pytest.raises(StateError, match="damaged"):
        await store.commit(script(1))
    await store.close()
    # Whatever was not overwritten by the test is as it was.
    path.write_bytes(whole)
    for part in ("-wal", "-shm"):
        Path(f"{path}{part}").unlink(missing_ok=True)
    assert await loaded(path) == before


# -- no room, no permission --------------------------------------------------------------------


async def test_a_full_store(path: Path) -> None:
    """Refused commits change nothing, later ones that fit are taken, and a bigger store goes on."""
    await filled(path, 3)
    pages = path.stat().st_size // PAGE
    store = SqliteStore(path, max_page_count=pages + 12)
    await store.open()
    step = 3
    with pytest.raises(StateError, match="full: nothing was changed"):
        while True:
            await store.commit(script(step))
            step += 1
    assert step > 5
    big = FinishedSaved("backtest", "big", 1, {}, b"x" * 20 * PAGE)
    with pytest.raises(StateError, match="full"):
        await store.commit([big, *script(step)])
    assert store.trouble == "cannot be written"
    state = normal(await store.load())
    assert len(state.recent) == step
    await store.close()
    assert store.trouble == ""
    assert await loaded(path) == state
    store = SqliteStore(path)
    await store.open()
    await store.commit([big, *script(step)])
    assert store.trouble == ""
    assert len((await store.load()).recent) == step + 1
    await store.close()


def test_a_disk_that_takes_no_more(path: Path) -> None:
    """The operating system refuses to let the files grow, and then allows it again."""
    with Child(until_the_disk_is_full, str(path), 400_000) as child:
        lines = child.rest()
        assert child.exit_code() == 0
    *steps, refused, kept, after = lines
    assert steps == [str(step) for step in range(len(steps))] and len(steps) > 5
    assert refused.startswith(f"refused {path}") and "nothing was changed" in refused
    assert kept == f"kept {len(steps)}"
    assert after == str(len(steps))
    assert rows_in(path, "SELECT count(*) FROM journal") == [(len(steps) + 1,)]
    assert rows_in(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.fixture
def shared_directory() -> Iterator[Path]:
    """A directory that other users can reach, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o777)
    yield directory
    directory.chmod(0o777)
    shutil.rmtree(directory)


def said_by_nobody(path: Path) -> str:
    with Child(as_nobody, str(path)) as child:
        return child.line() or "died"


def test_a_read_only_directory(shared_directory: Path) -> None:
    shared_directory.chmod(0o555)
    path = shared_directory / "state.db"
    text = said_by_nobody(path)
    assert "Permission denied" in text and "--read-only" in text
    shared_directory.chmod(0o777)
    assert said_by_nobody(path) == "opened"


async def test_a_read_only_file(shared_directory: Path) -> None:
    path = shared_directory / "state.db"
    before = await filled(path)
    path.chmod(0o444)
    path.with_name("state.db.lock").chmod(0o666)
    bytes_before = path.read_bytes()
    text = said_by_nobody(path)
    assert "read-only" in text and "nothing was changed" in text
    assert path.read_bytes() == bytes_before
    path.chmod(0o644)
    for part in PARTS[1:]:
        Path(f"{path}{part}").unlink(missing_ok=True)
    assert await loaded(path) == before


def test_an_unreadable_file(shared_directory: Path) -> None:
    path = shared_directory / "state.db"
    path.write_text("secret")
    path.chmod(0o600)
    if os.geteuid() != 0:
        path.chmod(0)
    text = said_by_nobody(path)
    assert str(path) in text and "cannot be opened" in text
    path.chmod(0o600)
    assert path.read_text() == "secret"


async def test_a_look_at_a_directory_that_takes_no_files(shared_directory: Path) -> None:
    """Whoever may only read sees what is there, also when an owner comes, dies, or has died."""
    path = shared_directory / "state.db"
    await filled(path, 3)
    shared_directory.chmod(0o555)
    with Child(looking_as_nobody, str(path)) as looking:
        assert (looking.line() or "").endswith(" 3")
        store = SqliteStore(path)
        shared_directory.chmod(0o777)
        await store.open()
        await store.commit(script(3))
        while not (line := looking.line() or "gone").endswith(" 4"):
            assert line in ("True 3", "False 3")
        await store.close()
    with Child(one_by_one, str(path), 60, "after_commit", 2) as child:
        child.rest()
    shared_directory.chmod(0o555)
    with Child(looking_as_nobody, str(path)) as looking:
        assert looking.line() == "True 6"


# -- beside other programs ---------------------------------------------------------------------


async def test_a_killed_owner_leaves_a_file_that_opens(path: Path) -> None:
    before = await filled(path)
    with Child(holding, str(path)) as child:
        assert child.line() == "open"
        child.kill(signal.SIGKILL)
    assert await loaded(path) == before


async def test_a_database_browser_that_writes(path: Path) -> None:
    """Another program's transaction: waited for, then refused with a reason."""
    store = SqliteStore(path, busy_seconds=0.0)
    await store.open()
    browser = sqlite3.connect(path, isolation_level=None)
    browser.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateError, match="locked by another program"):
        await store.commit(opening(key_of()))
    browser.execute("ROLLBACK")
    browser.close()
    await store.commit(opening(key_of()))
    assert len((await store.load()).reservations) == 1
    await store.close()
