"""Callbacks and listeners may fail, dawdle or load: trades stay what they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from engine import Signal, listen_error, listen_signal, listen_signal_backtest, set_config
from engine.domain.schemas import STRATEGY_CALLBACKS
from tests.runs.bed import SYMBOL, Bed, bed, flat, long, minute_of, path

BOTH = pytest.mark.parametrize("live", [False, True], ids=["backtest", "live"])
ROWS = path([100, 101, 104, 103, 99, 96, 94, 97, 100, 100], before=10) + flat(10, 90)


async def asked(symbol: str, when: datetime) -> Signal | None:
    """Opens at 0 and from 5 on schedules, so that every callback has something to say."""
    minute = minute_of(when)
    if minute == 0:
        return long(4, tp=120, sl=80)
    return long(3, entry=98, tp=120, sl=60) if minute >= 5 else None


async def run(made: Bed, minutes: int = 20) -> None:
    if made.clock is None:
        await made.results()
    else:
        made.instance().start()
        await made.until(minutes)


def without_ids(made: Bed) -> list[Any]:
    found = []
    for result in made.heard["signal"]:
        row = result.signal
        found.append(
            (str(result.action), result.when, result.current_price, row.scheduled_at,
             row.pending_at, row.price_open)
        )  # fmt: skip
    return found


async def plainly(live: bool, **fields: Any) -> list[Any]:
    async with bed(ROWS, live=live, frame=(0, 20), config={"schedule_await_minutes": 4}) as made:
        made.strategy(asked, **fields)
        await run(made)
        return without_ids(made)


def fails(*_: Any) -> None:
    raise ValueError("mine")


async def fails_later(*_: Any) -> None:
    await asyncio.sleep(0)
    raise ValueError("mine")


async def gives_up(*_: Any) -> None:
    raise asyncio.CancelledError


@BOTH
@pytest.mark.parametrize("function", [fails, fails_later, gives_up])
async def test_callbacks_that_fail_change_no_trade_and_are_reported(
    function: Callable[..., Any], live: bool
) -> None:
    expected = await plainly(live)
    assert [action for action, *_ in expected][:4] == ["opened", "closed", "scheduled", "opened"]
    for name in STRATEGY_CALLBACKS:
        async with bed(
            ROWS, live=live, frame=(0, 20), config={"schedule_await_minutes": 4}
        ) as made:
            made.strategy(asked, callbacks={name: function})
            await run(made)
            assert without_ids(made) == expected, name
            if name not in ("on_restore", "on_cancel"):
                assert made.heard["error"], name
            for error in made.heard["error"]:
                assert error.stage == "callback"
                assert error.symbol == SYMBOL


@BOTH
@pytest.mark.parametrize("function", [fails, fails_later, gives_up])
async def test_listeners_that_fail_change_no_trade_and_are_reported(
    function: Callable[..., Any], live: bool
) -> None:
    expected = await plainly(live)
    async with bed(ROWS, live=live, frame=(0, 20), config={"schedule_await_minutes": 4}) as made:
        listen_signal(function)
        listen_error(function)
        for topic in ("partial_profit", "partial_loss", "instance", "progress_backtest", "data",
                      "done_backtest", "done_live"):  # fmt: skip
            made.engine.bus.subscribe(topic, function)
        made.strategy(asked)
        await run(made)
        await made.engine.bus.flush()
        assert without_ids(made) == expected
        assert {error.stage for error in made.heard["error"]} == {"listener"}
        assert made.instance().status == ("running" if live else "done")


async def test_an_async_listener_of_ticks_misses_none_of_a_long_backtest() -> None:
    """An inline backtest may wait for its listeners; a live run never does."""
    seen: list[int] = []

    async def listener(result: Any) -> None:
        seen.append(minute_of(result.when))

    async with bed(flat(-10, 12_010), frame=(0, 12_000), topics=()) as made:
        listen_signal_backtest(listener)
        made.strategy(lambda s, w: None)
        await made.results()
        assert made.engine.bus.dropped() == 0
    assert seen == list(range(12_001))


async def test_instants_at_which_nobody_is_asked_let_others_run_too() -> None:
    seen: list[int] = []
    async with bed(flat(-10, 12_010), frame=(0, 12_000), topics=()) as made:
        listen_signal(lambda result: seen.append(minute_of(result.when)))
        made.strategy(lambda s, w: None, interval="1h")
        await made.results()
        assert made.engine.bus.dropped() == 0
    assert seen == list(range(12_001))


async def test_a_live_run_does_not_wait_for_a_listener_that_hangs() -> None:
    gate = asyncio.Event()

    async def hangs(_: Any) -> None:
        await gate.wait()

    async with bed(live=True) as made:
        listen_signal(hangs)
        made.strategy(lambda s, w: long(2))
        made.instance().start()
        assert made.clock is not None
        await made.clock.sleep_until(made.clock.now() + 10 * 60_000 + 30_000)
        assert [a for a in made.actions() if a[0] == "closed"] == [
            ("closed", m) for m in (2, 4, 6, 8, 10)
        ]  # fmt: skip
        gate.set()


async def test_events_of_a_run_come_in_order_to_every_listener() -> None:
    first, second, third = [], [], []

    async def slow(result: Any) -> None:
        for _ in range(minute_of(result.when) % 3):
            await asyncio.sleep(0)
        second.append(result)

    async with bed(ROWS, frame=(0, 40), config={"schedule_await_minutes": 4}) as made:
        listen_signal(first.append)
        listen_signal(slow)
        listen_signal_backtest(third.append)
        made.strategy(asked)
        await made.results()
    assert first == second == third
    assert [r.when for r in first] == sorted(r.when for r in first)


async def test_the_order_of_what_happens_at_an_opening_and_a_close() -> None:
    """Callbacks before events, on_write before on_open and after on_close, once each."""
    order: list[str] = []

    def noting(name: str) -> Any:
        def callback(symbol: str, *arguments: Any) -> None:
            assert symbol == SYMBOL
            assert arguments[-1] is True
            if name == "on_write":
                order.append("write row" if arguments[0] is not None else "write none")
            elif name != "on_tick":
                order.append(name)
            elif arguments[0].action in ("opened", "closed"):
                order.append(f"tick {arguments[0].action}")

        return callback

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        order.append("asked")
        return long(2) if minute_of(when) == 0 else None

    async with bed(frame=(0, 1)) as made:
        made.engine.bus.subscribe(
            "signal_backtest", lambda r: order.append(f"event {r.action}"), transitions_only=True
        )
        names = ("on_write", "on_open", "on_close", "on_tick")
        made.strategy(get_signal, callbacks={name: noting(name) for name in names})
        await made.results()
    assert order == [
        "asked", "write row", "on_open", "tick opened", "event opened",
        "on_close", "write none", "tick closed", "event closed",
    ]  # fmt: skip


@BOTH
async def test_callbacks_get_what_the_documents_say(live: bool) -> None:
    seen: dict[str, list[Any]] = {}

    def noting(name: str) -> Any:
        return lambda *arguments: seen.setdefault(name, []).append(arguments)

    async with bed(ROWS, live=live, frame=(0, 20), config={"schedule_await_minutes": 4}) as made:
        made.strategy(asked, callbacks={name: noting(name) for name in STRATEGY_CALLBACKS})
        await run(made)
    backtest = not live
    for calls in seen.values():
        assert all(call[0] == SYMBOL and call[-1] is backtest for call in calls)
    assert [price for _, row, price, _ in seen["on_open"] if price != row.price_open] == []
    assert all(row.is_scheduled for _, row, _, _ in seen["on_schedule"])
    assert {type(p) for _, _, p, _ in seen["on_close"]} == {float}
    percents = [p for *_, p, _ in seen["on_partial_profit"] + seen["on_partial_loss"]]
    assert percents
    assert all(0 < p <= 100 for p in percents)
    assert all(len(call) == 3 for call in seen["on_idle"])
    assert "on_restore" not in seen


async def test_settings_changed_during_a_run_do_not_reach_it() -> None:
    async def get_signal(symbol: str, when: datetime) -> Signal:
        set_config({"percent_fee": 1.0, "max_signal_lifetime_minutes": 1}, unsafe=True)
        return long(3)

    async with bed(frame=(0, 8)) as made:
        made.strategy(get_signal)
        results = await made.results()
        assert len(results) == 3
        assert {round(r.pnl.pnl_percentage, 4) for r in results} == {-0.3998}
        assert await made.results() == []
        assert "lifetime" in made.errors()[0]


async def test_live_runs_keep_the_settings_they_started_with() -> None:
    """Two on one exchange, with different VWAP windows: the average price says which is which."""
    from engine import get_average_price

    seen: dict[str, list[float]] = {"first": [], "second": []}

    def asking(name: str) -> Any:
        async def get_signal(symbol: str, when: datetime) -> None:
            seen[name].append(await get_average_price(symbol))

        return get_signal

    rows = [row for m in range(-20, 30) for row in flat(m, m + 1, 200.0 + m)]
    async with bed(rows, live=True) as made:
        for name in seen:
            made.strategy(asking(name), name)
        made.instance("first").start()
        await made.until(1)
        set_config({"avg_price_candles_count": 1}, unsafe=True)
        made.instance("second").start()
        await made.until(3)
    assert seen["first"] == [197.0, 198.0, 199.0, 200.0]
    assert seen["second"] == [200.0, 201.0, 202.0]


@BOTH
async def test_a_callback_that_never_returns_is_given_up_and_the_run_goes_on(live: bool) -> None:
    async def on_open(*arguments: Any) -> None:
        await asyncio.Event().wait()

    async with bed(ROWS, live=live) as made:
        set_config(max_signal_generation_seconds=1, unsafe=True)
        made.strategy(asked, callbacks={"on_open": on_open})
        await run(made)
        told = [error for error in made.heard["error"] if error.stage == "callback"]
        assert told and "on_open did not return within 1 s" in str(told[0])
        assert "closed" in {str(result.action) for result in made.heard["signal"]}
