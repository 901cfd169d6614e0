"""Keys come from the environment and appear nowhere: not in messages, logs, tracebacks or reprs.

The exchange asked here wants its keys with its markets, and the server is the worst one possible:
it sends back whatever it was sent, and what it remembers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
from aiohttp import web

from engine.adapters.exchanges.ccxt import CcxtExchange
from engine.adapters.exchanges.ccxt_client import CREDENTIALS, variable
from engine.adapters.exchanges.ccxt_errors import Hider
from engine.domain.errors import EngineError
from engine.domain.time import from_ms
from engine.services.clock import SimulatedClock
from tests.adapters.ccxt_bed import NOON

pytestmark = pytest.mark.filterwarnings("error")

KEY, SECRET, PASSWORD = "SENTINEL+key/1234==", "SENTINEL secret 'x'\\n5678", "SENTINELpass&9"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALDECK_ALPACA_API_KEY", KEY)
    monkeypatch.setenv("SIGNALDECK_ALPACA_SECRET", SECRET.strip())
    monkeypatch.setenv("SIGNALDECK_ALPACA_PASSWORD", PASSWORD)


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All loggers at DEBUG, whatever they were set to."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


ASSET = {
    "class": "crypto", "symbol": "BTC/USD", "status": "active", "tradable": True,
    "min_order_size": "0.0001", "min_trade_increment": "0.0001", "price_increment": "1",
}  # fmt: skip


class Echo:
    """Answers with every secret it was ever sent, in a way that ``mode`` chooses.

    Its markets may be told properly, so that the request for candles is the one that fails.
    """

    def __init__(self) -> None:
        self.url = ""
        self.mode = "401"
        self.lists_markets = False
        self.seen: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        echo = {**request.headers, "known": (KEY, quote(KEY, safe=""), SECRET, PASSWORD)}
        self.seen.append(str(dict(request.headers)))
        if self.lists_markets and "assets" in request.path:
            return web.json_response([ASSET])
        if self.mode == "json":
            return web.json_response({"code": 40, "message": str(echo)}, status=422)
        if self.mode == "html":
            return web.Response(text=f"<html>{echo}</html>", content_type="text/html")
        if self.mode == "rows":
            return web.json_response([{"id": str(echo), "class": "crypto", "symbol": None}])
        if self.mode == "drop" and request.transport is not None:
            request.transport.abort()
        if self.mode == "timeout":
            await asyncio.Event().wait()
        if self.mode.isdecimal():
            return web.Response(text=json.dumps(str(echo)), status=int(self.mode))
        return web.json_response({"unexpected": str(echo)})


@asynccontextmanager
async def echo() -> AsyncGenerator[Echo]:
    server = Echo()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", server.answer)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def hidden(text: str) -> bool:
    """Whether no secret, in no notation, is in the text."""
    return "SENTINEL" not in text


MODES = (
    "400", "401", "403", "404", "418", "422", "429", "451", "500", "json", "html", "rows", "drop",
    "timeout", "strange",
)  # fmt: skip


UNNOTICED = ("rows", "strange")
"""What ccxt takes for no candles at all."""


@pytest.mark.parametrize(
    ("mode", "lists_markets"),
    [(m, False) for m in MODES] + [(m, True) for m in MODES if m not in UNNOTICED],
)
async def test_no_error_tells_a_secret(
    mode: str,
    lists_markets: bool,
    everything_logged: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    clock = SimulatedClock(NOON)
    async with echo() as server:
        server.mode, server.lists_markets = mode, lists_markets
        timeout = 200 if mode == "timeout" else 10_000
        options = {"urls": server.url, "timeout": timeout, "rateLimit": 1}
        exchange = CcxtExchange(
            "alpaca", clock=clock, options=options, retry_count=1, retry_delay_ms=100
        )
        with pytest.raises(EngineError) as caught:
            await exchange.get_candles("BTC/USD", "1m", from_ms(NOON - 60_000), 1)
        await exchange.close()
        # The secrets were really sent, or the test would show nothing.
        assert KEY in server.seen[0]
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    told = "".join(shown.format())
    assert "_connected" in told or "_pages" in told
    assert "BTC/USD 1m" + (": " if lists_markets else ", markets: ") in str(caught.value)
    assert hidden(told), told
    assert hidden(str(caught.value)) and hidden(repr(caught.value)) and hidden(repr(exchange))
    assert hidden(repr(vars(exchange)))
    for record in everything_logged.records:
        assert hidden(record.getMessage()) and hidden(str(record.args)), record
    assert hidden("".join(capfd.readouterr()))


async def test_a_message_of_the_exchange_is_shown_without_the_secret() -> None:
    async with echo() as server:
        server.mode = "json"
        exchange = CcxtExchange(
            "alpaca", clock=SimulatedClock(NOON), options={"urls": server.url, "rateLimit": 1}
        )
        with pytest.raises(EngineError, match=r"\*\*\*"):
            await exchange.symbols()
        await exchange.close()


def test_what_ccxt_logs_is_redacted(caplog: pytest.LogCaptureFixture) -> None:
    exchange = CcxtExchange("alpaca", clock=SimulatedClock(NOON))
    exchange.intervals()
    client = exchange._client
    assert client is not None
    client.logger.warning("sent %s and %s", {"key": KEY}, SECRET)
    client.logger.debug("sent %s", KEY)
    assert len(caplog.records) == 1 and "***" in caplog.text
    assert hidden(caplog.text)


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_every_credential_has_a_variable(credential: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable("okx", credential), "value of it")
    exchange = CcxtExchange("okx", clock=SimulatedClock(NOON))
    exchange.intervals()
    assert getattr(exchange._client, credential) == "value of it"


@pytest.mark.parametrize("form", [str, quote, json.dumps, repr, lambda s: json.dumps(repr(s))])
@pytest.mark.parametrize("secret", [KEY, SECRET, PASSWORD, "-----BEGIN KEY-----\nabc/d+\n---"])
def test_secrets_are_found_in_any_notation(secret: str, form: Callable[[str], str]) -> None:
    hide = Hider(lambda: [secret])
    assert hide(f"a {form(secret)} b {form(secret)}").count("***") == 2
    assert hidden(hide(form(secret))) and "abc" not in hide(form(secret))
    # A text is shortened after the secrets are out, or the head of one would stay.
    assert hidden(hide.line("x" * 50 + form(secret), 60))


def test_what_is_too_short_to_be_a_secret_stays() -> None:
    assert Hider(lambda: ["1", "--", "a-b"])("1 -- a-b") == "1 -- a-b"


def test_variables_are_named_after_the_exchange() -> None:
    assert variable("binance", "apiKey") == "SIGNALDECK_BINANCE_API_KEY"
    assert variable("my-okx 2", "walletAddress") == "SIGNALDECK_MY_OKX_2_WALLET_ADDRESS"
