"""Asking a strategy: every form of function, every failure, and the time limit of each."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from engine import Signal, get_candles, get_date, get_mode, sync
from tests.runs.bed import MINUTE, SYMBOL, T0, Bed, bed, long, minute_of

BOTH = pytest.mark.parametrize("live", [False, True], ids=["backtest", "live"])


async def run(made: Bed, minutes: int = 5) -> None:
    """A backtest of the frame, or ``minutes`` of a live run."""
    if made.clock is None:
        await made.results()
    else:
        made.instance().start()
        await made.until(minutes)


# -- forms -------------------------------------------------------------------------------------


class Callable_:
    async def __call__(self, symbol: str, when: datetime) -> Signal | None:
        return await asked(symbol, when)

    def plain(self, symbol: str, when: datetime) -> Signal | None:
        return plainly(symbol, when)


async def asked(symbol: str, when: datetime) -> Signal | None:
    await asyncio.sleep(0)
    bars = await get_candles(symbol, "1m", 3)
    return long() if len(bars) == 3 and minute_of(when) == 2 else None


def plainly(symbol: str, when: datetime) -> Signal | None:
    bars = sync.get_candles(symbol, "1m", 3)
    return long() if len(bars) == 3 and minute_of(when) == 2 else None


class Awaitable:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return self._answer


@BOTH
@pytest.mark.parametrize(
    "function",
    [
        asked,
        plainly,
        Callable_(),
        Callable_().plain,
        partial(asked),
        lambda symbol, when: asked(symbol, when),
        lambda symbol, when: Awaitable(long() if minute_of(when) == 2 else None),
        lambda symbol, when: long() if minute_of(when) == 2 else None,
    ],
    ids=["async", "def", "object", "method", "partial", "lambda", "awaitable", "value"],
)
async def test_every_form_of_function_works(function: Any, live: bool) -> None:
    async with bed(live=live) as made:
        made.strategy(function)
        await run(made, 8)
        assert made.errors() == []
        assert made.actions() == [("opened", 2), ("closed", 7)]


@BOTH
async def test_arguments_params_and_context(live: bool) -> None:
    seen: list[Any] = []

    async def get_signal(symbol: str, when: datetime, *, fast: int, slow: int = 3) -> None:
        seen.append((symbol, when, fast, slow, get_date(), get_mode()))

    async with bed(live=live, frame=(0, 2)) as made:
        made.strategy(get_signal, params={"fast": 20})
        await run(made, 2)
    mode = "live" if live else "backtest"
    instants = [datetime.fromtimestamp((T0 + m * MINUTE) / 1000, UTC) for m in range(3)]
    assert seen == [(SYMBOL, at, 20, 3, at, mode) for at in instants]
    assert all(when.tzinfo is UTC for _, when, *_ in seen)


@BOTH
@pytest.mark.parametrize("form", ["async", "def"])
async def test_the_wrong_twin_of_a_data_function_says_so(form: str, live: bool) -> None:
    async def wrong(symbol: str, when: datetime) -> None:
        sync.get_candles(symbol, "1m", 3)

    def wrong_too(symbol: str, when: datetime) -> None:
        _ = get_candles(symbol, "1m", 3)

    async with bed(live=live, frame=(0, 1)) as made:
        made.strategy(wrong if form == "async" else wrong_too)
        await run(made, 1)
        expected = "use `await engine.get_candles" if form == "async" else "engine.sync.get_candles"
        assert len(made.errors()) == 2
        assert all(expected in error for error in made.errors())


# -- failures ----------------------------------------------------------------------------------


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message for you")


def nothing_found(symbol: str, when: datetime) -> Any:
    return next(candle for candle in ())


def leaves(symbol: str, when: datetime) -> Any:
    sys.exit(3)


def raising(error: BaseException) -> Callable[[str, datetime], Any]:
    def get_signal(symbol: str, when: datetime) -> Any:
        raise error

    return get_signal


@BOTH
@pytest.mark.parametrize("form", ["async", "def"])
@pytest.mark.parametrize(
    ("fails", "words"),
    [
        (raising(ValueError("mine")), "ValueError: mine"),
        (raising(Unprintable()), "Unprintable"),
        (raising(asyncio.CancelledError()), "cancelled"),
        (raising(TimeoutError("the exchange's own")), "the exchange's own"),
        (raising(RecursionError("deep")), "deep"),
        (raising(ExceptionGroup("several", [ValueError("a")])), "several"),
        (nothing_found, "StopIteration"),
        (leaves, "exit"),
        (raising(GeneratorExit()), "GeneratorExit"),
    ],
    ids=["error", "unprintable", "cancelled", "timeout", "recursion", "group", "next", "exit",
         "generator_exit"],
)  # fmt: skip
async def test_a_failure_is_one_error_event_and_the_run_goes_on(
    fails: Any, words: str, form: str, live: bool
) -> None:
    calls: list[int] = []

    def plain(symbol: str, when: datetime) -> Signal | None:
        calls.append(minute_of(when))
        if minute_of(when) == 1:
            fails(symbol, when)
        return long() if minute_of(when) == 3 else None

    async def waiting(symbol: str, when: datetime) -> Signal | None:
        await asyncio.sleep(0)
        return plain(symbol, when)

    one_second = {"max_signal_generation_seconds": 1}
    async with bed(live=live, frame=(0, 5), config=one_second) as made:
        made.strategy(plain if form == "def" else waiting)
        await run(made, 8)
        [error] = made.heard["error"]
        assert (error.stage, minute_of(error.when)) == ("get_signal", 1)
        assert (error.symbol, error.strategy_name) == (SYMBOL, "asked")
        assert words in str(error)
        assert calls[:4] == [0, 1, 2, 3]
        assert made.actions() == [("opened", 3), ("closed", 8)]


@BOTH
async def test_awaiting_something_that_was_cancelled_does_not_end_the_run(live: bool) -> None:
    async def get_signal(symbol: str, when: datetime) -> None:
        other = asyncio.ensure_future(asyncio.Event().wait())
        asyncio.get_running_loop().call_soon(other.cancel)
        await other

    async with bed(live=live, frame=(0, 3)) as made:
        made.strategy(get_signal)
        await run(made, 3)
        assert [minute_of(error.when) for error in made.heard["error"]] == [0, 1, 2, 3]


@BOTH
async def test_the_traceback_points_at_the_strategy(live: bool) -> None:
    async with bed(live=live, frame=(0, 0)) as made:
        made.strategy(raising(ValueError("mine")))
        await run(made, 0)
        [error] = made.heard["error"]
        assert "test_generation.py" in error.traceback
        assert isinstance(error.__cause__, ValueError)


# -- attempts ----------------------------------------------------------------------------------


@BOTH
async def test_a_slot_is_used_up_whatever_comes_of_it(live: bool) -> None:
    """A 5m strategy is asked at minutes 0, 5, 10, counted from the attempt."""
    calls: list[int] = []

    async def get_signal(symbol: str, when: datetime) -> Any:
        calls.append(minute_of(when))
        if calls[-1] == 5:
            raise ValueError("used up")
        return "nonsense" if calls[-1] == 10 else None

    async with bed(live=live, frame=(0, 21)) as made:
        made.strategy(get_signal, interval="5m")
        await run(made, 21)
        assert calls == [0, 5, 10, 15, 20]
        assert len(made.errors()) == 2


async def test_slots_are_counted_from_the_attempt_not_on_the_clocks_grid() -> None:
    calls: list[int] = []

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        calls.append(minute_of(when))
        return long(2) if calls[-1] == 3 else None

    async with bed(frame=(3, 20)) as made:
        made.strategy(get_signal, interval="5m")
        await made.results()
        assert calls == [3, 8, 13, 18]


@BOTH
async def test_nobody_is_asked_while_something_is_held(live: bool) -> None:
    calls: list[int] = []

    async def get_signal(symbol: str, when: datetime) -> Signal:
        calls.append(minute_of(when))
        return long(4)

    async with bed(live=live, frame=(0, 9)) as made:
        made.strategy(get_signal)
        await run(made, 9)
        # One instant can close and open: no frame is lost after a close.
        assert calls == [0, 4, 8]
        assert made.actions()[:4] == [("opened", 0), ("closed", 4), ("opened", 4), ("closed", 8)]


@BOTH
async def test_a_filled_minute_is_no_occasion_to_decide(live: bool) -> None:
    from tests.runs.bed import bar, flat

    calls: list[int] = []

    async def get_signal(symbol: str, when: datetime) -> None:
        calls.append(minute_of(when))

    rows = [*flat(-10, 2), bar(4), bar(5), bar(6), bar(7)]
    async with bed(rows, live=live, frame=(0, 7)) as made:
        made.strategy(get_signal)
        await run(made, 7)
        # Bars open at minutes ..., 1 and 4: nothing real closes at 3 and 4.
        assert calls == [0, 1, 2, 5, 6, 7]


# -- time limits -------------------------------------------------------------------------------
#
# A limit of 0 s (a test bed's setting) is over as soon as anything takes time, so nothing sleeps.

NO_TIME = {"max_signal_generation_seconds": 0}


@BOTH
async def test_an_async_strategy_is_cancelled(live: bool) -> None:
    cancelled: list[int] = []

    async def get_signal(symbol: str, when: datetime) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(minute_of(when))
            raise

    async with bed(live=live, frame=(0, 2), config=NO_TIME) as made:
        made.strategy(get_signal)
        await run(made, 2)
        assert cancelled == [0, 1, 2]
        assert len(made.errors()) == 3
        for error in made.errors():
            assert "'asked' on BTCUSDT took longer than 0 s" in error
            assert "max_signal_generation_seconds" in error


async def test_an_async_strategy_that_swallows_its_cancellation_is_still_late() -> None:
    async def get_signal(symbol: str, when: datetime) -> Signal:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return long()

    async with bed(frame=(0, 1), config=NO_TIME) as made:
        made.strategy(get_signal)
        assert await made.results() == []
        assert len(made.errors()) == 2
        assert all("took longer" in error for error in made.errors())


@pytest.mark.parametrize("form", ["async", "def"])
async def test_a_strategy_that_blocks_inline_is_reported_afterwards(form: str) -> None:
    """Neither form can be interrupted while it does not await; both overran."""

    def plain(symbol: str, when: datetime) -> Signal:
        sum(range(1000))
        return long()

    async def blocking(symbol: str, when: datetime) -> Signal:
        return plain(symbol, when)

    async with bed(frame=(0, 1), config=NO_TIME) as made:
        made.strategy(plain if form == "def" else blocking)
        assert await made.results() == []
        assert len(made.errors()) == 2
        assert all("took longer than 0 s for the bar at" in error for error in made.errors())


async def test_a_plain_strategy_that_hangs_live_is_stuck_and_alone_in_it() -> None:
    """Its late result is discarded, it is asked again once it returned, others go on."""
    gate, calls, returned = threading.Event(), [], threading.Event()

    def hangs(symbol: str, when: datetime) -> Signal | None:
        calls.append(minute_of(when))
        if minute_of(when) == 1:
            gate.wait()
            returned.set()
            return long()
        return None

    async def other(symbol: str, when: datetime) -> Signal | None:
        return long(2) if minute_of(when) == 1 else None

    async with bed(live=True) as made:
        made.strategy(hangs)
        made.strategy(other, "other")
        stuck, free = made.instance(), made.instance("other")
        try:
            # The limit belongs to the run; 1 s here, then 0 s so that nothing has to sleep.
            free.start()
            made.engine.configure(NO_TIME, unsafe=True)
            stuck.start()
            await made.until(4)
            assert stuck.is_stuck
            assert not free.is_stuck
            assert stuck.status == "running"
            late = [error for error in made.errors() if "took longer" in error]
            assert len(late) == len(made.errors()) >= 1
            before = len(calls)
            assert max(calls) == 1
            # Free runs go on as if nothing were the matter.
            assert [a for a in made.actions() if a[0] != "idle"] == [("opened", 1), ("closed", 3)]
        finally:
            gate.set()
        await asyncio.to_thread(returned.wait)
        while stuck.is_stuck:
            await asyncio.sleep(0)
        await made.until(6)
        assert len(calls) > before
        assert not any(r.action == "opened" and r.strategy_name == "asked"
                       for r in made.heard["signal"]), "the late signal was discarded"  # fmt: skip


async def test_settling_goes_on_while_a_strategy_is_stuck() -> None:
    """The held position of the same run: opened first, then the function hangs elsewhere."""
    gate = threading.Event()

    def get_signal(symbol: str, when: datetime) -> Signal | None:
        if minute_of(when) == 0:
            return long(2)
        gate.wait()
        return None

    async with bed(live=True, config={"max_signal_generation_seconds": 1}) as made:
        made.strategy(get_signal)
        instance = made.instance()
        try:
            instance.start()
            await made.until(1)
            session: Any = instance.execution.session  # type: ignore[union-attr]
            session.source._limit = 0
            await made.until(6)
            assert [a for a in made.actions() if a[0] != "idle"] == [("opened", 0), ("closed", 2)]
            assert instance.is_stuck
        finally:
            gate.set()


async def test_a_stuck_strategy_does_not_keep_a_run_from_stopping() -> None:
    gate = threading.Event()

    def get_signal(symbol: str, when: datetime) -> None:
        gate.wait()

    async with bed(live=True, config=NO_TIME) as made:
        made.strategy(get_signal)
        instance = made.instance()
        try:
            instance.start()
            await made.until(2)
            assert instance.is_stuck
            instance.stop()
            await made.until(4)
            assert instance.status == "done"
        finally:
            gate.set()
