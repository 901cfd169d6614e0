"""Any exchange of the ccxt library as a source of candles that a live run can rely on.

ccxt speaks to a hundred exchanges; this adds what an unattended program needs around it: pages
beyond an exchange's own limit, patience by kind of failure on the engine's clock, silence while
the exchange asks for it, one error that an operator can act on, and connections that belong to
the loop they are used on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from difflib import get_close_matches
from functools import partial
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, TypeVar

import numpy as np

from engine.adapters.exchanges.ccxt_client import Usage, check_options, make_client, secrets_of
from engine.adapters.exchanges.ccxt_errors import Hider, RequestError
from engine.adapters.exchanges.ccxt_library import Client, ClientClass, check_id, client_class
from engine.adapters.exchanges.ccxt_requests import Requests
from engine.adapters.exchanges.precision import MAX_DECIMALS, fixed
from engine.domain.bars import FRAME_INTERVALS, Candles, Floats, interval_ms
from engine.domain.errors import ExchangeError, NoDataError
from engine.domain.ports import Clock
from engine.domain.time import MINUTE, to_ms

_T = TypeVar("_T")

_PAGE: Final = 500
"""Bars per request where ccxt does not know how many the exchange allows."""

_RELOAD_MS: Final = 60 * MINUTE
"""Markets older than this are loaded again before a symbol is called unknown."""


class CcxtExchange:
    """One exchange of ccxt, market data only.

    Credentials are seldom needed for candles; those there are come from environment variables
    ``SIGNALDECK_<NAME>_API_KEY``, ``_SECRET``, ``_PASSWORD`` and so on, and from nowhere else.

    Args:
        exchange_id: ccxt's id, such as ``binance``.
        clock: tells the time and times the pauses between tries.
        options: properties of the ccxt client, such as ``timeout`` (ms) or ``rateLimit`` (ms
            between requests); ``options`` in it are ccxt's own exchange-specific ones. ``urls``
            is an address that takes the place of every host of the exchange.
        name: what messages and environment variables call it; the id by default.
        retry_count: further tries after a passing failure.
        retry_delay_ms: pause before the first of them; each next one is twice as long.

    Raises:
        NotRegisteredError: ccxt has no such exchange.
        SchemaError: an option cannot be used.
    """

    def __init__(
        self,
        exchange_id: str,
        *,
        clock: Clock,
        options: Mapping[str, Any] = MappingProxyType({}),
        name: str = "",
        retry_count: int = 3,
        retry_delay_ms: int = 5000,
    ) -> None:
        self.exchange_id = exchange_id
        self.name = name or exchange_id
        check_id(exchange_id)
        check_options(self.name, options)
        self._clock = clock
        self._options = dict(options)
        self._hide = Hider(partial(secrets_of, self.name))
        self._requests = Requests(self._hide, clock, retry_count, retry_delay_ms)
        self._usage = Usage()
        self._offset: int | None = None
        self._class: ClientClass | None = None
        self._client: Client | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        self._listed: Client | None = None
        self._listed_at = 0
        self._loading: asyncio.Task[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"CcxtExchange({self.exchange_id!r})"

    # -- the exchange protocol -------------------------------------------------------------------

    async def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Candles:
        """Up to ``limit`` bars that open at or after ``since``, oldest first.

        The bar that is forming may be the last one, as exchanges send it; it is left out where
        the exchange's own clock, once measured, says that it has not closed. Bars come as the
        exchange sends them, sorted; whether they make sense is checked where those of every
        exchange are.

        Args:
            symbol: ccxt's name (``BTC/USDT``) or the exchange's own (``BTCUSDT``).
            interval: one of `intervals`.
            since: open of the first bar.
            limit: more than the exchange gives at once is collected page by page.

        Raises:
            NoDataError: it does not know the symbol or does not serve the interval.
            ExchangeError: it failed, retries included, or wants no requests for now.
        """
        self._claim()
        # Whoever only probes for an answer without waiting leaves here, with nothing begun.
        await asyncio.sleep(0)
        where = f"exchange {self.name!r}, {symbol} {interval}"
        async with self._connected(where) as client:
            name = await self._resolve(client, symbol, where)
            if interval not in _names(client):
                raise NoDataError(
                    f"{where}: it does not serve this interval, only {', '.join(_names(client))}: "
                    "ask for one of these (higher ones can be made from 1m)"
                )
            return await self._pages(client, name, interval, to_ms(since), limit, where)

    def format_price(self, symbol: str, price: float) -> str:
        """A price in the exchange's precision.

        Raises:
            ExchangeError: the markets are not loaded yet.
            NoDataError: the exchange does not list the symbol.
        """
        return self._format(symbol, price, lambda client: client.price_to_precision)

    def format_quantity(self, symbol: str, quantity: float) -> str:
        """A quantity cut to the exchange's precision.

        Raises:
            ExchangeError: the markets are not loaded yet.
            NoDataError: the exchange does not list the symbol.
        """
        return self._format(symbol, quantity, lambda client: client.amount_to_precision)

    def intervals(self) -> frozenset[str]:
        """The engine's intervals that the exchange serves; empty if it has no candles.

        The first call imports the exchange's part of ccxt, which takes some 0.2 s; it may be made
        in a thread.
        """
        if self._client is None:
            self._client = self._make()
        return frozenset(_names(self._client))

    async def symbols(self) -> tuple[str, ...]:
        """Symbols that are traded now, in ccxt's names.

        Raises:
            ExchangeError: the markets could not be loaded.
        """
        self._claim()
        async with self._connected(f"exchange {self.name!r}, symbols") as client:
            markets = (client.markets or {}).values()
        return tuple(sorted(str(m["symbol"]) for m in markets if m.get("active") is not False))

    def history(self) -> None:
        """Exchanges tell their newest bar, not how far back a symbol goes."""
        return

    async def close(self) -> None:
        """Close the connections; further requests are refused.

        To be awaited on the loop that has used the exchange.
        """
        self._closed = True
        client, home, loading = self._client, self._home, self._loading
        self._client = self._loading = None
        if loading is not None and not loading.done():
            loading.cancel()
        if client is None:
            return
        if home is None or home is asyncio.get_running_loop() or not home.is_running():
            with suppress(RuntimeError):  # connections of a loop that is gone are gone as well
                await client.close()
            return
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(client.close(), home))

    # -- beyond the protocol ---------------------------------------------------------------------

    async def clock_offset(self) -> int | None:
        """The exchange's clock minus ours in ms, None where it does not tell its time.

        One request and no retries: a later measurement serves as well. From now on a bar counts
        as closed when it has on the exchange's clock.

        Raises:
            ExchangeError: the request failed.
        """
        self._claim()
        where = f"exchange {self.name!r}, clock"
        async with self._borrowed(where) as client:
            if client.has.get("fetchTime") is not True:
                return None
            before = self._clock.now()
            theirs = await self._requests.ask(
                where, client.fetch_time, client.timeout, patient=False
            )
            after = self._clock.now()
        if theirs is None:
            return None
        # The answer was written about half-way between asking and hearing.
        self._offset = int(theirs) - (before + after) // 2
        return self._offset

    def rate_limit_used(self) -> float | None:
        """Share of the rate limit in use, 0 to 1; None where the exchange does not tell."""
        return self._usage.present(self._clock.now())

    # -- connections -----------------------------------------------------------------------------

    def _claim(self) -> None:
        """Make the running loop the one that keeps connections open, if there is none yet."""
        if self._home is None or self._home.is_closed():
            if self._home is not None:
                self._client = self._loading = None
            self._home = asyncio.get_running_loop()

    @asynccontextmanager
    async def _borrowed(self, where: str) -> AsyncGenerator[Client]:
        """A client for the running loop: the kept one at home, elsewhere one for this use."""
        if self._closed:
            raise _closed(where)
        if self._class is None:
            await asyncio.to_thread(self._library)
        if asyncio.get_running_loop() is self._home:
            if self._client is None:
                self._client = self._make()
            yield self._client
            return
        client = self._make()
        try:
            yield client
        finally:
            await client.close()

    @asynccontextmanager
    async def _connected(self, where: str) -> AsyncGenerator[Client]:
        """A client for the running loop that knows the markets."""
        async with self._borrowed(where) as client:
            if not client.markets:
                await self._list(client, where)
            yield client

    async def _list(self, client: Client, where: str) -> None:
        """Give a client the markets: those of another client, or loaded once for all who wait.

        A task of its own loads them, so that who stops waiting does not stop the others.
        """
        if self._listed is not None:
            client.set_markets_from_exchange(self._listed)
            return
        if client is not self._client:
            await self._ask(f"{where}, markets", client, client.load_markets)
            self._listed, self._listed_at = client, self._clock.now()
            return
        task = self._loading
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(self._load(client))
            # Should everybody stop waiting, the failure has been logged all the same.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._loading = task
        try:
            with self._clock.waiting():
                await asyncio.shield(task)
            return
        except RequestError as error:
            failed = error.described(f"{where}, markets")
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            failed = _closed(where)
        raise failed

    async def _load(self, client: Client) -> None:
        where = f"exchange {self.name!r}, markets"
        with self._clock.working():
            await self._requests.attempt(where, client.load_markets, client.timeout)
        self._listed, self._listed_at = client, self._clock.now()

    def _library(self) -> ClientClass:
        if self._class is None:
            self._class = client_class(self.exchange_id)
        return self._class

    def _make(self) -> Client:
        return make_client(
            self._library(),
            self._options,
            self.name,
            self._clock.now,
            self._usage,
            self._hide,
        )

    async def _ask(self, where: str, client: Client, request: Callable[[], Awaitable[_T]]) -> _T:
        # Time that the engine drives stands still while its loop waits for another thread's.
        patient = asyncio.get_running_loop() is self._home or self._clock.speed != 0
        return await self._requests.ask(where, request, client.timeout, patient=patient)

    # -- candles ---------------------------------------------------------------------------------

    async def _pages(
        self, client: Client, name: str, interval: str, since: int, limit: int, where: str
    ) -> Candles:
        step = interval_ms(interval, FRAME_INTERVALS)
        most = int(client.feature_value(name, "fetchOHLCV", "limit") or _PAGE)
        pages: list[Floats] = []
        cursor, missing = since, limit
        while missing > 0 and cursor <= (newest := self._newest_open(step)):
            size = min(missing, most)
            ask = partial(_page, client, name, interval, cursor, size)
            page = await self._ask(where, client, ask)
            if self._offset is not None:
                # As of asking: what closed while the answer was on its way is still forming in it.
                page = page[page[:, 0] <= newest]
            if len(page):
                pages.append(page[:missing])
                if len(page) < size and cursor + size * step > newest:
                    break  # it has no more
                missing -= len(page)
                cursor = int(page[-1, 0]) + step
                continue
            # Some exchanges look no further than `size` bars, so a hole may look like the end.
            cursor += size * step
            if cursor >= since + limit * step:
                break
        if not pages:
            return Candles.empty()
        table = np.concatenate(pages)
        return Candles.from_columns(table[:, 0].astype(np.int64), *table[:, 1:].T)

    def _newest_open(self, step: int) -> int:
        """The latest open of a bar worth asking for: of a closed one, where that is known."""
        now = self._clock.now()
        return now if self._offset is None else now + self._offset - step

    # -- symbols ---------------------------------------------------------------------------------

    async def _resolve(self, client: Client, symbol: str, where: str) -> str:
        """The market's name in ccxt; markets are loaded again where they may be outdated."""
        market = _market(client, symbol)
        if market is None and self._clock.now() - self._listed_at > _RELOAD_MS:
            self._listed_at = self._clock.now()
            await self._ask(f"{where}, markets", client, lambda: client.load_markets(True))
            self._listed = client
            market = _market(client, symbol)
        if market is None:
            raise NoDataError(f"{where}: {_unknown(client, symbol)}")
        return str(market["symbol"])

    def _format(
        self, symbol: str, value: float, method: Callable[[Client], Callable[[str, float], str]]
    ) -> str:
        client = self._listed
        if client is None:
            raise ExchangeError(
                f"exchange {self.name!r}, {symbol}: its precision is not known before its markets "
                "are loaded: ask it for candles or symbols first"
            )
        market = _market(client, symbol)
        if market is None:
            raise NoDataError(f"exchange {self.name!r}: {_unknown(client, symbol)}")
        if not isfinite(value):
            return str(value)
        try:
            return method(client)(str(market["symbol"]), value)
        except Exception as error:
            # ccxt refuses what rounds to nothing because no order could be made of it.
            if type(error).__name__ == "InvalidOrder":
                return "0"
            return fixed(value, MAX_DECIMALS)  # a market without a known precision


