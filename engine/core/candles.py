"""Turns whatever an exchange returned into clean columns on the grid, or says which row is bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from engine.domain.bars import (
    MEDIAN_WINDOW,
    Bools,
    CandleKey,
    Candles,
    Columns,
    Floats,
    Ints,
    select,
)
from engine.domain.errors import CandleDataError, DataGapError
from engine.domain.ports import CandleRows
from engine.domain.settings import Settings
from engine.domain.time import DAY, MINUTE, minute_text

_FIELDS = ("timestamp", "open", "high", "low", "close", "volume")


class Filled(NamedTuple):
    """Contiguous columns on the grid; ``real`` is False where a flat bar fills a hole."""

    columns: Columns
    real: Bools


def to_columns(rows: CandleRows | None, source: CandleKey) -> Columns:
    """The rows as six columns, in the order they came.

    Raises:
        CandleDataError: something that is not rows, or a row that is not six numbers.
    """
    if isinstance(rows, Candles):
        return rows.columns()
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        kind = type(rows).__name__
        raise CandleDataError(f"{source}: got {kind} instead of a list of candles")
    table = _table(rows, source)
    stamps = table[:, 0]
    finite = np.isfinite(stamps) & (np.abs(stamps) < 2**53)
    whole = finite & (np.where(finite, stamps, 0.0) == np.floor(np.where(finite, stamps, 0.0)))
    if not whole.all():
        at = int(np.argmin(whole))
        raise _bad(source, at, table[at], "timestamp is not a whole number of milliseconds")
    o, h, low, c, v = (table[:, i] for i in range(1, 6))
    return Columns(stamps.astype(np.int64), o, h, low, c, v)


def cleaned(
    columns: Columns, source: CandleKey, step: int, settings: Settings, before: Floats | None = None
) -> Columns:
    """Sorted columns without duplicates, every value checked.

    Args:
        columns: rows as they came.
        source: whose rows they are, for messages.
        step: the interval in ms; open times must be multiples of it.
        settings: thresholds of the anomaly check.
        before: closes that precede these rows (the anomaly check uses up to `MEDIAN_WINDOW`).

    Raises:
        CandleDataError: naming the row and what is wrong with it.
    """
    stamps = columns.timestamp
    if len(stamps) == 1 and before is not None and _plainly_good(columns, step, settings, before):
        return columns
    if len(stamps) > 1 and not (np.diff(stamps) > 0).all():
        columns = _sorted_unique(columns, source)
        stamps = columns.timestamp
    o, h, low, c, v = columns[1:]
    with np.errstate(invalid="ignore"):
        checks: tuple[tuple[Bools, str], ...] = (
            (stamps % step != 0, "open time is off the interval's grid"),
            (~np.isfinite(o + h + low + c + v), "a value is not a finite number"),
            ((o <= 0) | (h <= 0) | (low <= 0) | (c <= 0), "a price is not positive"),
            (v < 0, "volume is negative"),
            (h < low, "high is below low"),
        )
    for broken, reason in checks:
        if broken.any():
            at = int(np.argmax(broken))
            raise _bad(source, at, _row(columns, at), reason)
    _check_anomalies(columns, source, settings, before)
    return columns


def fill(columns: Columns, source: CandleKey, step: int, max_gap_minutes: int) -> Filled:
    """Sorted columns with every hole filled by flat bars at the previous close, volume 0.

    Raises:
        DataGapError: a hole is longer than ``max_gap_minutes``.
    """
    stamps = columns.timestamp
    n = len(stamps)
    if n == 0 or int(stamps[-1]) - int(stamps[0]) == (n - 1) * step:
        return Filled(columns, np.ones(n, dtype=np.bool_))
    hole = long_hole(stamps, step, max_gap_minutes)
    if hole is not None:
        raise gap_error(source, *hole, max_gap_minutes)
    grid: Ints = np.arange(stamps[0], stamps[-1] + step, step, dtype=np.int64)
    at = (stamps - stamps[0]) // step
    real = np.zeros(len(grid), dtype=np.bool_)
    real[at] = True
    # Index of the newest real row at or before every grid point.
    last = np.maximum.accumulate(np.where(real, np.cumsum(real) - 1, 0))
    # A flat bar opens, peaks and closes at the close before the hole.
    closes = columns.close[last]
    o, h, low = (
        np.where(real, column[last], closes) for column in (columns.open, columns.high, columns.low)
    )
    volume = np.where(real, columns.volume[last], 0.0)
    return Filled(Columns(grid, o, h, low, closes, volume), real)


def long_hole(stamps: Ints, step: int, max_gap_minutes: int) -> tuple[int, int] | None:
    """Start and end (ms UTC) of the longest hole in sorted open times; None if it may be filled."""
    if len(stamps) < 2:
        return None
    jumps = np.diff(stamps)
    widest = int(np.argmax(jumps))
    if int(jumps[widest]) - step <= max_gap_minutes * MINUTE:
        return None
    return int(stamps[widest]) + step, int(stamps[widest + 1])


def hole_error(source: CandleKey, start: int, end: int, max_gap_minutes: int) -> DataGapError:
    """What a live run says of a hole from ``start`` to ``end`` (ms UTC) that it met."""
    return DataGapError(
        f"{source}: no candles from {minute_text(start)} to {minute_text(end)}, "
        f"{(end - start) // MINUTE} minutes (max_gap_minutes = {max_gap_minutes}): the runs go on "
        "as if the price had stood still, and what ended in the hole was settled at the last "
        "price before it; a backtest over it is refused unless max_gap_minutes is raised"
    )


def gap_error(source: CandleKey, start: int, end: int, max_gap_minutes: int) -> DataGapError:
    """The error for a hole from ``start`` to ``end`` (ms UTC)."""
    return DataGapError(
        f"{source}: no candles from {minute_text(start)} to {minute_text(end)} "
        f"({(end - start) / DAY:.1f} days); holes of up to max_gap_minutes = "
        f"{max_gap_minutes} are filled. Provide the missing data, choose dates outside the hole, "
        "or raise max_gap_minutes"
    )


def resampled(columns: Columns, real: Bools, step: int, target: int) -> Filled:
    """Contiguous bars of ``step`` ms as bars of ``target`` ms; only whole groups are made.

    A group is real when any of its bars is.
    """
    per = target // step
    skip = int(-(-int(columns.timestamp[0]) // target) * target - columns.timestamp[0]) // step
    groups = max(0, (len(columns.timestamp) - skip) // per)
    cut = slice(skip, skip + groups * per)
    shape = (groups, per)
    part = select(columns, cut)
    merged = Columns(
        part.timestamp.reshape(shape)[:, 0],
        part.open.reshape(shape)[:, 0],
        part.high.reshape(shape).max(axis=1),
        part.low.reshape(shape).min(axis=1),
        part.close.reshape(shape)[:, -1],
        part.volume.reshape(shape).sum(axis=1),
    )
    any_real: Bools = np.logical_or.reduce(real[cut].reshape(shape), axis=1)
    return Filled(merged, any_real)


def _table(rows: Sequence[Any], source: CandleKey) -> Floats:
    if not rows:
        return np.empty((0, 6))
    if isinstance(rows[0], Mapping):
        rows = [_from_mapping(row, at, source) for at, row in enumerate(rows)]
    try:
        table = np.array(rows, dtype=np.float64)
        if table.ndim == 2 and table.shape[1] == 6:
            return table
    except (TypeError, ValueError, OverflowError):
        pass
    for at, row in enumerate(rows):
        cells = _cells(row)
        if len(cells) != 6:
            raise _bad(
                source, at, row, "a candle is six values: ms, open, high, low, close, volume"
            )
        for name, value in zip(_FIELDS, cells, strict=True):
            if not _is_number(value) or abs(value) > 1e300:
                raise _bad(source, at, row, f"{name} is {value!r}, not a number")
    return np.array([[float(value) for value in row] for row in rows], dtype=np.float64)


def _cells(row: Any) -> list[Any]:
    if isinstance(row, str) or not hasattr(row, "__len__"):
        return []
    return [*row]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _from_mapping(row: object, at: int, source: CandleKey) -> list[Any]:
    if not isinstance(row, Mapping):
        raise _bad(source, at, row, "rows mix mappings and sequences")
    fields: Mapping[str, Any] = row  # pyright: ignore[reportUnknownVariableType]
    missing = [name for name in _FIELDS if name not in fields]
    if missing:
        raise _bad(source, at, fields, f"{', '.join(missing)} missing")
    return [fields[name] for name in _FIELDS]


def _sorted_unique(columns: Columns, source: CandleKey) -> Columns:
    order = np.argsort(columns.timestamp, kind="stable")
    table = select(columns, order)
    stamps = table.timestamp
    same = np.flatnonzero(stamps[1:] == stamps[:-1])
    for at in same:
        first, second = (_row(table, int(i)) for i in (at, at + 1))
        if first != second:
            raise _bad(source, int(order[at + 1]), second, "a second, different candle of its time")
    keep = np.ones(len(stamps), dtype=np.bool_)
    keep[same + 1] = False
    return select(table, keep)


def _row(columns: Columns, at: int) -> list[Any]:
    return [column[at].item() for column in columns]


def _check_anomalies(
    columns: Columns, source: CandleKey, settings: Settings, before: Floats | None
) -> None:
    factor = settings.get_candles_price_anomaly_threshold_factor
    closes = columns.close
    if not len(closes):
        return
    if before is not None and len(before):
        closes = np.concatenate([before[-MEDIAN_WINDOW:], closes])
    lead = len(closes) - len(columns.close)
    lowest = np.minimum(columns.low, np.minimum(columns.open, columns.close))
    # No median exceeds the largest close, so one comparison clears almost every series.
    if float(lowest.min()) >= float(closes.max()) / factor:
        return
    for at in np.flatnonzero(lowest < float(closes.max()) / factor):
        preceding = closes[max(0, lead + at - MEDIAN_WINDOW) : lead + at]
        if len(preceding) < settings.get_candles_min_candles_for_median:
            continue
        median = float(np.median(preceding))
        if lowest[at] < median / factor:
            reason = (
                f"price {lowest[at]:g} is more than {factor} times below the median {median:g} of "
                f"the {len(preceding)} preceding closes (an incomplete or wrong candle)"
            )
            raise _bad(source, int(at), _row(columns, int(at)), reason)


def _plainly_good(columns: Columns, step: int, settings: Settings, before: Floats) -> bool:
    """The checks for the one bar a live run gets a minute, cheaply; in doubt False."""
    stamp, *values = _row(columns, 0)
    o, h, low, c, v = values
    least = min(o, h, low, c)
    return (
        stamp % step == 0
        and all(map(isfinite, values))
        and least > 0
        and v >= 0
        and h >= low
        and len(before) > 0
        and least >= float(before.max()) / settings.get_candles_price_anomaly_threshold_factor
    )


def _bad(source: CandleKey, at: int, row: object, reason: str) -> CandleDataError:
    values = _cells(row) or [row]
    shown = ", ".join(_plain(value) for value in values)
    stamp = values[0] if len(values) == 6 and _is_number(values[0]) else None
    time = ""
    if stamp is not None and 0 <= stamp < 4e12:
        time = f" at {minute_text(int(stamp))}"
    return CandleDataError(f"{source}: row {at}{time} [{shown[:200]}]: {reason}")


def _plain(value: Any) -> str:
    item = getattr(value, "item", None)  # numpy scalars print their type as well
    return repr(value if item is None else item())
