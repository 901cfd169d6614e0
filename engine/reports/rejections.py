"""Signals that risk profiles refused: which, why, and how often."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.domain.events import RiskRejection
from engine.reports.columns import MISSING, Column, column, iso_text, price_text
from engine.reports.markdown import bold_line, bullet, column_table, document, escape


@dataclass(frozen=True, slots=True)
class RiskStatistics:
    """All refusals of a run, one per profile that refused.

    Attributes:
        event_list: the newest, newest first; bounded.
        by_symbol, by_strategy: numbers of refusals, over the whole run.
    """

    event_list: tuple[RiskRejection, ...]
    total_rejections: int
    by_symbol: Mapping[str, int] = field(default_factory=dict[str, int])
    by_strategy: Mapping[str, int] = field(default_factory=dict[str, int])


def risk_columns(show_note: Callable[[], bool]) -> tuple[Column[RiskRejection], ...]:
    """The default columns; ``show_note`` rules the one with the note."""
    return (
        column("symbol", "Symbol", lambda row: row.symbol),
        column("strategy_name", "Strategy", lambda row: row.strategy_name),
        column("signal_id", "Signal ID", lambda row: row.pending_signal.id),
        column("position", "Position", lambda row: row.pending_signal.position.upper()),
        column("note", "Note", lambda row: row.pending_signal.note or MISSING, show_note),
        column("exchange_name", "Exchange", lambda row: row.exchange_name),
        column("price_open", "Open Price", lambda r: price_text(r.pending_signal.price_open)),
        column(
            "take_profit", "Take Profit",
            lambda row: price_text(row.pending_signal.price_take_profit),
        ),
        column(
            "stop_loss", "Stop Loss", lambda row: price_text(row.pending_signal.price_stop_loss)
        ),
        column("current_price", "Current Price", lambda row: price_text(row.current_price)),
        column(
            "active_position_count", "Active Positions",
            lambda row: str(row.active_position_count),
        ),
        column("comment", "Reason", lambda row: row.comment),
        column("timestamp", "Timestamp", lambda row: iso_text(row.timestamp)),
    )  # fmt: skip


def risk_report(
    symbol: str,
    strategy_name: str,
    data: RiskStatistics,
    columns: Sequence[Column[RiskRejection]],
) -> str:
    """The Markdown report: refusals newest first, then their numbers."""
    blocks = [f"# Risk Rejection Report: {escape(f'{symbol}:{strategy_name}')}"]
    if not data.event_list:
        blocks.append("No signals were refused.")
    else:
        blocks += [
            column_table(columns, data.event_list),
            bold_line("Total rejections", str(data.total_rejections)),
            "## Rejections by Symbol",
            _counts(data.by_symbol),
            "## Rejections by Strategy",
            _counts(data.by_strategy),
        ]
    return document(blocks)


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "\n".join(f"{bullet(name)}: {count}" for name, count in ordered)
