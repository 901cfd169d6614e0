"""An exchange that is away: what runs say and settle meanwhile, and that operators are obeyed."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from engine import Live, Signal
from engine.adapters.store.memory import MemoryStore
from engine.domain.errors import RunStateError
from engine.domain.time import to_ms
from engine.runs.instance import Instance
from engine.services.clock import SimulatedClock
from tests.runs.bed import MINUTE, SYMBOL, T0, Bed, Row, bed, flat, long, minute_of, path


class Exchange:
    """Bars as time passes, unless the exchange is away or hangs.

    Attributes:
        away: minutes after T0, from and to, in which every request fails.
        hangs: the same for requests that are answered only when the stretch ends.
        missing: open minutes that never come.
    """

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.away: tuple[float, float] = (0, 0)
        self.hangs: tuple[float, float] = (0, 0)
        self.missing: set[int] = set()
        self.clock: SimulatedClock | None = None

    async def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Any:
        clock = self.clock
        assert clock is not None
        if self.hangs[0] <= self._minute(clock) < self.hangs[1]:
            await clock.sleep_until(T0 + int(self.hangs[1] * MINUTE))
        if self.away[0] <= self._minute(clock) < self.away[1]:
            raise ConnectionError("no route to host")
        found = [r for r in self.rows if r[0] >= to_ms(since) and r[0] + MINUTE <= clock.now()]
        return [r for r in found if minute_of(int(r[0])) not in self.missing][:limit]

    @staticmethod
    def _minute(clock: SimulatedClock) -> float:
        return (clock.now() - T0) / MINUTE


def outage(rows: list[Row] | None = None, **fields: Any) -> tuple[Exchange, Any]:
    exchange = Exchange(flat(-20, 60) if rows is None else rows)
    return exchange, bed(live=True, get_candles=exchange.get_candles, **fields)


def execution(instance: Instance) -> Any:
    return instance.execution


def second(made: Bed) -> float:
    return (made.engine.clock.now() - T0) / 1000


def at_zero(signal: Signal) -> Any:
    return lambda s, w: signal if minute_of(w) == 0 else None


# -- what is said ------------------------------------------------------------------------------


async def test_a_failure_is_one_event_however_many_runs_have_waited() -> None:
    exchange, opened = outage()
    async with opened as made:
        exchange.clock = made.clock
        exchange.away = (2.5, 5.5)
        for name in ("a", "b", "c", "d", "e"):
            made.strategy(lambda s, w: None, name)
            made.instance(name).start()
        await made.until(8)
        errors = made.heard["error"]
        assert [minute_of(error.when) for error in errors] == [3, 4, 5]
        for error in errors:
            assert (error.stage, error.symbol, error.exchange_name) == (
                "exchange",
                SYMBOL,
                "memory",
            )
            assert error.strategy_name == ""
            assert str(error) == (
                "exchange 'memory', BTCUSDT 1m: get_candles failed 1 times, at last with "
                "ConnectionError: no route to host; the next tick asks again and settles every bar "
                "that was missed"
            )
        assert [(d.stale, minute_of(d.when)) for d in made.heard["data"]] == [(True, 3), (False, 6)]
        for name in ("a", "b", "c", "d", "e"):
            run = execution(made.instance(name))
            assert run.journal.error_count == 3, "every run remembers what it met"
            assert run.settled_until == T0 + 8 * MINUTE


async def test_symbols_fail_each_for_itself() -> None:
    exchange, opened = outage()
    async with opened as made:
        exchange.clock = made.clock
        exchange.away = (2.5, 3.5)
        made.strategy(lambda s, w: None)
        for symbol in ("AAAUSDT", "BBBUSDT"):
            made.instance(symbol=symbol).start()
        await made.until(5)
        assert sorted(error.symbol for error in made.heard["error"]) == ["AAAUSDT", "BBBUSDT"]


# -- holes -------------------------------------------------------------------------------------


async def test_a_long_hole_with_a_position_open_is_one_error_and_is_settled() -> None:
    rows = [*flat(-20, 3), *flat(3000, 3020, 120.0)]
    exchange, opened = outage(rows)
    async with opened as made:
        exchange.clock = made.clock
        asked: list[int] = []

        def get_signal(symbol: str, when: datetime) -> Signal | None:
            asked.append(minute_of(when))
            return long(60) if minute_of(when) == 0 else None

        made.strategy(get_signal)
        made.instance().start()
        await made.until(2)
        exchange.away = (2.5, 3000.5)  # what nobody asks for is not polled for
        await made.until(3004)
        closed = made.heard["signal"][-1]
        assert (str(closed.close_reason), minute_of(closed.close_timestamp)) == ("time_expired", 60)
        assert closed.current_price == 100.0, "the last price before the hole"
        [hole] = [e for e in made.heard["error"] if "no candles from" in str(e)]
        assert "2997 minutes (max_gap_minutes = 1440)" in str(hole)
        assert (hole.stage, hole.symbol, minute_of(hole.when)) == ("exchange", SYMBOL, 3001)
        assert [m for m in asked if m > 60] == [3001, 3002, 3003, 3004]
        assert execution(made.instance()).filled == 2997


# -- operators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["late", "hangs"])
async def test_a_stop_is_obeyed_while_the_bar_is_waited_for(trouble: str) -> None:
    exchange, opened = outage()
    async with opened as made:
        exchange.clock = made.clock
        exchange.missing = {2} if trouble == "late" else set()
        exchange.hangs = (3, 3.9) if trouble == "hangs" else (0, 0)
        made.strategy(lambda s, w: None, "flat")
        made.strategy(at_zero(long(4)), "open")
        made.strategy(at_zero(long(4, entry=95)), "waits")
        instances = [made.instance(name) for name in ("flat", "open", "waits")]
        for instance in instances:
            instance.start()
        await made.until(3, 20)  # the bar closing at 3 is not here
        for instance in instances:
            instance.stop()
        with made.engine.clock.waiting():
            await instances[0].wait()
            await instances[2].wait()
        assert second(made) == 200
        assert [i.status for i in instances] == ["done", "stopping", "done"]
        [cancelled] = [r for r in made.heard["signal"] if r.action == "cancelled"]
        assert (str(cancelled.cancel_reason), minute_of(cancelled.when)) == ("stopped", 3)
        await made.until(5)
        assert instances[1].status == "done"
        assert made.actions()[-1] == ("closed", 4)
        assert made.errors() == []


@pytest.mark.parametrize("trouble", ["late", "hangs"])
async def test_close_and_cancel_are_obeyed_while_the_bar_is_waited_for(trouble: str) -> None:
    exchange, opened = outage(path([100, 101, 102, 103, 104, 105, 106, 107]))
    asked: list[int] = []

    def get_signal(symbol: str, when: datetime) -> Signal | None:
        asked.append(minute_of(when))
        return long(60, tp=200)

    async with opened as made:
        exchange.clock = made.clock
        exchange.missing = {2} if trouble == "late" else set()
        exchange.hangs = (3, 3.6) if trouble == "hangs" else (0, 0)
        made.strategy(get_signal)
        made.strategy(at_zero(long(60, entry=95, tp=200)), "waits")
        for name in ("asked", "waits"):
            made.instance(name).start()
        await made.until(3, 20)
        with made.engine.clock.waiting():
            assert await Live.close(SYMBOL, "asked") == "closed at 101"
            assert await Live.cancel(SYMBOL, "waits") == "cancelled with the market at 101"
            assert await Live.close(SYMBOL, "asked") == "nothing done: no position is open"
        assert second(made) == 200
        await made.engine.bus.flush()
        ended = [r for r in made.heard["signal"] if r.action in ("closed", "cancelled")]
        assert [minute_of(r.close_timestamp) for r in ended] == [3, 3]
        await made.until(5)
        # The bar closing at 3 came in time or never; nothing is decided at an operator's instant.
        assert asked == [0, 4]
        assert made.errors() == []


async def test_an_operator_is_told_when_no_price_was_ever_seen() -> None:
    """A process that takes over a position while the exchange is away."""
    exchange, opened = outage(store=(store := MemoryStore()))
    async with opened as made:
        exchange.clock = made.clock
        made.strategy(at_zero(long(60)))
        made.instance().start()
        await made.until(2)
    await store.open()
    exchange, opened = outage(store=store)
    async with opened as made:
        assert made.clock is not None
        exchange.clock = made.clock
        exchange.hangs, exchange.away = (0, 0.9), (0, 4.5)
        made.strategy(lambda s, w: None)
        made.strategy(lambda s, w: None, "new")
        await made.engine.recover()
        made.instance("new").start()
        await made.until(0, 20)
        operator = asyncio.ensure_future(Live.close(SYMBOL, "asked"))
        with made.engine.clock.waiting():
            with pytest.raises(RunStateError, match="there is no price to close at: try again"):
                await operator
            assert await Live.close(SYMBOL, "new") == "nothing done: no position is open"
            made.instance("new").stop()
            await made.instance("new").wait()
        assert second(made) == 20
        await made.until(5, 1)
        with made.engine.clock.waiting():
            assert await Live.close(SYMBOL, "asked") == "closed at 100"


async def test_what_has_arrived_is_settled_though_the_exchange_is_away() -> None:
    """The exit's commit failed; the bar is in memory when the exchange goes away."""

    class Full(MemoryStore):
        full = False

        async def commit(self, changes: Any) -> tuple[int, ...]:
            if self.full and any(type(change).__name__ == "Released" for change in changes):
                raise OSError("the disk is full")
            if self.full and len(changes) > 1:
                raise OSError("the disk is full")
            return await super().commit(changes)

    store = Full()
    exchange, opened = outage(store=store)
    async with opened as made:
        exchange.clock = made.clock
        made.strategy(at_zero(long(3)))
        made.instance().start()
        await made.until(2)
        store.full = True
        await made.until(3)
        assert made.actions() == [("opened", 0)]
        exchange.away, store.full = (3.5, 10), False
        await made.until(4)
        assert made.actions() == [("opened", 0), ("closed", 3)]


async def test_a_bar_that_comes_when_its_minute_is_over_is_settled_and_not_decided_upon() -> None:
    """The answer takes more than a minute: its price is gone, and its exit is not."""
    prices = path([100, 100, 100, 120, 120, 120, 120, 120])
    exchange, opened = outage(prices, config={"exit_trigger": "touch"})
    asked: list[int] = []

    def get_signal(symbol: str, when: datetime) -> Signal | None:
        asked.append(minute_of(when))
        return long(60) if minute_of(when) == 0 else None

    async with opened as made:
        exchange.clock = made.clock
        exchange.hangs = (4, 5.2)
        made.strategy(get_signal)
        made.instance().start()
        await made.until(6)
        assert made.actions() == [("opened", 0), ("closed", 4)]
        assert asked == [0, 5, 6]
        assert execution(made.instance()).missed_decisions == 1
        assert [(d.stale, minute_of(d.when)) for d in made.heard["data"]] == [(True, 4), (False, 5)]
