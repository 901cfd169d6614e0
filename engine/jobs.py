"""Backtests as jobs: everything a worker process needs to run one, by name and by path.

Functions are never pickled: the worker executes the strategy files itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.domain.errors import EngineError, NotRegisteredError, StrategyFileError
from engine.domain.outcome import BacktestOutcome
from engine.domain.schemas import FrameSchema
from engine.domain.time import minute_text
from engine.runs.backtest import BacktestExecution
from engine.runs.outcome import outcome_of
from engine.runs.workers import WorkerControl, WorkerProgress
from engine.runtime import Engine, ExchangeSpec

ENTRY = "engine.jobs:run_job"
"""What a `engine.runs.workers.WorkerPool` is made with to run these jobs."""

_GRACE_SECONDS = 1.0
"""Past the time limit an inline overrun reports itself first; only silence is killed."""


@dataclass(frozen=True, slots=True)
class BacktestJob:
    """One backtest.

    Attributes:
        strategy_files: files to execute, in order; a name registered first wins.
        exchange: a built-in exchange to open; None when a strategy file registers it.
        frame_start, frame_end: ms UTC, both inclusive, whole minutes.
        settings: the full settings of the run, already checked.
    """

    strategy_files: tuple[str, ...]
    strategy_name: str
    symbol: str
    exchange_name: str
    exchange: ExchangeSpec | None
    frame_interval: str
    frame_start: int
    frame_end: int
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    frame_name: str = "range"


def run_job(job: BacktestJob, control: WorkerControl) -> BacktestOutcome:
    """Run a job to its end in this process; what a worker calls.

    Raises:
        EngineError: whatever ended the run.
    """
    return asyncio.run(_run(job, control))


class _Following:
    """The control thread's view of a running backtest; only plain attributes are read."""

    def __init__(self, execution: BacktestExecution) -> None:
        self._execution = execution

    def stop(self) -> None:
        self._execution.stop()

    def progress(self) -> WorkerProgress:
        run = self._execution
        total = len(run.frame)
        fraction = run.processed / total if total else 1.0
        return WorkerProgress(fraction, run.when, run.processed, total, len(run.journal.trades))

    def question(self) -> tuple[int, object]:
        session = self._execution.session
        if session is None:
            return 0, None
        return session.source.calls, session.source.asked_at

    def silence(self) -> tuple[float, str]:
        run = self._execution
        limit = run.settings.max_signal_generation_seconds
        asked = run.session.source.asked_at if run.session is not None else None
        at = minute_text(asked if asked is not None else run.when)
        return limit + _GRACE_SECONDS, (
            f"strategy {run.key.strategy_name!r} on {run.key.symbol} did not answer within "
            f"{limit} s for the bar at {at} (max_signal_generation_seconds); its worker process "
            "was ended. Make get_signal faster, or raise the limit"
        )


async def _run(job: BacktestJob, control: WorkerControl) -> BacktestOutcome:
    async with Engine() as engine:
        engine.configure(job.settings, unsafe=True)  # checked by whoever made the job
        strategy_file, strategy_hash = _load(engine, job)
        if job.exchange is not None:
            engine.open_exchange(job.exchange)
        engine.frames.add(
            FrameSchema(
                frame_name=job.frame_name,
                interval=job.frame_interval,
                start_date=job.frame_start,
                end_date=job.frame_end,
            )
        )
        instance = engine.backtest(
            job.symbol,
            strategy_name=job.strategy_name,
            exchange_name=job.exchange_name,
            frame_name=job.frame_name,
        )
        instance.start()
        execution = instance.execution
        assert isinstance(execution, BacktestExecution)
        control.follow(_Following(execution))
        await instance.wait()
        if instance.failure is not None:
            raise _as_engine_error(instance.failure)
        return outcome_of(execution, strategy_file, strategy_hash)


def _load(engine: Engine, job: BacktestJob) -> tuple[str, str]:
    """Execute the files; the one that registered the strategy, and its hash."""
    problems: list[str] = []
    for path in job.strategy_files:
        loaded = engine.load_file(Path(path))
        if job.strategy_name in loaded.names("strategy"):
            return _rest(engine, job, path), loaded.sha256
        if loaded.error:
            problems.append(loaded.error)
    if problems:
        raise StrategyFileError(
            f"strategy {job.strategy_name!r} not found; files that could not be loaded: "
            + "; ".join(problems)
        )
    raise NotRegisteredError(
        f"strategy {job.strategy_name!r} not found in {', '.join(job.strategy_files) or 'no file'}"
    )


def _rest(engine: Engine, job: BacktestJob, found: str) -> str:
    # Risk profiles and exchanges may come from files after the strategy's own.
    for path in job.strategy_files[job.strategy_files.index(found) + 1 :]:
        engine.load_file(Path(path))
    return found


def _as_engine_error(error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    return EngineError(f"{type(error).__name__}: {error}")
