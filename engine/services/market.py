"""Bars for runs: loaded from an exchange, checked, filled, kept, and cut into closed windows.

One market serves one backtest, or all live runs on one exchange. Whatever is asked of it, no bar
that closes after the asking instant is ever handed out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, cast

import numpy as np

from engine.core.candles import (
    Filled,
    cleaned,
    fill,
    hole_error,
    long_hole,
)
from engine.domain.bars import (
    CANDLE_INTERVALS,
    MEDIAN_WINDOW,
    CandleKey,
    Candles,
    Columns,
    concat,
    interval_ms,
    select,
)
from engine.domain.errors import (
    CandleDataError,
    ContextError,
    EngineError,
    NoDataError,
)
from engine.domain.ports import Clock
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings
from engine.domain.time import MINUTE, minute_text
from engine.services.feed import WARM_UP_MINUTES, LiveFeed
from engine.services.fetching import CandleFetcher, UnservedError
from engine.services.series import BarSeries, made_of

MARKET_SETTINGS: Final = (
    "avg_price_candles_count", "max_gap_minutes", "get_candles_retry_count",
    "get_candles_retry_delay_ms", "get_candles_price_anomaly_threshold_factor",
    "get_candles_min_candles_for_median",
)  # fmt: skip
"""The settings a market depends on; runs that differ in these cannot share one."""

_ANY_HOLE: Final = 10**9

_WATCHED: Final = 30
"""Newest bars among which filled ones are asked for again: whether a real one came after all."""

_CAME_LATE: Final = (
    "%s: the bar of %s came after its minute had been filled because a newer one was there first: "
    "it is ignored, trades stay as they were settled; a backtest of these bars may differ"
)

_CALM: Final = 2
"""So many new bars at once mean that nothing was missed."""

_log = logging.getLogger("signaldeck.market")


class Market:
    """Bars of one exchange.

    Args:
        schema: the exchange.
        settings: VWAP window, gap and anomaly limits, retries.
        clock: tells what has closed, and times retries and polls.
        horizon: load up to this instant at once when history is needed (a backtest's end); 0 is
            live: no further than what is asked for, and what is late is asked for again.
        failed: told of callbacks that fail.
        holed: live: told of holes longer than ``max_gap_minutes``, which end nothing.
        clock_offset: live: answers the exchange's clock minus ours in ms, None if unknown.

    Attributes:
        feed: the newest minutes, for live runs.
    """

    def __init__(
        self,
        schema: ExchangeSchema,
        settings: Settings,
        clock: Clock,
        horizon: int = 0,
        failed: Callable[[Exception, CandleKey], None] | None = None,
        holed: Callable[[Exception, CandleKey], None] | None = None,
        clock_offset: Callable[[], Awaitable[int | None]] | None = None,
    ) -> None:
        self.schema = schema
        self.settings = settings
        self._clock = clock
        self._horizon = horizon
        self._live = horizon == 0
        self._series: dict[tuple[str, str], BarSeries] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._resampled: set[str] = set()
        self._fetcher = CandleFetcher(schema, settings, clock, failed or _log_failure)
        self._holed = holed or _log_failure
        self.feed = LiveFeed(self, clock, settings.avg_price_candles_count, clock_offset)

    # -- windows ---------------------------------------------------------------------------

    def cached_window(self, symbol: str, interval: str, when: int, limit: int) -> Candles | None:
        """The newest ``limit`` bars visible at ``when`` if they are in memory, else None."""
        series = self._series.get((symbol, interval))
        if series is None or limit < 1:
            return None
        # The usual case of `BarSeries.window`, without the call: everything asked for is here.
        stop = (when - series.first) // series.step
        if limit <= stop <= series.size:
            return Candles(series.columns, stop - limit, stop)
        return series.window(when, limit)

    async def window(self, symbol: str, interval: str, when: int, limit: int) -> Candles:
        """The newest ``limit`` closed bars at ``when`` (ms UTC), oldest first.

        Raises:
            EngineError: unknown interval, limit below 1, or the exchange failed.
        """
        step = interval_ms(interval, CANDLE_INTERVALS)
        if limit < 1:
            raise EngineError(f"get_candles: limit is {limit}: must be at least 1")
        found = self.cached_window(symbol, interval, when, limit)
        if found is not None:
            return found
        if self._live:
            await self.feed.advance(symbol, when)  # other symbols' bars are waited for as well
        # One bar alone cannot tell an exchange that ignores the interval from one that serves it.
        least = limit if self._fetcher.serves_surely(interval) else max(limit, 3)
        since = (when // step - least) * step
        if interval == "1m":
            await self._deep_enough(symbol, interval, since, when, limit)
            return self._cut(symbol, interval, when, limit)
        if self._serves(interval):
            try:
                await self._deep_enough(symbol, interval, since, when, limit)
                if self._live:
                    await self.feed.complete(symbol, interval, when)
                return self._cut(symbol, interval, when, limit)
            except (CandleDataError, NoDataError, UnservedError) as reason:
                if self._fetcher.serves_surely(interval):
                    raise
                _log.info("%s: %s is resampled from 1m (%s)", self.schema.name, interval, reason)
                self._resampled.add(interval)
                self._series.pop((symbol, interval), None)
        end = min((await self.ensure(symbol, since, when)).end, when)
        await self.ensure(symbol, end // step * step - limit * step, end)  # if bars are late
        self._resample(symbol, interval, step)
        return self._cut(symbol, interval, when, limit)

    def window_blocking(self, symbol: str, interval: str, when: int, limit: int) -> Candles:
        """`window` for plain functions on the engine's own thread.

        What is in memory, and whatever an exchange delivers without waiting, comes at once.

        Raises:
            ContextError: the exchange has to wait, which a plain function here cannot.
        """
        found = self.cached_window(symbol, interval, when, limit)
        if found is not None:
            return found
        coroutine = self.window(symbol, interval, when, limit)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return cast(Candles, done.value)
        coroutine.close()
        raise ContextError(
            f"{limit} {interval} candles of {symbol} have to be fetched from exchange "
            f"{self.schema.name!r} first, and a plain function cannot wait for them here: make it "
            "an async def and await engine.get_candles"
        )

    @property
    def vwap_bars(self) -> int:
        """How many 1m bars VWAP is computed over."""
        return self.settings.avg_price_candles_count

    def vwap(self, symbol: str, when: int) -> float | None:
        """VWAP(when), or None while no bar has closed or it is not in memory."""
        series = self._series.get((symbol, "1m"))
        if series is None or when > series.loaded_until:
            return None
        closed = series.closed(when)
        if closed < self.settings.avg_price_candles_count and not series.at_start:
            return None  # the window would be cut off by where loading began
        return float(series.vwap[closed - 1]) if closed else None

    def minutes(self, symbol: str) -> BarSeries:
        """The symbol's 1m series; `NoDataError` when nothing was loaded."""
        series = self._series.get((symbol, "1m"))
        if series is None:
            raise NoDataError(f"exchange {self.schema.name!r} has no candles for {symbol!r}")
        return series

    def known(self, symbol: str, interval: str = "1m") -> BarSeries | None:
        """What was loaded of an interval; None while nothing ever was."""
        return self._series.get((symbol, interval))

    def forget(self) -> None:
        """Let go of all bars; whoever asks for some has them loaded again."""
        self._series.clear()
        self._resampled.clear()

    def newest_close(self, symbol: str) -> int | None:
        """The instant at which the newest known minute closed; None while there is none."""
        series = self._series.get((symbol, "1m"))
        return None if series is None else series.end

    # -- loading ---------------------------------------------------------------------------

    async def _deep_enough(
        self, symbol: str, interval: str, since: int, when: int, limit: int
    ) -> None:
        """Load from ``since``, and further back if that does not give ``limit`` closed bars."""
        series = await self.ensure(symbol, since, when, interval)
        series.wanted = max(series.wanted, limit)
        missing = limit - series.closed(when)
        if missing > 0 and not series.at_start:
            # The newest bars are late or missing, so the window begins earlier.
            await self.ensure(symbol, series.first - missing * series.step, when, interval)

    async def extend(self, symbol: str, until: int) -> bool:
        """Load 1m bars that close up to ``until``; False when there are no newer ones."""
        series = self.minutes(symbol)
        before = series.size
        async with self._locked(symbol, "1m"):
            await self._forward(series, CandleKey(self.schema.name, symbol, "1m"), until)
        return series.size > before

    async def advance(self, symbol: str, when: int, since: int | None = None) -> bool:
        """Live: wait for the bar closing at ``when``; see `LiveFeed.advance`."""
        return bool(await self.feed.advance(symbol, when, since))

    async def close(self) -> None:
        """End polls that are under way."""
        await self.feed.close()

    async def ensure(self, symbol: str, since: int, until: int, interval: str = "1m") -> BarSeries:
        """Load bars that open from ``since`` on and close up to ``until`` (ms UTC).

        Raises:
            EngineError: nothing is there, it cannot be used, or the exchange failed for good.
        """
        source = CandleKey(self.schema.name, symbol, interval)
        async with self._locked(symbol, interval):
            series = self._series.get((symbol, interval))
            if series is None:
                series = await self._begin(source, since, max(until, self._horizon))
                self._series[symbol, interval] = series
                return series
            if since < series.first and not series.at_start:
                await self._further_back(series, source, since)
            if until > series.loaded_until:
                await self._forward(series, source, max(until, self._horizon))
        return series

    async def _begin(self, source: CandleKey, since: int, until: int) -> BarSeries:
        step = interval_ms(source.interval)
        since, until = since // step * step, until // step * step
        columns = await self._fetcher.fetch(source, since, until)
        if not len(columns.timestamp):
            # The question may fall into a hole, or behind the newest bar.
            since -= (self.settings.max_gap_minutes * MINUTE // step + 1) * step
            columns = await self._fetcher.fetch(source, since, until)
        if not len(columns.timestamp):
            raise NoDataError(
                f"{source}: no candles between {minute_text(since)} and {minute_text(until)}: "
                "check the symbol's name and the dates"
            )
        window = self.settings.avg_price_candles_count if source.interval == "1m" else 0
        series = BarSeries(step, until, window)
        clean = cleaned(columns, source, step, self.settings)
        series.append(self._filled(clean, source, step))
        if series.first > since:
            await self._look_behind(series, source)
        return series

    async def _further_back(self, series: BarSeries, source: CandleKey, since: int) -> None:
        # A strategy that asks ever further back is given twice what it needs, so that requests
        # stay few; what is wrong with bars it did not ask for is none of its business.
        spare = max(series.first - since, WARM_UP_MINUTES * series.step)
        try:
            await self._backward(series, source, series.first - spare)
        except CandleDataError:
            if series.first - spare >= since:
                raise
        if since < series.first and not series.at_start:
            await self._backward(series, source, since)

    async def _look_behind(self, series: BarSeries, source: CandleKey) -> None:
        """Settle whether history starts at the oldest bar, or a hole happens to lie there.

        Without this, VWAP and filled minutes near the start would depend on where loading began.
        One older bar is enough to know, so no more are kept.
        """
        since = series.first - self.settings.max_gap_minutes * MINUTE - series.step
        columns = await self._fetcher.fetch(
            source, since // series.step * series.step, series.first
        )
        if len(columns.timestamp):
            newest = select(columns, np.argmax(columns.timestamp, keepdims=True))
            self._prepend(series, source, cleaned(newest, source, series.step, self.settings))
        else:
            series.at_start = True

    async def _backward(self, series: BarSeries, source: CandleKey, since: int) -> None:
        since = since // series.step * series.step
        columns = await self._fetcher.fetch(source, since, series.first)
        if len(columns.timestamp):
            self._prepend(series, source, cleaned(columns, source, series.step, self.settings))
        if series.first > since:
            await self._look_behind(series, source)

    def _prepend(self, series: BarSeries, source: CandleKey, clean: Columns) -> None:
        joined = concat([clean, select(series.columns, slice(0, 1))])
        filled = self._filled(joined, source, series.step)
        series.prepend(Filled(select(filled.columns, slice(0, -1)), filled.real[:-1]))

    async def _forward(self, series: BarSeries, source: CandleKey, until: int) -> None:
        until = until // series.step * series.step
        start = max(series.end, series.first)
        if until <= start:
            series.loaded_until = max(series.loaded_until, until)
            return
        since = series.oldest_hole(_WATCHED, until) if self._live else start
        columns = await self._fetcher.fetch(source, since, until)
        if since < start:
            columns = self._newer(columns, source, series)
        if len(columns.timestamp):
            before = series.closes_before(MEDIAN_WINDOW)
            clean = cleaned(columns, source, series.step, self.settings, before)
            self._append_filled(series, source, clean)
        # After an outage runs still have to settle what came at once.
        calm = series.end - start <= _CALM * series.step
        if self._live and calm and series.trim(WARM_UP_MINUTES):
            _log.debug("%s: bars before %s are dropped", source, minute_text(series.first))
        # Live, what did not come is late, and asked for again; history does not change.
        reached = series.end if self._live else until
        series.loaded_until = max(series.loaded_until, reached)

    def _append_filled(self, series: BarSeries, source: CandleKey, clean: Columns) -> None:
        if int(clean.timestamp[0]) == series.end:
            series.append(self._filled(clean, source, series.step))
            return
        # The newest known bar goes in front, so that a hole between it and the new rows is seen.
        last = series.size - 1
        joined = concat([select(series.columns, slice(last, last + 1)), clean])
        filled = self._filled(joined, source, series.step)
        series.append(Filled(select(filled.columns, slice(1, None)), filled.real[1:]))

    def _filled(self, clean: Columns, source: CandleKey, step: int) -> Filled:
        limit = self.settings.max_gap_minutes
        hole = long_hole(clean.timestamp, step, limit) if self._live else None
        if hole is None:
            return fill(clean, source, step, limit)
        # A live run that refused to go on would leave its position unwatched for good.
        error = hole_error(source, *hole, limit)
        if source.interval == "1m":
            self._holed(error, source)
        else:
            _log.warning("%s", error)
        return fill(clean, source, step, _ANY_HOLE)

    def _newer(self, columns: Columns, source: CandleKey, series: BarSeries) -> Columns:
        """The rows that follow the newest bar; of real ones for filled bars it is told once."""
        for stamp in series.came_late(columns.timestamp):
            _log.warning(_CAME_LATE, source, minute_text(stamp))
        return select(columns, columns.timestamp >= series.end)

    # -- intervals ---------------------------------------------------------------------------

    def _serves(self, interval: str) -> bool:
        served = self.schema.intervals
        return interval not in self._resampled and (served is None or interval in served)

    def _resample(self, symbol: str, interval: str, step: int) -> None:
        base, key = self.minutes(symbol), (symbol, interval)
        made = self._series[key] = made_of(base, self._series.get(key), step)
        if self._live:
            made.trim(WARM_UP_MINUTES)

    def _cut(self, symbol: str, interval: str, when: int, limit: int) -> Candles:
        series = self._series[symbol, interval]
        found = series.window(when, limit)
        if found is not None:
            return found
        closed = series.closed(when)
        return Candles(series.columns, max(0, closed - limit), closed)

    @asynccontextmanager
    async def _locked(self, symbol: str, interval: str) -> AsyncGenerator[None]:
        lock = self._locks.setdefault((symbol, interval), asyncio.Lock())
        # Whoever holds the lock may be sleeping before a retry: simulated time has to move on.
        with self._clock.waiting():
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _log_failure(error: Exception, source: CandleKey) -> None:
    _log.warning("%s: %s: %s", source, type(error).__name__, error, exc_info=error)
