"""What somebody who looks at a state file sees of it, without owning it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from engine.domain.changes import (
    CommandNoted,
    FinishedSaved,
    InstanceRecord,
    NumberedEvent,
    Quarantined,
    StoredState,
    Telemetry,
)
from engine.domain.signals import OpenPosition, RunKey, ScheduledSignal


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that owns, or owned last, a state file.

    Attributes:
        started_at: wall clock, ISO-8601.
        command: its command line.
        alive: it holds the lock at this moment.
    """

    pid: int
    started_at: str
    command: str
    alive: bool


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """One run as the file has it; what the file does not have is None.

    Attributes:
        last_attempt, settled_until: instants, ms UTC.
    """

    key: RunKey
    instance: InstanceRecord | None = None
    held: ScheduledSignal | OpenPosition | None = None
    last_attempt: int | None = None
    settled_until: int | None = None
    telemetry: Telemetry | None = None


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """The file at one moment.

    Attributes:
        runs: ordered by key.
        journal: the newest entries, oldest first.
        commands: the newest operators' commands, oldest first.
        last_number: of the newest journal entry, 0 when there is none. The journal itself grows for
            years and is not counted.
        counts: rows by what they are: ``instances``, ``positions``, ``scheduled``,
            ``reservations``, ``undelivered``, ``finished``, ``quarantined``.
        meta: named values of the file.
        unreadable: rows that cannot be understood, still in their place.
    """

    runs: tuple[RunSnapshot, ...]
    journal: tuple[NumberedEvent, ...]
    commands: tuple[CommandNoted, ...]
    last_number: int
    counts: Mapping[str, int]
    meta: Mapping[str, str]
    unreadable: tuple[Quarantined, ...]


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A sound state file as a file.

    Attributes:
        version: of its schema.
        size: bytes, with its log.
        quarantined: rows that were set aside.
    """

    version: int
    size: int
    quarantined: int


class Reader(Protocol):
    """Looks at a state file beside its owner, or when there is none; changes nothing.

    One caller at a time, from any thread. Every method raises `StateError` when the file cannot be
    read or is damaged. A context manager that closes it.
    """

    @property
    def path(self) -> Path:
        """The state file."""
        ...

    def owner(self) -> Owner | None:
        """Who owns the file; with ``alive=False`` who did when it died; None: nobody does."""
        ...

    def changed(self) -> bool:
        """Whether anything was committed since the last call; True the first time. Microseconds."""
        ...

    def snapshot(self, *, journal: int = 50, commands: int = 20) -> StateSnapshot:
        """The whole state at one moment, with the newest ``journal`` and ``commands`` entries."""
        ...

    def load(self) -> StoredState:
        """What the next owner would start from; ``quarantined`` is still in its place."""
        ...

    def finished(self) -> tuple[FinishedSaved, ...]:
        """The newest finished backtests and walkers, as many as `load` hands out, oldest first."""
        ...

    def events(self, after: int, limit: int = ...) -> tuple[NumberedEvent, ...]:
        """Journal entries with numbers above ``after``, oldest first; unreadable ones left out."""
        ...

    def facts(self) -> FileFacts:
        """The file as a file; reads all of it to see whether it is sound."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...
