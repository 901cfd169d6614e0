"""The New-run form: everything a run of any kind needs, checked while it is typed.

Every field is a line to type into, with its choices listed at the side (`ChoiceForm`); enter
starts. Where several names can be given, commas separate them, and one run is started per symbol.
The messages are the engine's own. The first field takes a preset, which fills in all others; a key
keeps what the form says as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Button, Input, Static

from console.keymap import bind
from console.views import ExchangeItem, FieldError, RunRequest
from engine.domain.errors import EngineError
from screens.candidates import (
    Candidate,
    catalog_candidates,
    date_presets,
    default_request,
    first_match,
    form_values,
    joined,
    listed,
    matching,
    started_sentence,
    symbol_candidates,
)
from screens.choice_form import ChoiceForm
from screens.context import ScreenContext
from screens.form_fields import (
    FRAME,
    KINDS,
    LABELS,
    SHOWN,
    STRATEGY_LABELS,
    exchange_of,
    field_hints,
)
from screens.last_runs import last_run, remember_run
from screens.preset_dialog import SavePresetDialog, remove_dialog
from screens.presets import (
    LAST_RUN,
    Preset,
    named,
    preset_candidates,
    preset_hint,
    remove_preset,
    saved_presets,
)
from screens.spelling import spell
from screens.text import clean, many
from screens.widgets.choice import Choice

NARROW: Final = 100
"""Width of the terminal, in cells, below which notes of choices give their room to the fields."""

CHECK_DELAY: Final = 0.2
"""Seconds without a key after which the engine is asked what it thinks."""


@dataclass(frozen=True, slots=True)
class StartedRun:
    """What the form answers with once a run is going on."""

    kind: str
    run_id: str
    sentence: str


class NewRunForm(ChoiceForm[StartedRun | None]):
    """One form for all kinds of run.

    Args:
        context: host, clock and session; the host's memory has the last run of each kind.
        kind: ``live``, ``backtest``, ``walker`` or ``optimizer``, the kind it opens with.
    """

    CSS_PATH = "new_run.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("form.start", "start"),
        bind("form.preset", "go_to_preset"),
        bind("form.save_preset", "save_preset"),
        bind("form.remove_preset", "remove_preset"),
        bind("back", "cancel", description="Cancel"),
    ]

    def __init__(self, context: ScreenContext, kind: str) -> None:
        turned = Choice(tuple(KINDS), kind, id="input-kind")
        super().__init__({"preset": "Preset", "kind": "Kind", **LABELS}, {"kind": turned})
        self.context = context
        self.kind = turned
        self._symbols: dict[str, tuple[str, ...]] = {}
        self._presets: tuple[Preset, ...] = ()
        self._last: RunRequest | None = None
        self._preset = ""
        self._filled_for = kind
        self._starting = False
        self._refused = ""
        self._failure = ""
        self._check_timer: Timer | None = None

    # Building

    def compose(self) -> ComposeResult:
        """Fields at the left, choices at the right, status and buttons below."""
        self.set_class(self.app.size.width < NARROW, "-narrow")
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "New run"
            with Horizontal(id="columns"):
                with VerticalScroll(id="fields", can_focus=False):
                    yield from self.fields.values()
                yield self.choices
            yield self.status
            with Horizontal(id="buttons"):
                hint = (
                    "{form.start} start  {form.previous_choice}{form.next_choice} choose"
                    "  {form.next_field} next  {form.save_preset} save  {back} cancel"
                )
                yield Static(Content(spell(self, hint)), id="hint")
                yield Button(Content("Start"), id="start", compact=True)
                yield Button(Content("Cancel"), id="cancel", compact=True)

    def on_mount(self) -> None:
        """Fill in the last run, or the first choice of everything."""
        self._know_presets()
        request = self._default()
        self.fill(form_values(request, LABELS))
        self._kind_changed()
        self._name_preset()
        self._fetch_symbols(request.exchange_name)
        self.go_to("strategy_name")

    def _default(self) -> RunRequest:
        catalog, now = self.context.snapshot.catalog, self.context.now()
        return default_request(self.kind.value, catalog, now, self._last)

    def _know_presets(self) -> None:
        memory, kind = self.context.host.memory, self.kind.value
        self._presets, self._last = saved_presets(memory, kind), last_run(memory, kind)

    def _name_preset(self) -> None:
        """The Preset field has the name of what the form says, if that has one."""
        request = self.request()
        name = next((preset.name for preset in self._presets if preset.request == request), "")
        self._call_preset(name)

    def _call_preset(self, name: str) -> None:
        self._preset = name
        self.fill((("preset", name),))

    def request(self) -> RunRequest:
        """What the form says now; ``symbol`` is as typed and may name several."""
        kind = self.kind.value
        shown = SHOWN[kind]
        value = {name: self.fields[name].value if name in shown else "" for name in LABELS}
        names: tuple[str, ...] = ()
        walkers = (item.name for item in self.context.snapshot.catalog.walkers)
        if kind == "walker" and value["strategy_name"] not in walkers:
            names, value["strategy_name"] = listed(value["strategy_name"]), ""
        value["interval"] = value["interval"] or "1m"
        return RunRequest(kind, **value, strategies=names)

    def requests(self) -> tuple[RunRequest, ...]:
        """One request per symbol."""
        request = self.request()
        symbols = listed(request.symbol) or ("",)
        return tuple(replace(request, symbol=symbol) for symbol in symbols)

    def follow(self) -> None:
        """The catalog may have moved."""
        if self.is_mounted:
            self.show_choices()

    # Choices

    def _exchange(self) -> ExchangeItem | None:
        return exchange_of(self.context.snapshot.catalog, self.fields["exchange_name"].value)

    def _known_symbols(self) -> tuple[str, ...]:
        exchange = self._exchange()
        if exchange is None:
            return ()
        return self._symbols.get(exchange.name) or exchange.symbols

    def candidates(self, name: str) -> tuple[Candidate, ...]:
        """What can be chosen for a field."""
        catalog = self.context.snapshot.catalog
        if name == "preset":
            return preset_candidates(self._presets, self._last)
        if name == "symbol":
            return symbol_candidates(self._known_symbols())
        if name in FRAME:
            exchange = self._exchange()
            return date_presets(exchange.history if exchange else None, self.context.now())
        return catalog_candidates(name, self.kind.value, catalog)

    def takes_several(self, name: str) -> bool:
        """Several symbols; of a walker several strategies."""
        return name == "symbol" or (name == "strategy_name" and self.kind.value == "walker")

    def together(self, name: str) -> tuple[str, ...]:
        """The two ends of a frame are chosen as one."""
        return FRAME if name in FRAME else ()

    def complete(self) -> None:
        """Complete what was typed; a preset whose whole name is typed is taken, too.

        Not again, though: that would undo what was changed since.
        """
        if self.current != "preset":
            super().complete()
            return
        candidates, typed = self.candidates("preset"), self.fields["preset"].value
        whole = next((c for c in candidates if c.name.casefold() == typed.casefold()), None)
        match = whole or (first_match(candidates, typed) if typed else None)
        if match is not None and typed.casefold() != self._preset.casefold():
            self.take(match)

    def was_typed(self, name: str) -> None:
        """What is typed is no preset yet, and may be an exchange."""
        if name == "preset":
            self._preset = ""
        elif name == "exchange_name":
            self._exchange_changed()

    def was_written(self, name: str, value: str) -> None:
        """What was chosen may be a preset or an exchange."""
        if name == "preset":
            self._preset = value
        elif name == "exchange_name":
            self._exchange_changed()

    def went_to(self) -> None:
        """A preset that was typed in part is completed by whatever leaves its field."""
        if self.current == "preset":
            self.complete()

    def has_changed(self) -> None:
        """Say what is known of it and ask the engine soon."""
        self._show_hints()
        self._check_soon()

    # What the operator does

    @on(Choice.Changed)
    def _kind_changed(self) -> None:
        kind = self.kind.value
        for name in LABELS:
            self.fields[name].display = name in SHOWN[kind]
        self.fields["strategy_name"].call_it(STRATEGY_LABELS.get(kind, "Strategy"))
        self._refill(kind)
        self._fit_height()
        self._show_hints()
        self._check_soon()

    def _refill(self, kind: str) -> None:
        """Of another kind are its own strategies, and a frame where there was none."""
        if kind == self._filled_for:
            return
        self._know_presets()
        others = kind in STRATEGY_LABELS or self._filled_for in STRATEGY_LABELS
        fills = [
            (name, value)
            for name, value in form_values(self._default(), SHOWN[kind])
            if not self.fields[name].value or (others and name == "strategy_name")
        ]
        self._filled_for = kind
        self.fill(fills)
        self._name_preset()

    def on_resize(self) -> None:
        """The fields take what room there is, the one with the focus stays in sight."""
        self._fit_height()
        self.keep_in_sight()

    def _fit_height(self) -> None:
        """Two lines a field; where they do not fit, the fields scroll."""
        self.set_class(self.app.size.width < NARROW, "-narrow")
        shown = 2 + len(SHOWN[self.kind.value])
        # Border and the line below it, status, buttons.
        room = self.app.size.height - 6
        height = max(6, min(max(15, 2 * shown + 1), room))
        self.query_one("#columns").styles.height = height
        self.choices.styles.height = height - 1

    def _exchange_changed(self) -> None:
        exchange = self._exchange()
        if exchange is not None:
            self._fetch_symbols(exchange.name)

    async def action_go_to_preset(self) -> None:
        """Go to the Preset field."""
        await self.typed_out()
        self.complete()
        self.go_to("preset")

    async def action_save_preset(self) -> None:
        """Save what the form says under a name, which is asked for."""
        await self.typed_out()
        name = self.fields["preset"].value
        if self.current != "preset":
            self.complete()
        proposed = "" if name.casefold() == LAST_RUN else name
        dialog = SavePresetDialog(self.context.host.memory, self.request(), proposed)
        await self.app.push_screen(dialog, self._saved)

    def _saved(self, name: str | None) -> None:
        if name is not None:
            self._presets_changed(name, f"preset {name} saved")

    async def action_remove_preset(self) -> None:
        """Remove the saved preset that the Preset field names, after asking."""
        await self.typed_out()
        preset = named(self._presets, self.fields["preset"].value)
        if preset is None:
            text = spell(self, "no saved preset is chosen: {form.preset} goes to them")
            self.notify(text, title="Remove preset cannot act", severity="warning", markup=False)
            return

        def removed(answer: str | None) -> None:
            if answer == "remove":
                remove_preset(self.context.host.memory, preset.request.kind, preset.name)
                self._presets_changed("", f"preset {preset.name} removed")

        await self.app.push_screen(remove_dialog(preset), removed)

    def _presets_changed(self, name: str, sentence: str) -> None:
        self._know_presets()
        self._call_preset(name)
        self.show_choices()
        self.notify(sentence, timeout=3, markup=False)

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Leave without starting anything."""
        if not self._starting:
            self.dismiss(None)

    @on(Input.Submitted)
    @on(Button.Pressed, "#start")
    def action_start(self) -> None:
        """Start the run as it is filled in; a preset that is only now taken is shown first."""
        if self._starting:
            return
        before = self._preset
        self.complete()
        if self._preset != before:
            self.go_to("strategy_name")
            return
        self._starting = True
        self._failure = ""
        self.say("starting ...")
        self._start(self.requests())

    # Asking the engine

    @work(exclusive=True, group="symbols")
    async def _fetch_symbols(self, exchange_name: str) -> None:
        host = self.context.host
        if exchange_name and exchange_name not in self._symbols:
            try:
                found = await asyncio.wrap_future(host.symbols(exchange_name))
            except Exception:
                # The check of the symbol field says what is wrong with the exchange.
                found = ()
            self._symbols[exchange_name] = found
        known = self._known_symbols()
        symbols = {*listed(self.fields["symbol"].value)}
        if known and self.is_untouched("symbol") and not symbols <= {*known}:
            self.fill((("symbol", known[0]),))
        if self.current == "symbol":
            self.show_choices()
        self._show_hints()

    def _check_soon(self) -> None:
        self._refused = self._failure = ""
        if self._check_timer is not None:
            self._check_timer.stop()
        self._check_timer = self.set_timer(CHECK_DELAY, self._check)

    @work(exclusive=True, group="check")
    async def _check(self) -> None:
        requests = self.requests()
        try:
            problems = await self._problems(requests)
        except Exception as error:
            self.say(clean(str(error)), wrong=True)
            return
        if requests == self.requests() and not self._starting:
            self._show_problems(problems)

    async def _problems(self, requests: Iterable[RunRequest]) -> tuple[FieldError, ...]:
        """What is wrong with any of them, each thing once."""
        found: dict[FieldError, None] = dict.fromkeys(self._preset_problems())
        for request in requests:
            found |= dict.fromkeys(await asyncio.wrap_future(self.context.host.check(request)))
        return tuple(found)

    def _preset_problems(self) -> tuple[FieldError, ...]:
        """Who types a preset that is none must not start something else."""
        typed = self.fields["preset"].value
        if typed.casefold() == self._preset.casefold() or matching(
            self.candidates("preset"), typed
        ):
            return ()
        help_text = spell(self, "{form.save_preset} saves the form as one, empty is none")
        return (FieldError("preset", f"no preset is called {typed!r}: {help_text}"),)

    @work(exclusive=True, group="start")
    async def _start(self, requests: tuple[RunRequest, ...]) -> None:
        host = self.context.host
        started: list[tuple[str, RunRequest]] = []
        refused: list[str] = []
        try:
            problems = await self._problems(requests)
            if problems:
                self._refuse(problems)
                return
            for request in requests:
                try:
                    started.append((await asyncio.wrap_future(host.start_run(request)), request))
                except EngineError as error:
                    refused.append(clean(str(error)))
        except Exception as error:
            # Whatever it is, the operator reads it here and can change the form.
            refused.append(clean(str(error)))
        finally:
            self._starting = False
        if not started:
            self._failure = f"not started: {'; '.join(refused)}"
            self.show_status()
            return
        for text in refused:
            self.notify(text, title="NOT STARTED", severity="error", markup=False)
        request = replace(requests[0], symbol=joined(one.symbol for one in requests))
        remember_run(host.memory, request)
        sentence = started_sentence([one for _, one in started])
        self.dismiss(StartedRun(request.kind, started[0][0], sentence))

    def _refuse(self, problems: tuple[FieldError, ...]) -> None:
        for field in self.fields.values():
            field.touched = True
        self._refused = f"not started, {many(len(problems), 'problem')}: "
        self._show_problems(problems)
        for name, field in self.fields.items():
            if any(problem.field == name for problem in problems):
                field.control.focus()
                return

    # Showing

    def _show_problems(self, problems: tuple[FieldError, ...]) -> None:
        for name, field in self.fields.items():
            own = (problem.message for problem in problems if problem.field == name)
            field.error = clean(" ".join(own))
            field.show_message()
        strange = [clean(p.message) for p in problems if p.field not in self.fields]
        self.show_status(" ".join(strange))

    def show_status(self, other: str = "") -> None:
        """The whole message of the field with the focus, which may be cut below the input."""
        if self._failure:
            self.say(self._failure, wrong=True)
            return
        field = self.fields[self.current]
        text = other or (field.error if field.touched else "")
        if not text:
            parts = [field.hint] if field.hint_is_cut else []
            broken = [s.error for s in self.context.snapshot.catalog.strategies if s.error]
            if broken and self.current == "strategy_name":
                parts.append(clean(f"broken file: {broken[0]}"))
            self.say("\n".join(parts))
            return
        self.say(self._refused + text if text else "", wrong=bool(text))

    def _show_hints(self) -> None:
        value = {name: field.value for name, field in self.fields.items()}
        catalog = self.context.snapshot.catalog
        hints = field_hints(self.kind.value, value, catalog, self._known_symbols())
        hints["start"] = spell(self, hints["start"])
        hint = preset_hint(value["preset"], self._presets, self._last, self.request())
        hints["preset"] = spell(self, hint)
        for name, field in self.fields.items():
            field.hint = hints.get(name, "")
            field.show_message()
