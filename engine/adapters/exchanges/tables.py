"""Bytes of a CSV or Parquet file into the six columns of candles.

People bring files from many places, so what may vary (order and case of columns, unit of time,
compression, line endings) is detected, and what cannot be read is refused with the file, the line
and the value: a candle that was guessed is worse than none.

One limit is known: Parquet pages carry no checksum that the reader looks at, and a file with
damaged bytes inside a page may make it ask for more memory than there is, which ends the process.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import polars as pl

from engine.domain.bars import Columns, Floats, Ints
from engine.domain.errors import CandleDataError, NoDataError, SchemaError
from engine.domain.time import parse_instant

COLUMNS: Final = Columns._fields
"""Names of the columns a file must have, in the order candles keep them."""

_PRICES: Final = COLUMNS[1:]
_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_BOM: Final = b"\xef\xbb\xbf"
_HEADER_BYTES: Final = 65_536

_UNITS: Final = ("seconds", "ms", "us", "ns")
_UNIT_BOUNDS: Final = (10**11, 10**14, 10**17)
"""A whole number below 1e11 reads as seconds (until the year 5138), below 1e14 as ms, ..."""
_LATEST_MS: Final = _UNIT_BOUNDS[1]
_ISO_FORMATS: Final = ("%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%d %H:%M:%S%.f")
"""The common ways to write ISO-8601 UTC, which the vectorised parser knows."""
_NUMBER: Final = re.compile(r"[+-]?\d{1,20}(\.\d*)?([eE][+-]?\d{1,2})?")

_Series: TypeAlias = dict[str, pl.Series]
_Place: TypeAlias = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Table:
    """What one file holds, rows in file order.

    Attributes:
        columns: timestamps in ms UTC and five columns of finite numbers, shape (n,) each, n >= 1.
        unit: how the file writes time: ``seconds``, ``ms``, ``us``, ``ns``, ``ISO-8601`` or
            ``datetime``.
        place: where a row (0-based) stands in the file, for messages: ``line 17``.
    """

    columns: Columns
    unit: str
    place: _Place


class _Fault(Exception):
    """The first cell of a column that cannot be used."""

    def __init__(self, row: int, column: str, value: object, reason: str) -> None:
        self.row, self.column, self.value, self.reason = row, column, value, reason


def read_table(path: Path) -> Table:
    """The candles of one file: CSV or Parquet, plain or gzip, told by content and not by name.

    Raises:
        NoDataError: the file is absent or cannot be opened.
        CandleDataError: its content is not a table of candles; the message names the place.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NoDataError(f"{path}: no such file: check the path of the data file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NoDataError(
            f"{path}: cannot be read ({reason}): give a CSV or Parquet file that you may read"
        ) from error
    if data.startswith(_GZIP):
        data = _unzip(path, data)
    data = data.removeprefix(_BOM)
    if not data.strip():
        raise CandleDataError(f"{path}: the file is empty: expected a header {','.join(COLUMNS)}")
    return _read_parquet(path, data) if data.startswith(_PARQUET) else _read_csv(path, data)


