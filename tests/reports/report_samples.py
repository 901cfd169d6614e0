"""Trades and outcomes for the tests of reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.core.pricing import pnl
from engine.domain.outcome import BacktestOutcome, RunCounts
from engine.domain.settings import Settings
from engine.domain.signals import (
    Cancelled,
    CancelReason,
    Closed,
    CloseReason,
    Mode,
    PnL,
    Position,
    RunKey,
    SignalRow,
)
from engine.domain.time import DAY, MINUTE
from engine.reports.statistics import summarise

START = 1_704_067_200_000
"""2024-01-01 00:00 UTC."""

SETTINGS = Settings()
KEY = RunKey(Mode.BACKTEST, "binance", "sma_cross", "BTC/USDT:USDT", "january")


def row(signal_id: str = "s", opened: int = START, **changes: Any) -> SignalRow:
    base = SignalRow(
        signal_id, KEY.symbol, KEY.strategy_name, KEY.exchange_name, Position.LONG,
        100.0, 110.0, 95.0, 240, opened, opened, False,
    )  # fmt: skip
    return replace(base, **changes)


def trade(percent: float, opened: int, closed: int, **changes: Any) -> Closed:
    """A closed trade with the result ``percent``; ``changes`` go to the result or to its row."""
    result = {k: changes.pop(k) for k in ("ambiguous", "swept", "close_reason") if k in changes}
    signal = row(opened=opened, **changes)
    money = PnL(percent, 100.0, 100.0 + percent, 100.1, 100.0 + percent - 0.1)
    reason = result.pop("close_reason", CloseReason.TAKE_PROFIT)
    return Closed(KEY, closed, 100.0 + percent, signal, reason, closed, money, **result)


def priced(position: Position, opening: float, closing: float, opened: int, closed: int) -> Closed:
    """A closed trade whose result follows from its prices under `SETTINGS`."""
    signal = row(opened=opened, position=position, price_open=opening)
    money = pnl(position, opening, closing, SETTINGS)
    return Closed(KEY, closed, closing, signal, CloseReason.STOP_LOSS, closed, money)


def no_mark(instant: int) -> float | None:
    """Market where no trade is expected to be open."""
    raise AssertionError(f"the market was asked for at {instant}")


def hourly(percents: Sequence[float], start: int = START, step: int = 120) -> list[Closed]:
    """Trades of one hour each, one every ``step`` minutes."""
    return [
        trade(p, start + n * step * MINUTE, start + (n * step + 60) * MINUTE, id=f"t{n}")
        for n, p in enumerate(percents)
    ]


def outcome(
    trades: Sequence[Closed] = (),
    *,
    frame_start: int = START,
    frame_end: int = START + 4 * DAY,
    cancelled: Sequence[Cancelled] = (),
    **changes: Any,
) -> BacktestOutcome:
    figures, equity = summarise(
        trades, frame_start=frame_start, frame_end=frame_end, mark=lambda at: 100.0,
        settings=SETTINGS,
    )  # fmt: skip
    base = BacktestOutcome(
        KEY, "1m", frame_start, frame_end, tuple(trades), tuple(cancelled), figures, equity,
        RunCounts(calls=321, errors=0, rejections=4, filled=17, candles=5760), (), (),
        SETTINGS.model_dump(), "d" * 64, "5" * 64, "strategies/sma_cross.py",
    )  # fmt: skip
    return replace(base, **changes)


def cancelled(reason: CancelReason, at: int = START + MINUTE) -> Cancelled:
    return Cancelled(KEY, at, 101.5, row("c", is_scheduled=True), reason, at)
