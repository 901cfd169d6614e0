"""History on disk: puts the candle cache together with exchanges and with the checks of candles.

A part of the composition root: like `engine.runtime`, it names adapters, so that whoever uses the
cache need not.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from engine.adapters.cache.candle_cache import CandleCache, DamagedCandlesError, Listed, Stored
from engine.adapters.cache.files import CacheError
from engine.adapters.cache.stretches import Part, clipped, covered_by, holes
from engine.adapters.exchanges.cached import CachedExchange
from engine.core.candles import cleaned, to_columns
from engine.domain.bars import (
    CANDLE_INTERVALS,
    MEDIAN_WINDOW,
    CandleKey,
    Candles,
    Columns,
    Floats,
    interval_ms,
    select,
)
from engine.domain.errors import NoDataError
from engine.domain.ports import CandleRows, Clock, Exchange
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings
from engine.domain.time import MINUTE, from_ms, minute_text
from engine.services.fetching import PAGE, asked_again

__all__ = [
    "CacheError",
    "CachedExchange",
    "CandleCache",
    "CandleKey",
    "DamagedCandlesError",
    "Download",
    "Imported",
    "Listed",
    "Stored",
    "cached",
    "download",
    "import_bars",
    "import_files",
]

_MAX_PROBE = 64
_log = logging.getLogger("signaldeck.cache")


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought.

    Attributes:
        rows: bars in the files, those of equal time counted once.
        added: bars the cache did not have.
        first, last: open of the first and the last of them, ms UTC.
        filled: bars missing in holes of up to ``max_gap_minutes``, which runs fill.
        holes: how many such holes there are.
        gaps: longer holes as (open of the first missing bar, open of the next one), ms UTC.
        forming: bars left out because they have not closed.
    """

    rows: int
    added: int
    first: int
    last: int
    filled: int
    holes: int
    gaps: tuple[tuple[int, int], ...]
    forming: int


@dataclass(frozen=True, slots=True)
class Download:
    """How far a download has come.

    Attributes:
        cursor: everything that opens before this instant (ms UTC) has been asked for.
        until: the end.
        rows: bars stored in the range; what was there before counts.
        fetched: bars that came from the exchange this time.
        missing: bars the exchange is known not to have, in short holes.
        gaps: stretches of the range without any bars, ms UTC: before the exchange listed the
            symbol, or long silences, which are asked about again.
    """

    cursor: int
    until: int
    rows: int
    fetched: int
    missing: int = 0
    gaps: tuple[tuple[int, int], ...] = ()


