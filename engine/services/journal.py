"""What runs leave for their reports: noted the moment it happened, counted in full, kept in bounds.

A session notes every transition in its run's journal right after it became durable and before
anybody else hears of it, by a plain call: nothing is queued, so nothing can be lost. Counts and
sums are over everything; the lists of events hold the newest. `Recorder` knows the journal of every
run of an engine; a new session of a run starts with an empty one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, MutableSequence
from typing import Final, TypeAlias

from engine.core.ledger import TradeLedger
from engine.domain.changes import ErrorNote, JournalEvent, RunState, when_of
from engine.domain.events import Partial, RiskRejection
from engine.domain.settings import Settings
from engine.domain.signals import (
    Action,
    Active,
    Cancelled,
    CancelReason,
    Closed,
    CloseReason,
    Mode,
    Opened,
    OpenPosition,
    RunKey,
    Scheduled,
    SignalRow,
)
from engine.domain.time import MINUTE
from engine.services.timings import Timings

SHOWN: Final = 250
"""So many of the newest events are kept for lists."""

LEAST_SHOWN: Final = 25
LIVE_SHOWN: Final = 25_000
"""Live runs share so many places in each kind of list: a hundred runs have lists of full length, a
thousand have short ones, so memory depends neither on their number nor on how long they go on."""

_KEPT_ERRORS: Final = 50

_STEPS: Final = (SHOWN, 100, 50, LEAST_SHOWN)

Transition: TypeAlias = Scheduled | Opened | Closed | Cancelled


def was_scheduled(row: SignalRow) -> bool:
    """Whether an open row came from a scheduled signal.

    A scheduled signal is first settled by a bar that opens when it is accepted or later, so it
    never opens at that same instant.
    """
    return row.pending_at != row.scheduled_at


class ScheduleTally:
    """The lives of scheduled signals; minutes are summed over the signals that ended so.

    Attributes:
        events: the newest scheduled, opened and cancelled results of such signals, oldest first.
    """

    __slots__ = ("cancelled", "events", "minutes_to_cancel", "minutes_to_open", "opened",
                 "scheduled")  # fmt: skip

    def __init__(self) -> None:
        self.events: deque[Scheduled | Opened | Cancelled] = deque(maxlen=SHOWN)
        self.scheduled = 0
        self.opened = 0
        self.cancelled = 0
        self.minutes_to_open = 0
        self.minutes_to_cancel = 0

    def note(self, result: Scheduled | Opened | Cancelled) -> None:
        """Count a result in, unless it is of a signal that opened at once."""
        row = result.signal
        if isinstance(result, Opened):
            if not was_scheduled(row):
                return
            self.opened += 1
            self.minutes_to_open += (row.pending_at - row.scheduled_at) // MINUTE
        elif isinstance(result, Cancelled):
            self.cancelled += 1
            self.minutes_to_cancel += (result.close_timestamp - row.scheduled_at) // MINUTE
        else:
            self.scheduled += 1
        self.events.append(result)


class PartialTally:
    """Milestones by side; ``events`` are the newest, oldest first."""

    __slots__ = ("events", "loss", "profit")

    def __init__(self) -> None:
        self.events: deque[Partial] = deque(maxlen=SHOWN)
        self.profit = 0
        self.loss = 0

    def note(self, event: Partial) -> None:
        """Count a milestone in."""
        if event.side == "profit":
            self.profit += 1
        else:
            self.loss += 1
        self.events.append(event)


class RejectionTally:
    """Refusals by symbol and strategy; ``events`` are the newest, oldest first."""

    __slots__ = ("by_strategy", "by_symbol", "events", "total")

    def __init__(self) -> None:
        self.events: deque[RiskRejection] = deque(maxlen=SHOWN)
        self.total = 0
        self.by_symbol: Counter[str] = Counter()
        self.by_strategy: Counter[str] = Counter()

    def note(self, event: RiskRejection) -> None:
        """Count one profile's refusal in."""
        self.total += 1
        self.by_symbol[event.symbol] += 1
        self.by_strategy[event.strategy_name] += 1
        self.events.append(event)


