"""Breakout and retest: wait for the price to come back to the level it has just broken.

When the price leaves the range of the last hour, the broken edge often turns from
resistance into support. Instead of chasing the move at market, the signal is scheduled: its
`price_open` is the edge itself, so a position opens only if the price returns there, and the
signal lapses by itself if it does not. An edge is worth a retest only if the hourly closes
already lean the way it was broken.
"""

from __future__ import annotations

from datetime import datetime

from engine import Signal, add_strategy, get_average_price, get_candles

RANGE_MINUTES = 60
FRESH_MINUTES = 15
TREND_HOURS = 6
LEAST_RISK, MOST_RISK = 0.008, 0.03
REWARD = 1.0


@add_strategy(
    strategy_name="breakout",
    interval="5m",
    note="Scheduled entry at the edge of the range that was just broken",
)
async def breakout(symbol: str, when: datetime) -> Signal | None:
    """A scheduled signal when the price is outside the range before it."""
    minutes = await get_candles(symbol, "1m", RANGE_MINUTES + FRESH_MINUTES)
    hours = await get_candles(symbol, "1h", TREND_HOURS)
    if len(minutes) < RANGE_MINUTES + FRESH_MINUTES or len(hours) < TREND_HOURS:
        return None
    ceiling = minutes.high[:RANGE_MINUTES].max()
    floor = minutes.low[:RANGE_MINUTES].min()
    # The average is what the engine watches: were it still inside, the entry would fill at once.
    price, average = minutes.close[-1], await get_average_price(symbol)
    lean = price - hours.close.mean()
    if min(price, average) > ceiling and lean > 0:
        position, side, edge = "long", 1, ceiling
    elif max(price, average) < floor and lean < 0:
        position, side, edge = "short", -1, floor
    else:
        return None
    # Half the range inside again, the breakout has failed.
    risk = min(max((ceiling - floor) / 2, LEAST_RISK * edge), MOST_RISK * edge)
    return Signal(
        position=position,
        price_open=edge,
        price_take_profit=edge + side * REWARD * risk,
        price_stop_loss=edge - side * risk,
        minute_estimated_time=90,
        note=f"retest of the edge of the last {RANGE_MINUTES} minutes",
    )
