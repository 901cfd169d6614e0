"""Makes ccxt clients that are fit for an unattended program.

A client as ccxt makes it asks for every kind of market, passes on candles without values, takes a
log-in page for an empty answer, and writes request headers to the log. Here it is made to ask for
what is needed, to refuse answers that are none, to tell how much of the rate limit is used, and
to keep the keys, which come from the environment alone, to itself.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

from engine.adapters.exchanges.ccxt_errors import Hider, check_answer, empty_candle
from engine.adapters.exchanges.ccxt_library import Client, ClientClass
from engine.domain.errors import SchemaError
from engine.domain.time import MINUTE

_Options: TypeAlias = Mapping[str, Any]

CREDENTIALS: Final = (
    "apiKey", "secret", "password", "uid", "accountId", "login", "twofa", "privateKey",
    "walletAddress", "token",
)  # fmt: skip
"""Credentials that ccxt knows; each is read from ``SIGNALDECK_<NAME>_<CREDENTIAL>``."""

_REFUSED: Final = {
    "verbose": "it prints requests to the screen",
    "session": "connections belong to the exchange",
    "asyncio_loop": "the loop is the one that asks",
}
_NEED_CURRENCIES: Final = frozenset({"bitso", "hyperliquid", "kraken", "latoken"})
"""Exchanges whose markets cannot be read, or lose precision, without a request for currencies."""

_REQUEST_WEIGHT: Final = re.compile(
    r'"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":(\d+)'
)
_USED_WEIGHT: Final = "x-mbx-used-weight-1m"
_LEFT_AND_LIMIT: Final = (
    ("x-ratelimit-remaining", "x-ratelimit-limit"),
    ("ratelimit-remaining", "ratelimit-limit"),
    ("x-bapi-limit-status", "x-bapi-limit"),
    ("gw-ratelimit-remaining", "gw-ratelimit-limit"),
)


class Usage:
    """How much of an exchange's rate limit is used, from what its answers tell.

    Attributes:
        share: 0 to 1, None while no answer told.
        when: the instant of the answer that told, ms UTC.
    """

    __slots__ = ("_weight_limit", "share", "when")

    def __init__(self) -> None:
        self.share: float | None = None
        self.when = 0
        self._weight_limit = 0

    def note(self, headers: Mapping[str, str], body: str, now: int) -> None:
        """Learn from one answer."""
        fields = {name.lower(): value for name, value in headers.items()}
        if _USED_WEIGHT in fields:
            match = _REQUEST_WEIGHT.search(body, 0, 4000)
            if match:
                self._weight_limit = int(match[1])
            if self._weight_limit:
                self._set(_number(fields[_USED_WEIGHT]), self._weight_limit, now)
            return
        for left_name, limit_name in _LEFT_AND_LIMIT:
            left, limit = _number(fields.get(left_name)), _number(fields.get(limit_name))
            if left is not None and limit:
                self._set(limit - left, limit, now)

    def present(self, now: int) -> float | None:
        """The share now: limits count a minute, older news says nothing is used."""
        return 0.0 if self.share is not None and now - self.when > MINUTE else self.share

    def _set(self, used: float | None, limit: float, now: int) -> None:
        if used is not None:
            self.share, self.when = min(1.0, max(0.0, used / limit)), now


def make_client(
    make: ClientClass,
    options: _Options,
    name: str,
    now: Callable[[], int],
    usage: Usage,
    hide: Hider,
) -> Client:
    """A client that checks every answer and candle.

    Args:
        make: the class of the exchange.
        options: as checked by `check_options`.
        name: whose credentials are read from the environment.
        now: the present instant, ms UTC.
        usage: learns from every answer.
        hide: keeps the credentials out of texts.

    Raises:
        SchemaError: ccxt cannot use an option.
    """
    config = {"enableRateLimit": True, **{k: v for k, v in options.items() if k != "urls"}}
    try:
        client = make(config)
    except Exception as error:
        raise SchemaError(
            f"exchange {name!r}: ccxt cannot use its options {', '.join(config)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    client.timeout_on_exit = 0  # the connector waits for its connections by itself
    client.logger = _logger(name, hide)
    _keep_markets_small(client, options)
    if "urls" in options:
        client.urls["api"] = _moved(client.urls["api"], options["urls"])
    _hook(client, now, usage, hide)
    for credential, value in _credentials(name):
        setattr(client, credential, value)
    return client


def check_options(name: str, options: _Options) -> None:
    """Refuse options that would leak or break.

    Raises:
        SchemaError: naming the option, never its value.
    """
    plain = {re.sub("[^a-z]", "", credential.lower()): credential for credential in CREDENTIALS}
    for key in options:
        credential = plain.get(re.sub("[^a-z]", "", key.lower()))
        if credential is not None:
            raise SchemaError(
                f"exchange {name!r}: {key} is a secret and has no place in options: set the "
                f"environment variable {variable(name, credential)}"
            )
        if key in _REFUSED:
            raise SchemaError(f"exchange {name!r}: option {key} cannot be used: {_REFUSED[key]}")
    base = options.get("urls")
    if base is not None and not (isinstance(base, str) and urlsplit(base).netloc):
        raise SchemaError(
            f"exchange {name!r}: option urls is {base!r}: give one address such as "
            "http://127.0.0.1:8080, which takes the place of every host of the exchange"
        )


def variable(name: str, credential: str) -> str:
    """The environment variable of a credential: ``SIGNALDECK_BINANCE_API_KEY``."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", credential)
    return re.sub(r"\W", "_", f"SIGNALDECK_{name}_{snake}").upper()


