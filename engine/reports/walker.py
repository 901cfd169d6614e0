"""A walker as people and programs read it: every strategy ranked, and the trades of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from engine.domain.signals import Closed
from engine.domain.time import iso, minute_text
from engine.domain.walks import WalkedStrategy, WalkerStatistics
from engine.reports.backtest import json_safe, statistics_data
from engine.reports.columns import MISSING, Column, always, column, number_text, percent_text
from engine.reports.markdown import bold_line, bullet, column_table, document, escape, resolved


def _rank(row: WalkedStrategy, index: int) -> str:
    if row.status != "done":
        return row.status
    if row.metric_value is None:
        return MISSING
    return f"{index + 1} (best)" if index == 0 else str(index + 1)


def _figure(
    key: str, label: str, name: str, decimals: int, unit: str = "", *, signed: bool = False
) -> Column[WalkedStrategy]:
    def text(row: WalkedStrategy) -> str:
        value = None if row.status != "done" or row.stats is None else getattr(row.stats, name)
        return percent_text(value) if signed else number_text(value, decimals, unit)

    return column(key, label, text)


WALKER_STRATEGY_COLUMNS: Final[tuple[Column[WalkedStrategy], ...]] = (
    Column("rank", "Rank", _rank, always),
    column("strategy_name", "Strategy", lambda row: row.strategy_name),
    column(
        "metric", "Metric",
        lambda row: number_text(row.metric_value, 2),
    ),
    _figure("total_signals", "Total Signals", "total_signals", 0),
    _figure("win_rate", "Win Rate", "win_rate", 2, "%"),
    _figure("avg_pnl", "Avg PNL", "avg_pnl", 2, signed=True),
    _figure("total_pnl", "Total PNL", "total_pnl", 2, signed=True),
    _figure("sharpe_ratio", "Sharpe Ratio", "sharpe_ratio", 3),
    _figure("std_dev", "Std Dev", "std_dev", 3, "%"),
)  # fmt: skip
"""Columns of the comparison. A strategy that is not ranked shows how it ended instead."""

WALKER_PNL_COLUMNS: Final[tuple[Column[Closed], ...]] = (
    column("strategy_name", "Strategy", lambda row: row.strategy_name),
    column("signal_id", "Signal ID", lambda row: row.signal.id),
    column("symbol", "Symbol", lambda row: row.symbol),
    column("position", "Position", lambda row: row.signal.position.upper()),
    column("pnl", "PNL (net)", lambda row: percent_text(row.pnl.pnl_percentage)),
    column("close_reason", "Close Reason", lambda row: str(row.close_reason)),
    column("open_time", "Open Time", lambda row: iso(row.signal.pending_at)),
    column("close_time", "Close Time", lambda row: iso(row.close_timestamp)),
)
"""Columns of the trade tables, one table per strategy."""


async def walker_report(
    data: WalkerStatistics,
    strategy_columns: Sequence[Column[WalkedStrategy]] = WALKER_STRATEGY_COLUMNS,
    pnl_columns: Sequence[Column[Closed]] = WALKER_PNL_COLUMNS,
) -> str:
    """The Markdown report: all strategies, best first, then the trades of each, newest first.

    Args:
        data: a finished or stopped walk.
        strategy_columns, pnl_columns: of the comparison and of the trade tables.

    Raises:
        EngineError: a column's function failed.
    """
    blocks = [
        f"# Walker Comparison Report: {escape(data.walker_name)}",
        "\n".join(bold_line(label, escape(text)) for label, text in _facts(data)),
        *_winner(data),
        "## Strategies Comparison",
        column_table(await resolved(strategy_columns, data.strategies), data.strategies),
    ]
    failed = [row for row in data.strategies if row.status == "failed"]
    if failed:
        lines = (bullet(f"{row.strategy_name}: {row.error}") for row in failed)
        blocks += ["## Failed", "\n".join(lines)]
    blocks.append("## All Signals (PNL Table)")
    for row in data.strategies:
        if row.outcome is None:
            continue
        blocks.append(f"### {escape(row.strategy_name)}")
        trades = tuple(reversed(row.outcome.trades))
        if trades:
            blocks.append(column_table(await resolved(pnl_columns, trades), trades))
        else:
            blocks.append("No signals closed in this run.")
    blocks.append(
        f"*{escape(data.metric)}: higher is better. Equal values keep the order in which the "
        f"walker names its strategies; {MISSING} means that a figure is not defined.*"
    )
    return document(blocks)


def walker_to_json(data: WalkerStatistics) -> dict[str, Any]:
    """The walk as JSON data: what was compared, and ``ranking``, best first.

    Instants are ms UTC, percentages in percent units, undefined figures None; no NaN or infinity.
    """
    ranking = [
        {
            "rank": at if row.status == "done" and row.metric_value is not None else None,
            "strategy_name": row.strategy_name,
            "strategy": row.candidate.strategy_name,
            "params": row.params,
            "status": row.status,
            "best": row.strategy_name == data.best_strategy,
            "metric_value": row.metric_value,
            "error": row.error,
            "error_count": row.outcome.counts.errors if row.outcome else 0,
            "strategy_file": row.outcome.strategy_file if row.outcome else "",
            "strategy_hash": row.outcome.strategy_hash if row.outcome else "",
            "data_hash": row.outcome.data_hash if row.outcome else "",
            "statistics": None if row.stats is None else statistics_data(row.stats),
        }
        for at, row in enumerate(data.strategies, start=1)
    ]
    names = (
        "walker_name", "symbol", "exchange_name", "frame_name", "frame_interval", "frame_start",
        "frame_end", "metric", "best_strategy", "best_metric", "total_strategies",
        "strategies_tested", "stopped",
    )  # fmt: skip
    facts = {name: getattr(data, name) for name in names}
    return cast("dict[str, Any]", json_safe({**facts, "ranking": ranking}))


def _facts(data: WalkerStatistics) -> list[tuple[str, str]]:
    tested = f"{data.strategies_tested} of {data.total_strategies}"
    return [
        ("Symbol", data.symbol),
        ("Exchange", data.exchange_name),
        ("Frame", f"{data.frame_name}, {data.frame_interval}"),
        ("Date Range", f"{minute_text(data.frame_start)} to {minute_text(data.frame_end)}"),
        ("Optimization Metric", data.metric),
        ("Strategies Tested", f"{tested}, stopped" if data.stopped else tested),
    ]


def _winner(data: WalkerStatistics) -> list[str]:
    if data.best_strategy is None or data.best_stats is None:
        return ["## Best Strategy: none", f"No strategy has a value of {escape(data.metric)}."]
    lines = [
        bold_line(f"Best {data.metric}", number_text(data.best_metric, 2)),
        bold_line("Total Signals", str(data.best_stats.total_signals)),
    ]
    return [f"## Best Strategy: {escape(data.best_strategy)}", "\n".join(lines)]
