"""Candles as the engine keeps them: read-only numpy columns on an interval's grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from engine.domain.errors import SchemaError
from engine.domain.time import MINUTE

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

INTERVAL_MINUTES: Final[dict[str, int]] = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360,
    "8h": 480, "12h": 720, "1d": 1440, "3d": 4320,
}  # fmt: skip
"""Minutes of every interval name the engine knows."""

SIGNAL_INTERVALS: Final = ("1m", "3m", "5m", "15m", "30m", "1h")
CANDLE_INTERVALS: Final = (*SIGNAL_INTERVALS, "2h", "4h", "6h", "8h")
FRAME_INTERVALS: Final = tuple(INTERVAL_MINUTES)

MEDIAN_WINDOW: Final = 60
"""Closes before a bar among which the check for anomalous prices takes the median."""


def interval_ms(interval: str, allowed: Sequence[str] = FRAME_INTERVALS) -> int:
    """Length of an interval in milliseconds.

    Raises:
        SchemaError: the name is not one of ``allowed``.
    """
    if interval not in allowed:
        raise SchemaError(f"interval {interval!r} is unknown: use one of {', '.join(allowed)}")
    return INTERVAL_MINUTES[interval] * MINUTE


class CandleKey(NamedTuple):
    """Whose bars: an exchange's name, a symbol, and an interval."""

    exchange_name: str
    symbol: str
    interval: str

    def __str__(self) -> str:
        return f"exchange {self.exchange_name!r}, {self.symbol} {self.interval}"

    @property
    def step(self) -> int:
        """The interval in ms."""
        return INTERVAL_MINUTES[self.interval] * MINUTE


class Candle(NamedTuple):
    """One bar; ``timestamp`` is its *open* time in ms UTC."""

    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Columns(NamedTuple):
    """Six equally long columns, the storage behind one or many `Candles` views."""

    timestamp: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


def select(columns: Columns, index: slice | Bools | Ints) -> Columns:
    """The chosen rows of all six columns (a slice gives views)."""
    c = columns
    return Columns(
        c.timestamp[index], c.open[index], c.high[index], c.low[index], c.close[index],
        c.volume[index],
    )  # fmt: skip


def concat(parts: Sequence[Columns]) -> Columns:
    """Rows of several column sets, one after the other."""
    return Columns(
        np.concatenate([part.timestamp for part in parts]),
        np.concatenate([part.open for part in parts]),
        np.concatenate([part.high for part in parts]),
        np.concatenate([part.low for part in parts]),
        np.concatenate([part.close for part in parts]),
        np.concatenate([part.volume for part in parts]),
    )


def _read_only(values: Floats | Sequence[float], size: int) -> Floats:
    column: Floats = np.asarray(values, dtype=np.float64).view()
    if column.shape != (size,):
        raise SchemaError(f"columns differ in shape: {column.shape} against {(size,)}")
    column.flags.writeable = False
    return column


class Candles(Sequence[Candle]):
    """A window of bars, oldest first, as read-only numpy columns.

    The window is a view: making one, or slicing one, copies nothing, and a column is cut out
    when it is first read. ``timestamp`` is int64 (bar open, ms UTC), the others are float64.
    """

    __slots__ = ("_columns", "_start", "_stop")

    def __init__(self, columns: Columns, start: int = 0, stop: int | None = None) -> None:
        self._columns = columns
        self._start = start
        self._stop = len(columns.timestamp) if stop is None else stop

    @classmethod
    def from_columns(
        cls,
        timestamp: Ints | Sequence[int],
        open: Floats | Sequence[float],
        high: Floats | Sequence[float],
        low: Floats | Sequence[float],
        close: Floats | Sequence[float],
        volume: Floats | Sequence[float],
    ) -> Candles:
        """Candles over six columns of equal length; arrays are viewed read-only, not copied.

        Args:
            timestamp: open times, ms UTC, ascending.
            open, high, low, close: prices, one per bar.
            volume: what was traded, one per bar.

        Returns:
            The bars.
        """
        stamps: Ints = np.asarray(timestamp, dtype=np.int64).view()
        stamps.flags.writeable = False
        o, h, lo, c, v = (_read_only(x, len(stamps)) for x in (open, high, low, close, volume))
        return cls(Columns(stamps, o, h, lo, c, v))

    @classmethod
    def empty(cls) -> Candles:
        """No bars at all."""
        return cls.from_columns([], [], [], [], [], [])

    @property
    def timestamp(self) -> Ints:
        """Open times, ms UTC, shape (n,)."""
        return self._columns.timestamp[self._start : self._stop]

    @property
    def open(self) -> Floats:
        """Open prices, shape (n,)."""
        return self._columns.open[self._start : self._stop]

    @property
    def high(self) -> Floats:
        """High prices, shape (n,)."""
        return self._columns.high[self._start : self._stop]

    @property
    def low(self) -> Floats:
        """Low prices, shape (n,)."""
        return self._columns.low[self._start : self._stop]

    @property
    def close(self) -> Floats:
        """Close prices, shape (n,)."""
        return self._columns.close[self._start : self._stop]

    @property
    def volume(self) -> Floats:
        """Volumes, shape (n,)."""
        return self._columns.volume[self._start : self._stop]

    def columns(self) -> Columns:
        """The six columns of this window, as views."""
        return select(self._columns, slice(self._start, self._stop))

    def __len__(self) -> int:
        return self._stop - self._start

    @overload
    def __getitem__(self, index: int) -> Candle: ...
    @overload
    def __getitem__(self, index: slice) -> Candles: ...
    def __getitem__(self, index: int | slice) -> Candle | Candles:
        size = self._stop - self._start
        if isinstance(index, slice):
            start, stop, step = index.indices(size)
            if step == 1:
                return Candles(self._columns, self._start + start, self._start + max(start, stop))
            return Candles(select(self.columns(), index))
        if not -size <= index < size:
            raise IndexError(f"candle {index} of {size}")
        at = self._start + (index if index >= 0 else size + index)
        c = self._columns
        return Candle(
            int(c.timestamp[at]), float(c.open[at]), float(c.high[at]), float(c.low[at]),
            float(c.close[at]), float(c.volume[at]),
        )  # fmt: skip

    def __iter__(self) -> Iterator[Candle]:
        c = self.columns()
        return map(
            Candle,
            c.timestamp.tolist(), c.open.tolist(), c.high.tolist(), c.low.tolist(),
            c.close.tolist(), c.volume.tolist(),
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Candles):
            return NotImplemented
        return len(self) == len(other) and all(
            np.array_equal(mine, theirs)
            for mine, theirs in zip(self.columns(), other.columns(), strict=True)
        )

    def __hash__(self) -> int:
        raise TypeError("Candles are compared by content and cannot be hashed")

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Candles.from_columns, tuple(np.array(column) for column in self.columns()))

    def __repr__(self) -> str:
        if not len(self):
            return "Candles(0)"
        return f"Candles({len(self)}, first={self[0]}, last={self[-1]})"
