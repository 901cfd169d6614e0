"""One run as users see it: identity, status, start, stop, wait; the same for every mode."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import uuid4

from engine.domain.errors import RunStateError
from engine.domain.events import Done, InstanceChanged
from engine.domain.signals import Mode, RunKey, TickResult
from engine.runs.session import Sink
from engine.services.bus import Bus

T = TypeVar("T")

IDLE: Final = "idle"
RUNNING: Final = "running"
STOPPING: Final = "stopping"
DONE: Final = "done"
FAILED: Final = "failed"

_log = logging.getLogger("signaldeck.run")


class Execution(Protocol):
    """What an instance runs: one session of one mode, from start to end."""

    def stop(self) -> None:
        """No new signals; end once nothing is held. Harmless when repeated."""
        ...

    def resume(self) -> None:
        """Take a stop back that has not ended the run yet."""
        ...

    async def run(self, sink: Sink | None) -> Any:
        """Run to the end, awaiting ``sink`` with every transition."""
        ...


class Channel(Generic[T]):
    """Hands items from one task to another; ``limit`` 0 lets the producer run ahead."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[T] = deque()
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._putter: asyncio.Future[None] | None = None

    async def put(self, item: T) -> None:
        """Hand over an item, once there is room."""
        while self._limit and len(self._items) >= self._limit:
            self._putter = asyncio.get_running_loop().create_future()
            await self._putter
        self._items.append(item)
        _wake(self._waiter)

    async def get(self) -> T | None:
        """The next item; None when the channel is closed and empty."""
        while not self._items:
            if self._closed:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        item = self._items.popleft()
        _wake(self._putter)
        return item

    def close(self) -> None:
        """No more items will come."""
        self._closed = True
        _wake(self._waiter)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


class Instance:
    """A run of one key; the same key always gives the same instance.

    Attributes:
        id: unique per process.
        key: identity of the run.
        error: the message of what ended it, "" otherwise.
        flags: words to show beside the status (``strategy missing``).
        execution: the present or last session, None before the first start.
    """

    def __init__(
        self, key: RunKey, bus: Bus, make: Callable[[], Execution], blocking_sink: bool
    ) -> None:
        self.id = uuid4().hex[:12]
        self.key = key
        self.error = ""
        self.flags: tuple[str, ...] = ()
        self.execution: Execution | None = None
        self._bus = bus
        self._make = make
        self._blocking_sink = blocking_sink
        self._status = IDLE
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._failure: Exception | None = None

    @property
    def status(self) -> str:
        """``idle | running | stopping | done | failed``."""
        return self._status

    @property
    def failure(self) -> Exception | None:
        """What ended the last session, if it failed."""
        return self._failure

    @property
    def is_stopped(self) -> bool:
        """Whether a stop was asked for since the last start."""
        return self._stopped

    @property
    def is_done(self) -> bool:
        """Whether the last session ended."""
        return self._status in (DONE, FAILED)

    @property
    def is_running(self) -> bool:
        """Whether a session is under way."""
        return self._status in (RUNNING, STOPPING)

    @property
    def is_stuck(self) -> bool:
        """Whether its strategy overran its time limit and has still not returned."""
        session = getattr(self.execution, "session", None)
        return session is not None and session.source.stuck

    async def get_status(self) -> str:
        """The status, as a coroutine like every method of the execution classes."""
        return self._status

    def restore(self, status: str, error: str) -> None:
        """Take over the status of a session that ended in an earlier process."""
        self.error = error
        self._status = status if status in (DONE, FAILED) else DONE
        self._stopped = True

    def start(self, sink: Sink | None = None, make: Callable[[], Execution] | None = None) -> None:
        """Run as a background task; while one is under way this does nothing.

        A start after a stop opens a new session; while the run is still draining it resumes it.

        Args:
            sink: awaited with every transition.
            make: makes this one session, instead of what the instance was made with.
        """
        if self.is_running and self._task is not None and not self._task.done():
            if self._status == STOPPING and self.execution is not None:
                self.execution.resume()
                self._stopped = False
                self._become(RUNNING)
            return
        self.execution = (make or self._make)()
        self._stopped = False
        self.error = ""
        self._become(RUNNING)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(self.execution, sink), name=str(self.key))

    def stop(self) -> None:
        """Ask for a graceful end: no new signals, what is open is watched to its close."""
        if self._status == RUNNING and self.execution is not None:
            self._stopped = True
            self._become(STOPPING)
            self.execution.stop()

    async def wait(self) -> None:
        """Return when the present session has ended; its failure is in ``error``."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def cancel(self) -> None:
        """End the present session at once, wherever it is, and wait for it."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
            self._ended_unbegun()

    def _ended_unbegun(self) -> None:
        if self.is_running:  # cancelled before its first step, so nothing in it could say so
            self._stopped = True
            self._become(DONE)

    async def results(self, accepts: Callable[[TickResult], bool]) -> AsyncIterator[TickResult]:
        """Start, and iterate over the accepted results; leaving the iteration cancels the run.

        Raises:
            RunStateError: a session of this key is under way.
            EngineError: whatever ended the run.
        """
        if self.is_running:
            raise RunStateError(
                f"{self.key} is already running: wait for it, stop it, or use another name"
            )
        # One slot: a backtest never runs ahead of its consumer, a live run never waits for it.
        channel: Channel[TickResult] = Channel(1 if self._blocking_sink else 0)

        async def sink(result: TickResult) -> None:
            if accepts(result):
                await channel.put(result)

        self.start(sink)
        task = self._task
        assert task is not None
        task.add_done_callback(lambda _: channel.close())
        try:
            while (item := await channel.get()) is not None:
                yield item
            if self._failure is not None:
                raise self._failure
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
                self._ended_unbegun()

    async def _run(self, execution: Execution, sink: Sink | None) -> None:
        self._failure = None
        try:
            await execution.run(sink)
        except asyncio.CancelledError:
            self._stopped = True
            self._become(DONE)
            raise
        except Exception as error:
            _log.info("%s failed", self.key, exc_info=error)
            self._failure = error
            self.error = str(error)
            if sink is None:
                self._bus.publish("exit", error)
            self._become(FAILED)
        else:
            self._become(DONE)
            self._publish_done()

    def _become(self, status: str) -> None:
        self._status = status
        self._bus.publish(
            "instance", InstanceChanged(self.id, self.key, status, self.key.mode, error=self.error)
        )

    def _publish_done(self) -> None:
        key = self.key
        backtest = key.mode is Mode.BACKTEST
        self._bus.publish(
            "done_backtest" if backtest else "done_live",
            Done(key, key.symbol, key.strategy_name, key.exchange_name, key.frame_name, backtest),
        )
