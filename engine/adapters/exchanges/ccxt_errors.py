"""Says what a failed request to an exchange means: what happened, what to do, is it worth retrying.

ccxt maps different troubles to one class and one trouble to different classes (a blocked region
and an overloaded server are both `ExchangeNotAvailable`), so HTTP statuses are read before ccxt
interprets them, and its own classes, by name, where the answer's meaning is the exchange's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from engine.domain.errors import ExchangeError

DEFAULT_BAN_MS: Final = 120_000
"""How long a ban is respected when the exchange does not say how long it lasts."""

_SHOWN: Final = 200
_CHAIN: Final = 4
_SHORTEST: Final = 4
"""Letters and digits of a secret; less is found everywhere, and none."""
_REQUEST_TIMEOUT: Final = 408
_TEAPOT: Final = 418
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500

_ADVICE_DOWN: Final = "the exchange has trouble: look at its status page; it is asked again later"
_ADVICE_NETWORK: Final = "check the network connection and the proxy of this machine"
_ADVICE_SLOWER: Final = (
    "ask for fewer symbols, raise rateLimit in the options of the exchange, or stop other "
    "programs that use it from this address"
)
_ADVICE_GARBLED: Final = (
    "a proxy, a log-in page of the network or a maintenance page may have answered in its place: "
    "open the exchange's site in a browser"
)
_ADVICE_REQUEST: Final = "check symbol and interval, and the options of the exchange"
_ADVICE_BUG: Final = "look for a newer ccxt, and report it there if the newest one does the same"


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known about one failed request.

    Attributes:
        text: what happened, as the end of a sentence about the exchange.
        advice: what to do about it.
        transient: the same request may succeed a little later.
        wait_ms: how long the exchange asked to be left alone, None if it did not say.
        for_all: the pause before the next try is for every request to the exchange.
        banned: it is not to be waited for either: all are told to go on without the exchange.
        unknown_symbol: the exchange does not know the symbol.
    """

    text: str
    advice: str
    transient: bool = False
    wait_ms: int | None = None
    for_all: bool = False
    banned: bool = False
    unknown_symbol: bool = False


