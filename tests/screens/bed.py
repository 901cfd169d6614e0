"""What the tests of the screens share: the app on a sample host, and looking at what it draws."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual import events
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widget import Widget

from console.app import SignaldeckApp
from console.memory import Memory
from console.preferences import ConsoleSection
from console.views import DeckSnapshot
from screens.sample import SampleHost, frozen_clock
from screens.widgets.key_bar import KeyBar

SMALL = (80, 24)
LARGE = (160, 48)

Console = tuple[SignaldeckApp, SampleHost, Pilot[None]]


@asynccontextmanager
async def console(
    start: DeckSnapshot | None = None,
    *,
    size: tuple[int, int] = LARGE,
    clock: Callable[[], float] = frozen_clock,
    keymap: dict[str, str] | None = None,
    section: ConsoleSection | None = None,
    memory: Memory | None = None,
) -> AsyncIterator[Console]:
    """The app on a sample host, mounted and at rest."""
    host = SampleHost(start)
    host.memory = memory or host.memory
    app = SignaldeckApp(host, frozen_clock=clock, keymap=keymap, console=section)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.pause()
        yield app, host, pilot


def lines(widget: Widget) -> list[str]:
    """What a Line-API widget shows, line by line, without blanks at the right."""
    return [widget.render_line(y).text.rstrip() for y in range(widget.size.height)]


def picture(app: SignaldeckApp) -> list[Strip]:
    """Every line of everything that stands on the topmost screen, widget by widget."""
    shown = (w for w in app.screen.query(Widget) if not w.children and w.region.area)
    return [widget.render_line(y) for widget in shown for y in range(widget.size.height)]


def greyed(app: SignaldeckApp) -> set[str]:
    """Ids of the keys that the footer shows but that cannot act."""
    return {item.id for item in app.screen.query_one(KeyBar).items if not item.enabled}


def toasts(app: SignaldeckApp) -> str:
    """Everything the toasts on screen say."""
    shown = app.screen.query("Toast").results(Widget)
    return "\n".join(str(toast.render()) for toast in shown)


async def paste(pilot: Pilot[None], text: str) -> None:
    """Put a text into the input with the focus, at once instead of key by key."""
    assert pilot.app.focused is not None
    pilot.app.focused.post_message(events.Paste(text))
    await pilot.pause()


async def until(pilot: Pilot[None], holds: Callable[[], object], tries: int = 600) -> None:
    """Let the app work until something holds; the real engine answers from its own thread."""
    for _ in range(tries):
        if holds():
            return
        await pilot.pause(0.05)
    raise AssertionError("it never came to hold")
