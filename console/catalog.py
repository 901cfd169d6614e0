"""What can be chosen when a run is started: strategies, exchanges and their symbols."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from console.discovery import Workshop, schemas
from console.run_requests import exchange_names, exchange_symbols
from console.views import Catalog, ExchangeItem, StrategyItem, WalkerItem
from engine import Engine
from engine.domain.bars import FRAME_INTERVALS
from engine.domain.time import iso
from engine.domain.walks import WalkerSchema
from engine.exchanges import ExchangeSpec

_ASK_SECONDS: Final = 30.0
_log = logging.getLogger("signaldeck.host")


def catalog_of(engine: Engine, workshop: Workshop) -> Catalog:
    """What is registered; the exchanges' symbols are not known yet."""
    strategies = [
        StrategyItem(
            schema.name,
            schema.interval,
            schema.note or "",
            workshop.origin("strategy", schema.name),
            risks=schema.risk_names,
        )
        for schema in schemas(engine, "strategies")
    ]
    strategies += [
        StrategyItem(file.path.name, file=str(file.path), error=file.error)
        for file in workshop.broken
    ]
    exchanges: list[ExchangeItem] = []
    for name in exchange_names(engine, workshop):
        spec = workshop.exchange_spec(name)
        kind = spec.kind if spec else "strategy file"
        exchanges.append(ExchangeItem(name, kind, live=kind != "files"))
    return Catalog(
        tuple(strategies),
        tuple(exchanges),
        FRAME_INTERVALS,
        tuple(_walker_item(engine, walker) for walker in engine.walkers.list()),
        tuple((optimizer.name, optimizer.note or "") for optimizer in engine.optimizers.list()),
    )


def _walker_item(engine: Engine, walker: WalkerSchema) -> WalkerItem:
    frame = engine.frames.find(walker.frame_name)
    return WalkerItem(
        name=walker.name,
        note=walker.note or f"{len(walker.strategies)} strategies by {walker.metric}",
        exchange_name=walker.exchange_name,
        symbols=walker.symbols,
        metric=walker.metric,
        interval="" if frame is None else frame.interval,
        start="" if frame is None else iso(frame.start_date),
        end="" if frame is None else iso(frame.end_date),
    )


async def complete_catalog(
    catalog: Catalog, engine: Engine, workshop: Workshop, put: Callable[[Catalog], None]
) -> None:
    """Add the symbols of each exchange as they become known; asking may take a while."""
    for at, item in enumerate(catalog.exchanges):
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                symbols = await symbols_of(engine, workshop, item.name)
        except Exception as error:
            _log.warning("symbols of exchange %s: %s", item.name, error)
            continue
        exchanges = [*catalog.exchanges]
        exchanges[at] = replace(item, symbols=symbols)
        catalog = replace(catalog, exchanges=tuple(exchanges))
        put(catalog)


async def symbols_of(engine: Engine, workshop: Workshop, exchange_name: str) -> tuple[str, ...]:
    """Symbols of an exchange; () when it cannot tell."""
    spec = workshop.exchange_spec(exchange_name)
    if spec is not None and spec.kind == "files":
        return await asyncio.to_thread(_recorded_symbols, spec)
    return await exchange_symbols(engine, exchange_name)


def _recorded_symbols(spec: ExchangeSpec) -> tuple[str, ...]:
    """Symbols of recorded bars, which have to be read for it: not on the engine's loop."""
    schema = Engine().open_exchange(spec)
    return tuple(schema.get_symbols()) if schema.get_symbols is not None else ()
