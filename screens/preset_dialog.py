"""Asks for the name under which the New-run form is saved, and before another one is replaced."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from console.keymap import bind
from console.memory import Memory
from console.views import RunRequest
from screens.confirm import Answer, ConfirmDialog
from screens.presets import (
    Preset,
    differences,
    name_problem,
    named,
    save_preset,
    saved_presets,
    summary,
)
from screens.text import AsPrintable


class SavePresetDialog(ModalScreen[str | None]):
    """Save what a form says; answers with the name, or None when nothing was saved.

    Args:
        memory: where presets are kept.
        request: what the form says.
        name: what is proposed; "" proposes nothing.
    """

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "cancel", description="Cancel")]

    def __init__(self, memory: Memory, request: RunRequest, name: str) -> None:
        super().__init__(classes="question-dialog")
        self.memory = memory
        self.request = request
        self.field = Input(
            name, id="name", highlighter=AsPrintable(), compact=True, select_on_focus=True
        )
        self.message = Static(id="message")

    def compose(self) -> ComposeResult:
        """What is saved, the field for the name, buttons."""
        with Vertical(id="dialog"):
            yield Static(Content(f"Save this {self.request.kind} form as a preset"), id="question")
            yield Static(Content(summary(self.request)), id="detail")
            yield Static(Content("Name:"), id="prompt")
            yield self.field
            yield self.message
            with Horizontal(id="answers"):
                yield Button(Content("Save"), id="save", compact=True)
                yield Button(Content("Cancel"), id="cancel", compact=True)

    def on_mount(self) -> None:
        """The name is typed at once, whatever is on its way from the keyboard."""
        self.field.cursor_blink = False
        self.message.display = False
        self.set_focus(self.field)

    @on(Input.Changed)
    def typed(self) -> None:
        """Say what is wrong with the name, unless nothing is typed yet."""
        self._complain(name_problem(self.field.value) if self.field.value.strip() else "")

    @on(Input.Submitted)
    @on(Button.Pressed, "#save")
    def save(self) -> None:
        """Save; ask first where something else is kept under that name."""
        name = self.field.value
        problem = name_problem(name)
        if problem:
            self._complain(problem)
            self.set_focus(self.field)
            return
        kept = named(saved_presets(self.memory, self.request.kind), name)
        if kept is None or kept.request == self.request:
            self._save()
            return
        self.app.push_screen(replace_dialog(kept, self.request), self._replace)

    def _replace(self, answer: str | None) -> None:
        if answer == "replace":
            self._save()

    def _save(self) -> None:
        name = self.field.value.strip()
        try:
            save_preset(self.memory, name, self.request)
        except ValueError as error:
            self._complain(str(error))
        else:
            self.dismiss(name)

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Save nothing."""
        self.dismiss(None)

    def _complain(self, problem: str) -> None:
        self.message.display = bool(problem)
        self.message.update(Content.styled(problem, "$error"))


def replace_dialog(kept: Preset, request: RunRequest) -> ConfirmDialog:
    """Whether a preset gives way to what the form says."""
    return ConfirmDialog(
        f"Replace the {request.kind} preset {kept.name}?",
        "\n".join(differences(kept.request, request)),
        (Answer("no", "No"), Answer("replace", "Replace")),
    )


def remove_dialog(preset: Preset) -> ConfirmDialog:
    """Whether a preset is removed."""
    return ConfirmDialog(
        f"Remove the {preset.request.kind} preset {preset.name}?",
        f"{summary(preset.request)}\nRuns are not touched, and the form stays as it is.",
        (Answer("no", "No"), Answer("remove", "Remove")),
    )
