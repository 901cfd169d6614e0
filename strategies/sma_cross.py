"""Moving-average cross: trade with the trend when a fast average crosses a slow one.

The five-minute bars give the moment, the hourly bars the direction: a cross upwards is taken only
above the mean of the last hours, a cross downwards only below it. Every signal carries a bracket
in percent of the price and expires, so that a market going nowhere is left after an hour or so.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np

from engine import Signal, add_strategy, get_candles

TREND_HOURS = 24


def spread(closes: np.ndarray, fast: int, slow: int) -> float:
    """Fast minus slow simple moving average at the newest close."""
    return float(closes[-fast:].mean() - closes[-slow:].mean())


@add_strategy(
    strategy_name="sma-cross",
    interval="5m",
    note="SMA cross on 5m closes, in the direction of the day, with a bracket",
    params={"fast": 5, "slow": 15, "take_profit": 0.9, "stop_loss": 0.8},
)
async def sma_cross(
    symbol: str, when: datetime, fast: int, slow: int, take_profit: float, stop_loss: float
) -> Signal | None:
    """A signal when the averages have crossed within the newest five-minute bar."""
    bars = await get_candles(symbol, "5m", slow + 1)
    hours = await get_candles(symbol, "1h", TREND_HOURS)
    if len(bars) <= slow or len(hours) < TREND_HOURS:
        return None  # History starts too late to tell.
    before, now = spread(bars.close[:-1], fast, slow), spread(bars.close, fast, slow)
    price = (await get_candles(symbol, "1m", 1)).close[-1]
    trend = price - hours.close.mean()
    if before <= 0 < now and trend > 0:
        position, side = "long", 1
    elif before >= 0 > now and trend < 0:
        position, side = "short", -1
    else:
        return None
    return Signal(
        position=position,
        price_take_profit=price * (1 + side * take_profit / 100),
        price_stop_loss=price * (1 - side * stop_loss / 100),
        minute_estimated_time=75,
        note=f"SMA({fast}) crossed SMA({slow}), {abs(trend) / price:.2%} from the day's mean",
    )
