"""The tables of a Markdown text, laid out so that their columns stand below each other.

Reports are written to be kept and rendered, with cells as wide as their texts; read line by line in
a terminal, such a table has its headings anywhere but above their columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from rich.cells import cell_len

from screens.text import fit

_MEASURED: Final = 200
"""Rows whose cells are measured; a wider cell further down juts out."""

_WIDEST: Final = 40
"""Cells that the widest text of a column makes room for."""

_LONG: Final = 200
"""Characters of a cell that are measured."""

_RULE: Final = re.compile(r"\|(\s*:?-+:?\s*\|)+")
_BAR: Final = re.compile(r"(?<!\\)\|")
_NUMBER: Final = re.compile(r"[+-]?\d[\d,.]*( ?\S{1,4})?")
_ESCAPED: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
_NOTHING: Final = ("", "-", "N/A")


@dataclass(frozen=True, slots=True)
class TableLayout:
    """How one table of a text is drawn.

    Attributes:
        first: place of its headings among the lines of the text; the rule is the next one.
        headings: of its columns, unescaped.
        widths: of its columns in terminal cells; negative where they are aligned to the right.
    """

    first: int
    headings: tuple[str, ...]
    widths: tuple[int, ...]

    def drawn(self, place: int, text: str) -> str:
        """A line of the table with its columns in their places."""
        if place == self.first + 1:
            return "|" + "|".join("-" * (abs(width) + 2) for width in self.widths) + "|"
        cells = [unescaped(cell) for cell in cells_of(text)]
        parts = [
            fit(cell, max(abs(width), cell_len(cell)), right=width < 0)
            for cell, width in zip(cells, self.widths, strict=False)
        ]
        return "| " + " | ".join([*parts, *cells[len(self.widths) :]]) + " |"

    def named(self, text: str) -> tuple[tuple[str, str], ...]:
        """The cells of a line, each with its heading."""
        return tuple(zip(self.headings, map(unescaped, cells_of(text)), strict=False))


def layouts(lines: Sequence[str]) -> list[TableLayout | None]:
    """For every line the table it belongs to, None outside of tables."""
    found: list[TableLayout | None] = [None] * len(lines)
    place = 0
    while place + 1 < len(lines):
        if not (lines[place].startswith("|") and _RULE.fullmatch(lines[place + 1].rstrip())):
            place += 1
            continue
        length = sum(1 for _ in takewhile(lambda line: line.startswith("|"), lines[place:]))
        layout = _layout(place, lines[place : place + length])
        found[place : place + length] = [layout] * length
        place += length
    return found


def cells_of(text: str) -> list[str]:
    """The cells of a table's line, still escaped."""
    inner = text.strip().removeprefix("|")
    return [cell.strip() for cell in _BAR.split(inner.removesuffix("|"))]


def unescaped(text: str) -> str:
    """Text as it was before Markdown's own characters in it got backslashes."""
    return _ESCAPED.sub(r"\1", text)


def _layout(first: int, lines: Sequence[str]) -> TableLayout:
    headings = tuple(unescaped(cell) for cell in cells_of(lines[0]))
    rows = [
        [unescaped(cell[:_LONG]) for cell in cells_of(line)] for line in lines[2 : 2 + _MEASURED]
    ]
    widths: list[int] = []
    for place, heading in enumerate(headings):
        column = [row[place] for row in rows if place < len(row)]
        width = min(_WIDEST, max(map(cell_len, [heading, *column])))
        figures = [cell for cell in column if cell not in _NOTHING]
        right = bool(figures) and all(_NUMBER.fullmatch(cell) for cell in figures)
        widths.append(-width if right else width)
    return TableLayout(first, headings, tuple(widths))
