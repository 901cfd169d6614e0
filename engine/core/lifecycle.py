"""The signal lifecycle as a pure state machine: one held signal, one closed bar, one outcome.

Backtest and live feed the same functions the same bars; neither decides anything itself. What
needs the outside world (risk) is returned as a request, `EntryReached`, that the caller answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

from engine.core.pricing import worse
from engine.domain.settings import Settings
from engine.domain.signals import (
    CancelReason,
    CloseReason,
    OpenPosition,
    Position,
    ScheduledSignal,
    SignalRow,
)
from engine.domain.time import MINUTE

Side: TypeAlias = Literal["profit", "loss"]


class BarClose(NamedTuple):
    """The bar that closes at instant ``at`` (ms UTC), with VWAP and market price at it."""

    at: int
    open: float
    high: float
    low: float
    close: float
    vwap: float
    market: float


@dataclass(frozen=True, slots=True)
class Exit:
    """The position closes at ``price`` for ``reason``."""

    reason: CloseReason
    price: float
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """The position goes on; ``reached`` are milestones met for the first time, ascending."""

    percent_tp: float
    percent_sl: float
    reached: tuple[tuple[Side, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Cancel:
    """The scheduled signal ends for ``reason``."""

    reason: CancelReason


@dataclass(frozen=True, slots=True)
class EntryReached:
    """The scheduled signal may open at ``price`` if risk allows it.

    ``stop`` is the price at which the same bar stops it again (touch trigger only).
    """

    price: float
    stop: float | None = None


class Waiting(NamedTuple):
    """The scheduled signal goes on waiting."""


def settle_position(
    position: OpenPosition, bar: BarClose, settings: Settings
) -> Exit | Progress | None:
    """What a bar does to an open position; None for a bar that opened before the position did."""
    row = position.row
    if bar.at - MINUTE < row.pending_at:
        return None
    out = (
        _exit_by_vwap(row, bar)
        if settings.exit_trigger == "vwap"
        else _exit_by_touch(row, bar, settings)
    )
    if out is not None:
        return out
    if bar.at - row.pending_at >= row.minute_estimated_time * MINUTE:
        return Exit(CloseReason.TIME_EXPIRED, bar.market)
    percent_tp, percent_sl = progress(row, bar.vwap)
    return Progress(percent_tp, percent_sl, _milestones(position, percent_tp, percent_sl))


def settle_scheduled(
    scheduled: ScheduledSignal, bar: BarClose, settings: Settings
) -> Cancel | EntryReached | Waiting | None:
    """What a bar does to a scheduled signal; None for a bar that opened before it was accepted."""
    row = scheduled.row
    if bar.at - MINUTE < row.scheduled_at:
        return None
    long = row.position is Position.LONG
    if settings.exit_trigger == "vwap":
        if bar.vwap <= row.price_stop_loss if long else bar.vwap >= row.price_stop_loss:
            return Cancel(CancelReason.STOP_LOSS)
        if bar.vwap <= row.price_open if long else bar.vwap >= row.price_open:
            price = worse(row.position, entering=True, first=row.price_open, second=bar.market)
            return EntryReached(price)
    else:
        extreme = bar.low if long else bar.high
        if extreme <= row.price_stop_loss if long else extreme >= row.price_stop_loss:
            beyond = bar.open <= row.price_stop_loss if long else bar.open >= row.price_stop_loss
            if beyond:
                return Cancel(CancelReason.STOP_LOSS)
            return EntryReached(row.price_open, stop=row.price_stop_loss)
        if extreme <= row.price_open if long else extreme >= row.price_open:
            return EntryReached(row.price_open)
    if bar.at - row.scheduled_at >= settings.schedule_await_minutes * MINUTE:
        return Cancel(CancelReason.TIMEOUT)
    return Waiting()


def activated(scheduled: ScheduledSignal, price: float, at: int) -> OpenPosition:
    """The position a scheduled signal becomes when it opens at ``price`` at instant ``at``."""
    row = replace(scheduled.row, price_open=price, pending_at=at, is_scheduled=False)
    return OpenPosition(row)


def advanced(position: OpenPosition, reached: tuple[tuple[Side, int], ...]) -> OpenPosition:
    """The position with newly reached milestones recorded."""
    profit, loss = position.profit_level, position.loss_level
    for side, level in reached:
        if side == "profit":
            profit = max(profit, level)
        else:
            loss = max(loss, level)
    return OpenPosition(position.row, profit, loss)


def progress(row: SignalRow, price: float) -> tuple[float, float]:
    """How far ``price`` went from the entry, in percent (0-100) of the path to TP and to SL."""
    gain = price - row.price_open if row.position is Position.LONG else row.price_open - price
    if gain > 0:
        path = abs(row.price_take_profit - row.price_open)
        return (min(100.0, gain / path * 100), 0.0) if path else (100.0, 0.0)
    if gain < 0:
        path = abs(row.price_open - row.price_stop_loss)
        return (0.0, min(100.0, -gain / path * 100)) if path else (0.0, 100.0)
    return 0.0, 0.0


def _exit_by_vwap(row: SignalRow, bar: BarClose) -> Exit | None:
    long = row.position is Position.LONG
    if bar.vwap >= row.price_take_profit if long else bar.vwap <= row.price_take_profit:
        reason, level = CloseReason.TAKE_PROFIT, row.price_take_profit
    elif bar.vwap <= row.price_stop_loss if long else bar.vwap >= row.price_stop_loss:
        reason, level = CloseReason.STOP_LOSS, row.price_stop_loss
    else:
        return None
    return Exit(reason, worse(row.position, entering=False, first=level, second=bar.market))


def _exit_by_touch(row: SignalRow, bar: BarClose, settings: Settings) -> Exit | None:
    long = row.position is Position.LONG
    target, stop = row.price_take_profit, row.price_stop_loss
    hit_target = bar.high >= target if long else bar.low <= target
    hit_stop = bar.low <= stop if long else bar.high >= stop
    if not (hit_target or hit_stop):
        return None
    ambiguous = False
    if hit_target and hit_stop:
        opened_beyond_target = bar.open >= target if long else bar.open <= target
        opened_beyond_stop = bar.open <= stop if long else bar.open >= stop
        ambiguous = not (opened_beyond_target or opened_beyond_stop)
        hit_target = opened_beyond_target or (ambiguous and settings.ambiguous_bar == "take_profit")
    if hit_target:
        return Exit(CloseReason.TAKE_PROFIT, target, ambiguous)
    price = worse(row.position, entering=False, first=stop, second=bar.open)
    return Exit(CloseReason.STOP_LOSS, price, ambiguous)


def _milestones(
    position: OpenPosition, percent_tp: float, percent_sl: float
) -> tuple[tuple[Side, int], ...]:
    if percent_tp >= position.profit_level + 10:
        return tuple(
            ("profit", level)
            for level in range(position.profit_level + 10, 101, 10)
            if percent_tp >= level
        )
    if percent_sl >= position.loss_level + 10:
        return tuple(
            ("loss", level)
            for level in range(position.loss_level + 10, 101, 10)
            if percent_sl >= level
        )
    return ()
