"""Calls of users' functions: off the loop, within their time, and never the end of the engine."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from engine import EngineError
from engine.services.user_calls import call_user

word: ContextVar[str] = ContextVar("word", default="unset")


async def test_plain_async_and_handed_on() -> None:
    async def later(a: int, *, b: int) -> int:
        return a + b

    def plain(a: int, *, b: int) -> tuple[int, int, str]:
        return a + b, threading.get_ident(), word.get()

    word.set("here")
    assert await call_user(later, 5, 1, b=2) == 3
    total, thread, seen = await call_user(plain, 5, 1, b=2)
    assert (total, seen) == (3, "here") and thread != threading.get_ident()
    assert await call_user(lambda: later(1, b=1), 5) == 2
    assert await call_user(lambda function, limit: (function, limit), 5, 1, 2) == (1, 2)


@pytest.mark.parametrize("wrap", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (ValueError("no"), ValueError, "no"),
        (TimeoutError("its own"), TimeoutError, "its own"),
        (SystemExit(3), EngineError, r"called exit\(3\)"),
        (StopIteration(), (EngineError, RuntimeError), "StopIteration"),
        (asyncio.CancelledError(), EngineError, "was cancelled"),
    ],
)
async def test_what_they_raise(
    raised: BaseException, expected: Any, words: str, wrap: bool
) -> None:
    def plain() -> None:
        raise raised

    async def later() -> None:
        raise raised

    with pytest.raises(expected, match=words):
        await call_user(later if wrap else plain, 5)


async def test_time_limits() -> None:
    held = threading.Event()
    for function in (asyncio.Event().wait, held.wait):
        with pytest.raises(EngineError, match=r"took longer than 0.02 s"):
            await call_user(function, 0.02)
    held.set()


async def test_the_caller_s_own_cancellation_travels_on() -> None:
    begun = asyncio.Event()

    async def waits() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(call_user(waits, 60))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
