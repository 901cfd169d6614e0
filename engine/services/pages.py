"""What an exchange answered, kept in a folder, so that several processes ask it only once.

The strategies that are compared with each other run in processes of their own and need the same
bars. The first process that needs a page of them fetches it, and the others map its file into
memory. So a data file is read once, an exchange is asked once, and every strategy sees the same
answers, even if the exchange would have another one a moment later.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import inspect
import json
import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from engine.core.candles import to_columns
from engine.core.pricing import plain_number
from engine.domain.bars import CandleKey, Candles, Columns, concat, select
from engine.domain.ports import CandleRows
from engine.domain.schemas import ExchangeSchema, is_async
from engine.domain.time import MINUTE, from_ms, to_ms
from engine.services.clock import SystemClock
from engine.services.fetching import PAGE

_FACTS: Final = "exchange.json"
_WAIT_SECONDS: Final = 0.01


class SharedPages:
    """An exchange behind a folder of its answers.

    Args:
        folder: shared by the processes of one comparison, and by nothing else.
        name: the exchange's.
        open_exchange: opens the exchange; called when something is needed that the folder does not
            hold, at most once.
        registered: the exchange, when it is there without being opened.
        now: the present instant, ms UTC; what has not closed by then is no history, and not kept.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        open_exchange: Callable[[], ExchangeSchema] | None = None,
        registered: ExchangeSchema | None = None,
        now: Callable[[], int] | None = None,
    ) -> None:
        self._folder = folder
        self._name = name
        self._open = open_exchange
        self._there = registered
        self._now = now or SystemClock().now
        self._blocks: dict[tuple[str, str], _Block | None] = {}

    def schema(self) -> ExchangeSchema:
        """The exchange as runs see it; it is not opened if another process has said what it is.

        Raises:
            EngineError: it cannot be opened.
        """
        facts = self._facts()
        base = self._there
        if base is None:
            base = ExchangeSchema(
                exchange_name=self._name,
                get_candles=self._at_once,
                format_price=lambda *given: self._real("format_price")(*given),
                format_quantity=lambda *given: self._real("format_quantity")(*given),
                intervals=None if facts["intervals"] is None else tuple(facts["intervals"]),
                note=facts["note"],
            )
        function = self._later if facts["waits"] else self._at_once
        return base.model_copy(update={"get_candles": function})

    async def close(self) -> None:
        """Close the exchange, if it was opened here."""
        if self._open is not None and self._there is not None and self._there.close is not None:
            done = self._there.close()
            if inspect.isawaitable(done):
                await done

    async def gather(self, symbol: str, since: int, until: int) -> None:
        """Keep all 1m bars that open in ``[since, until)`` (ms UTC) as one file.

        Whatever asks for some of them then maps that file, and gets as many as there are.

        Raises:
            EngineError: the exchange's answer cannot be used.
            Exception: the exchange failed.
        """
        parts: list[Columns] = []
        cursor = since
        while cursor < until:
            limit = min(PAGE, -(-(until - cursor) // MINUTE))
            rows = self._real("get_candles")(symbol, "1m", from_ms(cursor), limit)
            if inspect.isawaitable(rows):
                rows = await rows
            columns = self._closed(to_columns(rows, CandleKey(self._name, symbol, "1m")), MINUTE)
            stamps = columns.timestamp
            keep = (stamps >= cursor) & (stamps < until)
            cursor += limit * MINUTE
            if keep.any():
                parts.append(select(columns, keep))
                cursor = int(stamps[keep].max()) // MINUTE * MINUTE + MINUTE
        file = self._block_file(symbol, "1m")
        _write(file, concat(parts) if parts else Candles.empty().columns())
        _replace(file.with_suffix(".json"), json.dumps([since, until]).encode())

    # -- candles -------------------------------------------------------------------------------

    def _at_once(self, symbol: str, interval: str, since: datetime, limit: int) -> CandleRows:
        gathered = self._gathered(symbol, interval, since)
        if gathered is not None:
            return gathered
        file = self._page(symbol, interval, since, limit)
        found = _read(file)
        if found is not None:
            return found
        with _locked(file):
            found = _read(file)
            if found is not None:
                return found
            rows = self._real("get_candles")(symbol, interval, since, limit)
            return self._kept(file, rows, symbol, interval)

    async def _later(self, symbol: str, interval: str, since: datetime, limit: int) -> CandleRows:
        gathered = self._gathered(symbol, interval, since)
        if gathered is not None:
            return gathered
        file = self._page(symbol, interval, since, limit)
        found = _read(file)
        if found is not None:
            return found
        async with _turn(file):
            found = _read(file)
            if found is not None:
                return found
            rows = await self._real("get_candles")(symbol, interval, since, limit)
            return self._kept(file, rows, symbol, interval)

    def _gathered(self, symbol: str, interval: str, since: datetime) -> Candles | None:
        """What was gathered, from ``since`` on; None if that is not among it."""
        name = symbol, interval
        if name not in self._blocks:
            self._blocks[name] = _read_block(self._block_file(symbol, interval))
        block, start = self._blocks[name], to_ms(since)
        if block is None or not block.since <= start < block.until:
            return None
        return block.candles[int(block.candles.timestamp.searchsorted(start)) :]

    def _kept(self, file: Path, rows: Any, symbol: str, interval: str) -> Candles:
        key = CandleKey(self._name, symbol, interval)
        columns = self._closed(to_columns(rows, key), key.step)
        _write(file, columns)
        return Candles(columns)

    def _closed(self, columns: Columns, step: int) -> Columns:
        """The bars that have closed by now, and those that never can: they are named as errors."""
        stamps, now = columns.timestamp, self._now()
        forming = (stamps + step > now) & (stamps <= now + step)
        return select(columns, ~forming) if forming.any() else columns

    def _block_file(self, symbol: str, interval: str) -> Path:
        return self._folder / f"{_digest(f'{symbol}|{interval}')}.npy"

    def _page(self, symbol: str, interval: str, since: datetime, limit: int) -> Path:
        # Runs of one frame ask for the same pages, because they load history in the same steps.
        return self._folder / f"{_digest(f'{symbol}|{interval}|{to_ms(since)}|{limit}')}.npy"

    # -- the exchange itself -------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        file = self._folder / _FACTS
        if not file.exists():
            with _locked(file):
                if not file.exists():
                    _replace(file, json.dumps(self._described()).encode())
        return json.loads(file.read_bytes())

    def _described(self) -> dict[str, Any]:
        schema = self._exchange()
        return {
            "intervals": schema.intervals,
            "waits": is_async(schema.get_candles),
            "note": schema.note,
        }

    def _exchange(self) -> ExchangeSchema:
        if self._there is None:
            assert self._open is not None
            self._there = self._open()
        return self._there

    def _real(self, function: str) -> Any:
        found = getattr(self._exchange(), function)
        return found if found is not None else _absent


class _Block(NamedTuple):
    since: int
    until: int
    candles: Candles


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _absent(symbol: str, value: float) -> str:
    """Stands for a format function that the exchange does not have."""
    return plain_number(value)


@contextmanager
def _locked(file: Path) -> Generator[None]:
    """Let one process fetch; the lock goes with the process, however that ends."""
    lock = _lock_file(file)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@asynccontextmanager
async def _turn(file: Path) -> AsyncGenerator[None]:
    """`_locked` for an exchange that is awaited: the loop goes on while another process fetches."""
    lock = _lock_file(file)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_WAIT_SECONDS)
        yield
    finally:
        os.close(lock)


def _lock_file(file: Path) -> int:
    return os.open(file.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _read(file: Path) -> Candles | None:
    try:
        block = np.load(file, mmap_mode="r")
    except FileNotFoundError:
        return None
    stamps, *prices = np.asarray(block)
    return Candles.from_columns(stamps.view(np.int64), *prices)


def _read_block(file: Path) -> _Block | None:
    try:
        since, until = json.loads(file.with_suffix(".json").read_bytes())
    except FileNotFoundError:
        return None
    candles = _read(file)
    return None if candles is None else _Block(since, until, candles)


def _write(file: Path, columns: Columns) -> None:
    block = np.empty((6, len(columns.timestamp)))
    # The bits of the integers, so that one array of one type holds all six columns.
    block[0] = np.ascontiguousarray(columns.timestamp).view(np.float64)
    for row, column in zip(block[1:], columns[1:], strict=True):
        row[:] = column
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    with draft.open("wb") as stream:
        np.save(stream, block)
    draft.replace(file)


def _replace(file: Path, content: bytes) -> None:
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    draft.write_bytes(content)
    draft.replace(file)
