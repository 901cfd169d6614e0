"""The rules a signal must pass before it may become a position; all failures are listed.

Rule numbers in comments are those of the behaviour reference, section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan
from numbers import Real
from typing import Any

from engine.core.notes import plain_text
from engine.domain.errors import SignalValidationError
from engine.domain.settings import Settings
from engine.domain.signals import Position, RunKey, Signal, SignalRow

_TOLERANCE = 1e-9
"""Percent points by which a distance limit may be missed through rounding alone."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices at the instant a signal is judged: where it books and what is watched."""

    market: float
    vwap: float


def as_signal(answer: object) -> Signal | None:
    """What a strategy answered, as a `Signal`; None (or a position of ``wait``) is no signal.

    Raises:
        SignalValidationError: the answer is neither None, a `Signal` nor a mapping.
    """
    if answer is None:
        return None
    if isinstance(answer, Mapping):
        fields: Mapping[str, Any] = answer  # pyright: ignore[reportUnknownVariableType]
        signal = Signal(
            position=fields.get("position"),  # type: ignore[arg-type]
            price_take_profit=fields.get("price_take_profit"),  # type: ignore[arg-type]
            price_stop_loss=fields.get("price_stop_loss"),  # type: ignore[arg-type]
            minute_estimated_time=fields.get("minute_estimated_time"),  # type: ignore[arg-type]
            price_open=fields.get("price_open"),
            note=fields.get("note") or "",
            id=fields.get("id"),
        )
    elif isinstance(answer, Signal):
        signal = answer
    else:
        kind = type(answer).__name__
        text = (
            f"get_signal returned {_short(answer)} ({kind}): return a Signal, a mapping with its "
            "keys, or None"
        )
        raise SignalValidationError("signal", [("signal", text)])
    return None if signal.position == "wait" else signal


def accept(
    signal: Signal, key: RunKey, when: int, prices: Prices, settings: Settings, signal_id: str
) -> SignalRow:
    """The row of a valid signal: immediate at market, or scheduled at its entry price.

    Args:
        signal: the strategy's answer.
        key: the run it belongs to.
        when: the instant, ms UTC.
        prices: market and VWAP at ``when``.
        settings: bounds, and the trigger that decides which prices rules 18 and 19 look at.
        signal_id: the id to use when the signal brings none.

    Raises:
        SignalValidationError: with every broken rule.
    """
    problems: list[tuple[str, str]] = []
    position = _position(signal.position, problems)
    wanted = _entry(signal.price_open, problems)
    take_profit = _price("price_take_profit", signal.price_take_profit, problems)
    stop_loss = _price("price_stop_loss", signal.price_stop_loss, problems)
    minutes = _minutes(signal.minute_estimated_time, settings, problems)
    row_id = signal_id if signal.id is None else str(signal.id)
    if not row_id:
        problems.append(("id", "id is empty: leave it None to have one made"))
    if not (isfinite(prices.market) and prices.market > 0):
        problems.append(("market", f"market price is {prices.market}: must be a positive number"))
    scheduled = wanted is not None and not _favourable(position, wanted, prices.market)
    price_open = wanted if scheduled and wanted is not None else prices.market
    usable = position is not None and all(
        isfinite(price) and price > 0 for price in (price_open, take_profit, stop_loss)
    )
    if position is not None and usable:
        levels = _Levels(position, price_open, take_profit, stop_loss, scheduled)
        problems.extend(_level_problems(levels, prices, settings))
    if problems or position is None:
        raise SignalValidationError(_short(signal.position), problems)
    return SignalRow(
        id=row_id,
        symbol=key.symbol,
        strategy_name=key.strategy_name,
        exchange_name=key.exchange_name,
        position=position,
        price_open=price_open,
        price_take_profit=take_profit,
        price_stop_loss=stop_loss,
        minute_estimated_time=minutes,
        scheduled_at=when,
        pending_at=when,
        is_scheduled=scheduled,
        note=plain_text(signal.note),
    )


@dataclass(frozen=True, slots=True)
class _Levels:
    position: Position
    price_open: float
    take_profit: float
    stop_loss: float
    scheduled: bool


def _favourable(position: Position | None, wanted: float, market: float) -> bool:
    return market <= wanted if position is Position.LONG else market >= wanted


def _short(value: object) -> str:
    text = repr(value) if not isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        return nan
    try:
        return float(value)
    except (OverflowError, ValueError):
        return nan


