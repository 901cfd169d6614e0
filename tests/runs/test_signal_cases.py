"""Signals in a run, case by case: what is refused, opened, scheduled (conformance 16.E, 16.F)."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime
from typing import Any

import pytest

from engine import Backtest, Engine, Signal, add_exchange, add_frame, add_strategy
from engine.domain.errors import SignalValidationError, StrategyTimeoutError
from engine.domain.time import from_ms
from tests.runs.bed import SYMBOL, T0, bed, flat, long, minute_of, serving

TRIGGERS = pytest.mark.parametrize("trigger", ["vwap", "touch"])
WIDE = {"max_stoploss_distance_percent": 100.0}
TP, SL, OPEN = "price_take_profit", "price_stop_loss", "price_open"


def valid(position: str = "long", **changes: Any) -> dict[str, Any]:
    """A valid signal around 50000 with some of its fields changed."""
    levels = (51_000, 49_000) if position == "long" else (49_000, 51_000)
    fields = {"position": position, TP: levels[0], SL: levels[1], "minute_estimated_time": 60}
    return {**fields, **changes}


REFUSED: list[tuple[int, dict[str, Any], tuple[str, ...]]] = [
    (53, valid(price_take_profit=49_500), (TP, "must be above open")),
    (54, valid(price_stop_loss=50_500), (SL, "must be below open")),
    (55, valid("short", price_take_profit=50_500), (TP, "must be below open")),
    (56, valid("short", price_stop_loss=49_500), (SL, "must be above open")),
    (57, valid(price_take_profit=50_000), (TP, "must be above open")),
    (57, valid("short", price_take_profit=50_000), (TP, "must be below open")),
    (58, valid(price_stop_loss=0), (SL, "must be positive")),
    (59, valid(price_open=-1), (OPEN, "must be positive")),
    (60, valid(price_open=math.nan), (OPEN, "finite number")),
    (60, valid(price_take_profit=math.inf), (TP, "finite number")),
    (61, valid(minute_estimated_time=0), ("minute_estimated_time", "must be positive")),
    (61, valid(minute_estimated_time=-60), ("minute_estimated_time", "must be positive")),
    (61, valid(minute_estimated_time=1.5), ("minute_estimated_time", "integer")),
    # The market stands at 50000: beyond the stop-loss of what would open at once, and just at it.
    (65, valid(price_open=53_000, price_take_profit=54_000, price_stop_loss=51_000),
     ("stopped_out",)),
    (65, valid("short", price_open=47_000, price_take_profit=46_000, price_stop_loss=49_000),
     ("stopped_out",)),
    (66, valid(price_stop_loss=50_000), ("stopped_out",)),
    (66, valid(price_take_profit=50_000), ("already_taken",)),
    (66, valid("short", price_stop_loss=50_000), ("stopped_out",)),
    (66, valid("short", price_take_profit=50_000), ("already_taken",)),
    (70, valid(price_take_profit=-1, price_stop_loss=math.nan, minute_estimated_time=0),
     (TP, "must be positive", SL, "finite number", "minute_estimated_time")),
]  # fmt: skip


@TRIGGERS
async def test_53_to_66_and_70_each_bad_signal_is_one_error_and_no_position(trigger: str) -> None:
    def get_signal(symbol: str, when: datetime) -> Any:
        minute = minute_of(when)
        return REFUSED[minute][1] if minute < len(REFUSED) else None

    last = len(REFUSED) + 2
    config = {**WIDE, "exit_trigger": trigger}
    async with bed(flat(-10, last + 90, 50_000), frame=(0, last), config=config) as made:
        made.strategy(get_signal)
        assert await made.results() == []
        assert made.actions() == [], "not one was opened or scheduled"
        errors = made.heard["error"]
        assert [minute_of(error.when) for error in errors] == list(range(len(REFUSED)))
        for error, (case, answer, words) in zip(errors, REFUSED, strict=True):
            assert isinstance(error.cause, SignalValidationError), case
            assert error.stage == "validation", case
            lines = str(error.cause).splitlines()
            assert all(line.startswith(f"{answer['position']}: ") for line in lines), case
            for word in words:
                assert word in (error.cause.codes if "_" in word else ()) or word in str(error), (
                    case
                )
            assert len(lines) == len(error.cause.codes), case
        assert len(errors[-1].cause.codes) >= 3, "all faults of one signal in one error"
        assert len(made.heard["done_backtest"]) == 1


SETTLED: list[tuple[int, dict[str, Any], dict[str, Any], str]] = [
    (52, {}, valid(), ""),
    (52, {}, valid("short"), ""),
    (52, {}, valid(price_open=50_000), ""),
    (52, {}, valid("short", price_open=50_000), ""),
    (62, {"min_takeprofit_distance_percent": 0.3}, valid(price_take_profit=50_012), "tp_close"),
    (62, {"min_takeprofit_distance_percent": 0.3}, valid(price_take_profit=50_150), ""),
    (62, {"min_takeprofit_distance_percent": 0.3}, valid("short", price_take_profit=49_850), ""),
    (63, {"max_stoploss_distance_percent": 20.0}, valid(price_stop_loss=24_000), "sl_far"),
    (63, {"max_stoploss_distance_percent": 20.0}, valid(price_stop_loss=40_000), ""),
    (64, {"max_signal_lifetime_minutes": 43_200}, valid(minute_estimated_time=50_000), "lifetime"),
    (64, {"max_signal_lifetime_minutes": 43_200}, valid(minute_estimated_time=43_200), ""),
    (67, {}, valid(price_take_profit=107_000), ""),
    (68, {}, valid(price_take_profit=50_250), ""),
    (69, {}, valid("wait"), "wait"),
    (69, {}, {"position": "wait"}, "wait"),
]


@TRIGGERS
async def test_52_62_to_64_and_67_to_69_what_is_accepted_and_at_which_bound(trigger: str) -> None:
    rows = flat(-10, 5, 50_000)
    for case, changes, answer, outcome in SETTLED:
        config = {**WIDE, **changes, "exit_trigger": trigger}
        async with bed(rows, frame=(0, 0), config=config) as made:
            made.strategy(lambda s, w, answer=answer: answer)
            await made.results()
            opened = made.actions()[:1] == [("opened", 0)]
            codes = [error.cause.codes for error in made.heard["error"]]
            assert opened is (outcome == ""), (case, answer)
            assert codes == ([(outcome,)] if outcome not in ("", "wait") else []), (case, answer)


async def test_68_half_a_percent_and_a_distant_target_pass_the_defaults() -> None:
    for target in (42_210.0, 90_000.0):
        async with Engine() as engine:
            actions: list[str] = []
            engine.bus.subscribe(
                "signal", lambda r, to=actions: to.append(str(r.action)), transitions_only=True
            )
            add_exchange(
                exchange_name="memory", get_candles=serving(flat(-10, 9, 42_000)), intervals=["1m"]
            )
            add_frame(frame_name="f", interval="1m", start_date=from_ms(T0), end_date=from_ms(T0))
            add_strategy(
                strategy_name="s", interval="1m",
                get_signal=lambda s, w, target=target: Signal("long", target, 41_000, 60),
            )  # fmt: skip
            run: Any = Backtest.run(
                SYMBOL, strategy_name="s", exchange_name="memory", frame_name="f"
            )
            assert [str(r.close_reason) async for r in run] == ["end_of_data"]
            await engine.bus.flush()
            assert actions == ["opened", "closed"]


ENTRIES: list[tuple[int, Signal, bool]] = [
    (71, long(5), False),
    (71, Signal("short", 90, 110, 5), False),
    (72, long(5, entry=102.5), False),
    (72, long(5, entry=100), False),
    (72, Signal("short", 90, 110, 5, price_open=97.5), False),
    (72, Signal("short", 90, 110, 5, price_open=100), False),
    (73, long(5, entry=97.5), True),
    (73, Signal("short", 90, 110, 5, price_open=102.5), True),
]


@TRIGGERS
async def test_71_to_74_what_opens_at_once_and_what_waits(trigger: str) -> None:
    """Whatever opens at once opens at market, better entry wanted or not (defect D15)."""
    for case, signal, waits in ENTRIES:
        called: list[str] = []
        names = ("on_open", "on_schedule", "on_cancel")
        noting = {n: lambda *_, n=n, called=called: called.append(n) for n in names}
        config = {"exit_trigger": trigger, "schedule_await_minutes": 3}
        async with bed(frame=(0, 0), config=config) as made:
            made.strategy(
                lambda s, w, signal=signal: {
                    **{name: getattr(signal, name) for name in (TP, SL, OPEN)},
                    "position": signal.position, "minute_estimated_time": 5,
                    "note": "**bold** x\n- y",
                },
                callbacks=noting,
            )  # fmt: skip
            [result] = await made.results()
            first, row = made.heard["signal"][0], result.signal
            assert made.errors() == []
        if waits:
            assert (str(first.action), result.action) == ("scheduled", "cancelled"), case
            assert first.signal.is_scheduled and first.signal.price_open == signal.price_open
            assert called == ["on_schedule", "on_cancel"], case
        else:
            assert (str(first.action), result.action) == ("opened", "closed"), case
            assert first.current_price == row.price_open == 100, (case, "at market")
            assert called == ["on_open"], case
        assert row.scheduled_at == row.pending_at == T0, case
        assert row.id and row.note == "bold x • y"
        assert str(row.position) == signal.position
        assert (row.price_take_profit, row.price_stop_loss) == (
            signal.price_take_profit, signal.price_stop_loss,
        )  # fmt: skip
        assert (row.symbol, row.strategy_name, row.exchange_name) == (SYMBOL, "asked", "memory")


async def test_75_nobody_is_asked_while_a_signal_waits_or_is_open() -> None:
    calls: list[int] = []

    def get_signal(symbol: str, when: datetime) -> Signal:
        calls.append(minute_of(when))
        return long(4, entry=99)

    rows = [*flat(-10, 6), *flat(6, 40, 98.5)]
    async with bed(rows, frame=(0, 11), config={"exit_trigger": "touch"}) as made:
        made.strategy(get_signal)
        await made.results()
        assert made.actions()[:5] == [
            ("scheduled", 0), ("opened", 7), ("closed", 11), ("opened", 11), ("closed", 15),
        ]  # fmt: skip
    assert calls == [0, 11]


async def test_76_a_strategy_of_five_minutes_on_frames_of_one() -> None:
    calls: list[int] = []
    async with bed(frame=(0, 30)) as made:
        made.strategy(lambda s, w: calls.append(minute_of(w)), interval="5m")
        await made.results()
    assert calls == [0, 5, 10, 15, 20, 25, 30]


async def test_77_an_answer_that_comes_too_late_is_an_error_and_the_instant_is_idle() -> None:
    idle: list[int] = []

    async def get_signal(symbol: str, when: datetime) -> None:
        await asyncio.Event().wait()

    no_time = {"max_signal_generation_seconds": 0}
    async with bed(frame=(0, 2), config=no_time, ticks=True) as made:
        made.engine.bus.subscribe(
            "signal", lambda r: idle.append(minute_of(r.when)) if r.action == "idle" else None
        )
        made.strategy(get_signal)
        assert await made.results() == []
        assert [type(error.cause) for error in made.heard["error"]] == [StrategyTimeoutError] * 3
    assert idle == [0, 1, 2]


@pytest.mark.parametrize("live", [False, True], ids=["backtest", "live"])
async def test_78_a_row_is_written_before_it_opens_and_cleared_after_it_closes(live: bool) -> None:
    order: list[str] = []

    def noting(name: str) -> Any:
        def callback(symbol: str, row: Any, *_: Any) -> None:
            order.append(name if row is not None else f"{name} None")

        return callback

    async with bed(live=live, frame=(0, 5)) as made:
        names = ("on_write", "on_open", "on_close")
        made.strategy(
            lambda s, w: long(2) if minute_of(w) in (0, 3) else None,
            callbacks={name: noting(name) for name in names},
        )
        if live:
            made.instance().start()
            await made.until(6)
        else:
            await made.results()
    assert order == ["on_write", "on_open", "on_close", "on_write None"] * 2
