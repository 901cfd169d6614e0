"""Reads an optimizer's source page by page: within limits, at a polite pace, each row once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from engine.domain.errors import EngineError, OptimizerError
from engine.domain.optimizing import Row
from engine.domain.schemas import OptimizerRange, OptimizerSource
from engine.domain.time import from_ms
from engine.services.user_calls import call_user

PAGE_ROWS: Final = 25
"""Rows asked for at once."""

MOST_ROWS: Final = 10_000
"""Rows of one source and range that are read."""

REQUEST_SECONDS: Final = 0.1
"""Least time from one request to the next one of the same source."""

_log = logging.getLogger("signaldeck.optimizer")


@dataclass(frozen=True, slots=True)
class Pace:
    """What "now" is and how to wait, in seconds; tests inject their own."""

    now: Callable[[], float] = monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class SourceReader:
    """Reads sources for one symbol.

    Args:
        symbol: handed to ``fetch``.
        limit_seconds: how long one ``fetch`` may take.
        pace: the clock between requests.

    Attributes:
        warnings: one line per source that was cut at `MOST_ROWS`.
    """

    def __init__(self, symbol: str, limit_seconds: float, pace: Pace) -> None:
        self.warnings: list[str] = []
        self._symbol = symbol
        self._limit = limit_seconds
        self._pace = pace

    async def read(self, source: OptimizerSource, span: OptimizerRange) -> list[Row]:
        """All rows of a range, in order; of two rows with one id the first.

        Raises:
            OptimizerError: ``fetch`` failed or gave what are no rows; source and offset are named.
        """
        rows: dict[object, Row] = {}
        offset = 0
        while True:
            asked = self._pace.now()
            page = await self._page(source, span, offset)
            for at, row in enumerate(page):
                rows.setdefault(_id_of(row, source, offset + at), row)
            if len(page) < PAGE_ROWS:
                return list(rows.values())
            offset += PAGE_ROWS
            if offset >= MOST_ROWS:
                self._cut(source)
                return list(rows.values())
            await self._pace.sleep(max(0.0, asked + REQUEST_SECONDS - self._pace.now()))

    async def _page(self, source: OptimizerSource, span: OptimizerRange, offset: int) -> list[Row]:
        where = f"source {source.name!r}, offset {offset}"
        try:
            page: Any = await call_user(
                source.fetch, self._limit, symbol=self._symbol, start_date=from_ms(span.start_date),
                end_date=from_ms(span.end_date), limit=PAGE_ROWS, offset=offset,
            )  # fmt: skip
        except Exception as error:
            name = "" if type(error) is EngineError else f"{type(error).__name__}: "
            raise OptimizerError(f"{where}: {name}{error}") from error
        if type(page) not in (list, tuple):
            raise OptimizerError(f"{where}: fetch returned {type(page).__name__}: return a list")
        found: list[Any] = list(page)
        if len(found) > PAGE_ROWS:
            raise OptimizerError(
                f"{where}: fetch returned {len(found)} rows: return at most limit={PAGE_ROWS}"
            )
        return found

    def _cut(self, source: OptimizerSource) -> None:
        text = f"source {source.name!r} has more than {MOST_ROWS} rows: the rest was not read"
        _log.warning("%s", text)
        if text not in self.warnings:
            self.warnings.append(text)


def _id_of(row: Any, source: OptimizerSource, number: int) -> object:
    try:
        found: object = row["id"]
        hash(found)
    except (KeyError, TypeError, IndexError):
        found = None
    if found is None or not isinstance(row, Mapping):
        raise OptimizerError(
            f"source {source.name!r}, row {number}: {str(row)[:80]!r} is no mapping with an id, by "
            "which rows that come twice are recognised"
        )
    return found
