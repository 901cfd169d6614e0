"""Runs as users see them: iterate, background, status, done, stop, start again."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from engine import (
    Backtest,
    Engine,
    EngineError,
    Live,
    NoDataError,
    NotRegisteredError,
    RunStateError,
    Signal,
    add_frame,
    listen_done_backtest_once,
)
from engine.domain.time import from_ms
from tests.runs.bed import MINUTE, SYMBOL, T0, Bed, bar, bed, flat, long, minute_of, path

WHO: dict[str, Any] = {"strategy_name": "asked", "exchange_name": "memory"}
FRAMED: dict[str, Any] = {**WHO, "frame_name": "frame"}


async def every(symbol: str, when: datetime) -> Signal:
    return long(3)


async def never(symbol: str, when: datetime) -> None:
    return None


def statuses(made: Bed) -> list[str]:
    return [event.status for event in made.heard["instance"]]


async def rounds(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# -- iterating ---------------------------------------------------------------------------------


async def test_a_backtest_yields_closed_results_and_cancelled_ones_if_asked() -> None:
    rows = path([100] * 5 + [94] * 3 + [100] * 60)

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        minute = minute_of(when)
        if minute == 0:
            return long(2)
        return long(3, entry=95, sl=94.5) if minute == 2 else None

    for cancelled, expected in ((False, ["closed"]), (True, ["closed", "cancelled"])):
        async with bed(rows, config={"exit_trigger": "touch"}) as made:
            made.strategy(get_signal)
            found = [r async for r in made.run(cancelled=cancelled)]
            assert [str(r.action) for r in found] == expected
            assert found[-1].pnl is None or not cancelled
            assert all(r.signal.id and r.close_timestamp for r in found)


async def test_a_live_run_yields_opened_and_closed_and_cancelled_ones_if_asked() -> None:
    rows = path([100] * 5 + [94] * 3 + [100] * 60)

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        minute = minute_of(when)
        if minute == 0:
            return long(2)
        return long(3, entry=95, sl=94.5) if minute == 2 else None

    async def collect(found: list[str], **fields: Any) -> None:
        async for result in Live.run(SYMBOL, **WHO, **fields):
            found.append(str(result.action))

    for cancelled, expected in (
        (False, ["opened", "closed"]), (True, ["opened", "closed", "cancelled"]),
    ):  # fmt: skip
        async with bed(rows, live=True, config={"exit_trigger": "touch"}) as made:
            made.strategy(get_signal)
            found: list[str] = []
            task = asyncio.create_task(collect(found, include_cancelled=cancelled))
            await made.until(20)
            assert found == expected
            task.cancel()
            await asyncio.wait([task])
            assert made.instance().status == "done"


async def test_leaving_the_iteration_ends_the_run_and_waits_for_it() -> None:
    calls = []

    async def get_signal(symbol: str, when: datetime) -> Signal:
        calls.append(minute_of(when))
        return long(3)

    async with bed(frame=(0, 500)) as made:
        made.strategy(get_signal)
        async with aclosing(made.run()) as results:
            count = 0
            async for _ in results:
                count += 1
                if count == 2:
                    break
        instance = made.instance()
        assert (instance.status, instance.is_done) == ("done", True)
        assert len(calls) <= 5
        seen = len(calls)
        await rounds()
        assert len(calls) == seen
        assert not [t for t in asyncio.all_tasks() if t.get_name() == str(instance.key)]


async def test_a_plain_break_ends_the_run_as_well() -> None:
    async with bed(frame=(0, 500)) as made:
        made.strategy(every)
        async for _ in made.run():
            break
        await rounds()
        assert made.instance().is_done
        assert not made.instance().is_running


async def test_an_iteration_abandoned_before_its_first_step_ends_too() -> None:
    async with bed(frame=(0, 500)) as made:
        made.strategy(every)
        results = made.run()
        task = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await rounds()
        assert not made.instance().is_running
        assert [r async for r in made.run()], "the key is free again"


async def test_a_backtest_never_runs_ahead_of_its_consumer() -> None:
    calls = []

    async def get_signal(symbol: str, when: datetime) -> Signal:
        calls.append(minute_of(when))
        return long(1)

    async with bed(frame=(0, 200)) as made:
        made.strategy(get_signal)
        async with aclosing(made.run()) as results:
            async for _ in results:
                await rounds(100)
                assert len(calls) <= 4
                break


async def test_a_live_run_never_waits_for_its_consumer() -> None:
    async with bed(live=True) as made:
        made.strategy(every)
        results = Live.run(SYMBOL, **WHO)
        first = await anext(results)
        assert first.action == "opened"
        await made.until(20)
        assert len([a for a in made.actions() if a[0] == "closed"]) == 6
        rest = [await anext(results) for _ in range(12)]
        assert [str(r.action) for r in rest[:3]] == ["closed", "opened", "closed"]
        await results.aclose()


async def test_the_failure_of_a_run_is_raised_to_the_consumer() -> None:
    async with bed([]) as made:
        made.strategy(every)
        with pytest.raises(NoDataError, match="no candles"):
            await anext(made.run())
        instance = made.instance()
        assert (instance.status, instance.is_done) == ("failed", True)
        assert "no candles" in instance.error
        await made.engine.bus.flush()
        assert made.heard["done_backtest"] == []


async def test_the_failure_of_a_background_run_is_an_exit_event() -> None:
    async with bed([]) as made:
        made.strategy(every)
        Backtest.background(SYMBOL, **FRAMED)
        await made.instance().wait()
        await made.engine.bus.flush()
        assert statuses(made) == ["running", "failed"]
        [error] = made.heard["exit"]
        assert isinstance(error, NoDataError)
        assert "no candles" in made.heard["instance"][-1].error
        assert made.heard["done_backtest"] == []


# -- done and status ---------------------------------------------------------------------------


async def test_done_comes_once_after_the_last_close_for_run_and_background() -> None:
    for background in (False, True):
        async with bed(frame=(0, 10)) as made:
            order: list[str] = []
            made.engine.bus.subscribe(
                "signal", lambda r, order=order: order.append(str(r.action)), transitions_only=True
            )
            once: list[Any] = []
            listen_done_backtest_once(lambda done: done.symbol == SYMBOL, once.append)
            made.engine.bus.subscribe("done_backtest", lambda _, order=order: order.append("done"))
            made.strategy(every)
            if background:
                Backtest.background(SYMBOL, **FRAMED)
                await made.instance().wait()
            else:
                await made.results()
            await made.engine.bus.flush()
            assert order[-1] == "done"
            assert order.count("done") == 1
            assert order[-2] == "closed"
            assert len(once) == 1
            [done] = made.heard["done_backtest"]
            assert (done.symbol, done.strategy_name, done.exchange_name) == (
                SYMBOL, "asked", "memory",
            )  # fmt: skip
            assert (done.frame_name, done.backtest) == ("frame", True)
            assert statuses(made) == ["running", "done"]


async def test_list_and_status_through_a_life() -> None:
    async with bed(frame=(0, 5)) as made:
        made.strategy(every)
        assert await Backtest.list() == []
        runs = made.run(), made.run(symbol="ETHUSDT")
        listed = await Backtest.list()
        assert [(one["symbol"], one["status"]) for one in listed] == [
            (SYMBOL, "idle"), ("ETHUSDT", "idle"),
        ]  # fmt: skip
        assert len({one["id"] for one in listed}) == 2
        await anext(runs[0])
        assert [one["status"] for one in await Backtest.list()] == ["running", "idle"]
        assert [r async for r in runs[0]]
        assert [one["status"] for one in await Backtest.list()] == ["done", "idle"]
        instance = made.instance()
        assert await instance.get_status() == "done"
        assert instance.id == (await Backtest.list())[0]["id"]
        assert await Live.list() == []


async def test_one_key_one_instance_one_session_at_a_time() -> None:
    async with bed(frame=(0, 300)) as made:
        made.strategy(every)
        cancel = Backtest.background(SYMBOL, **FRAMED)
        Backtest.background(SYMBOL, **FRAMED)
        assert len(await Backtest.list()) == 1
        with pytest.raises(RunStateError, match="already running"):
            await anext(made.run())
        cancel()
        await made.instance().wait()
        await made.engine.bus.flush()
        assert len(made.heard["done_backtest"]) == 1
        assert [r async for r in made.run()]


async def test_several_matches_are_listed() -> None:
    async with bed(frame=(0, 3)) as made:
        add_frame(
            frame_name="other", interval="1m", start_date=from_ms(T0),
            end_date=from_ms(T0 + 9 * MINUTE),
        )  # fmt: skip
        made.strategy(every)
        for frame in ("frame", "other"):
            async for _ in Backtest.run(SYMBOL, **{**FRAMED, "frame_name": frame}):
                pass
        with pytest.raises(EngineError, match=r"several runs match.*frame.*other"):
            await Backtest.get_data(SYMBOL, "asked")
        first = await Backtest.get_data(SYMBOL, "asked", frame_name="frame")
        second = await Backtest.get_data(SYMBOL, "asked", frame_name="other")
        assert (first.total_trades, second.total_trades) == (2, 4)
        with pytest.raises(NotRegisteredError, match="no backtest of 'asked' on 'X'"):
            await Backtest.get_data("X", "asked")
        with pytest.raises(NotRegisteredError, match="strategy 'nope' not found"):
            await Backtest.stop(SYMBOL, "nope")
        with pytest.raises(NotRegisteredError):
            await Live.stop(SYMBOL, "asked")


async def test_statistics_report_and_dump(tmp_path: Path) -> None:
    async with bed(frame=(0, 8)) as made:
        made.strategy(every)
        results = made.run()
        with pytest.raises(RunStateError, match="has not been started"):
            await Backtest.get_data(SYMBOL, "asked")
        trades = [r async for r in results]
        data = await Backtest.get_data(SYMBOL, "asked")
        assert data.total_trades == len(trades) == 3
        assert data.total_pnl == pytest.approx(sum(t.pnl.pnl_percentage for t in trades))
        report = await Backtest.get_report(SYMBOL, "asked")
        assert all(trade.signal.id in report for trade in trades)
        target = tmp_path / "{mode}-{symbol}-{name}-{exchange}-{frame}.md"
        written = await Backtest.dump(SYMBOL, "asked", target)
        assert written.name == "backtest-BTCUSDT-asked-memory-frame.md"
        assert written.read_text(encoding="utf-8").strip() == report.strip()


async def test_a_second_session_starts_its_statistics_anew() -> None:
    async with bed(frame=(0, 8)) as made:
        made.strategy(every)
        first = [r async for r in made.run()]
        second = [r async for r in made.run()]
        assert first == second
        assert (await Backtest.get_data(SYMBOL, "asked")).total_trades == len(first)


async def test_the_same_backtest_gives_the_same_ids_and_others_do_not() -> None:
    async def ids(symbol: str, name: str = "asked") -> list[str]:
        async with bed(frame=(0, 20)) as made:
            made.strategy(every, name)
            return [r.signal.id for r in await made.results(name, symbol)]

    first = await ids(SYMBOL)
    assert len(set(first)) == len(first) > 3
    assert await ids(SYMBOL) == first
    assert not set(await ids("ETHUSDT")) & set(first)
    assert not set(await ids(SYMBOL, "other")) & set(first)


async def test_live_ids_are_new_each_time() -> None:
    async def ids() -> set[str]:
        async with bed(live=True) as made:
            made.strategy(every)
            made.instance().start()
            await made.until(10)
            return {r.signal.id for r in made.heard["signal"] if r.action == "opened"}

    first, second = await ids(), await ids()
    assert len(first) == 4
    assert not first & second


# -- progress ----------------------------------------------------------------------------------


async def test_progress_grows_to_one_and_carries_counts() -> None:
    async with bed(frame=(0, 200)) as made:
        made.strategy(every)
        await made.results()
        events = made.heard["progress_backtest"]
        assert {(e.symbol, e.exchange_name, e.total_frames) for e in events} == {
            (SYMBOL, "memory", 201)
        }
        assert [e.processed_frames for e in events] == sorted(e.processed_frames for e in events)
        assert events[0].processed_frames == 0
        assert (events[-1].processed_frames, events[-1].progress) == (201, 1.0)
        assert all(e.progress == e.processed_frames / 201 for e in events)


async def test_a_frame_that_ends_before_it_starts_completes_at_once() -> None:
    async with bed(frame=(5, 4)) as made:
        made.strategy(every)
        assert await made.results() == []
        assert made.instance().status == "done"
        last = made.heard["progress_backtest"][-1]
        assert (last.processed_frames, last.total_frames, last.progress) == (0, 0, 1.0)
        assert len(made.heard["done_backtest"]) == 1


async def test_what_lies_beyond_the_data_is_one_warning() -> None:
    async with bed(flat(-10, 8), frame=(0, 30)) as made:
        made.strategy(every)
        results = await made.results()
        assert [str(r.close_reason) for r in results][-1] == "end_of_data"
        assert minute_of(results[-1].close_timestamp) == 8
        execution: Any = made.instance().execution
        [warning] = execution.journal.warnings
        assert "data ends before the frame" in warning
        assert made.heard["error"] == []


async def test_what_is_held_at_the_frames_end_is_settled_while_data_exists() -> None:
    async with bed(flat(-10, 60), frame=(0, 2)) as made:
        made.strategy(lambda s, w: long(20))
        [result] = await made.results()
        assert minute_of(result.close_timestamp) == 20
        assert str(result.close_reason) == "time_expired"


# -- the engine --------------------------------------------------------------------------------


async def test_closing_an_engine_ends_its_runs_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    async with bed(frame=(0, 100_000), rows=flat(-10, 3000)) as made:
        made.strategy(every)
        Backtest.background(SYMBOL, **FRAMED)
        await rounds(3)
    assert made.instance().status == "done"
    async with bed(live=True) as made:
        made.strategy(every)
        made.strategy(never, "second")
        made.instance().start()
        made.instance("second").start()
        await made.until(2)
    assert made.instance().status == "done"
    assert asyncio.all_tasks() == before


async def test_a_poll_that_hangs_does_not_outlive_its_engine() -> None:
    before = asyncio.all_tasks()
    closed = []

    async def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        if minute_of(since) >= 0:
            try:
                await asyncio.Event().wait()
            finally:
                closed.append(symbol)
        return flat(-20, 0)

    async with bed(live=True, get_candles=get_candles) as made:
        made.strategy(never)
        made.instance().start()
        with made.engine.clock.waiting():
            await rounds(50)
    assert closed == [SYMBOL]
    assert asyncio.all_tasks() == before


async def test_runs_of_two_engines_know_nothing_of_each_other() -> None:
    async with bed(frame=(0, 8)) as outer:
        outer.strategy(every)
        async with bed(frame=(0, 8)) as inner:
            inner.strategy(never)
            assert await inner.results() == []
            assert outer.heard["done_backtest"] == []
        assert len(await outer.results()) == 3
        assert inner.heard["signal"] == []


async def test_closed_bars_decide_the_entry_bar_is_not_used() -> None:
    """Conformance 99: the bar of the opening minute is history, and settles nothing."""
    rows = [*flat(-10, 0), bar(0, 100, high=120), *flat(1, 30)]
    async with bed(rows, frame=(1, 1), config={"exit_trigger": "touch"}) as made:
        made.strategy(lambda s, w: long(9, tp=115))
        [result] = await made.results()
        assert str(result.close_reason) == "time_expired"
        assert minute_of(result.close_timestamp) == 10


async def test_an_engine_can_be_closed_twice() -> None:
    engine = Engine()
    async with engine:
        pass
    await engine.close()


def test_a_start_without_a_running_loop_changes_nothing() -> None:
    async def make() -> Any:
        async with bed(frame=(0, 8)) as made:
            made.strategy(every)
            return made

    made = asyncio.run(make())
    instance = made.instance()
    with pytest.raises(RuntimeError):
        instance.start()
    assert instance.status == "idle"


async def test_a_frames_callback_is_told_its_instants() -> None:
    seen: list[Any] = []
    async with bed(frame=(0, 8)) as made:
        add_frame(
            frame_name="told", interval="5m", start_date=from_ms(T0),
            end_date=from_ms(T0 + 12 * MINUTE),
            callbacks={"on_timeframe": lambda *arguments: seen.append(arguments)},
        )  # fmt: skip
        made.strategy(never)
        async for _ in Backtest.run(SYMBOL, **{**FRAMED, "frame_name": "told"}):
            pass
    [(instants, start, end, interval)] = seen
    assert [minute_of(at) for at in instants] == [0, 5, 10]
    assert (minute_of(start), minute_of(end), interval) == (0, 12, "5m")
