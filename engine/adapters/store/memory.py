"""A store that keeps live state for as long as the process lives; for tests and backtests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.domain.changes import (
    AttemptMade,
    Change,
    HeldChanged,
    Journaled,
    Released,
    Reserved,
    RunState,
    StoredState,
)
from engine.domain.signals import OpenPosition, RunKey

_JOURNAL_KEPT = 10_000


class MemoryStore:
    """Fulfils `engine.domain.ports.Store` without a file. The journal is bounded."""

    def __init__(self) -> None:
        self._runs: dict[RunKey, RunState] = {}
        self._reservations: dict[tuple[str, RunKey], OpenPosition] = {}
        self._journal: list[Journaled] = []

    async def open(self) -> None:
        """Nothing to open."""

    async def load(self) -> StoredState:
        """A copy of everything kept."""
        return StoredState(dict(self._runs), dict(self._reservations), tuple(self._journal))

    async def commit(self, changes: Sequence[Change]) -> None:
        """Apply all changes; no failure is possible half-way."""
        for change in changes:
            if isinstance(change, Journaled):
                self._journal.append(change)
                if len(self._journal) > 2 * _JOURNAL_KEPT:
                    del self._journal[:-_JOURNAL_KEPT]
            elif isinstance(change, Reserved):
                self._reservations[change.risk_name, change.key] = change.held
            elif isinstance(change, Released):
                self._reservations.pop((change.risk_name, change.key), None)
            else:
                state = self._runs.get(change.key, RunState())
                if isinstance(change, HeldChanged):
                    state = replace(state, held=change.held)
                elif isinstance(change, AttemptMade):
                    state = replace(state, last_attempt=change.when)
                else:
                    state = replace(state, settled_until=change.until)
                self._runs[change.key] = state

    async def close(self) -> None:
        """Nothing to close."""
