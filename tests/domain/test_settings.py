"""Settings: conformance cases 11 to 25."""

from __future__ import annotations

from typing import Any

import pytest

from engine import (
    Engine,
    SettingsError,
    get_config,
    get_default_config,
    set_config,
)
from engine.domain.settings import Settings

DEFAULTS = Settings()


def refused(changes: dict[str, Any], *, unsafe: bool = False) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        DEFAULTS.updated(changes, unsafe=unsafe)
    return caught.value


def test_the_defaults() -> None:
    assert DEFAULTS.problems() == []
    assert DEFAULTS.model_dump() == {
        "schedule_await_minutes": 120, "avg_price_candles_count": 5, "percent_slippage": 0.1,
        "percent_fee": 0.1, "min_takeprofit_distance_percent": 0.5,
        "min_stoploss_distance_percent": 0.5, "max_stoploss_distance_percent": 20.0,
        "max_signal_lifetime_minutes": 1440, "max_signal_generation_seconds": 180,
        "get_candles_retry_count": 3, "get_candles_retry_delay_ms": 5000,
        "get_candles_price_anomaly_threshold_factor": 1000,
        "get_candles_min_candles_for_median": 5, "report_show_signal_note": False,
        "exit_trigger": "vwap", "fill_price": "close", "ambiguous_bar": "stop_loss",
        "max_gap_minutes": 1440, "ollama_host": "", "ollama_model": "",
        "ollama_timeout_seconds": 120,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"percent_slippage": -0.1}, "non-negative number"),
        ({"percent_fee": -0.1}, "non-negative number"),
        ({"percent_fee": float("inf")}, "non-negative number"),
        ({"percent_slippage": float("nan")}, "non-negative number"),
        ({"min_takeprofit_distance_percent": 0.3}, "cover trading costs"),
        ({"min_takeprofit_distance_percent": 0}, "positive"),
        ({"min_takeprofit_distance_percent": float("nan")}, "positive"),
        (
            {"min_stoploss_distance_percent": 10, "max_stoploss_distance_percent": 5},
            "must be less than",
        ),
        (
            {"min_stoploss_distance_percent": 5, "max_stoploss_distance_percent": 5},
            "must be less than",
        ),
        ({"min_stoploss_distance_percent": 0}, "positive"),
        ({"min_stoploss_distance_percent": -5}, "positive"),
        ({"max_stoploss_distance_percent": 0}, "positive"),
        ({"max_stoploss_distance_percent": -10}, "positive"),
        ({"schedule_await_minutes": 0}, "positive integer"),
        ({"schedule_await_minutes": -50}, "positive integer"),
        ({"schedule_await_minutes": 120.5}, "integer"),
        ({"max_signal_lifetime_minutes": -100}, "positive integer"),
        ({"max_signal_lifetime_minutes": 1440.7}, "integer"),
        ({"max_signal_generation_seconds": 0}, "positive integer"),
        ({"max_signal_generation_seconds": -30}, "positive integer"),
        ({"avg_price_candles_count": 0}, "positive integer"),
        ({"avg_price_candles_count": -5}, "positive integer"),
        ({"avg_price_candles_count": 5.5}, "integer"),
        ({"get_candles_retry_count": -1}, "non-negative integer"),
        ({"get_candles_retry_delay_ms": -100}, "non-negative integer"),
        ({"get_candles_price_anomaly_threshold_factor": 0}, "positive integer"),
        ({"get_candles_price_anomaly_threshold_factor": -1000}, "positive integer"),
        ({"get_candles_min_candles_for_median": 0}, "positive integer"),
        ({"get_candles_min_candles_for_median": -5}, "positive integer"),
        ({"max_gap_minutes": 0}, "positive integer"),
        ({"exit_trigger": "close"}, "exit_trigger"),
        ({"fill_price": "open"}, "fill_price"),
        ({"ambiguous_bar": "both"}, "ambiguous_bar"),
        ({"percent_fee": "0.1"}, "percent_fee"),
        ({"schedule_await_minutes": True}, "schedule_await_minutes"),
        ({"schedule_await_minutes": None}, "schedule_await_minutes"),
    ],
)
def test_refused_with_name_value_and_bound(changes: dict[str, Any], words: str) -> None:
    error = refused(changes)
    assert words in str(error)
    assert next(iter(changes)) in str(error)


@pytest.mark.parametrize(
    "changes",
    [
        {"min_takeprofit_distance_percent": 0.4},
        {"get_candles_retry_count": 0, "get_candles_retry_delay_ms": 0},
        {"avg_price_candles_count": 1},
        {"percent_fee": 0, "percent_slippage": 0},
        {"exit_trigger": "touch", "fill_price": "vwap", "ambiguous_bar": "take_profit"},
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    made = DEFAULTS.updated(changes).model_dump()
    assert made == {**DEFAULTS.model_dump(), **changes}


def test_costs_that_only_rounding_puts_above_the_bound_are_accepted() -> None:
    assert DEFAULTS.updated(
        {"percent_fee": 0.15, "percent_slippage": 0.05, "min_takeprofit_distance_percent": 0.4}
    )


def test_the_message_shows_what_costs_are_made_of() -> None:
    text = str(refused({"min_takeprofit_distance_percent": 0.3}))
    assert "0.4 %" in text
    assert "slippage 0.1" in text
    assert "fee 0.1" in text


def test_several_bad_values_come_in_one_numbered_error() -> None:
    error = refused(
        {"percent_fee": -1, "schedule_await_minutes": 0, "min_stoploss_distance_percent": -2.0}
    )
    assert len(error.problems) == 3
    assert all(f"\n{n}. " in str(error) for n in (1, 2, 3))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    text = str(refused({"percent_fees": 0.1}))
    assert "percent_fees is not a setting" in text
    assert "percent_fee" in text.replace("percent_fees", "")


def test_unsafe_skips_bounds_but_neither_names_nor_types() -> None:
    changes = {"min_takeprofit_distance_percent": 0.0, "min_stoploss_distance_percent": 0.0}
    assert DEFAULTS.updated(changes, unsafe=True).min_stoploss_distance_percent == 0
    refused({"nonsense": 1}, unsafe=True)
    refused({"schedule_await_minutes": "many"}, unsafe=True)


async def test_updates_of_an_engine_add_up_and_a_refused_one_changes_nothing() -> None:
    async with Engine(config={"percent_fee": 0.05}) as engine:
        assert set_config(percent_slippage=0.02)["percent_fee"] == 0.05
        before = get_config()
        with pytest.raises(SettingsError):
            set_config({"schedule_await_minutes": 5, "percent_fee": -1})
        assert get_config() == before
        before["percent_fee"] = 99
        assert get_config()["percent_fee"] == 0.05, "a copy was handed out"
        assert engine.settings.percent_slippage == 0.02
        assert get_default_config() == Settings()
        with pytest.raises(ValueError, match="frozen"):
            get_default_config().percent_fee = 1  # type: ignore[misc]


def test_an_engine_refuses_bad_settings_at_once() -> None:
    with pytest.raises(SettingsError, match="percent_fee"):
        Engine(config={"percent_fee": -1})
