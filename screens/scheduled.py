"""Scheduled & partials: what waits for its entry, how far positions came, milestones."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType

from console.keymap import bind
from console.views import InstanceView, MilestoneView
from screens.context import ScreenContext
from screens.instance import InstanceScreen
from screens.life import LifeScreen
from screens.run_screen import RunScreen
from screens.text import many
from screens.widgets.line_table import LineTable
from screens.widgets.marked_table import MarkedTable
from screens.widgets.milestone_tables import LaddersTable, MilestonesTable
from screens.widgets.pane import Pane, PaneStack
from screens.widgets.scheduled_table import ScheduledTable


class ScheduledScreen(RunScreen):
    """Waiting signals, ladders, milestones."""

    mode_name = "Scheduled"
    CSS_PATH = ["base.tcss", "scheduled.tcss"]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        # Here signals are cancelled more often than runs are resumed; the footer has room for one.
        bind("run.cancel", "cancel_signal", show=True),
        bind("run.again", "start_again", show=False),
    ]

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self.scheduled = ScheduledTable(context, id="scheduled")
        self.ladders = LaddersTable(context, id="ladders")
        self.milestones = MilestonesTable(context, id="milestones")
        self.scheduled_pane = Pane(
            "Scheduled signals", self.scheduled, counts=True, id="scheduled-pane"
        )
        self.ladders_pane = Pane("Open positions", self.ladders, counts=True, id="ladders-pane")
        self.milestones_pane = Pane(
            "Milestones", self.milestones, counts=True, id="milestones-pane"
        )

    def compose_body(self) -> ComposeResult:
        """Three panes."""
        yield PaneStack([self.scheduled_pane, self.ladders_pane, self.milestones_pane])

    def on_mount(self) -> None:
        """Start with what waits."""
        self.scheduled.focus()

    def after_follow(self) -> None:
        """Titles, and room where the rows are."""
        self._count()
        waiting, held = len(self.scheduled.rows), len(self.ladders.rows)
        self.milestones_pane.title.update(note=f"{len(self.milestones.rows):,} kept")
        short = self.query_one(PaneStack).short
        for pane, rows in ((self.scheduled_pane, waiting), (self.ladders_pane, held)):
            # Title, headings and rows; an empty table needs two lines of explanation.
            pane.limit(None if short else max(3, rows + 1) + 2)

    @on(MarkedTable.Marked)
    def _count(self) -> None:
        waiting, held = self.scheduled, self.ladders
        self.scheduled_pane.title.update(note=f"{len(waiting.rows)} waiting{waiting.marked_note}")
        positions = many(len(held.rows), "position")
        self.ladders_pane.title.update(note=positions + held.marked_note)
        self.refresh_bindings()

    # Keys

    def run_tables(self) -> tuple[MarkedTable[InstanceView], ...]:
        """Runs whose signal waits, and runs that hold a position."""
        return (self.scheduled, self.ladders)

    def why_no_run(self) -> str:
        """Why the keys are about no run."""
        if self.scheduled.has_focus:
            return "no signal is waiting for its entry - {pane.next} goes to the open positions"
        if self.ladders.has_focus:
            return "no position is open - {pane.previous} goes to the scheduled signals"
        return "a milestone is over and done - {pane.previous} goes to the open positions"

    @on(LineTable.Opened)
    def open_row(self, message: LineTable.Opened) -> None:
        """Open the run, or the signal a milestone belongs to."""
        row = message.table.current
        if isinstance(row, InstanceView):
            self.app.push_screen(InstanceScreen(self.context, row.instance_id, self.mode_name))
        elif isinstance(row, MilestoneView):
            self.app.push_screen(LifeScreen(self.context, row.signal_id, self.mode_name))
