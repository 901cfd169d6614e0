"""Scheduled & partials: what waits for its entry, how far positions came, milestones."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult

from console.views import InstanceView, MilestoneView
from screens.base import BaseScreen
from screens.context import ScreenContext
from screens.instance import InstanceScreen
from screens.life import LifeScreen
from screens.text import many
from screens.widgets.line_table import LineTable
from screens.widgets.milestone_tables import LaddersTable, MilestonesTable
from screens.widgets.pane import Pane, PaneStack
from screens.widgets.scheduled_table import ScheduledTable


class ScheduledScreen(BaseScreen):
    """Waiting signals, ladders, milestones."""

    mode_name = "Scheduled"
    CSS_PATH = ["base.tcss", "scheduled.tcss"]  # noqa: RUF012

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
        waiting, held = len(self.scheduled.rows), len(self.ladders.rows)
        self.scheduled_pane.title.update(note=f"{waiting} waiting")
        self.ladders_pane.title.update(note=many(held, "position"))
        self.milestones_pane.title.update(note=f"{len(self.milestones.rows):,} kept")
        short = self.query_one(PaneStack).short
        for pane, rows in ((self.scheduled_pane, waiting), (self.ladders_pane, held)):
            # Title, headings and rows; an empty table needs two lines of explanation.
            pane.limit(None if short else max(3, rows + 1) + 2)

    @on(LineTable.Opened)
    def open_row(self, message: LineTable.Opened) -> None:
        """Open the run, or the signal a milestone belongs to."""
        row = message.table.current
        if isinstance(row, InstanceView):
            self.app.push_screen(InstanceScreen(self.context, row.instance_id, self.mode_name))
        elif isinstance(row, MilestoneView):
            self.app.push_screen(LifeScreen(self.context, row.signal_id, self.mode_name))
