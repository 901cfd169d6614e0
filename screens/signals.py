"""Signals: the whole feed with search; enter opens one signal's life."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import BindingType

from console.keymap import bind
from console.views import FeedEntry
from screens.context import ScreenContext
from screens.detail import DetailDialog, entry_facts
from screens.filters import quoted
from screens.life import LifeScreen
from screens.searching import SearchScreen
from screens.text import clean
from screens.widgets.line_table import LineTable
from screens.widgets.signals_table import SignalsTable

_EXAMPLE = "search: btc  symbol:ETH  action:closed,error  !strategy:sma  mode:live  pnl<0"


class SignalsScreen(SearchScreen):
    """The feed, filtered."""

    mode_name = "Signals"
    BINDINGS: ClassVar[list[BindingType]] = [bind("search.like", "only_like")]

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context, SignalsTable(context, id="signals"), "Signals", _EXAMPLE)
        self._before = ""

    def reason(self, action: str) -> str:
        """Why an action cannot act now."""
        if action == "only_like" and self.table.current is None:
            return "no line is selected - {table.down} selects one"
        return super().reason(action)

    def action_only_like(self) -> None:
        """Show only the lines of this line's run; once more goes back."""
        row = self.table.current
        if not isinstance(row, FeedEntry):
            return
        wanted = f"symbol:{quoted(row.symbol)} strategy:{quoted(row.strategy_name)}"
        if self.bar.text == wanted:
            self.bar.text = self._before
        else:
            self._before, self.bar.text = self.bar.text, wanted

    @on(LineTable.Opened)
    def open_row(self, message: LineTable.Opened) -> None:
        """Open the signal's life, or what is known of a line without one."""
        row = message.table.current
        if not isinstance(row, FeedEntry):
            return
        if row.signal_id:
            self.app.push_screen(LifeScreen(self.context, row.signal_id, self.mode_name))
        else:
            title = f"{row.action}  {clean(row.symbol)}  {clean(row.strategy_name)}"
            self.app.push_screen(DetailDialog(title, entry_facts(row)))
