"""Global settings, their bounds, and the checks that need more than one of them."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.domain.errors import SettingsError


class Settings(BaseModel):
    """What every run of an engine shares. A run keeps the settings it was started with."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schedule_await_minutes: int = 120
    """Minutes a scheduled signal may wait for its entry price."""
    avg_price_candles_count: int = 5
    """Minutes in the VWAP window."""
    percent_slippage: float = 0.1
    """Slippage per side, percent."""
    percent_fee: float = 0.1
    """Fee per side, percent."""
    min_takeprofit_distance_percent: float = 0.5
    """Least distance from entry to take-profit, percent; 0 (unsafe only) switches the rule off."""
    min_stoploss_distance_percent: float = 0.5
    """Least distance from entry to stop-loss, percent; 0 (unsafe only) switches the rule off."""
    max_stoploss_distance_percent: float = 20.0
    """Greatest distance from entry to stop-loss, percent; 0 (unsafe only) switches it off."""
    max_signal_lifetime_minutes: int = 1440
    """Longest `minute_estimated_time`; 0 (unsafe only) switches the rule off."""
    max_signal_generation_seconds: int = 180
    """Time limit of one `get_signal` call."""
    get_candles_retry_count: int = 3
    """How often a failed exchange call is tried again."""
    get_candles_retry_delay_ms: int = 5000
    """Pause between two tries."""
    get_candles_price_anomaly_threshold_factor: int = 1000
    """A price below the recent median divided by this is refused as an anomaly."""
    get_candles_min_candles_for_median: int = 5
    """Preceding closes needed before the anomaly check applies."""
    report_show_signal_note: bool = False
    """Show the Note column in reports."""
    exit_trigger: Literal["vwap", "touch"] = "vwap"
    """What reaches a level: the VWAP, or the bar's high and low."""
    fill_price: Literal["close", "vwap"] = "close"
    """What a market fill books: the newest close, or the VWAP."""
    ambiguous_bar: Literal["stop_loss", "take_profit"] = "stop_loss"
    """What wins when one bar touches both levels and opened beyond neither."""
    max_gap_minutes: int = 1440
    """Longest hole in history that is filled with flat bars."""
    ollama_host: str = ""
    """Where language models are asked, such as ``http://127.0.0.1:11434``; "" means the environment
    variable ``OLLAMA_HOST``, else the hosted service if there is an ``OLLAMA_API_KEY``, else this
    machine."""
    ollama_model: str = ""
    """The language model that is asked; "" means the environment variable ``OLLAMA_MODEL``, else
    ``deepseek-v3.1:671b``."""
    ollama_timeout_seconds: int = 120
    """Time limit of one answer of a language model."""

    def updated(self, changes: Mapping[str, Any], *, unsafe: bool = False) -> Settings:
        """These settings with ``changes`` applied.

        Args:
            changes: new values by name.
            unsafe: skip the bounds and cross-checks (types are still checked); for test beds.

        Raises:
            SettingsError: unknown names, wrong types or broken bounds, all of them listed.
        """
        try:
            merged = Settings.model_validate({**self.model_dump(), **changes})
        except ValidationError as error:
            raise SettingsError([_describe(item) for item in error.errors()]) from None
        problems = [] if unsafe else merged.problems()
        if problems:
            raise SettingsError(problems)
        return merged

    def problems(self) -> list[str]:
        """Every bound these settings break, one sentence each."""
        found: list[str] = []
        for name in (
            "schedule_await_minutes",
            "avg_price_candles_count",
            "max_signal_lifetime_minutes",
            "max_signal_generation_seconds",
            "get_candles_price_anomaly_threshold_factor",
            "get_candles_min_candles_for_median",
            "max_gap_minutes",
            "ollama_timeout_seconds",
        ):
            value = getattr(self, name)
            if value <= 0:
                found.append(f"{name} is {value}: must be a positive integer")
        for name in ("get_candles_retry_count", "get_candles_retry_delay_ms"):
            value = getattr(self, name)
            if value < 0:
                found.append(f"{name} is {value}: must be a non-negative integer")
        for name in ("percent_slippage", "percent_fee"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                found.append(f"{name} is {value}: must be a non-negative number")
        for name in (
            "min_takeprofit_distance_percent",
            "min_stoploss_distance_percent",
            "max_stoploss_distance_percent",
        ):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                found.append(f"{name} is {value}: must be a positive number")
        found.extend(self._cross_checks())
        return found

    def _cross_checks(self) -> list[str]:
        found: list[str] = []
        # Rounded so that 0.1 + 0.1 + 0.1 + 0.1 against 0.4 is not decided by the last bit.
        costs = round(2 * self.percent_slippage + 2 * self.percent_fee, 12)
        if 0 < self.min_takeprofit_distance_percent < costs:
            found.append(
                f"min_takeprofit_distance_percent is {self.min_takeprofit_distance_percent}: too "
                f"low to cover trading costs of {costs:g} % (2 x slippage "
                f"{self.percent_slippage:g} % + 2 x fee {self.percent_fee:g} %)"
            )
        low, high = self.min_stoploss_distance_percent, self.max_stoploss_distance_percent
        if low > 0 and high > 0 and low >= high:
            found.append(
                f"min_stoploss_distance_percent is {low}: must be less than "
                f"max_stoploss_distance_percent, which is {high}"
            )
        return found


def _describe(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"]) or "settings"
    if item["type"] == "extra_forbidden":
        return f"{name} is not a setting: use one of {', '.join(Settings.model_fields)}"
    if item["type"].startswith("int"):
        return f"{name} is {item['input']!r}: must be an integer"
    return f"{name} is {item['input']!r}: {item['msg']}"
