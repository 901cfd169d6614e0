"""Calls a user's function, plain or async, off the engine's loop and within a time limit."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

from engine.domain.errors import EngineError
from engine.domain.schemas import is_async
from engine.services.isolation import user_error


async def call_user(function: Callable[..., Any], limit: float, /, *args: Any, **named: Any) -> Any:
    """What a user's function returns; what it awaits is awaited.

    A plain function runs in a thread with a copy of the current context, because it may block; a
    thread cannot be ended, so what it returns after its time is ignored.

    Args:
        function: plain or async.
        limit: seconds it may take.
        args: its positional arguments.
        named: its keyword arguments.

    Raises:
        EngineError: it took too long, or tried to end the program.
        Exception: whatever it raised.
    """
    deadline = asyncio.timeout(limit)
    try:
        async with deadline:
            if is_async(function):
                outcome = function(*args, **named)
            else:
                call = partial(copy_context().run, function, *args, **named)
                outcome = await in_thread(call, getattr(function, "__name__", "user"))
            return await outcome if inspect.isawaitable(outcome) else outcome
    except BaseException as raised:
        if isinstance(raised, TimeoutError) and deadline.expired():
            raise EngineError(f"took longer than {limit:g} s") from None
        error = user_error(raised)
        if error is None or error is raised:
            raise
        raise error from raised


def in_thread(call: Callable[[], Any], name: str) -> asyncio.Future[Any]:
    """What a user's plain function returns, from a thread of its own, for the running loop.

    Args:
        call: calls it, in the context it is to see.
        name: of the thread.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def finish(value: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
            future.exception()  # retrieved: a late failure has nobody left to hear it

    def work() -> None:
        value, error = None, None
        try:
            value = call()
        except BaseException as raised:
            # Ctrl-C is for the main thread: here it can only be something the function raised.
            error = user_error(raised) or EngineError(f"raised {type(raised).__name__}")
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, value, error)

    # A daemon, so that a function that never returns cannot keep the process from ending.
    threading.Thread(target=work, name=name, daemon=True).start()
    return future
