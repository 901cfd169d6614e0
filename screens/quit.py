"""Leaving the console: the question, and the wait while open positions drain."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from console.keymap import bind
from console.messages import HostPort
from console.views import DeckSnapshot
from screens.confirm import Answer, ConfirmDialog
from screens.context import ScreenContext
from screens.text import many

QUITTING: Final = "-quitting"
"""Class of the dialogs that belong to leaving, so that there is only one at a time."""

_KEEPING: Final = (
    "Keep: quit now. The runs go on at the next start, which first settles "
    "every bar that was missed; until then nobody watches them.",
)
_LOSING: Final = (
    "Give up: quit now. NOTHING IS KEPT: there is no state file (--state :memory:), "
    "so the runs and what they hold are forgotten.",
)
_ENDED = ("done", "stopped", "failed")


def quit_dialog(snapshot: DeckSnapshot, host: HostPort) -> ConfirmDialog:
    """The question that fits what is going on; its answers are stay, quit and drain.

    With a state file quitting loses nothing: what is held goes on at the next start.
    """
    header = snapshot.header
    lines: list[str] = []
    answers = [Answer("stay", "Stay")]
    if host.read_only:
        lines.append("Only this view closes: what it follows goes on.")
        answers.append(Answer("quit", "Quit"))
    elif header.running:
        waiting = f" and {many(header.scheduled, 'scheduled signal')}" if header.scheduled else ""
        held = f"{many(header.open, 'open position')}{waiting}"
        lines.append(f"{many(header.running, 'live run')} with {held}.")
        lines += _KEEPING if host.about.keeps else _LOSING
        lines.append("Drain: no new signals, open positions are watched to their end, then quit.")
        answers.append(Answer("quit", "Keep and resume" if host.about.keeps else "Give up"))
        answers.append(Answer("drain", "Drain, then quit"))
    else:
        lines.append("No live run is going on.")
        answers.append(Answer("quit", "Quit"))
    if others := _beside_live_runs(snapshot):
        lines.append(f"{', '.join(others)} will be stopped.")
    dialog = ConfirmDialog("Quit signaldeck?", "\n".join(lines), answers)
    dialog.add_class(QUITTING)
    return dialog


def _beside_live_runs(snapshot: DeckSnapshot) -> list[str]:
    going_on = {
        "backtest": [view.status for view in snapshot.backtests],
        "walker": [view.status for view in snapshot.walkers],
        "optimizer": [view.status for view in snapshot.optimizers],
    }
    counts = {
        kind: sum(status not in _ENDED for status in found) for kind, found in going_on.items()
    }
    return [many(amount, kind) for kind, amount in counts.items() if amount]


class DrainDialog(ModalScreen[None]):
    """Waits until the host has drained; the way out at once stays open."""

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        # At once: an enter typed in the same moment has to find the button that was gone to.
        bind("dialog.next", "app.focus_next", priority=True),
        bind("dialog.previous", "app.focus_previous", priority=True),
    ]

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(classes=f"question-dialog {QUITTING}")
        kept = "keeps what is still open for the next start"
        self._cut_short = kept if context.host.about.keeps else "forgets what is still open"
        self.context = context

    def compose(self) -> ComposeResult:
        """What is still going on, and a button."""
        with Vertical(id="dialog"):
            yield Static(Content("Draining before quitting"), id="question")
            yield Static(self._state(), id="detail")
            with Horizontal(id="answers"):
                yield Button(Content("Keep waiting"), id="wait", compact=True)
                yield Button(Content("Quit now"), id="now", compact=True)

    def on_mount(self) -> None:
        """Ask the host to drain."""
        self.query_one("#wait", Button).focus()
        self._drain()

    def follow(self) -> None:
        """Count what is left."""
        if self.is_mounted:
            self.query_one("#detail", Static).update(self._state())

    def _state(self) -> Content:
        header = self.context.snapshot.header
        return Content(
            f"{many(header.running, 'run')} still going, {many(header.open, 'open position')}.\n"
            "No new signals are taken. The console closes when the last one has ended.\n"
            f"Quitting now {self._cut_short}."
        )

    @on(Button.Pressed, "#now")
    def quit_now(self) -> None:
        """Cut the drain short."""
        self.context.host.begin_shutdown(drain=False)

    @work
    async def _drain(self) -> None:
        try:
            await asyncio.wrap_future(self.context.host.begin_shutdown(drain=True))
        except Exception as error:
            self.log.error(error)
        self.dismiss(None)
