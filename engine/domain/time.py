"""Instants: integer milliseconds UTC inside the engine, aware ``datetime`` at its border."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from engine.domain.errors import SchemaError

MINUTE: Final = 60_000
"""Milliseconds in a minute, the engine's smallest step."""

DAY: Final = 86_400_000
"""Milliseconds in a UTC day."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def to_ms(when: datetime) -> int:
    """Milliseconds since the epoch of an aware datetime; a naive one is taken as UTC."""
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - _EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    """The aware UTC datetime of an instant in milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def iso(ms: int) -> str:
    """ISO-8601 UTC with milliseconds, for example ``2024-01-01T00:00:00.000Z``."""
    return from_ms(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def minute_text(ms: int) -> str:
    """An instant as people read it in messages: ``2024-01-01 00:00 UTC``."""
    return from_ms(ms).strftime("%Y-%m-%d %H:%M UTC")


def parse_instant(text: str) -> int:
    """Milliseconds UTC of ``2024-01-31``, ``2024-01-31T10:05`` or ``...+02:00``; bare is UTC.

    Raises:
        SchemaError: the text is not an ISO-8601 date or time.
    """
    try:
        return to_ms(datetime.fromisoformat(text.strip()))
    except ValueError:
        raise SchemaError(
            f"{text!r} is not a date: write 2024-01-31 or 2024-01-31T10:05 (UTC)"
        ) from None
