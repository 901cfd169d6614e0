"""Show one widget by itself with the console's themes, for ``python -m screens.widgets.NAME``."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widget import Widget

from console.keymap import bind
from console.themes import THEMES


class AloneApp(App[None]):
    """An app of nothing but one widget.

    Args:
        widget: what to show.
        fill: gives the widget its data once it is mounted.
    """

    BINDINGS: ClassVar[list[BindingType]] = [bind("quit", "quit")]

    def __init__(self, widget: Widget, fill: Callable[[], object] | None = None) -> None:
        super().__init__()
        self._widget = widget
        self._fill = fill
        self.animation_level = "none"
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name

    def compose(self) -> ComposeResult:
        """Only the widget."""
        yield self._widget

    def on_mount(self) -> None:
        """Give the widget its data."""
        if self._fill is not None:
            self._fill()


def show_alone(widget: Widget, fill: Callable[[], object] | None = None) -> None:
    """Run a terminal application that shows the widget; ``q`` ends it."""
    AloneApp(widget, fill).run()
