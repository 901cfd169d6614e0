"""Exchanges by name: what `engine.runtime` opens for a configuration, here and in worker processes.

A part of the composition root: like `engine.runtime`, it names adapters. They are imported on
demand, because reading files needs polars and an exchange of ccxt needs ccxt, which a simulated
market does without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.domain.bars import CANDLE_INTERVALS
from engine.domain.errors import EngineError
from engine.domain.ports import Clock, Exchange
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings

EXCHANGE_KINDS = ("simulated", "files", "ccxt")
"""Kinds of `ExchangeSpec`."""


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    """A built-in exchange by kind and options, so that another process can open it as well.

    ``kind`` is ``files`` (options ``paths`` and optionally ``symbol``), ``simulated`` (option
    ``seed``), or ``ccxt`` (option ``id``, the exchange's id there, by default ``name``; the others
    are those of `engine.adapters.exchanges.ccxt.CcxtExchange`).
    """

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def is_ccxt_id(name: object) -> bool:
    """Whether ccxt has an exchange of this id; ccxt itself is not imported."""
    from engine.adapters.exchanges.ccxt_library import exchange_ids

    return isinstance(name, str) and name in exchange_ids()


def make_exchange(
    spec: ExchangeSpec, clock: Clock, settings: Settings, cache: Path | None
) -> Exchange:
    """Open a built-in exchange.

    Args:
        spec: which one.
        clock: what "now" is for it.
        settings: retries, and the checks of what is kept.
        cache: folder of the candle cache, which the history of ccxt exchanges is kept in; None
            keeps none.

    Raises:
        EngineError: the kind is unknown, or its options or files cannot be used.
    """
    options = dict(spec.options)
    try:
        match spec.kind:
            case "files":
                from engine.adapters.exchanges.files import FilesExchange

                return FilesExchange(options.pop("paths", ()), **options)
            case "simulated":
                from engine.adapters.exchanges.simulated import SimulatedExchange

                return SimulatedExchange(now=clock.now, **options)
            case "ccxt":
                return _ccxt(spec.name, options, clock, settings, cache)
            case _:
                pass
    except TypeError as error:
        raise EngineError(f"exchange {spec.name!r} ({spec.kind}): {error}") from None
    raise EngineError(
        f"exchange {spec.name!r}: kind {spec.kind!r} is unknown: use one of "
        f"{', '.join(EXCHANGE_KINDS)}"
    )


def schema_of(exchange: Exchange, spec: ExchangeSpec) -> ExchangeSchema:
    """What is registered for an opened exchange.

    Raises:
        EngineError: the exchange cannot be used.
    """
    intervals = exchange.intervals()
    return ExchangeSchema(
        exchange_name=spec.name,
        get_candles=exchange.get_candles,
        format_price=exchange.format_price,
        format_quantity=exchange.format_quantity,
        intervals=tuple(name for name in CANDLE_INTERVALS if name in intervals),
        get_symbols=exchange.symbols,
        get_history=exchange.history,
        get_clock_offset=getattr(exchange, "clock_offset", None),
        get_rate_limit_used=getattr(exchange, "rate_limit_used", None),
        close=exchange.close,
        note=spec.kind,
    )


def _ccxt(
    name: str, options: dict[str, Any], clock: Clock, settings: Settings, cache: Path | None
) -> Exchange:
    from engine.adapters.exchanges.ccxt import CcxtExchange

    exchange_id = options.pop("id", name)
    exchange = CcxtExchange(
        exchange_id,
        clock=clock,
        options=options,
        name=name,
        retry_count=settings.get_candles_retry_count,
        retry_delay_ms=settings.get_candles_retry_delay_ms,
    )
    if cache is None:
        return exchange
    from engine.history import cached

    return cached(exchange, name, cache, settings, clock)