def _position(value: object, problems: list[tuple[str, str]]) -> Position | None:  # rules 6, 7
    try:
        return Position(str(value)) if isinstance(value, str) else None
    except ValueError:
        return None
    finally:
        if not isinstance(value, str) or value not in tuple(Position):
            problems.append(("position", f"position is {_short(value)}: must be 'long' or 'short'"))


def _price(name: str, value: object, problems: list[tuple[str, str]]) -> float:  # rules 10-15
    number = _number(value)
    if not isfinite(number):
        problems.append((name, f"{name} is {_short(value)}: must be a finite number"))
    elif number <= 0:
        problems.append((name, f"{name} is {number:g}: must be positive (> 0)"))
    return number


def _entry(value: object, problems: list[tuple[str, str]]) -> float | None:
    return None if value is None else _price("price_open", value, problems)


def _minutes(value: object, settings: Settings, problems: list[tuple[str, str]]) -> int:
    number = _number(value)  # rules 25-27
    limit = settings.max_signal_lifetime_minutes
    if not isfinite(number):
        text = f"minute_estimated_time is {_short(value)}: must be a finite number of minutes"
        problems.append(("minutes", text))
        return 0
    if number <= 0:
        problems.append(("minutes", f"minute_estimated_time is {number:g}: must be positive"))
    if number != int(number):
        text = f"minute_estimated_time is {number:g}: must be an integer number of minutes"
        problems.append(("minutes", text))
    elif limit and number > limit:
        text = (
            f"minute_estimated_time is {number:g} ({number / 1440:.1f} days): the most is "
            f"max_signal_lifetime_minutes = {limit} ({limit / 1440:.1f} days); longer positions "
            "block the strategy"
        )
        problems.append(("lifetime", text))
    return int(number)


def _level_problems(levels: _Levels, prices: Prices, settings: Settings) -> list[tuple[str, str]]:
    long = levels.position is Position.LONG
    entry, target, stop = levels.price_open, levels.take_profit, levels.stop_loss
    above, below = ("above", "below") if long else ("below", "above")
    found: list[tuple[str, str]] = []
    if (target <= entry) if long else (target >= entry):  # rules 16, 21
        found.append(("tp_side", f"price_take_profit {target:g} must be {above} open {entry:g}"))
    if (stop >= entry) if long else (stop <= entry):  # rules 17, 20
        found.append(("sl_side", f"price_stop_loss {stop:g} must be {below} open {entry:g}"))
    if not levels.scheduled:
        watched = (
            [prices.market] if settings.exit_trigger == "touch" else [prices.market, prices.vwap]
        )
        at = ", ".join(f"{price:g}" for price in watched)
        if any((price <= stop) if long else (price >= stop) for price in watched):  # rule 18
            text = f"price is {at}, at or beyond price_stop_loss {stop:g}: already stopped out"
            found.append(("stopped_out", text))
        if any((price >= target) if long else (price <= target) for price in watched):  # rule 19
            text = f"price is {at}, at or beyond price_take_profit {target:g}: profit already gone"
            found.append(("already_taken", text))
    found.extend(_distance_problems(levels, settings))
    return found


def _distance_problems(levels: _Levels, settings: Settings) -> list[tuple[str, str]]:
    long, entry = levels.position is Position.LONG, levels.price_open
    gain = (levels.take_profit - entry if long else entry - levels.take_profit) / entry * 100
    risk = (entry - levels.stop_loss if long else levels.stop_loss - entry) / entry * 100
    least_gain = settings.min_takeprofit_distance_percent
    least_risk, most_risk = (
        settings.min_stoploss_distance_percent,
        settings.max_stoploss_distance_percent,
    )
    found: list[tuple[str, str]] = []
    if least_gain and gain < least_gain - _TOLERANCE:  # rule 22
        text = (
            f"price_take_profit {levels.take_profit:g} is {gain:.4f} % from open {entry:g}: at "
            f"least {least_gain:g} % (min_takeprofit_distance_percent) is needed to cover costs"
        )
        found.append(("tp_close", text))
    if least_risk and risk < least_risk - _TOLERANCE:  # rule 23
        text = (
            f"price_stop_loss {levels.stop_loss:g} is {risk:.4f} % from open {entry:g}: at least "
            f"{least_risk:g} % (min_stoploss_distance_percent), or noise stops it at once"
        )
        found.append(("sl_close", text))
    if most_risk and risk > most_risk + _TOLERANCE:  # rule 24
        text = (
            f"price_stop_loss {levels.stop_loss:g} is {risk:.4f} % from open {entry:g}: at most "
            f"{most_risk:g} % (max_stoploss_distance_percent), or one trade can lose too much"
        )
        found.append(("sl_far", text))
    return found
