"""Conformance cases 169 to 178: milestones as listeners, callbacks and reports see them."""

from __future__ import annotations

from typing import Any

import pytest

from engine import (
    Partial,
    Signal,
    SimulatedClock,
    add_exchange,
    add_strategy,
    listen_partial_loss_once,
    listen_partial_profit_once,
)
from engine.adapters.store.memory import MemoryStore
from engine.runtime import Engine
from tests.runs.bed import (
    MINUTE,
    RELAXED,
    SYMBOL,
    T0,
    Bed,
    Row,
    bar,
    bed,
    flat,
    minute_of,
    path,
    serving,
)

ONE_BAR = {"avg_price_candles_count": 1}
"""VWAP is the bar's own typical price, so that a path of closes is the path that is watched."""

BOTH = pytest.mark.parametrize("live", [False, True], ids=["backtest", "live"])


def once(signal: Signal) -> Any:
    return lambda symbol, when: signal if minute_of(when) == 0 else None


def along(*prices: float) -> list[Row]:
    """Flat at 100 up to T0; the bar that closes at minute m is flat at the m-th price."""
    return [*flat(-10, 0), *(bar(minute, price) for minute, price in enumerate(prices))]


async def reached(
    rows: list[Row], signal: Signal, live: bool, side: str = "profit"
) -> list[tuple[int, int]]:
    """(minute, level) of every milestone towards one side."""
    topics = ("partial_profit", "partial_loss", "error")
    async with bed(rows, live=live, frame=(0, 0), config=ONE_BAR, topics=topics) as made:
        made.strategy(once(signal))
        await run(made, len(rows) - 10)
        assert made.errors() == []
        events = made.heard[f"partial_{side}"]
        other = made.heard["partial_loss" if side == "profit" else "partial_profit"]
        data = await Partial.get_data(SYMBOL, "asked")
        counts = (data.total_profit, data.total_loss)
        expected = (len(events), len(other))
        assert counts == (expected if side == "profit" else expected[::-1])
        for event in (*events, *other):
            assert (event.symbol, event.data.position) == (SYMBOL, signal.position)
            assert event.backtest is not live
            assert event.data.id and event.current_price > 0
        return [(minute_of(event.timestamp), event.level) for event in events]


async def run(made: Bed, minutes: int) -> None:
    if made.clock is None:
        await made.results()
    else:
        made.engine.live_runs.instants = lambda when: when == T0
        made.instance().start()
        await made.until(minutes)


@BOTH
async def test_levels_ascend_and_are_in_percent_of_the_path(live: bool) -> None:
    """Case 169: the target is 60 % away, so +12 % of the entry is 20 % of the path."""
    signal = Signal("long", 160, 50, 60)
    assert await reached(along(103, 112, 113, 118, 125), signal, live) == [
        (2, 10), (2, 20), (4, 30), (5, 40)
    ]  # fmt: skip


@BOTH
async def test_the_first_milestone_is_at_ten_percent_of_the_way(live: bool) -> None:
    """Case 170: 2 %, 6 %, 12 % of the way: one event, level 10, at the third bar."""
    assert await reached(along(102, 106, 112), Signal("long", 200, 50, 60), live) == [(3, 10)]


@BOTH
async def test_one_jump_gives_every_level_in_order(live: bool) -> None:
    """Case 171."""
    expected = [(1, 10), (1, 20), (1, 30)]
    assert await reached(along(135, 135), Signal("long", 200, 50, 60), live) == expected
    assert await reached(along(65, 65), Signal("short", 1, 150, 60), live) == expected


@BOTH
async def test_around_a_level_there_is_no_repeat(live: bool) -> None:
    """Case 172."""
    prices = [109, 111, 109, 111, 109, 121, 111, 121]
    assert await reached(along(*prices), Signal("long", 200, 50, 60), live) == [(2, 10), (6, 20)]


@BOTH
async def test_a_falling_path_gives_losses_alone(live: bool) -> None:
    """Case 175."""
    signal, prices = Signal("long", 200, 50, 60), (99, 94, 89, 79)
    assert await reached(along(*prices), signal, live, "loss") == [
        (2, 10), (3, 20), (4, 30), (4, 40)
    ]  # fmt: skip
    assert await reached(along(*prices), signal, live) == []


