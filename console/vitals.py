"""How the engine itself is doing: measured once a second, on its own loop.

The loop's lag is what a sleep of a second takes longer than that: whatever holds up the loop, a
strategy that computes or a store that waits, holds up every run and shows here.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from console.deck import DeckState
from engine.services.bus import Bus

SECONDS: Final = 1.0
"""Time between two measurements."""

_STATM: Final = Path("/proc/self/statm")
_MEGABYTE: Final = 1_000_000


async def watch(deck: DeckState, bus: Bus) -> None:
    """Measure until cancelled: loop lag, events a second, events dropped, resident memory."""
    clock = asyncio.get_running_loop().time
    before = deck.applied
    while True:
        begun = clock()
        await asyncio.sleep(SECONDS)
        took = clock() - begun
        deck.measure("engine_lag", "ms", max(0.0, took - SECONDS) * 1000)
        deck.measure("events", "/s", (deck.applied - before) / took)
        before = deck.applied
        deck.measure("events_dropped", "", float(bus.dropped()))
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
