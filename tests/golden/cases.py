"""The golden cases as Python values: candles, frame, scripted strategy, expected outcome."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from engine import Candles, Engine, add_exchange, add_frame, add_strategy
from engine.domain.time import to_ms

SYMBOL = "BTCUSDT"
_FILE = Path(__file__).with_name("cases.json.gz")
_NONSENSE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@cache
def load_cases() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(gzip.decompress(_FILE.read_bytes())))


def case_ids() -> list[str]:
    return [case["id"] for case in load_cases()]


def case_of(case_id: str) -> dict[str, Any]:
    return next(case for case in load_cases() if case["id"] == case_id)


def minutes_of(interval: str) -> int:
    return {"m": 1, "h": 60, "d": 1440}[interval[-1]] * int(interval[:-1])


class Script:
    """Hands out a case's scripted signals and counts how often it was asked."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.calls = 0
        self._left = list(case["strategy"]["signals"])
        self._gap = minutes_of(case["strategy"]["interval"]) * 60_000

    async def __call__(self, symbol: str, when: datetime) -> dict[str, Any] | None:
        self.calls += 1
        now = to_ms(when)
        self._left = [entry for entry in self._left if now - entry["at"] < self._gap]
        for entry in self._left:
            if entry["at"] <= now:
                self._left.remove(entry)
                return {
                    name: _NONSENSE.get(value, value) if isinstance(value, str) else value
                    for name, value in entry.items()
                    if name != "at"
                }
        return None


def candles_of(case: dict[str, Any]) -> Candles:
    return Candles.from_columns(*zip(*case["candles"], strict=True))


@contextmanager
def registered(case: dict[str, Any], engine: Engine, trigger: str) -> Iterator[Script]:
    """Register a case's exchange, frame and strategy on the current engine."""
    engine.configure(
        {**_typed(case["config"]), "exit_trigger": trigger, "get_candles_retry_count": 0},
        unsafe=True,
    )
    candles = candles_of(case)
    stamps = candles.timestamp

    async def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> Candles:
        assert interval == "1m"
        start = int(stamps.searchsorted(to_ms(since)))
        now = engine.clock.now()
        end = min(start + limit, int(stamps.searchsorted(now - 60_000, side="right")))
        return candles[start : max(start, end)]

    add_exchange(exchange_name="golden", get_candles=get_candles, intervals=["1m"])
    frame = case["frame"]
    add_frame(frame_name="case", **frame)
    script = Script(case)
    add_strategy(strategy_name="scripted", interval=case["strategy"]["interval"], get_signal=script)
    yield script


def _typed(config: dict[str, Any]) -> dict[str, Any]:
    return dict(config)
