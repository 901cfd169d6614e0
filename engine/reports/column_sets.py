"""Every collection of columns there is, as shipped."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from engine.reports.columns import BACKTEST_COLUMNS, ColumnSets
from engine.reports.heat import HEAT_COLUMNS
from engine.reports.live import live_columns
from engine.reports.partials import PARTIAL_COLUMNS
from engine.reports.performance import PERFORMANCE_COLUMNS
from engine.reports.rejections import risk_columns
from engine.reports.schedule import schedule_columns
from engine.reports.walker import WALKER_PNL_COLUMNS, WALKER_STRATEGY_COLUMNS


def default_columns(show_note: Callable[[], bool]) -> ColumnSets:
    """The collections by name; read-only.

    Args:
        show_note: whether the notes of signals are shown where they are hidden by default; asked
            whenever a report is made.
    """
    return MappingProxyType(
        {
            "backtest_columns": BACKTEST_COLUMNS,
            "live_columns": live_columns(show_note),
            "schedule_columns": schedule_columns(show_note),
            "partial_columns": PARTIAL_COLUMNS,
            "risk_columns": risk_columns(show_note),
            "heat_columns": HEAT_COLUMNS,
            "performance_columns": PERFORMANCE_COLUMNS,
            "walker_strategy_columns": WALKER_STRATEGY_COLUMNS,
            "walker_pnl_columns": WALKER_PNL_COLUMNS,
        }
    )
