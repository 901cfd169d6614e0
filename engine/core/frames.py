"""A frame's instants: from start to end, both inclusive, one interval apart."""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain.bars import interval_ms
from engine.domain.errors import SchemaError
from engine.domain.time import MINUTE, iso


@dataclass(frozen=True, slots=True)
class Frame:
    """Instants ``start, start + step, ...`` up to and including ``end`` (ms UTC)."""

    start: int
    end: int
    step: int

    @classmethod
    def of(cls, start: int, end: int, interval: str) -> Frame:
        """The frame of two instants and an interval's name.

        Raises:
            SchemaError: the interval is unknown, or a bound is not a whole minute.
        """
        for name, instant in (("start_date", start), ("end_date", end)):
            if instant % MINUTE:
                raise SchemaError(f"frame {name} {iso(instant)} is not a whole minute: round it")
        return cls(start, end, interval_ms(interval))

    def __len__(self) -> int:
        return 0 if self.end < self.start else (self.end - self.start) // self.step + 1

    def at_or_after(self, instant: int) -> int:
        """The first instant at or after ``instant``; it may lie behind the frame's end."""
        if instant <= self.start:
            return self.start
        return self.start + -(-(instant - self.start) // self.step) * self.step

    def index(self, instant: int) -> int:
        """How many of the frame's instants lie before ``instant``."""
        if instant <= self.start:
            return 0
        return min(len(self), -(-(instant - self.start) // self.step))
