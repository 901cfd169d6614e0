"""What the console remembers: folded, kept again after a refusal, damage ignored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from console import memory as module
from console.memory import MAX_TEXT, Memory
from engine.domain.changes import MetaSaved
from engine.domain.errors import StateError


class Store:
    """Takes commits, or refuses them as a full disk does."""

    def __init__(self, refusals: int = 0) -> None:
        self.commits: list[dict[str, str]] = []
        self.refusals = refusals
        self.changed = asyncio.Event()

    async def commit(self, changes: Sequence[MetaSaved]) -> None:
        self.changed.set()
        if self.refusals:
            self.refusals -= 1
            raise StateError("the disk is full")
        self.commits.append({change.name: change.value for change in changes})


async def test_changes_are_folded_and_a_refused_one_is_written_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FOLD_SECONDS", 0.0)
    memory, store = Memory(), Store(refusals=1)
    memory.restore({"console.screen": '"deck"', "seed": "42"})
    memory.remember("screen", "deck")
    memory.remember("sort", {"column": 1})
    memory.remember("sort", {"column": 2})
    keeping = asyncio.create_task(memory.keep(store.commit))
    async with asyncio.timeout(30):
        while not store.commits:
            await store.changed.wait()
            await asyncio.sleep(0)
        store.changed.clear()
        await asyncio.to_thread(memory.remember, "screen", "log")
        await store.changed.wait()
    keeping.cancel()
    memory.remember("screen", None)
    assert await memory.flush(store.commit)
    assert store.commits == [
        {"console.sort": '{"column": 2}'}, {"console.screen": '"log"'}, {"console.screen": "null"}
    ]  # fmt: skip
    assert "could not be kept: the disk is full" in caplog.text
    assert memory.recall("screen") is None and memory.recall("seed") is None


def test_what_is_damaged_is_ignored_and_what_is_too_long_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory = Memory()
    memory.restore({"console.sort": "{", "console.screen": '"log"'})
    assert memory.recall("sort") is None and "sort cannot be read" in caplog.text
    assert memory.recall("screen") == "log"
    with pytest.raises(ValueError, match="characters"):
        memory.remember("search", "x" * MAX_TEXT)
