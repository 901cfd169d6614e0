"""What screens ask of the engine beyond its events: one live run in full, the risk profiles.

All of it runs on the engine's loop.
"""

from __future__ import annotations

from typing import Any, Final

from console.views import BarsView, InstanceDetail, ProfileView
from engine import Engine
from engine.domain.bars import Candles
from engine.domain.changes import InstanceRecord
from engine.domain.errors import EngineError
from engine.domain.outcome import BacktestStatistics, EquityPoint
from engine.domain.signals import RunKey
from engine.reports.live import live_report
from engine.reports.markdown import resolved
from engine.runs.instance import Instance
from engine.runs.live import LiveExecution
from engine.runs.outcome import live_data

BARS: Final = 240
"""Bars that are shown at most."""


async def inspect(
    engine: Engine, instance: Instance, interval: str, failure: str = ""
) -> InstanceDetail:
    """Everything about a live run that the read model does not hold.

    What cannot be had is left out and named in ``problem``; the rest is there all the same.

    Args:
        engine: the run's engine.
        instance: the run.
        interval: interval of the bars.
        failure: its newest error with traceback, "" without one.
    """
    execution = instance.execution
    if not isinstance(execution, LiveExecution):
        return InstanceDetail(instance.id, BarsView(interval), error=failure or instance.error)
    problems: list[str] = []
    bars = BarsView(interval)
    figures: tuple[BacktestStatistics, tuple[EquityPoint, ...]] | None = None
    report = ""
    try:
        bars = await _bars(execution, instance.key.symbol, interval)
    except EngineError as error:
        problems.append(str(error))
    try:
        figures = await engine.live_runs.figures(instance.key)
        report = await _report(engine, instance.key, figures[0])
    except EngineError as error:
        problems.append(str(error))
    return InstanceDetail(
        run_id=instance.id,
        bars=bars,
        **told_of(execution.record),
        error=failure or instance.error,
        statistics=figures[0] if figures else None,
        equity=figures[1] if figures else (),
        report=report,
        missed=execution.missed_decisions,
        problem="; ".join(problems),
    )


def told_of(record: InstanceRecord) -> dict[str, Any]:
    """What an `InstanceDetail` says of how its run was started."""
    return {
        "settings": tuple((name, str(value)) for name, value in record.settings.items()),
        "strategy_file": record.strategy_file,
        "strategy_hash": record.strategy_hash,
        "session": record.session,
        "started_at": record.started_at,
    }


async def _bars(execution: LiveExecution, symbol: str, interval: str) -> BarsView:
    market = execution.market
    newest = market.newest_close(symbol)
    if newest is None:
        return BarsView(interval)
    # Up to the newest bar there is, so that nothing has to be waited for.
    return bars_view(interval, await market.window(symbol, interval, newest, BARS))


def bars_view(interval: str, candles: Candles) -> BarsView:
    """Candles as the frozen values a screen draws."""
    return BarsView(
        interval,
        tuple(candles.timestamp.tolist()),
        tuple(candles.open.tolist()),
        tuple(candles.high.tolist()),
        tuple(candles.low.tolist()),
        tuple(candles.close.tolist()),
        tuple(candles.volume.tolist()),
    )


async def _report(engine: Engine, key: RunKey, figures: BacktestStatistics) -> str:
    journal = engine.recorder.of(key)
    if journal is None:
        return ""
    data = live_data(journal, figures)
    ready = await resolved(engine.columns["live_columns"], data.event_list)
    return live_report(key.strategy_name, data, ready)


def profiles_of(engine: Engine) -> tuple[ProfileView, ...]:
    """The registered risk profiles with their rules and the strategies that ask them."""
    found = (engine.strategies.find(name) for name in engine.strategies.names())
    strategies = [schema for schema in found if schema is not None]
    views: list[ProfileView] = []
    for name in engine.risks.names():
        risk = engine.risks.find(name)
        if risk is None:
            continue
        rules = tuple(rule.note or _function_name(rule.validate_) for rule in risk.validations)
        users = tuple(schema.name for schema in strategies if name in schema.risk_names)
        views.append(ProfileView(name, risk.note or "", rules, users))
    return tuple(views)


def _function_name(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)
