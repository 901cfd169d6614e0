from __future__ import annotations

import asyncio
from pathlib import Path

from console.deck import DeckState
from console.views import MetricView
from console.vitals import resident_megabytes, watch
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import MetaSaved
from engine.domain.signals import Idle, Mode, RunKey
from engine.services.bus import Bus

KEY = RunKey(Mode.LIVE, "sim", "breakout", "BTCUSDT")


async def measured(deck: DeckState, store: object, name: str) -> dict[str, MetricView]:
    """The measurements once one of that name is among them."""
    task = asyncio.create_task(watch(deck, Bus(), store, every=0.001))
    try:
        async with asyncio.timeout(30):
            while True:
                found = {view.name: view for view in deck.snapshot(0, 0.0).metrics}
                if name in found:
                    return found
                deck.apply(Idle(KEY, 0, 1.0))
                await asyncio.sleep(0)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_engine_measures_itself(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    await store.open()
    try:
        await store.commit([MetaSaved("clock", "1")])
        await store.commit([MetaSaved("clock", "2")])
        assert len(store.commit_seconds) == 2 and min(store.commit_seconds) > 0
        found = await measured(DeckState(badge=""), store, "store_commit")
        assert found["store_commit"].count == 2 and found["store_commit"].mean > 0
        assert not store.commit_seconds, "they are shown once"
        deck = DeckState(badge="")
        (tmp_path / "state.db").rename(tmp_path / "elsewhere.db")
        await measured(deck, store, "events")
        assert deck.snapshot(0, 0.0).header.trouble == store.trouble == "file is gone"
        (tmp_path / "elsewhere.db").rename(tmp_path / "state.db")
        later = DeckState(badge="")
        later.trouble = "file is gone"
        await measured(later, store, "events")
        assert later.snapshot(0, 0.0).header.trouble == ""
    finally:
        await store.close()
    assert found["engine_lag"].unit == "ms" and found["engine_lag"].last >= 0
    assert found["events_dropped"].last == 0
    if (memory := resident_megabytes()) is not None:
        assert 5 < memory < 100_000 and found["memory"].unit == "MB"


async def test_a_store_in_memory_tells_no_commit_times() -> None:
    found = await measured(DeckState(badge=""), object(), "events")
    assert "store_commit" not in found and found["events"].unit == "/s"
