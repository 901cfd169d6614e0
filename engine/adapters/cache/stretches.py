"""Bars together with the stretches of time they are known for.

A missing bar means two things: nobody has asked for it yet, or the exchange has none. What tells
them apart are the covered stretches: inside of one, every bar there is is here, and the rest are
holes that are real. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from engine.domain.bars import Bools, Candles, Columns, Ints, concat, select
from engine.domain.time import DAY, minute_text

Stretch: TypeAlias = tuple[int, int]
"""Open of the first bar and close of the last, ms UTC; the end is exclusive."""

Stretches: TypeAlias = tuple[Stretch, ...]

LONGEST_HOLE: Final = 7 * DAY
"""A longer silence in an exchange's answers is not believed: some exchanges serve only their
newest bars, whatever is asked for, and what they left out may come from elsewhere."""


class Part(NamedTuple):
    """Bars in order of time, all of them inside ``covered``."""

    columns: Columns
    covered: Stretches

    @classmethod
    def empty(cls) -> Part:
        """No bars, and nothing known."""
        return cls(Candles.empty().columns(), ())


class Conflict(ValueError):
    """Two parts say different things about the same time."""


def united(stretches: Iterable[Stretch]) -> Stretches:
    """The stretches in order, those that touch or overlap made one, empty ones left out."""
    merged: list[Stretch] = []
    for start, end in sorted(stretch for stretch in stretches if stretch[0] < stretch[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def shared(some: Stretches, others: Stretches) -> Stretches:
    """What two sets of stretches have in common."""
    return united(
        (max(a[0], b[0]), min(a[1], b[1])) for a in some for b in others if a[0] < b[1] > a[0]
    )


def inside(stretches: Stretches, stamps: Ints) -> Bools:
    """Which instants lie in one of the stretches, shape of ``stamps``."""
    found = np.zeros(len(stamps), dtype=np.bool_)
    for start, end in stretches:
        found |= (stamps >= start) & (stamps < end)
    return found


def covered_by(stamps: Ints, step: int, longest: int, start: int | None = None) -> Stretches:
    """The stretches that increasing open times of one answer, or one file, cover.

    Args:
        stamps: open times, ms UTC, on the grid of ``step`` ms.
        step: the interval in ms.
        longest: a longer hole (ms) ends a stretch.
        start: from here on the bars were asked for; a hole before the first one counts as well.
    """
    if not len(stamps):
        return ()
    lead = int(stamps[0]) if start is None else start
    edges = np.concatenate([np.array([lead - step], dtype=np.int64), stamps])
    breaks = np.flatnonzero(np.diff(edges) - step > longest)
    starts = [lead, *(int(stamps[at]) for at in breaks)]
    ends = [*(int(edges[at]) + step for at in breaks), int(stamps[-1]) + step]
    return united(zip(starts, ends, strict=True))


def holes(part: Part, step: int) -> int:
    """How many bars are known to be missing."""
    return sum(end - start for start, end in part.covered) // step - len(part.columns.timestamp)


def clipped(part: Part, start: int, end: int) -> Part:
    """What a part says about the time from ``start`` to ``end`` (exclusive)."""
    first, last = np.searchsorted(part.columns.timestamp, (start, end))
    rows = select(part.columns, slice(int(first), int(last)))
    return Part(rows, shared(part.covered, ((start, end),)))


def check_part(part: Part, step: int) -> str:
    """Why something is not a part, "" when it is one."""
    stamps = part.columns.timestamp
    if part.covered != united(part.covered):
        return "covered stretches are not in order"
    if any(edge % step for stretch in part.covered for edge in stretch):
        return "a covered stretch begins or ends off the interval's grid"
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(sum(part.columns[1:]))
    found: tuple[tuple[Bools, str], ...] = (
        (stamps % step != 0, "open time is off the interval's grid"),
        (np.diff(stamps, prepend=stamps[:1] - 1) <= 0, "not in order of time"),
        (~inside(part.covered, stamps), "outside of the covered stretches"),
        (~finite, "a value is not a finite number"),
    )
    for broken, reason in found:
        if broken.any():
            at = int(np.argmax(broken))
            return f"row {at} {row_text(part.columns, at)}: {reason}"
    return ""


def join(known: Part, new: Part) -> Part:
    """Both parts as one.

    Raises:
        Conflict: where both know, they differ; the message names the row of ``new``.
    """
    both = shared(known.covered, new.covered)
    rows = new.columns
    if both:
        ours, theirs = inside(both, known.columns.timestamp), inside(both, rows.timestamp)
        _compare(known.columns, ours, rows, theirs)
        rows = select(rows, ~theirs)
    columns = known.columns
    if len(rows.timestamp):
        columns = concat([columns, rows])
        if (np.diff(columns.timestamp) < 0).any():
            columns = select(columns, np.argsort(columns.timestamp, kind="stable"))
    return Part(columns, united((*known.covered, *new.covered)))


def joined(parts: Sequence[Part]) -> Part:
    """All parts as one.

    Raises:
        Conflict: where two of them know, they differ.
    """
    level = list(parts) or [Part.empty()]
    # Pair by pair: many pages one after the other would copy all bars for each of them.
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [join(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)] + odd
    return level[0]


def row_text(columns: Columns, at: int) -> str:
    """A row for messages: ``at 2024-01-01 00:00 UTC [1, 2, 0.5, 1.5, 10]``."""
    values = ", ".join(f"{float(column[at]):.17g}" for column in columns[1:])
    return f"at {minute_text(int(columns.timestamp[at]))} [{values}]"


def _compare(known: Columns, ours: Bools, new: Columns, theirs: Bools) -> None:
    mine, other = select(known, ours), select(new, theirs)
    if len(mine.timestamp) == len(other.timestamp) and all(
        np.array_equal(a, b) for a, b in zip(mine, other, strict=True)
    ):
        return
    at = np.flatnonzero(theirs)
    short = min(len(mine.timestamp), len(other.timestamp))
    differ = np.zeros(short, dtype=np.bool_)
    for a, b in zip(mine, other, strict=True):
        differ |= a[:short] != b[:short]
    i = int(np.argmax(differ)) if differ.any() else short
    if i == len(mine.timestamp) or (
        i < len(other.timestamp) and other.timestamp[i] < mine.timestamp[i]
    ):
        raise Conflict(f"row {at[i]} {row_text(other, i)} is kept as a hole, where no bar is")
    if i == len(other.timestamp) or mine.timestamp[i] < other.timestamp[i]:
        where = f"before row {at[i]}" if i < len(at) else "after the last row"
        raise Conflict(f"{where}, the bar kept {row_text(mine, i)} is missing")
    raise Conflict(
        f"row {at[i]} {row_text(other, i)} differs from the bar kept {row_text(mine, i)}"
    )
