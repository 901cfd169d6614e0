"""The columns of a table: how wide they are, what gives way where room is short, what they show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from screens.widgets.tones import Cells

Row = TypeVar("Row")

GAP = 2
"""Blank cells between two columns."""

GUTTER = 2
"""Cells at the left of every line, where the cursor is marked."""


# Without slots: `typing` tells a subscripted generic its arguments by setting an attribute.
@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of a `LineTable`.

    Attributes:
        title: heading.
        width: terminal cells it needs.
        cell: what to draw for a row.
        right: aligned to the right, as numbers are.
        drop: 0 keeps the column always; else the highest number goes first where room is short.
        grow: cells it may take beyond ``width`` where there is room, columns from left to right.
        shrink: cells of ``width`` it gives up where room is short with all droppable columns gone.
        order: what rows are sorted by in this column (`SortableTable`); None sorts last.
        least: sorting begins with the least although it is a figure: what comes soonest, first.
        ages: the cell depends on the time, too (`LineTable.refresh_aged`).
    """

    title: str
    width: int
    cell: Callable[[Row], Cells]
    right: bool = False
    drop: int = 0
    grow: int = 0
    shrink: int = 0
    order: Callable[[Row], Any] | None = None
    least: bool = False
    ages: bool = False


def fit_columns(columns: Sequence[Column[Row]], width: int) -> list[tuple[Column[Row], int]]:
    """The columns that fit into ``width`` cells with the width each gets, in order."""
    kept = list(columns)

    def needed() -> int:
        return GUTTER + sum(column.width for column in kept) + GAP * max(0, len(kept) - 1)

    while needed() > width and any(column.drop for column in kept):
        kept.remove(max(kept, key=lambda column: column.drop))
    spare = width - needed()
    fitted: list[tuple[Column[Row], int]] = []
    for column in kept:
        change = min(column.grow, spare) if spare > 0 else -min(column.shrink, -spare)
        spare -= change
        fitted.append((column, column.width + change))
    return fitted
