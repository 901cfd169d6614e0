"""Draws the picture of the README anew: the demo's Deck at an instant that every demo reaches.

``make picture`` after a change that moves it; look at it before it is committed.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from console.app import SignaldeckApp
from console.demo import DEMO_START, demo_plan
from engine.runs.workers import WorkerPool
from tests.console.host_bed import running

PICTURE = Path(__file__).parents[1] / "docs" / "console.svg"
WIDTH, HEIGHT = 150, 40
AFTER = 76 * 60_000
"""Milliseconds of the demo's time, a sixtieth of which it takes."""


async def draw() -> str:
    """The Deck of a new demo as SVG."""
    with running(demo_plan(max_workers=1)) as watch:
        app = SignaldeckApp(watch.host)
        async with app.run_test(size=(WIDTH, HEIGHT)) as pilot:
            while app.context.now() < DEMO_START + AFTER:
                await pilot.pause(0.2)
            return app.export_screenshot(title=app.title, simplify=True)


if __name__ == "__main__":
    WorkerPool.start_forkserver()
    PICTURE.write_text(asyncio.run(draw()), encoding="utf-8")
    print(f"{PICTURE} is drawn: look at it")
