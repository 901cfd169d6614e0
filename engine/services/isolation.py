"""Keeps the failures of user code where they belong: in an ``error`` event, never in the engine."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from engine.domain.errors import EngineError, StrategyTimeoutError


def user_error(raised: BaseException) -> Exception | None:
    """What user code raised, as an ordinary exception; None if it has to travel on.

    A strategy may await something that somebody cancelled, or call ``sys.exit``: both would look
    like the end of the run, or of the program. Our own cancellation and Ctrl-C do travel on.
    """
    if isinstance(raised, StopIteration):
        # Nothing that awaits can be told of this one: futures refuse it.
        return EngineError("raised StopIteration: a next() without a default found nothing")
    if isinstance(raised, Exception):
        return raised
    if isinstance(raised, KeyboardInterrupt):
        return None
    if isinstance(raised, asyncio.CancelledError):
        if is_cancelled():
            return None
        return EngineError("was cancelled: a task or future it awaits was cancelled by its owner")
    if isinstance(raised, SystemExit):
        return EngineError(f"called exit({raised.code}): user code cannot end the engine")
    return EngineError(f"raised {type(raised).__name__}: {raised}")


def is_cancelled() -> bool:
    """Whether somebody wants the current task to end."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # in a thread without a loop
        return False
    return task is not None and bool(task.cancelling())


async def failure_of(
    callback: Callable[..., Any],
    /,
    *args: Any,
    name: str = "",
    limit_seconds: float | None = None,
) -> Exception | None:
    """Call a user's callback and await what it returns; what it raised, None if nothing.

    Args:
        callback: plain or async.
        args: its arguments.
        name: what it is, for the message of one that takes too long.
        limit_seconds: how long it may be awaited; None is for ever.
    """
    try:
        outcome = callback(*args)
        if inspect.isawaitable(outcome):
            await (outcome if limit_seconds is None else _in_time(outcome, limit_seconds, name))
    except BaseException as raised:
        error = user_error(raised)
        if error is None:
            raise
        return error
    return None


async def _in_time(outcome: Awaitable[Any], limit_seconds: float, what: str) -> None:
    """Await what a user's callback returned, but not for ever: its run waits for it.

    Raises:
        StrategyTimeoutError: it did not come back; it was cancelled.
    """
    deadline = asyncio.timeout(limit_seconds)
    try:
        async with deadline:
            await outcome
    except TimeoutError:
        if not deadline.expired():
            raise
        raise StrategyTimeoutError(
            f"{what} did not return within {limit_seconds:g} s (max_signal_generation_seconds) "
            "and was cancelled: the run goes on without it"
        ) from None
