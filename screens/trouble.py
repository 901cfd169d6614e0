"""What is shown after a screen has failed: what goes on, where the details are, the way back.

It is as plain as possible, without header, tables or panels, because any of them may be what
failed.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from console.keymap import bind
from console.trouble import Trouble
from screens.context import ScreenContext
from screens.spelling import spell
from screens.text import clean, many

WHAT_NEXT = """\
{open} or {back} goes to the Deck, {mode.signals} to {mode.log} open other screens, {quit} quits.
If the same screen fails again, use the others and send the log with the reference."""


class TroubleScreen(Screen[None]):
    """One failure of the interface.

    Args:
        context: host and clock.
        trouble: what failed.
    """

    CSS_PATH = "trouble.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "app.go('deck')", description="Deck"),
        bind("open", "app.go('deck')", description="Deck"),
    ]

    def __init__(self, context: ScreenContext, trouble: Trouble) -> None:
        super().__init__()
        self.context = context
        self.trouble = trouble

    def compose(self) -> ComposeResult:
        """What failed, what goes on, what can be done."""
        trouble = self.trouble
        where = f"The {trouble.where} screen has failed" if trouble.where else "A screen has failed"
        with Vertical(id="trouble"):
            yield Static(Content(where), id="trouble-title")
            yield Static(self._going_on(), id="trouble-runs")
            yield Static(Content(clean(trouble.error)), id="trouble-error")
            yield Static(
                Content(f"Reference {trouble.reference} in the log:\n{clean(trouble.log)}")
            )
            yield Static(Content(spell(self, WHAT_NEXT)), id="trouble-next")

    def follow(self) -> None:
        """Count what goes on."""
        if self.is_mounted:
            self.query_one("#trouble-runs", Static).update(self._going_on())

    def _going_on(self) -> Content:
        header = self.context.snapshot.header
        if self.context.host.read_only:
            return Content("What this console follows goes on; it only shows.")
        return Content(
            f"The engine goes on: {many(header.running, 'live run')} running, "
            f"{many(header.open, 'open position')} watched."
        )
