"""An exchange whose history is a set of files on disk: CSV or Parquet, plain or gzip.

It lets a backtest run on bars that somebody else collected, without a network and repeatably. It
parses and orders rows; whether they make up a market (gaps, duplicates, prices) is decided where
the bars of every exchange are checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from engine.adapters.exchanges.precision import decimals_of, fixed
from engine.adapters.exchanges.tables import Table, read_table
from engine.domain.bars import CANDLE_INTERVALS, INTERVAL_MINUTES, Candles, Ints
from engine.domain.errors import CandleDataError, NoDataError, SchemaError
from engine.domain.time import MINUTE, to_ms

_INTERVAL_OF_STEP: Final = {
    INTERVAL_MINUTES[interval] * MINUTE: interval for interval in CANDLE_INTERVALS
}
_SYMBOL: Final = re.compile(r"(?P<symbol>.+?)[-_ ]\d+(?:m|h|d)(?:[-_ .]|$)", re.IGNORECASE)
_PRICE_DECIMALS: Final = 2
_QUANTITY_DECIMALS: Final = 8
_SAMPLE: Final = 2000


class FilesExchange:
    """One symbol's bars out of one or more files, all of them read when it is made.

    Attributes:
        description: what was read, in a line: ``45031 rows, timestamps in ms``.

    Raises:
        NoDataError: no path was given, or a file is absent or unreadable.
        CandleDataError: a file's content cannot be candles; the message names file, line, column
            and value, and what to do.
        SchemaError: no symbol was given and the file names do not agree on one.
    """

    def __init__(self, paths: Sequence[str | Path] | str | Path, symbol: str | None = None) -> None:
        given = (paths,) if isinstance(paths, (str, Path)) else tuple(paths)
        self._paths = tuple(Path(path).expanduser() for path in given)
        if not self._paths:
            raise NoDataError("no data file was given: name at least one CSV or Parquet file")
        self._symbol = symbol or _symbol_of(self._paths)
        tables = [read_table(path) for path in self._paths]
        self._interval = _interval_of(self._paths, tables)
        self._candles, moved = _joined(tables)
        self._stamps: Ints = self._candles.timestamp
        self._price_decimals = decimals_of(self._candles.close[:_SAMPLE], _PRICE_DECIMALS)
        self.description = _describe(tables, len(self._candles), self._interval, moved)

    def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Candles:
        """Up to ``limit`` bars that open at or after ``since``, a view of what was read.

        Raises:
            NoDataError: the files hold another symbol or another interval.
        """
        if symbol != self._symbol:
            raise NoDataError(
                f"{self._files()} holds {self._symbol}, not {symbol}: ask for {self._symbol}, or "
                f"name {symbol} as the symbol of the file"
            )
        if interval != self._interval:
            raise NoDataError(
                f"{self._files()} holds {self._interval} bars, not {interval}: give a file of "
                f"{interval} bars (higher intervals are made from 1m bars)"
            )
        start = int(np.searchsorted(self._stamps, to_ms(since)))
        return self._candles[start : start + max(limit, 0)]

    def format_price(self, symbol: str, price: float) -> str:
        """A price with as many decimals as the file's closes have, at least 2."""
        return fixed(price, self._price_decimals)

    def format_quantity(self, symbol: str, quantity: float) -> str:
        """A quantity with 8 decimals."""
        return fixed(quantity, _QUANTITY_DECIMALS)

    def intervals(self) -> frozenset[str]:
        """The one interval of the files."""
        return frozenset({self._interval})

    def symbols(self) -> tuple[str, ...]:
        """The one symbol of the files."""
        return (self._symbol,)

    def history(self) -> tuple[int, int]:
        """Open of the first bar and close of the last, ms UTC."""
        step = INTERVAL_MINUTES[self._interval] * MINUTE
        return int(self._stamps[0]), int(self._stamps[-1]) + step

    async def close(self) -> None:
        """Nothing is held open."""

    def _files(self) -> str:
        others = len(self._paths) - 1
        return f"{self._paths[0]}" + (f" (and {others} more)" if others else "")


def _symbol_of(paths: Sequence[Path]) -> str:
    """The symbol that file names agree on: ``BTCUSDT-1m-2022-01.csv.gz`` is ``BTCUSDT``."""
    found: dict[str, Path] = {}
    for path in paths:
        match = _SYMBOL.match(path.name)
        name = match["symbol"] if match else re.split(r"[-_ .]", path.name, maxsplit=1)[0]
        if not name:
            raise SchemaError(f"{path}: the file name tells no symbol: name the symbol")
        found.setdefault(name.upper(), path)
    if len(found) > 1:
        listed = ", ".join(f"{symbol} ({path.name})" for symbol, path in found.items())
        raise SchemaError(f"the files are named after different symbols: {listed}: name the symbol")
    return next(iter(found))


def _interval_of(paths: Sequence[Path], tables: Sequence[Table]) -> str:
    """The interval all files have, from the smallest step between two of their rows."""
    found: dict[str, Path] = {}
    for path, table in zip(paths, tables, strict=True):
        interval = _table_interval(path, table)
        if interval:
            found.setdefault(interval, path)
    if len(found) > 1:
        listed = ", ".join(f"{interval} ({path})" for interval, path in found.items())
        raise CandleDataError(f"the files hold bars of different intervals: {listed}: give one")
    return next(iter(found), "1m")


def _table_interval(path: Path, table: Table) -> str:
    """The interval of one file, "" where a single row does not tell."""
    order = np.argsort(table.columns.timestamp, kind="stable")
    steps = np.diff(table.columns.timestamp[order])
    if not (steps > 0).any():
        return ""
    at = int(np.where(steps > 0, steps, np.iinfo(np.int64).max).argmin())
    step = int(steps[at])
    interval = _INTERVAL_OF_STEP.get(step)
    if interval is None:
        earlier, later = (table.place(int(order[row])) for row in (at, at + 1))
        raise CandleDataError(
            f"{path}: {later} opens {step / 1000:g} s after {earlier}, which is no interval: "
            f"bars must be {', '.join(CANDLE_INTERVALS)} apart"
        )
    return interval


def _joined(tables: Sequence[Table]) -> tuple[Candles, bool]:
    """All rows by time, equal times in the order given, and whether that moved any."""
    parts = [table.columns for table in tables]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    moved = bool((np.diff(columns[0]) < 0).any())
    if moved:
        order = np.argsort(columns[0], kind="stable")
        columns = [column[order] for column in columns]
    return Candles.from_columns(*columns), moved


def _describe(tables: Sequence[Table], rows: int, interval: str, moved: bool) -> str:
    units = " and ".join(dict.fromkeys(table.unit for table in tables))
    return "".join(
        (
            f"{rows} rows",
            f" in {len(tables)} files" if len(tables) > 1 else "",
            "" if interval == "1m" else f" of {interval}",
            f", timestamps in {units}",
            ", sorted by time" if moved else "",
        )
    )
