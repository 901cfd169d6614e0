"""Registering components: conformance cases 1 to 9, and what each schema refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from engine import (
    AlreadyRegisteredError,
    Backtest,
    ColumnsError,
    Engine,
    Live,
    NotRegisteredError,
    Partial,
    Portfolio,
    SchemaError,
    SettingsError,
    add_exchange,
    add_frame,
    add_risk,
    add_sizing,
    add_strategy,
    list_exchanges,
    list_frames,
    list_optimizers,
    list_risks,
    list_sizings,
    list_strategies,
    list_walkers,
    set_columns,
    set_config,
)
from engine.domain.schemas import StrategySchema, is_async

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def nothing(*_: Any) -> None:
    return None


def frame(**changes: Any) -> dict[str, Any]:
    return {"frame_name": "f", "interval": "1m", "start_date": DAY, "end_date": DAY, **changes}


async def test_listing_keeps_order_notes_and_callbacks() -> None:
    async with Engine():
        assert list_strategies() == list_exchanges() == list_frames() == list_risks() == []
        assert list_sizings() == list_walkers() == list_optimizers() == []
        callbacks = {"on_open": nothing}
        add_strategy(
            strategy_name="b", interval="5m", get_signal=nothing, note="n", callbacks=callbacks
        )
        add_strategy(strategy_name="a", interval="1m", get_signal=nothing)
        assert [s.strategy_name for s in list_strategies()] == ["b", "a"]
        assert list_strategies()[0].note == "n"
        assert list_strategies()[0].callbacks == callbacks
        pairs = [("z", "first"), ("a", "second")]
        for name, note in pairs:
            add_exchange(
                exchange_name=name, get_candles=nothing, note=note,
                callbacks={"on_candle_data": nothing},
            )  # fmt: skip
            add_frame(**frame(frame_name=name, note=note, callbacks={"on_timeframe": nothing}))
            add_risk(risk_name=name, note=note, callbacks={"on_allowed": nothing})
            add_sizing(
                sizing_name=name, method="kelly-criterion", note=note,
                callbacks={"on_calculate": nothing},
            )  # fmt: skip
        for listed in (list_exchanges(), list_frames(), list_risks(), list_sizings()):
            assert [(item.name, item.note) for item in listed] == pairs
            assert all(list(item.callbacks.values()) == [nothing] for item in listed)


async def test_a_second_registration_of_a_name_is_an_error() -> None:
    async with Engine():
        adders = [
            partial(add_strategy, strategy_name="n", interval="1m", get_signal=nothing),
            partial(add_exchange, exchange_name="n", get_candles=nothing),
            partial(add_frame, **frame(frame_name="n")),
            partial(add_risk, risk_name="n"),
        ]
        for add in adders:
            add()
            with pytest.raises(AlreadyRegisteredError, match="'n' already exists"):
                add()


async def test_what_fails_its_checks_leaves_the_name_free() -> None:
    async with Engine():
        with pytest.raises(SchemaError, match=r"strategy 's'.*get_signal is missing"):
            add_strategy({"strategy_name": "s", "interval": "1m"})
        assert list_strategies() == []
        add_strategy(strategy_name="s", interval="1m", get_signal=nothing)
        assert len(list_strategies()) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy_name": ""}, "strategy_name"),
        ({"strategy_name": 5}, "strategy_name"),
        ({"interval": "7m"}, "must be one of 1m, 3m"),
        ({"interval": "2h"}, "must be one of 1m, 3m"),
        ({"interval": 5}, "interval"),
        ({"get_signal": "text"}, "get_signal"),
        ({"risk_list": ["a", "b", "a"]}, "twice"),
        ({"risk_list": "abc"}, "risk_list"),
        ({"risk_list": [1]}, "risk_list"),
        ({"risk_name": 7}, "risk_name"),
        ({"callbacks": {"on_fire": nothing}}, "on_fire unknown: use on_tick"),
        ({"callbacks": {"on_open": 5}}, "on_open"),
        ({"params": [1]}, "params"),
        ({"colour": "red"}, "colour is not a field"),
    ],
)
async def test_strategies_that_are_refused(changes: dict[str, Any], words: str) -> None:
    fields = {"strategy_name": "s", "interval": "1m", "get_signal": nothing}
    async with Engine():
        with pytest.raises(SchemaError, match="strategy") as caught:
            add_strategy(**{**fields, **changes})
        assert words in str(caught.value)
        assert list_strategies() == []


async def test_all_faults_of_a_schema_come_in_one_error() -> None:
    async with Engine():
        with pytest.raises(SchemaError) as caught:
            add_strategy({"strategy_name": "s", "interval": "7m", "risk_list": 5})
        for name in ("interval", "get_signal", "risk_list"):
            assert name in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start_date": "2024-01-01"}, "must be a datetime"),
        ({"end_date": None}, "must be a datetime"),
        ({"start_date": DAY.date()}, "must be a datetime"),
        ({"start_date": DAY + timedelta(seconds=1)}, "start_date is not a whole minute"),
        ({"end_date": DAY + timedelta(milliseconds=1)}, "end_date is not a whole minute"),
        ({"interval": "7m"}, "must be one of 1m"),
    ],
)
async def test_frames_that_are_refused(changes: dict[str, Any], words: str) -> None:
    async with Engine():
        with pytest.raises(SchemaError, match="frame 'f'") as caught:
            add_frame(**frame(**changes))
        assert words in str(caught.value)


async def test_a_naive_date_is_utc_and_an_aware_one_is_converted() -> None:
    async with Engine():
        first = add_frame(**frame(start_date=DAY.replace(tzinfo=None)))
        shifted = DAY.astimezone(UTC) + timedelta(hours=2)
        second = add_frame(**frame(frame_name="g", start_date=shifted - timedelta(hours=2)))
        assert first.start_date == second.start_date == 1_704_067_200_000


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"exchange_name": "x"}, "get_candles is missing"),
        ({"exchange_name": "x", "get_candles": 5}, "get_candles"),
        ({"exchange_name": "x", "get_candles": nothing, "format_price": 5}, "format_price"),
        ({"exchange_name": "x", "get_candles": nothing, "intervals": ["7m"]}, "intervals"),
        ({"exchange_name": "x", "get_candles": nothing, "callbacks": {"x": nothing}}, "x unknown"),
    ],
)
async def test_exchanges_that_are_refused(fields: dict[str, Any], words: str) -> None:
    async with Engine():
        with pytest.raises(SchemaError, match="exchange 'x'") as caught:
            add_exchange(**fields)
        assert words in str(caught.value)


@pytest.mark.parametrize("validations", [5, nothing, [5], [{"note": "n"}], [{"validate": 5}]])
async def test_risk_validations_that_are_refused(validations: Any) -> None:
    async with Engine():
        with pytest.raises(SchemaError, match=r"risk 'r'.*validations"):
            add_risk(risk_name="r", validations=validations)


async def test_unknown_names_are_errors_of_the_call_and_say_what_there_is() -> None:
    async with Engine():
        add_strategy(strategy_name="sma-cross", interval="1m", get_signal=nothing)
        add_strategy(strategy_name="risky", interval="1m", get_signal=nothing, risk_list=["limit"])
        add_exchange(exchange_name="x", get_candles=nothing)
        add_frame(**frame())
        names: dict[str, Any] = {
            "strategy_name": "sma-cross",
            "exchange_name": "x",
            "frame_name": "f",
        }
        for name, kind in (
            ("strategy_name", "strategy"), ("exchange_name", "exchange"), ("frame_name", "frame"),
        ):  # fmt: skip
            for call in (Backtest.run, Backtest.background):
                with pytest.raises(NotRegisteredError, match=f"{kind} 'nope' not found"):
                    call("BTCUSDT", **{**names, name: "nope"})
        live: dict[str, Any] = {"strategy_name": "sma-cross", "exchange_name": "x"}
        for name in live:
            for start in (Live.run, Live.background):
                with pytest.raises(NotRegisteredError, match="'nope' not found"):
                    start("BTCUSDT", **{**live, name: "nope"})
        with pytest.raises(NotRegisteredError, match=r"risky.*risk 'limit' not found"):
            Backtest.run("BTCUSDT", **{**names, "strategy_name": "risky"})
        with pytest.raises(NotRegisteredError, match="Did you mean 'sma-cross'"):
            Backtest.run("BTCUSDT", **{**names, "strategy_name": "sma_cros"})


async def test_the_decorator_registers_and_gives_the_function_back() -> None:
    async with Engine():

        @add_strategy(strategy_name="decorated", interval="5m")
        async def asked(symbol: str, when: datetime) -> None:
            return None

        assert list_strategies()[0].get_signal is asked
        with pytest.raises(SchemaError, match="interval"):
            add_strategy(strategy_name="other", interval="9m")
        with pytest.raises(SchemaError, match="not both"):
            schema = StrategySchema(strategy_name="z", interval="1m", get_signal=asked)
            add_strategy(schema, note="n")
        add_strategy(StrategySchema(strategy_name="z", interval="1m", get_signal=asked))
        add_strategy({"strategy_name": "y", "interval": "1m", "get_signal": asked})
        assert [s.strategy_name for s in list_strategies()] == ["decorated", "z", "y"]
        with pytest.raises(SchemaError, match="got int"):
            add_strategy(5)  # type: ignore[arg-type]


async def test_engines_share_no_registrations() -> None:
    async with Engine():
        add_risk(risk_name="r")
        async with Engine():
            assert list_risks() == []
            add_risk(risk_name="r")
        assert len(list_risks()) == 1


def test_risk_names_start_with_risk_name_and_hold_each_once() -> None:
    made = StrategySchema(
        strategy_name="s", interval="1m", get_signal=nothing, risk_name="a", risk_list=("b", "a")
    )
    assert made.risk_names == ("a", "b")
    assert StrategySchema(strategy_name="s", interval="1m", get_signal=nothing).risk_names == ()


def test_which_functions_are_coroutine_functions() -> None:
    async def coroutine(symbol: str, when: datetime) -> None: ...

    class Callable:
        async def __call__(self, symbol: str, when: datetime) -> None: ...

        async def method(self, symbol: str, when: datetime) -> None: ...

    assert is_async(coroutine)
    assert is_async(partial(coroutine, "x"))
    assert is_async(Callable())
    assert is_async(Callable().method)
    assert not is_async(nothing)
    assert not is_async(lambda s, w: coroutine(s, w))


async def test_what_is_no_text_is_no_name() -> None:
    """A number for a name is told by name, wherever it is given."""
    async with Engine():
        add_strategy(strategy_name="s", interval="1m", get_signal=nothing)
        add_exchange(exchange_name="x", get_candles=nothing)
        where: Any = {"exchange_name": "x", "frame_name": ["f"]}
        with pytest.raises(NotRegisteredError, match=r"frame \['f'\] not found. A name is text"):
            Backtest.run("S", strategy_name="s", **where)
        with pytest.raises(SchemaError, match="Live: symbol is 5: must be text"):
            Live.run(5, strategy_name="s", exchange_name="x")  # type: ignore[arg-type]
        with pytest.raises(SchemaError, match=r"exchange_name is \{\}, frame_name is 7: must be"):
            await Backtest.get_data("S", "s", exchange_name={}, frame_name=7)  # type: ignore[arg-type]
        with pytest.raises(SchemaError, match="report: symbol is 5"):
            await Partial.get_data(5, "s")  # type: ignore[arg-type]
        with pytest.raises(SchemaError, match="members is 5: must be a list of pairs"):
            Portfolio.run(5, exchange_name="x", frame_name="f")  # type: ignore[arg-type]
        for change, error in ((set_config, SettingsError), (set_columns, ColumnsError)):
            with pytest.raises(error, match="are 5: must be a mapping"):
                change(5)  # type: ignore[arg-type]
