"""A text of many lines, to be read and copied line by line; nothing in it is taken for markup."""

from __future__ import annotations

from typing import NamedTuple

from screens.text import clean_lines
from screens.widgets.line_table import Column, LineTable
from screens.widgets.tones import Cell, Cells

_WIDEST = 400


class TextLine(NamedTuple):
    """A line with its place, counted from 0."""

    place: int
    text: str


def _cell(line: TextLine) -> Cells:
    heading = line.text.startswith("#")
    return Cell(line.text[:_WIDEST], "strong" if heading else "")


class TextView(LineTable[TextLine]):
    """The text; lines that begin with ``#`` are headings.

    Args:
        empty: what to say when there is none.
    """

    def __init__(self, *, empty: str, id: str | None = None) -> None:
        columns = (Column[TextLine]("", 20, _cell, grow=_WIDEST),)
        super().__init__(columns, key=lambda line: line.place, empty=empty, id=id)

    def show(self, text: str) -> None:
        """Show another text; lines that look the same are not drawn again."""
        lines = clean_lines(text.replace("\t", "    "))
        self.set_rows([TextLine(place, line) for place, line in enumerate(lines)])


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import INSTANCES, instance_detail

    view = TextView(empty="no report yet")
    show_alone(view, lambda: view.show(instance_detail(INSTANCES[0]).report))