class RunJournal:
    """What one session of a run has done so far.

    A backtest keeps all its trades and cancellations, its outcome is made of them. A live run may
    go on for weeks: it keeps the newest whole, and of all trades what statistics need.

    Attributes:
        key: the run.
        started_at: instant of the session's start, ms UTC; None for a backtest.
        settings: what the session runs with.
        ended_at: instant of a live session's end, None while it goes on.
        trades, cancelled: closed and cancelled results, oldest first; of a live run the newest.
        events: the newest results of any kind (not idle), oldest first; a signal that goes on has
            one active entry, replaced by the next.
        counts: how many results there were by action.
        milestones: partial milestones. A backtest reaches them without noting them unless somebody
            listens; `engine.runs.milestones` works them out from its trades.
        refusals: one per profile that refused.
        rejections: signals that were refused, by however many profiles.
        timings: how long things took.
        errors, warnings: the first errors and all different warnings; ``error_count`` is of all.
    """

    def __init__(
        self, key: RunKey, started_at: int | None = None, settings: Settings | None = None
    ) -> None:
        live = key.mode is Mode.LIVE
        self.key = key
        self.started_at = started_at
        self.settings = settings
        self.ended_at: int | None = None
        self.trades: MutableSequence[Closed] = deque(maxlen=SHOWN) if live else []
        self.cancelled: MutableSequence[Cancelled] = deque(maxlen=SHOWN) if live else []
        self.events: deque[Transition | Active] = deque(maxlen=SHOWN)
        self.counts: Counter[str] = Counter()
        self.schedule = ScheduleTally()
        self.milestones = PartialTally()
        self.refusals = RejectionTally()
        self.timings = Timings(key)
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.error_count = 0
        self.rejections = 0
        self._ledger = TradeLedger() if live else None

    def bound(self, shown: int) -> None:
        """Keep so many of the newest events in each list from now on; live runs only."""
        self.trades = deque(self.trades, maxlen=shown)
        self.cancelled = deque(self.cancelled, maxlen=shown)
        self.events = deque(self.events, maxlen=shown)
        self.schedule.events = deque(self.schedule.events, maxlen=shown)
        self.milestones.events = deque(self.milestones.events, maxlen=shown)
        self.refusals.events = deque(self.refusals.events, maxlen=shown)

    def note(self, result: Transition) -> None:
        """Enter a transition that has just become durable."""
        if self._ledger is not None and _went_on(result) and not self._shows_active(result.signal):
            self.counts[Action.ACTIVE] += 1  # an earlier process showed it
        self.counts[result.action] += 1
        self.events.append(result)
        if isinstance(result, Closed):
            self.trades.append(result)
            if self._ledger is not None:
                self._ledger.add(result)
            return
        if isinstance(result, Cancelled):
            self.cancelled.append(result)
        self.schedule.note(result)

    def note_active(self, result: Active) -> None:
        """What is held goes on: the newest entry of it is brought up to date."""
        if self._shows_active(result.signal):
            self.events[-1] = result
        else:
            self.counts[result.action] += 1
            self.events.append(result)

    def _shows_active(self, row: SignalRow) -> bool:
        newest = self.events[-1] if self.events else None
        return isinstance(newest, Active) and newest.signal.id == row.id

    def note_milestones(self, events: Iterable[Partial]) -> None:
        """A position reached milestones; a backtest's are worked out when they are asked for."""
        if self._ledger is not None:
            for event in events:
                self.milestones.note(event)

    def note_refusals(self, events: Iterable[RiskRejection]) -> None:
        """One signal was refused, by one profile or several."""
        self.rejections += 1
        for event in events:
            self.refusals.note(event)

    def restore(self, left: RunState, recent: Iterable[JournalEvent]) -> None:
        """Enter what an earlier process noted of this session.

        Of opened and scheduled signals a store knows those that are held and, by their ends, all
        others; so counts are as if the process had gone on. Lists hold what ``recent`` does.

        Args:
            left: what is stored of the run.
            recent: the newest events stored under this run's key, oldest first.
        """
        results = sorted((*left.trades, *left.cancelled), key=lambda result: result.when)
        present = {_identity(result) for result in results}
        shown = [event for event in recent if self._is_present(event, present)]
        among = {_identity(event) for event in shown if isinstance(event, Closed | Cancelled)}
        for result in results:
            if _identity(result) not in among:
                self.note(result)
        for event in shown:
            if isinstance(event, Partial):
                self.milestones.note(event)
            elif isinstance(event, RiskRejection):
                self.refusals.note(event)
            elif not isinstance(event, ErrorNote):
                self.note(event)
        self._recount(left)

    def _is_present(self, event: JournalEvent, present: set[tuple[str, str, int]]) -> bool:
        """Whether an event of this run belongs to the present session."""
        if isinstance(event, Closed | Cancelled):
            return _identity(event) in present
        return when_of(event) >= (self.started_at or 0) // MINUTE * MINUTE

    def _recount(self, left: RunState) -> None:
        held = left.held.row if left.held is not None else None
        rows = [trade.signal for trade in left.trades]
        if isinstance(left.held, OpenPosition):
            rows.append(left.held.row)
        activated = [row for row in rows if was_scheduled(row)]
        schedule, refused = self.schedule, left.counts.get("risk", 0)
        schedule.opened, schedule.cancelled = len(activated), len(left.cancelled)
        schedule.scheduled = len(activated) + len(left.cancelled)
        if held is not None and held.is_scheduled:
            schedule.scheduled += 1
        schedule.minutes_to_open = sum(
            (row.pending_at - row.scheduled_at) // MINUTE for row in activated
        )
        waited = (end.close_timestamp - end.signal.scheduled_at for end in left.cancelled)
        schedule.minutes_to_cancel = sum(waited) // MINUTE
        self.counts[Action.SCHEDULED], self.counts[Action.OPENED] = schedule.scheduled, len(rows)
        ends = (*left.trades, *left.cancelled)
        self.counts[Action.ACTIVE] = sum(map(_went_on, ends)) + sum(map(_waited, activated))
        self.milestones.profit = left.counts.get("partial_profit", 0)
        self.milestones.loss = left.counts.get("partial_loss", 0)
        self.rejections = self.refusals.total = refused
        self.refusals.by_symbol = Counter({self.key.symbol: refused} if refused else {})
        self.refusals.by_strategy = Counter({self.key.strategy_name: refused} if refused else {})

    def all_trades(self) -> tuple[Closed, ...]:
        """Every closed trade, oldest first; of a live run without levels, reason and id."""
        return tuple(self.trades) if self._ledger is None else self._ledger.trades(self.key)

    def note_error(self, message: str) -> None:
        """Count an error and keep its message unless many are kept already."""
        self.error_count += 1
        if len(self.errors) < _KEPT_ERRORS:
            self.errors.append(message)

    def warn(self, message: str) -> None:
        """Keep a warning once."""
        if message not in self.warnings:
            self.warnings.append(message)


