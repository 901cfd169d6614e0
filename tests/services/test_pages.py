"""Shared pages: asked once, the same for everybody, and never a bar that has not closed."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.domain.bars import Candles
from engine.domain.errors import CandleDataError
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings
from engine.domain.time import MINUTE, from_ms, to_ms
from engine.services.clock import SimulatedClock
from engine.services.market import Market
from engine.services.pages import SharedPages

T0 = 1_704_067_200_000
ROWS = [[T0 + at * MINUTE, 100.0 + at, 101.0 + at, 99.0 + at, 100.5 + at, 1.0] for at in range(50)]


class Source:
    """An exchange that counts what it is asked, and gives at most 7 rows at a time."""

    def __init__(self, *, waits: bool = False, now: int = 100) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.opened = 0
        self.closed = 0
        self._waits = waits
        self._now = now

    def rows(self, symbol: str, interval: str, since: datetime, limit: int) -> Any:
        self.asked.append((interval, (to_ms(since) - T0) // MINUTE, limit))
        if symbol == "BAD":
            return [[T0, 1.0, "x"]]
        newest = T0 + self._now * MINUTE  # it is still forming
        return [row for row in ROWS if to_ms(since) <= row[0] <= newest][: min(limit, 7)]

    async def later(self, symbol: str, interval: str, since: datetime, limit: int) -> Any:
        await asyncio.sleep(0)
        return self.rows(symbol, interval, since, limit)

    def open(self) -> ExchangeSchema:
        self.opened += 1
        return ExchangeSchema(
            exchange_name="x", get_candles=self.later if self._waits else self.rows,
            format_price=lambda symbol, price: f"{price:.1f}", intervals=("1m", "5m"), note="mine",
            close=self.close,
        )  # fmt: skip

    def close(self) -> None:
        self.closed += 1


def pages(folder: Path, source: Source, now: int = 100) -> SharedPages:
    return SharedPages(folder, "x", source.open, now=lambda: T0 + now * MINUTE)


async def ask(schema: ExchangeSchema, since: int, limit: int, symbol: str = "S") -> Candles:
    found = schema.get_candles(symbol, "1m", from_ms(T0 + since * MINUTE), limit)
    return await found if asyncio.iscoroutine(found) else found


@pytest.mark.parametrize("waits", [False, True])
async def test_the_second_to_ask_opens_and_asks_nothing(tmp_path: Path, waits: bool) -> None:
    first, second = Source(waits=waits), Source(waits=waits)
    one, other = pages(tmp_path, first), pages(tmp_path, second)
    found = await ask(one.schema(), 3, 5)
    assert [int(stamp - T0) // MINUTE for stamp in found.timestamp] == [3, 4, 5, 6, 7]
    schema = other.schema()
    again = await ask(schema, 3, 5)
    assert again == found and again.close.dtype == np.float64
    assert (first.opened, second.opened, second.asked) == (1, 0, [])
    assert (schema.intervals, schema.note) == (("1m", "5m"), "mine")
    assert schema.format_price is not None and schema.format_price("S", 1.26) == "1.3"
    assert schema.format_quantity is not None and schema.format_quantity("S", 0.125) == "0.125"
    assert second.opened == 1, "what the folder does not hold is asked for"
    assert (await ask(schema, 4, 5)) != found and second.asked == [("1m", 4, 5)]
    await one.close()
    await other.close()
    assert (first.closed, second.closed) == (1, 1)
    untouched = pages(tmp_path, Source())
    untouched.schema()
    await untouched.close()


async def test_gathered_bars_answer_whatever_lies_among_them(tmp_path: Path) -> None:
    first, second = Source(), Source()
    one, other = pages(tmp_path, first), pages(tmp_path, second)
    one.schema()
    await one.gather("S", T0 - 5 * MINUTE, T0 + 40 * MINUTE)
    assert len(first.asked) == 6, "seven rows at a time"
    schema = other.schema()
    for since, limit, expected in ((-5, 3, range(40)), (0, 1000, range(40)), (17, 1, range(17, 40)),
                                   (39, 4, range(39, 40))):  # fmt: skip
        found = await ask(schema, since, limit)
        assert [int(s - T0) // MINUTE for s in found.timestamp] == list(expected)
    assert second.opened == 0
    assert [int(s - T0) // MINUTE for s in (await ask(schema, 40, 4)).timestamp] == [40, 41, 42, 43]
    assert second.opened == 1
    clock, until = SimulatedClock(T0 + 100 * MINUTE), T0 + 45 * MINUTE
    series = await Market(schema, Settings(), clock, until).ensure("S", T0, until)
    plain = await Market(first.open(), Settings(), clock, until).ensure("S", T0, until)
    assert series.size == plain.size == 45
    assert series.sha256(T0, series.end) == plain.sha256(T0, plain.end)


async def test_what_is_still_forming_is_not_kept(tmp_path: Path) -> None:
    one, later = pages(tmp_path, Source(now=10), now=10), pages(tmp_path, Source(), now=30)
    for schema in (one.schema(), later.schema()):
        found = await ask(schema, 5, 7)
        assert [int(s - T0) // MINUTE for s in found.timestamp] == [5, 6, 7, 8, 9]
    await one.gather("S", T0, T0 + 9 * MINUTE)
    await one.gather("T", T0, T0 + 20 * MINUTE)
    assert len(await ask(later.schema(), 0, 20, "T")) == 10


async def test_an_answer_that_cannot_be_used_is_not_kept_either(tmp_path: Path) -> None:
    source = Source()
    made = pages(tmp_path, source)
    for _ in range(2):
        with pytest.raises(CandleDataError, match="BAD"):
            await ask(made.schema(), 0, 5, "BAD")
    assert len(source.asked) == 2
    with pytest.raises(CandleDataError):
        await made.gather("BAD", T0, T0 + 9 * MINUTE)


async def test_a_registered_exchange_keeps_all_it_is_and_is_not_closed(tmp_path: Path) -> None:
    source = Source()
    registered = source.open().model_copy(update={"callbacks": {"on_candle_data": print}})
    made = SharedPages(tmp_path, "x", registered=registered, now=lambda: T0 + 100 * MINUTE)
    schema = made.schema()
    assert schema.callbacks == registered.callbacks and len(await ask(schema, 0, 5)) == 5
    await made.close()
    assert source.closed == 0
