"""Backtests as jobs: everything a worker process needs to run one, by name and by path.

Functions are never pickled: the worker executes the strategy files itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.core.ranking import varied
from engine.domain.errors import EngineError, NotRegisteredError, StrategyFileError
from engine.domain.outcome import BacktestOutcome
from engine.domain.schemas import ExchangeSchema, FrameSchema
from engine.domain.settings import Settings
from engine.domain.time import minute_text
from engine.exchanges import ExchangeSpec, make_exchange, schema_of
from engine.runs.backtest import BacktestExecution
from engine.runs.generation import Board
from engine.runs.instance import Instance
from engine.runs.outcome import outcome_of
from engine.runs.silence import Call, call_under_way
from engine.runs.workers import WorkerControl, WorkerProgress
from engine.runtime import Engine
from engine.services.pages import SharedPages

ENTRY = "engine.jobs:run_job"
"""What a `engine.runs.workers.WorkerPool` is made with to run these jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every job says.

    Attributes:
        strategy_files: files to execute, in order; a name registered first wins.
        exchange: a built-in exchange to open; None when a strategy file registers it.
        frame_start, frame_end: ms UTC, both inclusive, whole minutes.
        settings: the full settings of the run, already checked.
        shared: folder in which the processes of one comparison share bars; "" for none.
        cache: folder of the candle cache; "" for none.
    """

    strategy_files: tuple[str, ...]
    exchange_name: str
    exchange: ExchangeSpec | None
    frame_interval: str
    frame_start: int
    frame_end: int
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    frame_name: str = "range"
    shared: str = ""
    cache: str = ""

    @property
    def limit_seconds(self) -> float:
        """Seconds a question to the strategy, or another call of user code, may take."""
        default = Settings.model_fields["max_signal_generation_seconds"].default
        return float(self.settings.get("max_signal_generation_seconds", default))

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies that must be registered."""
        raise NotImplementedError

    def who(self, code: int) -> str:
        """Whom the first integer of a worker's board means, for messages."""
        raise NotImplementedError

    def place(self, code: int, when: int) -> str:
        """Where the run was when its process died; see `engine.runs.workers.Limited`."""
        return f"{self.who(code)}, {_bar(when)}"

    def silence(self, code: int, when: int, call: Call | None = None) -> str:
        """What to say of user code that did not come back; see `engine.runs.workers.Limited`."""
        limit, bar = f"{self.limit_seconds:g} s", _bar(when)
        ended = "(max_signal_generation_seconds); its worker process was ended"
        if call is not None:
            place = f" ({call.where})" if call.where else ""
            did = f"{call.what}{place} did not come back within {limit} {bar} {ended}. Make it"
            return f"{self.who(code)}: {did} faster, or raise the limit"
        if code:
            did = f"did not answer within {limit} {bar} {ended}. Make get_signal"
        else:
            did = f"let nothing else run for {limit} {bar} {ended}. Make its code"
        return f"{self.who(code)} {did} faster, or raise the limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestJob(Job):
    """One backtest.

    Attributes:
        params: what is handed to the strategy on top of its own params.
        run_name: the name of the run, for a strategy that runs several times with other params; ""
            is the strategy's own.
    """

    strategy_name: str
    symbol: str
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    run_name: str = ""

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies that must be registered."""
        return (self.strategy_name,)

    def who(self, code: int) -> str:
        """Whom the first integer of a worker's board means, for messages."""
        return f"strategy {self.run_name or self.strategy_name!r} on {self.symbol}"


def run_job(job: BacktestJob, control: WorkerControl) -> BacktestOutcome:
    """Run a job to its end in this process; what a worker calls.

    Raises:
        EngineError: whatever ended the run.
    """
    return asyncio.run(_run(job, control))


class _Following:
    """The control thread's view of a job; of the run, only plain attributes are read."""

    def __init__(self, job: Job, board: Board) -> None:
        self._job = job
        self._board = board
        self._instance: Instance | None = None
        self._run: BacktestExecution | None = None
        self._stopped = False

    @property
    def limit_seconds(self) -> float:
        return self._job.limit_seconds

    def begin(self, instance: Instance, run: BacktestExecution) -> None:
        """The run has been made."""
        run.board = self._board
        self._instance, self._run = instance, run
        if self._stopped:
            run.stop()

    def stop(self) -> None:
        self._stopped = True
        if self._run is not None:
            self._run.stop()

    def progress(self) -> WorkerProgress | None:
        run = self._run
        if run is None:
            return None
        total = len(run.frame)
        fraction = run.processed / total if total else 1.0
        return WorkerProgress(fraction, run.when, run.processed, total, len(run.journal.trades))

    def question(self) -> object:
        code, when = self._board[0], self._board[1]
        return (code, when) if code else None

    def call(self) -> Call | None:
        thread = threading.main_thread().ident
        task = self._instance.task if self._instance is not None else None
        return None if thread is None else call_under_way(thread, task)

    def silence(self, call: Call | None) -> str:
        return self._job.silence(self._board[0], self._board[1], call)


async def _run(job: BacktestJob, control: WorkerControl) -> BacktestOutcome:
    following = _Following(job, control.board)
    control.follow(following)
    async with Engine(cache=job.cache or None) as engine, AsyncExitStack() as stack:
        engine.configure(job.settings, unsafe=True)  # checked by whoever made the job
        strategy_file, strategy_hash = _load(engine, job)
        await _open_exchange(engine, job, stack)
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
            strategy_name=_named(engine, job),
            exchange_name=job.exchange_name,
            frame_name=job.frame_name,
        )
        instance.start()
        execution = instance.execution
        assert isinstance(execution, BacktestExecution)
        following.begin(instance, execution)
        await instance.wait()
        if instance.failure is not None:
            raise _as_engine_error(instance.failure)
        return outcome_of(execution, strategy_file, strategy_hash)


async def _open_exchange(engine: Engine, job: Job, stack: AsyncExitStack) -> None:
    if not job.shared:
        if job.exchange is not None:
            engine.open_exchange(job.exchange)
        return
    name, spec = job.exchange_name, job.exchange
    registered = engine.exchanges.get(name, "Backtest") if spec is None else None

    def opened() -> ExchangeSchema:
        assert spec is not None
        return schema_of(make_exchange(spec, engine.clock, engine.settings, engine.cache), spec)

    pages = SharedPages(Path(job.shared), name, opened, registered)
    stack.push_async_callback(pages.close)
    schema = pages.schema()
    engine.exchanges.remove(name)
    engine.exchanges.add(schema)


def _bar(when: int) -> str:
    return f"for the bar at {minute_text(when)}" if when else "before its first bar"


def _named(engine: Engine, job: BacktestJob) -> str:
    """The strategy under the run's name and with its params."""
    if not job.params and not job.run_name:
        return job.strategy_name
    strategy = engine.strategies.get(job.strategy_name, "Backtest")
    engine.strategies.remove(job.strategy_name)
    made = varied(strategy, job.params, job.run_name)
    return engine.strategies.add(made).name


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
