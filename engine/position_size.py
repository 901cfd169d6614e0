"""Position sizes by the sizings of the current engine; advice, since no orders are sent."""

from __future__ import annotations

import inspect
from typing import Any

from engine.core import sizing
from engine.domain.errors import RunError
from engine.domain.schemas import SizingSchema
from engine.runtime import current_engine
from engine.services.isolation import user_error


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
        quantity = sizing.fixed_percentage(schema, account_balance, price_open, price_stop_loss)
        return await _told(
            schema, quantity, symbol=symbol, account_balance=account_balance,
            price_open=price_open, price_stop_loss=price_stop_loss,
        )  # fmt: skip

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
        quantity = sizing.kelly_criterion(
            schema, account_balance, price_open, win_rate, win_loss_ratio
        )
        return await _told(
            schema, quantity, symbol=symbol, account_balance=account_balance,
            price_open=price_open, win_rate=win_rate, win_loss_ratio=win_loss_ratio,
        )  # fmt: skip

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
        quantity = sizing.atr_based(schema, account_balance, price_open, atr)
        return await _told(
            schema, quantity, symbol=symbol, account_balance=account_balance,
            price_open=price_open, atr=atr,
        )  # fmt: skip


def _sizing(name: str, method: str) -> SizingSchema:
    return current_engine().sizings.get(name, f"PositionSize.{method}")


async def _told(schema: SizingSchema, quantity: float, **params: Any) -> float:
    """The quantity, after the sizing's callback has heard of it; its failure is an error event."""
    callback = schema.callbacks.get("on_calculate")
    if callback is None:
        return quantity
    try:
        outcome = callback(quantity, {**params, "method": schema.method})
        if inspect.isawaitable(outcome):
            await outcome
    except BaseException as raised:
        error = user_error(raised)
        if error is None:
            raise
        event = RunError(error, stage="callback", symbol=params["symbol"])
        current_engine().bus.publish("error", event)
    return quantity
