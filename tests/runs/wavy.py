"""A strategy and bars that bring about everything that reports report."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from engine import RiskCheck, Signal, add_risk
from tests.runs.bed import Bed, long, minute_of, path

WAVE = [100.0, 100, 99, 98, 99, 101, 104, 108, 112, 108, 104, 101, 99, 97, 95, 93, 91, 89, 92, 96]
"""Up over 110, then down under 90, in twenty minutes."""


def waves(count: int) -> list[list[float]]:
    return path([price for _ in range(count) for price in WAVE])


def wavy(symbol: str, when: datetime) -> Signal | None:
    """Every hour: a long that waits for 94, a short at once, and a long that risk refuses."""
    minute = minute_of(when) % 60
    if minute == 0:
        return long(10, entry=94, tp=106, sl=85)
    if minute == 30:
        return Signal("short", 95, 120, 8)
    return long(30, entry=50, sl=40, tp=60) if minute == 41 else None


def refusing(check: RiskCheck) -> None:
    if check.pending_signal.position == "long" and check.current_price == 50:
        raise ValueError("never")


async def wavy_backtest(made: Bed, **fields: Any) -> list[Any]:
    add_risk(risk_name="r", validations=[{"validate": refusing, "note": "not at fifty"}])
    made.strategy(wavy, **{"risk_name": "r", **fields})
    return await made.results()
