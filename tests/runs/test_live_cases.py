"""Conformance cases 124 to 133: a live run as its listeners and callbacks see it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from engine import (
    Action,
    Live,
    Signal,
    add_risk,
    listen_done_live,
    listen_done_live_once,
    listen_performance,
    listen_signal,
    listen_signal_live,
    listen_signal_live_once,
    listen_validation,
)
from engine.domain.schemas import STRATEGY_CALLBACKS
from engine.domain.time import to_ms
from tests.runs.bed import MINUTE, SYMBOL, T0, Bed, bed, flat, long, minute_of, path

ONE_BAR = {"avg_price_candles_count": 1}
"""VWAP is the bar's own typical price: a path of closes is the path that is watched."""


def noted(made: Bed, get_signal: Any, name: str = "asked") -> list[tuple[Any, ...]]:
    """Register a strategy; every call of its callbacks, by name."""
    calls: list[tuple[Any, ...]] = []

    def noting(callback: str) -> Any:
        return lambda *given: calls.append((callback, *given))

    made.strategy(get_signal, name, callbacks={n: noting(n) for n in STRATEGY_CALLBACKS})
    return calls


def once(signal: Signal) -> Any:
    return lambda symbol, when: signal if minute_of(when) == 0 else None


async def test_listeners_hear_from_the_first_tick_on() -> None:
    """Cases 124, 125: at once, not after a minute; idle ticks have symbol, price and mode."""
    everything, live, first_active, done, ticks = [], [], [], [], []
    async with bed(live=True) as made:
        calls = noted(made, once(long(2)))
        listen_signal(everything.append)
        listen_signal_live(live.append)
        listen_signal_live_once(lambda r: r.action == "active", first_active.append)
        listen_done_live_once(lambda event: event.symbol == SYMBOL, done.append)
        listen_done_live(done.append)
        listen_performance(lambda event: ticks.append(event.metric_type))
        cancel = Live.background(SYMBOL, strategy_name="asked", exchange_name="memory")
        await made.until(0, 1)
        assert [(str(r.action), minute_of(r.when)) for r in live] == [("opened", 0)]
        await made.until(5)
        assert live == everything
        told = [(str(r.action), minute_of(r.when)) for r in live]
        ended = [("closed", 2), ("idle", 2), ("idle", 3), ("idle", 4), ("idle", 5)]
        assert told == [("opened", 0), ("active", 1), *ended]
        assert first_active == [live[1]]
        assert live[0].action is Action.OPENED
        assert [call for call in calls if call[0] == "on_idle"] == [
            ("on_idle", SYMBOL, 100.0, False)
        ] * 4
        [active] = [call for call in calls if call[0] == "on_active"]
        assert active[1:] == (SYMBOL, live[1].signal, 100.0, False)
        cancel()
        await made.until(6)
        assert [event.backtest for event in done] == [False, False], "once each"
        assert ticks == ["live_tick"] * 7
        assert len(made.heard["done_live"]) == 1


@pytest.mark.parametrize("fill", ["close", "vwap"])
async def test_levels_are_judged_by_vwap_and_booked_at_the_worse_of_level_and_market(
    fill: str,
) -> None:
    """Case 127: a touch is no exit; expiry books at market."""
    rows = path([100, 100, 100, 130, 130, 100, 80, 80, 100, 100, 100, 104, 104, 104], before=20)
    rows[22][2] = 150.0  # a high at minute 2 that VWAP, over five bars of equal volume, ignores
    answers = {0: long(60, tp=113, sl=50), 5: long(60, tp=200, sl=97), 10: long(3)}
    async with bed(rows, live=True, config={"fill_price": fill}) as made:
        made.strategy(lambda s, w: answers.get(minute_of(w)))
        made.instance().start()
        await made.until(13)
        closed = [r for r in made.heard["signal"] if r.action == "closed"]
    reasons = [str(r.close_reason) for r in closed]
    assert reasons == ["take_profit", "stop_loss", "time_expired"]

    def watched(minute: int) -> float:
        window = rows[15 + minute : 20 + minute]
        return sum((r[2] + r[3] + r[4]) / 3 for r in window) / 5

    for result, level in zip(closed, (113, 97, None), strict=True):
        minute = minute_of(result.when)
        market = rows[19 + minute][4] if fill == "close" else watched(minute)
        booked = market if level is None else min(level, market)
        assert result.current_price == pytest.approx(booked)
        if level is not None:
            before, now = watched(minute - 1), watched(minute)
            assert min(before, now) <= level <= max(before, now), "the first bar that is there"


async def test_a_scheduled_signal_whose_stop_is_reached_is_cancelled() -> None:
    """Case 128: with its event, callback and count, like in a backtest."""
    signal = Signal("long", 110, 90, 60, price_open=95)
    for live in (True, False):
        rows = path([100, 100, 89, 100, 100, 100], before=10) + flat(6, 200)
        async with bed(rows, live=live, frame=(0, 5), config=ONE_BAR) as made:
            calls = noted(made, once(signal))
            if live:
                made.instance().start()
                await made.until(5)
            else:
                await made.results()
            [result] = [r for r in made.heard["signal"] if r.action == "cancelled"]
            assert (str(result.cancel_reason), minute_of(result.when)) == ("stop_loss", 3)
            [cancel] = [call for call in calls if call[0] == "on_cancel"]
            assert cancel[1:] == (SYMBOL, result.signal, 89.0, not live)
            assert not [call for call in calls if call[0] in ("on_open", "on_close")]


