"""A value out of a few, changed with the arrow keys; all of them are in sight where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from console.keymap import bind
from screens.widgets.tones import Cell, ToneWidget, segments, width_of


class Choice(ToneWidget, can_focus=True):
    """One line of options; the chosen one stands in brackets.

    Args:
        options: at least one.
        value: the one chosen at first.
    """

    DEFAULT_CSS = """
    Choice {
        height: 1;
        background: $surface;
        color: $foreground;
        &:focus { background: $cursor-row; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("choice.next", "turn(1)"),
        bind("choice.previous", "turn(-1)"),
    ]

    value: reactive[str] = reactive("")

    class Changed(Message):
        """Another option is chosen."""

        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

        @property
        def control(self) -> Choice:
            """Where it happened."""
            return self.choice

    def __init__(self, options: Sequence[str], value: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.options = tuple(options)
        self.set_reactive(Choice.value, value)

    def watch_value(self) -> None:
        """Tell of the change."""
        self.post_message(self.Changed(self))

    def action_turn(self, by: int) -> None:
        """Take the option so many places further on."""
        place = self.options.index(self.value)
        self.value = self.options[(place + by) % len(self.options)]

    def on_click(self, event: events.Click) -> None:
        """Take the option that was clicked; the next one where only one is in sight."""
        at = 0
        if not self._all_fit():
            self.action_turn(1)
            return
        for option in self.options:
            width = width_of(self._cells(option))
            if at <= event.x < at + width:
                self.value = option
            at += width

    def render_line(self, y: int) -> Strip:
        """The options."""
        cells = tuple(cell for option in self.options for cell in self._cells(option))
        if not self._all_fit():
            cells = (Cell("◂ ", "muted"), Cell(f"[{self.value}]", "accent"), Cell(" ▸", "muted"))
        return Strip(segments(cells, self.size.width, self.style_of), self.size.width)

    def _all_fit(self) -> bool:
        return self._width(1) <= self.size.width

    def _width(self, gap: int) -> int:
        """Cells of all options; behind each but the last stands a gap."""
        return sum(width_of((Cell(option),)) + 2 + gap for option in self.options) - gap

    def _cells(self, option: str) -> tuple[Cell, ...]:
        gap = Cell("  " if self._width(2) <= self.size.width else " ")
        if option == self.value:
            return (Cell(f"[{option}]", "accent"), gap)
        return (Cell(f" {option} ", "muted"), gap)


if __name__ == "__main__":
    from screens.alone import show_alone

    show_alone(Choice(("live", "backtest"), "live"))
