"""A screen on which live runs can be acted on: the keys, why they cannot act now, and what they do.

The keys are about the run under the cursor of the table of runs with the focus, or about the ones
selected there. With the focus elsewhere they are greyed: a key must never act on a line the
operator does not look at.
"""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.binding import BindingType

from console.keymap import bind
from console.views import InstanceView
from screens.base import BaseScreen
from screens.report import show_report
from screens.run_actions import ACTIONS, NOT_THERE, READ_ONLY, bulk_command, run_refusal
from screens.several import act_on_several, several_refusal
from screens.widgets.marked_table import MarkedTable


class RunScreen(BaseScreen):
    """A screen with tables of live runs, or with one run (which overrides `current_run`)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("run.stop", "stop_run"),
        bind("run.again", "start_again"),
        bind("run.close", "close_now"),
        bind("run.cancel", "cancel_signal"),
        bind("report", "report", show=False),
    ]

    def run_tables(self) -> tuple[MarkedTable[InstanceView], ...]:
        """The tables whose lines are live runs."""
        return ()

    def run_table(self) -> MarkedTable[InstanceView] | None:
        """The table of runs with the focus."""
        return next((table for table in self.run_tables() if table.has_focus), None)

    def current_run(self) -> InstanceView | None:
        """The run that the keys are about, where none is selected."""
        table = self.run_table()
        return None if table is None else table.current

    def why_no_run(self) -> str:
        """Why the keys are about no run; may name keys."""
        raise NotImplementedError

    def reason(self, action: str) -> str:
        """Why an action cannot act now."""
        if action in ACTIONS and self.context.host.read_only:
            return READ_ONLY
        if action not in ACTIONS and action != "report":
            return super().reason(action)
        view = self.current_run()
        if view is None:
            return self.why_no_run()
        if action == "report":
            return NOT_THERE if self.context.host.read_only else ""
        selected = self._selected()
        if selected:
            return several_refusal([run_refusal(action, one) for one in selected])
        return run_refusal(action, view)

    def _selected(self) -> tuple[InstanceView, ...]:
        table = self.run_table()
        return () if table is None else table.marked

    @work
    async def action_stop_run(self) -> None:
        """Ask, then stop gracefully."""
        await self._act("stop_run")

    @work
    async def action_start_again(self) -> None:
        """Start again, or resume what drains."""
        await self._act("start_again")

    def action_close_now(self) -> None:
        """Let it be typed, then close the open position."""
        # At once: what is typed behind the key is the answer, and no key of this screen.
        self.opening = True
        self._close_now()

    @work
    async def _close_now(self) -> None:
        try:
            await self._act("close_now")
        finally:
            self.opening = False

    @work
    async def action_cancel_signal(self) -> None:
        """Ask, then cancel the scheduled signal."""
        await self._act("cancel_signal")

    @work
    async def action_report(self) -> None:
        """Show the report of the run under the cursor."""
        view = self.current_run()
        if view is not None:
            await show_report(self, view)

    async def _act(self, action: str) -> None:
        table, view, selected = self.run_table(), self.current_run(), self._selected()
        if table is not None and selected:
            if await act_on_several(self, bulk_command(self, action), selected):
                table.action_clear_marks()
        elif view is not None:
            await ACTIONS[action](self, view)
