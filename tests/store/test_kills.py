"""SIGKILL at every write point and at any moment: what was acknowledged is there, whole.

Besides it there may be at most the one commit that was being written, whole as well.
"""

from __future__ import annotations

import random
import signal
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from engine.adapters.store.memory import MemoryStore
from engine.adapters.store.sqlite import SqliteStore
from engine.adapters.store.writer import WritePoint
from engine.domain.changes import NumberedEvent, RunState, StoredState
from tests.store.children import Child, one_by_one, script, side_by_side
from tests.store.store_bed import closing, key_of, normal, opening, rows_in

POINTS = get_args(WritePoint)
STEPS = 60
RANDOM_KILLS = 12


async def after_restart(path: Path) -> StoredState:
    store = SqliteStore(path)
    await store.open()
    try:
        return normal(await store.load())
    finally:
        await store.close()


async def expected_after(steps: int) -> StoredState:
    store = MemoryStore()
    for step in range(steps):
        await store.commit(script(step))
    return normal(await store.load())


def sound(path: Path) -> bool:
    return rows_in(path, "PRAGMA integrity_check") == [("ok",)]


async def check_one_by_one(path: Path, lines: list[str]) -> int:
    """The file holds a prefix of the script: what was acknowledged, and at most one step more."""
    acknowledged = len(lines)
    assert lines == [str(step) for step in range(acknowledged)]
    state = await after_restart(path)
    (written,) = rows_in(path, "SELECT count(*) FROM journal")[0]
    assert written - acknowledged in (0, 1)
    expected = await expected_after(written)
    assert replace(state, undelivered=(), telemetry={}) == replace(expected, undelivered=())
    # Where runs stood may be missing or late, but it is what was told once.
    for key, told in state.telemetry.items():
        assert key == told.key == key_of(told.when % 3) and told.heartbeat == told.when < written
    assert rows_in(path, "SELECT count(*) FROM command") == [(max(written - 3, 0),)]
    # Whatever was not marked as delivered is handed out, and nothing that does not exist.
    numbers = {entry.number for entry in state.undelivered}
    assert numbers <= set(range(1, written + 1))
    assert numbers >= set(range(2, written + 1, 2))
    assert sound(path)
    return written


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_a_write_point(tmp_path: Path, point: str, count: int) -> None:
    path = tmp_path / "state.db"
    with Child(one_by_one, str(path), STEPS, point, count) as child:
        lines = child.rest()
        assert child.exit_code() == -signal.SIGKILL
    assert len(lines) < STEPS
    written = await check_one_by_one(path, lines)
    if point.startswith("marks_"):
        assert written == len(lines)
    else:
        # It is there if and only if it had been committed.
        assert written == len(lines) + (point == "after_commit")
        # In its count-th commit; a commit of several tables has several middles.
        assert point == "mid_changes" or len(lines) == count - 1


@pytest.mark.parametrize("seed", range(RANDOM_KILLS))
async def test_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    """The child runs on while its lines are read, so it dies wherever it happens to be."""
    path = tmp_path / "state.db"
    with Child(one_by_one, str(path), 100_000, "", 0) as child:
        lines = [child.line() or "" for _ in range(random.Random(seed).randrange(1, 150))]
        assert child.kill(signal.SIGKILL) == -signal.SIGKILL
        lines += child.rest()
    await check_one_by_one(path, lines)


def run_of(state: StoredState, run: int) -> tuple[RunState, bool, list[object]]:
    """What a state says of one run: itself, its risk slot, its journal without numbers."""
    key = key_of(run)
    events: list[object] = [entry.event for entry in state.recent if entry.key == key]
    return state.runs.get(key, RunState()), ("limit", key) in state.reservations, events


async def expected_run(run: int, steps: int) -> tuple[RunState, bool, list[object]]:
    store = MemoryStore()
    for at in range(steps):
        await store.commit((closing if at % 2 else opening)(key_of(run), at))
    return run_of(await store.load(), run)


async def check_side_by_side(path: Path, runs: int, lines: list[str]) -> list[int]:
    state = await after_restart(path)
    entries: tuple[NumberedEvent, ...] = state.recent
    assert [entry.number for entry in entries] == sorted({entry.number for entry in entries})
    more: list[int] = []
    for run in range(runs):
        acknowledged = sum(line.startswith(f"{run} ") for line in lines)
        written = len(run_of(state, run)[2])
        assert written - acknowledged in (0, 1)
        assert run_of(state, run) == await expected_run(run, written)
        more.append(written - acknowledged)
    assert sound(path)
    return more


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("point", [point for point in POINTS if not point.startswith("marks_")])
async def test_commits_that_share_a_transaction_die_together(
    tmp_path: Path, point: str, count: int
) -> None:
    path = tmp_path / "state.db"
    with Child(side_by_side, str(path), 8, 20, point, count) as child:
        lines = child.rest()
        assert child.exit_code() == -signal.SIGKILL
    more = await check_side_by_side(path, 8, lines)
    # After the commit all of them are there and none is acknowledged; before it none is.
    assert more == [int(point == "after_commit")] * 8


@pytest.mark.parametrize("seed", range(RANDOM_KILLS))
async def test_sharing_commits_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "state.db"
    with Child(side_by_side, str(path), 5, 100_000, "", 0) as child:
        lines = [child.line() or "" for _ in range(random.Random(seed).randrange(1, 400))]
        assert child.kill(signal.SIGKILL) == -signal.SIGKILL
        lines += child.rest()
    await check_side_by_side(path, 5, lines)


async def test_killed_again_and_again(tmp_path: Path) -> None:
    """The same file through many deaths, also in the first writes of a restart."""
    path = tmp_path / "state.db"
    total = 0
    for life in range(8):
        point = POINTS[life % 5]
        with Child(side_by_side, str(path), 4, 20, point, 2) as child:
            acknowledged = len(child.rest())
            assert child.exit_code() == -signal.SIGKILL
        (after,) = rows_in(path, "SELECT count(*) FROM journal")[0]
        assert 0 <= after - total - acknowledged <= 4
        state = await after_restart(path)
        assert len(state.recent) == after and sound(path)
        numbers = [entry.number for entry in state.recent]
        assert numbers == sorted(set(numbers))
        total = after
