"""Walkers over worker processes: each strategy in one of its own, the bars shared by all."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from engine.domain.errors import NotRegisteredError
from engine.domain.outcome import BacktestOutcome
from engine.domain.schemas import ExchangeSchema
from engine.domain.time import MINUTE
from engine.domain.walks import Candidate
from engine.exchanges import ExchangeSpec
from engine.jobs import ENTRY, BacktestJob
from engine.runs.backtest import first_asked
from engine.runs.group_runs import Walk
from engine.runs.walker import StrategyRun, Told
from engine.runs.workers import WorkerPool, WorkerProgress, WorkerRun
from engine.runtime import Engine
from engine.services.pages import SharedPages

_PREFIX = "signaldeck-walker-"
_log = logging.getLogger("signaldeck.walker")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a worker process finds what a walk names.

    Attributes:
        files_for: the strategy files a strategy needs, in the order in which they win.
        exchange: how to open the exchange; None when a strategy file registers it.
        cache: folder of the candle cache; "" for none.
        opened: the exchange, if it is open here already; then the bars that every strategy starts
            with come from here.
    """

    files_for: Callable[[str], tuple[str, ...]]
    exchange: ExchangeSpec | None
    cache: str = ""
    opened: ExchangeSchema | None = None


class PoolRunner:
    """Tests the candidates of a walk in worker processes.

    A process that has tested one candidate goes on to the next, so strategy files are executed
    afresh for each, but bars are loaded once per process. The bars are kept in a folder as long as
    the walk lasts: whoever needs some first fetches them, the others map them into memory.

    Args:
        walk: what is compared.
        sources: where workers find it.
        parallel: how many workers at a time.
        pool: where they run, if it is not to be one of the walk's own.
        give_back: awaited at the end instead of closing a pool that was given.
    """

    def __init__(
        self,
        walk: Walk,
        sources: Sources,
        parallel: int,
        pool: WorkerPool | None = None,
        give_back: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._walk = walk
        self._sources = sources
        self._parallel = parallel
        self._pool = pool or WorkerPool(ENTRY, parallel)
        self._close = give_back if pool is not None else self._pool.close
        self._folder = ""
        self._ready: asyncio.Task[None] | None = None

    @property
    def parallel(self) -> int:
        """How many candidates are tested at a time."""
        return self._parallel

    def begin(self, candidate: Candidate, told: Told) -> StrategyRun:
        """Submit the candidate's backtest.

        Raises:
            NotRegisteredError: its strategy is in no file that a worker could load.
        """
        walk, sources = self._walk, self._sources
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix=_PREFIX)
        if self._ready is None:
            # They get ready while the bars are gathered.
            self._pool.warm(self._folder, min(self._parallel, len(walk.candidates)))
            self._ready = asyncio.create_task(self._prepare())
        job = BacktestJob(
            strategy_files=sources.files_for(candidate.strategy_name),
            strategy_name=candidate.strategy_name,
            symbol=walk.key.symbol,
            exchange_name=walk.key.exchange_name,
            exchange=sources.exchange,
            frame_interval=walk.frame.interval,
            frame_start=walk.frame.start_date,
            frame_end=walk.frame.end_date,
            settings=walk.settings.model_dump(),
            frame_name=walk.key.frame_name,
            shared=self._folder,
            cache=sources.cache,
            params=candidate.params,
            run_name=candidate.name,
        )
        return _PooledRun(self._pool, job, told, self._ready)

    async def close(self) -> None:
        """Kill what still runs and remove the folder."""
        if self._ready is not None:
            self._ready.cancel()
            await asyncio.gather(self._ready, return_exceptions=True)
        self._pool.release(self._folder)
        if self._close is not None:
            await self._close()
        if self._folder:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _prepare(self) -> None:
        """Put the bars that every strategy starts with into the folder."""
        opened, walk = self._sources.opened, self._walk
        if opened is None:
            return
        pages = SharedPages(Path(self._folder), opened.name, registered=opened)
        # Beyond the frame on both sides: a hole at its start is looked behind, and what is held at
        # its end is followed.
        margin = (walk.settings.max_gap_minutes + 2) * MINUTE
        since = first_asked(walk.frame.start_date, walk.settings) - margin
        try:
            pages.schema()
            await pages.gather(walk.key.symbol, since, walk.frame.end_date + margin)
        except Exception as error:
            # The strategies will run into it themselves, after the retries it deserves.
            _log.info("%s: bars could not be gathered: %s", walk.key, error)


