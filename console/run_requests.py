"""From what an operator typed to a run: checks of a `RunRequest` and the job made from it.

The New-run form and ``signaldeck backtest`` share this, so both refuse the same things in the same
words before anything is started.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from console.typed_values import parse_grid, parse_settings
from console.views import FieldError, RunRequest
from engine.domain.bars import interval_ms
from engine.domain.errors import EngineError, NotRegisteredError, SchemaError, SettingsError
from engine.domain.schemas import FrameSchema, make
from engine.domain.settings import Settings
from engine.domain.time import MINUTE, iso, minute_text, parse_instant
from engine.domain.walks import METRICS, WalkerSchema
from engine.exchanges import is_ccxt_id
from engine.jobs import BacktestJob
from engine.parallel import Sources
from engine.runs.group_runs import Walk

if TYPE_CHECKING:
    from console.discovery import Workshop
    from engine import Engine


class RequestError(EngineError):
    """A run cannot be started as asked; ``problems`` has one entry per field."""

    def __init__(self, problems: Iterable[FieldError]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.message for problem in self.problems))


async def open_by_name(engine: Engine, workshop: Workshop, name: str) -> None:
    """Open an exchange of ccxt that is only named, not configured; importing it takes a moment."""
    if name and name not in exchange_names(engine, workshop) and is_ccxt_id(name):
        await asyncio.to_thread(engine.exchange, name, "run")


def exchange_names(engine: Engine, workshop: Workshop) -> tuple[str, ...]:
    """Every exchange name that can be asked for."""
    specs = (spec.name for spec in workshop.exchanges)
    return tuple(dict.fromkeys((*engine.exchanges.names(), *specs)))


async def exchange_symbols(engine: Engine, exchange_name: str) -> tuple[str, ...]:
    """Symbols of an exchange that is open; () when it cannot tell."""
    schema = engine.exchanges.find(exchange_name)
    ask = getattr(schema, "get_symbols", None)
    if ask is None:
        return ()
    answer: Any = ask()
    return tuple(await answer if inspect.isawaitable(answer) else answer)


async def check_request(
    engine: Engine, workshop: Workshop, request: RunRequest
) -> tuple[FieldError, ...]:
    """Every problem of a request; () when it may start."""
    if request.kind == "walker":
        return await _check_walker(engine, workshop, request)
    if request.kind == "optimizer":
        return _check_optimizer(engine, request)
    await open_by_name(engine, workshop, request.exchange_name)
    found = [
        *_check_strategy(engine, workshop, request),
        *_check_exchange(engine, workshop, request),
        *await _check_symbol(engine, workshop, request),
    ]
    if request.kind == "backtest":
        found += [*_check_frame(request), *_check_settings(engine, request)]
    elif request.kind != "live":
        kinds = "live, backtest, walker or optimizer"
        found.append(FieldError("kind", f"kind {request.kind!r} is unknown: use {kinds}"))
    return tuple(found)


def backtest_job(engine: Engine, workshop: Workshop, request: RunRequest) -> BacktestJob:
    """The job of a request that passed `check_request`."""
    return BacktestJob(
        strategy_files=workshop.files_for(engine, request.strategy_name, request.exchange_name),
        strategy_name=request.strategy_name,
        symbol=request.symbol,
        exchange_name=request.exchange_name,
        exchange=workshop.exchange_spec(request.exchange_name),
        cache=str(engine.cache or ""),
        frame_interval=request.interval,
        frame_start=parse_instant(request.start),
        frame_end=parse_instant(request.end),
        settings=settings_of(engine, request).model_dump(),
    )


def settings_of(engine: Engine, request: RunRequest) -> Settings:
    """The settings a request's run has: the engine's, with what the request changes.

    Raises:
        SchemaError: they cannot be read.
        SettingsError: unknown names, wrong types or broken bounds.
    """
    return engine.settings.updated(parse_settings(request.settings))


def walk_of(engine: Engine, workshop: Workshop, request: RunRequest) -> tuple[Walk, Sources]:
    """What a walker's request that passed `check_request` compares, and where workers find it.

    Raises:
        SchemaError: the walker's grid does not fit its strategies.
    """
    walker = _walker(engine, request)
    frame = FrameSchema(
        frame_name=walker.frame_name,
        interval=request.interval,
        start_date=parse_instant(request.start),
        end_date=parse_instant(request.end),
    )
    name = walker.exchange_name
    sources = Sources(
        files_for=lambda strategy: workshop.files_for(engine, strategy, name),
        exchange=workshop.exchange_spec(name) or engine.exchange_specs.get(name),
        cache=str(engine.cache or ""),
    )
    walk = engine.group_runs.walk_of(walker, request.symbol, frame)
    return replace(walk, settings=settings_of(engine, request)), sources


def completed(engine: Engine, request: RunRequest) -> RunRequest:
    """A walker's request with what a registered walker says where the request says nothing."""
    walker = engine.walkers.find(request.strategy_name) if not request.strategies else None
    if walker is None:
        return request
    frame = engine.frames.find(walker.frame_name)
    if frame is not None and not request.start and not request.end:
        request = replace(
            request, start=iso(frame.start_date), end=iso(frame.end_date), interval=frame.interval
        )
    return replace(
        request,
        symbol=request.symbol or next(iter(walker.symbols), ""),
        exchange_name=request.exchange_name or walker.exchange_name,
        metric=request.metric or walker.metric,
    )


