"""Position sizes by the sizings of the current engine; advice, since no orders are sent."""

from __future__ import annotations

from decimal import Decimal
from numbers import Real

from engine.core import sizing
from engine.domain.errors import RunError, SizingError
from engine.domain.schemas import SizingSchema
from engine.domain.texts import value_text
from engine.runtime import current_engine
from engine.services.isolation import failure_of


class PositionSize:
    """How much to buy or sell, by a registered sizing; see `engine.core.sizing` for formulas."""

    @staticmethod
    async def fixed_percentage(
        symbol: str,
        account_balance: float,
        price_open: float,
        price_stop_loss: float,
        sizing_name: str,
    ) -> float:
        """The quantity that loses the sizing's ``risk_percentage`` of the balance at the stop.

        Args:
            symbol: what is traded; handed to the callback.
            account_balance: in the quote currency.
            price_open: price of entry.
            price_stop_loss: price at which the loss is taken.
            sizing_name: a sizing of method ``fixed-percentage``.

        Returns:
            The quantity, in units of what is traded.

        Raises:
            NotRegisteredError: there is no such sizing.
            SizingError: it is of another method, or a number gives no size.
        """
        schema = _sizing(sizing_name, "fixed_percentage")
        numbers = _numbers(
            account_balance=account_balance, price_open=price_open, price_stop_loss=price_stop_loss
        )
        return await _told(
            schema, sizing.fixed_percentage(schema, *numbers.values()), symbol, numbers
        )

    @staticmethod
    async def kelly_criterion(
        symbol: str,
        account_balance: float,
        price_open: float,
        win_rate: float,
        win_loss_ratio: float,
        sizing_name: str,
    ) -> float:
        """Kelly's share of the balance times the sizing's ``kelly_multiplier``; 0 without an edge.

        Args:
            symbol: what is traded; handed to the callback.
            account_balance: in the quote currency.
            price_open: price of entry.
            win_rate: share of trades that win, strictly between 0 and 1.
            win_loss_ratio: average win divided by average loss, above 0.
            sizing_name: a sizing of method ``kelly-criterion``.

        Returns:
            The quantity, in units of what is traded.

        Raises:
            NotRegisteredError: there is no such sizing.
            SizingError: it is of another method, or a number gives no size.
        """
        schema = _sizing(sizing_name, "kelly_criterion")
        numbers = _numbers(
            account_balance=account_balance, price_open=price_open, win_rate=win_rate,
            win_loss_ratio=win_loss_ratio,
        )  # fmt: skip
        return await _told(
            schema, sizing.kelly_criterion(schema, *numbers.values()), symbol, numbers
        )

    @staticmethod
    async def atr_based(
        symbol: str, account_balance: float, price_open: float, atr: float, sizing_name: str
    ) -> float:
        """The quantity that loses ``risk_percentage`` on a move of ``atr_multiplier`` ranges.

        Args:
            symbol: what is traded; handed to the callback.
            account_balance: in the quote currency.
            price_open: price of entry.
            atr: average true range, in the quote currency, above 0.
            sizing_name: a sizing of method ``atr-based``.

        Returns:
            The quantity, in units of what is traded.

        Raises:
            NotRegisteredError: there is no such sizing.
            SizingError: it is of another method, or a number gives no size.
        """
        schema = _sizing(sizing_name, "atr_based")
        numbers = _numbers(account_balance=account_balance, price_open=price_open, atr=atr)
        return await _told(schema, sizing.atr_based(schema, *numbers.values()), symbol, numbers)


def _sizing(name: str, method: str) -> SizingSchema:
    return current_engine().sizings.get(name, f"PositionSize.{method}")


def _numbers(**given: object) -> dict[str, float]:
    """The same as floats; text, truth values and nothing at all are none."""
    found: dict[str, float] = {}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
            raise SizingError(f"{name} is {value_text(value)}: must be a number")
        try:
            found[name] = float(value)
        except OverflowError:
            raise SizingError(f"{name} is {value_text(value)}: must be a finite number") from None
    return found


async def _told(
    schema: SizingSchema, quantity: float, symbol: str, numbers: dict[str, float]
) -> float:
    """The quantity, after the sizing's callback has heard of it; its failure is an error event."""
    callback = schema.callbacks.get("on_calculate")
    if callback is None:
        return quantity
    facts = {"symbol": symbol, **numbers, "method": schema.method}
    error = await failure_of(callback, quantity, facts)
    if error is not None:
        event = RunError(error, stage="callback", symbol=symbol)
        current_engine().bus.publish("error", event)
    return quantity
