"""Asks a strategy for a signal: plain or async, within its time limit, in its own context."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from types import CoroutineType, coroutine
from typing import Any, Final, Protocol

from engine.domain.errors import StrategyTimeoutError
from engine.domain.schemas import StrategySchema, is_async
from engine.domain.signals import Mode, RunKey
from engine.domain.time import MINUTE, from_ms, minute_text
from engine.services.context import (
    CallForm,
    ExecutionContext,
    MarketWindow,
    Scope,
    current_execution,
)
from engine.services.user_calls import in_thread

_NOT_STARTED: Final = object()
_MINUTE: Final = timedelta(minutes=1)
PENDING: Final = object()
"""Returned by `Generator.ask` when the strategy is waiting for something."""


class Board(Protocol):
    """Two integers that another process may read: what is asked (0 for nothing), and when."""

    def __setitem__(self, index: int, value: int, /) -> None:
        """Write one of them."""
        ...

    def __getitem__(self, index: int, /) -> int:
        """Read one of them."""
        ...


class SignalSource:
    """One run's strategy function.

    Attributes:
        asked_at: the instant being asked about, or None; a watchdog in another thread reads it.
        asked_since: `time.monotonic()` of that question.
        calls: how many questions there were.
        board: integers another process reads, None in most runs: what is asked, and when.
        code: what the board's first integer is while the strategy is being asked.
    """

    def __init__(
        self,
        schema: StrategySchema,
        key: RunKey,
        market: MarketWindow,
        limit_seconds: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.asked_at: int | None = None
        self.asked_since = 0.0
        self.board: Board | None = None
        self.code = 1
        form: CallForm = "async" if is_async(schema.get_signal) else "sync"
        self.calls = 0
        self._ask = schema.get_signal
        if schema.params:
            self._ask = partial(schema.get_signal, **schema.params)
        # In a backtest a plain function runs inline, unless an exchange may have to be awaited
        # for it, which only another thread can do. Live it always has a thread of its own.
        waits = key.mode is Mode.LIVE or is_async(market.schema.get_candles)
        self._threaded = form == "sync" and waits
        self._plain = form == "sync"
        self._symbol = key.symbol
        self._last, self._last_date = 0, from_ms(0)
        self._scope = Scope(key, market, loop, form)
        self._limit = limit_seconds
        self._waiting: tuple[Coroutine[Any, Any, Any], Any, ExecutionContext] | None = None
        self._threaded_call: asyncio.Future[Any] | None = None
        self._stuck: asyncio.Future[Any] | None = None

    @property
    def stuck(self) -> bool:
        """Whether a plain function overran its limit and has still not returned."""
        return self._stuck is not None and not self._stuck.done()

    def ask(self, when: int) -> object:
        """Call the strategy; its answer, or `PENDING` when `answer` has to be awaited.

        The usual case, a function that does not have to wait, costs no task switch.
        """
        self.calls += 1
        context = ExecutionContext(self._scope, when)
        self.asked_since = monotonic()
        if self._threaded:
            if self.stuck:
                raise StrategyTimeoutError(
                    f"strategy {self._scope.key.strategy_name!r} has still not answered an earlier "
                    "question and is not asked again until it does"
                )
            self._waiting = (self._in_thread(context), _NOT_STARTED, context)
            return PENDING
        self.asked_at = when
        board = self.board
        if board is not None:
            board[1], board[0] = when, self.code
        token = current_execution.set(context)
        try:
            outcome: Any = self._ask(self._symbol, self._date(when))
            if outcome.__class__ is CoroutineType:
                if self._plain:  # a plain function that hands on a coroutine
                    context.scope = self._scope._replace(form="async")
                try:
                    first = outcome.send(None)
                except StopIteration as done:
                    if monotonic() - self.asked_since > self._limit:
                        raise self._overrun(when) from None
                    return done.value
                self._waiting = (outcome, first, context)
                return PENDING
        finally:
            current_execution.reset(token)
            self.asked_at = None
            if board is not None:
                board[0] = 0
        if outcome is not None and inspect.isawaitable(outcome):
            self._waiting = (_awaited(outcome), _NOT_STARTED, context)
            return PENDING
        if monotonic() - self.asked_since > self._limit:
            raise self._overrun(when)
        return outcome

    def _date(self, when: int) -> datetime:
        # Adding a minute takes a quarter of the time of making the date from its milliseconds.
        date = self._last_date + _MINUTE if when - self._last == MINUTE else from_ms(when)
        self._last, self._last_date = when, date
        return date

    async def answer(self) -> object:
        """The answer of a strategy that had to wait.

        Raises:
            StrategyTimeoutError: it took longer than the limit; an async strategy was cancelled.
        """
        assert self._waiting is not None
        waiting, first, context = self._waiting
        self._waiting = None
        self.asked_at = context.when
        board = self.board
        if board is not None:
            board[1], board[0] = context.when, self.code
        token = current_execution.set(context)
        deadline = asyncio.timeout(self._limit)
        try:
            async with deadline:
                outcome = await (waiting if first is _NOT_STARTED else _resumed(waiting, first))
            if monotonic() - self.asked_since > self._limit:
                raise self._overrun(context.when)  # it swallowed its cancellation
            return outcome
        except TimeoutError as error:
            if deadline.expired():
                self._stuck = self._threaded_call
                raise self._overrun(context.when) from None
            raise error
        finally:
            current_execution.reset(token)
            self.asked_at = None
            if board is not None:
                board[0] = 0

    async def _in_thread(self, context: ExecutionContext) -> object:
        scope = copy_context()
        scope.run(current_execution.set, context)
        call = partial(scope.run, self._ask, self._symbol, from_ms(context.when))
        self._threaded_call = in_thread(call, f"strategy {self._scope.key}")
        value = await asyncio.shield(self._threaded_call)
        if not inspect.isawaitable(value):
            return value
        context.scope = self._scope._replace(form="async")
        return await value

    def _overrun(self, when: int) -> StrategyTimeoutError:
        return StrategyTimeoutError(
            f"strategy {self._scope.key.strategy_name!r} on {self._symbol} took longer than "
            f"{self._limit:g} s for the bar at {minute_text(when)} "
            "(max_signal_generation_seconds): make get_signal faster or raise the limit"
        )


async def _awaited(outcome: Any) -> object:
    return await outcome


@coroutine
def _resumed(waiting: Coroutine[Any, Any, Any], first: Any) -> Generator[Any, Any, Any]:
    """Go on with a coroutine that already yielded ``first`` outside of an await."""
    yielded = first
    try:
        while True:
            try:
                sent = yield yielded
            except BaseException as error:
                yielded = waiting.throw(error)
            else:
                yielded = waiting.send(sent)
    except StopIteration as done:
        return done.value
