"""A row of figures as a line of small bars."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest ``width`` values as bars between the least and the greatest of them.

    Figures that do not differ stand at the bottom; what is no number is a blank.
    """
    kept = values[-width:] if width > 0 else ()
    sound = [value for value in kept if isfinite(value)]
    if not sound:
        return ""
    low, high = min(sound), max(sound)
    spread = high - low
    steps = len(_BARS) - 1
    return "".join(
        " " if not isfinite(v) else _BARS[round((v - low) / spread * steps) if spread > 0 else 0]
        for v in kept
    )
