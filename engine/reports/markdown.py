"""Markdown that shows foreign text literally, and the files that reports are written to.

Symbols, ids, notes and messages come from strategies and exchanges. Whatever they hold, a table
keeps its shape, a line stays one line, and a file stays inside the folder it was meant for.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from unicodedata import category
from uuid import uuid4

from engine.domain.errors import EngineError
from engine.domain.signals import RunKey
from engine.domain.texts import value_text
from engine.reports.columns import Column, Row, always

PLACEHOLDERS: Final[tuple[str, ...]] = ("mode", "symbol", "name", "exchange", "frame")
"""What a report's path may hold in braces."""

_INLINE: Final = re.compile(r"[\\|`*<\[\]~]|(?<![^\W_])_|&(?=#?\w+;)")
# An underscore behind a letter opens no emphasis, and names are full of those.
_BLOCK: Final = re.compile(r"^(?:[#>+=-]|\d+(?=[.)]))")
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9.:%+-]| (?=[A-Za-z0-9.:%+-]))*")
_UNSAFE_IN_NAMES: Final = re.compile(r'[\s/\\:*?"<>|{}]')
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


def escape(text: str) -> str:
    """One line of Markdown, safe in a table cell, that renders as ``text`` literally.

    White space collapses to single blanks; control characters and lone surrogates, which
    terminals obey and files refuse, become U+FFFD.
    """
    if _PLAIN.fullmatch(text) and text[:1] != " ":
        return text  # numbers, times and ids, which most cells of a long table are
    # Control characters that are white space are blanks by now.
    line = " ".join(text.split())
    line = _without_hidden(line, "\N{REPLACEMENT CHARACTER}")
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


def safe_name(text: str) -> str:
    """``text`` as one component of a path: ``BTC/USDT:USDT`` becomes ``BTC_USDT_USDT``."""
    plain = _UNSAFE_IN_NAMES.sub("_", text)
    plain = _without_hidden(plain, "_")
    bare = plain.lstrip(".")
    return "_" * (len(plain) - len(bare)) + bare or "_"


def report_path(
    path: str | os.PathLike[str] | None = None,
    *,
    mode: str,
    name: str,
    symbol: str = "",
    exchange: str = "",
    frame: str = "",
    folder: str = "{mode}",
    file: str = "{name}.md",
) -> Path:
    """Where a report goes.

    Args:
        path: None for ``./dump/{folder}/{file}``; a file when it ends in ``.md``, else the folder
            that gets ``file``. It may hold the placeholders ``{mode} {symbol} {name} {exchange}
            {frame}``, whose values are made safe as single path components.
        mode: ``backtest``, ``live``, ``walker``, ...
        name: the strategy's (walker's) name.
        symbol, exchange, frame: the rest of the run's identity.
        folder, file: where the report goes by default; placeholders as in ``path``.

    Raises:
        EngineError: it is no path, or holds braces around anything else.
    """
    if path is not None and not isinstance(path, (str, os.PathLike)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise EngineError(f"report path is {value_text(path)}: must be a text or a Path")
    template = f"./dump/{folder}" if path is None else os.fspath(path)
    if not template.lower().endswith(".md"):
        template = os.path.join(template, file)
    given = (mode, symbol, name, exchange, frame)
    values: dict[str, str] = dict(zip(PLACEHOLDERS, given, strict=True))

    def fill(match: re.Match[str]) -> str:
        if match[1] not in values:
            names = " ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            raise EngineError(f"report path {template!r} holds {match[0]}: use {names}")
        return safe_name(values[match[1]])

    return Path(_PLACEHOLDER.sub(fill, template))


def run_report_path(path: str | os.PathLike[str] | None, key: RunKey) -> Path:
    """Where the report of one run goes, by default ``./dump/{mode}/{name}.md``; see `report_path`.

    Raises:
        EngineError: as of `report_path`.
    """
    return report_path(
        path, mode=key.mode, name=key.strategy_name, symbol=key.symbol,
        exchange=key.exchange_name, frame=key.frame_name,
    )  # fmt: skip


def dump_report(text: str, path: str | os.PathLike[str]) -> Path:
    """Write ``text`` as UTF-8, whole or not at all, creating the folders on the way.

    Args:
        text: the report.
        path: absolute, or relative to the working directory.

    Returns:
        The absolute path of the file.

    Raises:
        EngineError: the file could not be written; the message names it. An existing file is
            then unchanged.
    """
    target = Path(path)
    # A short name of its own, since the target's may already be as long as the system allows.
    draft = target.parent / f".report-{uuid4().hex}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        return target.absolute()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EngineError(f"report {target} could not be written: {reason}") from error


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


def _without_hidden(text: str, mark: str) -> str:
    """``text`` with a mark in place of every control character and surrogate."""
    if text.isprintable():
        return text
    return text.translate({ord(c): mark for c in set(text) if category(c) in ("Cc", "Cs")})
