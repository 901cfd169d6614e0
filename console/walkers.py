"""Walkers started in the console: from the queue through worker processes to a ranking.

Every change of a walker is a new frozen `WalkerView` handed to the read model, at most five times a
second: with many strategies a view is not small. All methods run on the engine's loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from console.desks import ENDED, Desk, Entry, failure_text
from console.kept_runs import last_number
from console.kept_walkers import KIND, kept, recalled
from console.views import RunRequest
from console.walker_views import WalkerRow, WalkerView
from engine.core.ranking import best
from engine.domain.changes import FinishedSaved
from engine.domain.errors import EngineError
from engine.domain.walks import Candidate, Status, WalkedStrategy, WalkerStatistics
from engine.parallel import PoolRunner, Sources
from engine.runs.group_runs import GroupRuns, Walk
from engine.runs.walker import WalkerExecution
from engine.runs.workers import WorkerPool

Put = Callable[[WalkerView], None]
Keep = Callable[[FinishedSaved], Awaitable[object]]
_log = logging.getLogger("signaldeck.walkers")
_PUT_SECONDS: Final = 0.2


@dataclass(slots=True)
class _Entry(Entry):
    view: WalkerView
    places: dict[str, int]
    execution: WalkerExecution | None = None
    waiting: asyncio.TimerHandle | None = None
    began: float = 0.0


class WalkerDesk(Desk[_Entry]):
    """The walkers of this session, and those of earlier ones that were kept.

    Args:
        runs: makes walks on the engine.
        pool: where strategies are tested.
        parallel: how many strategies of one walker at a time.
        put: called with every new view.
        now: the engine clock, ms UTC.
        keep: stores an ended one.
    """

    def __init__(
        self,
        runs: GroupRuns,
        pool: WorkerPool,
        parallel: int,
        put: Put,
        now: Callable[[], int],
        keep: Keep,
    ) -> None:
        super().__init__(put)
        self._runs = runs
        self._pool = pool
        self._parallel = parallel
        self._now = now
        self._keep = keep
        self._number = 0

    def start(self, request: RunRequest, walk: Walk, sources: Sources) -> str:
        """Start a walker and answer its run id; `console.run_requests.walk_of` gives the rest."""
        self._number += 1
        run_id = f"walker-{self._number}"
        view = WalkerView(
            run_id=run_id,
            walker_name=walk.key.strategy_name,
            symbol=walk.key.symbol,
            exchange_name=walk.key.exchange_name,
            frame_interval=walk.frame.interval,
            frame_start=walk.frame.start_date,
            frame_end=walk.frame.end_date,
            metric=walk.walker.metric,
            status="queued",
            started_at=self._now(),
        )
        places = {candidate.name: at for at, candidate in enumerate(walk.candidates)}
        entry = self._entries[run_id] = _Entry(request, view, places, began=time.monotonic())
        entry.execution = self._runs.walk_execution(
            walk,
            lambda it: PoolRunner(it, sources, self._parallel, self._pool),
            lambda: self._soon(entry),
        )
        self._show(entry)
        entry.task = asyncio.create_task(self._follow(entry, entry.execution), name=run_id)
        return run_id

    async def recall(self, finished: Sequence[FinishedSaved], put_older: Put) -> None:
        """List walkers of earlier sessions, given oldest first; reading them takes a while."""
        self.take_numbers(finished)
        for saved in reversed([saved for saved in finished if saved.kind == KIND]):
            try:
                request, view = await asyncio.to_thread(recalled, saved)
            except EngineError as error:
                _log.warning("%s", error)
                continue
            places = {row.name: row.place for row in view.rows}
            self._entries[view.run_id] = _Entry(request, view, places)
            put_older(view)

    def take_numbers(self, finished: Sequence[FinishedSaved]) -> None:
        """New walkers get numbers above those of stored ones."""
        self._number = max(self._number, last_number(finished, KIND))

    def stop(self, run_id: str) -> str:
        """Ask a walker to stop: strategies being tested end early, no other is begun."""
        entry, execution = self._walked(run_id)
        execution.stop()
        self._set(entry, status="stopping")
        return f"{run_id} is stopping: no further strategy is tested"

    def skip(self, run_id: str, name: str) -> str:
        """Leave one strategy out; the others go on.

        Raises:
            RunStateError: the walker or the strategy has ended, or there is no such strategy.
        """
        entry, execution = self._walked(run_id)
        execution.skip(name)
        self._show(entry)
        return f"{name} is skipped"

    async def close(self) -> None:
        """End every walker now; their workers are killed."""
        await super().close()
        for entry in self._entries.values():
            if entry.waiting is not None:
                entry.waiting.cancel()

    def _walked(self, run_id: str) -> tuple[_Entry, WalkerExecution]:
        entry = self._running(run_id)
        assert entry.execution is not None
        return entry, entry.execution

    async def _follow(self, entry: _Entry, execution: WalkerExecution) -> None:
        try:
            await execution.run(None)
        except Exception as error:
            _log.exception("%s failed", entry.view.run_id)
            self._finish(entry, "failed", failure_text(error))
        else:
            found = execution.statistics().strategies
            failed = [item.error for item in found if item.status == "failed"]
            if len(failed) == len(found):
                self._finish(entry, "failed", failed[0])
            else:
                self._finish(entry, "stopped" if execution.stopped else "done", "")
        try:
            await self._keep(kept(entry.request, entry.view, self._now()))
        except EngineError as error:
            _log.warning("%s is not kept: %s", entry.view.run_id, error)

    def _finish(self, entry: _Entry, status: str, error: str) -> None:
        self._show(entry)
        progress = 1.0 if status == "done" else entry.view.progress
        self._set(entry, status=status, error=error, eta_seconds=None, progress=progress)

    def _soon(self, entry: _Entry) -> None:
        """Something has changed: show it, together with whatever else changes meanwhile."""
        if entry.waiting is None:
            loop = asyncio.get_running_loop()
            entry.waiting = loop.call_later(_PUT_SECONDS, self._show, entry)

    def _show(self, entry: _Entry) -> None:
        if entry.waiting is not None:
            entry.waiting.cancel()
            entry.waiting = None
        if entry.execution is not None:
            entry.view = _running_view(entry, entry.execution.statistics(entry.view.metric))
        self._put(entry.view)


def _running_view(entry: _Entry, found: WalkerStatistics) -> WalkerView:
    begun = any(item.status != "waiting" for item in found.strategies)
    ended = ("done", "failed", "skipped", "stopped")
    shares = [1.0 if item.status in ended else item.progress for item in found.strategies]
    progress = sum(shares) / len(shares)
    seconds = time.monotonic() - entry.began
    eta = seconds / progress * (1 - progress) if 0 < progress < 1 else None
    status = entry.view.status
    if status == "queued" and begun:
        status = "running"
    return replace(
        _with_ranking(entry.view, entry.places, found.strategies, best(found.strategies)),
        status=status,
        progress=progress if status not in ENDED else entry.view.progress,
        eta_seconds=eta if status not in ENDED else None,
        strategies_tested=found.strategies_tested,
        total_strategies=found.total_strategies,
    )


def walked(view: WalkerView) -> list[WalkedStrategy]:
    """The strategies of a walker that may have ended, as the walker names them, unranked."""
    return [
        WalkedStrategy(
            Candidate(row.name, row.name), cast(Status, row.status), None, row.progress,
            row.outcome, row.error,
        )
        for row in sorted(view.rows, key=lambda row: row.place)
    ]  # fmt: skip


def _with_ranking(
    view: WalkerView,
    places: Mapping[str, int],
    strategies: Sequence[WalkedStrategy],
    winner: WalkedStrategy | None,
) -> WalkerView:
    rows = tuple(
        WalkerRow(
            name=item.strategy_name,
            place=places[item.strategy_name],
            status=item.status,
            rank=at if item.metric_value is not None else None,
            progress=item.progress,
            metric_value=item.metric_value,
            best=item is winner,
            outcome=item.outcome,
            error=item.error,
        )
        for at, item in enumerate(strategies, start=1)
    )
    best_strategy = winner.strategy_name if winner else ""
    best_metric = winner.metric_value if winner else None
    return replace(view, rows=rows, best_strategy=best_strategy, best_metric=best_metric)
