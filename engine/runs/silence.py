"""Finds user code that has not come back, from another thread of the same process.

A strategy file can block a run in more places than ``get_signal``: while it is loaded, in a
callback, a risk validation, an exchange function. None of them is instrumented for it. Instead the
stack of the engine's thread, or what the run's task is awaiting, is looked at now and then: the
innermost engine function that calls user code tells which call is under way, and the same call seen
for too long is a silent one.
"""

from __future__ import annotations

import asyncio
import sys
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

from engine.services.loader import PREFIX

CALLERS: Final = {
    "engine.services.loader:execute": "loading",
    "engine.runs.session:Session._call": "a callback",
    "engine.services.risk:RiskGate._ask": "a risk validation",
    "engine.services.risk:RiskGate._call_back": "a callback of a risk profile",
    "engine.services.fetching:CandleFetcher._call": "get_candles of the exchange",
    "engine.services.fetching:CandleFetcher._call_back": "on_candle_data",
    "engine.runs.backtest:BacktestExecution._tell_timeframe": "on_timeframe",
    "engine.services.bus:Subscription._handle": "a listener",
}
"""Engine functions that call user code, ``module:qualified name``, and what they call.

Not the one that calls ``get_signal``: who asks a strategy has a time limit of its own.
"""

_OURS: Final = ("engine.adapters.", "engine.services.pages:_locked", "engine.services.pages:_turn")
# Exchanges of ours at work, or another process that is fetching the same bars.


class Call(NamedTuple):
    """A call of user code that has not returned.

    Attributes:
        frame: of the engine function that made it; the same object as long as it is the same call.
        what: what was called, for a message.
        where: ``file:line`` user code stands at, in the strategy file if that is on the stack; ""
            if it has no Python frame.
    """

    frame: FrameType
    what: str
    where: str


def call_under_way(thread: int, task: asyncio.Task[Any] | None) -> Call | None:
    """The user code that a thread, or a task of its loop, is in; None when it is in none.

    Args:
        thread: identity of the engine's thread.
        task: the run's task, which may wait for user code while the thread is free.
    """
    frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage]
    stack: list[FrameType] = []
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    found = _innermost(stack)
    if found is None and task is not None:
        found = _innermost(_awaited(task))
    return found


def _innermost(stack: list[FrameType]) -> Call | None:
    """The innermost call of user code on a stack whose first frame is the innermost one."""
    where, own = "", False
    for frame in stack:
        module = str(frame.f_globals.get("__name__", ""))
        name = f"{module}:{frame.f_code.co_qualname}"
        if name.startswith(_OURS):
            return None
        what = CALLERS.get(name)
        if what is not None:
            return Call(frame, what, where)
        in_file = module.startswith(PREFIX)
        if (not where and not module.startswith("engine.")) or (in_file and not own):
            # A line of the strategy file says more than one of a library that it calls.
            where, own = _place(frame.f_code, frame.f_lineno), in_file
    return None


def _awaited(task: asyncio.Task[Any]) -> list[FrameType]:
    """Frames of everything a task is awaiting, innermost first."""
    frames: list[FrameType] = []
    waiting: Any = task.get_coro()
    while waiting is not None:
        for kind in ("cr", "gi", "ag"):
            if hasattr(waiting, f"{kind}_frame"):
                frame = getattr(waiting, f"{kind}_frame")
                if frame is not None:
                    frames.append(frame)
                waiting = getattr(waiting, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
                break
        else:
            break
    frames.reverse()
    return frames


def _place(code: CodeType, line: int | None) -> str:
    return f"{code.co_filename}:{line}"
