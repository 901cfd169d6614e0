"""Backtests: the running ones with progress, the finished ones with their key figures."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType

from console.keymap import bind
from console.views import BacktestView
from screens.base import BaseScreen
from screens.confirm import Answer, ConfirmDialog
from screens.context import ScreenContext
from screens.detail import DetailDialog, backtest_facts
from screens.report import show_result_report
from screens.result import ResultScreen
from screens.text import clean, many
from screens.widgets.backtest_tables import ENDED, FinishedTable, RunningTable
from screens.widgets.line_table import LineTable
from screens.widgets.pane import Pane, PaneStack


class BacktestsScreen(BaseScreen):
    """Running above finished."""

    mode_name = "Backtests"
    CSS_PATH = ["base.tcss", "backtests.tcss"]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("run.stop", "stop_run"),
        bind("run.again", "start_again"),
        bind("report", "report", show=False),
    ]

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self.running = RunningTable(id="running")
        self.finished = FinishedTable(id="finished")
        self.running_pane = Pane("Running", self.running, id="running-pane")
        self.finished_pane = Pane("Finished", self.finished, id="finished-pane")
        self._followed = ""

    def compose_body(self) -> ComposeResult:
        """Two panes; never an accordion, because the upper one is only as tall as it must be."""
        yield PaneStack([self.running_pane, self.finished_pane], accordion=False)

    def on_mount(self) -> None:
        """Start with the finished ones, where enter opens results."""
        self.finished.focus()

    def select_run(self, run_id: str) -> None:
        """Put the cursor on a backtest, wherever it is listed, and stay with it."""
        self.follow()
        self._followed = run_id
        for table in (self.running, self.finished):
            if table.select(run_id):
                table.focus()

    def after_follow(self) -> None:
        """Titles and heights; a selected run that ends takes cursor and keys along."""
        running, finished = len(self.running.rows), len(self.finished.rows)
        self.running_pane.title.update(note=many(running, "run"))
        self.finished_pane.title.update(note=many(finished, "run"))
        # Title, headings and rows; an empty table needs its two lines of explanation.
        lines = min(max(running, 2), max(2, self.size.height // 3)) + 2
        self.running_pane.styles.height = lines
        if self._followed and self.finished.select(self._followed):
            if self.running.has_focus:
                self.finished.focus()
            self._followed = ""

    @on(LineTable.Moved, "#running")
    def remember(self) -> None:
        """The run under the cursor is the one to stay with."""
        view = self.running.current
        if view is not None and self.running.has_focus:
            self._followed = view.run_id

    def current_view(self) -> BacktestView | None:
        """The backtest under the cursor of the pane with the keys."""
        row = self.current_row()
        return row[1] if row and isinstance(row[1], BacktestView) else None

    # Keys

    def reason(self, action: str) -> str:
        """Why an action cannot act now."""
        if action not in ("stop_run", "start_again", "report"):
            return super().reason(action)
        view = self.current_view()
        if view is None:
            return self.context.inviting(
                "no backtest is selected - {pane.next} goes to the other pane",
                ", {run.new} starts one",
            )
        name = f"{clean(view.strategy_name)} {clean(view.symbol)}"
        if action == "report":
            return "" if view.outcome is not None else f"{name} has no result ({view.status})"
        if action == "stop_run" and view.status in ENDED:
            return f"{name} has ended ({view.status})"
        if action == "stop_run" and view.status == "stopping":
            return f"{name} is stopping already"
        if action == "start_again" and view.status not in ENDED:
            return f"{name} has not ended yet ({view.status})"
        return ""

    @on(LineTable.Opened)
    def open_row(self) -> None:
        """Show the result, or what is known where there is none."""
        view = self.current_view()
        if view is None:
            return
        if view.outcome is not None:
            self.app.push_screen(ResultScreen(self.context, view.outcome))
        else:
            title = f"{clean(view.strategy_name)}  {clean(view.symbol)}"
            self.app.push_screen(DetailDialog(title, backtest_facts(view)))

    def action_report(self) -> None:
        """Show the report of the backtest under the cursor."""
        view = self.current_view()
        if view is not None and view.outcome is not None:
            show_result_report(self, view.outcome)

    @work
    async def action_stop_run(self) -> None:
        """Ask, then stop the backtest under the cursor."""
        view = self.current_view()
        if view is None:
            return
        dialog = ConfirmDialog(
            f"Stop the backtest of {view.strategy_name} on {view.symbol}?",
            "It opens nothing new and ends; what it has done so far is kept as its result.",
            (Answer("no", "No, let it run"), Answer("yes", "Stop")),
        )
        if await self.app.push_screen_wait(dialog) != "yes":
            return
        host = self.context.host
        sentence = await self.ask(lambda: host.stop_run(view.run_id), "stop")
        if sentence is not None:
            self.notify(clean(sentence), title="stopping", markup=False)

    @work
    async def action_start_again(self) -> None:
        """Run the backtest under the cursor once more."""
        view = self.current_view()
        if view is None:
            return
        host = self.context.host
        before = {view.run_id for view in self.context.snapshot.backtests}
        sentence = await self.ask(lambda: host.start_again(view.run_id), "start")
        if sentence is None:
            return
        self.notify(clean(sentence), title="started", markup=False)
        for started in self.context.snapshot.backtests:
            if started.run_id not in before:
                self.select_run(started.run_id)
                return
