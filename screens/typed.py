"""A question whose yes has to be typed: for what cannot be taken back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from console.keymap import bind
from screens.confirm import Details
from screens.text import AsPrintable, clean, clean_lines

ASK_SECONDS = 1.0
"""How often an open question looks at what it asks about."""


class _Answer(Button):
    """A letter typed on a button belongs into the field.

    It is handed on before it queues up here: otherwise letters that are typed in one go would reach
    the field after the ones behind them, or not at all.
    """

    def post_message(self, message: Message) -> bool:
        """Take a message; a letter goes to the field, and the focus with it."""
        if isinstance(message, events.Key) and message.is_printable and message.character != " ":
            field = self.screen.query_one(Input)
            self.screen.set_focus(field)
            return field.post_message(message)
        return super().post_message(message)


class TypedDialog(ModalScreen[bool]):
    """Ask; answers True only when the word was typed and confirmed.

    No has the focus; whatever is typed goes into the field all the same.

    Args:
        question: the question, one line; what gives it is asked again with the detail.
        detail: gives what follows from a yes, one line or several; asked again every second.
        word: what has to be typed, letter by letter.
        yes: what the confirming button says.
        renew: awaited every second before the detail is asked for again.
    """

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "no"),
        bind("dialog.next", "app.focus_next"),
        bind("dialog.previous", "app.focus_previous"),
        bind("table.page_down", "turn(1)"),
        bind("table.page_up", "turn(-1)"),
    ]

    def __init__(
        self,
        question: str | Callable[[], str],
        detail: Callable[[], str],
        word: str,
        yes: str,
        renew: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(classes="question-dialog")
        self._question = question
        self._detail = detail
        self._word = word
        self._yes = yes
        self._renew = renew

    def compose(self) -> ComposeResult:
        """Question, detail, field, buttons."""
        with Vertical(id="dialog"):
            yield Static(self._asked(), id="question")
            yield Details(self._content())
            yield Static(Content(f"Type {clean(self._word)} to confirm:"), id="prompt")
            yield Input(id="word", highlighter=AsPrintable(), compact=True, select_on_focus=False)
            with Horizontal(id="answers"):
                yield _Answer("No", id="no", compact=True)
                yield _Answer(Content(self._yes), id="yes", compact=True, disabled=True)

    def on_mount(self) -> None:
        """No has the focus; prices and ages in the detail move."""
        self.query_one("#no", Button).focus()
        self.set_interval(ASK_SECONDS, self.ask_again)

    def action_turn(self, pages: int) -> None:
        """Show the rest of what follows from a yes."""
        self.query_one(Details).turn(pages)

    async def ask_again(self) -> None:
        """Ask for the detail again."""
        if self._renew is not None:
            await self._renew()
        if self.is_mounted:
            self.query_one("#question", Static).update(self._asked())
            self.query_one("#detail", Static).update(self._content())

    @on(Input.Changed)
    def typed(self) -> None:
        """Yes can be pressed once the word is right."""
        self.query_one("#yes", Button).disabled = not self._is_right

    @on(Input.Submitted)
    def submitted(self) -> None:
        """Enter behind the right word is a yes; behind a wrong one it is nothing."""
        if self._is_right:
            self.dismiss(True)

    @on(Button.Pressed, "#yes")
    def confirmed(self) -> None:
        """Yes."""
        if self._is_right:
            self.dismiss(True)

    @on(Button.Pressed, "#no")
    def action_no(self) -> None:
        """No."""
        self.dismiss(False)

    @property
    def _is_right(self) -> bool:
        return self.query_one(Input).value.strip() == self._word

    def _asked(self) -> Content:
        asked = self._question if isinstance(self._question, str) else self._question()
        return Content("\n".join(clean_lines(asked)))

    def _content(self) -> Content:
        return Content("\n".join(clean_lines(self._detail())))
