"""A text of many lines on a screen of its own: a report, a generated module."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from console.keymap import bind
from screens.base import BaseScreen
from screens.context import ScreenContext
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
