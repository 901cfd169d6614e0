"""Where the labels of a chart stand: round prices on the vertical axis, round times below."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil, floor, log10
from typing import Final

_MINUTE: Final = 60_000
_DAY: Final = 1440
_SPACINGS: Final = (1, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440, 2880, 7200, 14400, 43200)
"""Minutes between two labels of the time axis."""

_LABEL_COLUMNS: Final = 11


def round_steps(low: float, high: float, amount: int) -> tuple[float, ...]:
    """Up to ``amount`` round values between two bounds, ascending: steps of 1, 2 or 5 times 10^n.

    Args:
        low, high: the bounds; nothing is between equal ones.
        amount: how many there is room for.
    """
    if amount < 1 or not high > low:
        return ()
    rough = (high - low) / amount
    size = 10.0 ** floor(log10(rough)) if rough > 0 else 0.0
    if not size:
        return ()
    step = next((m * size for m in (1, 2, 5, 10) if m * size >= rough), 10 * size)
    first = ceil(low / step)
    last = floor(high / step)
    return tuple(at * step for at in range(first, min(last, first + amount) + 1))


def time_axis(opened: Sequence[int], columns: Sequence[int], width: int) -> str:
    """A line of times below a chart, midnights as dates, as far apart as they are readable.

    Args:
        opened: instants, ms UTC, ascending.
        columns: the column of each.
        width: columns there are.
    """
    if not opened:
        return " " * width
    spacing = _spacing(opened, columns)
    line = [" "] * width
    free = 0
    for instant, column in zip(opened, columns, strict=True):
        if (instant // _MINUTE) % spacing:
            continue
        when = datetime.fromtimestamp(instant / 1000, UTC)
        midnight = (instant // _MINUTE) % _DAY == 0
        label = when.strftime("%m-%d" if midnight else "%H:%M")
        if column >= free and column + len(label) <= width:
            line[column : column + len(label)] = label
            free = column + len(label) + 2
    return "".join(line)


def _spacing(opened: Sequence[int], columns: Sequence[int]) -> int:
    spread = columns[-1] - columns[0]
    if spread < 1:
        return 1
    per_column = (opened[-1] - opened[0]) / _MINUTE / spread
    least = per_column * _LABEL_COLUMNS
    return next((minutes for minutes in _SPACINGS if minutes >= least), _SPACINGS[-1])
