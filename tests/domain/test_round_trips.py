"""What is dumped is loaded again as what it was: settings, schemas, rows and events."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Engine, get_config, set_config
from engine.domain.bars import CANDLE_INTERVALS, FRAME_INTERVALS, SIGNAL_INTERVALS
from engine.domain.schemas import (
    OPTIMIZER_TEMPLATES,
    STRATEGY_CALLBACKS,
    ExchangeSchema,
    FrameSchema,
    OptimizerSchema,
    RiskSchema,
    SizingSchema,
    StrategySchema,
    make,
)
from engine.domain.settings import Settings
from engine.domain.signals import Mode, Position, RunKey, Signal, SignalRow
from engine.domain.walks import METRICS, WalkerSchema
from tests.store.store_bed import FLOATS, TEXTS, events_of, json_values, signal_rows

FEW = settings(deadline=None, max_examples=40)
KEY = RunKey(Mode.LIVE, "x", "s", "BTCUSDT")


def value_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a setting's type."""
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    return {int: st.integers(-(2**70), 2**70), float: FLOATS, bool: st.booleans(), str: TEXTS}[kind]


HINTS = {name: get_type_hints(Settings)[name] for name in Settings.model_fields}
some_settings = st.fixed_dictionaries({}, optional={n: value_of(k) for n, k in HINTS.items()})


@FEW
@given(some_settings)
async def test_settings(changes: dict[str, Any]) -> None:
    """Over JSON, over a pickle as workers get them, and by what `get_config` gives."""
    made = Settings().updated(changes, unsafe=True)
    assert {name: getattr(made, name) for name in changes} == changes
    dumped = made.model_dump()
    assert Settings().updated(json.loads(json.dumps(dumped)), unsafe=True) == made
    assert Settings.model_validate_json(made.model_dump_json()) == made
    assert pickle.loads(pickle.dumps(made)) == made
    async with Engine():
        set_config(changes, unsafe=True)
        assert get_config() == dumped == set_config(get_config(), unsafe=True)


def one(*_: Any, **__: Any) -> None:
    return None


async def two(*_: Any, **__: Any) -> None:
    return None


FUNCTION: st.SearchStrategy[Callable[..., Any]] = st.sampled_from((one, two, print))
NAME = st.text(min_size=1, max_size=9)
PARAMETER = st.sampled_from(("fast", "slow", "_x"))
NOTE = st.none() | TEXTS
AMOUNT = st.none() | st.floats(0, 1e9)
INSTANT = st.integers(0, 2**31).map(lambda n: datetime.fromtimestamp(n * 60, UTC))
RANGE = st.tuples(INSTANT, INSTANT, TEXTS).map(
    lambda r: {"start_date": min(r[:2]), "end_date": max(r[:2]), "note": r[2]}
)


def callbacks(*names: str) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(names), FUNCTION, max_size=2)