def _walker(engine: Engine, request: RunRequest) -> WalkerSchema:
    """The walker of a request, registered or made of its strategies."""
    if not request.strategies:
        walker = engine.walkers.get(request.strategy_name, "walker")
        changes = {
            "exchange_name": request.exchange_name,
            "metric": request.metric,
            "grid": parse_grid(request.grid),
        }
        return walker.model_copy(update={name: value for name, value in changes.items() if value})
    return make(
        WalkerSchema,
        "walker",
        {
            "walker_name": request.strategy_name or "comparison",
            "exchange_name": request.exchange_name,
            "frame_name": "range",
            "strategies": request.strategies,
            "metric": request.metric or METRICS[0],
            "grid": parse_grid(request.grid),
        },
    )


async def _check_walker(
    engine: Engine, workshop: Workshop, request: RunRequest
) -> tuple[FieldError, ...]:
    found: list[FieldError] = []
    if not request.strategies and not request.strategy_name:
        text = "no walker is chosen: choose one, or the strategies to compare"
        return (FieldError("strategy_name", text),)
    if not request.strategies and engine.walkers.find(request.strategy_name) is None:
        try:
            engine.walkers.get(request.strategy_name, "walker")
        except NotRegisteredError as error:
            return (FieldError("strategy_name", str(error)),)
    request = completed(engine, request)
    await open_by_name(engine, workshop, request.exchange_name)
    names = request.strategies or engine.walkers.get(request.strategy_name, "walker").strategies
    for name in names:
        found += _check_strategy(engine, workshop, replace(request, strategy_name=name))
    if request.metric and request.metric not in METRICS:
        text = f"metric {request.metric!r} is unknown: use one of {', '.join(METRICS)}"
        found.append(FieldError("metric", text))
    found += _check_exchange(engine, workshop, request)
    found += await _check_symbol(engine, workshop, request)
    found += [*_check_frame(request), *_check_settings(engine, request)]
    if not found:
        try:
            walk_of(engine, workshop, request)
        except SchemaError as error:
            found.append(FieldError("grid" if request.grid else "strategy_name", str(error)))
    return tuple(found)


def _check_optimizer(engine: Engine, request: RunRequest) -> tuple[FieldError, ...]:
    found: list[FieldError] = []
    try:
        engine.optimizers.get(request.strategy_name, "optimizer")
    except NotRegisteredError as error:
        found.append(FieldError("strategy_name", str(error)))
    if not request.symbol:
        found.append(FieldError("symbol", "no symbol is given: type one, for example BTCUSDT"))
    return tuple(found)


def _check_settings(engine: Engine, request: RunRequest) -> list[FieldError]:
    try:
        settings_of(engine, request)
    except (SchemaError, SettingsError) as error:
        return [FieldError("settings", str(error))]
    return []


def _check_strategy(engine: Engine, workshop: Workshop, request: RunRequest) -> list[FieldError]:
    if not request.strategy_name:
        return [FieldError("strategy_name", "no strategy is chosen: choose one")]
    try:
        strategy = engine.strategies.get(request.strategy_name, request.kind)
    except NotRegisteredError as error:
        broken = "".join(f"\nbroken file: {file.error}" for file in workshop.broken)
        return [FieldError("strategy_name", f"{error}{broken}")]
    found: list[FieldError] = []
    for risk_name in strategy.risk_names:
        try:
            engine.risks.get(risk_name, f"strategy {request.strategy_name}")
        except NotRegisteredError as error:
            found.append(FieldError("strategy_name", str(error)))
    return found


def _check_exchange(engine: Engine, workshop: Workshop, request: RunRequest) -> list[FieldError]:
    name, known = request.exchange_name, exchange_names(engine, workshop)
    if not name:
        return [FieldError("exchange_name", "no exchange is chosen: choose one")]
    if name not in known:
        text = f"exchange {name!r} not found: use one of {', '.join(known)}"
        hint = f", an exchange of ccxt, or configure it as [exchanges.{name}] in signaldeck.toml"
        return [FieldError("exchange_name", text + hint)]
    spec = workshop.exchange_spec(name)
    if request.kind == "live" and spec is not None and spec.kind == "files":
        text = f"exchange {name!r} has recorded bars only: choose another one for a live run"
        return [FieldError("exchange_name", text)]
    return []


async def _check_symbol(
    engine: Engine, workshop: Workshop, request: RunRequest
) -> list[FieldError]:
    if not request.symbol:
        return [FieldError("symbol", "no symbol is given: type one, for example BTCUSDT")]
    try:
        known = await exchange_symbols(engine, request.exchange_name)
    except Exception as error:
        return [FieldError("symbol", f"exchange {request.exchange_name!r} failed: {error}")]
    if known and request.symbol not in known:
        text = f"symbol {request.symbol!r} is unknown to exchange {request.exchange_name!r}"
        return [FieldError("symbol", f"{text}: use one of {', '.join(known)}")]
    return []


def _check_frame(request: RunRequest) -> list[FieldError]:
    found: list[FieldError] = []
    try:
        interval_ms(request.interval)
    except SchemaError as error:
        found.append(FieldError("interval", str(error)))
    bounds: list[int] = []
    for field, text in (("start", request.start), ("end", request.end)):
        try:
            if not text.strip():
                raise SchemaError(
                    f"no {field} is given: write 2024-01-31 or 2024-01-31T10:05 (UTC)"
                )
            bounds.append(_whole_minute(text))
        except SchemaError as error:
            found.append(FieldError(field, str(error)))
    if len(bounds) == 2 and bounds[0] > bounds[1]:
        start, end = map(minute_text, bounds)
        found.append(FieldError("start", f"start {start} is after end {end}: exchange them"))
    return found


def _whole_minute(text: str) -> int:
    instant = parse_instant(text)
    if instant % MINUTE:
        raise SchemaError(f"{text!r} is not a whole minute: round it")
    return instant