@BOTH
async def test_a_once_listener_is_called_once_with_level_ten(live: bool) -> None:
    """Case 173, for profit and loss."""
    heard: dict[str, list[Any]] = {"profit": [], "loss": []}
    rows = along(130, 150, 90, 60)
    async with bed(rows, live=live, frame=(0, 0), config=ONE_BAR, topics=()) as made:
        listen_partial_profit_once(lambda event: event.level == 10, heard["profit"].append)
        listen_partial_loss_once(lambda event: True, heard["loss"].append)
        made.strategy(once(Signal("long", 200, 50, 60)))
        await run(made, 4)
        await made.engine.bus.flush()
    assert [(event.level, event.side) for event in heard["profit"]] == [(10, "profit")]
    assert [(event.level, event.side) for event in heard["loss"]] == [(10, "loss")]


@BOTH
@pytest.mark.parametrize("position", ["long", "short"])
async def test_the_callback_is_called_at_every_step_of_a_rising_path(
    live: bool, position: str
) -> None:
    """Case 174."""
    sign = 1 if position == "long" else -1
    prices = [100 + sign * n for n in range(1, 9)]
    signal = Signal(position, 100 + sign * 50, 100 - sign * 50, 60)
    percents: list[float] = []
    losses: list[float] = []
    callbacks = {
        "on_partial_profit": lambda symbol, row, price, percent, test: percents.append(percent),
        "on_partial_loss": lambda symbol, row, price, percent, test: losses.append(percent),
    }
    async with bed(along(*prices), live=live, frame=(0, 0), config=ONE_BAR, topics=()) as made:
        made.strategy(once(signal), callbacks=callbacks)
        await run(made, 8)
    assert percents == [pytest.approx(2.0 * n) for n in range(1, 9)]
    assert losses == []


async def test_the_event_has_the_bar_s_time_and_the_watched_price() -> None:
    """Case 176, and 177: what the report of it says."""
    topics = ("partial_profit", "signal")
    async with bed(along(111, 111), frame=(0, 0), config=ONE_BAR, topics=topics) as made:
        made.strategy(once(Signal("long", 200, 50, 60, note="n")))
        await made.results()
        [event] = made.heard["partial_profit"]
        opened = made.heard["signal"][0]
        assert event.data == opened.signal
        assert (event.level, event.backtest, event.timestamp) == (10, True, T0 + MINUTE)
        assert event.current_price == 111
        report = await Partial.get_report(SYMBOL, "asked")
        assert report.startswith(f"# Partial Profit/Loss Report: {SYMBOL}:asked\n")
        heading = "| Action | Symbol | Strategy | Signal ID | Position | Level % | Current Price |"
        assert heading in report and "| PROFIT | BTCUSDT | asked |" in report
        assert (await Partial.get_data("ETHUSDT", "asked")).event_list == ()


async def test_levels_reached_before_a_restart_are_not_reached_again() -> None:
    """Case 178, over a store; and the report counts each of them once."""
    rows = path([100, 100, 125, 125, 125, 125, 145, 145, 145, 145])
    store, now, heard = MemoryStore(), T0, list[Any]()
    for until in (4, 9):
        clock = SimulatedClock(now)
        async with Engine(clock=clock, store=store) as engine:
            engine.configure({**RELAXED, **ONE_BAR}, unsafe=True)
            engine.live_runs.instants = lambda when: when == T0
            function = serving(rows, clock)
            add_exchange(exchange_name="memory", get_candles=function, intervals=("1m",))
            signal = Signal("long", 200, 50, 60)
            add_strategy(strategy_name="asked", interval="1m", get_signal=once(signal))
            engine.bus.subscribe("partial_profit", heard.append)
            with clock.working():
                if until == 4:
                    engine.live(SYMBOL, strategy_name="asked", exchange_name="memory").start()
                else:
                    await engine.recover()
                await clock.sleep_until(T0 + until * MINUTE + 30_000)
                await engine.bus.flush()
                total = (await Partial.get_data(SYMBOL, "asked")).total_profit
                now = clock.now()
        assert [event.level for event in heard] == [10, 20, 30, 40][:total]
    assert total == 4