class AnswerError(Exception):
    """An HTTP answer that must not be parsed."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.text)


class LibraryError(Exception):
    """What ccxt or its HTTP client raised, as text; the cause of an `ExchangeError`."""


class RequestError(Exception):
    """A request that failed for good; becomes an `ExchangeError` that names what it was for.

    Attributes:
        failure: the last one.
        tries: requests made, 0 when none was.
        cause: what ccxt raised, as text.
    """

    def __init__(self, failure: Failure, tries: int = 0, cause: LibraryError | None = None) -> None:
        self.failure = failure
        self.tries = tries
        self.cause = cause
        super().__init__(failure.text)

    def described(self, where: str) -> ExchangeError:
        """The error for the operator; ``where`` names exchange, symbol and interval."""
        tries = f" ({self.tries} tries)" if self.tries > 1 else ""
        error = ExchangeError(f"{where}: {self.failure.text}{tries}: {self.failure.advice}")
        error.__cause__ = self.cause
        return error


# -- secrets ---------------------------------------------------------------------------------------


class Hider:
    """Takes the secrets of one exchange out of texts, in whatever notation they stand there.

    Between the letters and digits of a secret anything may stand: quoting for URLs, JSON or Python
    changes nothing else. It works on whole texts; of a shortened one a part could stay.
    """

    def __init__(self, secrets: Callable[[], Collection[str]]) -> None:
        self._secrets = secrets

    def __call__(self, text: str) -> str:
        """``text`` with ``***`` in the place of every secret."""
        for secret in self._secrets():
            runs = re.findall("[A-Za-z0-9]+", secret)
            if len("".join(runs)) >= _SHORTEST:
                text = re.sub(".{0,12}?".join(runs), "***", text, flags=re.DOTALL)
        return text

    def line(self, text: str, most: int = _SHOWN) -> str:
        """``text`` without secrets as one line of at most ``most`` characters."""
        line = " ".join(self(text).split())
        return line if len(line) <= most else f"{line[: most - 1]}…"

    def sealed(self, error: BaseException) -> LibraryError:
        """The text of an exception and of those beneath it, and nothing else of them.

        The originals keep the request with its headers, and their frames keep the client with its
        keys, where a traceback that shows local variables would print them.
        """
        texts: list[str] = []
        link: BaseException | None = error
        while link is not None and len(texts) < _CHAIN:
            texts.append(f"{type(link).__name__}: {self.line(str(link))}")
            link = link.__cause__
        return LibraryError(" <- ".join(texts))


# -- answers ---------------------------------------------------------------------------------------


def check_answer(status: int, headers: Mapping[str, str], body: str, now: int, hide: Hider) -> None:
    """Raise for an answer whose status or form says enough, whatever ccxt would make of it.

    Args:
        status: HTTP status.
        headers: of the answer.
        body: text, stripped.
        now: the present instant, ms UTC.
        hide: keeps secrets out of what is shown of the answer.

    Raises:
        AnswerError: the status is one of 401, 403, 407, 408, 418, 429, 451 or from 500 on, or the
            answer is empty, a web page or a cut-off JSON document.
    """
    failure = _status_failure(status, headers, now)
    if failure is None and status < HTTPStatus.BAD_REQUEST:
        failure = _form_failure(body, hide)
    if failure is not None:
        raise AnswerError(failure)


def _status_failure(status: int, headers: Mapping[str, str], now: int) -> Failure | None:
    if status == _TEAPOT:
        wait = _retry_after(headers, now)
        wait = DEFAULT_BAN_MS if wait is None else wait
        return Failure(
            "it has banned this address (HTTP 418)",
            f"it was asked too often; afterwards {_ADVICE_SLOWER}",
            wait_ms=wait,
            for_all=True,
            banned=True,
        )
    if status == _TOO_MANY:
        return Failure(
            "too many requests (HTTP 429)",
            _ADVICE_SLOWER,
            transient=True,
            wait_ms=_retry_after(headers, now),
            for_all=True,
        )
    if status >= _SERVER_ERROR or status == _REQUEST_TIMEOUT:
        wait = _retry_after(headers, now)
        return Failure(
            f"it answered HTTP {_phrase(status)}",
            _ADVICE_DOWN,
            transient=True,
            wait_ms=wait,
            for_all=wait is not None,
        )
    advice = {
        401: "check the keys in the environment, or unset them (candles seldom need any)",
        403: "check whether it serves your region, whether a firewall or proxy stands between, "
        "and the permissions of the key",
        407: "the proxy wants credentials: check the proxy settings",
        451: "it may not serve your region by law: choose another exchange",
    }.get(status)
    if advice is None:
        return None
    return Failure(f"it refused the request (HTTP {_phrase(status)}), not tried again", advice)


def _form_failure(body: str, hide: Hider) -> Failure | None:
    if not body:
        return Failure("its answer was empty", _ADVICE_DOWN, transient=True)
    if body.startswith("<"):
        return Failure(
            f"it answered with a web page instead of data: {hide.line(body, 60)}",
            _ADVICE_GARBLED,
            transient=True,
        )
    if body.startswith(("[", "{")) and not body.endswith(("]", "}")):
        return Failure("its answer was cut off", _ADVICE_NETWORK, transient=True)
    return None


def empty_candle(row: object, hide: Hider) -> AnswerError:
    """For a row in which a value is missing, which ccxt would pass on or drop silently."""
    if isinstance(row, str):  # of a text that ccxt could not parse: half of an answer
        return AnswerError(Failure("its answer was cut off", _ADVICE_NETWORK, transient=True))
    text = f"it sent a candle without values: {hide.line(str(row), 80)}"
    return AnswerError(Failure(text, _ADVICE_GARBLED, transient=True))


def _retry_after(headers: Mapping[str, str], now: int) -> int | None:
    """The wait in ms that ``Retry-After`` asks for, in seconds or as a date (RFC 9110, 10.2.3)."""
    fields = {name.lower(): value.strip() for name, value in headers.items()}
    text = fields.get("retry-after", "")
    if text.isdecimal():
        return int(text) * 1000
    end = _date_ms(text)
    if end is None:
        return None
    # Measured against the exchange's own clock where it tells, ours may be off.
    start = _date_ms(fields.get("date", ""))
    return max(0, end - (now if start is None else start))


def _date_ms(text: str) -> int | None:
    try:
        return int(parsedate_to_datetime(text).timestamp() * 1000)
    except (ValueError, TypeError):
        return None


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


# -- exceptions ------------------------------------------------------------------------------------

_BY_TRANSPORT: Final[tuple[tuple[str, Failure], ...]] = (
    (
        "ClientConnectorCertificateError",
        Failure(
            "its TLS certificate is not trusted, not tried again",
            "something may listen in between: check the proxy and the clock of this machine",
        ),
    ),
    ("ClientPayloadError", Failure("its answer was cut off", _ADVICE_NETWORK, transient=True)),
    ("gaierror", Failure("its address cannot be resolved", _ADVICE_NETWORK, transient=True)),
    (
        "ClientConnectorError",
        Failure("it cannot be reached", _ADVICE_NETWORK, transient=True),
    ),
    (
        "ClientError",
        Failure("the connection broke while it should answer", _ADVICE_NETWORK, transient=True),
    ),
)
"""By the class of what ccxt's error was raised from; the first that fits."""

