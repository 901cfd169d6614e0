"""A text of many lines on a screen of its own: a report, a generated module."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType

from console.keymap import bind
from screens.base import BaseScreen
from screens.context import ScreenContext
from screens.detail import DetailDialog, Fact
from screens.widgets.line_table import LineTable
from screens.widgets.text_view import TextView
from screens.widgets.title_line import TitleLine
from screens.widgets.tones import Cell


class TextScreen(BaseScreen):
    """The text under a title; its lines can be copied.

    Args:
        context: host, clock and session.
        title: what it is.
        text: the text.
        mode_name: name of the mode it was opened from.
    """

    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "app.pop_screen")]

    def __init__(
        self, context: ScreenContext, title: tuple[Cell, ...], text: str, mode_name: str
    ) -> None:
        super().__init__(context)
        self.mode_name = mode_name
        self._title = title
        self._text = text
        self.text = TextView(empty="there is no text", id="text")

    def compose_body(self) -> ComposeResult:
        """Title above text."""
        yield TitleLine(self._title)
        yield self.text

    def on_mount(self) -> None:
        """Write it."""
        self.text.show(self._text)
        self.text.focus()

    @on(LineTable.Opened)
    def open_row(self) -> None:
        """Show a line in full, of a table with the headings."""
        line = self.text.current
        if line is not None:
            facts = tuple(Fact(*fact) for fact in line.facts())
            self.app.push_screen(DetailDialog(f"line {line.place + 1}", facts))
