"""Live runs on a simulated clock: the minute grid, late bars, outages, the operator."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from engine import Live, Signal, get_candles
from engine.domain.time import to_ms
from tests.runs.bed import MINUTE, SYMBOL, T0, Bed, Row, bar, bed, flat, long, minute_of, path


class Feed:
    """An exchange whose bars appear late, or that is out of order for a while."""

    def __init__(self, rows: list[Row], delays: dict[int, float] | None = None) -> None:
        self.rows = rows
        self.delays = delays or {}
        self.out: tuple[float, float] = (0, 0)
        self.made: Bed | None = None
        self.calls = 0

    async def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Any:
        self.calls += 1
        assert self.made is not None
        clock = self.made.engine.clock
        now = (clock.now() - T0) / MINUTE
        if self.out[0] <= now < self.out[1]:
            raise ConnectionError("no route to host")
        found = []
        for row in self.rows:
            minute = minute_of(int(row[0]))
            if row[0] >= to_ms(since) and minute + 1 + self.delays.get(minute, 0) / 60 <= now:
                found.append(row)
        return found[:limit]


async def test_ticks_run_at_whole_minutes_wherever_the_clock_stands() -> None:
    seen: list[tuple[int, int]] = []

    async def get_signal(symbol: str, when: datetime) -> None:
        newest = (await get_candles(symbol, "1m", 1)).timestamp[-1]
        seen.append((minute_of(when), minute_of(int(newest))))

    async with bed(live=True) as made:
        made.strategy(get_signal)
        await made.until(2, 24)
        made.instance().start()
        await made.until(4)
    assert seen == [(2, 1), (3, 2), (4, 3)], "the first tick is immediate and at the whole minute"


async def test_a_late_bar_is_waited_for_and_decided_upon_within_its_minute() -> None:
    seen: list[tuple[int, float]] = []

    async def get_signal(symbol: str, when: datetime) -> None:
        seen.append((minute_of(when), (made.engine.clock.now() - T0) / MINUTE))

    feed = Feed(flat(-20, 30), {0: 20, 2: 59.9})
    async with bed(live=True, get_candles=feed.get_candles) as made:
        feed.made = made
        made.strategy(get_signal)
        made.instance().start()
        await made.until(4, 10)
        assert [minute for minute, _ in seen] == [0, 1, 2, 3, 4]
        assert seen[1][1] == pytest.approx(1 + 20 / 60, abs=0.05)
        assert made.heard["data"] == []


async def test_a_missing_minute_is_late_then_filled_and_no_exit_is_skipped() -> None:
    """Its bars are settled oldest first as soon as newer ones are here."""
    rows = [r for r in path([100, 100, 100, 100, 100, 100, 100]) if minute_of(int(r[0])) != 2]
    feed = Feed(rows)
    async with bed(live=True, get_candles=feed.get_candles) as made:
        feed.made = made
        made.strategy(lambda s, w: long(3) if minute_of(w) == 0 else None)
        instance = made.instance()
        instance.start()
        await made.until(3, 59)
        assert made.actions() == [("opened", 0)], "the bar closing at 3 is late"
        await made.until(4)
        assert made.actions() == [("opened", 0), ("closed", 3)]
        assert [(d.stale, minute_of(d.when)) for d in made.heard["data"]] == [(True, 3), (False, 4)]
        assert made.errors() == []
        execution: Any = instance.execution
        assert execution.missed_decisions == 0


async def test_an_outage_is_errors_and_then_everything_is_settled() -> None:
    prices = [100.0] * 3 + [120.0] * 2 + [100.0] * 20
    feed = Feed(path(prices))
    no_retries = {"get_candles_retry_count": 0, "exit_trigger": "touch"}
    async with bed(live=True, get_candles=feed.get_candles, config=no_retries) as made:
        feed.made = made
        feed.out = (2.5, 9.5)
        made.strategy(lambda s, w: long(60) if minute_of(w) == 0 else None)
        made.instance().start()
        await made.until(9)
        assert made.actions() == [("opened", 0)]
        assert {error.stage for error in made.heard["error"]} == {"exchange"}
        assert all("no route to host" in error for error in made.errors())
        assert [minute_of(error.when) for error in made.heard["error"]] == [*range(3, 10)]
        assert made.instance().status == "running"
        await made.until(11)
        # The bar that reached the target closed at minute 4, in the middle of the outage.
        assert made.actions() == [("opened", 0), ("closed", 4)]
        [closed] = [r for r in made.heard["signal"] if r.action == "closed"]
        assert (closed.current_price, str(closed.close_reason)) == (110, "take_profit")


async def test_an_outage_at_the_start_is_survived() -> None:
    feed = Feed(flat(-20, 30))
    async with bed(live=True, get_candles=feed.get_candles) as made:
        feed.made = made
        feed.out = (0, 3.2)
        made.strategy(lambda s, w: long(2))
        made.instance().start()
        await made.until(6)
        assert made.errors()
        assert made.actions()[0] == ("opened", 4)


async def test_retries_during_a_tick_do_not_lose_minutes() -> None:
    """Three tries of 30 s take longer than a minute: what is missed is counted."""
    feed = Feed(flat(-20, 40))
    slow = {"get_candles_retry_count": 3, "get_candles_retry_delay_ms": 30_000}
    asked: list[int] = []
    async with bed(live=True, get_candles=feed.get_candles, config=slow) as made:
        feed.made = made
        feed.out = (3, 6.2)
        made.strategy(lambda s, w: asked.append(minute_of(w)))
        instance = made.instance()
        instance.start()
        await made.until(12)
        execution: Any = instance.execution
        assert sorted(asked) == asked
        assert len(set(asked)) == len(asked)
        late = set(range(13)) - set(asked)
        assert late
        assert len(late) >= execution.missed_decisions > 0
        assert execution.settled_until == T0 + 12 * MINUTE


async def test_many_runs_on_one_symbol_ask_the_exchange_once_a_minute() -> None:
    feed = Feed(flat(-20, 30))
    async with bed(live=True, get_candles=feed.get_candles, topics=("error",)) as made:
        feed.made = made
        for number in range(30):
            made.strategy(lambda s, w: None, f"run {number}")
            made.instance(f"run {number}").start()
        await made.until(1)
        feed.calls = 0
        await made.until(6)
        assert feed.calls == 5
        assert made.errors() == []


async def test_the_operator_closes_and_cancels_right_away() -> None:
    rows = path([100, 101, 102, 103, 104, 105, 106])
    async with bed(rows, live=True) as made:
        made.strategy(lambda s, w: long(60, tp=200) if minute_of(w) in (0, 4) else None)
        made.strategy(
            lambda s, w: long(60, entry=95, tp=200) if minute_of(w) == 0 else None, "waits"
        )
        for name in ("asked", "waits"):
            made.instance(name).start()
        await made.until(2, 20)
        with made.engine.clock.waiting():
            assert "closed at 101" in await Live.close(SYMBOL, "asked")
            assert "cancelled" in await Live.cancel(SYMBOL, "waits")
        await made.engine.bus.flush()
        results = {r.strategy_name: r for r in made.heard["signal"] if r.action in
                   ("closed", "cancelled")}  # fmt: skip
        closed, cancelled = results["asked"], results["waits"]
        assert (str(closed.close_reason), minute_of(closed.close_timestamp)) == ("operator", 2)
        assert closed.current_price == 101
        assert (str(cancelled.cancel_reason), minute_of(cancelled.close_timestamp)) == (
            "operator", 2,
        )  # fmt: skip
        with made.engine.clock.waiting():
            assert "nothing done" in await Live.close(SYMBOL, "asked")
            assert "nothing done" in await Live.cancel(SYMBOL, "waits")
        await made.until(5)
        # The run goes on: it may open again, but not at the instant of the command.
        assert ("opened", 4) in made.actions()


async def test_an_operators_close_settles_first_and_then_may_have_nothing_to_do() -> None:
    """The bar of the last minute reached the target while the tick was still to come."""
    rows = path([100, 100, 120, 120, 120, 120])
    feed = Feed(rows, {2: 40})
    async with bed(
        live=True, get_candles=feed.get_candles, config={"exit_trigger": "touch"}
    ) as made:
        feed.made = made
        made.strategy(lambda s, w: long(60) if minute_of(w) == 0 else None)
        made.instance().start()
        await made.until(3, 20)  # the bar closing at 3 is not here yet
        operator = asyncio.ensure_future(Live.close(SYMBOL, "asked"))
        await made.until(3, 59)
        assert operator.done()
        results = [r for r in made.heard["signal"] if r.action == "closed"]
        assert len(results) == 1, "closed once, by whichever came first"


async def test_a_tick_is_measured() -> None:
    async with bed(live=True, topics=("signal", "error", "performance")) as made:
        made.strategy(lambda s, w: None)
        made.instance().start()
        await made.until(3)
        events = made.heard["performance"]
        assert {e.metric_type for e in events} == {"live_tick"}
        assert len(events) == 4
        assert events[0].previous_timestamp is None
        assert [e.previous_timestamp for e in events[1:]] == [e.timestamp for e in events[:-1]]
        assert all(e.duration >= 0 and e.backtest is False for e in events)


async def test_ticks_of_a_live_run_by_action() -> None:
    rows = path([100, 100, 100, 94, 94, 94, 94, 94, 94])
    async with bed(rows, live=True, ticks=True, config={"exit_trigger": "touch"}) as made:
        made.strategy(
            lambda s, w: Signal("long", 110, 80, 2, price_open=95) if minute_of(w) == 1 else None
        )
        made.instance().start()
        await made.until(7)
        assert made.actions() == [
            ("idle", 0), ("scheduled", 1), ("active", 2), ("active", 3), ("opened", 4),
            ("active", 5), ("closed", 6), ("idle", 6), ("idle", 7),
        ]  # fmt: skip
        waiting = made.heard["signal"][2]
        assert (waiting.percent_tp, waiting.percent_sl) == (0, 0)
        assert waiting.signal.is_scheduled


async def test_a_bar_that_changes_after_it_was_seen_changes_nothing() -> None:
    """An exchange that revises its last bar: what was settled stays settled."""
    rows = flat(-20, 30)
    seen: list[float] = []

    async def get_signal(symbol: str, when: datetime) -> None:
        seen.append(float((await get_candles(symbol, "1m", 3)).close[0]))

    async with bed(rows, live=True) as made:
        made.strategy(get_signal)
        made.instance().start()
        await made.until(3)
        for row in rows:
            if minute_of(int(row[0])) < 3:
                row[4] = row[2] = 105.0
        await made.until(5)
    assert seen == [100.0] * 6


async def test_swept_entry_in_live_is_opened_then_closed_at_one_instant() -> None:
    rows = [*flat(-10, 3), bar(3, 94, open=100, high=100, low=70), *flat(4, 30)]
    async with bed(rows, live=True, config={"exit_trigger": "touch"}) as made:
        made.strategy(
            lambda s, w: Signal("long", 110, 80, 9, price_open=95) if minute_of(w) == 0 else None
        )
        made.instance().start()
        await made.until(6)
        assert made.actions() == [("scheduled", 0), ("opened", 4), ("closed", 4)]
        closed = made.heard["signal"][-1]
        assert (closed.swept, closed.current_price, str(closed.close_reason)) == (
            True, 80, "stop_loss",
        )  # fmt: skip