def several(of: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(of, min_size=least, max_size=3, unique=True)


SCHEMAS: dict[Any, tuple[Any, st.SearchStrategy[dict[str, Any]]]] = {
    "strategy": (StrategySchema, st.fixed_dictionaries(
        {"strategy_name": NAME, "interval": st.sampled_from(SIGNAL_INTERVALS),
         "get_signal": FUNCTION},
        optional={"note": NOTE, "risk_name": st.none() | NAME, "risk_list": several(NAME),
                  "params": st.dictionaries(NAME, json_values, max_size=2),
                  "callbacks": callbacks(*STRATEGY_CALLBACKS)},
    )),
    "exchange": (ExchangeSchema, st.fixed_dictionaries(
        {"exchange_name": NAME, "get_candles": FUNCTION},
        optional={"note": NOTE, "format_price": FUNCTION, "format_quantity": FUNCTION,
                  "intervals": several(st.sampled_from(CANDLE_INTERVALS)), "close": FUNCTION,
                  "callbacks": callbacks("on_candle_data")},
    )),
    "frame": (FrameSchema, st.fixed_dictionaries(
        {"frame_name": NAME, "interval": st.sampled_from(FRAME_INTERVALS), "start_date": INSTANT,
         "end_date": INSTANT}, optional={"note": NOTE, "callbacks": callbacks("on_timeframe")},
    )),
    "risk": (RiskSchema, st.fixed_dictionaries(
        {"risk_name": NAME},
        optional={"note": NOTE, "callbacks": callbacks("on_rejected", "on_allowed"),
                  "validations": st.lists(FUNCTION | st.fixed_dictionaries(
                      {"validate": FUNCTION}, optional={"note": TEXTS}), max_size=3)},
    )),
    "sizing": (SizingSchema, st.sampled_from((
        {"method": "fixed-percentage", "risk_percentage": 1.5},
        {"method": "atr-based", "risk_percentage": 0.0, "atr_multiplier": 3.0},
        {"method": "kelly-criterion", "kelly_multiplier": 0.0}, {"method": "kelly-criterion"},
    )).flatmap(lambda fields: st.fixed_dictionaries(
        {"sizing_name": NAME, **{name: st.just(value) for name, value in fields.items()}},
        optional={"note": NOTE, "max_position_percentage": AMOUNT, "min_position_size": AMOUNT,
                  "callbacks": callbacks("on_calculate")},
    ))),
    "walker": (WalkerSchema, st.fixed_dictionaries(
        {"walker_name": NAME, "exchange_name": NAME, "frame_name": NAME,
         "strategies": several(NAME, 1)},
        optional={"metric": st.sampled_from(sorted(METRICS)), "note": NOTE,
                  "grid": st.dictionaries(PARAMETER, st.lists(st.integers(), min_size=1, max_size=2,
                                                         unique=True), max_size=2),
                  "symbols": several(NAME), "callbacks": callbacks("on_complete")},
    )),
    "optimizer": (OptimizerSchema, st.fixed_dictionaries(
        {"optimizer_name": NAME, "range_train": st.lists(RANGE, min_size=1, max_size=2),
         "range_test": RANGE, "source": st.lists(FUNCTION, min_size=1, max_size=3)},
        optional={"note": NOTE, "get_prompt": FUNCTION, "imports": several(NAME),
                  "template": callbacks(*OPTIMIZER_TEMPLATES),
                  "callbacks": callbacks("on_data", "on_code")},
    )),
}  # fmt: skip


@FEW
@given(st.data())
def test_schemas(data: st.DataObject) -> None:
    """A schema's own dump registers the same component again, functions and all."""
    for kind, (model, fields) in SCHEMAS.items():
        made = make(model, kind, data.draw(fields, kind))
        for by_alias in (False, True):
            dumped = made.model_dump(by_alias=by_alias)
            assert make(model, kind, dumped) == made
            assert make(model, kind, dumped).model_dump(by_alias=by_alias) == dumped


@FEW
@given(st.data(), signal_rows)
def test_rows_and_events(data: st.DataObject, row: SignalRow) -> None:
    """As workers and the store's copies get them; the store's own rows are `test_codec.py`'s."""
    event = data.draw(events_of(KEY))
    for one_ in (row, event):
        again = pickle.loads(pickle.dumps(one_))
        assert again == one_ and type(again) is type(one_)
        assert repr(again) == repr(one_)


@FEW
@given(
    st.sampled_from(Position), FLOATS, FLOATS, st.integers(), st.none() | FLOATS, TEXTS,
    st.none() | TEXTS,
)  # fmt: skip
def test_signals_as_mappings(
    position: Position, tp: float, sl: float, minutes: int, entry: float | None, note: str,
    given_id: str | None,
) -> None:  # fmt: skip
    """A signal and the mapping of its fields, also over JSON, are the same signal."""
    signal = Signal(position, tp, sl, minutes, price_open=entry, note=note, id=given_id)
    names = ("position", "price_take_profit", "price_stop_loss", "minute_estimated_time",
             "price_open", "note", "id")  # fmt: skip
    fields = {name: getattr(signal, name) for name in names}
    assert Signal(**json.loads(json.dumps(fields))) == signal
    assert f"{position}" == position.value == json.loads(json.dumps(position))
