"""A table as a file: Markdown to read, CSV for a spreadsheet, JSON for programs.

What is written is what the table shows, every column of it, with numbers as numbers. Text from
strategies and exchanges is never a formula and never ends a cell.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from screens.text import many
from screens.widgets.line_table import LineTable
from screens.widgets.marked_table import MarkedTable
from screens.widgets.text_view import TextView

SUFFIXES: Final = {"markdown": "md", "csv": "csv", "json": "json"}
"""File suffix of every format."""

Cells = tuple[str, ...]

_NUMBER: Final = re.compile(r"[+-]?\d{1,3}(,?\d{3})*(\.\d+)?")
_FORMULA: Final = ("=", "+", "-", "@")


def exported(table: LineTable[Any], form: str, rows: Sequence[Any] | None = None) -> str:
    """Rows of a table as text of a format.

    Args:
        table: whose columns to write.
        form: one of `SUFFIXES`.
        rows: of the table; by default all of them.
    """
    rows = table.rows if rows is None else rows
    if isinstance(table, TextView) and form == "markdown":
        return "".join(f"{table.row_text(row)}\n" for row in rows)
    titles = _titles(table)
    cells = [tuple(table.row_text(row).split("\t")) for row in rows]
    writers = {"markdown": _markdown, "csv": _csv, "json": _json}
    return writers[form](titles, cells)


def chosen(table: LineTable[Any]) -> tuple[Sequence[Any], str]:
    """The rows to export, and how many they are in words: the selected ones where there are any."""
    marked = table.marked if isinstance(table, MarkedTable) else ()
    if marked:
        return marked, f"{many(len(marked), 'selected line')} of {len(table.rows):,}"
    return table.rows, many(len(table.rows), "line")


def file_name(name: str, form: str, now: int) -> str:
    """Name of an exported file.

    Args:
        name: what is written, such as the table's id.
        form: one of `SUFFIXES`.
        now: ms UTC.
    """
    stamp = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    return f"signaldeck-{name}-{stamp}.{SUFFIXES[form]}"


def write(path: Path, text: str) -> Path:
    """Write a file that is not there yet, under another name where it is; answers the name.

    Raises:
        OSError: it cannot be written.
    """
    free, count = path, 1
    while True:
        try:
            with free.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
        except FileExistsError:
            count += 1
            free = path.with_stem(f"{path.stem}-{count}")
        else:
            return free


def _titles(table: LineTable[Any]) -> Cells:
    words = (" ".join(title.split()) for title in table.row_text(None).split("\t"))
    return tuple(word or f"column {place}" for place, word in enumerate(words, start=1))


def _markdown(titles: Cells, rows: Sequence[Cells]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "".join(f"| {' | '.join(map(_barred, line))} |\n" for line in lines)


def _barred(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _csv(titles: Cells, rows: Sequence[Cells]) -> str:
    with io.StringIO(newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(titles)
        writer.writerows([_spreadsheet(cell) for cell in row] for row in rows)
        return file.getvalue()


def _spreadsheet(text: str) -> str:
    if _NUMBER.fullmatch(text):
        return text.replace(",", "")
    return f"'{text}" if text.startswith(_FORMULA) and text != "-" else text


def _json(titles: Cells, rows: Sequence[Cells]) -> str:
    values = [dict(zip(titles, map(_value, row), strict=True)) for row in rows]
    return json.dumps(values, ensure_ascii=False, indent=2) + "\n"


def _value(text: str) -> str | float | int | None:
    if _NUMBER.fullmatch(text):
        plain = text.replace(",", "")
        return float(plain) if "." in plain else int(plain)
    return None if text in ("", "-") else text
