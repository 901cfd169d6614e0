"""An exchange through ccxt: what it delivers, how it pages, and whose connections it uses."""

from __future__ import annotations

import asyncio
import gc
import math
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import cast

import pytest

from engine import Backtest, Engine, add_exchange, add_frame, add_strategy
from engine import sync as plain
from engine.adapters.exchanges.ccxt import CcxtExchange, _page
from engine.adapters.exchanges.ccxt_library import Client
from engine.domain.bars import CANDLE_INTERVALS, FRAME_INTERVALS, Candles, concat
from engine.domain.errors import (
    ContextError,
    ExchangeError,
    NoDataError,
    NotRegisteredError,
    SchemaError,
)
from engine.domain.ports import Clock, Exchange
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings
from engine.domain.time import MINUTE, from_ms, iso
from engine.services.clock import AcceleratedClock, SystemClock
from engine.services.market import Market
from tests.adapters.ccxt_bed import NOON, bed, flat, minutes
from tests.servers.bars import HeldBars

pytestmark = pytest.mark.filterwarnings("error")


# --- candles ----------------------------------------------------------------------------------


async def test_it_is_an_exchange() -> None:
    exchange = CcxtExchange("binance", clock=SystemClock())
    assert isinstance(exchange, Exchange)
    assert exchange.history() is None
    assert repr(exchange) == "CcxtExchange('binance')"


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTCUSDT"])
async def test_bars_are_those_of_the_exchange(symbol: str) -> None:
    async with bed() as b:
        since = NOON - 10 * MINUTE
        assert await minutes(b.open(), since, 10, symbol) == b.truth(since, 10)
        assert b.server.count("klines") == b.server.count("exchangeInfo") == 1


async def test_more_than_the_exchange_gives_at_once_is_paged() -> None:
    async with bed() as b:
        since = NOON - 2600 * MINUTE
        assert await minutes(b.open(), since, 2500) == b.truth(since, 2500)
        asked = [(int(s.query["startTime"]), int(s.query["limit"])) for s in b.server.requests[1:]]
        assert asked == [
            (since, 1000),
            (since + 1000 * MINUTE, 1000),
            (since + 2000 * MINUTE, 500),
        ]


async def test_pages_stop_where_nothing_can_be_newer() -> None:
    async with bed(start=NOON + 20_000) as b:
        since = NOON - 3 * MINUTE
        bars = await minutes(b.open(), since, 1500)
        assert list(bars.timestamp) == [since + i * MINUTE for i in range(4)]
        assert bars[:3] == b.truth(since, 3)
        assert bars[3] != b.truth(NOON, 1)[0]  # it is still forming
        assert b.server.count() == 1
        assert len(await minutes(b.open(), NOON + MINUTE, 5)) == 0
        assert b.server.count() == 1


@pytest.mark.parametrize("windowed", [False, True])
async def test_pages_go_on_over_holes(windowed: bool) -> None:
    start = NOON - 5000 * MINUTE
    early, after = flat(start, 700), flat(start + 3400 * MINUTE, 1600)
    source = HeldBars({"BTCUSDT": Candles(concat([early.columns(), after.columns()]))})
    async with bed(source=source, windowed=windowed) as b:
        bars = await minutes(b.open(), start, 5000)
        assert len(bars) == 2300
        assert bars == b.truth(start, 5000)


async def test_bars_before_the_start_are_left_out() -> None:
    """Most clients of ccxt see to it themselves; with one that does not, pages would not end."""

    class Careless:
        async def fetch_ohlcv(self, *asked: object) -> list[list[float]]:
            return [[NOON + i * MINUTE, 1, 1, 1, 1, i] for i in (-2, -1, 0, 1)]

    page = await _page(cast(Client, Careless()), "BTC/USDT", "1m", NOON, 4)
    assert page[:, 0].tolist() == [NOON, NOON + MINUTE]


async def test_a_bar_at_the_border_of_pages_comes_once() -> None:
    async with bed() as b:
        since = NOON - 1001 * MINUTE
        stamps = (await minutes(b.open(), since, 1001)).timestamp.tolist()
        assert stamps == [since + i * MINUTE for i in range(1001)]


