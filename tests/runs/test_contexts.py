"""Which run, which instant: in every kind of user code, and never somebody else's."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from engine import (
    Backtest,
    ContextError,
    Engine,
    Signal,
    add_risk,
    format_price,
    format_quantity,
    get_average_price,
    get_candles,
    get_date,
    get_mode,
    listen_error,
    listen_partial_loss,
    listen_partial_profit,
    listen_risk,
    listen_signal,
    sync,
)
from tests.runs.bed import SYMBOL, Bed, bed, flat, long, minute_of, path

BOTH = pytest.mark.parametrize("live", [False, True], ids=["backtest", "live"])


async def run(made: Bed, minutes: int) -> None:
    if made.clock is None:
        await made.results()
    else:
        made.instance().start()
        await made.until(minutes)


OUTSIDE = [
    lambda: get_candles("S", "1m", 1),
    lambda: get_average_price("S"),
    lambda: get_date(),
    lambda: get_mode(),
    lambda: format_price("S", 1.0),
    lambda: format_quantity("S", 1.0),
    lambda: sync.get_candles("S", "1m", 1),
    lambda: sync.get_average_price("S"),
    lambda: sync.format_price("S", 1.0),
    lambda: sync.format_quantity("S", 1.0),
]


@pytest.mark.parametrize("call", OUTSIDE, ids=range(len(OUTSIDE)))
async def test_outside_of_a_run_every_data_function_says_so_at_once(call: Any) -> None:
    async with Engine():
        with pytest.raises(ContextError, match="without a context"):
            call()


async def test_after_and_between_the_steps_of_a_run_there_is_no_context() -> None:
    async with bed(frame=(0, 9)) as made:
        made.strategy(lambda s, w: long(2))
        async for _ in made.run():
            with pytest.raises(ContextError):
                get_date()
        with pytest.raises(ContextError):
            get_mode()


@BOTH
async def test_every_callback_listener_and_validation_sees_its_instant(live: bool) -> None:
    """The candles it can get end at that instant, in both modes (defect D42)."""
    seen: dict[str, set[tuple[int, int]]] = {}

    async def note(name: str) -> None:
        bars = await get_candles(SYMBOL, "1m", 2)
        assert get_mode() == ("live" if live else "backtest")
        plain = sync.get_candles(SYMBOL, "1m", 2) if name != "asked" else bars
        assert plain == bars
        newest = minute_of(int(bars.timestamp[-1])) + 1
        seen.setdefault(name, set()).add((minute_of(get_date()), newest))

    def noting(name: str) -> Any:
        async def callback(*_: Any) -> None:
            await note(name)

        return callback

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        await note("asked")
        minute = minute_of(when)
        if minute == 0:
            return long(9, tp=101)
        return long(3, tp=200) if minute > 6 else None

    async def validate(check: Any) -> None:
        await note("validation")
        if minute_of(check.timestamp) >= 6:
            raise ValueError("no more")

    rows = path([100, 100, 100.2, 100.6, 101, 103, 103, 103, 103], before=10) + flat(9, 30, 103)
    names = ("on_tick", "on_open", "on_close", "on_write", "on_active", "on_idle",
             "on_partial_profit")  # fmt: skip
    async with bed(rows, live=live, frame=(0, 8), topics=("error",)) as made:
        add_risk(risk_name="limit", validations=[validate], callbacks={
            "on_allowed": noting("on_allowed"), "on_rejected": noting("on_rejected"),
        })  # fmt: skip
        listen_signal(noting("listen_signal"))
        listen_risk(noting("listen_risk"))
        listen_partial_profit(noting("listen_partial_profit"))
        made.strategy(
            get_signal, risk_name="limit", callbacks={name: noting(name) for name in names}
        )
        await run(made, 8)
        assert made.errors() == []
    expected = {"asked", "validation", "on_allowed", "on_rejected", "listen_signal", "listen_risk",
                "listen_partial_profit", *names}  # fmt: skip
    assert set(seen) == expected
    for name, instants in seen.items():
        assert all(when == newest for when, newest in instants), name
    assert seen["on_open"] == {(0, 0)}
    assert len(seen["on_close"]) == 1
    assert len(seen["on_tick"]) >= 8


@BOTH
async def test_an_error_listener_sees_the_instant_of_the_error(live: bool) -> None:
    seen = []

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        if minute_of(when) == 3:
            raise ValueError("mine")
        return None

    async with bed(live=live, frame=(0, 5), topics=()) as made:
        listen_error(lambda error: seen.append((minute_of(get_date()), get_mode())))
        made.strategy(get_signal)
        await run(made, 5)
    assert seen == [(3, "live" if live else "backtest")]


async def test_many_runs_at_once_never_see_each_others_context() -> None:
    """Strategies, callbacks and listeners that give way at every step."""
    symbols = [f"S{n}" for n in range(8)]
    wrong: list[Any] = []
    counted = dict.fromkeys(symbols, 0)

    async def check(symbol: str, when: int | None) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            bars = await get_candles(symbol, "1m", 1)
            price = 100 + symbols.index(symbol)
            if when is not None and minute_of(get_date()) != when:
                wrong.append((symbol, when, get_date()))
            if bars[-1].close != price or await get_average_price(symbol) != price:
                wrong.append((symbol, bars))
        counted[symbol] += 1

    async def get_signal(symbol: str, when: datetime) -> Signal:
        await check(symbol, minute_of(when))
        return Signal("long", 200, 50, 1 + symbols.index(symbol) % 3)

    async def on_close(symbol: str, row: Any, price: float, backtest: bool) -> None:
        await check(symbol, None)

    async def listener(result: Any) -> None:
        await check(result.symbol, minute_of(result.when))

    def get_candles_(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        first = minute_of(since)
        price = 100 + symbols.index(symbol)
        return flat(max(first, -20), min(first + limit, 90), price)

    async with bed(frame=(0, 12), get_candles=get_candles_) as made:
        listen_signal(listener)
        made.strategy(get_signal, callbacks={"on_close": on_close})
        found = await asyncio.gather(*(made.results(symbol=symbol) for symbol in symbols))
        assert made.errors() == []
    assert wrong == []
    assert all(count > 10 for count in counted.values())
    for symbol, results in zip(symbols, found, strict=True):
        assert {r.symbol for r in results} == {symbol}
        assert {r.signal.price_open for r in results} == {100 + symbols.index(symbol)}


async def test_runs_side_by_side_are_the_runs_one_by_one() -> None:
    rows = path([100 + (m * 7 % 11) for m in range(60)])

    async def get_signal(symbol: str, when: datetime) -> Signal:
        await asyncio.sleep(0)
        close = (await get_candles(symbol, "1m", 1)).close[-1]
        return Signal("long", close + 2, close - 2, 1 + len(symbol))

    symbols = ["A", "BB", "CCC", "DDDD"]
    async with bed(rows, frame=(0, 40)) as made:
        made.strategy(get_signal)
        alone = [await made.results(symbol=symbol) for symbol in symbols]
    async with bed(rows, frame=(0, 40)) as made:
        made.strategy(get_signal)
        together = await asyncio.gather(*(made.results(symbol=symbol) for symbol in symbols))
    assert list(together) == alone


async def test_a_backtest_started_inside_a_live_callback_has_its_own_context() -> None:
    found: list[Any] = []
    modes: list[str] = []

    async def inner(symbol: str, when: datetime) -> None:
        modes.append(get_mode())

    async def on_open(*_: Any) -> None:
        async for result in Backtest.run(
            SYMBOL, strategy_name="inner", exchange_name="memory", frame_name="frame"
        ):
            found.append(result)
        modes.append(get_mode())

    rows = flat(-3000, 100)
    async with bed(rows, live=True, frame=(-2500, -2495)) as made:
        made.strategy(inner, "inner")
        made.strategy(lambda s, w: long(3), callbacks={"on_open": on_open})
        made.instance().start()
        await made.until(1)
        assert made.errors() == []
    assert modes == ["backtest"] * 6 + ["live"]


async def test_a_listener_that_runs_a_backtest_does_not_wait_for_itself() -> None:
    done: list[int] = []

    async def compare(result: Any) -> None:
        if result.action == "closed" and not done:
            done.append(0)
            inner = Backtest.run(
                "OTHER", strategy_name="asked", exchange_name="memory", frame_name="frame"
            )
            done.append(len([r async for r in inner]))

    async with bed(frame=(0, 9)) as made:
        listen_signal(compare)
        made.strategy(lambda s, w: long(3))
        async with asyncio.timeout(5):  # a deadlock would be the failure
            assert len(await made.results()) == 4
            while len(done) < 2:  # the outer run does not wait for the inner one
                await asyncio.sleep(0)
        assert done == [0, 4]


async def test_history_loaded_by_a_callback_or_listener_moves_nothing() -> None:
    """Time ran backwards once when older bars were put in front while a position closed."""

    async def trades(loads: str) -> list[Any]:
        async def load(*_: Any) -> None:
            await get_candles(SYMBOL, "1m", 1700)

        async def get_signal(symbol: str, when: datetime) -> Signal:
            if loads == "get_signal" and minute_of(when) == 20:
                await load()
            return long(5)

        async def listener(result: Any) -> None:
            if result.action == loads:
                await load()

        async with bed(flat(-2000, 60), frame=(0, 30), topics=("error",)) as made:
            made.listen("signal")
            listen_partial_loss(lambda _: None)
            if loads in ("opened", "closed", "active"):
                made.engine.bus.subscribe("signal", listener, transitions_only=loads != "active")
            callbacks = {loads: load} if loads.startswith("on_") else {}
            made.strategy(get_signal, callbacks=callbacks)
            found = await made.results()
            assert made.errors() == []
            return found

    expected = await trades("never")
    assert [minute_of(r.signal.pending_at) for r in expected] == [0, 5, 10, 15, 20, 25, 30]
    for loads in ("get_signal", "on_open", "on_close", "on_tick", "on_write", "opened", "closed",
                  "active"):  # fmt: skip
        assert await trades(loads) == expected, loads


@BOTH
async def test_the_average_price_is_that_of_the_whole_window_for_any_symbol(live: bool) -> None:
    seen: list[tuple[float, float, float]] = []

    async def get_signal(symbol: str, when: datetime) -> None:
        minute = minute_of(when)
        expected = sum(200 + m for m in range(minute - 5, minute)) / 5
        seen.append((await get_average_price("OTHER"), await get_average_price(symbol), expected))

    rows = [row for m in range(-10, 30) for row in flat(m, m + 1, 200.0 + m)]
    async with bed(rows, live=live, frame=(0, 7)) as made:
        made.strategy(get_signal)
        await run(made, 7)
        assert made.errors() == []
    assert len(seen) == 8
    for other, own, expected in seen:
        assert own == pytest.approx(expected)
        assert other == pytest.approx(expected)


async def test_numbers_are_formatted_by_the_exchange_of_the_run() -> None:
    texts: list[str] = []

    async def get_signal(symbol: str, when: datetime) -> None:
        texts.append(await format_price(symbol, 42685.3456789))
        texts.append(await format_quantity(symbol, 0.123456789))

    def plain(symbol: str, when: datetime) -> None:
        texts.append(sync.format_price(symbol, 42685.3456789))
        texts.append(sync.format_quantity(symbol, 0.123456789))

    from engine import add_exchange
    from tests.runs.bed import serving

    async with bed(frame=(0, 0)) as made:
        add_exchange(
            exchange_name="fine", get_candles=serving(flat(-10, 10)), intervals=["1m"],
            format_price=lambda symbol, price: f"{price:.2f}",
            format_quantity=lambda symbol, quantity: f"{quantity:.5f}",
        )  # fmt: skip
        made.strategy(get_signal)
        made.strategy(plain, "plain")
        for name in ("asked", "plain"):
            async for _ in Backtest.run(
                SYMBOL, strategy_name=name, exchange_name="fine", frame_name="frame"
            ):
                pass
        assert made.errors() == []
    assert texts == ["42685.35", "0.12346"] * 2


@BOTH
async def test_a_plain_strategy_gets_older_bars_from_an_exchange_that_has_to_wait(
    live: bool,
) -> None:
    """Inline there is no loop to wait on: another thread has to do it."""
    rows = flat(-4000, 60)
    seen: list[int] = []

    async def get_candles_(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        await asyncio.sleep(0.001)
        first = minute_of(since)
        closed = minute_of(made.engine.clock.now() // 60_000 * 60_000) if live else 60
        return [row for row in rows if first <= minute_of(int(row[0])) < closed][:limit]

    def get_signal(symbol: str, when: datetime) -> None:
        seen.append(len(sync.get_candles(symbol, "1m", 100 + 1000 * minute_of(when))))
        seen.append(len(sync.get_candles("OTHER", "1m", 3)))
        sync.get_average_price("THIRD")

    async with bed(live=live, frame=(0, 3), get_candles=get_candles_) as made:
        made.strategy(get_signal)
        await run(made, 3)
        assert made.errors() == []
    assert seen == [100, 3, 1100, 3, 2100, 3, 3100, 3]


async def test_a_listeners_failure_is_told_at_the_instant_of_its_event() -> None:
    """The task that handles events is older than most of them."""
    heard: list[tuple[int, int]] = []

    async def late(result: Any) -> None:
        await asyncio.sleep(0)
        raise ValueError("mine")

    def broken(result: Any) -> None:
        raise ValueError("mine")

    async with bed(frame=(0, 9), topics=()) as made:
        listen_signal(late)
        listen_signal(broken)
        listen_error(lambda error: heard.append((minute_of(error.when), minute_of(get_date()))))
        made.strategy(lambda s, w: long(3))
        await made.results()
    assert {said for said, _ in heard} >= {0, 1, 2, 3, 9}
    assert [said for said, _ in heard] == [seen for _, seen in heard]


async def test_a_run_started_inside_another_one_knows_nothing_of_its_instant() -> None:
    seen: list[str] = []

    def note(name: str) -> None:
        try:
            seen.append(f"{name} {get_date()}")
        except ContextError:
            seen.append(name)

    def get_candles_(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        note("exchange")
        first = minute_of(since)
        return flat(max(first, -10), min(first + limit, 90))

    async def get_signal(symbol: str, when: datetime) -> None:
        if symbol == "OUTER" and minute_of(when) == 3:
            Backtest.background(
                "INNER", strategy_name="asked", exchange_name="memory", frame_name="frame"
            )

    async with bed(frame=(0, 5), get_candles=get_candles_, topics=()) as made:
        for topic in ("progress_backtest", "performance", "done_backtest"):
            made.engine.bus.subscribe(topic, lambda event: note(type(event).__name__))
        made.strategy(get_signal)
        await made.results(symbol="OUTER")
        await made.instance(symbol="INNER").wait()
        await made.engine.bus.flush()
    assert seen.count("exchange") >= 2
    assert seen.count("Done") == 2
    assert set(seen) == {"exchange", "Done", "BacktestProgress", "Performance"}