class _PooledRun:
    def __init__(
        self, pool: WorkerPool, job: BacktestJob, told: Told, ready: asyncio.Task[None]
    ) -> None:
        self._pool = pool
        self._job = job
        self._progress = 0.0
        self._told = told
        self._ready = ready
        self._stopped = False
        self._run: WorkerRun | None = None

    @property
    def progress(self) -> float:
        return self._progress

    def stop(self) -> None:
        self._stopped = True
        if self._run is not None:
            self._run.stop()

    async def outcome(self) -> BacktestOutcome:
        await asyncio.wait([self._ready])
        run = self._run = self._pool.submit(self._job, self._hear, keep=self._job.shared)
        if self._stopped:
            run.stop()
        try:
            return await run.result()
        except asyncio.CancelledError:
            run.kill()
            raise

    def _hear(self, progress: WorkerProgress) -> None:
        self._progress = progress.fraction
        self._told(progress)


class _SharedPool:
    """One pool for walks that are under way at the same time; closed with the last of them."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: WorkerPool | None = None
        self._users = 0

    def take(self) -> WorkerPool:
        if self._pool is None:
            self._pool = WorkerPool(ENTRY, self._workers)
        self._users += 1
        return self._pool

    async def give_back(self) -> None:
        self._users -= 1
        if not self._users and self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()


def pool_runner(engine: Engine, workers: int) -> Callable[[Walk], PoolRunner]:
    """Makes runners for walks whose strategies and exchange worker processes can load as well.

    Walks that are under way at the same time share the processes.

    Args:
        engine: its files and exchanges.
        workers: how many processes; 0 is one per processor.
    """
    workers = workers or os.cpu_count() or 1
    shared = _SharedPool(workers)

    def make(walk: Walk) -> PoolRunner:
        name = walk.key.exchange_name
        spec = engine.exchange_specs.get(name)
        sources = Sources(
            files_for=lambda strategy: files_for(engine, strategy, name, spec),
            exchange=spec,
            cache=str(engine.cache or ""),
            # Not one that a strategy file registers: what its function does belongs in a worker.
            opened=engine.exchanges.find(name) if spec is not None else None,
        )
        return PoolRunner(walk, sources, workers, shared.take(), shared.give_back)

    return make


def check_files(engine: Engine, walk: Walk) -> None:
    """See that worker processes can find all that a walk names.

    Raises:
        NotRegisteredError: something was registered in code.
    """
    name = walk.key.exchange_name
    for strategy in walk.strategies:
        files_for(engine, strategy, name, engine.exchange_specs.get(name))


def files_for(
    engine: Engine, strategy_name: str, exchange_name: str, spec: ExchangeSpec | None
) -> tuple[str, ...]:
    """The loaded files a worker needs to run a strategy, in the order in which they win.

    Raises:
        NotRegisteredError: something was registered in code, where no worker finds it.
    """
    strategy = engine.strategies.get(strategy_name, "Walker")
    needed = {("strategy", strategy_name), *(("risk", name) for name in strategy.risk_names)}
    if spec is None:
        needed.add(("exchange", exchange_name))
    found: list[str] = []
    for file in engine.files:
        here = needed & {*file.components}
        if here:
            needed -= here
            found.append(str(Path(file.path).absolute()))
    if needed:
        kind, name = min(needed)
        raise NotRegisteredError(
            f"{kind} {name!r} was registered in code, where worker processes cannot find it: put "
            "it into a strategy file and load that with Engine.load_file, or use one worker"
        )
    return tuple(found)
