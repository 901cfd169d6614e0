"""Strategies that decide by nothing but the bars they see, so that a backtest can repeat them.

They trade often and for short: what is looked for are exits that were missed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TypeAlias

from engine import Signal, get_candles

MINUTES_ONLY = "DOGEUSDT"
"""A symbol whose minutes may appear after newer ones: an exchange's higher bars change with them,
so that what a run saw cannot be asked for again."""

Strategy: TypeAlias = Callable[[str, datetime], Awaitable[Signal | None]]


def _around(price: float, rising: bool, percent: float, minutes: int, **more: float) -> Signal:
    """A position of this symbol with both levels ``percent`` away from ``price``."""
    gain = percent / 100 * (1 if rising else -1)
    side = "long" if rising else "short"
    return Signal(side, price * (1 + gain), price * (1 - gain), minutes, **more)


async def drift(symbol: str, when: datetime) -> Signal:
    """With the last ten minutes."""
    close = (await get_candles(symbol, "1m", 10)).close
    return _around(float(close[-1]), bool(close[-1] > close.mean()), 0.45, 25)


async def limit(symbol: str, when: datetime) -> Signal:
    """Waits for a better price than there is."""
    close = (await get_candles(symbol, "1m", 30)).close
    rising = bool(close[-1] > close.mean())
    price = float(close[-1]) * (0.9985 if rising else 1.0015)
    return _around(price, rising, 0.5, 30, price_open=price)


async def calm(symbol: str, when: datetime) -> Signal | None:
    """Against the last hour, unless it was violent."""
    bars = await get_candles(symbol, "1m", 60)
    if bars.high.max() / bars.low.min() > 1.03:
        return None
    close = bars.close
    return _around(float(close[-1]), bool(close[-1] < close.mean()), 0.6, 15)


async def quarter(symbol: str, when: datetime) -> Signal:
    """With the last hour as the exchange's own bars of a quarter of an hour tell it."""
    form = ("1m", 60) if symbol == MINUTES_ONLY else ("15m", 4)
    before = float((await get_candles(symbol, *form)).open[0])
    price = float((await get_candles(symbol, "1m", 1)).close[-1])
    return _around(price, price > before, 0.5, 40)


STRATEGIES: Mapping[str, tuple[str, Strategy]] = {
    "drift": ("1m", drift),
    "limit": ("1m", limit),
    "calm": ("5m", calm),
    "quarter": ("1m", quarter),
}
"""By name: how often each is asked, and its function."""