class CoreChecks:
    """What every run checks, applied before a bar is kept."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def read(self, rows: CandleRows, key: CandleKey) -> Columns:
        """See `CandleChecks.read`."""
        return to_columns(rows, key)

    def check(self, columns: Columns, key: CandleKey, before: Floats) -> None:
        """See `CandleChecks.check`."""
        cleaned(columns, key, key.step, self._settings, before)


def cached(
    exchange: Exchange, name: str, root: Path, settings: Settings, clock: Clock
) -> CachedExchange:
    """An exchange whose history is kept under ``root``.

    Args:
        exchange: the exchange; closing the result closes it.
        name: the name it is known by, which its candles are kept under.
        root: folder of the candle cache.
        settings: thresholds of the checks of candles.
        clock: tells which bars have closed.
    """
    checks = CoreChecks(settings)
    return CachedExchange(exchange, CandleCache(root), name, checks=checks, now=clock.now)


def import_files(
    root: Path, key: CandleKey, paths: Sequence[Path], settings: Settings, now: int
) -> Imported:
    """Read CSV or Parquet files and store their bars.

    Raises:
        EngineError: a file cannot be read, holds another interval, or a row is nonsense; or the
            bars cannot be stored. Nothing is stored then.
    """
    from engine.adapters.exchanges.files import FilesExchange  # needs polars: 0.1 s

    interval_ms(key.interval, CANDLE_INTERVALS)
    files = FilesExchange(paths, symbol=key.symbol)
    if key.interval not in files.intervals():
        held = ", ".join(files.intervals())
        raise NoDataError(
            f"{paths[0]}: the bars are {held}, not {key.interval}: import them with "
            f"--interval {held}, or give files of {key.interval} bars"
        )
    candles = files.get_candles(key.symbol, key.interval, from_ms(0), sys.maxsize)
    return import_bars(CandleCache(root), key, candles, settings, now)


def import_bars(
    cache: CandleCache, key: CandleKey, candles: Candles, settings: Settings, now: int
) -> Imported:
    """Store bars that somebody else collected, after every check that a run makes.

    Holes of up to ``max_gap_minutes`` count as real, for runs fill these. Longer ones do not: the
    bars may be in another file.

    Raises:
        CandleDataError: a row is no candle, or differs from what is stored; nothing is stored.
        NoDataError: no bar has closed yet.
        CacheError: the cache cannot be written.
    """
    step = key.step
    columns = cleaned(to_columns(candles, key), key, step, settings)
    closed = columns.timestamp + step <= now
    kept = select(columns, closed)
    stamps = kept.timestamp
    if not len(stamps):
        raise NoDataError(f"{key}: no bar has closed by {minute_text(now)}: check the timestamps")
    covered = covered_by(stamps, step, settings.max_gap_minutes * MINUTE)
    part = Part(kept, covered)
    before = _rows(cache.load(key))
    after = _rows(cache.merge(key, [part]))
    jumps = np.diff(stamps) // step - 1
    return Imported(
        rows=len(stamps),
        added=after - before,
        first=int(stamps[0]),
        last=int(stamps[-1]),
        filled=holes(part, step),
        holes=int(np.count_nonzero(jumps)) - (len(covered) - 1),
        gaps=tuple((end, start) for (_, end), (start, _) in pairwise(covered)),
        forming=len(closed) - len(stamps),
    )


async def download(
    schema: ExchangeSchema,
    root: Path,
    key: CandleKey,
    span: tuple[int, int],
    settings: Settings,
    clock: Clock,
    report: Callable[[Download], None],
) -> Download:
    """Fetch what the cache does not have of a range, page by page; what came is kept.

    Args:
        schema: a registered exchange. It is not closed.
        root: folder of the candle cache.
        key: whose bars.
        span: open of the first bar, and where to end (exclusive), ms UTC.
        settings: retries, and thresholds of the checks of candles.
        clock: tells what is settled, and times retries.
        report: told after every page.

    Raises:
        NoDataError: the exchange has nothing in the range, or nothing in it is settled yet.
        EngineError: it failed, retries included; it sent what cannot be candles; or the cache
            cannot be written. What had come before is kept.
    """
    _check_interval(schema, key)
    exchange = cached(_bare(schema), key.exchange_name, root, settings, clock)
    step = key.step
    since, until = -(-span[0] // step) * step, min(span[1], exchange.settled_until(step))
    if until <= since:
        raise NoDataError(
            f"{key}: no bar that opens from {minute_text(span[0])} on has been closed for "
            f"{(clock.now() - until) // MINUTE - step // MINUTE} minutes: younger ones may still "
            "change and are not kept; choose an earlier start"
        )
    walk = _Walk(exchange, key, since, until, settings, clock)
    try:
        while walk.cursor < until:
            await walk.page()
            report(walk.state())
    finally:
        await exchange.flush()
    return _conclude(exchange, key, walk)


class _Walk:
    """One way through a range, page by page."""

    def __init__(
        self,
        exchange: CachedExchange,
        key: CandleKey,
        since: int,
        until: int,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self.cursor = self.since = since
        self.until = until
        self.rows = 0
        self._exchange = exchange
        self._key = key
        self._settings = settings
        self._clock = clock
        self._probe = 1
        self._closes: Floats = np.empty(0)

    def state(self) -> Download:
        """How far it has come."""
        inner = self._exchange.inner
        fetched = inner.rows if isinstance(inner, _Registered) else 0
        return Download(self.cursor, self.until, self.rows, fetched)

    async def page(self) -> None:
        """Fetch and check the next page."""
        key, step = self._key, self._key.step
        limit = min(PAGE * self._probe, (self.until - self.cursor) // step)
        columns = to_columns(await self._ask(limit), key)
        columns = select(columns, columns.timestamp < self.until)
        columns = cleaned(columns, key, step, self._settings, self._closes)
        count = len(columns.timestamp)
        if not count:
            # Beyond a hole, or beyond the end: ever larger steps find out cheaply.
            self.cursor += limit * step
            self._probe = min(2 * self._probe, _MAX_PROBE)
            return
        self._probe = 1
        self.rows += count
        self._closes = np.concatenate([self._closes, columns.close])[-MEDIAN_WINDOW:]
        self.cursor = int(columns.timestamp[-1]) + step

    async def _ask(self, limit: int) -> CandleRows:
        symbol, interval, since = self._key.symbol, self._key.interval, from_ms(self.cursor)
        return await asked_again(
            lambda: self._exchange.get_candles(symbol, interval, since, limit), self._key,
            self._settings, self._clock, _log,
            ". What has come is kept: the same command goes on from there",
        )  # fmt: skip


class _Registered:
    """A registered exchange behind the protocol, counting the bars that it gives."""

    def __init__(self, schema: ExchangeSchema, get_candles: Callable[..., Any]) -> None:
        self.rows = 0
        self._schema = schema
        self._get_candles = get_candles

    async def get_candles(
        self, symbol: str, interval: str, since: datetime, limit: int
    ) -> CandleRows:
        answer: Any = self._get_candles(symbol, interval, since, limit)
        rows: CandleRows = await answer if inspect.isawaitable(answer) else answer
        with suppress(TypeError):  # no rows at all: whoever checks them says so
            self.rows += len(rows)
        return rows

    def format_price(self, symbol: str, price: float) -> str:
        return self._schema.format_price(symbol, price) if self._schema.format_price else str(price)

    def format_quantity(self, symbol: str, quantity: float) -> str:
        ask = self._schema.format_quantity
        return ask(symbol, quantity) if ask else str(quantity)

    def intervals(self) -> frozenset[str]:
        return frozenset(self._schema.intervals or CANDLE_INTERVALS)

    async def symbols(self) -> Sequence[str]:
        answer: Any = self._schema.get_symbols() if self._schema.get_symbols else ()
        return await answer if inspect.isawaitable(answer) else answer

    def history(self) -> tuple[int, int] | None:
        return self._schema.get_history() if self._schema.get_history else None

    async def close(self) -> None:
        """The engine that opened the exchange closes it."""


def _bare(schema: ExchangeSchema) -> _Registered:
    """The exchange of a schema, without a cache that may be around it already."""
    owner = getattr(schema.get_candles, "__self__", None)
    if isinstance(owner, CachedExchange):
        return _Registered(schema, owner.inner.get_candles)
    return _Registered(schema, schema.get_candles)


def _check_interval(schema: ExchangeSchema, key: CandleKey) -> None:
    interval_ms(key.interval, CANDLE_INTERVALS)
    if schema.intervals is not None and key.interval not in schema.intervals:
        raise NoDataError(
            f"{key}: the exchange does not serve {key.interval} bars: use one of "
            f"{', '.join(schema.intervals)} (runs make higher intervals from 1m)"
        )


def _conclude(exchange: CachedExchange, key: CandleKey, walk: _Walk) -> Download:
    stored = exchange.cache.load(key)
    part = clipped(stored.part, walk.since, walk.until) if stored else Part.empty()
    rows = len(part.columns.timestamp)
    if not rows:
        raise NoDataError(
            f"{key}: no candles between {minute_text(walk.since)} and {minute_text(walk.until)}: "
            "check the symbol's name and the dates"
        )
    edges = (walk.since, *(edge for stretch in part.covered for edge in stretch), walk.until)
    gaps = tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b)
    fetched = walk.state().fetched
    return Download(walk.until, walk.until, rows, fetched, holes(part, key.step), gaps)


def _rows(stored: Stored | None) -> int:
    return stored.sidecar.rows if stored else 0
