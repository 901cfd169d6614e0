"""A sorted table of which several rows can be selected, for commands to all of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, TypeVar

from rich.segment import Segment
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip

from console.keymap import bind
from screens.widgets.line_table import Column
from screens.widgets.sortable_table import SortableTable

Row = TypeVar("Row")

MARK = "*"
"""Stands before a selected row."""


class MarkedTable(SortableTable[Row]):
    """A `SortableTable` with a selection; it belongs to rows, wherever they move."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("mark", "mark"),
        bind("mark.all", "mark_all"),
        bind("back", "clear_marks", description="Select none", show=False),
    ]

    class Marked(Message):
        """Other rows are selected."""

    def __init__(self, columns: Sequence[Column[Row]], key: Any, **options: Any) -> None:
        super().__init__(columns, key, **options)
        self._marks: set[Hashable] = set()

    @property
    def marked(self) -> tuple[Row, ...]:
        """The selected rows, top to bottom."""
        if not self._marks:
            return ()
        return tuple(row for row in self.rows if self._row_key(row) in self._marks)

    @property
    def marked_note(self) -> str:
        """How many are selected, to stand behind how many there are; "" for none."""
        return f", {len(self._marks)} selected" if self._marks else ""

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Replace the rows; those that are gone are not selected any more."""
        super().set_rows(rows)
        gone = self._marks.difference(map(self._row_key, self.rows)) if self._marks else ()
        if gone:
            self._mark(self._marks.difference(gone))

    def action_mark(self) -> None:
        """Select the row under the cursor, or no more, and go to the next."""
        if self.current is not None:
            self._mark(self._marks ^ {self._row_key(self.current)})
            self.action_cursor_down()

    def action_mark_all(self) -> None:
        """Select all rows; none where all are."""
        everything = {self._row_key(row) for row in self.rows}
        self._mark(set() if self._marks == everything else everything)

    def action_clear_marks(self) -> None:
        """Select none."""
        self._mark(set())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a selection escape is free for other things."""
        if action == "clear_marks" and not self._marks:
            return False
        if action in ("mark", "mark_all") and self.reason(action):
            return None
        return super().check_action(action, parameters)

    def reason(self, action: str) -> str:
        """Why a key cannot act now, "" when it can."""
        if action in ("mark", "mark_all") and not self.rows:
            return "the table is empty"
        return super().reason(action)

    def _mark(self, marks: set[Hashable]) -> None:
        self._marks = marks
        self.refresh()
        self.post_message(self.Marked())

    def _line(self, index: int, width: int) -> Strip:
        strip = super()._line(index, width)
        if not self._marks or self._row_key(self.rows[index]) not in self._marks:
            return strip
        first, *others = strip
        gutter = Segment(first.text[:1] + MARK + first.text[2:], first.style)
        return Strip([gutter, *others], strip.cell_length)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.widgets.tones import Cell

    words = MarkedTable[str]([Column("word", 12, Cell, order=str)], key=lambda word: word)
    show_alone(words, lambda: words.set_rows(["breakout", "sma", "reversion", "momentum"]))