def _identity(result: Transition) -> tuple[str, str, int]:
    return result.signal.id, str(result.action), result.when


def _went_on(result: Transition) -> bool:
    """Whether what this transition ends was reported as going on before it.

    The bar that ends it is not reported, unless somebody else ended it at that bar.
    """
    row = result.signal
    if isinstance(result, Closed):
        by_hand = result.close_reason is CloseReason.OPERATOR
        return result.close_timestamp - row.pending_at >= (1 if by_hand else 2) * MINUTE
    if isinstance(result, Cancelled):
        by_hand = result.cancel_reason in (CancelReason.OPERATOR, CancelReason.STOPPED)
        return result.close_timestamp - row.scheduled_at >= (1 if by_hand else 2) * MINUTE
    return isinstance(result, Opened) and _waited(row)


def _waited(row: SignalRow) -> bool:
    """Whether an open row was reported as waiting before it opened."""
    return row.pending_at - row.scheduled_at >= 2 * MINUTE


class Recorder:
    """The journals of all runs of one engine, by key; of each run that of its newest session."""

    def __init__(self) -> None:
        self._journals: dict[RunKey, RunJournal] = {}
        self._shown = SHOWN

    def begin(
        self, key: RunKey, started_at: int | None = None, settings: Settings | None = None
    ) -> RunJournal:
        """A fresh journal for a new session; what the session before noted is gone."""
        journal = self._journals[key] = RunJournal(key, started_at, settings)
        if key.mode is Mode.LIVE:
            self._share_out(journal)
        return journal

    def _share_out(self, newcomer: RunJournal) -> None:
        """Give every live run its share of the places in lists."""
        live = [one for one in self._journals.values() if one.key.mode is Mode.LIVE]
        share = LIVE_SHOWN // len(live)
        # In steps, so that a thousand starts do not mean a thousand times a thousand new lists.
        shown = next((step for step in _STEPS if step <= share), LEAST_SHOWN)
        for journal in live if shown != self._shown else (newcomer,):
            journal.bound(shown)
        self._shown = shown

    def of(self, key: RunKey) -> RunJournal | None:
        """The journal of a run, None before its first start."""
        return self._journals.get(key)

    @property
    def journals(self) -> Mapping[RunKey, RunJournal]:
        """All journals, in order of each run's first start."""
        return self._journals
