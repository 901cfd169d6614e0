"""The backtest loop and class, case by case (conformance 16.J)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import datetime
from typing import Any

import pytest

from engine import (
    Backtest,
    Engine,
    Partial,
    Performance,
    Risk,
    Schedule,
    Signal,
    SimulatedClock,
    add_exchange,
    add_frame,
)
from engine.domain.time import from_ms
from tests.runs.bed import MINUTE, RELAXED, SYMBOL, T0, bar, bed, flat, long, minute_of, path

WHERE = {"exchange_name": "memory", "frame_name": "frame"}


async def test_108_every_closed_result_is_complete() -> None:
    async with bed(frame=(0, 30)) as made:
        made.strategy(lambda s, w: long(7))
        found = [r async for r in Backtest.run(SYMBOL, strategy_name="asked", **WHERE)]
    assert len(found) > 1
    for result in found:
        assert result.action == "closed" and result.signal.id
        assert str(result.signal.position) == "long"
        assert result.close_reason in ("take_profit", "stop_loss", "time_expired")
        assert result.close_timestamp == result.when > result.signal.pending_at
        assert isinstance(result.pnl.pnl_percentage, float)


async def test_109_who_leaves_after_two_results_has_run_two() -> None:
    async with bed(frame=(0, 200)) as made:
        made.strategy(lambda s, w: long(3))
        async with aclosing(made.run()) as results:
            assert [minute_of((await anext(results)).when) for _ in range(2)] == [3, 6]
        await made.engine.bus.flush()
        assert made.actions() == [("opened", 0), ("closed", 3), ("opened", 3), ("closed", 6)]
        assert (made.instance().status, len(made.heard["done_backtest"])) == ("done", 1)
        report = await Backtest.get_report(SYMBOL, "asked")
        assert "stopped before the frame's end" in report, "two trades are not the whole frame"


@pytest.mark.parametrize("holding", [True, False])
async def test_111_progress_ends_at_one_also_after_a_stop(holding: bool) -> None:
    async with bed(frame=(0, 200)) as made:

        def get_signal(symbol: str, when: datetime) -> Signal | None:
            if minute_of(when) >= 20:
                made.instance().stop()
            return long(9) if holding else None

        made.strategy(get_signal)
        await made.results()
        events = made.heard["progress_backtest"]
        shares = [event.progress for event in events]
        assert shares == sorted(shares) and shares[-1] == 1.0
        assert made.instance().is_stopped and made.instance().is_done
        assert len(made.heard["done_backtest"]) == 1


async def test_112_the_instant_of_a_close_is_an_instant_to_decide() -> None:
    """Defect D52: no frame is lost after a signal."""
    calls: list[int] = []

    def get_signal(symbol: str, when: datetime) -> Signal | None:
        calls.append(minute_of(when))
        return long(8) if minute_of(when) == 0 else None

    async with bed(frame=(0, 12)) as made:
        made.strategy(get_signal)
        (result,) = await made.results()
    assert minute_of(result.close_timestamp) == 8
    assert calls == [0, 8, 9, 10, 11, 12]
    rows = flat(-10, 5 * 1440 + 100)
    async with bed(rows, frame=(0, 4 * 1440), interval="1d") as made:
        made.strategy(lambda s, w: long(60), interval="1h")
        days = [minute_of(r.signal.pending_at) // 1440 for r in await made.results()]
    assert days == [0, 1, 2, 3, 4]


async def test_116_symbols_in_parallel_are_independent_in_every_report() -> None:
    prices = {
        "BTCUSDT": [100.0] * 5 + [112.0] * 60,
        "ETHUSDT": [100.0] * 5 + [85.0] * 60,
        "SOLUSDT": [100.0] * 65,
    }

    def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        first = int(since.timestamp() * 1000)
        return [row for row in path(prices[symbol]) if row[0] >= first][:limit]

    def get_signal(symbol: str, when: datetime) -> Signal | None:
        return long(30) if minute_of(when) == 0 else None

    async with bed(frame=(0, 50), get_candles=get_candles) as made:
        made.strategy(get_signal)
        for symbol in prices:
            Backtest.background(symbol, strategy_name="asked", **WHERE)
        assert {item["status"] for item in await Backtest.list()} == {"running"}
        await asyncio.gather(*(made.instance(symbol=symbol).wait() for symbol in prices))
        await made.engine.bus.flush()
        listed = await Backtest.list()
        assert [(i["symbol"], i["status"]) for i in listed] == [(s, "done") for s in prices]
        reasons = {
            r.symbol: str(r.close_reason) for r in made.heard["signal"] if r.action == "closed"
        }
        assert reasons == {
            "BTCUSDT": "take_profit", "ETHUSDT": "stop_loss", "SOLUSDT": "time_expired",
        }  # fmt: skip
        for symbol in prices:
            data = await Backtest.get_data(symbol, "asked")
            assert data.total_signals == 1 and {t.symbol for t in data.signal_list} == {symbol}
            partial = await Partial.get_data(symbol, "asked")
            assert {event.symbol for event in partial.event_list} <= {symbol}
            assert (partial.total_profit > 0) is (symbol == "BTCUSDT")
            assert (partial.total_loss > 0) is (symbol == "ETHUSDT")
            assert (await Schedule.get_data(symbol, "asked")).total_events == 0
            assert (await Risk.get_data(symbol, "asked")).total_rejections == 0
            measured = await Performance.get_data(symbol, "asked")
            assert measured.metric_stats["backtest_signal"].count == 1
        assert {d.symbol for d in made.heard["done_backtest"]} == set(prices)


async def test_118_and_119_a_stop_lets_the_position_close_and_nothing_opens() -> None:
    for action in ("opened", "closed"):
        async with bed(frame=(0, 60)) as made:
            made.strategy(lambda s, w: long(5))
            made.engine.bus.subscribe_once(
                "signal", lambda r, a=action: r.action == a, lambda _: made.instance().stop()
            )
            await made.results()
            assert made.actions() == [("opened", 0), ("closed", 5)]


async def test_120_a_stop_reaches_a_strategy_that_is_slow_to_say_no() -> None:
    asked: list[int] = []
    slow = asyncio.Event()

    async def get_signal(symbol: str, when: datetime) -> None:
        asked.append(minute_of(when))
        if len(asked) == 3:
            slow.set()
            await asyncio.Event().wait()

    async with bed(frame=(0, 59), config={"max_signal_generation_seconds": 1}) as made:
        made.strategy(get_signal)
        cancel = Backtest.background(SYMBOL, strategy_name="asked", **WHERE)
        await slow.wait()
        cancel()
        await made.instance().wait()
        await made.engine.bus.flush()
        assert asked == [0, 1, 2], "the open question is cut off by its limit, no other is asked"
        assert len(made.heard["done_backtest"]) == 1


async def test_121_every_trade_is_yielded_and_counted() -> None:
    async with bed(flat(-10, 740), frame=(0, 720), topics=()) as made:
        made.strategy(lambda s, w: long(1))
        found = await made.results()
        assert len(found) == 721
        data = await Backtest.get_data(SYMBOL, "asked")
        assert data.total_signals == data.total_trades == 721


async def test_122_a_second_run_starts_every_count_at_nothing() -> None:
    async with bed(frame=(0, 30)) as made:
        made.strategy(lambda s, w: long(7))
        first, second = await made.results(), await made.results()
        assert first == second
        assert (await Backtest.get_data(SYMBOL, "asked")).total_signals == len(first)
        measured = await Performance.get_data(SYMBOL, "asked")
        assert measured.metric_stats["backtest_total"].count == 1


async def test_123_a_frame_near_the_present_ends_with_the_data_and_the_close_is_yielded() -> None:
    clock = SimulatedClock(T0 + 12 * MINUTE + 30_000)
    rows = [bar(minute) for minute in range(-10, 60)]

    def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        first = int(since.timestamp() * 1000)
        found = [r for r in rows if first <= r[0] <= clock.now()][:limit]
        return [[*r[:4], r[4] + 50 * (r[0] + MINUTE > clock.now()), r[5]] for r in found]

    async with Engine(clock=clock) as engine:
        engine.configure(RELAXED, unsafe=True)
        add_exchange(exchange_name="memory", get_candles=get_candles, intervals=["1m"])
        add_frame(
            frame_name="frame", interval="1m", start_date=from_ms(T0),
            end_date=from_ms(T0 + 40 * MINUTE),
        )  # fmt: skip
        from engine import add_strategy

        add_strategy(
            strategy_name="asked", interval="1m",
            get_signal=lambda s, w: long(30, tp=140) if minute_of(w) == 10 else None,
        )  # fmt: skip
        (result,) = [r async for r in Backtest.run(SYMBOL, strategy_name="asked", **WHERE)]
    assert (minute_of(result.when), str(result.close_reason)) == (12, "end_of_data")
    assert result.current_price == 100.0, "the bar that is still forming is nowhere seen"
