"""Exchange, frame and context inside of runs, case by case (conformance 16.D)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from engine import Backtest, Signal, add_frame, get_average_price, get_candles
from engine.domain.errors import CandleDataError, ExchangeError
from engine.domain.time import from_ms
from tests.runs.bed import MINUTE, SYMBOL, T0, Bed, bar, bed, flat, long, minute_of, path, serving

WHERE: dict[str, Any] = {"exchange_name": "memory", "frame_name": "frame"}


async def failing(made: Bed) -> BaseException:
    """Run the backtest in the background; the error that ended it."""
    Backtest.background(SYMBOL, strategy_name="asked", **WHERE)
    await made.instance().wait()
    await made.engine.bus.flush()
    assert made.instance().status == "failed"
    assert made.heard["done_backtest"] == []
    [error] = made.heard["exit"]
    return error


async def test_36_to_39_and_41_what_a_strategy_is_given() -> None:
    """Windows of an aligned hour, of one bar, of none; unknown names; the average price."""
    mock = [
        [T0 + (i - 5) * MINUTE, b + 150.5, b + 380.2, b + 100, b + 250.8, 100.0 + 10 * i]
        for i, b in ((i, 42_000.0 + 100 * i) for i in range(5))
    ]
    rows = [*flat(-300, -5, 42_000), *mock, *flat(0, 10, 42_000)]
    seen: dict[str, Any] = {}

    def get_candles_of(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        return serving(rows)(symbol, interval, since, limit) if symbol == SYMBOL else []

    async def get_signal(symbol: str, when: datetime) -> None:
        hours = await get_candles(symbol, "1h", 3)
        seen["hours"] = [minute_of(int(at)) for at in hours.timestamp]
        seen["one"] = [minute_of(int(at)) for at in (await get_candles(symbol, "1m", 1)).timestamp]
        seen["price"] = await get_average_price(symbol)
        for name, question in (
            ("zero", get_candles(symbol, "1m", 0)),
            ("7m", get_candles(symbol, "7m", 3)),
            ("none", get_average_price("NONE")),
        ):
            try:
                await question
            except Exception as error:
                seen[name] = str(error)

    async with bed(frame=(0, 0), get_candles=get_candles_of) as made:
        made.strategy(get_signal)
        await made.results()
        assert made.errors() == []
    assert seen["hours"] == [-180, -120, -60], "the newest hour is the one that has just closed"
    assert seen["one"] == [-1]
    assert seen["price"] == pytest.approx(42460.3333, abs=1e-4)
    assert "limit is 0: must be at least 1" in seen["zero"]
    assert "7m" in seen["7m"]
    assert "unknown: use one of 1m, 3m" in seen["7m"]
    assert "no candles" in seen["none"]
    assert "NONE" in seen["none"]


async def test_40_without_volume_a_signal_is_scheduled_opened_and_closed() -> None:
    rows = [[*row[:5], 0.0] for row in path([100, 100, 95, 95, 95, 95, 95, 112, 112, 112, 112])]
    async with bed(rows, frame=(0, 1)) as made:
        made.strategy(
            lambda s, w: long(30, entry=96, tp=105) if minute_of(w) == 0 else None
        )  # fmt: skip
        [result] = await made.results()
        assert made.errors() == []
        # The mean of five closes: 96 when the fourth 95 has closed, 105.2 when the third 112 has.
        assert made.actions() == [("scheduled", 0), ("opened", 6), ("closed", 10)]
    assert (str(result.close_reason), result.signal.price_open) == ("take_profit", 96)


async def test_43_an_anomaly_fails_the_backtest_and_nothing_is_traded() -> None:
    rows = path([42_000.0] * 20)
    rows[13][1:5] = [0.1] * 4
    async with bed(rows, frame=(0, 15)) as made:
        made.strategy(lambda s, w: Signal("long", 43_000, 41_000, 5))
        assert isinstance(await failing(made), CandleDataError)
        [error] = made.heard["error"]
        assert (error.stage, error.symbol, error.strategy_name) == ("exchange", SYMBOL, "asked")
        assert "row 13" in str(error)
        assert "median 42000" in str(error)
        assert made.actions() == []


async def test_45_to_47_a_provider_that_fails() -> None:
    """Count 2 is three attempts with two waits; count 0 is one attempt and a real error."""
    calls: list[int] = []
    fails = 2

    def get_candles_of(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        calls.append(minute_of(since))
        if len(calls) <= fails:
            raise ConnectionError("the door is shut")
        return serving(flat(-10, 60))(symbol, interval, since, limit)

    twice = {"get_candles_retry_count": 2, "get_candles_retry_delay_ms": 0}
    async with bed(get_candles=get_candles_of, config=twice) as made:
        made.strategy(lambda s, w: None)
        assert await made.results() == []
        assert made.heard["error"] == []
        assert calls[:3] == [calls[0]] * 3
        assert len(made.heard["done_backtest"]) == 1
    fails = 1_000_000
    for config, attempts in ((twice, 3), ({"get_candles_retry_count": 0}, 1)):
        calls.clear()
        async with bed(get_candles=get_candles_of, config=config) as made:
            made.strategy(lambda s, w: None)
            assert isinstance(await failing(made), ExchangeError)
            assert len(calls) == attempts
            [error] = made.heard["error"]
            assert (error.stage, error.symbol) == ("exchange", SYMBOL)
            assert f"failed {attempts} times" in str(error)
            assert "the door is shut" in str(error)


async def test_48_what_was_not_asked_for_is_dropped() -> None:
    """Rows before ``since`` and beyond the frame come along; no window shows them."""
    seen: list[list[int]] = []
    asked_from: list[int] = []

    def get_candles_of(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        asked_from.append(minute_of(since))
        return flat(-30, 300)

    async def get_signal(symbol: str, when: datetime) -> None:
        seen.append([minute_of(int(at)) for at in (await get_candles(symbol, "1m", 3)).timestamp])

    async with bed(frame=(0, 2), get_candles=get_candles_of) as made:
        made.strategy(get_signal)
        await made.results()
        assert made.errors() == []
    assert seen == [[-3, -2, -1], [-2, -1, 0], [-1, 0, 1]]


async def test_49_to_51_frames() -> None:
    """Instants of a frame; its callback once per frame name; a frame that is empty."""
    told: list[tuple[str, list[int], int, int, str]] = []
    asked: dict[str, list[int]] = {}

    def telling(name: str) -> Any:
        def on_timeframe(instants: Any, start: datetime, end: datetime, interval: str) -> None:
            minutes = [minute_of(at) for at in instants]
            told.append((name, minutes, minute_of(start), minute_of(end), interval))

        return on_timeframe

    frames = {"15m": (15, "1m"), "150m": (150, "1h"), "day": (1440, "1d"), "empty": (-5, "1m")}
    async with bed(flat(-10, 1500), frame=(0, 0)) as made:

        def get_signal(symbol: str, when: datetime) -> None:
            asked.setdefault(name, []).append(minute_of(when))

        made.strategy(get_signal)
        for name, (end, interval) in frames.items():
            add_frame(
                frame_name=name, interval=interval, start_date=from_ms(T0),
                end_date=from_ms(T0 + end * MINUTE), callbacks={"on_timeframe": telling(name)},
            )  # fmt: skip
        for name in [*frames, "15m"]:
            for symbol in (SYMBOL, "ETHUSDT"):
                found = Backtest.run(
                    symbol, strategy_name="asked", exchange_name="memory", frame_name=name
                )
                assert [r async for r in found] == []
        await made.engine.bus.flush()
        assert made.errors() == []
        empty = [e for e in made.heard["progress_backtest"] if e.frame_name == "empty"]
        assert [(e.processed_frames, e.total_frames, e.progress) for e in empty] == [
            (0, 0, 1.0)
        ] * 2
        done = [e for e in made.heard["done_backtest"] if e.frame_name == "empty"]
        assert len(done) == 2
    expected = {"15m": list(range(16)), "150m": [0, 60, 120], "day": [0, 1440]}
    assert told == [(name, instants, 0, *frames[name]) for name, instants in expected.items()], (
        "once per frame name, however many runs"
    )
    assert asked == {
        "15m": expected["15m"] * 4, "150m": expected["150m"] * 2, "day": expected["day"] * 2,
    }  # fmt: skip


async def test_44_single_rows_that_are_wrong_end_a_backtest_and_no_volume_does_not() -> None:
    bad = {
        "finite": {"price": float("nan")}, "not positive": {"low": 0.0},
        "volume is negative": {"volume": -1.0},
    }  # fmt: skip
    for words, changes in bad.items():
        rows = [*flat(-10, 5), bar(5, **changes), *flat(6, 20)]
        async with bed(rows, frame=(0, 10)) as made:
            made.strategy(lambda s, w: None)
            with pytest.raises(CandleDataError, match=f"row 15.*{words}"):
                await made.results()
            await made.engine.bus.flush()
            assert len(made.heard["error"]) == 1
            assert made.heard["exit"] == [], "raised instead"
    rows = [*flat(-10, 5), bar(5, volume=0.0), *flat(6, 20)]
    async with bed(rows, frame=(0, 10)) as made:
        made.strategy(lambda s, w: None)
        assert await made.results() == []
        assert made.errors() == []
