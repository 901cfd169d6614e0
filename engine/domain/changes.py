"""What a transition changes in the stored state of live runs.

A transition is a list of these, committed as one transaction before anybody hears of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from engine.domain.events import Partial, RiskRejection
from engine.domain.signals import (
    Cancelled,
    Closed,
    Opened,
    OpenPosition,
    RunKey,
    Scheduled,
    ScheduledSignal,
)


@dataclass(frozen=True, slots=True)
class HeldChanged:
    """What a run holds now: a position with its milestones, a scheduled signal, or nothing."""

    key: RunKey
    held: ScheduledSignal | OpenPosition | None


@dataclass(frozen=True, slots=True)
class AttemptMade:
    """``get_signal`` was asked at ``when`` (ms UTC); the slot is used up."""

    key: RunKey
    when: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Every bar that closed up to ``until`` (ms UTC) has been settled."""

    key: RunKey
    until: int


@dataclass(frozen=True, slots=True)
class Reserved:
    """A risk slot is taken in a profile."""

    risk_name: str
    key: RunKey
    held: OpenPosition


@dataclass(frozen=True, slots=True)
class Released:
    """A risk slot is free again."""

    risk_name: str
    key: RunKey


@dataclass(frozen=True, slots=True)
class ErrorNote:
    """An error event as the journal keeps it."""

    key: RunKey
    when: int
    stage: str
    message: str


JournalEvent: TypeAlias = (
    Scheduled | Opened | Closed | Cancelled | Partial | RiskRejection | ErrorNote
)


def when_of(event: JournalEvent) -> int:
    """The instant of an event, ms UTC."""
    return event.timestamp if isinstance(event, Partial | RiskRejection) else event.when


@dataclass(frozen=True, slots=True)
class Journaled:
    """An event of a run, kept for good.

    Attributes:
        deliver: the event is part of a transition, and has to reach listeners even when the process
            dies right after the commit; `engine.domain.ports.Store.delivered` says that it did.
    """

    key: RunKey
    event: JournalEvent
    deliver: bool = True


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """How a run was started, and how it stands.

    Attributes:
        status: ``running | stopping | done | failed``.
        settings: the settings it runs with.
        risk_names: the profiles it holds slots in.
        strategy_file, strategy_hash: where the strategy came from, "" when from code.
        session: 1 for the first start, one more for each start after an end.
        started_at: instant of the session's start, ms UTC.
        error: what ended it, "" otherwise.
    """

    status: str
    settings: Mapping[str, Any]
    risk_names: tuple[str, ...]
    strategy_file: str
    strategy_hash: str
    session: int
    started_at: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class InstanceSaved:
    """A run was started, stopped, resumed, or ended."""

    key: RunKey
    record: InstanceRecord


@dataclass(frozen=True, slots=True)
class InstanceForgotten:
    """A run that holds nothing is removed; its journal stays."""

    key: RunKey


@dataclass(frozen=True, slots=True)
class CommandNoted:
    """An operator's command: ``origin`` is where it came from (``console``, ``cli``, ``api``)."""

    when: int
    origin: str
    command: str
    target: str
    result: str


@dataclass(frozen=True, slots=True)
class FinishedSaved:
    """A finished backtest or walker, for the console's lists.

    Attributes:
        kind: ``backtest`` or ``walker``.
        run_id: unique.
        summary: small JSON-able facts for the list.
        payload: the whole outcome, opaque to the store.
    """

    kind: str
    run_id: str
    when: int
    summary: Mapping[str, Any]
    payload: bytes


@dataclass(frozen=True, slots=True)
class MetaSaved:
    """A named value that belongs to the state file (a simulated clock, a seed, a layout)."""

    name: str
    value: str


Change: TypeAlias = (
    HeldChanged
    | AttemptMade
    | Settled
    | Reserved
    | Released
    | Journaled
    | InstanceSaved
    | InstanceForgotten
    | CommandNoted
    | FinishedSaved
    | MetaSaved
)


@dataclass(frozen=True, slots=True)
class RunState:
    """What is stored of one run.

    Attributes:
        trades, cancelled: the closed and cancelled results of its present session, oldest first.
        counts: how many milestones and refusals the journal holds of it: ``partial_profit``,
            ``partial_loss``, ``risk``; nothing for what there is none of.
    """

    held: ScheduledSignal | OpenPosition | None = None
    last_attempt: int | None = None
    settled_until: int | None = None
    instance: InstanceRecord | None = None
    trades: tuple[Closed, ...] = ()
    cancelled: tuple[Cancelled, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Committed:
    """What a cancellation carries to tell that the commit it met was carried out all the same."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """A journal entry with its number; numbers grow and never repeat."""

    number: int
    key: RunKey
    event: JournalEvent


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A stored row that could not be understood and was set aside."""

    table: str
    row: str
    error: str


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where a run stands, for readers of the state file; may lag, and may be lost."""

    key: RunKey
    when: int
    last_price: float | None
    pnl_percent: float | None
    heartbeat: int


@dataclass(frozen=True, slots=True)
class StoredState:
    """Everything a store keeps, as loaded at start-up.

    Attributes:
        undelivered: committed events nobody has heard of yet, oldest first.
        recent: the newest journal entries (bounded), oldest first.
        finished: the newest finished backtests and walkers (bounded), oldest first.
        quarantined: what was set aside while loading.
        telemetry: where runs stood at last; may be older than the rest, or missing.
    """

    runs: Mapping[RunKey, RunState] = field(default_factory=dict[RunKey, RunState])
    reservations: Mapping[tuple[str, RunKey], OpenPosition] = field(
        default_factory=dict[tuple[str, RunKey], OpenPosition]
    )
    undelivered: tuple[NumberedEvent, ...] = ()
    recent: tuple[NumberedEvent, ...] = ()
    finished: tuple[FinishedSaved, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict[str, str])
    quarantined: tuple[Quarantined, ...] = ()
    telemetry: Mapping[RunKey, Telemetry] = field(default_factory=dict[RunKey, Telemetry])