async def test_nothing_is_asked_for_nothing() -> None:
    async with bed() as b:
        assert len(await minutes(b.open(), NOON - MINUTE, 0)) == 0
        assert b.server.count() == 0


async def test_higher_intervals() -> None:
    async with bed() as b:
        since = NOON - 60 * MINUTE
        bars = await b.open().get_candles("ETH/USDT", "15m", from_ms(since), 4)
        parts = [b.truth(since + i * 15 * MINUTE, 15, "ETHUSDT") for i in range(4)]
        assert bars.high.tolist() == [part.high.max() for part in parts]
        assert bars.close.tolist() == [part.close[-1] for part in parts]


async def test_an_interval_that_is_not_served() -> None:
    async with bed() as b:
        exchange = b.open(timeframes={"3m": None})
        with pytest.raises(NoDataError) as caught:
            await exchange.get_candles("BTC/USDT", "3m", from_ms(NOON), 1)
        assert "BTC/USDT 3m: it does not serve this interval, only 1m, 5m" in str(caught.value)
        assert b.server.count() == 0


# --- what it tells about itself ---------------------------------------------------------------


async def test_intervals_are_the_engines() -> None:
    assert CcxtExchange("binance", clock=SystemClock()).intervals() == set(FRAME_INTERVALS)
    okx = CcxtExchange("okx", clock=SystemClock()).intervals()
    assert {"1m", "15m", "1d"} <= okx <= set(FRAME_INTERVALS)
    assert "8h" not in okx
    assert CcxtExchange("bitflyer", clock=SystemClock()).intervals() == frozenset()


async def test_symbols_are_those_traded() -> None:
    async with bed() as b:
        symbols = await b.open().symbols()
        assert symbols[:3] == ("ADA/USDT", "BNB/USDT", "BTC/USDT")
        assert len(symbols) == len(b.market.symbols())


async def test_precision_is_the_exchanges() -> None:
    async with bed() as b:
        exchange = b.open()
        with pytest.raises(ExchangeError, match="before its markets are loaded: ask it for"):
            exchange.format_price("BTC/USDT", 1.0)
        await exchange.symbols()
        assert exchange.format_price("BTC/USDT", 64000.26) == "64000.3"
        assert exchange.format_price("BTCUSDT", 64000.26) == "64000.3"
        assert exchange.format_price("XRP/USDT", 1e-5) == "0.00001"
        assert exchange.format_price("XRP/USDT", 1e-9) == "0"
        assert exchange.format_quantity("BTC/USDT", 0.123459) == "0.12345"
        assert exchange.format_quantity("DOGE/USDT", 0.9) == "0"
        assert exchange.format_price("BTC/USDT", math.nan) == "nan"
        with pytest.raises(NoDataError, match="did you mean BTC/USDT"):
            exchange.format_quantity("BTC/USD", 1.0)


async def test_an_unknown_symbol_names_near_ones() -> None:
    async with bed() as b:
        exchange = b.open()
        with pytest.raises(NoDataError) as caught:
            await minutes(exchange, NOON - MINUTE, 1, "BTC-USD")
        text = str(caught.value)
        assert "'binance', BTC-USD 1m" in text and "did you mean BTC/USDT" in text
        with pytest.raises(NoDataError, match=r"BTC/USDT.*Contracts are listed where fetchMarkets"):
            await minutes(exchange, NOON - MINUTE, 1, "BTC/USDT:USDT")
        with pytest.raises(NoDataError, match="it lists 8 others"):
            await minutes(exchange, NOON - MINUTE, 1, "QQQ")
        assert b.server.count() == 0


