"""Plain twins of the data functions, for strategies written as plain ``def``.

In a backtest such a strategy runs inline, when live it runs in a thread; these functions work in
both and say so when an ``async def`` strategy calls them.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from engine.core.pricing import plain_number
from engine.domain.bars import Candles
from engine.domain.errors import ContextError, NoDataError
from engine.services.context import ExecutionContext, require


def get_candles(symbol: str, interval: str, limit: int) -> Candles:
    """The newest ``limit`` closed bars of ``interval``, oldest first.

    Args:
        symbol: any symbol of the run's exchange.
        interval: 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h.
        limit: how many bars, at least 1.

    Returns:
        Read-only columns, one element per bar; times are open times in ms UTC.

    Raises:
        ContextError: outside of a run, or in an ``async def`` strategy.
        SchemaError: unknown interval.
        EngineError: ``limit`` below 1, or the exchange failed.
    """
    context = _context("get_candles")
    market = context.scope.market
    found = market.cached_window(symbol, interval, context.when, limit)
    if found is not None:
        return found
    if _on_loop(context):
        return market.window_blocking(symbol, interval, context.when, limit)
    coroutine = market.window(symbol, interval, context.when, limit)
    return asyncio.run_coroutine_threadsafe(coroutine, context.scope.loop).result()


def get_average_price(symbol: str) -> float:
    """VWAP of the last ``avg_price_candles_count`` closed minutes.

    Args:
        symbol: any symbol of the run's exchange.

    Returns:
        The price; the mean of the closes where nothing was traded.

    Raises:
        ContextError: outside of a run, or in an ``async def`` strategy.
        NoDataError: no candle has closed yet.
    """
    context = _context("get_average_price")
    price = context.scope.market.vwap(symbol, context.when)
    if price is None:
        get_candles(symbol, "1m", context.scope.market.vwap_bars)
        price = context.scope.market.vwap(symbol, context.when)
    if price is None:
        raise NoDataError(f"no candles of {symbol!r} have closed yet: there is no average price")
    return price


def format_price(symbol: str, price: float) -> str:
    """A price in the precision of the run's exchange.

    Args:
        symbol: whose precision it is.
        price: the number.

    Returns:
        The text; 8 significant decimals where the exchange has no function for it.
    """
    return _format("format_price", symbol, price)


def format_quantity(symbol: str, quantity: float) -> str:
    """A quantity in the precision of the run's exchange.

    Args:
        symbol: whose precision it is.
        quantity: the number.

    Returns:
        The text; 8 significant decimals where the exchange has no function for it.
    """
    return _format("format_quantity", symbol, quantity)


def _format(which: str, symbol: str, value: float) -> str:
    function: Any = getattr(_context(which).scope.market.schema, which)
    if function is None:
        return plain_number(value)
    text = function(symbol, value)
    if inspect.isawaitable(text):
        if inspect.iscoroutine(text):
            text.close()
        raise ContextError(
            f"{which} of this exchange is a coroutine: `await engine.{which}(...)` in an async def"
        )
    return str(text)


def _context(call: str) -> ExecutionContext:
    context = require(call)
    if context.scope.form == "async":
        raise ContextError(
            f"engine.sync.{call} was called in an async def strategy: use "
            f"`await engine.{call}(...)`, or make get_signal a plain def"
        )
    return context


def _on_loop(context: ExecutionContext) -> bool:
    try:
        return asyncio.get_running_loop() is context.scope.loop
    except RuntimeError:
        return False


__all__ = ["format_price", "format_quantity", "get_average_price", "get_candles"]
