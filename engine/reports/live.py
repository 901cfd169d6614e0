"""A live run's report: what happened lately, and statistics over everything that did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

from engine.domain.outcome import BacktestStatistics
from engine.domain.signals import Active, Cancelled, Closed, Opened, Scheduled
from engine.domain.time import MINUTE
from engine.reports.backtest import statistic_lines, statistics_block
from engine.reports.columns import (
    MISSING,
    Column,
    column,
    iso_text,
    number_text,
    percent_text,
    price_text,
)
from engine.reports.markdown import bold_line, column_table, document, escape


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One line of a live run's history.

    Attributes:
        timestamp: the instant, ms UTC.
        action: ``scheduled | opened | active | closed | cancelled``.
        percent_tp, percent_sl: how far an active position went towards its levels, 0 to 100.
        pnl: result of a closed trade, percent.
        close_reason: why it closed, or why it was cancelled.
        duration: minutes from opening to closing, or from scheduling to cancelling.
    """

    timestamp: int
    action: str
    symbol: str
    signal_id: str
    position: str
    note: str
    current_price: float
    open_price: float
    take_profit: float
    stop_loss: float
    percent_tp: float | None = None
    percent_sl: float | None = None
    pnl: float | None = None
    close_reason: str | None = None
    duration: int | None = None


@dataclass(frozen=True, slots=True)
class LiveStatistics(BacktestStatistics):
    """Statistics over all closed trades of a live session, and its newest events.

    The frame of the statistics is the session: from its start to now, or to its end.

    Attributes:
        event_list: the newest events, newest first; bounded. What is held has one active event per
            stretch of waiting or being open, brought up to date minute by minute.
        total_events, total_scheduled, total_opened, total_cancelled: over the whole session.
    """

    event_list: tuple[LiveEvent, ...] = ()
    total_events: int = 0
    total_scheduled: int = 0
    total_opened: int = 0
    total_cancelled: int = 0

    @property
    def total_closed(self) -> int:
        """How many trades closed."""
        return self.total_trades


def live_event(result: Scheduled | Opened | Active | Closed | Cancelled) -> LiveEvent:
    """A tick result as a line of the history."""
    row = result.signal
    percent_tp = percent_sl = pnl = None
    reason: str | None = None
    duration: int | None = None
    if isinstance(result, Active):
        percent_tp, percent_sl = result.percent_tp, result.percent_sl
    elif isinstance(result, Closed):
        pnl, reason = result.pnl.pnl_percentage, str(result.close_reason)
        duration = (result.close_timestamp - row.pending_at) // MINUTE
    elif isinstance(result, Cancelled):
        reason = str(result.cancel_reason)
        duration = (result.close_timestamp - row.scheduled_at) // MINUTE
    return LiveEvent(
        result.when, str(result.action), row.symbol, row.id, str(row.position), row.note,
        result.current_price, row.price_open, row.price_take_profit, row.price_stop_loss,
        percent_tp, percent_sl, pnl, reason, duration,
    )  # fmt: skip


def live_statistics(
    figures: BacktestStatistics,
    newest: Iterable[Scheduled | Opened | Active | Closed | Cancelled],
    *,
    total_events: int,
    total_scheduled: int,
    total_opened: int,
    total_cancelled: int,
) -> LiveStatistics:
    """The statistics of a session's trades together with its events.

    Args:
        figures: over all closed trades.
        newest: the newest results, newest first.
        total_events, total_scheduled, total_opened, total_cancelled: over the whole session.
    """
    values = {item.name: getattr(figures, item.name) for item in fields(BacktestStatistics)}
    return LiveStatistics(
        **values,
        event_list=tuple(live_event(result) for result in newest),
        total_events=total_events,
        total_scheduled=total_scheduled,
        total_opened=total_opened,
        total_cancelled=total_cancelled,
    )


def live_columns(show_note: Callable[[], bool]) -> tuple[Column[LiveEvent], ...]:
    """The default columns; ``show_note`` rules the one with the note."""
    return (
        column("timestamp", "Timestamp", lambda row: iso_text(row.timestamp)),
        column("action", "Action", lambda row: row.action.upper()),
        column("symbol", "Symbol", lambda row: row.symbol),
        column("signal_id", "Signal ID", lambda row: row.signal_id),
        column("position", "Position", lambda row: row.position.upper()),
        column("note", "Note", lambda row: row.note or MISSING, show_note),
        column("current_price", "Current Price", lambda row: price_text(row.current_price)),
        column("open_price", "Open Price", lambda row: price_text(row.open_price)),
        column("take_profit", "Take Profit", lambda row: price_text(row.take_profit)),
        column("stop_loss", "Stop Loss", lambda row: price_text(row.stop_loss)),
        column("percent_tp", "% to TP", lambda row: number_text(row.percent_tp, 2, "%")),
        column("percent_sl", "% to SL", lambda row: number_text(row.percent_sl, 2, "%")),
        column("pnl", "PNL (net)", lambda row: percent_text(row.pnl)),
        column("close_reason", "Close Reason", lambda row: row.close_reason or MISSING),
        column("duration", "Duration (min)", lambda row: _count(row.duration)),
    )


def live_report(
    strategy_name: str, data: LiveStatistics, columns: Sequence[Column[LiveEvent]]
) -> str:
    """The Markdown report: events newest first, then statistics."""
    blocks = [f"# Live Trading Report: {escape(strategy_name)}"]
    if not data.event_list:
        blocks.append("No events recorded yet.")
    else:
        blocks.append(column_table(columns, data.event_list))
        more = data.total_events - len(data.event_list)
        if more:
            blocks.append(f"{more} older events are counted, not shown.")
        totals = (
            ("Total events", data.total_events),
            ("Scheduled signals", data.total_scheduled),
            ("Opened signals", data.total_opened),
            ("Cancelled signals", data.total_cancelled),
        )
        lines = [bold_line(label, str(value)) for label, value in totals]
        figures = (line for line in statistic_lines(data) if line.label != "Total signals")
        blocks.append("\n".join([*lines, statistics_block(figures)]))
    return document(blocks)


def _count(value: int | None) -> str:
    return MISSING if value is None else str(value)
