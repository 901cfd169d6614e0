"""A table the operator sorts by column; an unsorted one keeps the order its rows came in."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, TypeVar

from textual.binding import BindingType
from textual.message import Message

from console.keymap import bind
from screens.widgets.line_table import Column, LineTable

Row = TypeVar("Row")


def in_order(rows: Sequence[Row], column: Column[Row], *, descending: bool) -> list[Row]:
    """Rows sorted by a column that has an ``order``; those without a value stand last."""
    order = column.order
    assert order is not None
    known = [row for row in rows if order(row) is not None]
    known.sort(key=order, reverse=descending)
    return known + [row for row in rows if order(row) is None]


class SortableTable(LineTable[Row]):
    """A `LineTable` with an order of its own: most figures begin with the greatest, texts at a."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("sort", "sort"),
        bind("sort.turn", "turn_sort"),
    ]

    class Sorted(Message):
        """The operator chose another order."""

        def __init__(self, table: SortableTable[Any]) -> None:
            super().__init__()
            self.table = table

    def __init__(self, columns: Sequence[Column[Row]], key: Any, **options: Any) -> None:
        super().__init__(columns, key, **options)
        self._given: tuple[Row, ...] = ()
        self._sorted_by: Column[Row] | None = None
        self._descending = False

    @property
    def order(self) -> tuple[str, bool]:
        """Title of the column that the rows are sorted by, "" for none; and whether downwards."""
        column = self._sorted_by
        return ("" if column is None else column.title), self._descending

    def sort_by(self, title: str, *, descending: bool) -> bool:
        """Sort by the column of that title; False when there is none to sort by."""
        for column in self._columns:
            if column.title == title and column.order:
                self._sorted_by, self._descending = column, descending
                self._again()
                return True
        return False

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Replace the rows, which are put into the chosen order."""
        self._given = tuple(rows)
        column = self._sorted_by
        if column is None:
            super().set_rows(self._given)
        else:
            super().set_rows(in_order(self._given, column, descending=self._descending))

    def heading_sign(self, column: Column[Row]) -> str:
        """An arrow behind the column that the rows are sorted by."""
        if column is not self._sorted_by:
            return ""
        return "▾" if self._descending else "▴"

    def action_sort(self) -> None:
        """Sort by the next column that can be sorted by; after the last one by none."""
        choices: list[Column[Row] | None] = [None, *(c for c, _ in self._fitted if c.order)]
        place = choices.index(self._sorted_by) if self._sorted_by in choices else 0
        self._sorted_by = choices[(place + 1) % len(choices)]
        column = self._sorted_by
        self._descending = column is not None and column.right and not column.least
        self._again()
        self.post_message(self.Sorted(self))

    def action_turn_sort(self) -> None:
        """Turn the order round."""
        self._descending = not self._descending
        self._again()
        self.post_message(self.Sorted(self))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Sorting is greyed where there is nothing to sort by."""
        if action in ("sort", "turn_sort") and self.reason(action):
            return None
        return super().check_action(action, parameters)

    def reason(self, action: str) -> str:
        """Why a key cannot act now, "" when it can."""
        if action == "turn_sort" and self._sorted_by is None:
            return "the table is not sorted - {sort} sorts it"
        return super().reason(action)

    def _again(self) -> None:
        kept: Hashable = None if self.current is None else self._row_key(self.current)
        self.set_rows(self._given)
        if kept is not None:
            self.select(kept)
        self.refresh()


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.widgets.tones import Cell

    words = SortableTable[str](
        [
            Column("word", 12, Cell, order=lambda word: word),
            Column("length", 6, lambda word: Cell(str(len(word))), right=True, order=len),
        ],
        key=lambda word: word,
    )
    show_alone(words, lambda: words.set_rows(["breakout", "sma", "reversion", "momentum"]))
