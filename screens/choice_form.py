"""A dialog of fields to type into, with the choices of the one with the focus listed at the side.

Typing narrows the choices down, up and down take one, tab completes what was typed in part and goes
on. What the fields stand for and what can be chosen is the business of the form that derives from
this; it is told of every change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.content import Content
from textual.screen import ModalScreen, ScreenResultType
from textual.widgets import Input, Static

from console.keymap import bind
from screens.candidates import Candidate, completed, last_part, listed, matching
from screens.text import AsPrintable
from screens.widgets.candidate_list import CandidateList
from screens.widgets.choice import Choice
from screens.widgets.form_field import FormField


class ChoiceForm(ModalScreen[ScreenResultType]):
    """Fields and their choices.

    Args:
        labels: what each field is called, by its name, from top to bottom.
        turned: fields that are a choice among a few instead of a line to type into.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("form.next_choice", "choose(1)"),
        bind("form.previous_choice", "choose(-1)"),
        bind("form.next_field", "next_field"),
        bind("form.previous_field", "app.focus_previous"),
    ]

    def __init__(self, labels: Mapping[str, str], turned: Mapping[str, Choice]) -> None:
        super().__init__()
        self.fields = {
            name: FormField(name, label, turned.get(name) or _entry(name))
            for name, label in labels.items()
        }
        self.choices = CandidateList(id="choices")
        self.status = Static(Content(""), id="status")
        self.current = next(iter(self.fields))
        self._filled: dict[str, str] = {}

    # What a form says about its fields

    def candidates(self, name: str) -> tuple[Candidate, ...]:
        """What can be chosen for a field."""
        raise NotImplementedError

    def takes_several(self, name: str) -> bool:
        """Whether commas separate several names in a field."""
        raise NotImplementedError

    def together(self, name: str) -> tuple[str, ...]:
        """Fields that are chosen as one with this one: all choices stay in sight; () if none."""
        raise NotImplementedError

    def was_typed(self, name: str) -> None:
        """Somebody typed into a field."""

    def was_written(self, name: str, value: str) -> None:
        """A choice wrote a value into a field."""

    def went_to(self) -> None:
        """Another field has the focus."""

    def has_changed(self) -> None:
        """Some field holds something else."""

    # Choices

    def show_choices(self) -> None:
        """List what can be chosen now, the cursor on what is chosen."""
        candidates = self.candidates(self.current)
        before, typed = self._typed(self.current)
        candidates = tuple(c for c in candidates if c.name not in listed(before))
        one = self.together(self.current)
        shown = candidates if one else matching(candidates, typed)
        self.choices.set_empty("" if not candidates else "nothing matches")
        self.choices.set_rows(shown)
        exact = typed.casefold()
        usable = [c for c in shown if not c.error]
        chosen = next((c for c in usable if c.name.casefold() == exact), None)
        if one:
            now = {name: self.fields[name].value for name in one}
            chosen = next((c for c in usable if dict(c.fills) == now), None)
        if chosen or (usable and not one):
            self.choices.select((chosen or usable[0]).name)
        else:
            self.choices.clear_cursor()

    def _typed(self, name: str) -> tuple[str, str]:
        """What a field holds: names before the one that is being typed, and that one."""
        value = self.fields[name].value
        return last_part(value) if self.takes_several(name) else ("", value)

    def complete(self) -> None:
        """Make the first match of what was typed the field's value, of each of several names."""
        name = self.current
        if not self.together(name):
            typed, several = self.fields[name].value, self.takes_several(name)
            if fills := completed(self.candidates(name), name, typed, several=several):
                self.write(fills)

    def take(self, candidate: Candidate) -> None:
        """Write what a choice stands for: beside names that are there already only its own."""
        before, _ = self._typed(self.current)
        fills = candidate.fills
        if before:
            fills = ((self.current, before + dict(fills)[self.current]),)
        self.write(fills)

    def write(self, fills: Sequence[tuple[str, str]]) -> None:
        """Write values into fields as if the operator had chosen each."""
        self.fill(fills)
        for name, value in fills:
            self.fields[name].touched = True
            self.was_written(name, value)

    def fill(self, values: Sequence[tuple[str, str]]) -> None:
        """Write values into fields as what they start with."""
        for name, value in values:
            control = self.fields[name].control
            self._filled[name] = value.strip()
            with control.prevent(Input.Changed):
                self.fields[name].value = value
        self.has_changed()

    def is_untouched(self, name: str) -> bool:
        """Whether a field holds what the form began with; a letter may be ahead of its message."""
        field = self.fields[name]
        return not field.touched and field.value == self._filled.get(name, "")

    # What the operator does

    def on_descendant_focus(self) -> None:
        """The choices are those of the field with the focus."""
        name = next((name for name, f in self.fields.items() if f.control is self.focused), None)
        if name is not None:
            if name != self.current:
                self.went_to()
            self.current = name
            self.show_choices()
            self.show_status()
            self.keep_in_sight()

    def keep_in_sight(self) -> None:
        """The field with the focus can be seen, with what stands below it."""
        self.fields[self.current].scroll_visible(animate=False)

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """Narrow the choices down."""
        name = (event.input.id or "").removeprefix("input-")
        self.fields[name].touched = True
        self.was_typed(name)
        if name == self.current:
            self.show_choices()
        self.has_changed()

    @on(CandidateList.Picked)
    def picked(self, event: CandidateList.Picked) -> None:
        """Take the choice that was clicked."""
        self.take(event.candidate)
        self.show_choices()

    def action_choose(self, by: int) -> None:
        """Take the next choice of the list; turn a field that has a few."""
        control = self.fields[self.current].control
        if isinstance(control, Choice):
            control.action_turn(by)
            return
        candidate = self.choices.current
        _, typed = self._typed(self.current)
        # What was typed in part is completed first, then the choices are gone through.
        if candidate is None or by < 0 or dict(candidate.fills).get(self.current) in (typed, None):
            candidate = self.choices.step(by)
        if candidate is not None and not candidate.error:
            self.take(candidate)

    async def action_next_field(self) -> None:
        """Complete what was typed and go on."""
        await self.typed_out()
        self.complete()
        self.fields[self.current].touched = True
        self.fields[self.current].show_message()
        self.focus_next()
        self.on_descendant_focus()

    async def typed_out(self) -> None:
        """Over a slow line keys of several fields come at once.

        Those behind this one are not yet given to a field; those before it are waited for.
        """
        typed = asyncio.Event()
        self.fields[self.current].control.call_later(typed.set)
        await typed.wait()

    def go_to(self, name: str) -> None:
        """Give a field the focus at once, before the next key is looked at."""
        self.set_focus(self.fields[name].control)
        self.on_descendant_focus()

    # Saying

    def show_status(self, other: str = "") -> None:
        """Say about the field with the focus what does not fit below it, or something else."""

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Say something below the fields."""
        self.status.update(Content.styled(text, "$error" if wrong else "$text-muted"))


def _entry(name: str) -> Input:
    entry = Input(id=f"input-{name}", highlighter=AsPrintable(), compact=True, select_on_focus=True)
    entry.cursor_blink = False
    return entry
