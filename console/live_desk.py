"""Live runs as the operator commands them: start, stop, close, cancel, start again, restore.

Every command goes through the engine's journal with its origin and its result. All methods run on
the engine's loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from console.deck import DeckState
from console.views import Quote, RunRequest
from engine import Engine
from engine.domain.changes import FinishedSaved
from engine.domain.errors import NoDataError, RunStateError
from engine.domain.events import InstanceChanged
from engine.domain.signals import Mode
from engine.runs.instance import Instance
from engine.runs.live import LiveExecution
from engine.runs.live_runs import Recovered

ORIGIN: Final = "console"
"""Where these commands come from, as the journal says."""

FLAGS: Final = ("strategy missing", "strategy changed", "exchange missing", "settings lost")
"""Words beside the status of a restored run that came back other than it was."""

Command = Literal["stop", "start", "close", "cancel"]


@dataclass(frozen=True, slots=True)
class Restored:
    """What start-up found of an earlier session, in words for the operator."""

    runs: int
    positions: int
    replayed: int
    problems: tuple[str, ...]
    finished: tuple[FinishedSaved, ...]
    meta: Mapping[str, str]

    @property
    def sentence(self) -> str:
        """One line; "" when there was nothing."""
        if not self.runs:
            return ""
        parts = [f"{self.runs} live run{'s' * (self.runs != 1)} restored"]
        parts.append(f"{self.positions} open position{'s' * (self.positions != 1)}")
        if self.replayed:
            parts.append(f"{self.replayed} event{'s' * (self.replayed != 1)} delivered late")
        return ", ".join(parts)


class LiveDesk:
    """The live runs of an engine.

    Args:
        engine: the engine.
        deck: the read model.
        publish: swaps the snapshot, so that it holds a command's effect before the command is
            answered.
    """

    def __init__(self, engine: Engine, deck: DeckState, publish: Callable[[], None]) -> None:
        self._engine = engine
        self._deck = deck
        self._publish = publish

    async def restore(self) -> Restored:
        """Bring back what the state file holds, and show it."""
        recovered = await self._engine.recover()
        # Before any listener runs: the feed begins with what was there, in its order.
        waiting = {entry.number for entry in recovered.state.undelivered}
        for entry in recovered.state.recent:
            if entry.number not in waiting and entry.key.mode is Mode.LIVE:
                self._deck.recall(entry.event)
        for instance in recovered.instances:
            self._show_restored(instance, recovered)
        held = (run.held for run in recovered.state.runs.values())
        return Restored(
            runs=len(recovered.instances),
            positions=sum(one is not None and not one.row.is_scheduled for one in held),
            replayed=recovered.replayed,
            problems=recovered.problems,
            finished=recovered.state.finished,
            meta=recovered.state.meta,
        )

    async def start(self, request: RunRequest) -> str:
        """Start a run and answer its id.

        Raises:
            EngineError: it runs already, or cannot be started.
        """
        instance = self._engine.live(
            request.symbol,
            strategy_name=request.strategy_name,
            exchange_name=request.exchange_name,
        )
        if instance.status == "running":
            raise RunStateError(f"{instance.key} is already running")
        await self._engine.live_runs.operate(instance, "start", ORIGIN)
        self._show(instance)
        return instance.id

    async def command(self, run_id: str, command: Command) -> str:
        """Carry out a command; a sentence that says what happened.

        Raises:
            EngineError: it was refused; nothing happened.
        """
        instance = self.instance(run_id)
        if command == "start" and instance.status == "running":
            raise RunStateError(f"{instance.key} is already running")
        said = await self._engine.live_runs.operate(instance, command, ORIGIN)
        self._show(instance)
        return f"{instance.key}: {said}"

    async def commands(self, run_ids: Sequence[str], command: Command) -> str:
        """Carry out a command on several runs; a sentence that counts, and names refusals.

        Raises:
            RunStateError: every one was refused.
        """
        outcomes = await asyncio.gather(
            *(self.command(run_id, command) for run_id in run_ids), return_exceptions=True
        )
        refused = [str(one) for one in outcomes if isinstance(one, BaseException)]
        done = len(outcomes) - len(refused)
        if refused and not done:
            raise RunStateError("; ".join(refused))
        said = f"{command}: {done} of {len(outcomes)} done"
        return f"{said}; refused: {'; '.join(refused)}" if refused else said

    async def quote(self, run_id: str) -> Quote:
        """The price that closing now would book, and how old it is.

        Raises:
            EngineError: the run does not exist, or no price is known.
        """
        instance = self.instance(run_id)
        execution, now = instance.execution, self._engine.clock.now()
        if not isinstance(execution, LiveExecution):
            raise NoDataError(f"{instance.key} has not been started: there is no price")
        series = execution.market.minutes(instance.key.symbol)
        closed = series.closed(now)
        if not closed:
            raise NoDataError(f"{instance.key}: no bar has closed yet: there is no price")
        at_vwap = execution.settings.fill_price == "vwap"
        bar = series.bar(closed - 1, market_is_vwap=at_vwap)
        return Quote(price=bar.market, at=bar.at, now=now, stale=execution.stale, is_vwap=at_vwap)

    def instance(self, run_id: str) -> Instance:
        """The run of an id.

        Raises:
            RunStateError: there is none.
        """
        for instance in self._engine.instances(Mode.LIVE):
            if instance.id == run_id:
                return instance
        raise RunStateError(f"run {run_id!r} does not exist any more")

    def running(self) -> list[Instance]:
        """Runs that are running or draining."""
        return [item for item in self._engine.instances(Mode.LIVE) if item.is_running]

    def flag_words(self) -> None:
        """Let the read model show what no event says."""
        for instance in self._engine.instances(Mode.LIVE):
            self._deck.flag(instance.key, "stuck", _is_stuck(instance))
            for word in FLAGS:
                self._deck.flag(instance.key, word, word in instance.flags)

    def _show(self, instance: Instance) -> None:
        key = instance.key
        self._deck.apply(InstanceChanged(instance.id, key, instance.status, key.mode))
        self._publish()

    def _show_restored(self, instance: Instance, recovered: Recovered) -> None:
        state = recovered.state
        left, seen = state.runs[instance.key], state.telemetry.get(instance.key)
        self._deck.restore(instance.id, instance.key, instance.status, left, seen)


def _is_stuck(instance: Instance) -> bool:
    """Whether the run's strategy has not come back from a call that was given up."""
    execution = instance.execution
    session = execution.session if isinstance(execution, LiveExecution) else None
    # A call that is still within its limit is being waited for, and has an instant.
    return session is not None and session.source.stuck and session.source.asked_at is None
