"""How large a position a signal should be: three textbook methods and the caps around them.

The engine sends no orders, so a size is advice: a strategy or an operator asks for it. Everything
here is arithmetic on the numbers given; what cannot give a size is refused, never guessed.
"""

from __future__ import annotations

from math import isfinite

from engine.domain.errors import SizingError
from engine.domain.schemas import SizingSchema


def fixed_percentage(
    schema: SizingSchema, balance: float, price_open: float, price_stop_loss: float
) -> float:
    """Risk a fixed share of the balance: what is lost at the stop-loss is that share.

    ``balance * risk_percentage / 100 / |price_open - price_stop_loss|``, then the caps.

    Args:
        schema: a sizing of method ``fixed-percentage``.
        balance: the account's worth, in the quote currency.
        price_open: price of entry.
        price_stop_loss: price at which the loss is taken.

    Returns:
        Quantity in the base currency.

    Raises:
        SizingError: another method, or a number that gives no size.
    """
    risk = _risk(_of_method(schema, "fixed-percentage"))
    _account(balance, price_open)
    _positive("price_stop_loss", price_stop_loss)
    distance = abs(price_open - price_stop_loss)
    if distance == 0:
        raise SizingError(
            f"price_stop_loss is {price_stop_loss:g}: must differ from price_open, since the size "
            "is the risk divided by their distance"
        )
    return _capped(schema, balance * risk / 100 / distance, balance, price_open)


def kelly_criterion(
    schema: SizingSchema, balance: float, price_open: float, win_rate: float, win_loss_ratio: float
) -> float:
    """Kelly's share of the balance (J. L. Kelly, 1956), times the schema's ``kelly_multiplier``.

    ``K = (W * R - (1 - W)) / R``; the size is ``balance * max(0, K) * multiplier / price_open``,
    then the caps. No edge gives 0.

    Args:
        schema: a sizing of method ``kelly-criterion``.
        balance: the account's worth, in the quote currency.
        price_open: price of entry.
        win_rate: W, the share of trades that win, strictly between 0 and 1.
        win_loss_ratio: R, the average win divided by the average loss, above 0.

    Returns:
        Quantity in the base currency.

    Raises:
        SizingError: another method, or a number that gives no size.
    """
    _of_method(schema, "kelly-criterion")
    _account(balance, price_open)
    if not 0 < win_rate < 1:
        raise SizingError(
            f"win_rate is {win_rate:g}: must lie strictly between 0 and 1 (0.55 is 55 %)"
        )
    _positive("win_loss_ratio", win_loss_ratio)
    share = (win_rate * win_loss_ratio - (1 - win_rate)) / win_loss_ratio
    quantity = balance * max(0.0, share) * schema.kelly_multiplier / price_open
    return _capped(schema, quantity, balance, price_open)


def atr_based(schema: SizingSchema, balance: float, price_open: float, atr: float) -> float:
    """Risk a fixed share of the balance on a move of some average true ranges.

    ``balance * risk_percentage / 100 / (atr * atr_multiplier)``, then the caps.

    Args:
        schema: a sizing of method ``atr-based``.
        balance: the account's worth, in the quote currency.
        price_open: price of entry; the caps need it.
        atr: average true range, in the quote currency, above 0.

    Returns:
        Quantity in the base currency.

    Raises:
        SizingError: another method, or a number that gives no size.
    """
    risk = _risk(_of_method(schema, "atr-based"))
    _account(balance, price_open)
    _positive("atr", atr)
    quantity = balance * risk / 100 / (atr * schema.atr_multiplier)
    return _capped(schema, quantity, balance, price_open)


def _capped(schema: SizingSchema, quantity: float, balance: float, price_open: float) -> float:
    """At most a share of the balance, then at least the minimum, then at most the maximum."""
    if schema.max_position_percentage is not None:
        quantity = min(quantity, balance * schema.max_position_percentage / 100 / price_open)
    if schema.min_position_size is not None:
        quantity = max(quantity, schema.min_position_size)
    if schema.max_position_size is not None:
        quantity = min(quantity, schema.max_position_size)
    if not isfinite(quantity):
        raise SizingError(f"sizing {schema.name!r}: the size of the position is not a number")
    return quantity


def _of_method(schema: SizingSchema, method: str) -> SizingSchema:
    if schema.method != method:
        raise SizingError(
            f"method mismatch: sizing {schema.name!r} is {schema.method}, and was asked for "
            f"{method}: call the function of its method, or name another sizing"
        )
    return schema


def _risk(schema: SizingSchema) -> float:
    assert schema.risk_percentage is not None  # the schema is refused without it
    return schema.risk_percentage


def _account(balance: float, price_open: float) -> None:
    if not (isfinite(balance) and balance >= 0):
        raise SizingError(f"account_balance is {balance:g}: must be a finite number, 0 or more")
    _positive("price_open", price_open)


def _positive(name: str, value: float) -> None:
    if not (isfinite(value) and value > 0):
        raise SizingError(f"{name} is {value:g}: must be a finite number above 0")
