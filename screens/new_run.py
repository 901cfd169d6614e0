"""The New-run form: everything a live run or a backtest needs, checked while it is typed.

Every field is a line to type into, with its choices listed at the side: typing narrows them down,
up and down take one, tab completes and goes on, enter starts. The messages are the engine's own.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Button, Input, Static

from console.keymap import bind
from console.views import ExchangeItem, FieldError, RunRequest
from screens.candidates import (
    Candidate,
    choices_note,
    date_presets,
    default_request,
    exchange_candidates,
    interval_candidates,
    matching,
    started_sentence,
    strategy_candidates,
    symbol_candidates,
)
from screens.context import ScreenContext
from screens.spelling import spell
from screens.text import clean, many
from screens.widgets.candidate_list import CandidateList
from screens.widgets.choice import Choice
from screens.widgets.form_field import FormField

CHECK_DELAY: Final = 0.2
"""Seconds without a key after which the engine is asked what it thinks."""

_KINDS: Final = ("live", "backtest")
_FRAME: Final = ("start", "end", "interval")
_LABELS: Final = {
    "strategy_name": "Strategy", "exchange_name": "Exchange", "symbol": "Symbol",
    "start": "From", "end": "To", "interval": "Interval",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StartedRun:
    """What the form answers with once a run is going on."""

    kind: str
    run_id: str
    sentence: str


class NewRunForm(ModalScreen[StartedRun | None]):
    """One form for both kinds of run.

    Args:
        context: host, clock and session; the session remembers the last run of each kind.
        kind: ``live`` or ``backtest``, the kind it opens with.
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
        self.kind = Choice(_KINDS, kind, id="input-kind")
        self.fields = {"kind": FormField("kind", "Kind", self.kind)}
        for name, label in _LABELS.items():
            entry = Input(id=f"input-{name}", compact=True, select_on_focus=True)
            entry.cursor_blink = False
            self.fields[name] = FormField(name, label, entry)
        self.choices = CandidateList(id="choices")
        self.status = Static(Content(""), id="status")
        self._symbols: dict[str, tuple[str, ...]] = {}
        self._field = "kind"
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
                with Vertical(id="fields"):
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
        snapshot, session = self.context.snapshot, self.context.session
        kind = self.kind.value
        request = default_request(
            kind, snapshot.catalog, self.context.now(), session.requests.get(kind)
        )
        self._fill(
            ("strategy_name", request.strategy_name),
            ("exchange_name", request.exchange_name),
            ("symbol", request.symbol),
            ("start", request.start),
            ("end", request.end),
            ("interval", request.interval),
        )
        self._kind_changed()
        self._fetch_symbols(request.exchange_name)
        self.fields["strategy_name"].control.focus()

    def request(self) -> RunRequest:
        """What the form says now."""
        value = {name: field.value for name, field in self.fields.items()}
        frame = self.kind.value == "backtest"
        return RunRequest(
            self.kind.value,
            value["strategy_name"],
            value["symbol"],
            value["exchange_name"],
            value["start"] if frame else "",
            value["end"] if frame else "",
            value["interval"] if frame else "1m",
        )

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
        if name == "strategy_name":
            return strategy_candidates(catalog)
        if name == "exchange_name":
            return exchange_candidates(catalog, self.kind.value)
        if name == "symbol":
            return symbol_candidates(self._known_symbols())
        if name == "interval":
            return interval_candidates(catalog)
        if name in ("start", "end"):
            exchange = self._exchange()
            return date_presets(exchange.history if exchange else None, self.context.now())
        return ()

    def _show_choices(self) -> None:
        candidates = self._candidates(self._field)
        typed = self.fields[self._field].value
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

    def _complete(self) -> None:
        """Make the first match of what was typed the field's value."""
        candidates = self._candidates(self._field)
        field = self.fields[self._field]
        if self._field in ("start", "end") or not candidates or not field.value:
            return
        usable = [c for c in matching(candidates, field.value) if not c.error]
        exact = any(c.name.casefold() == field.value.casefold() for c in candidates)
        if usable and not exact:
            self._fill(*usable[0].fills)

    def _fill(self, *values: tuple[str, str]) -> None:
        for name, value in values:
            control = self.fields[name].control
            with control.prevent(Input.Changed):
                self.fields[name].value = value
        self._show_hints()
        self._check_soon()

    def _take(self, candidate: Candidate) -> None:
        self._fill(*candidate.fills)
        for name, _ in candidate.fills:
            self.fields[name].touched = True
            if name == "exchange_name":
                self._exchange_changed()

    # What the operator does

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
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
        backtest = self.kind.value == "backtest"
        for name in _FRAME:
            self.fields[name].display = backtest
        self._show_hints()
        self._check_soon()

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
        candidate = self.choices.step(by)
        if candidate is not None:
            self._take(candidate)

    def action_next_field(self) -> None:
        """Complete what was typed and go on."""
        self._complete()
        self.fields[self._field].touched = True
        self.fields[self._field].show_message()
        self.focus_next()

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
        self._start(self.request())

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
        if known and not symbol.touched and symbol.value not in known:
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
        request = self.request()
        try:
            problems = await asyncio.wrap_future(self.context.host.check(request))
        except Exception as error:
            self._say(clean(str(error)), wrong=True)
            return
        if request == self.request() and not self._starting:
            self._show_problems(problems)

    @work(exclusive=True, group="start")
    async def _start(self, request: RunRequest) -> None:
        host = self.context.host
        try:
            problems = await asyncio.wrap_future(host.check(request))
            if problems:
                self._refuse(problems)
                return
            run_id = await asyncio.wrap_future(host.start_run(request))
        except Exception as error:
            # Whatever it is, the operator reads it here and can change the form.
            self._failure = f"not started: {clean(str(error))}"
            self._show_status()
            return
        finally:
            self._starting = False
        self.context.session.requests[request.kind] = request
        self.dismiss(StartedRun(request.kind, run_id, started_sentence(request)))

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
        fields, exchange = self.fields, self._exchange()
        for name in ("strategy_name", "exchange_name"):
            chosen = next((c for c in self._candidates(name) if c.name == fields[name].value), None)
            fields[name].hint = "" if chosen is None else chosen.note
        symbols = symbol_candidates(self._known_symbols())
        fields["symbol"].hint = choices_note(symbols, "symbol") if symbols else ""
        keys = "{form.previous_choice}{form.next_choice}"
        fields["start"].hint = spell(self, f"UTC; {keys} presets")
        fields["end"].hint = "" if exchange is None else "UTC, inclusive"
        fields["interval"].hint = "step of the frame"
        kinds = {"live": "follows the market from now on", "backtest": "replays history"}
        fields["kind"].hint = kinds[self.kind.value]
        for field in fields.values():
            field.show_message()