def secrets_of(name: str) -> tuple[str, ...]:
    """Values that must not appear in any text."""
    return tuple(value for _, value in _credentials(name))


def _credentials(name: str) -> tuple[tuple[str, str], ...]:
    found = ((key, os.environ.get(variable(name, key), "").strip()) for key in CREDENTIALS)
    return tuple((key, value) for key, value in found if value)


def _keep_markets_small(client: Client, options: _Options) -> None:
    """Ask for spot markets alone, and for no currencies, unless the options say otherwise."""
    wanted = cast(_Options, options.get("options", {}))
    found = client.options.get("fetchMarkets")
    if "fetchMarkets" not in wanted and isinstance(found, dict):
        fetch = cast("dict[str, Any]", found)
        types = fetch.get("types")
        if isinstance(types, list) and "spot" in types:
            fetch["types"] = ["spot"]
        elif isinstance(types, dict) and types.get("spot"):  # pyright: ignore[reportUnknownMemberType]
            fetch["types"] = {kind: kind == "spot" for kind in cast("dict[str, Any]", types)}
    if "fetchMargins" not in wanted and "fetchMargins" in client.options:
        client.options["fetchMargins"] = False  # a signed request as soon as there are keys
    if "has" not in options and client.id not in _NEED_CURRENCIES:
        client.has["fetchCurrencies"] = False


def _moved(urls: Any, base: str) -> Any:
    """Every URL in a (nested) mapping with scheme and host of ``base``."""
    if isinstance(urls, str):
        target = urlsplit(base)
        return urlsplit(urls)._replace(scheme=target.scheme, netloc=target.netloc).geturl()
    if isinstance(urls, dict):
        return {key: _moved(url, base) for key, url in cast("dict[str, Any]", urls).items()}
    return urls


def _hook(client: Client, now: Callable[[], int], usage: Usage, hide: Hider) -> None:
    """Look at answers and candles before ccxt goes on with them."""
    parse = client.parse_ohlcv

    def on_rest_response(
        code: int, reason: str, url: str, method: str, headers: Mapping[str, str], body: str,
        *request: object,
    ) -> str:  # fmt: skip
        text = body.strip()
        usage.note(headers, text, now())
        check_answer(code, headers, text, now(), hide)
        return text

    def parse_ohlcv(ohlcv: Any, market: Any = None) -> Sequence[float | None]:
        row = parse(ohlcv, market)
        if len(row) < 6 or None in row[:6]:
            raise empty_candle(ohlcv, hide)
        return row

    client.on_rest_response = on_rest_response
    client.parse_ohlcv = parse_ohlcv


class _Redact(logging.Filter):
    """Keeps the keys of one exchange out of every record."""

    def __init__(self, hide: Hider) -> None:
        super().__init__()
        self._hide = hide

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._hide(record.getMessage())
        record.args = None
        return True


def _logger(name: str, hide: Hider) -> logging.Logger:
    """Ccxt's logger: it would write headers and whole answers at level DEBUG."""
    logger = logging.getLogger(f"signaldeck.exchange.ccxt.{name}")
    logger.setLevel(logging.WARNING)
    if not logger.filters:
        logger.addFilter(_Redact(hide))
    return logger


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
