"""Every rule of a signal, its bound on both sides, and that all failures come in one error."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from engine.core.validation import Prices, accept, as_signal
from engine.domain.errors import SignalValidationError
from engine.domain.settings import Settings
from engine.domain.signals import Mode, Position, RunKey, Signal, SignalRow

KEY = RunKey(Mode.BACKTEST, "x", "s", "BTCUSDT", "f")
WHEN = 1_704_067_200_000
RELAXED = Settings().updated(
    {
        "min_takeprofit_distance_percent": 0.0,
        "min_stoploss_distance_percent": 0.0,
        "max_stoploss_distance_percent": 100.0,
        "max_signal_lifetime_minutes": 999_999,
    },
    unsafe=True,
)
LONG = Signal("long", 51_000, 49_000, 60)
SHORT = Signal("short", 49_000, 51_000, 60)


def accepted(
    signal: Signal,
    market: float = 50_000,
    vwap: float | None = None,
    settings: Settings = RELAXED,
) -> SignalRow:
    prices = Prices(market, market if vwap is None else vwap)
    return accept(signal, KEY, WHEN, prices, settings, "made")


def refused(signal: Signal, *args: Any, **kwargs: Any) -> SignalValidationError:
    with pytest.raises(SignalValidationError) as caught:
        accepted(signal, *args, **kwargs)
    return caught.value


def test_a_valid_signal_without_entry_opens_at_market() -> None:
    row = accepted(LONG)
    assert row.price_open == 50_000
    assert (row.scheduled_at, row.pending_at, row.is_scheduled) == (WHEN, WHEN, False)
    assert row.position is Position.LONG
    assert (row.symbol, row.strategy_name, row.exchange_name) == ("BTCUSDT", "s", "x")
    assert accepted(SHORT).position is Position.SHORT


@pytest.mark.parametrize(
    ("signal", "market", "booked", "scheduled"),
    [
        (replace(LONG, price_open=50_500), 50_000, 50_000, False),
        (replace(LONG, price_open=50_000), 50_000, 50_000, False),
        (replace(LONG, price_open=49_500), 50_000, 49_500, True),
        (replace(SHORT, price_open=49_500), 50_000, 50_000, False),
        (replace(SHORT, price_open=50_000), 50_000, 50_000, False),
        (replace(SHORT, price_open=50_500), 50_000, 50_500, True),
    ],
)
def test_a_favourable_entry_opens_at_market_and_another_is_scheduled(
    signal: Signal, market: float, booked: float, scheduled: bool
) -> None:
    row = accepted(signal, market)
    assert (row.price_open, row.is_scheduled) == (booked, scheduled)


def test_market_decides_between_immediate_and_scheduled_not_vwap() -> None:
    assert not accepted(replace(LONG, price_open=50_000), market=50_000, vwap=50_400).is_scheduled
    assert accepted(replace(LONG, price_open=50_000), market=50_100, vwap=49_900).is_scheduled


@pytest.mark.parametrize(
    ("signal", "code", "words"),
    [
        (replace(LONG, price_take_profit=49_500), "tp_side", "must be above open"),
        (replace(LONG, price_take_profit=50_000), "tp_side", "must be above open"),
        (replace(LONG, price_stop_loss=50_500), "sl_side", "must be below open"),
        (replace(LONG, price_stop_loss=50_000), "sl_side", "must be below open"),
        (replace(SHORT, price_take_profit=50_500), "tp_side", "must be below open"),
        (replace(SHORT, price_take_profit=50_000), "tp_side", "must be below open"),
        (replace(SHORT, price_stop_loss=49_500), "sl_side", "must be above open"),
        (replace(SHORT, price_stop_loss=50_000), "sl_side", "must be above open"),
        (replace(LONG, price_stop_loss=0), "price_stop_loss", "must be positive"),
        (replace(LONG, price_open=-1), "price_open", "must be positive"),
        (replace(LONG, price_open=0), "price_open", "must be positive"),
        (replace(LONG, price_open=math.nan), "price_open", "finite number"),
        (replace(LONG, price_open=math.inf), "price_open", "finite number"),
        (replace(LONG, price_take_profit=math.inf), "price_take_profit", "finite number"),
        (replace(LONG, price_stop_loss=math.nan), "price_stop_loss", "finite number"),
        (replace(LONG, price_stop_loss="49000"), "price_stop_loss", "finite number"),
        (replace(LONG, price_take_profit=None), "price_take_profit", "finite number"),
        (replace(LONG, price_take_profit=True), "price_take_profit", "finite number"),
        (replace(LONG, price_take_profit=10**400), "price_take_profit", "finite number"),
        (replace(LONG, minute_estimated_time=0), "minutes", "must be positive"),
        (replace(LONG, minute_estimated_time=-60), "minutes", "must be positive"),
        (replace(LONG, minute_estimated_time=1.5), "minutes", "integer"),
        (replace(LONG, minute_estimated_time=math.nan), "minutes", "finite"),
        (replace(LONG, minute_estimated_time="60"), "minutes", "finite"),
        (replace(LONG, position="buy"), "position", "must be 'long' or 'short'"),
        (replace(LONG, position=None), "position", "must be 'long' or 'short'"),
        (replace(LONG, position="LONG"), "position", "must be 'long' or 'short'"),
        (replace(LONG, id=""), "id", "empty"),
    ],
)
def test_each_rule_names_the_field_the_value_and_the_bound(
    signal: Signal, code: str, words: str
) -> None:
    error = refused(signal)
    assert code in error.codes
    assert words in str(error)


@pytest.mark.parametrize(
    "number", [51_000.0, np.float64(51_000), np.float32(51_000), np.int64(51_000), Fraction(51_000)]
)
def test_numbers_of_every_real_type_are_prices(number: Any) -> None:
    row = accepted(replace(LONG, price_take_profit=number))
    assert row.price_take_profit == 51_000
    assert type(row.price_take_profit) is float


def test_a_decimal_is_refused_with_a_message_rather_than_mixed_with_floats() -> None:
    number: Any = Decimal(51_000)
    assert refused(replace(LONG, price_take_profit=number)).codes == ("price_take_profit",)


@pytest.mark.parametrize(
    ("signal", "market", "code"),
    [
        (Signal("long", 44_000, 41_000, 60, price_open=43_000), 40_000, "stopped_out"),
        (Signal("short", 40_000, 44_000, 60, price_open=42_000), 45_000, "stopped_out"),
        (LONG, 49_000, "stopped_out"),
        (LONG, 51_000, "already_taken"),
        (SHORT, 51_000, "stopped_out"),
        (SHORT, 49_000, "already_taken"),
    ],
)
def test_an_immediate_signal_must_lie_between_its_levels(
    signal: Signal, market: float, code: str
) -> None:
    assert code in refused(signal, market).codes


@pytest.mark.parametrize(("vwap", "code"), [(49_000, "stopped_out"), (51_000, "already_taken")])
def test_under_vwap_the_watched_price_must_lie_between_them_too(vwap: float, code: str) -> None:
    assert refused(LONG, vwap=vwap).codes == (code,)
    touch = RELAXED.updated({"exit_trigger": "touch"}, unsafe=True)
    assert accepted(LONG, vwap=vwap, settings=touch).price_open == 50_000


def test_a_scheduled_signal_is_not_judged_by_the_price_it_waits_to_leave() -> None:
    # Market beyond the target of a scheduled long: it waits for the price to come back.
    row = accepted(Signal("long", 49_800, 48_000, 60, price_open=49_000), market=50_000)
    assert row.is_scheduled


def test_levels_of_a_favourable_entry_are_judged_against_the_booked_price() -> None:
    # Good for the wanted 50500, but the booked 50000 lies below this stop.
    error = refused(Signal("long", 51_000, 50_200, 60, price_open=50_500), market=50_000)
    assert {"sl_side", "stopped_out"} <= set(error.codes)


def distance(**changes: float) -> Settings:
    return RELAXED.updated(changes, unsafe=True)


@pytest.mark.parametrize(
    ("limits", "signal", "code"),
    [
        ({"min_takeprofit_distance_percent": 0.3}, Signal("long", 42_010, 41_000, 9), "tp_close"),
        ({"min_stoploss_distance_percent": 0.3}, Signal("long", 43_000, 41_990, 9), "sl_close"),
        ({"max_stoploss_distance_percent": 20.0}, Signal("long", 43_000, 20_000, 9), "sl_far"),
        ({"min_takeprofit_distance_percent": 0.3}, Signal("short", 41_990, 43_000, 9), "tp_close"),
        ({"max_stoploss_distance_percent": 20.0}, Signal("short", 41_000, 64_000, 9), "sl_far"),
    ],
)
def test_distances(limits: dict[str, float], signal: Signal, code: str) -> None:
    assert refused(signal, 42_000, settings=distance(**limits)).codes == (code,)
    assert accepted(signal, 42_000).price_open == 42_000


@pytest.mark.parametrize("entry", [42_000.0, 0.1, 3.3, 1e-7, 123_456.789])
def test_a_distance_of_exactly_the_bound_passes_whatever_the_rounding(entry: float) -> None:
    bounds = distance(
        min_takeprofit_distance_percent=0.4,
        min_stoploss_distance_percent=20.0,
        max_stoploss_distance_percent=20.0,
    )
    for sign, position in ((1, "long"), (-1, "short")):
        signal = Signal(position, entry * (1 + sign * 0.4 / 100), entry * (1 - sign * 20 / 100), 60)
        assert accepted(signal, entry, settings=bounds).price_open == entry


def test_lifetime_limit_is_inclusive_and_says_days() -> None:
    limited = RELAXED.updated({"max_signal_lifetime_minutes": 43_200}, unsafe=True)
    assert accepted(replace(LONG, minute_estimated_time=43_200), settings=limited)
    error = refused(replace(LONG, minute_estimated_time=50_000), settings=limited)
    assert error.codes == ("lifetime",)
    assert "34.7 days" in str(error)


def test_defaults_accept_half_a_percent_and_a_distant_target() -> None:
    assert accepted(Signal("long", 42_210, 41_000, 60), 42_000, settings=Settings())
    assert accepted(Signal("long", 90_000, 41_000, 60), 42_000, settings=Settings())


def test_all_faults_come_in_one_error() -> None:
    bad = Signal("buy", math.nan, -5, 0, price_open=math.inf, id="")
    error = refused(bad)
    assert set(error.codes) == {
        "position", "price_open", "price_take_profit", "price_stop_loss", "minutes", "id",
    }  # fmt: skip
    assert len(str(error).splitlines()) == len(error.problems) == 6
    assert all(line.startswith("buy: ") for line in str(error).splitlines())


@pytest.mark.parametrize("market", [math.nan, math.inf, 0.0, -1.0])
def test_a_market_price_that_is_none_is_refused(market: float) -> None:
    assert "market" in refused(LONG, market).codes


def test_answers_that_mean_no_signal() -> None:
    assert as_signal(None) is None
    assert as_signal(Signal("wait", 1, 1, 1)) is None
    assert as_signal({"position": "wait"}) is None


def test_a_mapping_is_as_good_as_a_signal_and_extras_do_no_harm() -> None:
    fields = {
        "position": "long", "price_take_profit": 51_000, "price_stop_loss": 49_000,
        "minute_estimated_time": 60, "price_open": None, "note": None, "confidence": 0.9,
    }  # fmt: skip
    signal = as_signal(fields)
    assert signal is not None
    assert accepted(signal) == accepted(LONG)


@pytest.mark.parametrize("answer", [0, False, "long", b"x", [], (), 3.5, object(), {"a"}])
def test_any_other_answer_is_refused_by_name(answer: object) -> None:
    with pytest.raises(SignalValidationError, match="return a Signal, a mapping"):
        as_signal(answer)


def test_ids_and_notes_of_the_row() -> None:
    assert accepted(LONG).id == "made"
    assert accepted(replace(LONG, id="mine")).id == "mine"
    assert accepted(replace(LONG, note="**bold** x\n- y")).note == "bold x • y"
