"""The strategy file of the kill suite: it is loaded by path, like any user's file."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from engine import Signal, add_risk, add_strategy, get_candles
from engine.domain.time import to_ms
from tests.kills.fate import note_question, passing
from tests.kills.scenario import LIMITS, TRADERS, wish


def limit(most: int) -> Callable[[Any], None]:
    def check(asked: Any) -> None:
        if asked.active_position_count >= most:
            raise ValueError(f"{asked.active_position_count} positions are open, {most} may be")

    return check


def strategy(name: str) -> Callable[[str, datetime], Coroutine[Any, Any, Signal | None]]:
    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        instant = to_ms(when)
        note_question(name, symbol, instant)
        passing("asked")
        passing(f"asked {name}")
        close = float((await get_candles(symbol, "1m", 1)).close[-1])
        wanted = wish(name, symbol, instant, close)
        if wanted is None:
            return None
        return Signal(
            wanted.position, wanted.take_profit, wanted.stop_loss, wanted.minutes,
            price_open=wanted.entry,
        )  # fmt: skip

    return get_signal


def called_back(*arguments: Any) -> None:
    """After the commit, before anybody else hears of it."""
    passing("callback")


for profile, most in LIMITS.items():
    add_risk(risk_name=profile, validations=[{"validate": limit(most), "note": f"at most {most}"}])

for name, trader in TRADERS.items():
    add_strategy(
        strategy_name=name,
        interval=f"{trader.interval}m",
        get_signal=strategy(name),
        risk_list=trader.risks,
        callbacks=dict.fromkeys(("on_schedule", "on_open", "on_close", "on_cancel"), called_back),
    )
