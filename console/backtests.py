"""Backtests started in the console: from the queue through a worker process to a result.

Every change of a backtest is a new frozen `BacktestView` handed to the read model. All methods run
on the engine's loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from console.desks import ENDED, Desk, Entry, failure_text
from console.kept_backtests import KIND, kept, recalled
from console.kept_runs import last_number
from console.views import BacktestView, RunRequest
from engine.domain.changes import FinishedSaved
from engine.domain.errors import EngineError
from engine.jobs import BacktestJob
from engine.runs.workers import WorkerPool, WorkerProgress, WorkerRun

Put = Callable[[BacktestView], None]
Keep = Callable[[FinishedSaved], Awaitable[object]]
_log = logging.getLogger("signaldeck.backtests")


@dataclass(slots=True)
class _Entry(Entry):
    view: BacktestView
    run: WorkerRun | None
    first: tuple[float, int] | None = None


class BacktestDesk(Desk[_Entry]):
    """The backtests of this session, and those of earlier ones that were kept.

    Args:
        pool: where they run.
        put: called with every new view.
        now: the engine clock, ms UTC.
        keep: stores an ended one.
    """

    def __init__(self, pool: WorkerPool, put: Put, now: Callable[[], int], keep: Keep) -> None:
        super().__init__(put)
        self._pool = pool
        self._now = now
        self._keep = keep
        self._number = 0

    def start(self, request: RunRequest, job: BacktestJob) -> str:
        """Queue a backtest and answer its run id."""
        self._number += 1
        run_id = f"backtest-{self._number}"
        view = BacktestView(
            run_id=run_id,
            strategy_name=job.strategy_name,
            symbol=job.symbol,
            exchange_name=job.exchange_name,
            frame_interval=job.frame_interval,
            frame_start=job.frame_start,
            frame_end=job.frame_end,
            status="queued",
        )
        run = self._pool.submit(job, lambda progress: self._progress(run_id, progress))
        entry = self._entries[run_id] = _Entry(request, view, run)
        self._put(view)
        entry.task = asyncio.create_task(self._finish(entry), name=run_id)
        return run_id

    async def recall(self, finished: Sequence[FinishedSaved], put_older: Put) -> None:
        """List backtests of earlier sessions, given oldest first.

        Their numbers are taken at once; reading them, newest first, goes on beside everything else.
        """
        mine = [saved for saved in finished if saved.kind == KIND]
        self._number = last_number(mine, KIND)
        for saved in reversed(mine):
            try:
                bounds = (saved.when, saved.when)
                request, view = await asyncio.to_thread(recalled, saved, bounds)
            except EngineError as error:
                _log.warning("%s", error)
                continue
            self._entries[view.run_id] = _Entry(request, view, None)
            put_older(view)

    def stop(self, run_id: str) -> str:
        """Ask a backtest to stop; what it holds is followed to its close first."""
        entry = self._running(run_id)
        assert entry.run is not None
        entry.run.stop()
        self._set(entry, status="stopping")
        return f"{run_id} is stopping: what it holds is followed to its close"

    async def close(self) -> None:
        """End every backtest now; their workers end with the pool."""
        await super().close()
        await self._pool.close()

    def _progress(self, run_id: str, progress: WorkerProgress) -> None:
        entry, clock = self._entries.get(run_id), time.monotonic()
        if entry is None or entry.view.status in ENDED:
            return
        if entry.first is None:
            entry.first = (clock, progress.processed)
        since, done = entry.first
        rate = eta = None
        if clock > since and progress.processed > done:
            rate = (progress.processed - done) / (clock - since)
            eta = max(0, progress.total - progress.processed) / rate
        self._set(
            entry,
            status="stopping" if entry.view.status == "stopping" else "running",
            started_at=entry.view.started_at or self._now(),
            progress=progress.fraction,
            when=progress.when,
            trades=progress.trades,
            candles_per_second=rate,
            eta_seconds=eta,
        )

    async def _finish(self, entry: _Entry) -> None:
        assert entry.run is not None
        await self._follow(entry, entry.run)
        try:
            await self._keep(kept(entry.request, entry.view, self._now()))
        except EngineError as error:
            _log.warning("%s is not kept: %s", entry.view.run_id, error)

    async def _follow(self, entry: _Entry, run: WorkerRun) -> None:
        try:
            outcome = await run.result()
        except EngineError as error:
            if entry.view.status == "stopping" and not run.started:
                self._set(entry, status="stopped")
                return
            self._set(entry, status="failed", error=failure_text(error), eta_seconds=None)
        except Exception as error:
            _log.exception("%s failed", entry.view.run_id)
            self._set(entry, status="failed", error=failure_text(error), eta_seconds=None)
        else:
            seconds = outcome.elapsed_seconds
            self._set(
                entry,
                status="stopped" if outcome.stopped else "done",
                progress=entry.view.progress if outcome.stopped else 1.0,
                trades=len(outcome.trades),
                candles_per_second=outcome.counts.candles / seconds if seconds else None,
                eta_seconds=None,
                outcome=outcome,
            )
