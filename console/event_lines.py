"""Journal entries for people and for programs: one line of text, or one JSON object.

``signaldeck live`` tells what happens as it happens and ``signaldeck status`` what happened last;
both in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from rich.cells import cell_len, set_cell_size

from console.deck_rows import first_line
from console.feed import key_of_error, refusal_text
from engine.domain.changes import ErrorNote, JournalEvent, when_of
from engine.domain.errors import RunError
from engine.domain.events import Partial, RiskRejection
from engine.domain.signals import (
    Cancelled,
    Closed,
    OpenPosition,
    RunKey,
    Scheduled,
    ScheduledSignal,
    SignalRow,
)
from engine.domain.time import iso, minute_text

Json: TypeAlias = Mapping[str, Any]

WIDTH: Final = 80
"""Columns that every line fits into."""

_SIGNAL_FIELDS: Final = (
    "id", "position", "price_open", "price_take_profit", "price_stop_loss",
    "minute_estimated_time", "scheduled_at", "pending_at", "note",
)  # fmt: skip


def clipped(text: str, width: int = WIDTH) -> str:
    """A text in one line of at most ``width`` columns; what is cut off is marked."""
    plain = "".join(one if one.isprintable() else " " for one in text).rstrip()
    if cell_len(plain) <= width:
        return plain
    return set_cell_size(plain, width - 3).rstrip() + "..."


def price_text(price: float) -> str:
    """A price without more digits than it has."""
    return f"{price:.8g}"


def note_of(error: RunError, now: int) -> ErrorNote:
    """An error event as the journal keeps it."""
    when = now if error.when is None else error.when
    return ErrorNote(key_of_error(error), when, error.stage, str(error))


def action_of(event: JournalEvent) -> str:
    """What happened, in one word."""
    if isinstance(event, ErrorNote):
        return "error"
    if isinstance(event, RiskRejection):
        return "rejected"
    return "partial" if isinstance(event, Partial) else str(event.action)


def event_line(event: JournalEvent, width: int = WIDTH, *, short: bool = False) -> str:
    """One line about an event; a ``short`` one has neither year nor levels."""
    key, at = event.key, minute_text(when_of(event)).removesuffix(" UTC")
    name = f"{key.symbol} {key.strategy_name}".strip() or key.exchange_name
    told = _told(event, short=short)
    return clipped(f"{at[5 * short :]}  {action_of(event):<9}  {name}  {told}", width)


def event_json(event: JournalEvent) -> Json:
    """An event as a JSON object; instants are ms UTC, ``at`` says the same for people."""
    when = when_of(event)
    found: dict[str, Any] = {
        "event": action_of(event), "at": iso(when), "when": when, **key_json(event.key),
    }  # fmt: skip
    row = signal_of(event)
    if row is not None:
        found["signal"] = signal_json(row)
    match event:
        case ErrorNote():
            found.update(stage=event.stage, message=event.message)
            return found
        case RiskRejection():
            found.update(risk=event.risk_name, reason=refusal_text(event))
        case Partial():
            found.update(side=event.side, level=event.level)
        case Closed():
            found.update(
                close_reason=str(event.close_reason), pnl_percentage=event.pnl.pnl_percentage
            )
        case Cancelled():
            found["cancel_reason"] = str(event.cancel_reason)
        case _:
            pass
    return {**found, "price": event.current_price, "replayed": event.replayed}


def key_json(key: RunKey) -> dict[str, str]:
    """The run of something."""
    return {
        "symbol": key.symbol, "strategy": key.strategy_name, "exchange": key.exchange_name,
    }  # fmt: skip


def signal_of(event: JournalEvent) -> SignalRow | None:
    """The signal an event is about."""
    match event:
        case ErrorNote():
            return None
        case RiskRejection():
            return event.pending_signal
        case Partial():
            return event.data
        case _:
            return event.signal


def signal_json(row: SignalRow) -> dict[str, Any]:
    """A signal as a JSON object."""
    found = {name: getattr(row, name) for name in _SIGNAL_FIELDS}
    return {**found, "position": str(row.position)}


def held_json(held: ScheduledSignal | OpenPosition | None) -> Json | None:
    """What a run holds; null when it is flat."""
    if held is None:
        return None
    if isinstance(held, OpenPosition):
        levels = {"profit_level": held.profit_level, "loss_level": held.loss_level}
        return {"kind": "position", **signal_json(held.row), **levels}
    return {"kind": "scheduled", **signal_json(held.row)}


def levels_text(row: SignalRow, *, short: bool = False) -> str:
    """Entry, take-profit and stop-loss of a signal; ``short`` is the entry alone."""
    entry, take, stop = map(
        price_text, (row.price_open, row.price_take_profit, row.price_stop_loss)
    )
    return entry if short else f"{entry}, TP {take}, SL {stop}"


def _told(event: JournalEvent, *, short: bool) -> str:
    match event:
        case ErrorNote():
            return f"{event.stage}: {first_line(event.message)}"
        case RiskRejection():
            return f"{event.pending_signal.position}: {refusal_text(event)}"
        case Partial():
            way = "to take-profit" if event.side == "profit" else "to stop-loss"
            return f"{event.data.position} {event.level} % of the way {way}"
        case Closed():
            price, percent = price_text(event.current_price), event.pnl.pnl_percentage
            reason = str(event.close_reason).replace("_", " ")
            return f"{event.signal.position} at {price}, {percent:+.2f} %, {reason}"
        case Cancelled():
            return f"{event.signal.position}: {str(event.cancel_reason).replace('_', ' ')}"
        case Scheduled():
            return f"{event.signal.position} waits for {levels_text(event.signal, short=short)}"
        case _:
            return f"{event.signal.position} at {levels_text(event.signal, short=short)}"
