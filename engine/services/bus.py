"""The event bus: every listener has its own bounded queue and task.

A slow or failing listener therefore harms nobody but itself, and order is kept per listener. An
event is handled in the context it was published in, so data functions work inside listeners.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context, ContextVar, copy_context
from time import monotonic
from typing import Any, Final, TypeAlias

from engine.domain.errors import RunError, SchemaError, run_error
from engine.domain.schemas import is_async
from engine.domain.signals import Action, TickResult
from engine.domain.texts import check_function
from engine.services.context import current_execution
from engine.services.isolation import failure_of, user_error

Listener: TypeAlias = Callable[[Any], Any]
Unsubscribe: TypeAlias = Callable[[], None]

TOPICS: Final = (
    "signal", "signal_live", "signal_backtest", "error", "exit", "done_live", "done_backtest",
    "done_walker", "progress_backtest", "progress_walker", "progress_optimizer", "performance",
    "walker", "walker_complete", "validation", "partial_profit", "partial_loss", "risk",
    "instance", "data", "exchange",
)  # fmt: skip

DEFAULT_QUEUE: Final = 10_000
_SIGNALS: Final = ("signal", "signal_live", "signal_backtest")
_DELIVERED: Final = (*_SIGNALS, "partial_profit", "partial_loss", "risk")
"""Topics whose events have to reach their listeners, after a restart if need be."""

_PACED: Final = (*_SIGNALS, "performance", "partial_profit", "partial_loss")
_YIELD_SECONDS: Final = 0.020
_CLOSE_SECONDS: Final = 2.0
_TICKS: Final = (Action.IDLE, Action.ACTIVE)
_log = logging.getLogger("signaldeck.bus")
_handling: ContextVar[Subscription | None] = ContextVar("signaldeck_handling", default=None)


def waiting_for_a_run() -> AbstractContextManager[None]:
    """Around code that waits for a run, so that the run does not wait for the waiting listener."""
    subscription = _handling.get()
    return nullcontext() if subscription is None else subscription.parked()


def outside_listeners() -> Context:
    """A copy of the current context for a task that outlives the user code that starts it.

    It belongs to no event that is being handled, and to no instant of any run.
    """
    context = copy_context()
    context.run(_handling.set, None)
    context.run(current_execution.set, None)
    return context


class Subscription:
    """One listener of one topic, with its queue; ``dropped`` counts events lost to overflow."""

    def __init__(
        self, bus: Bus, topic: str, listener: Listener, maxsize: int, transitions_only: bool
    ) -> None:
        self.topic = topic
        self.transitions_only = transitions_only
        self.dropped = 0
        self._bus = bus
        self._listener = listener
        self._maxsize = maxsize
        self._queue: deque[tuple[Any, Context]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._taken = 0
        self._handled = 0
        self._parked = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def offer(self, payload: Any) -> None:
        """Queue an event and make sure the listener's task is there to take it."""
        if len(self._queue) >= self._maxsize:
            self.dropped += 1
            if self.dropped == 1:
                _log.warning(
                    "listener of %s is too slow: events are dropped (queue of %d is full)",
                    self.topic,
                    self._maxsize,
                )
            return
        self._queue.append((payload, copy_context()))
        self._taken += 1
        if self._task is None or self._task.done():
            self._bus.busy(self)
            context = copy_context()
            context.run(_handling.set, self)
            self._task = asyncio.get_running_loop().create_task(self._drain(), context=context)

    @property
    def backlog(self) -> float:
        """How full the queue is, 0 to 1."""
        return len(self._queue) / self._maxsize

    @property
    def is_behind(self) -> bool:
        """Whether there are events to wait for, and the caller may wait for them."""
        behind = self._handled < self._taken and not self._parked
        return behind and _handling.get() is not self

    async def caught_up(self) -> None:
        """Return when everything taken so far has been handled, or while the listener is parked."""
        if self._handled < self._taken and not self._parked:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((self._taken, future))
            await future

    @contextmanager
    def parked(self) -> Generator[None]:
        """The listener waits for a run: nobody may wait for the listener meanwhile."""
        self._parked += 1
        self._release(self._taken)
        try:
            yield
        finally:
            self._parked -= 1

    def close(self) -> None:
        """Stop listening; what is queued is dropped."""
        self._queue.clear()
        self._bus.discard(self)
        if self._task is None or self._task.done():
            self._release(self._taken)

    async def aclose(self) -> None:
        """Stop listening and end the task."""
        self.close()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _drain(self) -> None:
        # The task ends when the queue is empty: idle listeners cost nothing, not even at exit.
        pause = monotonic() + _YIELD_SECONDS
        try:
            while self._queue:
                payload, context = self._queue.popleft()
                await self._handle(payload, context)
                self._handled += 1
                if self._waiters:
                    self._release(self._handled)
                if monotonic() > pause:
                    await asyncio.sleep(0)
                    pause = monotonic() + _YIELD_SECONDS
        finally:
            self._handled = self._taken - len(self._queue)
            self._release(self._handled)
            self._bus.idle(self)

    def _release(self, handled: int) -> None:
        kept: list[tuple[int, asyncio.Future[None]]] = []
        for target, future in self._waiters:
            if target > handled:
                kept.append((target, future))
            elif not future.done():
                future.set_result(None)
        self._waiters = kept

    async def _handle(self, payload: Any, context: Context) -> None:
        context.run(_handling.set, self)
        try:
            outcome = context.run(self._listener, payload)
            if inspect.isawaitable(outcome):
                # Its failure comes back as a value: an exit in a task would end the loop.
                ended = failure_of(lambda: outcome)
                task = asyncio.get_running_loop().create_task(ended, context=context)
                error = await task
                if error is not None:
                    context.run(self._bus.listener_failed, self, payload, error)
        except BaseException as raised:
            error = user_error(raised)
            if error is None:
                raise
            context.run(self._bus.listener_failed, self, payload, error)


