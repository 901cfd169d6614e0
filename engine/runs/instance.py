"""One run as users see it: identity, status, start, stop, wait; the same for every mode."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import uuid4

from engine.domain.errors import (
    CandleDataError,
    ExchangeError,
    NoDataError,
    RunStateError,
    run_error,
)
from engine.domain.events import Done, InstanceChanged
from engine.domain.signals import Mode, RunKey, TickResult
from engine.runs.session import Sink
from engine.services.bus import Bus, outside_listeners, waiting_for_a_run

T = TypeVar("T")

IDLE: Final = "idle"
RUNNING: Final = "running"
STOPPING: Final = "stopping"
DONE: Final = "done"
FAILED: Final = "failed"

_CANCELS: Final = 3
_CANCEL_SECONDS: Final = 1.0
_log = logging.getLogger("signaldeck.run")


class Execution(Protocol):
    """What an instance runs: one session of one mode, from start to end."""

    def stop(self) -> None:
        """No new signals; end once nothing is held. Harmless when repeated."""
        ...

    def resume(self) -> bool:
        """Take a stop back; False when the run is ending already."""
        ...

    async def run(self, sink: Sink | None) -> Any:
        """Run to the end, awaiting ``sink`` with every transition."""
        ...


class Channel(Generic[T]):
    """Hands items from one task to another.

    With ``rendezvous`` the producer goes on only when its consumer asks for the next item, so that
    a consumer that stops after two items has stopped the producer after two.
    """

    def __init__(self, *, rendezvous: bool) -> None:
        self._rendezvous = rendezvous
        self._items: deque[T] = deque()
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._putter: asyncio.Future[None] | None = None

    async def put(self, item: T) -> None:
        """Hand over an item."""
        self._items.append(item)
        _wake(self._waiter)
        if self._rendezvous and not self._closed:
            self._putter = asyncio.get_running_loop().create_future()
            await self._putter

    async def get(self) -> T | None:
        """The next item; None when the channel is closed and empty."""
        if not self._items:
            _wake(self._putter)
        while not self._items:
            if self._closed:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            with waiting_for_a_run():
                await self._waiter
        return self._items.popleft()

    def close(self) -> None:
        """No more items will come, and none are wanted."""
        self._closed = True
        _wake(self._waiter)
        _wake(self._putter)


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
        self._abandoned = False
        self._cancelled = False
        self._again = False

    @property
    def status(self) -> str:
        """``idle | running | stopping | done | failed``."""
        return self._status

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task of the present or last session."""
        return self._task

    @property
    def failure(self) -> Exception | None:
        """What ended the last session, if it failed."""
        return self._failure

    @property
    def is_cancelled(self) -> bool:
        """Whether the last session was ended from outside, wherever it was."""
        return self._cancelled

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
                if self.execution.resume():
                    self._stopped = False
                    self._become(RUNNING)
                else:
                    self._again = True  # it is ending already, so a new session follows
            return
        loop = asyncio.get_running_loop()
        self.execution = (make or self._make)()
        self._stopped = False
        self.error = ""
        self._abandoned = self._cancelled = self._again = False
        self._become(RUNNING)
        # Started inside another run's listener or strategy or not: this run is nobody's event
        # being handled, and knows no other run's instant.
        self._task = loop.create_task(
            self._run(self.execution, sink), name=str(self.key), context=outside_listeners()
        )

    def stop(self) -> None:
        """Ask for a graceful end: no new signals, what is open is watched to its close."""
        if self._status == RUNNING and self.execution is not None:
            self._stopped = True
            self._become(STOPPING)
            self.execution.stop()

    async def wait(self) -> None:
        """Return when the present session has ended; its failure is in ``error``."""
        if self._task is not None:
            with waiting_for_a_run():
                await asyncio.wait([self._task])

    async def cancel(self) -> None:
        """End the present session at once, wherever it is, and wait for it."""
        if self._task is not None and not self._task.done():
            for _ in range(_CANCELS):
                self._task.cancel()
                with waiting_for_a_run():
                    _, left = await asyncio.wait([self._task], timeout=_CANCEL_SECONDS)
                if not left:
                    break
            else:
                _log.error("%s does not end: its strategy swallows cancellation", self.key)
            self._ended_unbegun()

    def _ended_unbegun(self) -> None:
        if self.is_running:  # cancelled before its first step, so nothing in it could say so
            self._stopped = True
            self._become(DONE)

    def results(self, accepts: Callable[[TickResult], bool]) -> Results:
        """The accepted results of a new session, which starts with the first one asked for."""
        return Results(self, accepts, rendezvous=self._blocking_sink)

    async def begin(self, sink: Sink) -> asyncio.Task[None]:
        """Start a session for one consumer.

        Raises:
            RunStateError: a session of this key is under way.
        """
        if self._abandoned and self._task is not None:
            await self.cancel()  # its consumer left it a moment ago
        if self.is_running:
            raise RunStateError(
                f"{self.key} is already running: wait for it, stop it, or use another name"
            )
        self.start(sink)
        assert self._task is not None
        return self._task

    def abandon(self, task: asyncio.Task[None]) -> None:
        """The consumer of this session is gone: end it."""
        if not task.done():
            self._abandoned = True
            task.cancel()

    async def _run(self, execution: Execution, sink: Sink | None) -> None:
        self._failure = None
        try:
            await execution.run(sink)
        except asyncio.CancelledError:
            self._stopped = True
            self._cancelled = True
            self._become(DONE)
            if self._abandoned:
                self._publish_done()
            raise
        except Exception as error:
            _log.info("%s failed", self.key, exc_info=error)
            self._failure = error
            self.error = str(error)
            if isinstance(error, (CandleDataError, ExchangeError, NoDataError)):
                when = getattr(self.execution, "when", None)
                told = run_error(error, self.key, stage="exchange", when=when)
                self._bus.publish("error", told)
            if sink is None:
                self._bus.publish("exit", error)
            self._become(FAILED)
        else:
            self._become(DONE)
            self._publish_done()
            if self._again:
                self._again = False
                asyncio.get_running_loop().call_soon(self.start)

    def _become(self, status: str) -> None:
        self._status = status
        self._bus.publish(
            "instance", InstanceChanged(self.id, self.key, status, self.key.mode, error=self.error)
        )

    def _publish_done(self) -> None:
        # A portfolio ends as the backtests it is made of.
        members: tuple[RunKey, ...] | None = getattr(self.execution, "member_keys", None)
        for key in members or (self.key,):
            self._bus.publish(
                f"done_{key.mode}",
                Done(
                    key, key.symbol, key.strategy_name, key.exchange_name, key.frame_name,
                    key.mode is not Mode.LIVE,
                ),
            )  # fmt: skip


