"""A text of many lines, to be read and copied line by line; nothing in it is taken for markup."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from screens.text import LONGEST, clean_lines
from screens.text_tables import TableLayout, layouts, unescaped
from screens.widgets.line_table import Column, LineTable
from screens.widgets.tones import Cell, Cells

_LABELLED: Final = re.compile(r"- \*\*([^*]+)\*\* ")


class TextLine(NamedTuple):
    """A line with its place, counted from 0, and the Markdown table it belongs to."""

    place: int
    text: str
    table: TableLayout | None = None

    def facts(self) -> tuple[tuple[str, str], ...]:
        """The line in full: the cells of a table by their headings, other lines as they are."""
        if self.table is not None and self.place > self.table.first + 1:
            return self.table.named(self.text)
        return (("line", self.text),)


def _cell(line: TextLine) -> Cells:
    text = line.text[:LONGEST]
    if line.table is not None:
        tone = "muted" if line.place <= line.table.first + 1 else ""
        return Cell(line.table.drawn(line.place, text), tone)
    if labelled := _LABELLED.match(text):
        value = unescaped(text[labelled.end() :])
        return (Cell("- "), Cell(f"{labelled[1]} ", "muted"), Cell(value))
    return Cell(text, "strong" if text.startswith("#") else "")


class TextView(LineTable[TextLine]):
    """The text; lines that begin with ``#`` are headings, and the columns of tables are aligned.

    Args:
        empty: what to say when there is none.
    """

    def __init__(self, *, empty: str, id: str | None = None) -> None:
        columns = (Column[TextLine]("", 20, _cell, grow=LONGEST),)
        super().__init__(columns, key=lambda line: line.place, empty=empty, id=id)

    def show(self, text: str) -> None:
        """Show another text; lines that look the same are not drawn again."""
        lines = clean_lines(text.replace("\t", "    "))
        rows = zip(lines, layouts(lines), strict=True)
        self.set_rows([TextLine(place, *row) for place, row in enumerate(rows)])

    def row_text(self, row: TextLine | None) -> str:
        """A line as it was written."""
        return "text" if row is None else row.text


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import INSTANCES, instance_detail

    view = TextView(empty="no report yet")
    show_alone(view, lambda: view.show(instance_detail(INSTANCES[0]).report))
