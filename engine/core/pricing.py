"""The two prices of an instant, and what a trade earned."""

from __future__ import annotations

import numpy as np

from engine.domain.bars import Floats
from engine.domain.settings import Settings
from engine.domain.signals import PnL, Position


def vwap_series(high: Floats, low: Floats, close: Floats, volume: Floats, window: int) -> Floats:
    """VWAP at the close of every bar over the last ``window`` bars.

    ``sum((h + l + c) / 3 * v) / sum(v)``, sums taken oldest first; the mean of the closes where
    the summed volume is 0; fewer bars where the arrays start.

    Args:
        high, low, close, volume: float64 columns of shape (n,).
        window: number of bars, at least 1.

    Returns:
        float64 of shape (n,). Every element has the same bits as the plain loop's result, on
        whatever slice it was computed, as long as the slice holds the window's bars.
    """
    n = len(close)
    weighted = (high + low + close) / 3 * volume
    value, weight, closes = (np.zeros(n) for _ in range(3))
    for back in range(min(window, n) - 1, -1, -1):
        # Adding the oldest column first, element by element, keeps the order of a plain loop.
        value[back:] += weighted[: n - back]
        weight[back:] += volume[: n - back]
        closes[back:] += close[: n - back]
    counts = np.minimum(np.arange(1, n + 1), window)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight == 0, closes / counts, value / weight)


def vwap_last(
    high: list[float], low: list[float], close: list[float], volume: list[float]
) -> float:
    """VWAP over all given bars, oldest first: what `vwap_series` gives for its last element.

    A live run gets one bar a minute, for which plain floats are ten times as fast as arrays.
    """
    value = weight = closes = 0.0
    for h, lo, c, v in zip(high, low, close, volume, strict=True):
        value += (h + lo + c) / 3 * v
        weight += v
        closes += c
    return closes / len(close) if weight == 0 else value / weight


def plain_number(value: float) -> str:
    """A number with up to 8 significant digits and no exponent."""
    return np.format_float_positional(value, precision=8, fractional=False, trim="-")


def worse(position: Position, *, entering: bool, first: float, second: float) -> float:
    """The less favourable of two prices: higher for who buys, lower for who sells."""
    buying = (position is Position.LONG) is entering
    return max(first, second) if buying else min(first, second)


def pnl(position: str, price_open: float, price_close: float, settings: Settings) -> PnL:
    """Profit in percent of the entry: both prices worsened by slippage, minus two fees.

    Args:
        position: ``long`` or ``short``.
        price_open, price_close: booked prices.
        settings: for ``percent_slippage`` and ``percent_fee`` (percent per side).
    """
    slip = settings.percent_slippage / 100
    fees = 2 * settings.percent_fee
    if position == Position.LONG:
        opened, closed = price_open * (1 + slip), price_close * (1 - slip)
        percent = (closed - opened) / opened * 100 - fees
    else:
        opened, closed = price_open * (1 - slip), price_close * (1 + slip)
        percent = (opened - closed) / opened * 100 - fees
    return PnL(percent, price_open, price_close, opened, closed)
