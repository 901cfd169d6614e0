"""Backtests as jobs: everything a worker process needs to run one, by name and by path.

Functions are never pickled: the worker executes the strategy files itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.core.ranking import varied
from engine.domain.bars import CandleKey
from engine.domain.errors import EngineError, NotRegisteredError, StrategyFileError
from engine.domain.outcome import BacktestOutcome
from engine.domain.portfolios import PortfolioOutcome
from engine.domain.schemas import ExchangeSchema, FrameSchema, StrategySchema
from engine.domain.settings import Settings
from engine.domain.signals import Mode, RunKey
from engine.domain.time import MINUTE, minute_text
from engine.exchanges import ExchangeSpec, make_exchange, schema_of
from engine.runs.backtest import BacktestExecution
from engine.runs.generation import Board
from engine.runs.instance import Instance
from engine.runs.outcome import outcome_of
from engine.runs.portfolio import PortfolioExecution, portfolio_outcome
from engine.runs.silence import Call, call_under_way
from engine.runs.workers import WorkerControl, WorkerProgress
from engine.runtime import Engine
from engine.services.market import Market
from engine.services.pages import SharedPages
from engine.services.risk import RiskGate

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioJob(Job):
    """One portfolio; ``members`` are (symbol, strategy name) pairs."""

    members: tuple[tuple[str, str], ...]

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies that must be registered."""
        return tuple(dict.fromkeys(name for _, name in self.members))

    def who(self, code: int) -> str:
        """Whom the first integer of a worker's board means, for messages."""
        members = sorted(self.members)
        if 0 < code <= len(members):
            symbol, name = members[code - 1]
            return f"strategy {name!r} on {symbol}"
        return f"portfolio of {', '.join(f'{name} on {symbol}' for symbol, name in members)}"


def run_job(job: Job, control: WorkerControl) -> BacktestOutcome | PortfolioOutcome:
    """Run a job to its end in this process; what a worker calls.

    Raises:
        EngineError: whatever ended the run.
    """
    if not job.shared:
        return asyncio.run(_run(job, control, None))
    bench = control.kept.get(job.shared)
    if bench is None:
        bench = control.kept[job.shared] = Bench(job)
        control.endings.append(bench.close)
    return bench.runner.run(_run(job, control, bench))


class Bench:
    """What jobs that share bars find again when they run in one process, one after the other.

    Each of them executes its strategy files afresh; only bars, and the loop that an exchange's
    connections belong to, go from one to the next.

    Attributes:
        runner: the loop.
    """

    def __init__(self, job: Job) -> None:
        self.runner = asyncio.Runner()
        self._job = job
        self._pages: SharedPages | None = None
        self._market: Market | None = None
        self._engine: Engine | None = None

    def market(self, engine: Engine) -> Market:
        """The bars, for a job that runs in this engine.

        Raises:
            EngineError: the exchange is not registered, or cannot be opened.
        """
        self._engine = engine
        if self._market is None:
            job, schema = self._job, self._opened(engine)
            horizon = job.frame_end + MINUTE
            self._market = Market(schema, engine.settings, engine.clock, horizon, self._failed)
        return self._market

    def close(self) -> None:
        """Close the exchange and the loop."""
        if self._pages is not None:
            self.runner.run(self._pages.close())
        self.runner.close()

    def _opened(self, engine: Engine) -> ExchangeSchema:
        job, spec = self._job, self._job.exchange
        registered = engine.exchange(job.exchange_name, "Backtest") if spec is None else None

        def opened() -> ExchangeSchema:
            assert spec is not None
            return schema_of(make_exchange(spec, engine.clock, engine.settings, engine.cache), spec)

        self._pages = SharedPages(Path(job.shared), job.exchange_name, opened, registered)
        return self._pages.schema()

    def _failed(self, error: Exception, source: CandleKey) -> None:
        if self._engine is not None:
            self._engine.callback_failed(error, source)


