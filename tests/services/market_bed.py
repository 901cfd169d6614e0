"""Exchanges with manners, good and bad, over rows in memory; and windows worked out by a loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.domain.bars import Candle, interval_ms
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings
from engine.domain.time import to_ms
from engine.services.clock import SimulatedClock
from engine.services.market import Market

T0 = 1_704_067_200_000
MINUTE = 60_000
FAR = T0 + 10_000_000 * MINUTE
"""A "now" long after every bar."""


def row(minute: int, price: float = 100.0, volume: float = 1.0) -> Candle:
    """A bar opened ``minute`` minutes after T0."""
    return Candle(T0 + minute * MINUTE, price, price + 1, price - 1, price + 0.5, volume)


@dataclass
class MemoryExchange:
    """Serves ``rows`` (1m, ascending) and, if told so, other intervals made of them.

    Attributes:
        page: most rows in an answer.
        ignores_limit: answers with everything from ``since`` on.
        earlier: rows before ``since`` that come as well.
        forming: adds the bar that is still open, with wild values, to every answer.
        others: what happens to other intervals: ``serve``, ``raise``, ``empty``, or
            ``minutes`` (the interval is ignored).
        calls: every (interval, minute of since, limit) asked for.
    """

    rows: Sequence[Candle]
    clock: SimulatedClock
    page: int = 1_000_000
    ignores_limit: bool = False
    earlier: int = 0
    forming: bool = False
    others: str = "raise"
    calls: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])

    def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Any:
        first = to_ms(since)
        self.calls.append((interval, (first - T0) // MINUTE, limit))
        step = interval_ms(interval)
        rows = list(self.rows)
        if interval != "1m":
            if self.others == "raise":
                raise ValueError(f"no such interval: {interval}")
            if self.others == "empty":
                return []
            if self.others == "serve":
                rows = grouped(rows, step)
            else:
                step = MINUTE
        now = self.clock.now()
        closed = [candle for candle in rows if candle.timestamp + step <= now]
        at = next((i for i, c in enumerate(closed) if c.timestamp >= first), len(closed))
        most = len(closed) if self.ignores_limit else min(limit, self.page)
        found = closed[max(0, at - self.earlier) : at + most]
        if self.forming and len(found) < most:
            found.append(Candle(now // step * step, 1e6, 2e6, 9e5, 1.5e6, 1e9))
        return found

    def market(self, *, served: Sequence[str] | None = ("1m",), horizon: int = 0) -> Market:
        intervals = None if served is None else tuple(served)
        schema = ExchangeSchema(
            exchange_name="memory", get_candles=self.get_candles, intervals=intervals
        )
        return Market(schema, Settings(), self.clock, horizon)


def grouped(rows: Sequence[Candle], step: int) -> list[Candle]:
    """Bars of ``step`` ms over whatever rows there are, as an exchange makes them."""
    groups: dict[int, list[Candle]] = {}
    for candle in rows:
        groups.setdefault(candle.timestamp // step * step, []).append(candle)
    return [merged(stamp, part) for stamp, part in sorted(groups.items())]


def merged(stamp: int, part: Sequence[Candle]) -> Candle:
    return Candle(
        stamp, part[0].open, max(c.high for c in part), min(c.low for c in part), part[-1].close,
        sum(c.volume for c in part),
    )  # fmt: skip


def filled(rows: Sequence[Candle], step: int = MINUTE) -> list[Candle]:
    """The rows with flat bars in their holes."""
    found: list[Candle] = []
    for candle in rows:
        while found and found[-1].timestamp + step < candle.timestamp:
            last = found[-1].close
            found.append(Candle(found[-1].timestamp + step, last, last, last, last, 0.0))
        found.append(candle)
    return found


def window(rows: Sequence[Candle], interval: str, when: int, limit: int) -> list[Candle]:
    """The newest ``limit`` bars of ``interval`` that have closed at ``when``, from 1m rows."""
    step = interval_ms(interval)
    minutes = filled(rows)
    if interval == "1m":
        bars = minutes
    else:
        per = step // MINUTE
        bars = [b for b in grouped(minutes, step) if _whole(minutes, b.timestamp, per)]
    return [b for b in bars if b.timestamp + step <= when][-limit:]


def _whole(minutes: Sequence[Candle], stamp: int, per: int) -> bool:
    first = (stamp - minutes[0].timestamp) // MINUTE
    return first >= 0 and first + per <= len(minutes)