class Bus:
    """Typed topics of one engine; publish only from the engine's loop."""

    def __init__(self) -> None:
        self._topics: dict[str, tuple[Subscription, ...]] = {topic: () for topic in TOPICS}
        self._ticks: set[str] = set()
        self._busy: set[Subscription] = set()
        self._afterwards: list[Callable[[], object]] = []
        self._handing_on: asyncio.Task[None] | None = None

    def subscribe(
        self,
        topic: str,
        listener: Listener,
        *,
        transitions_only: bool = False,
        maxsize: int = DEFAULT_QUEUE,
    ) -> Unsubscribe:
        """Call ``listener(payload)`` for every event of a topic, in order, one at a time.

        Args:
            topic: one of `TOPICS`.
            listener: plain or async; a failure becomes an ``error`` event.
            transitions_only: on signal topics, leave out ``idle`` and ``active`` results.
            maxsize: events kept while the listener is busy; more are dropped and counted.

        Returns:
            A function that ends the subscription.

        Raises:
            SchemaError: ``listener`` cannot be called.
        """
        check_function(f"listener of {topic}", listener)
        subscription = Subscription(self, topic, listener, maxsize, transitions_only)
        self._listen(topic, (*self._topics[topic], subscription))
        return subscription.close

    def subscribe_once(
        self, topic: str, accepts: Callable[[Any], object], listener: Listener
    ) -> Unsubscribe:
        """Call ``listener`` for the first event that ``accepts`` finds true, then stop.

        Raises:
            SchemaError: one of them cannot be called, or ``accepts`` is async: every event would
                wait for an answer, and a coroutine that nobody awaits is always true.
        """
        check_function(f"filter of {topic}", accepts)
        check_function(f"listener of {topic}", listener)
        if is_async(accepts):
            raise SchemaError(f"filter of {topic} is async: must be a plain function")
        fired = False

        def first(payload: Any) -> Any:
            nonlocal fired
            if fired or not accepts(payload):
                return None
            fired = True
            unsubscribe()
            return listener(payload)

        unsubscribe = self.subscribe(topic, first)
        return unsubscribe

    def publish(self, topic: str, payload: Any) -> None:
        """Queue an event for every listener of a topic."""
        for subscription in self._topics[topic]:
            subscription.offer(payload)

    def publish_result(self, topic: str, result: TickResult) -> None:
        """Queue a tick result on a signal topic."""
        tick = result.action in _TICKS
        for subscription in self._topics[topic]:
            if not (tick and subscription.transitions_only):
                subscription.offer(result)

    def wants(self, topic: str) -> bool:
        """Whether anybody listens to a topic."""
        return bool(self._topics[topic])

    def wants_ticks(self, topic: str) -> bool:
        """Whether anybody listens to a signal topic's ``idle`` and ``active`` results."""
        return topic in self._ticks

    def dropped(self) -> int:
        """Events lost to full queues, over all present listeners."""
        return sum(item.dropped for items in self._topics.values() for item in items)

    async def flush(self) -> None:
        """Return when every event published so far has been handled.

        A listener that itself waits for a run is not waited for, nor is the one that calls this.
        """
        while waiting := [item for item in self._busy if item.is_behind]:
            for item in waiting:
                await item.caught_up()

    async def flush_signals(self, *, backlog: float = 0.0) -> None:
        """`flush` for the signal topics alone.

        With a ``backlog`` (0 to 1) only for queues fuller than that, but then of every topic that
        a backtest may publish more on than a listener takes.
        """
        topics = _PACED if backlog else _SIGNALS
        for item in tuple(self._busy):
            if item.topic in topics and item.is_behind and item.backlog >= backlog:
                await item.caught_up()

    def after_handled(self, done: Callable[[], object]) -> None:
        """Call ``done`` when every transition published so far has been handled by its listeners.

        At once if it has. A listener that never returns holds it back for ever, and so does the
        end of the bus when a listener was too slow for it.
        """
        if not self._unhandled():
            done()
            return
        self._afterwards.append(done)
        if self._handing_on is None or self._handing_on.done():
            self._handing_on = asyncio.get_running_loop().create_task(
                self._hand_on(), context=outside_listeners()
            )

    async def _hand_on(self) -> None:
        while self._afterwards:
            waiting, self._afterwards = self._afterwards, []
            for item in self._unhandled():
                await item.caught_up()
            for done in waiting:
                done()

    def _unhandled(self) -> list[Subscription]:
        return [item for item in self._busy if item.topic in _DELIVERED and item.is_behind]

    def busy(self, subscription: Subscription) -> None:
        """A subscription's task started."""
        self._busy.add(subscription)

    def idle(self, subscription: Subscription) -> None:
        """A subscription's task ended."""
        self._busy.discard(subscription)

    def discard(self, subscription: Subscription) -> None:
        """Remove a subscription; unknown ones are ignored."""
        kept = tuple(item for item in self._topics[subscription.topic] if item is not subscription)
        self._listen(subscription.topic, kept)

    def _listen(self, topic: str, subscriptions: tuple[Subscription, ...]) -> None:
        self._topics[topic] = subscriptions
        if any(not item.transitions_only for item in subscriptions):
            self._ticks.add(topic)
        else:
            self._ticks.discard(topic)

    def listener_failed(self, subscription: Subscription, payload: Any, error: Exception) -> None:
        """Report a listener's failure; a failing error listener is only logged."""
        _log.warning("listener of %s failed", subscription.topic, exc_info=error)
        if subscription.topic not in ("error", "exit"):
            key = getattr(payload, "key", None)
            when = getattr(payload, "when", None)
            if key is None:
                told = RunError(error, stage="listener", when=when)
            else:
                told = run_error(error, key, stage="listener", when=when)
            self.publish("error", told)

    async def close(self, grace_seconds: float = _CLOSE_SECONDS) -> None:
        """Let listeners handle what was published, then end their tasks.

        Args:
            grace_seconds: how long they may take; what is left then is dropped and logged.
        """
        try:
            async with asyncio.timeout(grace_seconds):
                await self.flush()
                if self._handing_on is not None:
                    await self._handing_on
        except TimeoutError:
            _log.warning("closed with events unhandled: a listener is too slow")
        if self._handing_on is not None:
            self._handing_on.cancel()  # what is dropped now has not been handled
            await asyncio.gather(self._handing_on, return_exceptions=True)
        for items in tuple(self._topics.values()):
            for item in items:
                await item.aclose()