async def test_a_tick_that_fails_is_one_error_and_the_next_tick_makes_up_for_it() -> None:
    """Case 130, for everything in a tick that can fail but the strategy."""

    def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        minute = (made.engine.clock.now() - T0) // MINUTE
        if minute == 3:
            raise ConnectionError("gone for a minute")
        return [row for row in flat(-20, minute) if row[0] >= to_ms(since)][:limit]

    async with bed(live=True, get_candles=get_candles) as made:
        calls = noted(made, once(long(3)))
        made.instance().start()
        await made.until(6)
        [error] = made.errors()
        assert "gone for a minute" in error
        assert made.actions() == [("opened", 0), ("closed", 3)]
        assert len([call for call in calls if call[0] == "on_active"]) == 2
        assert made.instance().status == "running"


async def test_what_a_validation_raises_is_a_refusal_and_is_heard() -> None:
    """The exception itself, before the refusal; the run goes on."""
    raised: list[Exception] = []
    refusal = ValueError("not today")

    def refuse(check: Any) -> None:
        raise refusal

    async with bed(live=True) as made:
        listen_validation(raised.append)
        add_risk(risk_name="never", validations=[refuse])
        made.strategy(once(long(3)), risk_name="never")
        made.instance().start()
        await made.until(1)
        assert raised == [refusal] and len(made.heard["risk"]) == 1
        assert made.actions() == [] and made.instance().status == "running"


async def test_stops_of_idle_closed_open_and_waiting_runs() -> None:
    """Cases 131, 132, 133: nothing new; what is open is followed, what waits is cancelled."""
    async with bed(live=True, frame=(0, 9)) as made:
        calls = {
            "idle": noted(made, lambda s, w: None, "idle"),
            "closed": noted(made, lambda s, w: long(1) if minute_of(w) < 2 else long(), "closed"),
            "open": noted(made, lambda s, w: long(4), "open"),
            "waits": noted(made, lambda s, w: long(4, entry=95), "waits"),
        }
        for name in calls:
            made.instance(name).start()
        await made.until(1)
        for name in calls:
            if name != "closed":
                made.instance(name).stop()
        await made.until(2, 0)
        made.instance("closed").stop()
        await made.until(3)
        statuses = {name: made.instance(name).status for name in calls}
        assert statuses["open"] == "stopping"
        assert statuses["idle"] == statuses["waits"] == "done"
        await made.until(9)
        assert {made.instance(name).status for name in calls} == {"done"}
        told = {
            name: [(str(r.action), minute_of(r.when)) for r in made.heard["signal"]
                   if r.strategy_name == name]
            for name in calls
        }  # fmt: skip
        assert told["idle"] == []
        assert told["open"] == [("opened", 0), ("closed", 4)]
        assert told["waits"][0] == ("scheduled", 0)
        assert [action for action, _ in told["waits"]] == ["scheduled", "cancelled"]
        assert told["closed"][-1][0] == "closed"
        for name in ("idle", "waits"):
            assert not [call for call in calls[name] if call[0] in ("on_open", "on_close")]
        [cancel] = [call for call in calls["waits"] if call[0] == "on_cancel"]
        assert cancel[1] == SYMBOL and cancel[-1] is False
        assert len(made.heard["done_live"]) == 4


@pytest.mark.parametrize("live", [False, True], ids=["backtest", "live"])
async def test_the_bar_after_an_opening_counts_and_time_is_up_to_the_minute(live: bool) -> None:
    """Defects D1 and D10: nothing is skipped after an activation, nothing ends a minute early."""
    rows = path([100, 100, 94, 100, 120, 100, 94, 100, 100, 100, 100, 100], before=10)
    answers = {
        0: Signal("long", 115, 80, 60, price_open=95), 5: Signal("long", 130, 80, 4, price_open=95),
        11: Signal("long", 130, 80, 3),
    }  # fmt: skip
    rows[13][2] = 115.0  # the first bar after the activation at minute 3 reaches the target
    rows += flat(12, 80)
    async with bed(rows, live=live, frame=(0, 11), config={"exit_trigger": "touch"}) as made:
        made.strategy(lambda s, w: answers.get(minute_of(w)))
        if live:
            made.instance().start()
            await made.until(15)
        else:
            await made.results()
        assert made.actions() == [
            ("scheduled", 0), ("opened", 3), ("closed", 4),
            ("scheduled", 5), ("opened", 7), ("closed", 11), ("opened", 11), ("closed", 14),
        ]  # fmt: skip
        closed = [r for r in made.heard["signal"] if r.action == "closed"]
        reasons = [str(r.close_reason) for r in closed]
        assert reasons == ["take_profit", "time_expired", "time_expired"]