async def test_a_symbol_listed_meanwhile_is_found() -> None:
    start = NOON - 5 * MINUTE
    async with bed(source=HeldBars({"BTCUSDT": flat(start, 200)})) as b:
        exchange = b.open()
        await exchange.symbols()
        b.server.source = HeldBars(
            {"BTCUSDT": flat(start, 200), "NEWUSDT": flat(start, 200, price=3.0)}
        )
        with pytest.raises(NoDataError):
            await minutes(exchange, start, 5, "NEW/USDT")
        assert b.server.count("exchangeInfo") == 1
        await b.clock.sleep_until(NOON + 61 * MINUTE)
        assert (await minutes(exchange, start, 5, "NEW/USDT")).close.tolist() == [3.0] * 5
        with pytest.raises(NoDataError):
            await minutes(exchange, start, 5, "NEVER/USDT")
        assert b.server.count("exchangeInfo") == 2


async def test_a_symbol_delisted_meanwhile_is_no_data() -> None:
    start = NOON - 5 * MINUTE
    source = {"BTCUSDT": flat(start, 200), "OLDUSDT": flat(start, 200)}
    async with bed(source=HeldBars(source)) as b:
        exchange = b.open()
        await exchange.symbols()
        b.server.source = HeldBars({"BTCUSDT": flat(start, 200)})
        with pytest.raises(NoDataError, match=r"OLD/USDT 1m.*delisted"):
            await minutes(exchange, start, 5, "OLD/USDT")
        assert b.server.count() == 1


async def test_the_share_of_the_rate_limit() -> None:
    async with bed() as b:
        exchange = b.open()
        assert exchange.rate_limit_used() is None
        await minutes(exchange, NOON - 5 * MINUTE, 5)
        assert exchange.rate_limit_used() == (20 + 2) / 6000
        await b.clock.sleep_until(NOON + 2 * MINUTE)
        assert exchange.rate_limit_used() == 0.0


# --- the exchange's clock ---------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-5000, 0, 700])
async def test_the_clock_offset(skew: int) -> None:
    async with bed(skew_ms=skew) as b:
        assert await b.open().clock_offset() == skew
        assert b.server.count("time") == 1


async def test_no_clock_offset_without_a_clock() -> None:
    async with bed() as b:
        assert await b.open(has={"fetchTime": False}).clock_offset() is None
        assert b.server.count("time") == 0


async def test_a_bar_closes_on_the_exchanges_clock() -> None:
    """Our clock says noon, theirs 800 ms less: the bar before noon is not final yet."""
    async with bed(skew_ms=-800) as b:
        exchange = b.open()
        since = NOON - 2 * MINUTE
        unaware = await minutes(exchange, since, 2)
        assert len(unaware) == 2 and unaware[1] != b.truth(since, 2)[1]
        assert await exchange.clock_offset() == -800
        assert await minutes(exchange, since, 2) == b.truth(since, 1)
        await b.clock.sleep_until(NOON + 800)
        assert await minutes(exchange, since, 2) == b.truth(since, 2)


async def test_bars_that_come_late() -> None:
    async with bed(late_ms=1500) as b:
        exchange = b.open()
        assert len(await minutes(exchange, NOON - MINUTE, 1)) == 0
        assert b.server.count() == 1
        await b.clock.sleep_until(NOON + 1500)
        assert await minutes(exchange, NOON - MINUTE, 1) == b.truth(NOON - MINUTE, 1)


# --- options ----------------------------------------------------------------------------------


def test_an_unknown_exchange_names_near_ones() -> None:
    with pytest.raises(NotRegisteredError, match=r"did you mean .*binance"):
        CcxtExchange("binanse", clock=SystemClock())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"urls": "127.0.0.1"}, "give one address such as"),
        ({"urls": {"public": "http://x"}}, "give one address such as"),
        ({"verbose": True}, "verbose cannot be used: it prints"),
        ({"api_key": "s3cr3t"}, "SIGNALDECK_BINANCE_API_KEY"),
        ({"secret": "s3cr3t"}, "SIGNALDECK_BINANCE_SECRET"),
        ({"privateKey": "s3cr3t"}, "SIGNALDECK_BINANCE_PRIVATE_KEY"),
    ],
)
def test_options_that_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(SchemaError) as caught:
        CcxtExchange("binance", clock=SystemClock(), options=options)
    assert text in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_options_that_ccxt_cannot_use() -> None:
    exchange = CcxtExchange("binance", clock=SystemClock(), options={"rateLimit": "often"})
    with pytest.raises(SchemaError, match="ccxt cannot use its options enableRateLimit, rateLimit"):
        exchange.intervals()


