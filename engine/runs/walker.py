"""A walker: backtests strategies one after the other, or several at a time, and ranks them.

Where a strategy is tested (in this process or in workers of its own) is the `Runner`'s business;
what is asked, told and ranked is the same everywhere. Final results depend on nothing but the
strategies and the bars: with several at a time only the order of the events differs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from engine.core.ranking import best, judged, metric_value, ranked
from engine.domain.errors import RunStateError, run_error
from engine.domain.events import (
    BacktestProgress,
    WalkerComplete,
    WalkerEvent,
    WalkerProgress,
)
from engine.domain.outcome import BacktestOutcome
from engine.domain.schemas import FrameSchema
from engine.domain.signals import Mode, RunKey
from engine.domain.walks import Candidate, Status, WalkedStrategy, WalkerSchema, WalkerStatistics
from engine.runs.backtest import BacktestExecution
from engine.runs.outcome import outcome_of
from engine.runs.session import Sink
from engine.runs.worker_process import WorkerProgress
from engine.services.bus import Bus
from engine.services.isolation import failure_of

_log = logging.getLogger("signaldeck.walker")
Told = Callable[[WorkerProgress], None]


class StrategyRun(Protocol):
    """One candidate being tested."""

    @property
    def progress(self) -> float:
        """How far it is, 0 to 1."""
        ...

    def stop(self) -> None:
        """Ask for a graceful end; the outcome so far is still delivered."""
        ...

    async def outcome(self) -> BacktestOutcome:
        """The whole backtest; cancelling this ends it at once.

        Raises:
            EngineError: what ended it.
        """
        ...


class Runner(Protocol):
    """Where candidates are tested.

    Attributes:
        parallel: how many at a time.
    """

    @property
    def parallel(self) -> int:
        """How many candidates are tested at a time."""
        ...

    def begin(self, candidate: Candidate, told: Told) -> StrategyRun:
        """Begin to test a candidate; ``told`` hears of its progress on the running loop."""
        ...

    async def close(self) -> None:
        """Give back what the whole comparison shared."""
        ...


class InlineRunner:
    """Tests candidates in this process, one at a time, on bars they share.

    Args:
        make: makes the backtest of a candidate.
        origin: file and SHA-256 of a strategy by its name.
    """

    parallel = 1

    def __init__(
        self,
        make: Callable[[Candidate], BacktestExecution],
        origin: Callable[[str], tuple[str, str]],
    ) -> None:
        self._make = make
        self._origin = origin

    def begin(self, candidate: Candidate, told: Told) -> StrategyRun:
        """Make the candidate's backtest; its progress is published by the backtest itself."""
        return _InlineRun(self._make(candidate), *self._origin(candidate.strategy_name))

    async def close(self) -> None:
        """Nothing is held."""


class _InlineRun:
    def __init__(self, execution: BacktestExecution, file: str, digest: str) -> None:
        self._execution = execution
        self._origin = file, digest

    @property
    def progress(self) -> float:
        run = self._execution
        return run.processed / len(run.frame) if len(run.frame) else 0.0

    def stop(self) -> None:
        self._execution.stop()

    async def outcome(self) -> BacktestOutcome:
        await self._execution.run(None)
        return outcome_of(self._execution, *self._origin)


@dataclass(slots=True)
class _Entry:
    """One candidate's place in the walk."""

    place: int
    candidate: Candidate
    status: Status = "waiting"
    run: StrategyRun | None = None
    task: asyncio.Task[BacktestOutcome] | None = None
    outcome: BacktestOutcome | None = None
    error: str = ""

    def walked(self) -> WalkedStrategy:
        progress = 1.0 if self.status == "done" else self.run.progress if self.run else 0.0
        return WalkedStrategy(self.candidate, self.status, None, progress, self.outcome, self.error)