class Results:
    """Iterates over the results of one session; leaving the iteration ends the session."""

    def __init__(
        self, instance: Instance, accepts: Callable[[TickResult], bool], *, rendezvous: bool
    ) -> None:
        channel: Channel[TickResult] = Channel(rendezvous=rendezvous)

        async def sink(result: TickResult) -> None:
            # Without a reference to the iterator: a run must not keep its consumer alive.
            if accepts(result):
                await channel.put(result)

        self._instance = instance
        self._channel = channel
        self._sink = sink
        self._task: asyncio.Task[None] | None = None

    def __aiter__(self) -> Results:
        return self

    async def __anext__(self) -> TickResult:
        if self._task is None:
            self._task = await self._instance.begin(self._sink)
            channel = self._channel
            self._task.add_done_callback(lambda _: channel.close())
        try:
            item = await self._channel.get()
        except asyncio.CancelledError:
            self._instance.abandon(self._task)
            raise
        if item is not None:
            return item
        if self._instance.failure is not None:
            raise self._instance.failure
        if self._instance.is_cancelled:
            raise RunStateError(f"{self._instance.key} was cancelled before its end")
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the session and wait for it."""
        if self._task is not None and not self._task.done():
            self._channel.close()
            self._instance.abandon(self._task)
            with waiting_for_a_run():
                await asyncio.wait([self._task])

    def __del__(self) -> None:
        if self._task is not None and not self._task.done():
            loop = self._task.get_loop()
            if not loop.is_closed():
                self._instance.abandon(self._task)