async def test_only_spot_markets_are_asked_for_unless_the_options_say_otherwise() -> None:
    async with bed() as b:
        await b.open().symbols()
        assert [s.endpoint for s in b.server.requests] == ["exchangeInfo"]
        # The server has no futures, and asking for them shows that the option arrived.
        wider = b.open(options={"fetchMarkets": {"types": ["spot", "linear"]}})
        with pytest.raises(ExchangeError, match="/fapi/v1/exchangeInfo 404"):
            await wider.symbols()


async def test_keys_make_no_difference_to_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIGNALDECK_BINANCE_API_KEY", "key")
    monkeypatch.setenv("SIGNALDECK_BINANCE_SECRET", "secret")
    async with bed() as b:
        await b.open().symbols()
        assert [s.endpoint for s in b.server.requests] == ["exchangeInfo"]


# --- loops ------------------------------------------------------------------------------------


async def test_another_loop_has_connections_of_its_own() -> None:
    async with bed() as b:
        exchange = b.open()
        since = NOON - 5 * MINUTE
        first = await minutes(exchange, since, 5)

        def elsewhere() -> Candles:
            return asyncio.run(minutes(exchange, since, 5))

        assert await asyncio.to_thread(elsewhere) == first
        assert await minutes(exchange, since, 5) == first
        # The markets were loaded once for all loops.
        assert b.server.count("exchangeInfo") == 1 and b.server.count() == 3
        gc.collect()  # an unclosed session of the other loop would warn now


async def test_markets_loaded_on_another_loop_are_used_at_home() -> None:
    async with bed() as b:
        exchange = b.open()
        exchange.intervals()
        probe = exchange.get_candles("BTC/USDT", "1m", from_ms(NOON - MINUTE), 1)
        probe.send(None)
        probe.close()  # it had to wait: nothing was begun
        assert not b.server.requests
        await asyncio.to_thread(lambda: asyncio.run(minutes(exchange, NOON - MINUTE, 1)))
        assert await minutes(exchange, NOON - MINUTE, 1) == b.truth(NOON - MINUTE, 1)
        assert b.server.count("exchangeInfo") == 1
        gc.collect()


async def test_all_wait_for_one_load_of_the_markets() -> None:
    async with bed() as b:
        exchange = b.open()
        symbols = await asyncio.gather(*(exchange.symbols() for _ in range(50)))
        assert len(set(symbols)) == 1
        assert b.server.count("exchangeInfo") == 1


