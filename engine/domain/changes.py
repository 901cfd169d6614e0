"""What a transition changes in the stored state of live runs.

A transition is a list of these, committed as one transaction before anybody hears of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.domain.events import Partial
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
class Journaled:
    """An event that must be delivered even if the process dies right after the commit."""

    key: RunKey
    event: Scheduled | Opened | Closed | Cancelled | Partial


Change: TypeAlias = HeldChanged | AttemptMade | Settled | Reserved | Released | Journaled


@dataclass(frozen=True, slots=True)
class RunState:
    """What is stored of one run."""

    held: ScheduledSignal | OpenPosition | None = None
    last_attempt: int | None = None
    settled_until: int | None = None


@dataclass(frozen=True, slots=True)
class StoredState:
    """Everything a store keeps, as loaded at start-up."""

    runs: Mapping[RunKey, RunState] = field(default_factory=dict[RunKey, RunState])
    reservations: Mapping[tuple[str, RunKey], OpenPosition] = field(
        default_factory=dict[tuple[str, RunKey], OpenPosition]
    )
    journal: tuple[Journaled, ...] = ()
