"""An exchange that asks for history once: what the candle cache has is served from there.

Whoever uses it gets what the exchange itself would give. Only bars that are settled (closed for
some minutes, so neither forming nor about to be corrected) are stored; the newest ones, which a
live run asks for every minute, pass through. Storing happens in the background and seldom, and a
cache that cannot be used is a warning, never the end of a run.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from threading import Lock
from typing import Any, Final, Protocol

import numpy as np

from engine.adapters.cache.candle_cache import (
    CandleCache,
    DamagedCandlesError,
    Signature,
    Stored,
)
from engine.adapters.cache.stretches import LONGEST_HOLE, Part, clipped, covered_by
from engine.domain.bars import (
    MEDIAN_WINDOW,
    CandleKey,
    Candles,
    Columns,
    Floats,
    concat,
    select,
)
from engine.domain.errors import CandleDataError, EngineError, SchemaError
from engine.domain.ports import CandleRows, Exchange
from engine.domain.time import DAY, MINUTE, from_ms, to_ms

SETTLED_AFTER: Final = 10 * MINUTE
"""A bar is settled this long after its close, ms: by then late trades are in it, and clocks that
differ by minutes still agree that it has closed."""

_SURE_HOLE: Final = 99
"""A longer hole (in bars) is not believed at once: one of the pages that make up an answer may have
come back empty by mistake, and no exchange's pages are smaller."""

_CLOCK_ERROR: Final = DAY
_WRITE_PAUSE: Final = 2.0
_WRITE_SHARE: Final = 10
"""Writing may take this part (a tenth) of the time: each write is of the whole file."""

_log = logging.getLogger("signaldeck.cache")


class CandleChecks(Protocol):
    """What decides whether an exchange's answer is fit to be kept."""

    def read(self, rows: CandleRows, key: CandleKey) -> Columns:
        """The rows as columns, in the order they came.

        Raises:
            CandleDataError: they are no candles.
        """
        ...

    def check(self, columns: Columns, key: CandleKey, before: Floats) -> None:
        """Look at every value of settled bars; ``before`` are closes that precede them.

        Raises:
            CandleDataError: naming the row that cannot be right.
        """
        ...


