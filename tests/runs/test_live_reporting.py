"""Reports of performance, of live runs, and of live runs that were restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from math import ceil, fsum
from pathlib import Path
from typing import Any

import pytest

from engine import (
    Backtest,
    Engine,
    Heat,
    Live,
    NotRegisteredError,
    Partial,
    Performance,
    Risk,
    Schedule,
    Signal,
    SimulatedClock,
    add_exchange,
    add_risk,
    add_strategy,
)
from engine.adapters.store.memory import MemoryStore
from engine.domain.time import DAY
from tests.runs.bed import (
    MINUTE,
    RELAXED,
    SYMBOL,
    T0,
    bed,
    flat,
    minute_of,
    path,
    serving,
)
from tests.runs.wavy import refusing, waves, wavy, wavy_backtest

# -- performance -----------------------------------------------------------------------------------


async def test_a_backtest_publishes_its_measurements() -> None:
    async with bed(waves(9), frame=(0, 179), topics=("performance", "signal")) as made:
        results = await wavy_backtest(made)
        events = made.heard["performance"]
        data = await Performance.get_data(SYMBOL, "asked")
        source = made.instance().execution.session.source  # type: ignore[union-attr]
    kinds = [event.metric_type for event in events]
    assert kinds.count("backtest_timeframe") == source.calls
    assert kinds.count("backtest_signal") == len(results)
    assert kinds.count("backtest_total") == 1 and kinds[-1] == "backtest_total"
    assert events[0].previous_timestamp is None
    for before, event in pairwise(events):
        assert event.previous_timestamp == pytest.approx(before.timestamp)
        assert event.timestamp >= before.timestamp and event.duration >= 0
    assert all(e.backtest and e.symbol == SYMBOL and e.strategy_name == "asked" for e in events)
    assert data.total_events == len(events)
    for name, found in data.metric_stats.items():
        durations = sorted(e.duration for e in events if e.metric_type == name)
        assert found.count == len(durations)
        assert found.total_duration == pytest.approx(fsum(durations))
        assert (found.min_duration, found.max_duration) == (durations[0], durations[-1])
        assert found.p95 == durations[max(0, ceil(len(durations) * 0.95) - 1)]
    parts = data.metric_stats["backtest_timeframe"].total_duration
    assert parts <= data.metric_stats["backtest_total"].total_duration


async def test_measurements_are_there_although_nobody_listened() -> None:
    async with bed(waves(9), frame=(0, 179), topics=()) as made:
        await wavy_backtest(made)
        data = await Performance.get_data(SYMBOL, "asked")
        assert set(data.metric_stats) == {
            "backtest_timeframe", "backtest_signal", "backtest_total"
        }  # fmt: skip
        assert data.events[0].metric_type == "backtest_total"
        report = await Performance.get_report(SYMBOL, "asked")
        assert report.startswith("# Performance Report: asked\n")
        assert "backtest\\_total" not in report


async def test_a_slow_listener_of_measurements_loses_none() -> None:
    """Every question is one event; a backtest that would outrun the listener waits for it."""
    heard: list[Any] = []

    async def slow(event: Any) -> None:
        await asyncio.sleep(0)
        heard.append(event)

    async with bed(flat(-10, 4000), frame=(0, 3900), topics=()) as made:
        made.engine.bus.subscribe("performance", slow, maxsize=50_000)
        made.strategy(lambda s, w: None)
        await made.results()
        await made.engine.bus.flush()
        assert made.engine.bus.dropped() == 0
        assert len(heard) == 3902


async def test_live_ticks_are_measured() -> None:
    async with bed(live=True, topics=("performance",)) as made:
        made.strategy(lambda s, w: None)
        made.instance().start()
        await made.until(5)
        data = await Performance.get_data(SYMBOL, "asked")
        assert data.metric_stats["live_tick"].count == 6
        assert [e.metric_type for e in made.heard["performance"]] == ["live_tick"] * 6
        assert data.events == tuple(reversed(made.heard["performance"]))


# -- live ------------------------------------------------------------------------------------------


async def test_live_data_holds_every_kind_of_event() -> None:
    async with bed(waves(9), live=True, topics=("signal", "error")) as made:
        made.strategy(wavy)
        made.instance().start()
        await made.until(5)
        assert (await Live.cancel(SYMBOL, "asked")).startswith("cancelled with the market")
        await made.until(130)
        data = await Live.get_data(SYMBOL, "asked")
        transitions = [str(r.action) for r in made.heard["signal"]]
        shown = [e.action for e in reversed(data.event_list)]
        assert [action for action in shown if action != "active"] == transitions
        assert set(shown) == {"scheduled", "opened", "active", "closed", "cancelled"}
        assert data.total_events == len(shown)
        assert data.total_closed == transitions.count("closed") == data.total_signals
        assert data.total_cancelled == transitions.count("cancelled") == 1
        assert data.total_scheduled == transitions.count("scheduled")
        report = await Live.get_report(SYMBOL, "asked")
        assert report.startswith("# Live Trading Report: asked\n")
        assert "| CANCELLED |" in report and "| operator |" in report
        with pytest.raises(NotRegisteredError):
            await Live.get_data("ETHUSDT", "asked")


async def test_live_reports_hold_milestones_refusals_and_schedules() -> None:
    async with bed(waves(9), live=True, topics=()) as made:
        made.listen("risk", "partial_profit", "partial_loss", "signal")
        add_risk(risk_name="r", validations=[{"validate": refusing, "note": "not at fifty"}])
        made.strategy(wavy, risk_name="r")
        made.instance().start()
        await made.until(130)
        partial = await Partial.get_data(SYMBOL, "asked")
        assert partial.total_profit == len(made.heard["partial_profit"]) > 0
        assert partial.total_loss == len(made.heard["partial_loss"]) > 0
        assert not partial.event_list[0].backtest
        risk = await Risk.get_data(SYMBOL, "asked")
        assert risk.event_list == tuple(reversed(made.heard["risk"])) and risk.total_rejections == 2
        schedule = await Schedule.get_data(SYMBOL, "asked")
        assert schedule.total_scheduled == 3
        # A new session begins with nothing.
        made.instance().stop()
        await made.until(163)
        assert made.instance().status == "done"
        made.instance().start()
        await made.until(164)
        assert (await Partial.get_data(SYMBOL, "asked")).total_events == 0
        assert (await Risk.get_data(SYMBOL, "asked")).total_rejections == 0
        assert (await Live.get_data(SYMBOL, "asked")).total_trades == 0


async def test_live_statistics_are_those_of_a_backtest_of_the_same_minutes() -> None:
    """Same trades, same frame, so the same figures, overnight marks included."""
    last, much_later = 1440 + 100, 4 * 1440 + 5
    rows = path([100 + (n % 37) * 0.2 for n in range(much_later + 20)])
    answers = {30: 60, 1300: 200}  # the second one is open at midnight

    def get_signal(symbol: str, when: datetime) -> Signal | None:
        minutes = answers.get(minute_of(when))
        return None if minutes is None else Signal("long", 300, 50, minutes)

    def figures(data: Any) -> dict[str, Any]:
        names = [
            "total_trades", "total_pnl", "total_return", "max_drawdown", "daily_sharpe_ratio",
            "exposure", "cagr", "avg_duration_minutes",
        ]  # fmt: skip
        return {name: getattr(data, name) for name in names}

    async def expected(end: int) -> dict[str, Any]:
        async with bed(rows, frame=(0, end), topics=()) as made:
            made.strategy(get_signal)
            await made.results()
            data = await Backtest.get_data(SYMBOL, "asked")
            assert data.total_trades == 2
            return figures(data)

    store = MemoryStore()
    async with bed(rows, live=True, store=store, topics=()) as made:
        made.strategy(get_signal)
        made.instance().start()
        await made.until(last)
        assert figures(await Live.get_data(SYMBOL, "asked")) == await expected(last)
    # Another process, days later, which has no bars of that midnight until it is asked.
    clock = SimulatedClock(T0 + much_later * MINUTE)
    async with Engine(clock=clock, store=store) as engine:
        function = serving(rows)
        add_exchange(exchange_name="memory", get_candles=function, intervals=("1m",))
        add_strategy(strategy_name="asked", interval="1m", get_signal=get_signal)
        with clock.working():
            [instance] = (await engine.recover()).instances
            await clock.sleep_until(clock.now() + 1000)
            market = instance.execution.market  # type: ignore[union-attr]
            assert market.minutes(SYMBOL).first > T0 + DAY
            assert figures(await Live.get_data(SYMBOL, "asked")) == await expected(much_later)
            assert market.minutes(SYMBOL).first <= T0 + DAY
            assert (await Heat.get_data("asked")).rows[0].total_trades == 2


async def test_a_restarted_run_reports_as_if_it_had_gone_on(tmp_path: Path) -> None:
    rows = waves(12)
    stops = (37, 47, 95, 140, 163)
    state = tmp_path / "state.db"

    async def figures(until: Sequence[int], state: str | Path) -> Any:
        now = T0
        for number, minute in enumerate(until):
            clock = SimulatedClock(now)
            async with Engine(clock=clock, state=state) as engine:
                engine.configure(RELAXED, unsafe=True)
                function = serving(rows, clock)
                add_exchange(exchange_name="memory", get_candles=function, intervals=("1m",))
                add_risk(risk_name="r", validations=[{"validate": refusing, "note": "no"}])
                add_strategy(strategy_name="asked", interval="1m", get_signal=wavy, risk_name="r")
                with clock.working():
                    if number:
                        await engine.recover()
                    else:
                        engine.live(SYMBOL, strategy_name="asked", exchange_name="memory").start()
                    await clock.sleep_until(T0 + minute * MINUTE + 30_000)
                    live = await Live.get_data(SYMBOL, "asked")
                    schedule = await Schedule.get_data(SYMBOL, "asked")
                    partial = await Partial.get_data(SYMBOL, "asked")
                    risk = await Risk.get_data(SYMBOL, "asked")
                    now = clock.now()
        shown = [e.action for e in live.event_list if e.action != "active"]
        return {
            "statistics": [getattr(live, n) for n in (
                "total_trades", "total_pnl", "sharpe_ratio", "total_return", "exposure", "sqn",
            )],
            "events": (live.total_events, live.total_opened, live.total_scheduled,
                       live.total_cancelled, shown, len(partial.event_list)),
            "schedule": (schedule.total_scheduled, schedule.total_opened, schedule.activation_rate,
                         schedule.avg_activation_time, len(schedule.event_list)),
            "partial": (partial.total_profit, partial.total_loss),
            "risk": (risk.total_rejections, dict(risk.by_symbol), len(risk.event_list)),
        }  # fmt: skip

    whole = await figures(stops[-1:], ":memory:")
    assert whole["statistics"][0] > 5 and whole["risk"][0] > 1 and whole["schedule"][1] > 1
    assert await figures(stops, state) == whole
