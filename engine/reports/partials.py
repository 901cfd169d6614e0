"""Milestones on the way to take-profit and stop-loss: how far positions went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.domain.events import Partial
from engine.reports.columns import Column, column, iso_text, price_text
from engine.reports.markdown import bold_line, column_table, document, escape


@dataclass(frozen=True, slots=True)
class PartialEvent:
    """A position reached a milestone.

    Attributes:
        timestamp: the instant, ms UTC.
        action: ``profit`` towards take-profit, ``loss`` towards stop-loss.
        current_price: the VWAP that reached it.
        level: 10, 20, ..., 100 percent of the path.
    """

    timestamp: int
    action: str
    symbol: str
    strategy_name: str
    signal_id: str
    position: str
    current_price: float
    level: int
    backtest: bool


@dataclass(frozen=True, slots=True)
class PartialStatistics:
    """All milestones of a run; ``event_list`` holds the newest, newest first."""

    event_list: tuple[PartialEvent, ...]
    total_events: int
    total_profit: int
    total_loss: int


def partial_event(event: Partial) -> PartialEvent:
    """A published milestone as a line of the report."""
    return PartialEvent(
        event.timestamp, event.side, event.symbol, event.strategy_name, event.data.id,
        str(event.data.position), event.current_price, event.level, event.backtest,
    )  # fmt: skip


def partial_statistics(newest: Sequence[Partial], *, profit: int, loss: int) -> PartialStatistics:
    """Counts over a run.

    Args:
        newest: the newest milestones, newest first.
        profit, loss: how many there were on either side.
    """
    return PartialStatistics(tuple(map(partial_event, newest)), profit + loss, profit, loss)


PARTIAL_COLUMNS: Final[tuple[Column[PartialEvent], ...]] = (
    column("action", "Action", lambda row: row.action.upper()),
    column("symbol", "Symbol", lambda row: row.symbol),
    column("strategy_name", "Strategy", lambda row: row.strategy_name),
    column("signal_id", "Signal ID", lambda row: row.signal_id),
    column("position", "Position", lambda row: row.position.upper()),
    column("level", "Level %", lambda r: f"{'+' if r.action == 'profit' else '-'}{r.level}%"),
    column("current_price", "Current Price", lambda row: price_text(row.current_price)),
    column("timestamp", "Timestamp", lambda row: iso_text(row.timestamp)),
    column("mode", "Mode", lambda row: "Backtest" if row.backtest else "Live"),
)


def partial_report(
    symbol: str,
    strategy_name: str,
    data: PartialStatistics,
    columns: Sequence[Column[PartialEvent]],
) -> str:
    """The Markdown report: milestones newest first, then their numbers."""
    blocks = [f"# Partial Profit/Loss Report: {escape(f'{symbol}:{strategy_name}')}"]
    if not data.event_list:
        blocks.append("No milestones were reached.")
    else:
        totals = (
            ("Total events", data.total_events),
            ("Profit events", data.total_profit),
            ("Loss events", data.total_loss),
        )
        blocks += [
            column_table(columns, data.event_list),
            "\n".join(bold_line(label, str(value)) for label, value in totals),
        ]
    return document(blocks)
