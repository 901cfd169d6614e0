"""A portfolio as people read it: the totals, its members, and every trade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.domain.outcome import BacktestOutcome
from engine.domain.portfolios import PortfolioOutcome
from engine.domain.signals import Closed
from engine.domain.time import minute_text
from engine.reports.backtest import statistic_lines, statistics_block
from engine.reports.columns import BACKTEST_COLUMNS, Column, column, percent_text
from engine.reports.markdown import bold_line, bullet, column_table, escape, resolved

PORTFOLIO_COLUMNS: Final[tuple[Column[Closed], ...]] = (
    BACKTEST_COLUMNS[0],
    BACKTEST_COLUMNS[1],
    column("strategy_name", "Strategy", lambda row: row.strategy_name),
    *BACKTEST_COLUMNS[2:],
)
"""Columns of a portfolio's trade table: those of a backtest, and the strategy."""


MEMBER_COLUMNS: Final[tuple[Column[BacktestOutcome], ...]] = (
    column("symbol", "Symbol", lambda row: row.key.symbol),
    column("strategy_name", "Strategy", lambda row: row.key.strategy_name),
    column("total_trades", "Trades", lambda row: str(row.statistics.total_trades)),
    column("total_pnl", "Total PNL", lambda row: percent_text(row.statistics.total_pnl)),
    column("total_return", "Total Return", lambda row: percent_text(row.statistics.total_return)),
    column("max_drawdown", "Max Drawdown", lambda row: percent_text(-row.statistics.max_drawdown)),
    column("rejections", "Risk Rejections", lambda row: str(row.counts.rejections)),
    column("errors", "Errors", lambda row: str(row.counts.errors)),
)
"""Columns of the table of members."""


async def portfolio_report(
    outcome: PortfolioOutcome, columns: Sequence[Column[Closed]] = PORTFOLIO_COLUMNS
) -> str:
    """The Markdown report: totals, members, and all trades, newest first.

    Args:
        outcome: a finished or stopped portfolio.
        columns: of the trade table.

    Raises:
        EngineError: a column's function failed.
    """
    span = f"{minute_text(outcome.frame_start)} to {minute_text(outcome.frame_end)}"
    facts = [
        ("Exchange", outcome.key.exchange_name),
        ("Frame", f"{outcome.key.frame_name}, {outcome.frame_interval}, {span}"),
        ("Ended", "stopped before the frame's end" if outcome.stopped else "complete"),
    ]
    blocks = [
        f"# Portfolio Report: {escape(outcome.key.strategy_name)}",
        "\n".join(bold_line(label, escape(text)) for label, text in facts),
        "## Totals",
        statistics_block(statistic_lines(outcome.statistics)),
        "## Members",
        column_table(MEMBER_COLUMNS, outcome.members),
        "## Trades",
    ]
    trades = tuple(reversed(outcome.trades))
    if trades:
        blocks.append(column_table(await resolved(columns, trades), trades))
    else:
        blocks.append("No signals closed in this run.")
    warnings = [
        bullet(f"{member.key.symbol} {member.key.strategy_name}: {text}")
        for member in outcome.members
        for text in member.warnings
    ]
    if warnings:
        blocks += ["## Warnings", "\n".join(warnings)]
    return "\n\n".join(blocks) + "\n"
