"""Bugs that are planted into a life, each of which the suite has to find.

A checker that finds nothing proves something only if it finds what is there. Each bug is one that a
small slip in engine or store would make; it is put in from outside, in the child process alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from engine.adapters.store.sqlite import SqliteStore
from engine.core.risk import RiskBook
from engine.domain.changes import AttemptMade, ErrorNote, HeldChanged, Journaled, Released
from engine.domain.events import Partial, RiskRejection
from engine.domain.signals import OpenPosition
from engine.runs import live
from engine.runs.live import LiveExecution
from engine.runs.live_runs import LiveRuns
from engine.runs.session import Session
from engine.services.bus import Bus


def publish_before_commit() -> None:
    """Listeners hear of a transition before it is durable, and not again after it."""
    told: list[Any] = []
    durably, publish, publish_result = Session._durably, Bus.publish, Bus.publish_result

    async def tell_first(self: Any, changes: Sequence[Any], on_failure: Any = None) -> Any:
        for event in (change.event for change in changes if isinstance(change, Journaled)):
            if isinstance(event, ErrorNote):
                continue
            if isinstance(event, Partial):
                publish(self._bus, f"partial_{event.side}", event)
            elif isinstance(event, RiskRejection):
                publish(self._bus, "risk", event)
            else:
                publish_result(self._bus, "signal", event)
            told.append(event)
        return await durably(self, changes, on_failure)

    def unless_told(publish: Callable[..., None]) -> Any:
        def once(self: Bus, topic: str, payload: Any) -> None:
            if not any(payload is event for event in told):
                publish(self, topic, payload)

        return once

    Session._durably = tell_first
    Bus.publish, Bus.publish_result = unless_told(publish), unless_told(publish_result)


def bar_missed_after_restart() -> None:
    """A run that comes back takes it that everything up to the present has been settled."""
    restore = LiveExecution._restore

    def forgetful(self: Any, session: Any, left: Any, when: int) -> None:
        restore(self, session, left, when)
        self.settled_until = when

    LiveExecution._restore = forgetful


def slot_kept_in_the_file() -> None:
    """Closing a position leaves its reservation in the state file."""
    _filter(lambda changes: [change for change in changes if not isinstance(change, Released)])


def slot_kept_in_memory() -> None:
    """Closing a position frees its slot in the state file alone."""

    def keep(self: RiskBook, risk_names: Any, key: Any) -> None:
        pass

    RiskBook.release = keep


def split_transaction() -> None:
    """What a run holds is committed, then what its journal says of it."""
    commit = SqliteStore.commit

    async def in_two(self: SqliteStore, changes: Sequence[Any]) -> tuple[int, ...]:
        held = [change for change in changes if isinstance(change, HeldChanged)]
        rest = [change for change in changes if not isinstance(change, HeldChanged)]
        if held and rest:
            await commit(self, held)
        return await commit(self, rest or held)

    SqliteStore.commit = in_two


def attempt_before_outcome() -> None:
    """That a strategy was asked is durable before what came of it."""
    attempt = Session.attempt

    async def noted_first(self: Any, when: int, prices: Any) -> None:
        await self._durably([AttemptMade(self.key, when)])
        await attempt(self, when, prices)

    Session.attempt = noted_first


def milestones_forgotten() -> None:
    """A position comes back as if it had not reached any milestone."""
    restore = LiveExecution._restore

    def from_nought(self: Any, session: Any, left: Any, when: int) -> None:
        if isinstance(left.held, OpenPosition):
            left = replace(left, held=OpenPosition(left.held.row))
        restore(self, session, left, when)

    LiveExecution._restore = from_nought


def replays_unmarked() -> None:
    """Events are delivered again after a restart as if for the first time."""

    def publish(self: Any, entry: Any) -> None:
        event = entry.event
        if isinstance(event, Partial):
            self._home.bus.publish(f"partial_{event.side}", event)
        elif not isinstance(event, RiskRejection):
            self._home.bus.publish_result("signal", event)
        self._store.delivered([entry.number])

    LiveRuns._replay = publish


def delivered_unheard() -> None:
    """Events count as delivered as soon as they are committed."""
    commit = SqliteStore.commit

    async def delivered(self: SqliteStore, changes: Sequence[Any]) -> tuple[int, ...]:
        numbers = await commit(self, changes)
        self.delivered(numbers)
        await self.flush()
        return numbers

    SqliteStore.commit = delivered


def delivered_when_queued() -> None:
    """Events count as delivered when they wait for their listeners."""

    def at_once(self: Bus, done: Callable[[], object]) -> None:
        done()

    Bus.after_handled = at_once


def decides_after_a_command() -> None:
    """A run that comes back does not know that an operator acted at the present instant."""

    def never(left: Any) -> None:
        return None

    live._operated_at = never


def resumption_not_kept() -> None:
    """A draining run that is started again goes on, and its state file does not know."""
    resume = LiveExecution.resume

    def unsaved(self: Any) -> bool:
        record, saved = self.record, self._saved
        resumed = resume(self)
        self.record, self._saved = record, saved
        return resumed

    LiveExecution.resume = unsaved


def attempts_outlive_sessions() -> None:
    """A run that comes back takes the attempt of its session before for one of this one."""
    restore = LiveExecution._restore

    def of_any_session(self: Any, session: Any, left: Any, when: int) -> None:
        restore(self, session, left, when)
        session.last_attempt = left.last_attempt

    LiveExecution._restore = of_any_session


def _filter(kept: Callable[[Sequence[Any]], list[Any]]) -> None:
    commit = SqliteStore.commit

    async def filtered(self: SqliteStore, changes: Sequence[Any]) -> tuple[int, ...]:
        return await commit(self, kept(changes))

    SqliteStore.commit = filtered


@dataclass(frozen=True, slots=True)
class Bug:
    """A planted bug.

    Attributes:
        put_in: plants it into this process.
        points: where killing shows it, tried in turn.
        found: what the suite says of it, one of these in part.
        seed: of a scenario in which it matters soon.
        arrivals: which arrival at the point is the fatal one, from and to.
    """

    put_in: Callable[[], None]
    points: tuple[str, ...]
    found: tuple[str, ...]
    seed: int = 21
    arrivals: tuple[int, int] = (2, 14)


BUGS: Final[Mapping[str, Bug]] = {
    bug.put_in.__name__: bug
    for bug in (
        Bug(publish_before_commit, ("before_commit", "mid_changes"), ("not in the journal",)),
        Bug(bar_missed_after_restart, ("before_begin", "before_commit"), ("missed:", "due:")),
        Bug(slot_kept_in_the_file, ("after_commit",), ("is taken and no position is open",)),
        Bug(slot_kept_in_memory, ("after_commit",), ("because of",), arrivals=(40, 60)),
        Bug(split_transaction, ("after_commit",), ("lost:", "a phantom is held", "journaled as")),
        Bug(attempt_before_outcome, ("after_commit",), ("is lost", "not asked")),
        Bug(milestones_forgotten, ("heard", "callback"), ("milestones repeated",)),
        Bug(replays_unmarked, ("heard", "marks_before_commit"), ("without being marked",)),
        Bug(delivered_unheard, ("marks_after_commit",), ("never heard",)),
        Bug(delivered_when_queued, ("marks_after_commit",), ("never heard",)),
        Bug(decides_after_a_command, ("answered close",), ("an operator ended",), arrivals=(1, 2)),
        Bug(resumption_not_kept, ("answered start",), ("a start was answered",), 392, (1, 1)),
        Bug(attempts_outlive_sessions, ("asked patient",), ("not asked",), 244, (3, 3)),
    )
}


def plant(name: str) -> None:
    """Plant a bug into this process; "" plants none."""
    if name:
        BUGS[name].put_in()
