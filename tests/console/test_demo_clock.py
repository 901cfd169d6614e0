"""The demo's clock after a kill: whatever the file knows of has happened already."""

from __future__ import annotations

from pathlib import Path

from console.demo import DEMO_START, demo_plan
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import CommandNoted, ErrorNote, InstanceRecord, InstanceSaved, Journaled
from engine.domain.signals import Mode, RunKey
from engine.domain.time import MINUTE

KEY = RunKey(Mode.LIVE, "simulated", "breakout", "BTCUSDT")


async def test_it_never_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "demo.db"
    record = InstanceRecord("running", {}, (), "", "", 1, DEMO_START + MINUTE)
    changes = (
        InstanceSaved(KEY, record),
        Journaled(KEY, ErrorNote(KEY, DEMO_START + 2 * MINUTE, "tick", "late"), deliver=False),
        CommandNoted(DEMO_START + 3 * MINUTE, "console", "stop", str(KEY), "stopped"),
    )
    for minutes, change in enumerate(changes, 1):
        store = SqliteStore(path)
        await store.open()
        await store.commit([change])
        await store.close()
        make_clock = demo_plan(state=str(path)).make_clock
        assert make_clock is not None
        assert make_clock().now() >= DEMO_START + minutes * MINUTE
