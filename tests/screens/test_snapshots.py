"""How the screens look: compare with pictures that were looked at and accepted.

Run with ``--snapshot-update`` after a change that is meant, look at the new pictures, keep them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from console.app import SignaldeckApp
from console.preferences import ConsoleSection
from console.trouble import Trouble
from console.views import DeckSnapshot, Versions
from screens.alone import AloneApp
from screens.sample import HEARTBEAT, SampleHost, empty_snapshot, frozen_clock
from screens.sample_outcome import outcome
from screens.trouble import TroubleScreen
from screens.widgets.heatmap import Heatmap, monthly_grid
from tests.screens.album import Album
from tests.screens.album import album as album
from tests.screens.album import painting as painting
from tests.screens.bed import LARGE, SMALL
from tests.screens.tour import visit

TOPICS = tuple(topic.name for topic in fields(Versions))
TROUBLE = Trouble(
    "3f9a61", "Walkers", "KeyError: 'sharpe_ratio'",
    "/home/operator/.local/state/signaldeck/log/signaldeck.log",
)  # fmt: skip

sizes = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])


def console(theme: str, clock: Callable[[], float] = frozen_clock) -> SignaldeckApp:
    return SignaldeckApp(SampleHost(), frozen_clock=clock, console=ConsoleSection(theme=theme))


async def take_all(album: Album, theme: str, size: tuple[int, int], *, short: bool = False) -> None:
    """A picture of every screen and dialog, in one app."""
    app = console(theme)
    async with app.run_test(size=size) as pilot:
        async for stop in visit(app, pilot, short=short):
            await album.take(pilot, stop.name)
        app.push_screen(TroubleScreen(app.context, TROUBLE))
        await album.take(pilot, "trouble")
    album.close()


@sizes
@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_every_screen(album: Album, theme: str, size: tuple[int, int]) -> None:
    await take_all(album, theme, size, short=theme == "light" or size == LARGE)


async def test_every_screen_without_colour(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    await take_all(album, "dark", SMALL, short=True)


def troubled(now: DeckSnapshot) -> DeckSnapshot:
    """Every exchange late, more errors and runs than there is room for."""
    late = tuple(replace(exchange, stale=True) for exchange in now.header.exchanges)
    header = replace(now.header, exchanges=late, errors=123_456, running=200)
    return replace(now, header=header)


@sizes
async def test_nothing_a_silent_engine_and_trouble(album: Album, size: tuple[int, int]) -> None:
    clock = [frozen_clock()]
    app = console("dark", lambda: clock[0])
    host = app.host
    assert isinstance(host, SampleHost)
    async with app.run_test(size=size) as pilot:
        host.swap(troubled(host.snapshot), *TOPICS)
        await album.take(pilot, "deck-troubled")
        host.swap(empty_snapshot(), *TOPICS)
        for key, name in enumerate(("deck", "signals", "scheduled", "risk", "backtests",
                                    "walkers", "performance", "log"), start=1):  # fmt: skip
            await pilot.press(str(key))
            await album.take(pilot, f"{name}-empty")
        await pilot.press("1")
        host.swap(SampleHost().snapshot, *TOPICS)
        clock[0] = HEARTBEAT + 42
        app._every_second()  # pyright: ignore[reportPrivateUsage]
        await album.take(pilot, "deck-silent")
    album.close()


def test_the_terminals_own_colours(snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(console("ansi"), terminal_size=LARGE, press=["enter"])


def test_months_of_years(snap_compare: Callable[..., bool]) -> None:
    shown = Heatmap(monthly_grid(outcome(7, days=800).equity))
    assert snap_compare(AloneApp(shown), terminal_size=(80, 8))
