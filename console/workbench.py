"""What the console starts beside live runs, behind one set of commands.

Backtests and walkers run in worker processes, optimizers on the engine's loop. The host hands
requests in and forgets them; views go to the read model, finished work to the state file. All
methods run on the engine's loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from console.backtests import BacktestDesk
from console.deck import DeckState
from console.discovery import Workshop
from console.optimizers import OptimizerDesk
from console.run_requests import backtest_job, completed, walk_of
from console.views import BacktestView, OptimizerView, RunRequest
from console.walker_views import WalkerView
from console.walkers import WalkerDesk
from engine import Engine
from engine.domain.changes import FinishedSaved
from engine.domain.errors import RunStateError
from engine.jobs import ENTRY
from engine.runs.workers import WorkerPool

KINDS = ("backtest", "walker", "optimizer")
"""Kinds of `RunRequest` that run here."""


class Workbench:
    """The desks, and the processes they share.

    Args:
        engine: where strategies are registered, and results are stored.
        workshop: which file each of them came from.
        deck: the read model.
        changed: called when the read model has changed.
        max_workers: processes at a time; None is one per processor.
    """

    def __init__(
        self,
        engine: Engine,
        workshop: Workshop,
        deck: DeckState,
        changed: Callable[[], None],
        max_workers: int | None,
    ) -> None:
        self._engine = engine
        self._workshop = workshop
        self._deck = deck
        self._changed = changed
        self._pool = WorkerPool(ENTRY, max_workers, output=os.devnull)
        now, parallel = engine.clock.now, max_workers or os.cpu_count() or 1
        self._backtests = BacktestDesk(self._pool, self._put_backtest, now, self._keep)
        self._walkers = WalkerDesk(
            engine.group_runs, self._pool, parallel, self._put_walker, now, self._keep
        )
        self._optimizers = OptimizerDesk(engine, self._put_optimizer)

    def knows(self, run_id: str) -> bool:
        """Whether a run id is that of a backtest, a walker or an optimizer."""
        return any(desk.knows(run_id) for desk in self._desks)

    def request_of(self, run_id: str) -> RunRequest:
        """What a run was started with."""
        return self._desk(run_id).request_of(run_id)

    def start(self, request: RunRequest) -> str:
        """Queue a run whose request has been checked, and answer its run id.

        Raises:
            EngineError: it cannot be started after all.
        """
        if request.kind == "backtest":
            job = backtest_job(self._engine, self._workshop, request)
            return self._backtests.start(request, job)
        if request.kind == "optimizer":
            return self._optimizers.start(request.strategy_name, request.symbol)
        request = completed(self._engine, request)
        return self._walkers.start(request, *walk_of(self._engine, self._workshop, request))

    def stop(self, run_id: str) -> str:
        """Stop a run gracefully; answers a sentence that says what happens now.

        Raises:
            RunStateError: it has ended.
        """
        return self._desk(run_id).stop(run_id)

    def skip(self, run_id: str, strategy_name: str) -> str:
        """Leave one strategy of a walker out.

        Raises:
            RunStateError: the walker or the strategy has ended, or there is none of the name.
        """
        if not self._walkers.knows(run_id):
            raise RunStateError(f"{run_id} is no walker: choose one on the Walkers screen")
        return self._walkers.skip(run_id, strategy_name)

    async def recall(self, finished: Sequence[FinishedSaved]) -> None:
        """List what earlier sessions finished, given oldest first."""
        self._walkers.take_numbers(finished)  # before anything is awaited
        await self._backtests.recall(finished, lambda view: self._put_backtest(view, older=True))
        await self._walkers.recall(finished, lambda view: self._put_walker(view, older=True))

    async def close(self) -> None:
        """End everything now."""
        await self._optimizers.close()
        await self._walkers.close()
        await self._backtests.close()

    @property
    def _desks(self) -> tuple[BacktestDesk | WalkerDesk | OptimizerDesk, ...]:
        return (self._backtests, self._walkers, self._optimizers)

    def _desk(self, run_id: str) -> BacktestDesk | WalkerDesk | OptimizerDesk:
        return next(desk for desk in self._desks if desk.knows(run_id))

    async def _keep(self, finished: FinishedSaved) -> object:
        return await self._engine.store.commit([finished])

    def _put_backtest(self, view: BacktestView, *, older: bool = False) -> None:
        self._deck.put_backtest(view, older=older)
        self._changed()

    def _put_walker(self, view: WalkerView, *, older: bool = False) -> None:
        self._deck.put_walker(view, older=older)
        self._changed()

    def _put_optimizer(self, view: OptimizerView) -> None:
        self._deck.put_optimizer(view)
        self._changed()
