"""What a run leaves for its reports: every trade and cancellation, and counts of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.domain.signals import Cancelled, Closed

_KEPT_ERRORS = 50


@dataclass(slots=True)
class RunJournal:
    """Grows while a run goes on; trades and cancellations are complete, messages are bounded."""

    trades: list[Closed] = field(default_factory=list[Closed])
    cancelled: list[Cancelled] = field(default_factory=list[Cancelled])
    errors: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    error_count: int = 0
    rejections: int = 0

    def note_error(self, message: str) -> None:
        """Count an error and keep its message unless many are kept already."""
        self.error_count += 1
        if len(self.errors) < _KEPT_ERRORS:
            self.errors.append(message)

    def warn(self, message: str) -> None:
        """Keep a warning once."""
        if message not in self.warnings:
            self.warnings.append(message)
