"""How the engine itself is doing: measured once a second, on its own loop.

The loop's lag is what a sleep of a second takes longer than that: whatever holds up the loop, a
strategy that computes or a store that waits, holds up every run and shows here.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from pathlib import Path
from typing import Final

from console.deck import DeckState
from engine.services.bus import Bus

SECONDS: Final = 1.0
"""Time between two measurements."""

_STATM: Final = Path("/proc/self/statm")
_MEGABYTE: Final = 1_000_000


async def watch(deck: DeckState, bus: Bus, store: object, every: float = SECONDS) -> None:
    """Measure until cancelled: loop lag, commits, events a second and dropped, resident memory.

    Args:
        deck: takes the samples.
        bus: whose lost events are told.
        store: a store that keeps ``commit_seconds`` has them taken out, and one that knows of
            ``trouble`` is asked for it; others tell none.
        every: seconds between two measurements.
    """
    clock = asyncio.get_running_loop().time
    before = deck.applied
    while True:
        begun = clock()
        await asyncio.sleep(every)
        took = clock() - begun
        deck.measure("engine_lag", "ms", max(0.0, took - every) * 1000)
        deck.measure("events", "/s", (deck.applied - before) / took)
        before = deck.applied
        deck.measure("events_dropped", "", float(bus.dropped()))
        times: deque[float] = getattr(store, "commit_seconds", None) or deque()
        while times:
            deck.measure("store_commit", "ms", times.popleft() * 1000)
        deck.trouble = getattr(store, "trouble", "")
        memory = resident_megabytes()
        if memory is not None:
            deck.measure("memory", "MB", memory)
        deck.publish_metrics()


def resident_megabytes() -> float | None:
    """Memory of this process that is in RAM, in MB; None where the system does not tell."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / _MEGABYTE