@contextmanager
def far_server(*arguments: str) -> Generator[str]:
    """A server in a process of its own whose clock starts at noon; its address."""
    command = [sys.executable, "-m", "tests.servers.exchange", "--start", iso(NOON), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.stdout.close()
        assert process.wait(10) == 0


def market_of(exchange: CcxtExchange, clock: Clock) -> Market:
    """What runs see of an exchange."""
    schema = ExchangeSchema(
        exchange_name="far",
        get_candles=exchange.get_candles,
        intervals=tuple(i for i in CANDLE_INTERVALS if i in exchange.intervals()),
    )
    return Market(schema, Settings(), clock)


async def test_a_plain_function_on_the_loop_is_told_that_it_cannot_wait() -> None:
    """The loop is busy with the very function that asks; only strategies have a thread."""
    clock = AcceleratedClock(NOON, 1.0)
    with far_server() as url:
        exchange = CcxtExchange("binance", clock=clock, options={"urls": url})
        market = market_of(exchange, clock)
        async with bed() as b:
            with pytest.raises(ContextError, match="make it an async def"):
                market.window_blocking("BTC/USDT", "1m", NOON, 30)
            truth = b.truth(NOON - 30 * MINUTE, 30, "BTCUSDT")
            assert await market.window("BTC/USDT", "1m", NOON, 30) == truth
            assert market.window_blocking("BTC/USDT", "1m", NOON, 30) == truth, "now it is known"
        await exchange.close()
    gc.collect()


async def test_a_plain_strategy_is_served_by_an_async_exchange() -> None:
    clock = AcceleratedClock(NOON + 60 * MINUTE, 1.0)
    seen: list[int] = []

    def asks(symbol: str, when: datetime) -> None:
        seen.append(len(plain.get_candles(symbol, "5m", 40)))

    with far_server() as url:
        exchange = CcxtExchange("binance", clock=clock, options={"urls": url})
        async with Engine(clock=clock):
            add_exchange(
                exchange_name="far", get_candles=exchange.get_candles,
                intervals=[i for i in CANDLE_INTERVALS if i in exchange.intervals()],
            )  # fmt: skip
            add_frame(
                frame_name="short", interval="1m", start_date=from_ms(NOON - 10 * MINUTE),
                end_date=from_ms(NOON - 5 * MINUTE),
            )  # fmt: skip
            add_strategy(strategy_name="plain", interval="1m", get_signal=asks)
            async for _ in Backtest.run(
                "BTC/USDT", strategy_name="plain", exchange_name="far", frame_name="short"
            ):
                pass
        await exchange.close()
    assert seen == [40] * 6
    gc.collect()


# --- closing ----------------------------------------------------------------------------------


async def test_a_closed_exchange_refuses() -> None:
    async with bed() as b:
        exchange = b.open()
        await minutes(exchange, NOON - MINUTE, 1)
        await exchange.close()
        await exchange.close()
        with pytest.raises(ExchangeError, match="was closed"):
            await minutes(exchange, NOON - MINUTE, 1)
        with pytest.raises(ExchangeError, match="was closed"):
            await exchange.clock_offset()
        # What it knows, it still knows.
        assert exchange.format_price("BTC/USDT", 1.0) == "1"


async def test_closing_ends_a_load_of_the_markets_that_others_wait_for() -> None:
    async with bed() as b:
        exchange = b.open()
        waiting = [asyncio.create_task(exchange.symbols()) for _ in range(3)]
        while not b.server.count("exchangeInfo"):
            await asyncio.sleep(0)
        await exchange.close()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(error, ExchangeError) for error in done)
        gc.collect()


async def test_it_can_be_closed_unused() -> None:
    exchange = CcxtExchange("binance", clock=SystemClock())
    await exchange.close()
    exchange = CcxtExchange("binance", clock=SystemClock())
    exchange.intervals()
    await exchange.close()


async def test_it_can_be_closed_from_another_loop() -> None:
    async with bed() as b:
        exchange = b.open()
        await minutes(exchange, NOON - MINUTE, 1)
        await asyncio.to_thread(lambda: asyncio.run(exchange.close()))
        gc.collect()


_SCRIPT = """
import asyncio
from engine import Backtest, Engine, add_exchange, add_frame, add_strategy
from engine import sync as plain
from engine.adapters.exchanges.ccxt import CcxtExchange, _page
from engine.adapters.exchanges.ccxt_library import Client
from engine.domain.time import from_ms
from engine.services.clock import SimulatedClock

async def main():
    exchange = CcxtExchange("binance", clock=SimulatedClock({now}), options={{"urls": {url!r}}})
    bars = await exchange.get_candles("BTC/USDT", "1m", from_ms({now} - 300_000), 5)
    await exchange.close()
    print(len(bars))

asyncio.run(main())
"""


async def test_a_program_that_closes_it_ends_without_a_word() -> None:
    async with bed() as b:
        script = _SCRIPT.format(now=NOON, url=b.server.url)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-X", "dev", "-W", "error", "-c", script,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        # Debug mode also reports callbacks that a busy machine made slow; those are no warnings.
        said = [line for line in err.decode().splitlines() if " took " not in line]
        assert (out.decode().strip(), said) == ("5", [])
