"""Bars, and an exchange that has them, for the tests of the candle cache."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from engine.adapters.cache.sidecar import CandleKey
from engine.adapters.cache.stretches import Part, Stretches
from engine.domain.bars import Candles, Columns, Ints, select
from engine.domain.time import MINUTE, parse_instant, to_ms

T0 = parse_instant("2024-01-01")
KEY = CandleKey("binance", "BTC/USDT", "1m")
_MIXER = 0x9E3779B97F4A7C15


def minutes(*numbers: int) -> list[int]:
    return [T0 + number * MINUTE for number in numbers]


def bars_at(stamps: Sequence[int] | Ints, salt: int = 0) -> Columns:
    """Good bars at the given open times; each depends on its time and ``salt`` alone."""
    at = np.asarray(stamps, dtype=np.int64)
    mixed = (at.astype(np.uint64) + np.uint64(salt)) * np.uint64(_MIXER)
    share = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    close = 100.0 + share
    return Candles.from_columns(
        at, close - 0.3, close + 0.7, close - 0.9, close, 10.0 * share
    ).columns()


def bars(first: int, count: int, missing: Sequence[int] = ()) -> Columns:
    """``count`` minutes from minute ``first`` after T0 on, without some of them."""
    return bars_at([T0 + m * MINUTE for m in range(first, first + count) if m not in missing])


def part(first: int, count: int, missing: Sequence[int] = ()) -> Part:
    """Those bars as a part that covers all of them and its holes."""
    return Part(bars(first, count, missing), stretch(first, count))


def stretch(first: int, count: int) -> Stretches:
    return ((T0 + first * MINUTE, T0 + (first + count) * MINUTE),)


def rows(columns: Columns) -> Candles:
    return Candles(columns)


class ExactExchange:
    """An exchange that keeps the protocol to the letter, as real ones do in good hours.

    The bar that is forming is served with changing values, and one that closed less than three
    minutes ago is still corrected; ``calls`` are the requests it has answered.
    """

    def __init__(self, stamps: Sequence[int], now: int) -> None:
        self.stamps: Ints = np.asarray(sorted(stamps), dtype=np.int64)
        self.now = now
        self.calls: list[tuple[int, int]] = []
        self.failing: Exception | None = None
        self.at_most = 10**9

    def present(self) -> int:
        return self.now

    async def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Candles:
        self.calls.append((to_ms(since), limit))
        if self.failing is not None:
            raise self.failing
        return self.answer(to_ms(since), limit)

    def answer(self, since: int, limit: int) -> Candles:
        """What it gives, without counting as a request."""
        chosen = self.stamps[(self.stamps >= since) & (self.stamps <= self.now)]
        chosen = chosen[: min(limit, self.at_most)]
        young = chosen + 4 * MINUTE > self.now
        settled = select(bars_at(chosen), ~young)
        moving = select(bars_at(chosen, salt=self.now), young)
        return Candles.from_columns(
            *(np.concatenate(pair) for pair in zip(settled, moving, strict=True))
        )

    def format_price(self, symbol: str, price: float) -> str:
        return f"{symbol} {price:.2f}"

    def format_quantity(self, symbol: str, quantity: float) -> str:
        return f"{symbol} {quantity:.3f}"

    def intervals(self) -> frozenset[str]:
        return frozenset({"1m"})

    def symbols(self) -> tuple[str, ...]:
        return (KEY.symbol,)

    def history(self) -> tuple[int, int]:
        return int(self.stamps[0]), int(self.stamps[-1]) + MINUTE

    async def close(self) -> None:
        self.failing = RuntimeError("closed")
