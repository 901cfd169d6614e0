"""The New-run form: everything a run of any kind needs, checked while it is typed.

Every field is a line to type into, with its choices listed at the side: typing narrows them down,
up and down take one, tab completes and goes on, enter starts. Where several names can be given,
commas separate them, and one run is started per symbol. The messages are the engine's own.
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
from textual.screen import ModalScreen
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
    joined,
    last_part,
    listed,
    matching,
    started_sentence,
    symbol_candidates,
    symbols_note,
)
from screens.context import ScreenContext
from screens.form_fields import HINTS, KINDS, LABELS, SHOWN, STRATEGY_LABELS
from screens.last_runs import last_run, remember_run
from screens.spelling import spell
from screens.text import AsPrintable, clean, many
from screens.widgets.candidate_list import CandidateList
from screens.widgets.choice import Choice
from screens.widgets.form_field import FormField

CHECK_DELAY: Final = 0.2
"""Seconds without a key after which the engine is asked what it thinks."""


@dataclass(frozen=True, slots=True)
class StartedRun:
    """What the form answers with once a run is going on."""

    kind: str
    run_id: str
    sentence: str


class NewRunForm(ModalScreen[StartedRun | None]):
    """One form for all kinds of run.

    Args:
        context: host, clock and session; the host's memory has the last run of each kind.
        kind: ``live``, ``backtest``, ``walker`` or ``optimizer``, the kind it opens with.
    """

    CSS_PATH = "new_run.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("form.start", "start"),
        bind("form.next_choice", "choose(1)"),
        bind("form.previous_choice", "choose(-1)"),
        bind("form.next_field", "next_field"),
        bind("form.previous_field", "app.focus_previous"),
        bind("back", "cancel", description="Cancel"),
    ]

    def __init__(self, context: ScreenContext, kind: str) -> None:
        super().__init__()
        self.context = context
        self.kind = Choice(tuple(KINDS), kind, id="input-kind")
        self.fields = {"kind": FormField("kind", "Kind", self.kind)}
        for name, label in LABELS.items():
            entry = Input(
                id=f"input-{name}", highlighter=AsPrintable(), compact=True, select_on_focus=True
            )
            entry.cursor_blink = False
            self.fields[name] = FormField(name, label, entry)
        self.choices = CandidateList(id="choices")
        self.status = Static(Content(""), id="status")
        self._symbols: dict[str, tuple[str, ...]] = {}
        self._field = "kind"
        self._filled_for = kind
        self._starting = False
        self._refused = ""
        self._failure = ""
        self._check_timer: Timer | None = None

    # Building

    def compose(self) -> ComposeResult:
        """Fields at the left, choices at the right, status and buttons below."""
        with Vertical(id="dialog"):
            yield Static(Content("New run"), id="title")
            with Horizontal(id="columns"):
                with VerticalScroll(id="fields", can_focus=False):
                    yield from self.fields.values()
                yield self.choices
            yield self.status
            with Horizontal(id="buttons"):
                hint = (
                    "{form.start} starts  {form.previous_choice}{form.next_choice} choose"
                    "  {form.next_field} next  {back} cancels"
                )
                yield Static(Content(spell(self, hint)), id="hint")
                yield Button(Content("Start"), id="start", compact=True)
                yield Button(Content("Cancel"), id="cancel", compact=True)

    def on_mount(self) -> None:
        """Fill in the last run, or the first choice of everything."""
        request = self._default()
        strategies = joined(request.strategies) or request.strategy_name
        others = ((name, getattr(request, name)) for name in (*LABELS,)[1:])
        self._fill(("strategy_name", strategies), *others)
        self._kind_changed()
        self._fetch_symbols(request.exchange_name)
        self.fields["strategy_name"].control.focus()

    def _default(self) -> RunRequest:
        kind = self.kind.value
        last = last_run(self.context.host.memory, kind)
        return default_request(kind, self.context.snapshot.catalog, self.context.now(), last)

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
            self._show_choices()

    # Choices

    def _exchange(self) -> ExchangeItem | None:
        name = self.fields["exchange_name"].value
        exchanges = self.context.snapshot.catalog.exchanges
        return next((item for item in exchanges if item.name == name), None)

    def _known_symbols(self) -> tuple[str, ...]:
        exchange = self._exchange()
        if exchange is None:
            return ()
        return self._symbols.get(exchange.name) or exchange.symbols

    def _candidates(self, name: str) -> tuple[Candidate, ...]:
        catalog = self.context.snapshot.catalog
        if name == "symbol":
            return symbol_candidates(self._known_symbols())
        if name in ("start", "end"):
            exchange = self._exchange()
            return date_presets(exchange.history if exchange else None, self.context.now())
        return catalog_candidates(name, self.kind.value, catalog)

    def _show_choices(self) -> None:
        candidates = self._candidates(self._field)
        before, typed = self._typed(self._field)
        candidates = tuple(c for c in candidates if c.name not in listed(before))
        frame = self._field in ("start", "end")
        shown = candidates if frame else matching(candidates, typed)
        self.choices.set_empty("" if not candidates else "nothing matches")
        self.choices.set_rows(shown)
        exact = typed.casefold()
        usable = [c for c in shown if not c.error]
        chosen = next((c for c in usable if c.name.casefold() == exact), None)
        if frame:
            now = {name: self.fields[name].value for name in ("start", "end")}
            chosen = next((c for c in usable if dict(c.fills) == now), None)
        if chosen or (usable and not frame):
            self.choices.select((chosen or usable[0]).name)
        else:
            self.choices.clear_cursor()

    def _takes_several(self, name: str) -> bool:
        return name == "symbol" or (name == "strategy_name" and self.kind.value == "walker")

    def _typed(self, name: str) -> tuple[str, str]:
        """What a field holds: names before the one that is being typed, and that one."""
        value = self.fields[name].value
        return last_part(value) if self._takes_several(name) else ("", value)

    def _complete(self) -> None:
        """Make the first match of what was typed the field's value, of each of several names."""
        name, candidates = self._field, self._candidates(self._field)
        typed = self.fields[name].value
        if name in ("start", "end") or not candidates or not typed:
            return
        parts = listed(typed) if self._takes_several(name) else (typed,)
        found = [first_match(candidates, part) for part in parts]
        if not any(found):
            return
        if len(parts) == 1 and found[0] is not None:
            self._fill(*found[0].fills)
            return
        taken = (
            part if match is None else dict(match.fills)[name]
            for part, match in zip(parts, found, strict=True)
        )
        self._fill((name, joined(taken)))

    def _fills(self, candidate: Candidate) -> tuple[tuple[str, str], ...]:
        """What a choice writes: beside names that are there already only its own."""
        before, _ = self._typed(self._field)
        if not before:
            return candidate.fills
        own = dict(candidate.fills)[self._field]
        return ((self._field, before + own),)

    def _fill(self, *values: tuple[str, str]) -> None:
        for name, value in values:
            control = self.fields[name].control
            with control.prevent(Input.Changed):
                self.fields[name].value = value
        self._show_hints()
        self._check_soon()

    def _take(self, candidate: Candidate) -> None:
        fills = self._fills(candidate)
        self._fill(*fills)
        for name, _ in fills:
            self.fields[name].touched = True
            if name == "exchange_name":
                self._exchange_changed()

    # What the operator does

    def on_descendant_focus(self) -> None:
        """The choices are those of the field with the focus."""
        for name, field in self.fields.items():
            if field.control.has_focus:
                self._field = name
                self._show_choices()
                self._show_status()

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """Narrow the choices down and check soon."""
        name = (event.input.id or "").removeprefix("input-")
        self.fields[name].touched = True
        if name == self._field:
            self._show_choices()
        if name == "exchange_name":
            self._exchange_changed()
        self._show_hints()
        self._check_soon()

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
        request, value = self._default(), {n: f.value for n, f in self.fields.items()}
        fills: list[tuple[str, str]] = []
        if kind in STRATEGY_LABELS or self._filled_for in STRATEGY_LABELS:
            strategy = joined(request.strategies) or request.strategy_name
            fills.append(("strategy_name", strategy))
        fills += [
            (name, getattr(request, name))
            for name in (*LABELS,)[1:]
            if name in SHOWN[kind] and not value[name]
        ]
        self._filled_for = kind
        self._fill(*fills)

    def on_resize(self) -> None:
        """The fields take what room there is."""
        self._fit_height()

    def _fit_height(self) -> None:
        """Two lines a field; where they do not fit, the fields scroll."""
        shown = 1 + len(SHOWN[self.kind.value])
        # Border, title and the line below it, status, buttons.
        room = self.app.size.height - 7
        height = max(6, min(max(15, 2 * shown + 1), room))
        self.query_one("#columns").styles.height = height
        self.choices.styles.height = height - 1

    def _exchange_changed(self) -> None:
        exchange = self._exchange()
        if exchange is not None:
            self._fetch_symbols(exchange.name)

    @on(CandidateList.Picked)
    def picked(self, event: CandidateList.Picked) -> None:
        """Take the choice that was clicked."""
        self._take(event.candidate)
        self._show_choices()

    def action_choose(self, by: int) -> None:
        """Take the next choice of the list; on the kind, turn it."""
        if self._field == "kind":
            self.kind.action_turn(by)
            return
        candidate = self.choices.current
        _, typed = self._typed(self._field)
        # What was typed in part is completed first, then the choices are gone through.
        if candidate is None or by < 0 or dict(candidate.fills).get(self._field) in (typed, None):
            candidate = self.choices.step(by)
        if candidate is not None and not candidate.error:
            self._take(candidate)

    async def action_next_field(self) -> None:
        """Complete what was typed and go on: over a slow line keys of several fields come at once.

        Those behind this one are not yet given to a field; those before it are waited for.
        """
        typed = asyncio.Event()
        self.fields[self._field].control.call_later(typed.set)
        await typed.wait()
        self._complete()
        self.fields[self._field].touched = True
        self.fields[self._field].show_message()
        self.focus_next()
        self.on_descendant_focus()

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Leave without starting anything."""
        if not self._starting:
            self.dismiss(None)

    @on(Input.Submitted)
    @on(Button.Pressed, "#start")
    def action_start(self) -> None:
        """Start the run as it is filled in."""
        if self._starting:
            return
        self._starting = True
        self._complete()
        self._failure = ""
        self._say("starting ...")
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
        symbol = self.fields["symbol"]
        if known and not symbol.touched and not {*listed(symbol.value)} <= {*known}:
            self._fill(("symbol", known[0]))
        if self._field == "symbol":
            self._show_choices()
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
            self._say(clean(str(error)), wrong=True)
            return
        if requests == self.requests() and not self._starting:
            self._show_problems(problems)

    async def _problems(self, requests: Iterable[RunRequest]) -> tuple[FieldError, ...]:
        """What is wrong with any of them, each thing once."""
        found: dict[FieldError, None] = {}
        for request in requests:
            found |= dict.fromkeys(await asyncio.wrap_future(self.context.host.check(request)))
        return tuple(found)

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
            self._show_status()
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
        self._show_status(" ".join(strange))

    def _show_status(self, other: str = "") -> None:
        """The whole message of the field with the focus, which may be cut below the input."""
        if self._failure:
            self._say(self._failure, wrong=True)
            return
        field = self.fields[self._field]
        text = other or (field.error if field.touched else "")
        if not text and self._field == "strategy_name":
            broken = [s.error for s in self.context.snapshot.catalog.strategies if s.error]
            text = clean(f"broken file: {broken[0]}") if broken else ""
            self._say(text)
            return
        self._say(self._refused + text if text else "", wrong=bool(text))

    def _say(self, text: str, *, wrong: bool = False) -> None:
        self.status.update(Content.styled(text, "$error" if wrong else "$text-muted"))

    def _show_hints(self) -> None:
        fields, exchange, kind = self.fields, self._exchange(), self.kind.value
        for name in ("strategy_name", "exchange_name"):
            chosen = next((c for c in self._candidates(name) if c.name == fields[name].value), None)
            fields[name].hint = "" if chosen is None else chosen.note
        strategies = listed(fields["strategy_name"].value)
        if kind == "walker" and len(strategies) > 1:
            fields["strategy_name"].hint = f"{len(strategies)} strategies, commas between them"
        if kind == "optimizer" and not self.context.snapshot.catalog.optimizers:
            fields["strategy_name"].hint = "no strategy file registers one"
        fields["symbol"].hint = symbols_note(self._known_symbols(), fields["symbol"].value)
        keys = "{form.previous_choice}{form.next_choice}"
        fields["start"].hint = spell(self, f"UTC; {keys} presets")
        fields["end"].hint = "" if exchange is None else "UTC, inclusive"
        fields["kind"].hint = KINDS[kind]
        for name, field in fields.items():
            field.hint = HINTS.get(name, field.hint)
            field.show_message()
