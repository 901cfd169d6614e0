"""Notices as toasts, without a storm: what comes in a burst is counted and told together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from console.views import FeedEntry
from screens.text import clean, percent, price, words

Severity: TypeAlias = Literal["information", "warning", "error"]

WINDOW: Final = 4.0
"""Seconds after a toast in which further notices are gathered into the next one."""

HELD: Final = 20.0
"""Seconds that notices wait at most while toasts would stand before what is being answered."""

_SEVERITY: Final[dict[str, Severity]] = {"rejected": "warning", "error": "error"}
_ORDER: Final = ("error", "rejected", "opened", "closed")


@dataclass(frozen=True, slots=True)
class ToastText:
    """What a toast says."""

    title: str
    message: str
    severity: Severity = "information"


class ToastQueue:
    """Decides which notices become toasts, and when.

    The first notice after a quiet time is shown at once. Those within `WINDOW` seconds of a toast
    wait and are shown together: equal ones as one with a count, different ones as a summary. While
    a dialog is open, whose buttons a toast would cover, they wait for its end as well.
    """

    def __init__(self) -> None:
        self._open_until = float("-inf")
        self._waiting: list[FeedEntry] = []
        self._waiting_since = 0.0

    def offer(self, entry: FeedEntry, now: float, *, dialog: bool = False) -> ToastText | None:
        """Take a notice at monotonic second ``now``; gives a toast when it is shown at once."""
        if now < self._open_until or self._waiting or dialog:
            self._waiting_since = self._waiting_since if self._waiting else now
            self._waiting.append(entry)
            return None
        self._open_until = now + WINDOW
        return single(entry)

    def due(self, now: float, *, dialog: bool = False) -> ToastText | None:
        """The toast for what was gathered, once the window is over, and the dialog or `HELD`."""
        if not self._waiting or now < self._open_until:
            return None
        if dialog and now < self._waiting_since + HELD:
            return None
        gathered, self._waiting = self._waiting, []
        self._open_until = now + WINDOW
        return together(gathered)


def single(entry: FeedEntry, times: int = 1) -> ToastText:
    """The toast of one notice, or of several equal ones."""
    side = f" {clean(entry.position)}" if entry.position else ""
    title = f"{entry.action}{side} {clean(entry.symbol)}".rstrip()
    if times > 1:
        title += f"  ×{times}"  # noqa: RUF001
    parts = [clean(entry.strategy_name)]
    if entry.price is not None:
        parts.append(f"at {price(entry.price)}")
    if entry.pnl_percent is not None:
        parts.append(f"{percent(entry.pnl_percent)} %")
    if entry.detail:
        parts.append(clean(entry.detail) if entry.action == "error" else words(entry.detail))
    return ToastText(title, ", ".join(parts), _SEVERITY.get(entry.action, "information"))


def together(entries: list[FeedEntry]) -> ToastText:
    """One toast for several notices, oldest first."""
    kinds = {(e.action, e.symbol, e.strategy_name, e.detail) for e in entries}
    if len(kinds) == 1:
        return single(entries[-1], len(entries))
    counts = Counter(entry.action for entry in entries)
    known = [action for action in _ORDER if action in counts]
    summary = ", ".join(f"{counts[action]} {action}" for action in known)
    worst = next((a for a in known if a in _SEVERITY), known[0] if known else "")
    last = next((e for e in reversed(entries) if e.action == worst), entries[-1])
    text = single(last)
    return ToastText(summary, f"last: {text.title}, {text.message}", text.severity)