class _Following:
    """The control thread's view of a job; of the run, only plain attributes are read."""

    def __init__(self, job: Job, board: Board) -> None:
        self._job = job
        self._board = board
        self._instance: Instance | None = None
        self._run: BacktestExecution | PortfolioExecution | None = None
        self._stopped = False

    @property
    def limit_seconds(self) -> float:
        return self._job.limit_seconds

    def begin(self, instance: Instance, run: BacktestExecution | PortfolioExecution) -> None:
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
        parts = run.members if isinstance(run, PortfolioExecution) else (run,)
        trades = sum(len(part.journal.trades) for part in parts)
        total = len(run.frame)
        fraction = run.processed / total if total else 1.0
        return WorkerProgress(fraction, run.when, run.processed, total, trades)

    def question(self) -> object:
        code, when = self._board[0], self._board[1]
        return (code, when) if code else None

    def call(self) -> Call | None:
        thread = threading.main_thread().ident
        task = self._instance.task if self._instance is not None else None
        return None if thread is None else call_under_way(thread, task)

    def silence(self, call: Call | None) -> str:
        return self._job.silence(self._board[0], self._board[1], call)


async def _run(
    job: Job, control: WorkerControl, bench: Bench | None
) -> BacktestOutcome | PortfolioOutcome:
    following = _Following(job, control.board)
    control.follow(following)
    async with Engine(cache=job.cache or None) as engine:
        engine.configure(job.settings, unsafe=True)  # checked by whoever made the job
        origins = _load(engine, job)
        if job.exchange is not None and bench is None:
            engine.open_exchange(job.exchange)
        engine.frames.remove(job.frame_name)  # a strategy file may have one of this name
        engine.frames.add(_frame(job))
        instance = _instance(engine, job, bench)
        instance.start()
        execution = instance.execution
        assert isinstance(execution, BacktestExecution | PortfolioExecution)
        following.begin(instance, execution)
        await instance.wait()
        if instance.failure is not None:
            raise _as_engine_error(instance.failure)
        if isinstance(execution, PortfolioExecution):
            return portfolio_outcome(execution, lambda name: origins[name])
        return outcome_of(execution, *origins[job.strategies[0]])


def _frame(job: Job) -> FrameSchema:
    return FrameSchema(
        frame_name=job.frame_name,
        interval=job.frame_interval,
        start_date=job.frame_start,
        end_date=job.frame_end,
    )


def _instance(engine: Engine, job: Job, bench: Bench | None) -> Instance:
    if isinstance(job, PortfolioJob):
        return engine.group_runs.portfolio(
            job.members, exchange_name=job.exchange_name, frame_name=job.frame_name
        )
    assert isinstance(job, BacktestJob)
    if bench is None:
        return engine.backtest(
            job.symbol, strategy_name=_named(engine, job).name, exchange_name=job.exchange_name,
            frame_name=job.frame_name,
        )  # fmt: skip
    strategy, market = engine.strategy(_named(engine, job).name, "Backtest"), bench.market(engine)
    names = (job.exchange_name, strategy.name, job.symbol, job.frame_name)
    key = RunKey(Mode.BACKTEST, *names)
    gate = RiskGate(engine.risks, engine.bus, engine.settings.max_signal_generation_seconds)
    execution = BacktestExecution(
        key=key, strategy=strategy, frame=_frame(job), settings=engine.settings, market=market,
        risk=gate, bus=engine.bus,
    )  # fmt: skip
    return Instance(key, engine.bus, lambda: execution, blocking_sink=True)


def _bar(when: int) -> str:
    return f"for the bar at {minute_text(when)}" if when else "before its first bar"


def _named(engine: Engine, job: BacktestJob) -> StrategySchema:
    """The strategy under the run's name and with its params."""
    strategy = engine.strategies.get(job.strategy_name, "Backtest")
    if not job.params and not job.run_name:
        return strategy
    engine.strategies.remove(job.strategy_name)
    return engine.strategies.add(varied(strategy, job.params, job.run_name))


def _load(engine: Engine, job: Job) -> dict[str, tuple[str, str]]:
    """Execute the files; file and hash of every strategy that they register."""
    problems: list[str] = []
    origins: dict[str, tuple[str, str]] = {}
    for path in job.strategy_files:
        loaded = engine.load_file(Path(path))
        origins.update({name: (path, loaded.sha256) for name in loaded.names("strategy")})
        if loaded.error:
            problems.append(loaded.error)
    missing = next((name for name in job.strategies if name not in origins), None)
    if missing is None:
        return origins
    if problems:
        raise StrategyFileError(
            f"strategy {missing!r} not found; files that could not be loaded: "
            + "; ".join(problems)
        )
    raise NotRegisteredError(
        f"strategy {missing!r} not found in {', '.join(job.strategy_files) or 'no file'}"
    )


def _as_engine_error(error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    return EngineError(f"{type(error).__name__}: {error}")
