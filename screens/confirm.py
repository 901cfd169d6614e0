"""A question with buttons, of which the harmless one has the focus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Static

from console.keymap import bind
from screens.spelling import spell
from screens.text import clean_lines


@dataclass(frozen=True, slots=True)
class Answer:
    """One button: what it stands for and what it says."""

    name: str
    label: str


class Details(VerticalScroll, can_focus=False):
    """What follows from a yes; where there is no room for all of it, the frame says so."""

    def __init__(self, content: Content) -> None:
        super().__init__(Static(content, id="detail"), id="details")

    def watch_show_vertical_scrollbar(self, shown: bool) -> None:
        """Nothing of a question may be missing without a word."""
        more = spell(self, "{table.page_down} shows the rest") if shown else ""
        if isinstance(self.parent, Widget):
            self.parent.border_subtitle = Content(more)

    def turn(self, pages: int) -> None:
        """Show what is below, or above."""
        self.scroll_relative(y=pages * max(1, self.size.height - 1), animate=False)


class ConfirmDialog(ModalScreen[str]):
    """Ask; answers with the name of the chosen `Answer`.

    Args:
        question: the question, one line.
        detail: what follows from the answers; may be several lines.
        answers: the harmless one first: it has the focus and is what escape and ``n`` give.
            With exactly two answers ``y`` gives the second.
    """

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("dialog.yes", "yes"),
        bind("dialog.no", "no"),
        # At once: an enter typed in the same moment has to find the button that was gone to.
        bind("dialog.next", "app.focus_next", priority=True),
        bind("dialog.previous", "app.focus_previous", priority=True),
        bind("table.page_down", "turn(1)"),
        bind("table.page_up", "turn(-1)"),
    ]

    def __init__(self, question: str, detail: str, answers: Sequence[Answer]) -> None:
        super().__init__(classes="question-dialog")
        self._question = question
        self._detail = detail
        self._answers = tuple(answers)

    def compose(self) -> ComposeResult:
        """Question, detail, buttons."""
        with Vertical(id="dialog"):
            yield Static(Content("\n".join(clean_lines(self._question))), id="question")
            yield Details(Content("\n".join(clean_lines(self._detail))))
            with Horizontal(id="answers"):
                for answer in self._answers:
                    yield Button(Content(answer.label), id=f"answer-{answer.name}", compact=True)

    def on_mount(self) -> None:
        """The harmless answer has the focus."""
        self.query(Button).first().focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """``y`` is for questions of two answers."""
        return action != "yes" or len(self._answers) == 2

    def action_turn(self, pages: int) -> None:
        """Show the rest of what follows from a yes."""
        self.query_one(Details).turn(pages)

    def action_yes(self) -> None:
        """Give the second answer."""
        self.dismiss(self._answers[1].name)

    def action_no(self) -> None:
        """Give the harmless answer."""
        self.dismiss(self._answers[0].name)

    @on(Button.Pressed)
    def answer(self, event: Button.Pressed) -> None:
        """Give the answer of the pressed button."""
        for answer in self._answers:
            if event.button.id == f"answer-{answer.name}":
                self.dismiss(answer.name)
