"""Everything that an exchange can do wrong: what is tried again, when, and what is said about it.

Every request here is made by the real ccxt client to a real server; every pause is on a simulated
clock, and the server's log says when it was asked.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from engine.adapters.exchanges.ccxt_errors import AnswerError, Hider, LibraryError, check_answer
from engine.domain.bars import Candles
from engine.domain.errors import ExchangeError
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings
from engine.domain.time import MINUTE
from engine.services.market import Market
from tests.adapters.ccxt_bed import DELAY, NOON, RETRIES, bed, minutes
from tests.servers import faults
from tests.servers.faults import Fault, FaultScript, status

pytestmark = pytest.mark.filterwarnings("error")

WHERE = "exchange 'binance', BTC/USDT 1m: "
SINCE = NOON - 10 * MINUTE

TRANSIENT = [
    (status(500), "it answered HTTP 500 Internal Server Error"),
    (status(502), "it answered HTTP 502 Bad Gateway"),
    (status(503), "it answered HTTP 503 Service Unavailable"),
    (status(504), "it answered HTTP 504 Gateway Timeout"),
    (status(520), "it answered HTTP 520"),
    (status(408), "it answered HTTP 408 Request Timeout"),
    (status(429), "too many requests (HTTP 429)"),
    (faults.TIMEOUT, "no answer within 0.5 s"),
    (faults.HTML, "it answered with a web page instead of data: <!DOCTYPE html>"),
    (faults.TRUNCATED, "its answer was cut off"),
    (faults.CUT, "its answer was cut off"),
    (faults.EMPTY, "its answer was empty"),
    (faults.NONE_ROWS, "it sent a candle without values: [None, None"),
]
"""Faults that pass, and what is said about them."""

FINAL = [
    (status(401), "it refused the request (HTTP 401 Unauthorized)", "check the keys"),
    (status(403), "it refused the request (HTTP 403 Forbidden)", "serves your region"),
    (status(407), "HTTP 407", "check the proxy settings"),
    (status(451), "HTTP 451 Unavailable For Legal Reasons", "choose another exchange"),
    (status(404), "it refused the request (binance GET ", "check symbol and interval"),
    (status(400), "400 Bad Request", "check symbol and interval"),
]


def limit(fault: Fault) -> dict[str, Any]:
    """A short time limit, for the fault that takes all of it."""
    return {"timeout": 500} if fault == faults.TIMEOUT else {}


async def refusal(exchange: object, since: int = SINCE) -> str:
    """What a request for ten bars is refused with."""
    with pytest.raises(ExchangeError) as caught:
        await minutes(exchange, since, 10)  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, LibraryError | None)
    return str(caught.value)


# --- one failure ------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "text"), TRANSIENT, ids=lambda x: str(x)[:60])
async def test_a_passing_failure_is_tried_again(
    fault: Fault, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with bed([fault]) as b:
        assert await minutes(b.open(**limit(fault)), SINCE, 10) == b.truth(SINCE, 10)
        assert b.instants() == [0, DELAY]
    warnings = [r.getMessage() for r in caplog.records if r.name == "signaldeck.exchange"]
    assert len(warnings) == 1
    assert warnings[0].startswith(WHERE + text)
    assert warnings[0].endswith(f"try 2 of {RETRIES + 1} in 1 s")


@pytest.mark.parametrize(("fault", "text"), TRANSIENT, ids=lambda x: str(x)[:60])
async def test_a_failure_that_does_not_pass_is_one_error(fault: Fault, text: str) -> None:
    async with bed([fault] * 20) as b:
        message = await refusal(b.open(**limit(fault)))
        # Each pause is twice as long as the one before.
        assert b.instants() == [0, DELAY, 3 * DELAY, 7 * DELAY]
    assert message.startswith(WHERE + text)
    assert " (4 tries): " in message
    advice = message.rpartition(" (4 tries): ")[2]
    assert len(advice) > 20


@pytest.mark.parametrize(("fault", "text", "advice"), FINAL, ids=lambda x: str(x)[:50])
async def test_a_refusal_is_not_tried_again(fault: Fault, text: str, advice: str) -> None:
    async with bed([fault]) as b:
        exchange = b.open()
        message = await refusal(exchange)
        assert b.instants() == [0]
        assert message.startswith(WHERE) and text in message and advice in message
        # The next one who asks is not punished for it.
        assert await minutes(exchange, SINCE, 10) == b.truth(SINCE, 10)


async def test_a_dropped_connection_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """The HTTP client itself repeats a request once if a kept connection turns out dead."""
    async with bed([faults.DROP] * 2) as b:
        assert await minutes(b.open(), SINCE, 10) == b.truth(SINCE, 10)
        assert b.instants() == [0, 0, DELAY]
    assert "the connection broke while it should answer" in caplog.text


async def test_an_exchange_that_drops_every_connection() -> None:
    async with bed([faults.DROP] * 20) as b:
        message = await refusal(b.open())
        assert b.instants()[-1] == 7 * DELAY
    assert message.startswith(
        WHERE + "the connection broke while it should answer (4 tries): check"
    )


async def test_an_exchange_that_is_not_there() -> None:
    async with bed() as b:
        exchange = b.open()
        await minutes(exchange, SINCE, 10)
        await b.server.close()
        assert (await refusal(exchange)).startswith(WHERE + "it cannot be reached (4 tries): check")
        assert b.clock.now() == NOON + 7 * DELAY


async def test_pauses_do_not_grow_beyond_a_minute() -> None:
    async with bed([status(500)] * 20) as b:
        b.retries = 8
        assert "(9 tries)" in await refusal(b.open())
        pauses = [y - x for x, y in zip(b.instants(), b.instants()[1:], strict=False)]
        assert pauses == [1000, 2000, 4000, 8000, 16000, 32000, MINUTE, MINUTE]


async def test_harmless_disorder_is_put_right() -> None:
    for fault in (faults.UNSORTED, faults.DUPLICATES):
        async with bed([fault]) as b:
            assert await minutes(b.open(), SINCE, 10) == b.truth(SINCE, 10)
            assert b.instants()[-1] == 0


# --- what the exchange asks for ---------------------------------------------------------------


async def test_retry_after_is_kept() -> None:
    async with bed([status(429, 7)]) as b:
        assert await minutes(b.open(), SINCE, 10) == b.truth(SINCE, 10)
        assert b.instants() == [0, 7000]


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": " 12 "}, 12_000),
        ({"Retry-After": "Fri, 01 Mar 2024 12:00:07 GMT"}, 7000),
        ({"Retry-After": "Fri, 01 Mar 2024 11:59:00 GMT"}, 0),
        # Theirs against theirs: our clock may be wrong.
        (
            {
                "Retry-After": "Fri, 01 Mar 2024 13:00:09 GMT",
                "date": "Fri, 01 Mar 2024 13:00:00 GMT",
            },
            9000,
        ),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], wait: int | None) -> None:
    with pytest.raises(AnswerError) as caught:
        check_answer(429, headers, "", NOON, Hider(tuple))
    assert caught.value.failure.wait_ms == wait


async def test_retry_after_is_kept_by_all() -> None:
    async with bed([status(429, 20)]) as b:
        exchange = b.open()
        await exchange.symbols()
        first = asyncio.create_task(minutes(exchange, SINCE, 10))
        while not b.server.count():
            await asyncio.sleep(0)
        others = [asyncio.create_task(minutes(exchange, SINCE, 10, s)) for s in ("ETHUSDT",) * 5]
        with b.clock.working():
            await b.clock.sleep_until(NOON + 3000)
            others.append(asyncio.create_task(minutes(exchange, SINCE, 10, "SOLUSDT")))
        assert await first == b.truth(SINCE, 10)
        await asyncio.gather(*others)
        assert b.instants() == [0, *[20_000] * 7]


async def test_a_long_silence_is_kept_without_keeping_anybody_waiting() -> None:
    async with bed([status(429, 600)]) as b:
        exchange = b.open()
        for _ in range(3):
            message = await refusal(exchange)
            assert "no request is made before 2024-03-01 12:10 UTC: ask for fewer" in message
        assert b.instants() == [0]
        await b.clock.sleep_until(NOON + 9 * MINUTE + 30_000)
        # Now it is short enough to be waited for.
        assert await minutes(exchange, SINCE, 10) == b.truth(SINCE, 10)
        assert b.instants() == [0, 10 * MINUTE]


async def test_a_ban_stops_everything_for_its_time() -> None:
    async with bed([status(418, 90)]) as b:
        exchange = b.open()
        text = (
            "it has banned this address (HTTP 418), no request is made before 2024-03-01 12:02 UTC"
        )
        assert (await refusal(exchange)).startswith(WHERE + text + ": it was asked too often")
        assert (await refusal(exchange)).startswith(WHERE + text)
        with pytest.raises(ExchangeError, match="'binance', clock: it has banned this address"):
            await exchange.clock_offset()
        await b.clock.sleep_until(NOON + 89_999)
        assert (await refusal(exchange)).startswith(WHERE + text)
        assert b.instants() == [0] and not b.instants("time")
        await b.clock.sleep_until(NOON + 90_000)
        assert await minutes(exchange, SINCE, 10) == b.truth(SINCE, 10)
        assert b.instants() == [0, 90_000]


async def test_a_ban_without_an_end_lasts_two_minutes() -> None:
    async with bed([status(418)]) as b:
        exchange = b.open()
        assert "before 2024-03-01 12:02 UTC" in await refusal(exchange)
        await b.clock.sleep_until(NOON + 2 * MINUTE)
        assert len(await minutes(exchange, SINCE, 10)) == 10


# --- other requests ---------------------------------------------------------------------------


async def test_markets_are_loaded_with_the_same_patience() -> None:
    script = [status(503), faults.HTML, faults.TRUNCATED]
    async with bed(script, endpoints=["exchangeInfo"]) as b:
        assert await minutes(b.open(), SINCE, 10) == b.truth(SINCE, 10)
        assert b.instants("exchangeInfo") == [0, DELAY, 3 * DELAY, 7 * DELAY]


async def test_markets_that_cannot_be_loaded_fail_all_who_wait_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bed([status(503)] * 20, endpoints=["exchangeInfo"]) as b:
        exchange = b.open()
        waiting = [minutes(exchange, SINCE, 10, s) for s in ("BTC/USDT", "ETH/USDT") * 10]
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert {str(error).partition(" (4 tries)")[0] for error in done} == {
            f"exchange 'binance', {symbol} 1m, markets: it answered HTTP 503 Service Unavailable"
            for symbol in ("BTC/USDT", "ETH/USDT")
        }
        assert b.server.count("exchangeInfo") == 4
        assert caplog.text.count("try ") == 3
        # The next one tries again.
        b.server.script = FaultScript()
        assert len(await minutes(exchange, SINCE, 10)) == 10


async def test_who_stops_waiting_for_the_markets_does_not_stop_the_others() -> None:
    async with bed() as b:
        exchange = b.open()
        first, second = (asyncio.create_task(minutes(exchange, SINCE, 10)) for _ in range(2))
        while not b.server.count("exchangeInfo"):
            await asyncio.sleep(0)
        first.cancel()
        assert await second == b.truth(SINCE, 10)
        assert first.cancelled()
        assert b.server.count("exchangeInfo") == 1


async def test_the_clock_is_asked_once() -> None:
    async with bed([status(503)] * 20, endpoints=["time"]) as b:
        with pytest.raises(ExchangeError, match="'binance', clock: it answered HTTP 503"):
            await b.open().clock_offset()
        assert b.instants("time") == [0]


async def test_time_moves_on_while_a_run_waits_for_the_markets() -> None:
    """A run that holds simulated time still must not hold it against its own retries."""
    async with bed([status(503)], endpoints=["exchangeInfo"]) as b:
        later = asyncio.create_task(b.clock.sleep_until(NOON + 60 * MINUTE))
        with b.clock.working():
            assert len(await minutes(b.open(), SINCE, 10)) == 10
            # On by as much as the retry takes, and not to whoever else sleeps.
            assert b.clock.now() == NOON + DELAY
        later.cancel()


async def test_a_failure_on_a_later_page_costs_that_page_alone() -> None:
    async with bed() as b:
        b.server.script = FaultScript(at={2: faults.CUT})
        since = NOON - 2500 * MINUTE
        assert await minutes(b.open(), since, 2500) == b.truth(since, 2500)
        starts = [int(s.query["startTime"]) for s in b.server.requests[1:]]
        second, third = since + 1000 * MINUTE, since + 2000 * MINUTE
        assert starts == [since, second, second, third]


async def test_a_cancelled_request_is_cancelled() -> None:
    async with bed([faults.TIMEOUT]) as b:
        exchange = b.open()
        task = asyncio.create_task(minutes(exchange, SINCE, 10))
        while not b.server.count():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await minutes(exchange, SINCE, 10) == b.truth(SINCE, 10)


# --- mixtures ---------------------------------------------------------------------------------

MIXTURE = [
    fault for fault in (*faults.EVERY_KIND, status(429, 3), status(503, 2))
    if fault.kind not in ("timeout", "late")  # the one takes real time, the other drops bars
]  # fmt: skip


@hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10**6), chance=st.floats(0.05, 0.9), first=st.integers(0, 3000))
def test_any_mixture_gives_the_truth_or_one_clear_error(
    seed: int, chance: float, first: int
) -> None:
    async def ask() -> None:
        async with bed() as b:
            b.server.script = FaultScript(chance=chance, mixture=MIXTURE, seed=seed)
            exchange = b.open()
            since = NOON - (first + 1100) * MINUTE
            for _ in range(4):
                try:
                    assert await minutes(exchange, since, 1100) == b.truth(since, 1100)
                except ExchangeError as error:
                    found = re.fullmatch(r"(.+?): (.+) \(4 tries\): (.+)", str(error))
                    assert found and found[1] + ": " == WHERE

    logging.disable(logging.WARNING)
    try:
        asyncio.run(ask())
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("skew", [0, -800, 3000])
async def test_minutes_of_a_live_run_come_out_as_they_were(skew: int) -> None:
    """Half an hour of three symbols: whatever went wrong, every bar taken is the final one."""
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    async with bed(skew_ms=skew) as b:
        exchange = b.open()
        assert await exchange.clock_offset() == skew
        b.server.script = FaultScript(chance=0.3, mixture=[*MIXTURE, faults.late(1500)], seed=3)
        schema = ExchangeSchema(
            exchange_name="x", get_candles=exchange.get_candles, intervals=("1m",)
        )
        market = Market(schema, Settings(), b.clock)

        async def follow(symbol: str) -> None:
            with b.clock.working():
                for minute in range(30):
                    await b.clock.sleep_until(NOON + minute * MINUTE)
                    with suppress(ExchangeError):
                        await market.advance(symbol, NOON + minute * MINUTE)

        await asyncio.gather(*map(follow, symbols))
        for symbol in symbols:
            series = market.minutes(symbol)
            assert series.end >= NOON + 28 * MINUTE
            got = Candles(series.columns, 0, series.size)
            assert got == b.truth(series.first, series.size, symbol)
        kinds = Counter(served.fault for served in b.server.requests)
        assert len(kinds) > 5  # the exchange did misbehave
