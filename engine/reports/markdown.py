"""Markdown that shows foreign text literally.

Symbols, ids, notes and messages come from strategies and exchanges. Whatever they hold, a table
keeps its shape and a line stays one line.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final
from unicodedata import category

from engine.domain.errors import EngineError
from engine.reports.columns import Column, Row, always

_INLINE: Final = re.compile(r"[\\|`*<\[\]~]|(?<![^\W_])_|&(?=#?\w+;)")
# An underscore behind a letter opens no emphasis, and names are full of those.
_BLOCK: Final = re.compile(r"^(?:[#>+=-]|\d+(?=[.)]))")
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9.:%+-]| (?=[A-Za-z0-9.:%+-]))*")


def escape(text: str) -> str:
    """One line of Markdown, safe in a table cell, that renders as ``text`` literally.

    White space collapses to single blanks; control characters and lone surrogates, which
    terminals obey and files refuse, become U+FFFD.
    """
    if _PLAIN.fullmatch(text) and text[:1] != " ":
        return text  # numbers, times and ids, which most cells of a long table are
    # Control characters that are white space are blanks by now.
    line = " ".join(text.split())
    line = without_hidden(line, "\N{REPLACEMENT CHARACTER}")
    return _INLINE.sub(lambda match: "\\" + match[0], line)


def bullet(text: str) -> str:
    """A list item that shows ``text`` literally."""
    line = escape(text)
    marker = _BLOCK.match(line)
    if marker is None:
        return f"- {line}"
    # "1." is defused behind the number, everything else in front.
    cut = marker.end() if marker[0].isdecimal() else 0
    return f"- {line[:cut]}\\{line[cut:]}"


def bold_line(label: str, value: str, hint: str = "") -> str:
    """A list item ``**label:** value (hint)``; the parts are taken as Markdown."""
    return f"- **{label}:** {value}" + (f" ({hint})" if hint else "")


def document(blocks: Iterable[str]) -> str:
    """A whole report: the blocks that hold something, a blank line between them."""
    return "\n\n".join(block for block in blocks if block) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every cell is escaped. No headings give an empty string."""
    if not headings:
        return ""
    lines = [_line(headings), _line(["---"] * len(headings), literal=True)]
    lines.extend(_line(row) for row in rows)
    return "\n".join(lines)


def column_table(columns: Sequence[Column[Row]], rows: Sequence[Row]) -> str:
    """A table of ``rows`` in the given order, through the visible ones of ``columns``.

    Raises:
        EngineError: a column's function failed; the message names column and row.
    """
    shown = [column for column in columns if _visible(column)]
    return table(
        [column.label for column in shown],
        ([_cell(column, row, at) for column in shown] for at, row in enumerate(rows)),
    )


async def resolved(columns: Sequence[Column[Row]], rows: Sequence[Row]) -> tuple[Column[Row], ...]:
    """The visible columns for a table of ``rows``, with everything awaited that has to be.

    Raises:
        EngineError: a column's function failed; the message names column and row.
    """
    found: list[Column[Row]] = []
    for column in columns:
        try:
            visible = column.is_visible()
            visible = await visible if inspect.isawaitable(visible) else visible
        except Exception as error:
            raise _hidden(column, error) from error
        if visible:
            found.append(await _awaited(column, rows))
    return tuple(found)


async def _awaited(column: Column[Row], rows: Sequence[Row]) -> Column[Row]:
    """The column as it is, or, if its cells have to be awaited, with all of them awaited."""
    cells: list[str] = []
    for at, row in enumerate(rows):
        try:
            cell = column.format(row, at)
            if not inspect.isawaitable(cell):
                if at == 0:
                    return Column(column.key, column.label, column.format, always)
                cells.append(cell)
                continue
            cells.append(await cell)
        except Exception as error:
            raise _unformatted(column, at, error) from error
    return Column(column.key, column.label, lambda row, at: cells[at], always)


def _line(cells: Sequence[str], *, literal: bool = False) -> str:
    return "| " + " | ".join(cells if literal else map(escape, cells)) + " |"


def _visible(column: Column[Any]) -> bool:
    try:
        return bool(column.is_visible())
    except Exception as error:
        raise _hidden(column, error) from error


def _hidden(column: Column[Any], error: Exception) -> EngineError:
    return EngineError(
        f"column {column.key!r} failed in is_visible: {type(error).__name__}: {error}"
    )


def _unformatted(column: Column[Any], index: int, error: Exception) -> EngineError:
    return EngineError(
        f"column {column.key!r} could not format row {index}: {type(error).__name__}: {error}"
    )


def _cell(column: Column[Row], row: Row, index: int) -> str:
    try:
        text = column.format(row, index)
        if not isinstance(text, str) and inspect.isawaitable(text):
            raise TypeError("its text has to be awaited, which the first row's had not")
        return str(text)
    except Exception as error:
        raise _unformatted(column, index, error) from error


def without_hidden(text: str, mark: str) -> str:
    """``text`` with a mark in place of every control character and surrogate."""
    if text.isprintable():
        return text
    return text.translate({ord(c): mark for c in set(text) if category(c) in ("Cc", "Cs")})
