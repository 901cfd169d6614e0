"""Fast-forward: finds, in an array of bars, the first one at which the lifecycle would act.

The kernels only *find* bars. What happens at a found bar is decided by
`engine.core.lifecycle`, so that stepping and fast-forwarding cannot disagree on anything but the
index, and a property test compares those.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.domain.bars import Bools, Floats
from engine.domain.settings import Settings
from engine.domain.signals import OpenPosition, Position, ScheduledSignal

_FIRST_CHUNK = 128
_GROWTH = 4


class PriceColumns(NamedTuple):
    """Columns the kernels read: float64 of shape (n,), element i is the bar closing at i."""

    high: Floats
    low: Floats
    vwap: Floats


def first_exit(
    position: OpenPosition, prices: PriceColumns, start: int, stop: int, settings: Settings
) -> int:
    """Index of the first bar in ``[start, stop)`` that hits TP or SL; ``stop`` if none does."""
    row = position.row
    long = row.position is Position.LONG
    upper, lower = (
        (row.price_take_profit, row.price_stop_loss)
        if long
        else (row.price_stop_loss, row.price_take_profit)
    )
    touch = settings.exit_trigger == "touch"
    highs, lows = (prices.high, prices.low) if touch else (prices.vwap, prices.vwap)
    return _first(highs, lows, upper, lower, start, stop)


def first_activity(
    scheduled: ScheduledSignal, prices: PriceColumns, start: int, stop: int, settings: Settings
) -> int:
    """Index of the first bar in ``[start, stop)`` that reaches entry or SL; ``stop`` if none."""
    row = scheduled.row
    touch = settings.exit_trigger == "touch"
    # The stop-loss lies beyond the entry, so a bar that reaches it reaches the entry as well.
    if row.position is Position.LONG:
        return _first(None, prices.low if touch else prices.vwap, 0.0, row.price_open, start, stop)
    return _first(prices.high if touch else prices.vwap, None, row.price_open, 0.0, start, stop)


def milestone_bars(position: OpenPosition, vwap: Floats, start: int, stop: int) -> list[int]:
    """Indexes in ``[start, stop)`` at which a new milestone is reached, ascending.

    Every bar that `engine.core.lifecycle.settle_position` would report one for is listed.
    """
    if start >= stop:
        return []
    row, window = position.row, vwap[start:stop]
    sign = 1.0 if row.position is Position.LONG else -1.0
    gain = (window - row.price_open) * sign
    found: set[int] = set()
    for side, path, level in (
        (gain, abs(row.price_take_profit - row.price_open), position.profit_level),
        (-gain, abs(row.price_open - row.price_stop_loss), position.loss_level),
    ):
        if level >= 100:
            continue
        best = float(side.max())
        if best <= 0 or (path and best / path * 100 < level + 10):
            continue
        reach = np.maximum.accumulate(side / path * 100 if path else np.where(side > 0, 100.0, 0.0))
        levels = np.arange(level + 10, 101, 10)
        at = np.searchsorted(reach, levels, side="left")
        found.update(int(i) for i in at if i < len(window))
    return [start + i for i in sorted(found)]


def _first(
    highs: Floats | None, lows: Floats | None, upper: float, lower: float, start: int, stop: int
) -> int:
    size = _FIRST_CHUNK
    while start < stop:
        end = min(stop, start + size)
        hit: Bools | None = None
        if highs is not None:
            hit = highs[start:end] >= upper
        if lows is not None:
            below = lows[start:end] <= lower
            hit = below if hit is None else hit | below
        if hit is not None:
            at = int(hit.argmax())
            if hit[at]:
                return start + at
        start, size = end, size * _GROWTH
    return stop
