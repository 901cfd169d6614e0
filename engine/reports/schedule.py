"""What became of scheduled signals: how many opened, how many did not, and after how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.domain.signals import Cancelled, Opened, Scheduled
from engine.domain.time import MINUTE
from engine.reports.columns import MISSING, Column, column, iso_text, number_text, price_text
from engine.reports.markdown import bold_line, column_table, document, escape


@dataclass(frozen=True, slots=True)
class ScheduleEvent:
    """One event in the life of a scheduled signal.

    Attributes:
        timestamp: when it was scheduled, opened or cancelled, ms UTC.
        action: ``scheduled | opened | cancelled``.
        price_open: the entry price waited for; of an opened one the booked price.
        close_timestamp: when it was cancelled, else None.
        cancel_reason: why it was cancelled, else None.
        duration: minutes since it was scheduled; None for ``scheduled``.
    """

    timestamp: int
    action: str
    symbol: str
    signal_id: str
    position: str
    note: str
    current_price: float
    price_open: float
    take_profit: float
    stop_loss: float
    close_timestamp: int | None = None
    cancel_reason: str | None = None
    duration: int | None = None


@dataclass(frozen=True, slots=True)
class ScheduleStatistics:
    """Counts and rates over all scheduled signals of a run.

    Attributes:
        event_list: the newest events, newest first; bounded.
        cancellation_rate, activation_rate: percent of the scheduled ones; None without any.
        avg_wait_time: minutes a cancelled one waited on average; None without any.
        avg_activation_time: minutes an opened one waited on average; None without any.
        undefined: why a figure is None.
    """

    event_list: tuple[ScheduleEvent, ...]
    total_events: int
    total_scheduled: int
    total_opened: int
    total_cancelled: int
    cancellation_rate: float | None
    activation_rate: float | None
    avg_wait_time: float | None
    avg_activation_time: float | None
    undefined: Mapping[str, str] = field(default_factory=dict[str, str])


def schedule_event(result: Scheduled | Opened | Cancelled) -> ScheduleEvent:
    """A tick result of a scheduled signal as an event of its life."""
    row = result.signal
    cancelled = isinstance(result, Cancelled)
    waited = None if isinstance(result, Scheduled) else (result.when - row.scheduled_at) // MINUTE
    return ScheduleEvent(
        result.when, str(result.action), row.symbol, row.id, str(row.position), row.note,
        result.current_price, row.price_open, row.price_take_profit, row.price_stop_loss,
        result.close_timestamp if cancelled else None,
        str(result.cancel_reason) if cancelled else None, waited,
    )  # fmt: skip


def schedule_statistics(
    newest: Sequence[Scheduled | Opened | Cancelled],
    *,
    scheduled: int,
    opened: int,
    cancelled: int,
    minutes_to_open: int,
    minutes_to_cancel: int,
) -> ScheduleStatistics:
    """Rates from counts.

    Args:
        newest: the newest events, newest first.
        scheduled, opened, cancelled: how many signals were.
        minutes_to_open, minutes_to_cancel: minutes waited, summed over those that ended so.
    """
    undefined: dict[str, str] = {}

    def ratio(name: str, value: float, count: int, none: str) -> float | None:
        if count:
            return value / count
        undefined[name] = none
        return None

    nothing = "no signal was scheduled"
    return ScheduleStatistics(
        event_list=tuple(schedule_event(result) for result in newest),
        total_events=scheduled + opened + cancelled,
        total_scheduled=scheduled,
        total_opened=opened,
        total_cancelled=cancelled,
        cancellation_rate=ratio("cancellation_rate", cancelled * 100, scheduled, nothing),
        activation_rate=ratio("activation_rate", opened * 100, scheduled, nothing),
        avg_wait_time=ratio(
            "avg_wait_time", minutes_to_cancel, cancelled, "no scheduled signal was cancelled"
        ),
        avg_activation_time=ratio(
            "avg_activation_time", minutes_to_open, opened, "no scheduled signal opened"
        ),
        undefined=undefined,
    )


def schedule_columns(show_note: Callable[[], bool]) -> tuple[Column[ScheduleEvent], ...]:
    """The default columns; ``show_note`` rules the one with the note."""
    return (
        column("timestamp", "Timestamp", lambda row: iso_text(row.timestamp)),
        column("action", "Action", lambda row: row.action.upper()),
        column("symbol", "Symbol", lambda row: row.symbol),
        column("signal_id", "Signal ID", lambda row: row.signal_id),
        column("position", "Position", lambda row: row.position.upper()),
        column("note", "Note", lambda row: row.note or MISSING, show_note),
        column("current_price", "Current Price", lambda row: price_text(row.current_price)),
        column("price_open", "Entry Price", lambda row: price_text(row.price_open)),
        column("take_profit", "Take Profit", lambda row: price_text(row.take_profit)),
        column("stop_loss", "Stop Loss", lambda row: price_text(row.stop_loss)),
        column(
            "duration", "Wait Time (min)",
            lambda row: MISSING if row.duration is None else str(row.duration),
        ),
    )  # fmt: skip


def schedule_report(
    strategy_name: str, data: ScheduleStatistics, columns: Sequence[Column[ScheduleEvent]]
) -> str:
    """The Markdown report: events newest first, then counts and rates."""
    blocks = [f"# Scheduled Signals Report: {escape(strategy_name)}"]
    if not data.event_list:
        blocks.append("No signals were scheduled.")
    else:
        lines = (
            ("Total events", str(data.total_events), ""),
            ("Scheduled signals", str(data.total_scheduled), ""),
            ("Opened signals", str(data.total_opened), ""),
            ("Cancelled signals", str(data.total_cancelled), ""),
            ("Activation rate", number_text(data.activation_rate, 2, "%"), "higher is better"),
            ("Cancellation rate", number_text(data.cancellation_rate, 2, "%"), "lower is better"),
            ("Average activation time", number_text(data.avg_activation_time, 2, " minutes"), ""),
            ("Average wait time (cancelled)", number_text(data.avg_wait_time, 2, " minutes"), ""),
        )
        blocks += [
            column_table(columns, data.event_list),
            "\n".join(bold_line(*line) for line in lines),
        ]
    return document(blocks)
