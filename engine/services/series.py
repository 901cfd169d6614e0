"""A growing, gapless series of bars on one interval's grid, and windows into it."""

from __future__ import annotations

import hashlib

import numpy as np

from engine.core.candles import Filled, resampled
from engine.core.exits import PriceColumns
from engine.core.lifecycle import BarClose
from engine.core.pricing import vwap_last, vwap_series
from engine.domain.bars import Bools, Candles, Columns, Floats, Ints, concat, select

_FEW = 3
"""Up to so many new bars, plain floats are faster than arrays."""


class BarSeries:
    """Contiguous bars: bar ``i`` opened at ``first + i * step`` (ms UTC).

    Attributes:
        loaded_until: the exchange has been asked for everything that closes up to here.
        at_start: True when history does not reach further back.
        wanted: the longest window asked for that was not simply there.
        vwap: VWAP at each bar's close, when the series was made with a ``vwap_window``.
        real: False for bars that fill a hole.
        base_first: for a resampled series, the first bar of the series it was made from.
        columns: read-only storage; only its first ``size`` elements are bars.
    """

    __slots__ = (
        "_buffers", "_capacity", "_late", "_looked", "_window", "at_start", "base_first", "columns",
        "first", "loaded_until", "real", "size", "step", "vwap", "wanted",
    )  # fmt: skip

    def __init__(self, step: int, loaded_until: int, vwap_window: int = 0) -> None:
        self.step = step
        self.first = 0
        self.size = 0
        self.loaded_until = loaded_until
        self.at_start = False
        self.wanted = 0
        self.base_first = 0
        self._window = vwap_window
        self._capacity = 0
        self._late: set[int] = set()
        self._looked = 0
        self._buffers = Candles.empty().columns()
        self.real: Bools = np.empty(0, dtype=np.bool_)
        self.columns = Candles.empty().columns()
        self.vwap: Floats = np.empty(0)

    @property
    def end(self) -> int:
        """The instant at which the newest bar closes; ``first`` while there is none."""
        return self.first + self.size * self.step

    def closed(self, when: int) -> int:
        """How many bars have closed at ``when``."""
        return max(0, min(self.size, (when - self.first) // self.step))

    def window(self, when: int, limit: int) -> Candles | None:
        """The newest ``limit`` bars visible at ``when``; None if some still have to be loaded."""
        closed = (when - self.first) // self.step
        if closed > self.size:
            if self.loaded_until < self.first + closed * self.step:
                return None
            closed = self.size
        start = closed - limit
        if start < 0:
            if not self.at_start:
                return None
            start = 0
        return Candles(self.columns, start, max(start, closed))

    def bar(self, index: int, *, market_is_vwap: bool) -> BarClose:
        """Bar ``index`` with the prices at the instant it closes."""
        c = self.columns
        close, vwap = float(c.close[index]), float(self.vwap[index])
        return BarClose(
            self.first + (index + 1) * self.step,
            float(c.open[index]),
            float(c.high[index]),
            float(c.low[index]),
            close,
            vwap,
            vwap if market_is_vwap else close,
        )

    def prices(self) -> PriceColumns:
        """The columns that the fast-forward kernels scan."""
        return PriceColumns(self.columns.high, self.columns.low, self.vwap)

    def closes_before(self, count: int) -> Floats:
        """Up to ``count`` newest closes."""
        return self.columns.close[max(0, self.size - count) : self.size]

    def came_late(self, stamps: Ints) -> list[int]:
        """Those open times (ms UTC) at which a filled bar stands; each is answered once only."""
        found: list[int] = []
        for stamp in stamps[stamps < self.end].tolist():
            index, rest = divmod(stamp - self.first, self.step)
            if not rest and index >= 0 and not self.real[index] and stamp not in self._late:
                self._late.add(stamp)
                found.append(stamp)
        return found

    def oldest_hole(self, newest: int, until: int) -> int:
        """Open of the oldest filled one among the newest bars, ms UTC; `end` if there is none.

        It is worth looking at once for each ``until`` (ms UTC), the instant bars are wanted up to:
        asked again, the answer is `end`.
        """
        if until == self._looked:
            return self.end
        self._looked = until
        start = max(0, self.size - newest)
        real = self.real[start : self.size]
        if real.all():
            return self.end
        return self.first + (start + int(real.argmin())) * self.step

    def any_real(self, start: int, end: int) -> bool:
        """Whether one of the bars that open in ``[start, end)`` (ms UTC) fills no hole."""
        cut = slice(max(0, (start - self.first) // self.step), self.closed(end))
        return bool(self.real[cut].any())

    def pad(self, until: int) -> None:
        """Add flat bars at the newest close up to ``until`` (ms UTC): nothing was traded."""
        count = (until - self.end) // self.step
        if count <= 0:
            return
        stamps = self.end + np.arange(count, dtype=np.int64) * self.step
        price = np.full(count, self.columns.close[self.size - 1])
        flat = Columns(stamps, price, price, price, price, np.zeros(count))
        self.append(Filled(flat, np.zeros(count, dtype=np.bool_)))

    def append(self, filled: Filled) -> None:
        """Add bars that follow the newest one without a hole."""
        extra = len(filled.columns.timestamp)
        if not extra:
            return
        if not self.size:
            self.first = int(filled.columns.timestamp[0])
        size = self.size + extra
        if size > self._capacity:
            self._grow(size)
        for buffer, column in zip(self._buffers, filled.columns, strict=True):
            buffer[self.size : size] = column
        self.real[self.size : size] = filled.real
        old, self.size = self.size, size
        self._refresh_vwap(old)

    def prepend(self, filled: Filled) -> None:
        """Add bars that precede the oldest one without a hole."""
        joined = concat([filled.columns, select(self.columns, slice(0, self.size))])
        real = np.concatenate([filled.real, self.real[: self.size]])
        self.size = self._capacity = 0
        self.append(Filled(joined, real))

    def trim(self, spare: int) -> bool:
        """Drop old bars once there are twice as many as are wanted; whether any were dropped.

        A live series would otherwise grow for as long as the process runs. What was dropped and is
        asked for again is loaded again.

        Args:
            spare: bars to keep beside twice the longest window that was asked for.
        """
        keep = max(2 * self.wanted + spare, self._window)
        if self.size < 2 * keep:
            return False
        cut = slice(self.size - keep, self.size)
        kept, real, vwap = select(self.columns, cut), self.real[cut], self.vwap[cut]
        self.first += (self.size - keep) * self.step
        self.at_start = False
        self._late = {stamp for stamp in self._late if stamp >= self.first}
        self.size = self._capacity = 0
        self._grow(2 * keep)
        for buffer, column in zip(self._buffers, kept, strict=True):
            buffer[:keep] = column
        self.real[:keep] = real
        if self._window:
            self.vwap[:keep] = vwap  # computed from bars that are gone: to be kept, not made again
        self.size = keep
        return True

    def sha256(self, start: int, end: int) -> str:
        """Hash of the real bars that open in ``[start, end)`` (ms UTC)."""
        digest = hashlib.sha256()
        cut = self._between(start, end)
        mask = self.real[cut]
        for column in self.columns:
            digest.update(np.ascontiguousarray(column[cut][mask]).tobytes())
        return digest.hexdigest()

    def filled_between(self, start: int, end: int) -> int:
        """How many bars that open in ``[start, end)`` fill holes."""
        return int((~self.real[self._between(start, end)]).sum())

    def _between(self, start: int, end: int) -> slice:
        """Where the bars are that open from ``start`` on and have closed by ``end`` (ms UTC)."""
        first = max(0, -(-(start - self.first) // self.step))
        return slice(first, max(first, self.closed(end)))

    def _grow(self, size: int) -> None:
        # An eighth: a backtest grows once, by what lies behind its frame, and is kept for reports.
        capacity = size if not self.size else max(size, self._capacity * 9 // 8, 1024)
        kept = select(self.columns, slice(0, self.size))
        fresh = Columns(
            np.empty(capacity, dtype=np.int64),
            *(np.empty(capacity) for _ in range(5)),  # type: ignore[arg-type]
        )
        for new, old in zip(fresh, kept, strict=True):
            new[: self.size] = old
        real = np.zeros(capacity, dtype=np.bool_)
        real[: self.size] = self.real[: self.size]
        vwap = np.full(capacity if self._window else 0, np.nan)
        if self._window:
            vwap[: self.size] = self.vwap[: self.size]
        self._buffers, self.real, self.vwap, self._capacity = fresh, real, vwap, capacity
        views = select(fresh, slice(None))
        for view in views:
            view.flags.writeable = False
        self.columns = views

    def _refresh_vwap(self, old: int) -> None:
        if not self._window:
            return
        c = self.columns
        if self.size - old <= _FEW:
            for at in range(old, self.size):
                cut = slice(max(0, at - self._window + 1), at + 1)
                window = (c.high[cut], c.low[cut], c.close[cut], c.volume[cut])
                self.vwap[at] = vwap_last(*(column.tolist() for column in window))
            return
        start = max(0, old - self._window + 1)
        cut = slice(start, self.size)
        fresh = vwap_series(c.high[cut], c.low[cut], c.close[cut], c.volume[cut], self._window)
        self.vwap[old : self.size] = fresh[old - start :]


def made_of(base: BarSeries, before: BarSeries | None, step: int) -> BarSeries:
    """A series of a higher interval, made of the bars of a lower one.

    Args:
        base: the bars.
        before: the answer for fewer of them, which is added to where possible.
        step: the higher interval in ms.
    """
    series, start = before, 0
    if series is None or base.first < series.base_first:
        series = BarSeries(step, 0)
    elif series.size:
        start = (series.end - base.first) // base.step
    cut = slice(start, base.size)
    if base.size > start:
        part = select(base.columns, cut)
        series.append(resampled(part, base.real[cut], base.step, step))
    series.base_first = base.first
    series.at_start = base.at_start
    series.loaded_until = base.loaded_until // step * step
    return series
