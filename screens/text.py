"""How values become the words and figures an operator reads.

Every number on screen passes through here, so that a price, a sign or an age looks the same
everywhere; so does every text that a strategy or an exchange wrote, which may hold control
characters, escape sequences or wide characters and must not disturb the terminal.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from math import floor, log10
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.highlighter import Highlighter
from rich.text import Text

DASH: Final = "-"
"""Stands for a value that does not exist."""


LONGEST: Final = 1_000
"""Characters of foreign text that are ever drawn in one line."""


@lru_cache(4096)
def clean(text: str) -> str:
    """Foreign text as one printable line: what is not printable becomes a space.

    Of a huge text the beginning is taken: measuring ten thousand characters takes a millisecond,
    at every drawing, and no line has room for them.
    """
    return _printable(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def clean_lines(text: str) -> tuple[str, ...]:
    """Foreign text of several lines, each cleaned; blank lines at the end are left out."""
    return tuple(_printable(line) for line in text.rstrip().splitlines())


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return text.translate({ord(char): " " for char in set(text) if not char.isprintable()})


class AsPrintable(Highlighter):
    """Shows the text of an input without what is not printable; its value stays as it is."""

    def highlight(self, text: Text) -> None:
        """Put spaces in place of it."""
        text.plain = _printable(text.plain)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Text in exactly ``width`` terminal cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    # Many times more characters than there is room for need not all be measured to be cut.
    text = text[: 4 * width + 100]
    # Plain text, which nearly all of it is, need not be measured.
    length = len(text) if text.isascii() and text.isprintable() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…"
    return " " * (width - length) + text if right else text + " " * (width - length)


def price(value: float | None) -> str:
    """A price with as many decimals as its size deserves."""
    if value is None:
        return DASH
    size = abs(value)
    if size >= 1000:
        return f"{value:,.2f}"
    if size >= 1:
        return f"{value:.4f}"
    if size == 0:
        return "0"
    return f"{value:.{min(12, 4 - floor(log10(size)))}f}"


def percent(value: float | None, decimals: int = 2) -> str:
    """A percentage that carries its sign; nothing rounded to zero gets one."""
    if value is None:
        return DASH
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text


def number(value: float | None, decimals: int = 2) -> str:
    """A plain figure without a sign of its own for gains."""
    return DASH if value is None else f"{value:,.{decimals}f}"


def count(value: int | None) -> str:
    """A whole number with thousands apart."""
    return DASH if value is None else f"{value:,}"


def many(amount: int, one: str, more: str = "") -> str:
    """``1 run``, ``2 runs``."""
    return f"{amount:,} {one if amount == 1 else more or one + 's'}"


def span(seconds: float | None) -> str:
    """A length of time in at most two units: ``42s``, ``3m 05s``, ``2h 10m``, ``4d 03h``."""
    if seconds is None:
        return DASH
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600:02d}h"


def rest(seconds: float | None) -> str:
    """Time that is left, without seconds while minutes are left: ``2h 10m``, ``43m``, ``12s``."""
    if seconds is not None and 60 <= seconds < 3600:
        return f"{int(seconds) // 60}m"
    return span(seconds)


def short_span(seconds: float | None) -> str:
    """A length of time in one unit, at most four cells: ``42s``, ``3m``, ``2h``, ``4d``."""
    if seconds is None:
        return DASH
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def clock(ms: int) -> str:
    """Date and time with the zone, for the header."""
    return _utc(ms).strftime("%Y-%m-%d %H:%M:%S UTC")


def local_clock(ms: int) -> str:
    """Time of day of this machine's zone, with the zone."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%H:%M:%S %Z")


def time_of_day(ms: int | None) -> str:
    """``10:24:05``; the zone is the header's."""
    return DASH if ms is None else _utc(ms).strftime("%H:%M:%S")


def recent(ms: int, now: int) -> str:
    """``10:24:05`` within the last hours, ``Mon 10:24`` on an earlier day; nine cells."""
    if ms // 86_400_000 == now // 86_400_000:
        return _utc(ms).strftime("%H:%M:%S")
    return _utc(ms).strftime("%a %H:%M")


def minute(ms: int | None) -> str:
    """``2024-01-31 10:24``."""
    return DASH if ms is None else _utc(ms).strftime("%Y-%m-%d %H:%M")


def short_minute(ms: int | None) -> str:
    """``01-31 10:24``, where the year goes without saying."""
    return DASH if ms is None else _utc(ms).strftime("%m-%d %H:%M")


def day(ms: int | None) -> str:
    """``2024-01-31``."""
    return DASH if ms is None else _utc(ms).strftime("%Y-%m-%d")


def instant_input(ms: int) -> str:
    """An instant as the New-run form writes it: the bare date at midnight, else to the minute."""
    when = _utc(ms)
    midnight = when.hour == 0 and when.minute == 0
    return when.strftime("%Y-%m-%d" if midnight else "%Y-%m-%dT%H:%M")


def words(name: str) -> str:
    """A code such as ``take_profit`` as words."""
    return clean(name.replace("_", " "))
