"""Log: the program's log with search and a least level, and where its file is."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import BindingType

from console.keymap import bind
from console.views import DeckSnapshot, LogLine
from screens.context import ScreenContext
from screens.detail import DetailDialog, Fact
from screens.layout import LEVEL, ignored, recalled_text
from screens.searching import SearchScreen
from screens.text import clean, minute, time_of_day
from screens.widgets.line_table import LineTable
from screens.widgets.log_table import LogTable

_EXAMPLE = "search: timeout  level:warning,error  !logger:market"


class LogScreen(SearchScreen):
    """The log, filtered."""

    mode_name = "Log"
    BINDINGS: ClassVar[list[BindingType]] = [bind("log.level", "next_level")]

    def __init__(self, context: ScreenContext) -> None:
        self.lines = LogTable(id="log")
        super().__init__(context, self.lines, "Log", _EXAMPLE)

    def on_mount(self) -> None:
        """Show the level of last time."""
        level = recalled_text(self.context.host.memory, LEVEL)
        if level and not self.lines.set_level(level):
            ignored(LEVEL, level)

    def happened(self, snapshot: DeckSnapshot) -> int:
        """Lines there were."""
        return snapshot.log_total

    def counted(self) -> str:
        """The least level, and the file."""
        file = clean(self.context.snapshot.log_file) or "not kept in a file"
        least = "every level" if self.lines.level == "debug" else f"{self.lines.level} and above"
        return f"{least}   {file}"

    def action_next_level(self) -> None:
        """Show the next level and above; after the highest everything again."""
        self.lines.next_level()
        self.context.host.memory.remember(LEVEL, self.lines.level)
        self.after_follow()

    @on(LineTable.Opened)
    def open_row(self, message: LineTable.Opened) -> None:
        """Show a line in full, with its traceback."""
        row = message.table.current
        if isinstance(row, LogLine):
            facts = (
                Fact("time", f"{minute(row.when)[:10]} {time_of_day(row.when)} UTC"),
                Fact("from", row.logger),
                Fact("message", row.message[:10_000]),
            )
            self.app.push_screen(DetailDialog(f"{row.level} line", facts))
