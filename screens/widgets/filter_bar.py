"""One line to type a filter expression into; what it found is told beside it."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from console.keymap import bind
from screens.filters import turned_round
from screens.text import AsPrintable, clean
from screens.widgets.tones import Cell, Tone, ToneWidget, segments

_NOTE: Final = 40


class FilterNote(ToneWidget):
    """What stands to the right of the expression."""

    DEFAULT_CSS = """
    FilterNote { height: 1; width: 0; background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._cell = Cell("")

    def say(self, text: str, tone: Tone) -> None:
        """Say something else."""
        cell = Cell(clean(text), tone)
        if cell != self._cell:
            self._cell = cell
            # While nothing is said the expression has the whole line.
            self.styles.width = min(_NOTE, cell_len(cell.text) + 2) if cell.text else 0
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The one line, at the right."""
        width = self.size.width
        cells = Cell(f"{self._cell.text} ", self._cell.tone)
        return Strip(segments(cells, width, self.style_of, right=True), width)


class FilterBar(Horizontal):
    """The expression a table is filtered by.

    Args:
        example: what to show while nothing is typed.
    """

    DEFAULT_CSS = """
    FilterBar {
        height: 1;
        background: $panel;
        #filter-sign { width: 3; color: $text-muted; }
        Input { width: 1fr; background: $panel; }
        Input > .input--placeholder { color: $text-muted; }
        Input:focus { background: $cursor-row; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        # Before the input has them: the key behind is not for the expression any more.
        bind("back", "leave", description="Clear", priority=True),
        bind("open", "leave_kept", description="Keep", priority=True),
    ]

    class Changed(Message):
        """Another expression is typed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The keys go back to the table."""

    def __init__(self, example: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._input = Input(
            placeholder=example, highlighter=AsPrintable(), compact=True, select_on_focus=False
        )
        self._note = FilterNote()
        self._before: Widget | None = None

    def compose(self) -> ComposeResult:
        """Sign, expression, note."""
        yield Static(Content(" / "), id="filter-sign")
        yield self._input
        yield self._note

    @property
    def text(self) -> str:
        """The expression."""
        return self._input.value

    @text.setter
    def text(self, text: str) -> None:
        self._input.value = text
        self._input.cursor_position = len(text)

    @property
    def is_typing(self) -> bool:
        """Whether the keys go into the expression."""
        return self._input.has_focus

    def begin(self) -> None:
        """Let the operator type; the next key is for the expression already."""
        if not self.is_typing:
            self._before = self.screen.focused
        self.screen.set_focus(self._input)

    def invert(self) -> None:
        """Turn the whole expression round."""
        self.text = turned_round(self.text)

    def say(self, shown: int, total: int, problem: str) -> None:
        """Tell what the expression found, or what is wrong with it."""
        if problem:
            self._note.say(problem, "warn")
        elif self.text.strip():
            self._note.say(f"{shown:,} of {total:,} shown", "accent" if shown else "warn")
        else:
            self._note.say("", "muted")

    def action_leave(self) -> None:
        """Clear the expression and go back to the table."""
        self.text = ""
        self._leave()

    def action_leave_kept(self) -> None:
        """Go back to the table with the expression kept."""
        self._leave()

    def _leave(self) -> None:
        # At once: a key that is on its way is not for the expression any more.
        if self._before is not None and self._before.is_attached:
            self.screen.set_focus(self._before)
        self.post_message(self.Left())

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_leave_kept()


if __name__ == "__main__":
    from screens.alone import show_alone

    bar = FilterBar("type to search, for example symbol:BTC action:closed !strategy:sma pnl>0")

    def _fill() -> None:
        bar.text = "action:closed pnl>0"
        bar.say(12, 60, "")

    show_alone(bar, _fill)