_BY_CLASS: Final[tuple[tuple[str, str, bool], ...]] = (
    # Class name, advice, transient; subclasses before the classes they derive from.
    ("AuthenticationError", "check the keys in the environment, or unset them", False),
    ("RestrictedLocation", "it may not serve your region: choose another exchange", False),
    ("RateLimitExceeded", _ADVICE_SLOWER, True),
    ("DDoSProtection", _ADVICE_SLOWER, True),
    ("InvalidNonce", "set the clock of this machine (it differs from the exchange's)", True),
    ("OperationFailed", _ADVICE_DOWN, True),
    ("BadSymbol", "", False),
    ("NotSupported", "use another exchange, or another interval", False),
    ("InvalidProxySettings", "set one proxy option, not several", False),
    ("ExchangeClosedByUser", "it was closed: open the exchange again", False),
    ("BaseError", _ADVICE_REQUEST, False),
)

_CLIENT_ERROR: Final = re.compile(r"\S+ [A-Z]+ \S+ 4\d\d ")
"""ccxt's text for an HTTP status that it has no better class for than `ExchangeNotAvailable`."""


def failure_of(error: Exception, timeout_ms: int, hide: Hider) -> Failure:
    """What an exception of ccxt, or of code it calls, means.

    Args:
        error: as raised by a method of a ccxt client.
        timeout_ms: the client's time limit for a request, for the message.
        hide: keeps secrets out of what is shown of the exception.
    """
    if isinstance(error, AnswerError):
        return error.failure
    names = _class_names(error)
    cause = error.__cause__
    beneath = _class_names(cause) if cause is not None else frozenset[str]()
    if "TimeoutError" in beneath | names or "RequestTimeout" in names:
        return Failure(
            f"no answer within {timeout_ms / 1000:g} s",
            f"{_ADVICE_NETWORK}, or raise timeout in the options of the exchange",
            transient=True,
        )
    for name, failure in _BY_TRANSPORT:
        if name in beneath | names:
            return failure
    text = hide.line(str(error))
    if _CLIENT_ERROR.match(text):
        return Failure(f"it refused the request ({text})", _ADVICE_REQUEST)
    for name, advice, transient in _BY_CLASS:
        if name in names:
            return Failure(
                f"{type(error).__name__}: {text}",
                advice,
                transient,
                for_all=advice == _ADVICE_SLOWER,
                unknown_symbol=name == "BadSymbol",
            )
    # A parser stumbled: over a garbled answer, most often, and that passes.
    return Failure(
        f"its answer cannot be read ({type(error).__name__}: {text})", _ADVICE_BUG, transient=True
    )


def _class_names(error: BaseException) -> frozenset[str]:
    return frozenset(cls.__name__ for cls in type(error).__mro__)
