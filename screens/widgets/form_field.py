"""A labelled input with one line below it for a hint or for what is wrong."""

from __future__ import annotations

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.strip import Strip
from textual.widgets import Input, Static

from screens.text import fit
from screens.widgets.choice import Choice
from screens.widgets.tones import Cell, Tone, ToneWidget, segments


class FieldMessage(ToneWidget):
    """The line below an input."""

    DEFAULT_CSS = """
    FieldMessage {
        height: 1;
        width: 1fr;
        padding-left: 11;
        color: $foreground;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._cell = Cell("")

    def say(self, text: str, tone: Tone) -> None:
        """Show something else."""
        cell = Cell(text, tone)
        if cell != self._cell:
            self._cell = cell
            self.refresh()

    @property
    def is_cut(self) -> bool:
        """Whether there is not room for all of it."""
        return 0 < self.size.width < cell_len(self._cell.text)

    def render_line(self, y: int) -> Strip:
        """The one line, cut where it is too long."""
        width = self.size.width
        cell = Cell(fit(self._cell.text, width), self._cell.tone)
        return Strip(segments(cell, width, self.style_of), width)


class FormField(Vertical):
    """Label, input, message.

    Args:
        name: field of the request; the input's id is ``input-`` and this name.
        label: what it is called on screen.
        control: the input, or a choice.
    """

    DEFAULT_CSS = """
    FormField {
        height: 2;
        Horizontal { height: 1; }
        .form-label { width: 11; color: $text-muted; }
        Input { width: 1fr; background: $panel; }
        Input:focus { background: $cursor-row; }
        Choice { width: 1fr; }
    }
    """

    def __init__(self, name: str, label: str, control: Input | Choice) -> None:
        super().__init__(id=f"field-{name}")
        self.field = name
        self._label = Static(Content(label), classes="form-label")
        self.control = control
        self.error = ""
        self.hint = ""
        self.touched = False
        self._message = FieldMessage()

    def compose(self) -> ComposeResult:
        """Label and input side by side, the message below."""
        with Horizontal():
            yield self._label
            yield self.control
        yield self._message

    def call_it(self, label: str) -> None:
        """Another label."""
        self._label.update(Content(label))

    @property
    def hint_is_cut(self) -> bool:
        """Whether the hint is longer than its line."""
        return bool(self.hint) and self._message.is_cut

    @property
    def value(self) -> str:
        """What is typed or chosen, without blanks around it."""
        return self.control.value.strip()

    @value.setter
    def value(self, value: str) -> None:
        if self.control.value != value:
            self.control.value = value
            if isinstance(self.control, Input):
                self.control.cursor_position = len(value)

    def show_message(self) -> None:
        """Show the error once the field was touched, else the hint."""
        if self.error and self.touched:
            self._message.say(f"! {self.error}", "loss")
        else:
            self._message.say(self.hint, "muted")


if __name__ == "__main__":
    from screens.alone import show_alone

    field = FormField("symbol", "Symbol", Input(compact=True))
    show_alone(field, lambda: setattr(field, "value", "BTCUSDT"))
