"""The Deck: live runs, feed, what waits, milestones, refusals; an operator's place at night."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.geometry import Size

from console.keymap import bind
from console.views import FeedEntry, InstanceView, MilestoneView, RejectionView
from screens.context import ScreenContext
from screens.detail import DetailDialog, entry_facts
from screens.instance import InstanceScreen
from screens.life import LifeScreen
from screens.risk import rejection_facts
from screens.run_actions import READ_ONLY, all_refusal, close_all, stop_all
from screens.run_screen import RunScreen
from screens.spelling import spell
from screens.text import clean, many
from screens.widgets.feed_table import FeedTable
from screens.widgets.header_line import HeaderLine
from screens.widgets.instances_table import InstancesTable
from screens.widgets.line_table import LineTable
from screens.widgets.marked_table import MarkedTable
from screens.widgets.milestone_tables import MilestonesTable
from screens.widgets.pane import Pane, PaneStack
from screens.widgets.risk_tables import RejectionsTable
from screens.widgets.scheduled_table import ScheduledTable
from screens.widgets.tones import Cell
from screens.widgets.totals_line import TotalsLine

_LOWER_LINES: Final = (6, 8)
"""Lines of the lower panes with their titles, on a tall terminal and on a very tall one."""
_VERY_TALL: Final = 44
_WIDE: Final = 150
"""Terminal columns from which the three lower panes stand side by side."""


class DeckScreen(RunScreen):
    """Instances, the signal feed, and below what waits, milestones, refusals; totals at last."""

    mode_name = "Deck"
    CSS_PATH = ["base.tcss", "deck.tcss"]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("run.stop_all", "stop_all"),
        bind("run.close_all", "close_all"),
    ]

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self.instances = InstancesTable(context, id="instances")
        self.feed = FeedTable(context, id="feed")
        self.instances_pane = Pane("Instances", self.instances, id="instances-pane")
        self.feed_pane = Pane("Signal feed", self.feed, id="feed-pane")
        self.scheduled = ScheduledTable(context, id="scheduled")
        self.partials = MilestonesTable(context, id="partials")
        self.refusals = RejectionsTable(context, id="refusals")
        self.scheduled_pane = Pane("Scheduled", self.scheduled, id="scheduled-pane")
        self.partials_pane = Pane("Partials", self.partials, id="partials-pane")
        self.refusals_pane = Pane("Risk rejections", self.refusals, id="refusals-pane")
        self.lower = (self.scheduled_pane, self.partials_pane, self.refusals_pane)
        self.stack = PaneStack([self.instances_pane, self.feed_pane, *self.lower])
        self._rows = ""

    def compose_body(self) -> ComposeResult:
        """Panes and totals."""
        yield self.stack
        yield TotalsLine()

    def on_mount(self) -> None:
        """Start with the runs."""
        self.instances.focus()
        self.watch(self.feed, "waiting", self._show_waiting)

    def select_run(self, run_id: str) -> None:
        """Put the cursor on a run and give it the keys."""
        self.follow()
        self.stack.open(self.instances_pane)
        self.follow()
        self.instances.select(run_id)

    def after_follow(self) -> None:
        """Titles, and errors that the open feed shows count as seen."""
        snapshot = self.context.snapshot
        self._count_runs()
        self.feed_pane.title.update(note=f"{snapshot.feed_total:,} so far")
        self.partials_pane.title.update(note=f"{len(snapshot.milestones):,} kept")
        refused = sum(view.count for view in snapshot.rejections)
        self.refusals_pane.title.update(note=many(refused, "signal"))
        self._share_out(self.app.size)
        if self.feed.has_focus and self.feed.following:
            self._errors_seen()

    @on(MarkedTable.Marked)
    def _count_runs(self) -> None:
        snapshot = self.context.snapshot
        runs = many(len(snapshot.instances), "run")
        self.instances_pane.title.update(note=runs + self.instances.marked_note)
        waiting = f"{snapshot.header.scheduled} waiting"
        self.scheduled_pane.title.update(note=waiting + self.scheduled.marked_note)
        self.refresh_bindings()

    def arrange_panes(self, size: Size) -> None:
        """Arrange the panes for a terminal of that size."""
        super().arrange_panes(size)
        self._share_out(size)

    def _share_out(self, size: Size) -> None:
        """A few runs leave their room to the feed; many get more than half of what is left."""
        stack, height = self.stack, size.height
        lower = _LOWER_LINES[height >= _VERY_TALL]
        wanted = max(10, len(self.context.snapshot.instances) + 4)
        beside = not stack.short and size.width >= _WIDE
        stack.update_classes({"-beside": beside}, update=stack.is_attached)
        if beside:
            rows = f"{min(wanted, (height - lower) * 3 // 5)} 1fr {lower}"
            if self._rows != rows:
                self._rows = stack.styles.grid_rows = rows
        self.instances_pane.limit(None if stack.short or beside else wanted)
        for pane in self.lower:
            pane.limit(None if stack.short or beside else 5)

    def on_descendant_focus(self) -> None:
        """Whoever goes to the feed sees its errors."""
        if self.feed.has_focus:
            self._errors_seen()
        self.refresh_bindings()

    def _errors_seen(self) -> None:
        if self.context.see_errors():
            self.query_one(HeaderLine).refresh()

    def _show_waiting(self, waiting: int | None) -> None:
        remark: tuple[Cell, ...] = ()
        if waiting is not None:
            key = spell(self, "{table.top}")
            new = f"{waiting} new above" if waiting else "nothing new"
            tone = "warn" if waiting else "muted"
            remark = (
                Cell("holding, ", "muted"),
                Cell(new, tone),
                Cell(f" - {key} follows ", "muted"),
            )
        self.feed_pane.title.update(remark=remark)

    # Keys

    def run_tables(self) -> tuple[MarkedTable[InstanceView], ...]:
        """The runs, and those with a signal that waits."""
        return (self.instances, self.scheduled)

    def why_no_run(self) -> str:
        """Why the keys are about no run."""
        if not self.instances.rows:
            return self.context.inviting("there is no live run", " - press {run.new} to start one")
        if self.scheduled.has_focus:
            return "no signal is waiting for its entry - {pane.next} goes on towards the runs"
        if self.feed.has_focus:
            return "the keys are in the signal feed - {pane.previous} goes to the runs"
        return "the keys are in another pane - {pane.next} goes on towards the runs"

    def reason(self, action: str) -> str:
        """Why an action cannot act now."""
        if action not in ("stop_all", "close_all"):
            return super().reason(action)
        if self.context.host.read_only:
            return READ_ONLY
        return all_refusal(action, self.context.snapshot.instances)

    @on(LineTable.Opened)
    def open_row(self, message: LineTable.Opened) -> None:
        """Show everything about the line under the cursor."""
        row = message.table.current
        if isinstance(row, InstanceView):
            self.app.push_screen(InstanceScreen(self.context, row.instance_id))
        elif isinstance(row, FeedEntry):
            title = f"{row.action}  {clean(row.symbol)}  {clean(row.strategy_name)}"
            self.app.push_screen(DetailDialog(title, entry_facts(row)))
        elif isinstance(row, MilestoneView):
            self.app.push_screen(LifeScreen(self.context, row.signal_id, self.mode_name))
        elif isinstance(row, RejectionView):
            self.app.push_screen(DetailDialog("Risk rejection", rejection_facts(row)))

    @work
    async def action_stop_all(self) -> None:
        """Ask, then stop every run gracefully."""
        await stop_all(self)

    @work
    async def action_close_all(self) -> None:
        """Let CLOSE ALL be typed, then close every position."""
        await close_all(self)
