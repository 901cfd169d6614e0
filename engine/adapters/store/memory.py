"""A store that keeps live state for as long as the process lives; for tests and embedding."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.adapters.store.limits import (
    FINISHED_KEPT,
    RECENT_KEPT,
    handed_out,
    refuse_backtests,
)
from engine.domain.changes import (
    AttemptMade,
    Change,
    CommandNoted,
    FinishedSaved,
    HeldChanged,
    InstanceForgotten,
    InstanceSaved,
    Journaled,
    MetaSaved,
    NumberedEvent,
    Released,
    Reserved,
    RunState,
    Settled,
    StoredState,
    Telemetry,
)
from engine.domain.events import Partial, RiskRejection
from engine.domain.signals import Cancelled, Closed, OpenPosition, RunKey


class MemoryStore:
    """Fulfils `engine.domain.ports.Store` without a file; lists of events are bounded."""

    def __init__(self) -> None:
        self._runs: dict[RunKey, RunState] = {}
        self._results: dict[RunKey, list[Closed | Cancelled]] = {}
        self._counts: dict[RunKey, Counter[str]] = {}
        self._reservations: dict[tuple[str, RunKey], OpenPosition] = {}
        self._number = 0
        self._undelivered: dict[int, NumberedEvent] = {}
        self._recent: deque[NumberedEvent] = deque(maxlen=RECENT_KEPT)
        self._finished: dict[str, FinishedSaved] = {}
        self._meta: dict[str, str] = {}
        self._telemetry: dict[RunKey, Telemetry] = {}

    async def open(self) -> None:
        """Nothing to open."""

    async def load(self) -> StoredState:
        """A copy of everything kept."""
        return StoredState(
            runs={
                key: _with_results(
                    self._run(key), self._results.get(key, ()), self._counts.get(key, {})
                )
                for key in {**self._runs, **self._results, **self._counts}
            },
            reservations=dict(self._reservations),
            undelivered=tuple(self._undelivered.values()),
            recent=tuple(self._recent),
            finished=self._newest_finished(),
            meta=dict(self._meta),
            telemetry=dict(self._telemetry),
        )

    async def commit(self, changes: Sequence[Change]) -> tuple[int, ...]:
        """Apply all changes; no failure is possible half-way.

        Raises:
            StateError: a change belongs to a backtest; nothing was changed.
        """
        refuse_backtests(changes)
        return tuple(number for number in map(self._apply, changes) if number is not None)

    def delivered(self, numbers: Sequence[int]) -> None:
        """Forget that these have to be delivered."""
        for number in numbers:
            self._undelivered.pop(number, None)

    def telemetry(self, rows: Sequence[Telemetry]) -> None:
        """Keep the newest row of each run."""
        refuse_backtests(rows)
        for row in rows:
            self._telemetry[row.key] = row

    async def close(self) -> None:
        """Nothing to close."""

    def _apply(self, change: Change) -> int | None:
        match change:
            case Journaled():
                return self._journal(change)
            case Reserved():
                self._reservations[change.risk_name, change.key] = change.held
            case Released():
                self._reservations.pop((change.risk_name, change.key), None)
            case InstanceForgotten():
                for kept in (self._runs, self._results, self._counts, self._telemetry):
                    kept.pop(change.key, None)
            case CommandNoted():
                pass  # nobody can read it from here
            case FinishedSaved():
                self._finish(change)
            case MetaSaved():
                self._meta[change.name] = change.value
            case InstanceSaved():
                self._save(change)
            case HeldChanged():
                self._runs[change.key] = replace(self._run(change.key), held=change.held)
            case AttemptMade():
                self._runs[change.key] = replace(self._run(change.key), last_attempt=change.when)
            case Settled():
                self._runs[change.key] = replace(self._run(change.key), settled_until=change.until)
        return None

    def _run(self, key: RunKey) -> RunState:
        return self._runs.get(key, RunState())

    def _save(self, change: InstanceSaved) -> None:
        run = self._run(change.key)
        before = run.instance.session if run.instance is not None else 0
        if change.record.session != before:
            self._results.pop(change.key, None)
            self._counts.pop(change.key, None)
        self._runs[change.key] = replace(run, instance=change.record)

    def _finish(self, change: FinishedSaved) -> None:
        self._finished.pop(change.run_id, None)
        self._finished[change.run_id] = change
        while len(self._finished) > FINISHED_KEPT:
            del self._finished[next(iter(self._finished))]

    def _newest_finished(self) -> tuple[FinishedSaved, ...]:
        runs = tuple(self._finished.values())
        count = handed_out(len(run.payload) for run in reversed(runs))
        return runs[len(runs) - count :]

    def _journal(self, change: Journaled) -> int:
        self._number += 1
        entry = NumberedEvent(self._number, change.key, change.event)
        self._recent.append(entry)
        if change.deliver:
            self._undelivered[entry.number] = entry
        if isinstance(change.event, Closed | Cancelled):
            self._results.setdefault(change.key, []).append(change.event)
        elif isinstance(change.event, Partial | RiskRejection):
            named = change.event
            name = f"partial_{named.side}" if isinstance(named, Partial) else "risk"
            self._counts.setdefault(change.key, Counter())[name] += 1
        return entry.number


def _with_results(
    run: RunState, results: Sequence[Closed | Cancelled], counts: Mapping[str, int]
) -> RunState:
    return replace(
        run,
        trades=tuple(result for result in results if isinstance(result, Closed)),
        cancelled=tuple(result for result in results if isinstance(result, Cancelled)),
        counts=dict(counts),
    )
