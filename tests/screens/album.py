"""Pictures of a running app: taken at rest, each compared with an accepted SVG of its own.

An app costs a second to start and a picture a fraction of that, so one app visits many screens; and
what it would paint in between for a terminal that nobody looks at is left out. All pictures that
differ are told at once, and each is in the report that pytest-textual-snapshot writes
(``snapshot_report.html``).
"""

from __future__ import annotations

import asyncio
import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_textual_snapshot import PseudoApp, PseudoConsole, SVGImageExtension, get_tempdir
from rich.console import ConsoleDimensions
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot
from textual.screen import Screen


class Painting:
    """Counts how often a top screen is painted, instead of painting it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.times = 0
        paint = Screen._compositor_refresh  # pyright: ignore[reportPrivateUsage]

        def skip(screen: Screen[object]) -> None:
            if screen is not screen.app.screen:
                paint(screen)
                return
            self.times += 1
            screen._compositor._dirty_regions.clear()  # pyright: ignore[reportPrivateUsage]
            screen._dirty_widgets.clear()  # pyright: ignore[reportPrivateUsage]

        patch.setattr(Screen, "_compositor_refresh", skip)

    async def at_rest(self, pilot: Pilot[None], tries: int = 100) -> None:
        """Let the app work until it has nothing more to paint."""
        for _ in range(tries):
            before = self.times
            await pilot.pause()
            await asyncio.sleep(0.02)  # some frames: a new layout is painted in the one after it
            if before == self.times:
                return
        raise AssertionError("the screen does not come to rest")


@dataclass(slots=True)
class Album:
    """The pictures of one test.

    Attributes:
        differ: names of those that are not as accepted, in the order they were taken.
    """

    snapshot: SnapshotAssertion
    node: pytest.Item
    painting: Painting
    differ: list[str] = field(default_factory=list)

    async def take(self, pilot: Pilot[None], name: str) -> None:
        """Compare what is on screen with the accepted picture of that name."""
        await self.painting.at_rest(pilot)
        shown = pilot.app.export_screenshot(title=pilot.app.title, simplify=True)
        if not self.snapshot(name=name) == shown:  # noqa: SIM201 - syrupy compares in __eq__
            self.differ.append(name)
            self._report(name, shown)

    def close(self) -> None:
        """Fail with the names of all pictures that differ."""
        assert not self.differ, (
            f"{len(self.differ)} pictures differ: {', '.join(self.differ)} - see the snapshot "
            "report; run with --snapshot-update if that is meant"
        )

    def _report(self, name: str, shown: str) -> None:
        """Hand the picture to the plugin's report, as its own fixture does."""
        execution = self.snapshot.executions[self.snapshot.num_executions - 1]
        accepted = execution.recalled_data
        path, line, test = self.node.reportinfo()
        title = f"{test} {name}"
        plain = PseudoApp(PseudoConsole(False, ConsoleDimensions(80, 24)))
        data = (False, str(accepted or ""), shown, plain, path, line, title, "", "",
                accepted is not None)  # fmt: skip
        file = re.sub(r"\W+", "_", f"{self.node.nodeid} {name}")
        (Path(get_tempdir().name) / file).write_bytes(pickle.dumps(data))


@pytest.fixture
def painting(monkeypatch: pytest.MonkeyPatch) -> Painting:
    """Leaves out what is painted between the looks at the screen."""
    return Painting(monkeypatch)


@pytest.fixture
def album(snapshot: SnapshotAssertion, request: pytest.FixtureRequest, painting: Painting) -> Album:
    """An empty album for one test."""
    return Album(snapshot.use_extension(SVGImageExtension), request.node, painting)
