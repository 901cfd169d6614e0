"""Walkers: a ranking that fills in as strategies finish, their equity curves, optimizer runs.

Everything below the list of walkers is about the one under the cursor there.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType

from console.keymap import bind
from console.views import OptimizerView
from console.walker_views import WalkerRow, WalkerView
from engine.domain.walks import METRICS as RANKED
from screens.base import BaseScreen
from screens.batch_actions import ACTIONS, batch_name, batch_refusal, start_again, stop_batch
from screens.comparison import (
    comparison_report,
    contender_facts,
    contenders,
    curves,
    optimizer_facts,
    walker_facts,
)
from screens.confirm import Answer, ConfirmDialog
from screens.context import ScreenContext
from screens.detail import DetailDialog
from screens.result import ResultScreen
from screens.run_actions import READ_ONLY
from screens.text import clean, many, words
from screens.text_screen import TextScreen
from screens.widgets.backtest_tables import ENDED
from screens.widgets.curves_chart import CurvesChart
from screens.widgets.line_table import LineTable
from screens.widgets.pane import Pane, PaneStack
from screens.widgets.ranking_table import RankingTable
from screens.widgets.tones import Cell
from screens.widgets.walker_tables import OptimizersTable, WalkersTable

_ACTIONS = (*ACTIONS, "skip_strategy")
_OVER = ("done", "stopped", "skipped", "failed")


class WalkersScreen(BaseScreen):
    """Walkers above the ranking and the curves of one of them, optimizer runs at the bottom."""

    mode_name = "Walkers"
    CSS_PATH = ["base.tcss", "walkers.tcss"]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("run.stop", "stop_run"),
        bind("run.again", "start_again"),
        bind("run.skip", "skip_strategy"),
        bind("metric", "next_metric"),
        bind("report", "report"),
    ]

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self.walkers = WalkersTable(id="walkers")
        self.ranking = RankingTable(id="ranking")
        self.curves = CurvesChart(id="curves")
        self.optimizers = OptimizersTable(id="optimizers")
        self.walkers_pane = Pane("Walkers", self.walkers, id="walkers-pane")
        self.ranking_pane = Pane("Ranking", self.ranking, id="ranking-pane")
        self.curves_pane = Pane("Equity", self.curves, id="curves-pane")
        self.optimizers_pane = Pane("Optimizers", self.optimizers, id="optimizers-pane")
        self._metrics: dict[str, str] = {}
        self._shown: tuple[WalkerView | None, str] = (None, "")

    def compose_body(self) -> ComposeResult:
        """Four panes."""
        yield PaneStack(
            [self.walkers_pane, self.ranking_pane, self.curves_pane, self.optimizers_pane]
        )

    def on_mount(self) -> None:
        """Start with the walkers."""
        self.walkers.focus()

    def select_run(self, run_id: str) -> None:
        """Put the cursor on a walker or an optimizer and give its pane the keys."""
        started = any(view.run_id == run_id for view in self.context.snapshot.optimizers)
        pane = self.optimizers_pane if started else self.walkers_pane
        self.query_one(PaneStack).open(pane)
        self.follow()
        (self.optimizers if started else self.walkers).select(run_id)

    # Drawing

    def current_view(self) -> WalkerView | None:
        """The walker that ranking and curves are about."""
        return self.walkers.current

    def metric_of(self, view: WalkerView) -> str:
        """What a walker is ranked by on this screen."""
        return self._metrics.get(view.run_id, view.metric)

    def after_follow(self) -> None:
        """The walker under the cursor, titles, and heights."""
        if not self.walkers_pane.body.display:
            self.walkers.show(self.context.snapshot)
        self._show_walker()
        snapshot = self.context.snapshot
        going_on = sum(view.status not in ENDED for view in snapshot.walkers)
        note = many(len(snapshot.walkers), "walker") + (f", {going_on} running" if going_on else "")
        self.walkers_pane.title.update(note=note)
        self.optimizers_pane.title.update(note=many(len(snapshot.optimizers), "run"))
        short, height = self.query_one(PaneStack).short, self.size.height
        for pane, rows, most in (
            (self.walkers_pane, len(snapshot.walkers), height // 5),
            (self.ranking_pane, len(self.ranking.rows), height // 3),
            (self.optimizers_pane, len(snapshot.optimizers), height // 8),
        ):
            # Title, headings and rows; an empty table needs its two lines of explanation.
            pane.limit(None if short else min(max(2, rows), max(2, most)) + 2)

    def _show_walker(self) -> None:
        """Ranking and curves; nothing is made anew while neither walker nor metric moved."""
        view = self.current_view()
        metric = self.metric_of(view) if view is not None else self.ranking.metric
        before = self._shown[0]
        if self._shown == (view, metric):
            return
        self._shown = (view, metric)
        self.ranking.show(contenders(view) if view is not None else (), metric)
        if view is not None and (before is None or before.run_id != view.run_id):
            self.ranking.move_cursor(0)
        self._show_curves()
        note, remark = "", ()
        if view is not None:
            note = f"{clean(view.walker_name)}  {clean(view.symbol)}, by {metric.replace('_', ' ')}"
            if view.status not in ENDED:
                ended = sum(row.status in _OVER for row in view.rows)
                remark = (Cell(f"{ended} of {len(view.rows)} ended ", "muted"),)
        self.ranking_pane.title.update(note=note, remark=remark)

    def _show_curves(self) -> None:
        view, chosen = self.current_view(), self.ranking.chosen
        if view is None:
            self.curves.show(())
            return
        name = "" if chosen is None else chosen.name
        self.curves.show(curves(view, self.ranking.in_order, name))
        finished = sum(row.outcome is not None for row in view.rows)
        self.curves_pane.title.update(note=f"{finished} with a result, in the order of the ranking")

    @on(LineTable.Moved, "#walkers")
    def show_other_walker(self) -> None:
        """Another walker is under the cursor."""
        self._show_walker()

    @on(LineTable.Moved, "#ranking")
    def show_chosen_curve(self) -> None:
        """The strategy under the cursor is among the curves."""
        self._show_curves()

    @on(RankingTable.Switched)
    def remember_metric(self, message: RankingTable.Switched) -> None:
        """A walker keeps the metric it was last looked at by."""
        view = self.current_view()
        if view is not None:
            self._metrics[view.run_id] = message.metric
            self._show_walker()

    # Keys

    def reason(self, action: str) -> str:
        """Why an action cannot act now."""
        if action in _ACTIONS and self.context.host.read_only:
            return READ_ONLY
        if action == "next_metric":
            return "" if self.ranking.rows else "there is no ranking yet"
        if action == "skip_strategy":
            return self._why_not_skip()
        if action not in (*_ACTIONS, "report"):
            return super().reason(action)
        view = self._acted_on()
        if view is None:
            return self.context.inviting(
                "nothing is selected", " - {run.new} starts a walker or an optimizer"
            )
        if action == "report" and isinstance(view, OptimizerView):
            return "" if view.path else f"{batch_name(view)} has written no module ({view.status})"
        return batch_refusal(action, view)

    def _why_not_skip(self) -> str:
        view, row = self.current_view(), self._chosen_row()
        if view is None or row is None:
            return "no strategy is selected - {pane.next} goes to the ranking"
        if not self.ranking.has_focus:
            return "the keys are not in the ranking - {pane.next} goes there"
        if view.status in ENDED:
            return f"{batch_name(view)} has ended ({view.status})"
        if row.status in _OVER:
            return f"{clean(row.name)} has ended ({row.status})"
        return ""

    def _acted_on(self) -> WalkerView | OptimizerView | None:
        """What the keys are about: the optimizer in its pane, everywhere else the walker."""
        return self.optimizers.current if self.optimizers.has_focus else self.current_view()

    def _chosen_row(self) -> WalkerRow | None:
        view, chosen = self.current_view(), self.ranking.chosen
        if view is None or chosen is None:
            return None
        return next((row for row in view.rows if row.name == chosen.name), None)

    def action_next_metric(self) -> None:
        """Rank by the next figure, wherever the keys are."""
        self.ranking.action_next_metric()

    @on(LineTable.Opened, "#walkers")
    def open_walker(self) -> None:
        """Go to its ranking, or show why there is none."""
        view = self.current_view()
        if view is not None and view.status == "failed":
            title = f"{clean(view.walker_name)}  {clean(view.symbol)}"
            self.app.push_screen(DetailDialog(title, walker_facts(view)))
        elif view is not None:
            self.query_one(PaneStack).open(self.ranking_pane)

    @on(LineTable.Opened, "#ranking")
    def open_strategy(self) -> None:
        """Show the strategy's result, or what is known where there is none."""
        row, chosen = self._chosen_row(), self.ranking.chosen
        if row is not None and row.outcome is not None:
            self.app.push_screen(ResultScreen(self.context, row.outcome, self.mode_name))
        elif chosen is not None:
            self.app.push_screen(DetailDialog(clean(chosen.name), contender_facts(chosen)))

    @on(LineTable.Opened, "#optimizers")
    def open_optimizer(self) -> None:
        """Show what an optimizer found."""
        view = self.optimizers.current
        if view is not None:
            self.app.push_screen(DetailDialog(batch_name(view), optimizer_facts(view)))

    @work(exclusive=True, group="report")
    async def action_report(self) -> None:
        """Show the comparison as Markdown, or the module that an optimizer has written."""
        view = self._acted_on()
        if isinstance(view, WalkerView):
            metric = self.metric_of(view)
            text = await comparison_report(view, metric)
            by = f"  by {words(metric if metric in RANKED else view.metric)}"
            title = (Cell(f" {batch_name(view)}", "strong"), Cell(by, "muted"))
            self.app.push_screen(TextScreen(self.context, title, text, self.mode_name))
        elif view is not None and view.path:
            try:
                text = Path(view.path).read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                text = f"{view.path} cannot be read: {error}"
            title = (Cell(f" {clean(view.path)}", "strong"), Cell("  not executed", "warn"))
            self.app.push_screen(TextScreen(self.context, title, text, self.mode_name))

    @work
    async def action_stop_run(self) -> None:
        """Ask, then stop the walker or optimizer."""
        view = self._acted_on()
        if view is not None:
            await stop_batch(self, view)

    @work
    async def action_skip_strategy(self) -> None:
        """Ask, then leave the strategy under the cursor out."""
        view, row = self.current_view(), self._chosen_row()
        if view is None or row is None:
            return
        dialog = ConfirmDialog(
            f"Skip {row.name}?",
            f"It is not tested any further by {view.walker_name}; the other strategies go on.",
            (Answer("no", "No, test it"), Answer("yes", "Skip")),
        )
        if await self.app.push_screen_wait(dialog) == "yes":
            host = self.context.host
            said = await self.ask(lambda: host.skip_strategy(view.run_id, row.name), "skip")
            if said is not None:
                self.notify(clean(said), title="skip", markup=False)

    @work
    async def action_start_again(self) -> None:
        """Run the walker or optimizer once more."""
        view = self._acted_on()
        if view is not None:
            await start_again(self, view)