def _closed(where: str) -> ExchangeError:
    return ExchangeError(f"{where}: the exchange was closed: open it again")


def _market(client: Client, symbol: str) -> Mapping[str, Any] | None:
    try:
        return client.market(symbol)
    except Exception:  # ccxt has many ways of not knowing a symbol
        return None


def _unknown(client: Client, symbol: str) -> str:
    plain = {_plain(name): name for name in client.markets or {}}
    near = get_close_matches(_plain(symbol), plain, n=3, cutoff=0.6)
    hint = f"it lists {len(plain)} others, none with a name like it"
    if near:
        hint = f"did you mean {' or '.join(plain[name] for name in near)}?"
    if ":" in symbol:
        hint += " Contracts are listed where fetchMarkets in the options of the exchange wants them"
    return f"it does not list the symbol {symbol!r}: {hint}"


def _plain(symbol: str) -> str:
    return "".join(filter(str.isalnum, symbol.upper()))


def _names(client: Client) -> tuple[str, ...]:
    """Intervals that are served as candles, in the engine's order."""
    if client.has.get("fetchOHLCV") is not True:
        return ()
    served = client.timeframes or {}
    return tuple(name for name in FRAME_INTERVALS if served.get(name) is not None)


async def _page(client: Client, name: str, interval: str, since: int, size: int) -> Floats:
    """Rows that open at or after ``since`` (ms UTC), shape (n, 6), literal repetitions left out."""
    rows = await client.fetch_ohlcv(name, interval, since, size)
    table = np.array([row[:6] for row in rows], dtype=np.float64).reshape(len(rows), 6)
    again = np.zeros(len(table), dtype=np.bool_)
    again[1:] = (table[1:] == table[:-1]).all(axis=1)
    return table[(table[:, 0] >= since) & ~again]