class CachedExchange:
    """Another exchange, whose history is kept in a candle cache.

    Args:
        inner: the exchange.
        cache: where its bars are kept.
        name: under which exchange's name.
        checks: what is not fit to be kept is passed on all the same, and asked for again.
        now: the present instant, ms UTC.
        write_pause: seconds at least between two writes of the cache.
    """

    def __init__(
        self,
        inner: Exchange,
        cache: CandleCache,
        name: str,
        *,
        checks: CandleChecks,
        now: Callable[[], int],
        write_pause: float = _WRITE_PAUSE,
    ) -> None:
        self.inner = inner
        self.cache = cache
        self.name = name
        self._checks = checks
        self._now = now
        self._write_pause = write_pause
        self._shelves: dict[CandleKey, _Shelf] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="signaldeck-cache")
        self._writing: Future[None] | None = None
        self._next_write = 0.0

    def __repr__(self) -> str:
        return f"CachedExchange({self.inner!r})"

    # -- the exchange protocol -------------------------------------------------------------------

    async def get_candles(
        self, symbol: str, interval: str, since: datetime, limit: int
    ) -> CandleRows:
        """Up to ``limit`` bars that open at or after ``since``: stored ones, then fetched ones."""
        shelf = await self._shelf(CandleKey(self.name, symbol, interval)) if limit > 0 else None
        if shelf is None:
            return await _answer(self.inner, symbol, interval, since, limit)
        self._write_soon()
        return await self._collect(shelf, -(-to_ms(since) // shelf.step) * shelf.step, limit)

    def format_price(self, symbol: str, price: float) -> str:
        """As the exchange formats it."""
        return self.inner.format_price(symbol, price)

    def format_quantity(self, symbol: str, quantity: float) -> str:
        """As the exchange formats it."""
        return self.inner.format_quantity(symbol, quantity)

    def intervals(self) -> frozenset[str]:
        """The exchange's intervals."""
        return self.inner.intervals()

    async def symbols(self) -> Sequence[str]:
        """The exchange's symbols."""
        answer: Any = self.inner.symbols()
        return await answer if inspect.isawaitable(answer) else answer

    def history(self) -> tuple[int, int] | None:
        """The exchange's history."""
        return self.inner.history()

    async def clock_offset(self) -> int | None:
        """As the exchange measures it; None where it cannot."""
        ask: Any = getattr(self.inner, "clock_offset", None)
        return None if ask is None else await ask()

    def rate_limit_used(self) -> float | None:
        """As the exchange counts it; None where it cannot."""
        ask: Any = getattr(self.inner, "rate_limit_used", None)
        return None if ask is None else ask()

    async def close(self) -> None:
        """Store what is not stored yet, then close the exchange."""
        try:
            await self.flush()
        except EngineError as error:
            _log.warning("%s", error)
        self._writer.shutdown(wait=False)
        await self.inner.close()

    # -- beyond the protocol ---------------------------------------------------------------------

    def settled_until(self, step: int) -> int:
        """Bars of ``step`` ms that open before this instant (ms UTC) are settled."""
        return (self._now() - SETTLED_AFTER) // step * step

    async def flush(self) -> None:
        """Store what has been fetched, and return when it is on the disk.

        Raises:
            EngineError: it could not be stored.
        """
        failures: list[EngineError] = []
        await asyncio.wrap_future(self._writer.submit(self._write, failures))
        if failures:
            raise failures[0]

    # -- bars ------------------------------------------------------------------------------------

    async def _collect(self, shelf: _Shelf, cursor: int, limit: int) -> CandleRows:
        """Bars from ``cursor`` on, going from what is held to what is missing and back."""
        found: list[Columns] = []
        need, asked_until = limit, cursor + limit * shelf.step
        while need > 0:
            held = shelf.at(cursor)
            if held is not None:
                rows, cursor = _first(held, cursor, need)
                found.append(rows)
                need -= len(rows.timestamp)
                continue
            if cursor < self.settled_until(shelf.step) and await self._renewed(shelf):
                continue
            bound = shelf.next_start(cursor)
            ask = need if bound is None else min(need, (bound - cursor) // shelf.step)
            try:
                raw = await _answer(
                    self.inner, shelf.key.symbol, shelf.key.interval, from_ms(cursor), ask
                )
            except Exception as error:
                if cursor < asked_until:
                    raise
                _log.info("%s: served from the cache alone: %s", shelf.key, error)
                break
            rows = self._understood(shelf, raw, cursor)
            if rows is None:
                return raw if not found else [*map(list, Candles(concat(found))), *_listed(raw)]
            self._keep(shelf, rows, cursor, bound, len(rows.timestamp) >= ask)
            if bound is None:
                found.append(rows)
                break
            part = select(rows, rows.timestamp < bound)
            found.append(part)
            need -= len(part.timestamp)
            last = int(rows.timestamp[-1]) if len(rows.timestamp) else bound
            cursor = min(bound, last + shelf.step)
        return Candles(found[0] if len(found) == 1 else concat(found))

    def _understood(self, shelf: _Shelf, raw: CandleRows, cursor: int) -> Columns | None:
        """The bars of an answer that open from ``cursor`` on; None where it is not bars in order.

        Whoever checks every answer decides about those; here they are passed on untouched.
        """
        try:
            rows = self._checks.read(raw, shelf.key)
        except CandleDataError:
            return None
        stamps = rows.timestamp
        if (stamps % shelf.step).any() or (np.diff(stamps) <= 0).any():
            return None
        return rows if not len(stamps) or stamps[0] >= cursor else select(rows, stamps >= cursor)

    def _keep(
        self, shelf: _Shelf, rows: Columns, cursor: int, bound: int | None, full: bool
    ) -> None:
        """Put what is settled, up to ``bound``, where it will be stored."""
        step, end = shelf.step, self.settled_until(shelf.step)
        if not full and len(rows.timestamp) and int(rows.timestamp[-1]) > end - _CLOCK_ERROR:
            # The newest bar an exchange has may be forming, should our clock be far ahead of it.
            end = min(end, int(rows.timestamp[-1]))
        covered = covered_by(rows.timestamp, step, _SURE_HOLE * step, start=cursor)
        if bound is not None:
            end = min(end, bound)
            if bound - cursor <= LONGEST_HOLE and shelf.confirmed(bound, rows):
                covered = ((cursor, bound),)
        part = clipped(Part(rows, covered), cursor, end)
        if not part.covered:
            return
        try:
            self._checks.check(part.columns, shelf.key, shelf.closes_before(cursor))
        except CandleDataError as error:
            _log.info("not stored: %s", error)
            return
        shelf.add(part)
        self._write_soon()

    # -- shelves ---------------------------------------------------------------------------------

    async def _shelf(self, key: CandleKey) -> _Shelf | None:
        """What is held for a key; None when the cache cannot be used for it."""
        shelf = self._shelves.get(key)
        if shelf is None:
            # Every byte is checked when a file is opened: too long for the loop.
            loaded = await asyncio.to_thread(self._open, key)
            shelf = self._shelves.setdefault(key, loaded)
        return shelf if shelf.usable else None

    def _open(self, key: CandleKey) -> _Shelf:
        shelf = _Shelf(key)
        try:
            shelf.hold(self._load(key))
        except SchemaError:
            shelf.usable = False  # an interval or a symbol that no exchange has, or only this one
        except EngineError as error:
            shelf.usable = False
            _log.warning("%s: history is not kept: %s", key, error)
        return shelf

    def _load(self, key: CandleKey) -> Stored | None:
        try:
            return self.cache.load(key)
        except DamagedCandlesError:
            return None  # the cache has logged it and set it aside: it is fetched again

    async def _renewed(self, shelf: _Shelf) -> bool:
        """Whether another process had stored something meanwhile, which is held now."""
        if self.cache.signature(shelf.key) == shelf.signature:
            return False
        try:
            shelf.hold(await asyncio.to_thread(self._load, shelf.key))
        except EngineError as error:
            _log.warning("%s", error)
            return False
        return True

    # -- writing, in a thread of its own -----------------------------------------------------------

    def _write_soon(self) -> None:
        """Begin a write unless one is under way or was a moment ago."""
        if self._writing is not None and not self._writing.done():
            return
        if time.monotonic() < self._next_write:
            return
        if any(shelf.waiting for shelf in self._shelves.values()):
            self._writing = self._writer.submit(self._write)

    def _write(self, failures: list[EngineError] | None = None) -> None:
        begun = time.monotonic()
        try:
            for shelf in tuple(self._shelves.values()):
                self._write_shelf(shelf, [] if failures is None else failures)
        finally:
            ended = time.monotonic()
            self._next_write = ended + max(self._write_pause, _WRITE_SHARE * (ended - begun))

    def _write_shelf(self, shelf: _Shelf, failures: list[EngineError]) -> None:
        batch = shelf.waiting
        if not batch:
            return
        try:
            stored = self._merge(shelf.key, batch)
        except EngineError as error:
            _log.warning("not stored: %s", error)
            shelf.forget(len(batch))
            failures.append(error)
            return
        # Stretches without any bar are nothing that a file could hold: they go on waiting.
        if stored is not None:
            shelf.hold(stored)
            shelf.forget(len(batch))

    def _merge(self, key: CandleKey, batch: Sequence[Part]) -> Stored | None:
        try:
            return self.cache.merge(key, batch)
        except DamagedCandlesError:
            return self.cache.merge(key, batch)  # what was damaged is out of the way now


class _Shelf:
    """What is held of one key: the stored bars, and fetched ones that wait to be stored.

    It is read on the loop and changed on the loop and in the writer's thread.
    """

    def __init__(self, key: CandleKey) -> None:
        self.key = key
        self.step = 0
        self.usable = True
        self.signature: Signature | None = None
        self._stored = Part.empty()
        self._waiting: tuple[Part, ...] = ()
        self._lock = Lock()

    @property
    def waiting(self) -> tuple[Part, ...]:
        """Parts to be stored, oldest first."""
        return self._waiting

    def hold(self, stored: Stored | None) -> None:
        """Take what the cache has now."""
        with self._lock:
            self.step = self.key.step
            self._stored = stored.part if stored else Part.empty()
            self.signature = stored.signature if stored else None

    def add(self, part: Part) -> None:
        """Let a part wait to be stored."""
        with self._lock:
            self._waiting = (*self._waiting, part)

    def forget(self, count: int) -> None:
        """The first ``count`` parts that wait have been stored, or cannot be."""
        with self._lock:
            self._waiting = self._waiting[count:]

    def at(self, instant: int) -> Part | None:
        """The held part that covers an instant, cut to the stretch around it."""
        with self._lock:
            parts = (*self._waiting[::-1], self._stored)
        for part in parts:
            for stretch in part.covered:
                if stretch[0] <= instant < stretch[1]:
                    return Part(part.columns, (stretch,))
        return None

    def next_start(self, instant: int) -> int | None:
        """Where the first covered stretch after an instant begins."""
        with self._lock:
            parts = (*self._waiting, self._stored)
        starts = (start for part in parts for start, _ in part.covered if start > instant)
        return min(starts, default=None)

    def confirmed(self, bound: int, rows: Columns) -> bool:
        """Whether an answer for a gap that ends at ``bound`` says that there is nothing in it.

        Its first bar is the first one held after the gap then. An exchange that has forgotten
        the gap, because it only serves its newest bars, would begin somewhere else.
        """
        held = self.at(bound)
        if held is None or not len(rows.timestamp):
            return False
        at = int(np.searchsorted(held.columns.timestamp, bound))
        known = held.columns.timestamp[at : at + 1]
        return len(known) == 1 and int(known[0]) == int(rows.timestamp[0])

    def closes_before(self, instant: int) -> Floats:
        """Up to `MEDIAN_WINDOW` closes that directly precede an instant."""
        held = self.at(instant - self.step)
        if held is None:
            return np.empty(0)
        stop = int(np.searchsorted(held.columns.timestamp, instant))
        start = int(np.searchsorted(held.columns.timestamp, held.covered[0][0]))
        return held.columns.close[max(start, stop - MEDIAN_WINDOW) : stop]


def _first(held: Part, cursor: int, count: int) -> tuple[Columns, int]:
    """The first bars of a stretch from ``cursor`` on, and where to go on after them."""
    _, end = held.covered[0]
    first, last = (int(at) for at in np.searchsorted(held.columns.timestamp, (cursor, end)))
    rows = select(held.columns, slice(first, min(last, first + count)))
    return rows, end


def _listed(raw: CandleRows) -> list[Any]:
    return [*raw] if isinstance(raw, Sequence) else [raw]  # pyright: ignore[reportUnnecessaryIsInstance]


async def _answer(
    inner: Exchange, symbol: str, interval: str, since: datetime, limit: int
) -> CandleRows:
    rows: Any = inner.get_candles(symbol, interval, since, limit)
    return await rows if inspect.isawaitable(rows) else rows
