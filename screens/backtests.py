"""Backtests: the running ones with progress, the finished ones with their key figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType

from console.keymap import bind
from console.views import BacktestView
from screens.base import BaseScreen
from screens.batch_actions import (
    ACTIONS,
    act_on_backtests,
    batch_name,
    batch_refusal,
    start_again,
    stop_batch,
)
from screens.context import ScreenContext
from screens.detail import DetailDialog, backtest_facts
from screens.report import show_result_report
from screens.result import ResultScreen
from screens.run_actions import READ_ONLY
from screens.several import several_refusal
from screens.text import clean, many
from screens.widgets.backtest_tables import FinishedTable, RunningTable
from screens.widgets.line_table import LineTable
from screens.widgets.marked_table import MarkedTable
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
        self._count()
        running = len(self.running.rows)
        # Title, headings and rows; an empty table needs its two lines of explanation.
        lines = min(max(running, 2), max(2, self.size.height // 3)) + 2
        self.running_pane.styles.height = lines
        if self._followed and self.finished.select(self._followed):
            if self.running.has_focus:
                self.finished.focus()
            self._followed = ""

    @on(MarkedTable.Marked)
    def _count(self) -> None:
        for pane, table in (
            (self.running_pane, self.running),
            (self.finished_pane, self.finished),
        ):
            pane.title.update(note=many(len(table.rows), "run") + table.marked_note)
        self.refresh_bindings()

    def on_descendant_focus(self) -> None:
        """Whoever goes to the finished ones stays with none of the running any more."""
        if self.finished.has_focus:
            self._followed = ""
        self.remember()

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
        if action in ACTIONS and self.context.host.read_only:
            return READ_ONLY
        if action not in (*ACTIONS, "report"):
            return super().reason(action)
        view = self.current_view()
        if view is None:
            return self.context.inviting(
                "no backtest is selected - {pane.next} goes to the other pane",
                ", {run.new} starts one",
            )
        if action == "report":
            has = view.outcome is not None
            return "" if has else f"{batch_name(view)} has no result ({view.status})"
        selected = self._selected()
        if selected:
            return several_refusal([batch_refusal(action, one) for one in selected])
        return batch_refusal(action, view)

    def _focused(self) -> RunningTable | FinishedTable | None:
        if self.running.has_focus:
            return self.running
        return self.finished if self.finished.has_focus else None

    def _selected(self) -> tuple[BacktestView, ...]:
        table = self._focused()
        return () if table is None else table.marked

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
        """Ask, then stop the backtest under the cursor, or the selected ones."""
        await self._act("stop_run", stop_batch)

    @work
    async def action_start_again(self) -> None:
        """Run the backtest under the cursor, or the selected ones, once more."""
        await self._act("start_again", start_again)

    async def _act(
        self, name: str, action: Callable[[BaseScreen, BacktestView], Awaitable[None]]
    ) -> None:
        table, view, selected = self._focused(), self.current_view(), self._selected()
        if table is not None and selected:
            if await act_on_backtests(self, name, selected):
                table.action_clear_marks()
        elif view is not None:
            await action(self, view)
