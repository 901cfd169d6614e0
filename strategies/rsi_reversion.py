"""Reversion: buy what fell too fast, sell what rose too fast, unless the day is one-sided.

Written as a plain function with the plain twins of `engine.sync`: the engine runs it inline in a
backtest and in a thread when live.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np

from engine import Signal, add_strategy
from engine.sync import get_average_price, get_candles

PERIOD = 14
OVERSOLD, OVERBOUGHT = 30.0, 70.0
CALM_HOURS, CALM = 8, 0.015
TAKE_PROFIT, STOP_LOSS = 0.007, 0.009


def rsi(closes: np.ndarray) -> float:
    """Relative strength index by simple means (Cutler), 0 to 100; 50 when nothing moved."""
    moves = np.diff(closes)
    gains, total = moves[moves > 0].sum(), np.abs(moves).sum()
    return float(100 * gains / total) if total > 0 else 50.0


@add_strategy(
    strategy_name="rsi-reversion",
    interval="5m",
    note="Fades RSI extremes of 5m closes, long and short, while the hours are calm",
)
def rsi_reversion(symbol: str, when: datetime) -> Signal | None:
    """A signal against the newest move when it is an extreme one."""
    bars = get_candles(symbol, "5m", PERIOD + 1)
    hours = get_candles(symbol, "1h", CALM_HOURS)
    if len(bars) <= PERIOD or len(hours) < CALM_HOURS:
        return None
    strength = rsi(bars.close)
    if OVERSOLD < strength < OVERBOUGHT:
        return None
    if abs(bars.close[-1] / hours.close.mean() - 1) > CALM:
        return None  # A strong trend may stay extreme for hours.
    price = get_candles(symbol, "1m", 1).close[-1]
    if abs(price / get_average_price(symbol) - 1) > TAKE_PROFIT / 2:
        return None  # Still falling, or still rising: wait until the minutes come to rest.
    side = 1 if strength <= OVERSOLD else -1
    return Signal(
        position="long" if side > 0 else "short",
        price_take_profit=price * (1 + side * TAKE_PROFIT),
        price_stop_loss=price * (1 - side * STOP_LOSS),
        minute_estimated_time=60,
        note=f"RSI {strength:.0f}",
    )