def _unzip(path: Path, data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise CandleDataError(
            f"{path}: broken gzip data ({error}): copy or download the file again"
        ) from error


def _read_parquet(path: Path, data: bytes) -> Table:
    # The Rust reader answers damaged files with errors of many types and with panics, which are
    # not even an Exception; every one of them means the same here.
    try:
        names = list(pl.read_parquet_schema(io.BytesIO(data)))
        indices = _locate(path, names)
        frame = pl.read_parquet(io.BytesIO(data), columns=[names[i] for i in indices])
    except CandleDataError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise CandleDataError(
            f"{path}: damaged Parquet file ({_short(str(error))}): copy or download it again"
        ) from error
    series = {name: frame.get_column(names[i]) for name, i in zip(COLUMNS, indices, strict=True)}
    return _table(path, series, lambda row: f"row {row + 1}")


def _read_csv(path: Path, data: bytes) -> Table:
    delimiter = _delimiter(data)
    header, header_line = _header(path, data, delimiter)
    indices = _locate(path, header)
    if header_line == 1:
        series = _fast_cells(data, delimiter, len(header), indices)
        if series is not None:
            try:
                return _table(path, series, lambda row: f"line {row + 2}", exact=True)
            except _Fault:
                pass  # The careful reader below knows the line, or that nothing was wrong.
    series, lines = _careful_cells(path, data, delimiter, len(header), indices)
    return _table(path, series, lambda row: f"line {lines[row]}")


def _delimiter(data: bytes) -> str:
    first = data.lstrip()[:_HEADER_BYTES].splitlines()[0]
    return max(",;\t|", key=lambda mark: first.count(mark.encode()))


def _header(path: Path, data: bytes, delimiter: str) -> tuple[list[str], int]:
    text = data[:_HEADER_BYTES].decode("utf-8", "replace")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names: list[str] = []
    try:
        for names in reader:
            if any(cell.strip() for cell in names):
                break
    except csv.Error as error:
        raise CandleDataError(f"{path}: line {reader.line_num}: not a CSV file ({error})") from None
    return names, reader.line_num


def _locate(path: Path, header: list[str]) -> list[int]:
    """Positions of `COLUMNS` in a header, whose names may be in any order and case."""
    names = [name.strip().lower() for name in header]
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        which = "column" if len(missing) == 1 else "columns"
        raise CandleDataError(
            f"{path}: not a table of candles: {which} {', '.join(missing)} missing from the "
            f"header {_short(','.join(header))!r}: name the columns {','.join(COLUMNS)}"
        )
    twice = [column for column in COLUMNS if names.count(column) > 1]
    if twice:
        raise CandleDataError(
            f"{path}: column {twice[0]} appears {names.count(twice[0])} times in the header "
            f"{_short(','.join(header))!r}: keep one"
        )
    return [names.index(column) for column in COLUMNS]


def _fast_cells(data: bytes, delimiter: str, width: int, indices: list[int]) -> _Series | None:
    """The six columns as text by the parallel reader; None where it is not sure."""
    try:
        frame = pl.read_csv(
            data,
            separator=delimiter,
            has_header=False,
            skip_rows=1,
            schema={f"column_{i}": pl.String() for i in range(width)},
            encoding="utf8-lossy",
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        return None
    if frame.height == 0 or frame.width != width:
        return None
    return {name: frame.to_series(i) for name, i in zip(COLUMNS, indices, strict=True)}


def _careful_cells(
    path: Path, data: bytes, delimiter: str, width: int, indices: list[int]
) -> tuple[_Series, list[int]]:
    """The same by the standard library's reader, with the line each row ends on."""
    cells: list[list[str]] = [[] for _ in COLUMNS]
    lines: list[int] = []
    for line, row in _records(path, data, delimiter):
        if len(row) != width:
            raise CandleDataError(
                f"{path}: line {line}: {len(row)} fields where the header has {width}: "
                f"correct or remove the line {_short(delimiter.join(row))!r}"
            )
        lines.append(line)
        for column, index in zip(cells, indices, strict=True):
            column.append(row[index].strip())
    series = {
        name: pl.Series(name, column, pl.String())
        for name, column in zip(COLUMNS, cells, strict=True)
    }
    return series, lines


def _records(path: Path, data: bytes, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows below the header with their line number; blank lines are not rows."""
    text = data.decode("utf-8", "replace")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header_seen = False
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                if header_seen:
                    yield reader.line_num, row
                header_seen = True
    except csv.Error as error:
        raise CandleDataError(f"{path}: line {reader.line_num}: not CSV ({error})") from None


def _table(path: Path, series: _Series, place: _Place, *, exact: bool = False) -> Table:
    """Numbers out of cells.

    Raises:
        CandleDataError: there is no row, or a cell cannot be used.
        _Fault: with ``exact``, in place of the error about a cell.
    """
    if not len(series["timestamp"]):
        raise CandleDataError(f"{path}: no rows below the header: the file holds no candles")
    faults: list[_Fault] = []
    prices: list[Floats] = []
    for name in _PRICES:
        try:
            prices.append(_numbers(series[name]))
        except _Fault as fault:
            faults.append(fault)
    try:
        stamps, unit = _instants(series["timestamp"])
    except _Fault as fault:
        faults.insert(0, fault)
    else:
        if not faults:
            return Table(Columns(stamps, *prices), unit, place)
    first = min(faults, key=lambda fault: fault.row)
    if exact:
        raise first
    raise CandleDataError(
        f"{path}: {place(first.row)}, column {first.column}: {_short(repr(first.value))} "
        f"{first.reason}"
    )


def _numbers(series: pl.Series) -> Floats:
    """A column of finite float64."""
    kind = series.dtype
    if not (kind.is_numeric() or isinstance(kind, (pl.String, pl.Null))):
        raise _Fault(0, series.name, series[0], f"is of type {kind}: store numbers")
    values = series.cast(pl.Float64(), strict=False)
    usable = values.is_finite().fill_null(value=False)
    if not usable.all():
        row = int((~usable).arg_max() or 0)
        raise _Fault(row, series.name, series[row], _why_no_number(series[row], values[row]))
    return values.to_numpy()


def _why_no_number(cell: object, value: float | None) -> str:
    if cell is None or cell == "":
        return "is empty: give a number or remove the row"
    if value is None:
        return "is not a number: correct or remove the row"
    return "is not finite: give a number or remove the row"


def _instants(series: pl.Series) -> tuple[Ints, str]:
    """A column of ms UTC, and the unit the file writes it in."""
    kind = series.dtype
    if isinstance(kind, (pl.Datetime, pl.Date)):
        _refuse_nulls(series)
        stamps: Ints = series.cast(pl.Datetime("ms")).to_physical().cast(pl.Int64()).to_numpy()
        return _in_range(series, stamps), "datetime"
    if kind.is_integer() or isinstance(kind, pl.String):
        whole = series.cast(pl.Int64(), strict=False)
        if not whole.null_count():
            return _scaled(series, whole.to_numpy())
        for pattern in _ISO_FORMATS if isinstance(kind, pl.String) else ():
            parsed = series.str.to_datetime(pattern, time_unit="ms", strict=False)
            if not parsed.null_count():
                return _in_range(series, parsed.to_physical().to_numpy()), "ISO-8601"
    if kind.is_numeric() or isinstance(kind, (pl.String, pl.Null)):
        _refuse_nulls(series)
        return _one_by_one(series)
    raise _Fault(0, series.name, series[0], f"is of type {kind}: store ms since 1970 or ISO-8601")


def _refuse_nulls(series: pl.Series) -> None:
    if series.null_count():
        row = int(series.is_null().arg_max() or 0)
        raise _Fault(row, series.name, None, "is empty: give a time or remove the row")


def _scaled(series: pl.Series, values: Ints) -> tuple[Ints, str]:
    """Whole numbers of one unit, told by their magnitude, in ms."""
    units: Ints = np.searchsorted(np.asarray(_UNIT_BOUNDS), values, side="right")
    unit = int(units[0])
    if (units != unit).any():
        row = int((units != unit).argmax())
        other = _UNITS[int(units[row])]
        raise _Fault(row, series.name, series[row], _other_unit(other, _UNITS[unit]))
    stamps: Ints = values * 1000 if unit == 0 else values // 1000 ** (unit - 1)
    return _in_range(series, stamps), _UNITS[unit]


def _in_range(series: pl.Series, stamps: Ints) -> Ints:
    wrong = (stamps < 0) | (stamps >= _LATEST_MS)
    if wrong.any():
        row = int(wrong.argmax())
        raise _Fault(row, series.name, series[row], "is not a time after 1970: correct the row")
    return stamps


def _one_by_one(series: pl.Series) -> tuple[Ints, str]:
    """Times that are not all whole numbers: ISO-8601, or numbers with a fraction."""
    stamps = np.empty(len(series), dtype=np.int64)
    first = unit = ""
    for row, cell in enumerate(series.to_list()):
        try:
            stamps[row], unit = _instant(str(cell).strip())
        except (SchemaError, ValueError, OverflowError):
            reason = "is not a time: write ms or seconds since 1970, or ISO-8601 UTC"
            raise _Fault(row, series.name, cell, reason) from None
        first = first or unit
        if unit != first:
            raise _Fault(row, series.name, cell, _other_unit(unit, first))
    return _in_range(series, stamps), first


def _instant(text: str) -> tuple[int, str]:
    if not _NUMBER.fullmatch(text):
        return parse_instant(text), "ISO-8601"
    value = float(text)
    if not isfinite(value):
        raise ValueError(text)
    unit = int(np.searchsorted(np.asarray(_UNIT_BOUNDS), value, side="right"))
    return round(value * 1000 / 1000**unit), _UNITS[unit]


def _other_unit(unit: str, first: str) -> str:
    return f"reads as {unit} where the file's first row is in {first}: use one unit in a file"


def _short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