class WalkerExecution:
    """One walk from start to end; an `engine.runs.instance.Execution`.

    Args:
        key: identity of the run; its ``strategy_name`` is the walker's.
        walker: metric and callbacks.
        frame: what is walked over.
        candidates: what is tried, in order.
        runner: where.
        bus: where events go.
        changed: called whenever `statistics` would say something new.
    """

    def __init__(
        self,
        *,
        key: RunKey,
        walker: WalkerSchema,
        frame: FrameSchema,
        candidates: Sequence[Candidate],
        runner: Runner,
        bus: Bus,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.key = key
        self.walker = walker
        self.stopped = False
        self._frame = frame
        self._entries = [_Entry(at, candidate) for at, candidate in enumerate(candidates)]
        self._waiting = deque(self._entries)
        self._running: list[_Entry] = []
        self._runner = runner
        self._bus = bus
        self._changed = changed
        self._skipped: set[str] = set()
        self._leader: _Entry | None = None
        self._tested_count = 0
        self._ended_count = 0

    # -- what is asked of a walk -------------------------------------------------------------------

    def stop(self) -> None:
        """No further strategy; the ones being tested end as a stopped backtest does."""
        self.stopped = True
        for entry in self._running:
            if entry.run is not None:
                entry.run.stop()

    def resume(self) -> bool:
        """A stopped walk has cut its strategies short, so it is not taken up again."""
        return False

    def skip(self, name: str) -> None:
        """Leave a candidate out, or end it if it is being tested; the others go on.

        Raises:
            RunStateError: there is no such candidate, or it has ended.
        """
        entry = next((item for item in self._entries if item.candidate.name == name), None)
        if entry is None:
            names = ", ".join(item.candidate.name for item in self._entries)
            raise RunStateError(f"{self.key} does not try {name!r}: it tries {names}")
        if entry.status not in ("waiting", "running"):
            raise RunStateError(f"{self.key}: {name} is {entry.status}: it cannot be skipped")
        self._skipped.add(name)
        if entry.status == "waiting":
            self._waiting.remove(entry)
            entry.status = "skipped"
            self._tell_progress(entry)
        elif entry.run is not None:
            entry.run.stop()

    def statistics(self, metric: str = "") -> WalkerStatistics:
        """What has been found so far.

        Args:
            metric: to rank by; "" is the walker's own.
        """
        metric = metric or self.walker.metric
        found = judged((entry.walked() for entry in self._entries), metric)
        winner = best(found)
        key = self.key
        return WalkerStatistics(
            walker_name=key.strategy_name,
            symbol=key.symbol,
            exchange_name=key.exchange_name,
            frame_name=key.frame_name,
            frame_interval=self._frame.interval,
            frame_start=self._frame.start_date,
            frame_end=self._frame.end_date,
            metric=metric,
            strategies=ranked(found),
            best_strategy=winner.strategy_name if winner else None,
            best_metric=winner.metric_value if winner else None,
            best_stats=winner.stats if winner else None,
            total_strategies=len(found),
            strategies_tested=sum(item.status == "done" for item in found),
            stopped=self.stopped,
        )

    # -- the walk ----------------------------------------------------------------------------------

    async def run(self, sink: Sink | None) -> None:
        """Test every candidate; ``sink`` is awaited with every `WalkerEvent`."""
        try:
            while True:
                await self._begin_more()
                tasks = [entry.task for entry in self._running if entry.task is not None]
                if not tasks:
                    break
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for entry in [item for item in self._running if item.task and item.task.done()]:
                    self._running.remove(entry)
                    await self._ended(entry, sink)
        except BaseException:
            self.stopped = True
            raise
        finally:
            await self._abandon()
        await self._complete()

    async def _begin_more(self) -> None:
        while self._waiting and not self.stopped and len(self._running) < self._runner.parallel:
            entry = self._waiting[0]
            name = entry.candidate.name
            await self._call("on_strategy_start", name, self.key.symbol)
            if self.stopped or entry.status != "waiting":  # by that callback
                continue
            self._waiting.popleft()
            entry.status = "running"
            entry.task = asyncio.create_task(self._test(entry), name=f"{self.key} {name}")
            self._running.append(entry)
            self._changed()

    async def _test(self, entry: _Entry) -> BacktestOutcome:
        name = entry.candidate.name
        entry.run = self._runner.begin(entry.candidate, lambda made: self._told(name, made))
        if self.stopped or name in self._skipped:
            entry.run.stop()
        return await entry.run.outcome()

    async def _abandon(self) -> None:
        """However the walk ends, nothing of it goes on."""
        tasks = [entry.task for entry in self._running if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for entry in (*self._running, *self._waiting):
            entry.status = "stopped"
        await self._runner.close()

    async def _ended(self, entry: _Entry, sink: Sink | None) -> None:
        assert entry.task is not None
        skipped = entry.candidate.name in self._skipped
        try:
            entry.outcome = entry.task.result()
        except asyncio.CancelledError:
            entry.status, entry.error = "failed", "was cancelled from outside"
        except Exception as error:
            if skipped or self.stopped:  # it was stopped before it could begin
                entry.status = "skipped" if skipped else "stopped"
            else:
                entry.status, entry.error = "failed", _text(error)
                await self._failed(entry, error)
        else:
            cut = "skipped" if skipped else "stopped"
            entry.status = cut if entry.outcome.stopped else "done"
        self._judge(entry)
        self._tell_progress(entry)
        if entry.status == "done":
            await self._tested(entry, sink)

    def _judge(self, entry: _Entry) -> None:
        """Keep count and the best one so far; a tie goes to the one the walker names first."""
        if entry.status != "done":
            return
        self._tested_count += 1
        value, leader = self._value(entry), self._leader
        if value is None:
            return
        held = None if leader is None else self._value(leader)
        if leader is None or held is None or (value, -entry.place) > (held, -leader.place):
            self._leader = entry

    async def _tested(self, entry: _Entry, sink: Sink | None) -> None:
        assert entry.outcome is not None
        stats, name, value = entry.outcome.statistics, entry.candidate.name, self._value(entry)
        await self._call("on_strategy_complete", name, self.key.symbol, stats, value)
        key = self.key
        event = WalkerEvent(
            key, key.strategy_name, key.exchange_name, key.frame_name, key.symbol, name, stats,
            value, self.walker.metric, *self._best_so_far(), self._tested_count,
            len(self._entries),
        )  # fmt: skip
        self._bus.publish("walker", event)
        if sink is not None:
            await sink(cast(Any, event))

    async def _failed(self, entry: _Entry, error: Exception) -> None:
        name, key = entry.candidate.name, self.key
        _log.info("%s: %s failed", key, name, exc_info=error)
        told = run_error(error, replace(key, strategy_name=name), stage="walker")
        self._bus.publish("error", told)
        await self._call("on_strategy_error", name, key.symbol, error)

    async def _complete(self) -> None:
        found, key = self.statistics(), self.key
        self._changed()
        await self._call("on_complete", found)
        event = WalkerComplete(
            key, key.strategy_name, key.symbol, key.exchange_name, key.frame_name, found.metric,
            found.total_strategies, found.strategies_tested, found.best_strategy,
            found.best_metric, found.best_stats,
        )  # fmt: skip
        self._bus.publish("walker_complete", event)

    # -- telling -----------------------------------------------------------------------------------

    def _told(self, name: str, made: WorkerProgress) -> None:
        """A worker says how far it is: what an inline backtest publishes itself."""
        self._changed()
        if self._bus.wants("progress_backtest"):
            key = replace(self.key, mode=Mode.BACKTEST, strategy_name=name)
            event = BacktestProgress(
                key, key.symbol, name, key.exchange_name, key.frame_name, made.processed,
                made.total, made.fraction, made.when,
            )  # fmt: skip
            self._bus.publish("progress_backtest", event)

    def _tell_progress(self, entry: _Entry) -> None:
        """An entry has ended, however it did."""
        self._changed()
        self._ended_count += 1
        total, key = len(self._entries), self.key
        stats = entry.outcome.statistics if entry.outcome and entry.status == "done" else None
        best_metric, best_strategy = self._best_so_far()
        event = WalkerProgress(
            key, key.strategy_name, key.exchange_name, key.frame_name, key.symbol, total,
            self._ended_count, self._ended_count / total, entry.candidate.name,
            self._tested_count, self.walker.metric, self._value(entry), best_strategy,
            best_metric, stats,
        )  # fmt: skip
        self._bus.publish("progress_walker", event)

    def _value(self, entry: _Entry) -> float | None:
        if entry.status != "done" or entry.outcome is None:
            return None
        return metric_value(entry.outcome.statistics, self.walker.metric)

    def _best_so_far(self) -> tuple[float | None, str | None]:
        leader = self._leader
        return (None, None) if leader is None else (self._value(leader), leader.candidate.name)

    async def _call(self, name: str, *arguments: Any) -> None:
        callback = self.walker.callbacks.get(name)
        if callback is None:
            return
        error = await failure_of(callback, *arguments)
        if error is not None:
            self._bus.publish("error", run_error(error, self.key, stage="callback"))


def _text(error: Exception) -> str:
    text = str(error)
    return text or type(error).__name__
