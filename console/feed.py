"""The signal feed: one line for everything an operator wants to have read."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, TypeAlias

from console.deck_rows import first_line, levels_of
from console.views import FeedEntry
from engine.domain.changes import ErrorNote
from engine.domain.errors import RunError
from engine.domain.events import RiskRejection
from engine.domain.signals import Cancelled, Closed, Mode, Opened, RunKey, Scheduled

FEED_SIZE: Final = 2_000
"""Entries the signal feed keeps; older ones are counted and dropped."""

FULL_SIZE: Final = 4_000
"""Characters that are kept of an error's whole text."""

Transition: TypeAlias = Scheduled | Opened | Closed | Cancelled


class Feed:
    """The newest entries, newest first, and how many there ever were."""

    def __init__(self, size: int = FEED_SIZE) -> None:
        self.total = 0
        self._entries: deque[FeedEntry] = deque(maxlen=size)

    def entries(self) -> tuple[FeedEntry, ...]:
        """What is kept, newest first."""
        return tuple(self._entries)

    def transition(self, event: Transition) -> FeedEntry:
        """A signal was scheduled or cancelled, a position opened or closed."""
        price, percent, detail = event.current_price, None, ""
        if isinstance(event, Scheduled):
            price = event.signal.price_open
        elif isinstance(event, Closed):
            percent, detail = event.pnl.pnl_percentage, str(event.close_reason)
        elif isinstance(event, Cancelled):
            detail = str(event.cancel_reason)
        return self._entry(
            event.key,
            when=event.when,
            action=str(event.action),
            position=str(event.signal.position),
            price=price,
            pnl_percent=percent,
            detail=detail or first_line(event.signal.note),
            **levels_of(event.signal),
        )

    def rejection(self, event: RiskRejection) -> FeedEntry:
        """A risk profile refused a signal."""
        return self._entry(
            event.key,
            when=event.timestamp,
            action="rejected",
            position=str(event.pending_signal.position),
            price=event.current_price,
            detail=refusal_text(event),
            **levels_of(event.pending_signal),
        )

    def error(self, key: RunKey, error: RunError, when: int) -> FeedEntry:
        """Something failed."""
        return self._failure(key, when, error.stage, str(error))

    def note(self, note: ErrorNote) -> FeedEntry:
        """Something had failed, in an earlier process."""
        return self._failure(note.key, note.when, note.stage, note.message)

    def _failure(self, key: RunKey, when: int, stage: str, whole: str) -> FeedEntry:
        text = first_line(whole)
        full = f"{stage}: {whole}"[:FULL_SIZE] if len(whole) > len(text) else ""
        return self._entry(key, when=when, action="error", detail=f"{stage}: {text}", full=full)

    def _entry(self, key: RunKey, *, when: int, action: str, **fields: Any) -> FeedEntry:
        self.total += 1
        entry = FeedEntry(
            number=self.total,
            when=when,
            action=action,
            mode=str(key.mode),
            symbol=key.symbol,
            strategy_name=key.strategy_name,
            exchange_name=key.exchange_name,
            **fields,
        )
        self._entries.appendleft(entry)
        return entry


def refusal_text(event: RiskRejection) -> str:
    """Why a risk profile refused, in its own words where it has any."""
    said = event.comment if event.comment not in ("", "N/A") else ""
    return said or f"refused by risk profile {event.risk_name}"


def key_of_error(error: RunError) -> RunKey:
    """The run an error is about, as far as it says."""
    return RunKey(
        Mode(error.mode or Mode.LIVE),
        error.exchange_name,
        error.strategy_name,
        error.symbol,
        error.frame_name,
    )
