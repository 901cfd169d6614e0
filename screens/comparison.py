"""A walker's view as the screens use it: contenders, curves, facts, and the comparison report.

A metric is switched here and not in the engine: a ranking is cheap to make anew from the results in
the view, and so it can be switched by a console that may only look, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from console.views import OptimizerView
from console.walker_views import WalkerRow, WalkerView
from console.walkers import walked
from engine.core.ranking import best, judged, ranked
from engine.domain.outcome import BacktestStatistics
from engine.domain.walks import METRICS, WalkerStatistics
from engine.reports.walker import walker_report
from screens.detail import Fact
from screens.text import clean, day, many
from screens.widgets.curves_chart import Curve
from screens.widgets.ranking_table import METRICS as RANKED_BY
from screens.widgets.ranking_table import Contender

_NONE: Final[Mapping[str, float | None]] = MappingProxyType({})

CURVES: Final = 6
"""Equity curves that are drawn over each other."""


class Figures(Mapping[str, float | None]):
    """The figures of a result by name, looked up when they are asked for: a grid has thousands."""

    __slots__ = ("_statistics",)

    def __init__(self, statistics: BacktestStatistics) -> None:
        self._statistics = statistics

    def __getitem__(self, name: str) -> float | None:
        if name not in RANKED_BY:
            raise KeyError(name)
        return getattr(self._statistics, name)

    def __iter__(self) -> Iterator[str]:
        return iter(RANKED_BY)

    def __len__(self) -> int:
        return len(RANKED_BY)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Figures) and (
            self._statistics is other._statistics or self._statistics == other._statistics
        )

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def contenders(view: WalkerView) -> tuple[Contender, ...]:
    """The strategies as the walker names them, with every figure a ranking can go by."""
    rows = sorted(view.rows, key=lambda row: row.place)
    return tuple(_contender(row) for row in rows)


def _contender(row: WalkerRow) -> Contender:
    statistics = row.outcome.statistics if row.outcome is not None else None
    # What was cut short is shown with its result, but never ranked against whole runs.
    whole = statistics if row.status == "done" else None
    figures = _NONE if whole is None else Figures(whole)
    trades = None if statistics is None else statistics.total_trades
    failed = row.outcome.counts.errors if row.outcome is not None else 0
    error = row.error or (f"{row.status}, {many(failed, 'error')}" if failed else "")
    return Contender(row.name, row.status, figures, trades, row.progress, error)


def curves(view: WalkerView, order: Sequence[Contender], chosen: str) -> tuple[Curve, ...]:
    """The equity of the strategies, best first; the chosen one is always among those drawn."""
    points = {row.name: row.outcome.equity for row in view.rows if row.outcome is not None}
    names = [contender.name for contender in order if contender.name in points]
    if chosen in names[CURVES:]:
        names.remove(chosen)
        names.insert(CURVES - 1, chosen)
    return tuple(Curve(name, points[name]) for name in names)


def statistics_of(view: WalkerView, metric: str) -> WalkerStatistics:
    """What reports are made of, ranked by a metric; by the walker's own where it ranks by none."""
    metric = metric if metric in METRICS else view.metric
    found = judged(walked(view), metric)
    winner = best(found)
    return WalkerStatistics(
        walker_name=view.walker_name,
        symbol=view.symbol,
        exchange_name=view.exchange_name,
        frame_name=f"{day(view.frame_start)} to {day(view.frame_end)}",
        frame_interval=view.frame_interval,
        frame_start=view.frame_start,
        frame_end=view.frame_end,
        metric=metric,
        strategies=ranked(found),
        best_strategy=None if winner is None else winner.strategy_name,
        best_metric=None if winner is None else winner.metric_value,
        best_stats=None if winner is None else winner.stats,
        total_strategies=len(found),
        strategies_tested=sum(item.status == "done" for item in found),
        stopped=view.status == "stopped",
    )


async def comparison_report(view: WalkerView, metric: str) -> str:
    """The comparison as Markdown; made beside the interface, because it lists every trade."""
    data = statistics_of(view, metric)
    return await asyncio.to_thread(lambda: asyncio.run(walker_report(data)))


def walker_facts(view: WalkerView) -> tuple[Fact, ...]:
    """What is known of a walker without a ranking."""
    frame = f"{day(view.frame_start)} to {day(view.frame_end)}, every {view.frame_interval}"
    facts = [
        Fact("status", view.status),
        Fact("exchange", view.exchange_name),
        Fact("frame", frame),
        Fact("progress", f"{100 * view.progress:.1f} %"),
        Fact("tested", f"{view.strategies_tested} of {view.total_strategies}"),
        Fact("error", view.error),
    ]
    return tuple(fact for fact in facts if fact.value)


def contender_facts(contender: Contender) -> tuple[Fact, ...]:
    """What is known of a strategy that has no result."""
    facts = [
        Fact("strategy", contender.name),
        Fact("status", contender.status),
        Fact("progress", f"{100 * contender.progress:.1f} %"),
        Fact("error", contender.error),
    ]
    return tuple(fact for fact in facts if fact.value)


def optimizer_facts(view: OptimizerView) -> tuple[Fact, ...]:
    """All that is known of an optimizer's run."""
    executed = "no: read it before anything opens it" if view.path else ""
    facts = [
        Fact("status", view.status),
        Fact("sources", f"{view.processed_sources} of {view.total_sources}"),
        Fact("module", view.path),
        Fact("executed", executed),
        Fact("written by", view.written_by),
        Fact("walker", view.walker_name),
        *(Fact(clean(name), text) for name, text in view.strategies),
        Fact("checked", "\n".join(view.checks)),
        Fact("warnings", "\n".join(view.warnings)),
        Fact("error", view.error),
    ]
    return tuple(fact for fact in facts if fact.value)
