"""What strategy authors import to register things, and to ask for data inside a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any

from engine.core.pricing import plain_number
from engine.domain.bars import Candles
from engine.domain.errors import ContextError, NoDataError, SchemaError
from engine.domain.schemas import (
    ExchangeSchema,
    FrameSchema,
    OptimizerSchema,
    RiskSchema,
    SchemaKind,
    SizingSchema,
    StrategySchema,
    make,
)
from engine.domain.texts import check_texts
from engine.domain.time import from_ms
from engine.domain.walks import WalkerSchema
from engine.exchanges import ExchangeSpec
from engine.runtime import current_engine
from engine.services.context import ExecutionContext, current_execution, require

# -- registering -------------------------------------------------------------------------------


def _schema(model: Any, kind: SchemaKind, given: Any, fields: Mapping[str, Any]) -> Any:
    if given is None:
        return make(model, kind, fields)
    if fields:
        raise SchemaError(f"add_{kind} takes one schema object or keywords, not both")
    if isinstance(given, model):
        return given
    if isinstance(given, Mapping):
        values: dict[str, Any] = dict(given)  # pyright: ignore[reportUnknownArgumentType]
        return make(model, kind, values)
    raise SchemaError(f"add_{kind} got {type(given).__name__}: give keywords or a schema object")


def add_strategy(schema: StrategySchema | Mapping[str, Any] | None = None, /, **fields: Any) -> Any:
    """Register a strategy; without ``get_signal`` it is a decorator for that function.

    Args:
        schema: a `StrategySchema` or mapping, instead of keywords.
        fields: ``strategy_name``, ``interval`` (1m 3m 5m 15m 30m 1h), ``get_signal(symbol, when,
            **params) -> Signal | None``, and optionally ``note``, ``risk_name``, ``risk_list``,
            ``params``, ``callbacks``.

    Returns:
        The schema that was registered; the decorator gives the function back as it was.

    Raises:
        SchemaError: naming every field that is wrong; the name stays free.
        AlreadyRegisteredError: the name is taken.
    """
    if schema is None and "get_signal" not in fields and "strategy_name" in fields:

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            made = make(StrategySchema, "strategy", {**fields, "get_signal": function})
            current_engine().strategies.add(made)
            return function

        # Whatever else is wrong with the fields is said at the decorator's line.
        make(StrategySchema, "strategy", {**fields, "get_signal": register})
        return register
    return current_engine().strategies.add(_schema(StrategySchema, "strategy", schema, fields))


def add_exchange(
    schema: ExchangeSchema | Mapping[str, Any] | None = None, /, **fields: Any
) -> ExchangeSchema:
    """Register an exchange.

    Args:
        schema: an `ExchangeSchema` or mapping, instead of keywords.
        fields: ``exchange_name``, ``get_candles(symbol, interval, since, limit)`` returning bars
            that open at or after the datetime ``since``, and optionally ``format_price``,
            ``format_quantity``, ``intervals``, ``note``, ``callbacks``.

    Returns:
        The schema that was registered.

    Raises:
        SchemaError: naming every field that is wrong.
        AlreadyRegisteredError: the name is taken.
    """
    return current_engine().exchanges.add(_schema(ExchangeSchema, "exchange", schema, fields))


def add_frame(
    schema: FrameSchema | Mapping[str, Any] | None = None, /, **fields: Any
) -> FrameSchema:
    """Register a frame: ``frame_name``, ``interval``, ``start_date``, ``end_date`` (inclusive).

    Args:
        schema: a `FrameSchema` or mapping, instead of keywords.
        fields: ``frame_name``; ``interval`` (1m to 3d); ``start_date`` and ``end_date``, datetimes
            on whole minutes, both inclusive, UTC when naive; and optionally ``note``, ``callbacks``
            (``on_timeframe(timeframe, start, end, interval)``).

    Returns:
        The schema that was registered.

    Raises:
        SchemaError: naming every field that is wrong.
        AlreadyRegisteredError: the name is taken.
    """
    return current_engine().frames.add(_schema(FrameSchema, "frame", schema, fields))


def add_risk(schema: RiskSchema | Mapping[str, Any] | None = None, /, **fields: Any) -> RiskSchema:
    """Register a risk profile: ``risk_name``, ``validations``, ``callbacks``.

    A validation is a function of one `engine.core.risk.RiskCheck`, plain or async, or
    ``{"validate": function, "note": text}``; it refuses a signal by raising.

    Args:
        schema: a `RiskSchema` or mapping, instead of keywords.
        fields: ``risk_name``, and optionally ``validations``, ``note``, ``callbacks``
            (``on_rejected(symbol, check)``, ``on_allowed(symbol, check)``).

    Returns:
        The schema that was registered.

    Raises:
        SchemaError: naming every field that is wrong.
        AlreadyRegisteredError: the name is taken.
    """
    return current_engine().risks.add(_schema(RiskSchema, "risk", schema, fields))


def add_sizing(
    schema: SizingSchema | Mapping[str, Any] | None = None, /, **fields: Any
) -> SizingSchema:
    """Register a sizing, for `PositionSize`.

    Args:
        schema: a `SizingSchema` or mapping, instead of keywords.
        fields: ``sizing_name``; ``method``, one of ``fixed-percentage`` and ``atr-based`` (both
            with ``risk_percentage``) and ``kelly-criterion``; and optionally ``atr_multiplier``,
            ``kelly_multiplier``, ``max_position_percentage``, ``min_position_size``,
            ``max_position_size``, ``note``, ``callbacks``.

    Returns:
        The schema that was registered.

    Raises:
        SchemaError: naming every field that is wrong; the name stays free.
        AlreadyRegisteredError: the name is taken.
    """
    return current_engine().sizings.add(_schema(SizingSchema, "sizing", schema, fields))


def add_walker(
    schema: WalkerSchema | Mapping[str, Any] | None = None, /, **fields: Any
) -> WalkerSchema:
    """Register a walker, which compares strategies.

    Args:
        schema: a `WalkerSchema` or mapping, instead of keywords.
        fields: ``walker_name``, ``exchange_name``, ``frame_name``, ``strategies`` (names), and
            optionally ``metric`` (default ``sharpe_ratio``), ``grid`` (parameter names to lists of
            values, tried in every combination), ``symbols`` (walked when none is named), ``note``,
            ``callbacks`` (``on_strategy_start(strategy, symbol)``,
            ``on_strategy_complete(strategy, symbol, stats, metric_value)``,
            ``on_strategy_error(strategy, symbol, error)``, ``on_complete(results)``).

    Returns:
        The schema that was registered.

    Raises:
        SchemaError: naming every field that is wrong; the name stays free.
        AlreadyRegisteredError: the name is taken.
    """
    return current_engine().walkers.add(_schema(WalkerSchema, "walker", schema, fields))


def add_optimizer(
    schema: OptimizerSchema | Mapping[str, Any] | None = None, /, **fields: Any
) -> OptimizerSchema:
    """Register an optimizer, which has a language model word strategies.

    Args:
        schema: an `OptimizerSchema` or mapping, instead of keywords.
        fields: ``optimizer_name``; ``range_train`` (a list) and ``range_test`` of ``start_date,
            end_date, note``; ``source``, a list of functions ``fetch(symbol, start_date, end_date,
            limit, offset)`` or of ``{"name", "fetch", "note", "user", "assistant"}``; and
            optionally ``get_prompt(symbol, messages) -> str``, ``template``, ``imports``,
            ``timeout_seconds``, ``note``, ``callbacks``.

    Returns:
        The schema that was registered.

    Raises:
        SchemaError: naming every field that is wrong; the name stays free.
        AlreadyRegisteredError: the name is taken.
    """
    return current_engine().optimizers.add(_schema(OptimizerSchema, "optimizer", schema, fields))


def open_exchange(exchange_name: str, kind: str, **options: Any) -> ExchangeSchema:
    """Register a built-in exchange.

    Args:
        exchange_name: the name it gets.
        kind: ``simulated``, ``files`` or ``ccxt``.
        options: what the kind takes, see `ExchangeSpec`.

    Returns:
        The schema that was registered.

    Raises:
        EngineError: the kind is unknown, or its options or files cannot be used.
        AlreadyRegisteredError: the name is taken.
    """
    check_texts("open_exchange", exchange_name=exchange_name, kind=kind)
    return current_engine().open_exchange(ExchangeSpec(exchange_name, kind, options))


def list_strategies() -> list[StrategySchema]:
    """All strategies in registration order.

    Returns:
        Their schemas; an empty list where there are none.
    """
    return list(current_engine().strategies.list())


def list_exchanges() -> list[ExchangeSchema]:
    """All exchanges in registration order.

    Returns:
        Their schemas; an empty list where there are none.
    """
    return list(current_engine().exchanges.list())


def list_frames() -> list[FrameSchema]:
    """All frames in registration order.

    Returns:
        Their schemas; an empty list where there are none.
    """
    return list(current_engine().frames.list())


def list_risks() -> list[RiskSchema]:
    """All risk profiles in registration order.

    Returns:
        Their schemas; an empty list where there are none.
    """
    return list(current_engine().risks.list())


def list_sizings() -> list[SizingSchema]:
    """All sizings in registration order.

    Returns:
        Their schemas; an empty list where there are none.
    """
    return list(current_engine().sizings.list())


def list_walkers() -> list[WalkerSchema]:
    """All walkers in registration order.

    Returns:
        Their schemas; an empty list where there are none.
    """
    return list(current_engine().walkers.list())


def list_optimizers() -> list[OptimizerSchema]:
    """All optimizers in registration order.

    Returns:
        Their schemas; an empty list where there are none.
    """
    return list(current_engine().optimizers.list())


# -- data, inside a run ------------------------------------------------------------------------


def _async_context(call: str) -> ExecutionContext:
    context = require(call)
    if context.scope.form == "sync":
        raise ContextError(
            f"{call} is a coroutine and this strategy is a plain def: use "
            f"engine.sync.{call}, or make get_signal an async def and await it"
        )
    return context


def get_candles(symbol: str, interval: str, limit: int) -> Coroutine[Any, Any, Candles]:
    """The newest ``limit`` closed bars of ``interval``, oldest first; await it.

    Fewer only where history really starts later.

    Args:
        symbol: any symbol of the run's exchange.
        interval: 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h.
        limit: how many bars, at least 1.

    Returns:
        Read-only columns, one element per bar; times are open times in ms UTC.

    Raises:
        ContextError: outside of a run, or in a plain ``def`` strategy.
        SchemaError: unknown interval.
        EngineError: ``limit`` below 1, or the exchange failed.
    """
    context = current_execution.get()
    if context is None or context.scope.form == "sync":
        context = _async_context("get_candles")
    return _get_candles(context, symbol, interval, limit)


async def _get_candles(
    context: ExecutionContext, symbol: str, interval: str, limit: int
) -> Candles:
    found = context.scope.market.cached_window(symbol, interval, context.when, limit)
    if found is not None:
        return found
    return await context.scope.market.window(symbol, interval, context.when, limit)


def get_average_price(symbol: str) -> Coroutine[Any, Any, float]:
    """VWAP of the last ``avg_price_candles_count`` closed minutes; await it.

    Args:
        symbol: any symbol of the run's exchange.

    Returns:
        The price; the mean of the closes where nothing was traded.

    Raises:
        ContextError: outside of a run, or in a plain ``def`` strategy.
        NoDataError: no candle has closed yet.
    """
    return _get_average_price(_async_context("get_average_price"), symbol)


async def _get_average_price(context: ExecutionContext, symbol: str) -> float:
    market = context.scope.market
    price = market.vwap(symbol, context.when)
    if price is None:
        await market.window(symbol, "1m", context.when, market.vwap_bars)
        price = market.vwap(symbol, context.when)
    if price is None:
        raise NoDataError(f"no candles of {symbol!r} have closed yet: there is no average price")
    return price


def get_date() -> datetime:
    """The present instant of the run, aware UTC.

    Returns:
        The instant, a whole minute.

    Raises:
        ContextError: outside of a run.
    """
    return from_ms(require("get_date").when)


def get_mode() -> str:
    """``"backtest"`` or ``"live"``.

    Returns:
        The mode, as plain text.

    Raises:
        ContextError: outside of a run.
    """
    return str(require("get_mode").scope.key.mode)


def format_price(symbol: str, price: float) -> Coroutine[Any, Any, str]:
    """A price in the precision of the run's exchange; await it.

    Args:
        symbol: whose precision it is.
        price: the number.

    Returns:
        The text; 8 significant decimals where the exchange has no function for it.
    """
    return _format(_async_context("format_price"), "format_price", symbol, price)


def format_quantity(symbol: str, quantity: float) -> Coroutine[Any, Any, str]:
    """A quantity in the precision of the run's exchange; await it.

    Args:
        symbol: whose precision it is.
        quantity: the number.

    Returns:
        The text; 8 significant decimals where the exchange has no function for it.
    """
    return _format(_async_context("format_quantity"), "format_quantity", symbol, quantity)


async def _format(context: ExecutionContext, which: str, symbol: str, value: float) -> str:
    function = getattr(context.scope.market.schema, which)
    if function is None:
        return plain_number(value)
    text = function(symbol, value)
    return str(await text if inspect.isawaitable(text) else text)
