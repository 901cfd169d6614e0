"""Candles as an exchange shows them at an instant: the closed ones, and the one that is forming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Protocol

import numpy as np

from engine.adapters.exchanges.precision import decimals_of, fixed
from engine.domain.bars import INTERVAL_MINUTES, Candle, Candles
from engine.domain.time import MINUTE, from_ms, to_ms


class BarSource(Protocol):
    """Final one-minute bars, of the past and the future alike."""

    def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Candles: ...

    def format_price(self, symbol: str, price: float) -> str: ...

    def format_quantity(self, symbol: str, quantity: float) -> str: ...

    def symbols(self) -> Sequence[str]: ...


class HeldBars:
    """Given one-minute candles by symbol."""

    def __init__(self, candles: Mapping[str, Candles]) -> None:
        self._candles = dict(candles)

    def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Candles:
        bars = self._candles[symbol]
        start = int(np.searchsorted(bars.timestamp, to_ms(since)))
        return bars[start : start + limit]

    def format_price(self, symbol: str, price: float) -> str:
        return fixed(price, decimals_of(self._candles[symbol].close, 2))

    def format_quantity(self, symbol: str, quantity: float) -> str:
        return fixed(quantity, decimals_of(self._candles[symbol].volume, 3))

    def symbols(self) -> Sequence[str]:
        return tuple(self._candles)


def forming(bar: Candle, now: int, source: BarSource, symbol: str) -> Candle:
    """A one-minute bar as it stands at ``now``, somewhere between its open and its close."""
    share = (now - bar.timestamp) / MINUTE
    if share >= 1:
        return bar

    def price(value: float) -> float:
        return float(source.format_price(symbol, value))

    last = price(bar.open + (bar.close - bar.open) * share)
    high = max(bar.open, last, bar.high if share > 0.5 else last)
    low = min(bar.open, last, bar.low if share > 0.7 else last)
    volume = float(source.format_quantity(symbol, bar.volume * share))
    return Candle(bar.timestamp, bar.open, high, low, last, volume)


def merged(bars: Sequence[Candle], minutes: int) -> list[Candle]:
    """One-minute bars as bars of ``minutes``; empty stretches stay empty."""
    step = minutes * MINUTE
    result: list[Candle] = []
    for start, group in groupby(bars, lambda bar: bar.timestamp // step * step):
        part = list(group)
        result.append(
            Candle(
                start, part[0].open, max(bar.high for bar in part), min(bar.low for bar in part),
                part[-1].close, sum(bar.volume for bar in part),
            )
        )  # fmt: skip
    return result


def shown(
    source: BarSource, symbol: str, interval: str, now: int, start: int | None, end: int | None,
    limit: int,
) -> list[Candle]:  # fmt: skip
    """What an exchange answers at ``now`` (ms UTC): up to ``limit`` bars, oldest first.

    Args:
        source: the bars there are.
        symbol: of the bars.
        interval: of the bars.
        now: the exchange's clock; nothing that opens later is shown.
        start: open of the first bar; None for the newest bars.
        end: bars open at or before it; None for no bound.
        limit: how many.
    """
    minutes = INTERVAL_MINUTES[interval]
    step = minutes * MINUTE
    until = now if end is None else min(now, end)
    if start is None:
        start = (until // step - limit + 1) * step
    first = -(-start // step) * step
    found = source.get_candles(symbol, "1m", from_ms(first), limit * minutes)
    bars = [bar for bar in found if bar.timestamp <= now]
    if bars:
        bars[-1] = forming(bars[-1], now, source, symbol)
    whole = bars if minutes == 1 else merged(bars, minutes)
    return [bar for bar in whole if bar.timestamp <= until][:limit]
