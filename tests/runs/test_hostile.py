"""Whatever comes in from outside while a position is held: the position is closed as it would be.

Strategies, callbacks, listeners, exchanges and callers of the engine do what they like at any
minute. Nobody hears of anything but `EngineError`, and of the position's close exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engine import (
    Backtest,
    Engine,
    EngineError,
    Live,
    Partial,
    Portfolio,
    Signal,
    Walker,
    add_exchange,
    add_frame,
    add_risk,
    add_sizing,
    add_strategy,
    add_walker,
    listen_error,
    listen_signal,
    open_exchange,
    set_columns,
    set_config,
)
from engine.domain.schemas import STRATEGY_CALLBACKS
from tests.runs.bed import MINUTE, SYMBOL, T0, Row, bed, minute_of, path, serving
from tests.runs.test_nonsense import BUSY, Hostile, answers, value

OTHERS = {"exchange_name": "memory", "frame_name": "frame"}
ROWS = path([100, 101, 99, 98, 102, 103, 101, 112, 112, 112, 112, 112, 112], before=10)
"""A long opened at 0 with its target at 110 is closed at minute 8, by the bar opened at 7."""

AFTER = {"exit_trigger": "touch", "avg_price_candles_count": 1}


class FailsWhenAwaited:
    def __await__(self) -> Any:
        raise RuntimeError("hostile")
        yield


def raising(*_: Any, **__: Any) -> Any:
    raise RuntimeError("hostile")


async def failing(*_: Any, **__: Any) -> Any:
    await asyncio.sleep(0)
    raise ValueError("hostile")


async def cancelled(*_: Any, **__: Any) -> Any:
    raise asyncio.CancelledError


def leaving(*_: Any, **__: Any) -> Any:
    raise SystemExit(3)


functions = st.sampled_from(
    (raising, failing, cancelled, leaving, lambda *_: Hostile(), lambda *_: FailsWhenAwaited())
)
minutes = st.integers(1, 7)
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
"""What fails is small enough to be read, and making it smaller would take minutes."""

CALLS: tuple[Callable[[Any, Any], Any], ...] = (
    lambda a, b: set_config(a),
    lambda a, b: set_config({"percent_fee": a, "exit_trigger": b}),
    lambda a, b: set_columns({"live_columns": a}),
    lambda a, b: set_columns(a),
    lambda a, b: add_strategy(strategy_name=a, interval="1m", get_signal=b),
    lambda a, b: add_strategy(a),
    lambda a, b: add_exchange(exchange_name="new", get_candles=a, intervals=b),
    lambda a, b: add_frame(frame_name="new", interval="1m", start_date=a, end_date=b),
    lambda a, b: add_risk(risk_name=a, validations=b),
    lambda a, b: add_sizing(sizing_name="new", method=a, risk_percentage=b),
    lambda a, b: add_walker(walker_name="new", strategies=a, grid=b, exchange_name="memory"),
    lambda a, b: open_exchange(a, b),
    lambda a, b: Live.background(a, strategy_name="asked", exchange_name=b),
    lambda a, b: Live.run(SYMBOL, strategy_name=a, exchange_name=b),
    lambda a, b: Live.cancel(a, b),
    lambda a, b: Live.get_data(SYMBOL, a, exchange_name=b),
    lambda a, b: Live.get_report(SYMBOL, "asked", a),
    lambda a, b: Backtest.stop(a, b),
    lambda a, b: Backtest.run(a, strategy_name=b, **OTHERS),
    lambda a, b: Backtest.get_data(a, b),
    lambda a, b: Walker.run(a, walker_name=b),
    lambda a, b: Portfolio.run(a, exchange_name=b, frame_name="frame"),
    lambda a, b: Partial.get_data(a, b, mode=a),
)
arguments = value.filter(lambda given_: not isinstance(given_, Hostile))
"""What a caller may have instead of a name or setting; its own exceptions would be its own."""

calls = st.tuples(st.sampled_from(CALLS), arguments, arguments)


class Attack:
    """One example: what happens to a run, and when."""

    def __init__(self, data: st.DataObject, live: bool) -> None:
        self.data = data
        self.live = live
        self.callbacks = data.draw(
            st.dictionaries(st.sampled_from(STRATEGY_CALLBACKS), functions, max_size=3), "callbacks"
        )
        self.listener = data.draw(st.none() | functions, "listener")
        self.answers = data.draw(st.dictionaries(minutes, answers, max_size=3), "answers")
        self.rows = data.draw(st.dictionaries(minutes, answers, max_size=2), "rows")
        self.calls = data.draw(st.dictionaries(minutes, calls, max_size=3), "calls")
        self.wrong: list[BaseException] = []

    def asked(self, symbol: str, when: datetime) -> Signal | None:
        return Signal("long", 110, 50, 60) if minute_of(when) == 0 else None

    async def other(self, symbol: str, when: datetime) -> Any:
        """A strategy beside the one that holds something; it also calls the engine."""
        if (call := self.calls.get(minute_of(when))) is not None:
            await self.call(*call)
        return self.answers.get(minute_of(when))

    async def call(self, function: Callable[[Any, Any], Any], a: Any, b: Any) -> None:
        try:
            given_ = function(a, b)
            if asyncio.iscoroutine(given_):
                given_ = await given_
            if hasattr(given_, "aclose"):
                with suppress(EngineError):
                    await given_.aclose()
        except EngineError as error:
            assert str(error)
        except Exception as error:
            self.wrong.append(error)

    def candles(self, made: Any, good: Any) -> Any:
        def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Any:
            now = made().engine.clock.now()
            minute = (now - T0) // MINUTE
            if minute in self.rows and now < T0 + minute * MINUTE + 20_000:
                return self.rows[minute]
            return good(symbol, interval, since, limit)

        return get_candles


async def survived(attack: Attack, rows: list[Row] = ROWS) -> None:
    holder: list[Any] = []
    async with bed(live=attack.live, frame=(0, 9), config=AFTER) as made:
        holder.append(made)
        good = serving(rows, made.clock)
        hostile = attack.candles(lambda: holder[0], good) if attack.live else good
        add_exchange(exchange_name="hostile", get_candles=hostile, intervals=("1m",))
        made.strategy(attack.asked, callbacks=attack.callbacks)
        made.strategy(attack.other, "other")
        if attack.listener is not None:
            listen_signal(attack.listener)
            listen_error(attack.listener)
        await played(made, attack)
        told = {**made.heard}
        results = [r for r in told["signal"] if r.strategy_name == "asked"]
        assert [(str(r.action), minute_of(r.when)) for r in results] == [
            ("opened", 0), ("closed", 8),
        ]  # fmt: skip
        closed = results[1]
        assert (str(closed.close_reason), closed.current_price) == ("take_profit", 110)
        assert all(isinstance(error, EngineError) for error in told["error"] + told["exit"])
        assert attack.wrong == []


async def played(made: Any, attack: Attack) -> None:
    engine: Engine = made.engine
    where = {"exchange_name": "hostile"}
    if attack.live:
        runs = [engine.live(SYMBOL, strategy_name=n, **where) for n in ("asked", "other")]
        for run in runs:
            run.start()
        await made.until(10)
        assert runs[0].status == "running"
    else:
        where["frame_name"] = "frame"
        runs = [engine.backtest(SYMBOL, strategy_name=n, **where) for n in ("other", "asked")]
        for run in runs:
            run.start()
        await asyncio.gather(*(run.wait() for run in runs))
        await engine.bus.flush()
        assert runs[1].status == "done"


@settings(BUSY, max_examples=30, phases=QUICK)
@given(st.data())
def test_a_live_position_is_closed_as_if_nothing_had_happened(data: st.DataObject) -> None:
    asyncio.run(survived(Attack(data, live=True)))


@settings(BUSY, max_examples=30, phases=QUICK)
@given(st.data())
def test_a_backtest_position_is_closed_as_if_nothing_had_happened(data: st.DataObject) -> None:
    asyncio.run(survived(Attack(data, live=False)))
