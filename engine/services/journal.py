"""What runs leave for their reports: noted the moment it happened, counted in full, kept in bounds.

A session notes every transition in its run's journal right after it became durable and before
anybody else hears of it, by a plain call: nothing is queued, so nothing can be lost. Counts and
sums are over everything; the lists of events hold the newest. `Recorder` knows the journal of every
run of an engine; a new session of a run starts with an empty one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, MutableSequence
from typing import Any, Final, TypeAlias

from engine.core.ledger import TradeLedger
from engine.domain.events import Partial, RiskRejection
from engine.domain.settings import Settings
from engine.domain.signals import (
    Active,
    Cancelled,
    Closed,
    Mode,
    Opened,
    RunKey,
    Scheduled,
    SignalRow,
)
from engine.domain.time import MINUTE
from engine.services.timings import Timings

SHOWN: Final = 250
"""So many of the newest events are kept for lists."""

_KEPT_ERRORS: Final = 50

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

    def __init__(self, events: Iterable[Partial] = ()) -> None:
        self.events: deque[Partial] = deque(maxlen=SHOWN)
        self.profit = 0
        self.loss = 0
        for event in events:
            self.note(event)

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

    def note(self, result: Transition) -> None:
        """Enter a transition that has just become durable."""
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
        newest = self.events[-1] if self.events else None
        if isinstance(newest, Active) and newest.signal.id == result.signal.id:
            self.events[-1] = result
        else:
            self.counts[result.action] += 1
            self.events.append(result)

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

    def note_event(self, event: Any) -> None:
        """Enter whatever a stored journal holds of this session."""
        if isinstance(event, Partial):
            self.milestones.note(event)
        elif isinstance(event, RiskRejection):
            self.refusals.note(event)
        elif isinstance(event, Scheduled | Opened | Closed | Cancelled):
            self.note(event)

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


class Recorder:
    """The journals of all runs of one engine, by key; of each run that of its newest session."""

    def __init__(self) -> None:
        self._journals: dict[RunKey, RunJournal] = {}

    def begin(
        self, key: RunKey, started_at: int | None = None, settings: Settings | None = None
    ) -> RunJournal:
        """A fresh journal for a new session; what the session before noted is gone."""
        journal = self._journals[key] = RunJournal(key, started_at, settings)
        return journal

    def of(self, key: RunKey) -> RunJournal | None:
        """The journal of a run, None before its first start."""
        return self._journals.get(key)

    @property
    def journals(self) -> Mapping[RunKey, RunJournal]:
        """All journals, in order of each run's first start."""
        return self._journals
