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
from typing import Any, Final

import numpy as np

from engine.core.candles import Source, to_columns
from engine.core.pricing import plain_number
from engine.domain.bars import Candles, Columns
from engine.domain.ports import CandleRows
from engine.domain.schemas import ExchangeSchema, is_async
from engine.domain.time import to_ms

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
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        open_exchange: Callable[[], ExchangeSchema] | None = None,
        registered: ExchangeSchema | None = None,
    ) -> None:
        self._folder = folder
        self._name = name
        self._open = open_exchange
        self._there = registered

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

    # -- candles -------------------------------------------------------------------------------

    def _at_once(self, symbol: str, interval: str, since: datetime, limit: int) -> CandleRows:
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

    def _kept(self, file: Path, rows: Any, symbol: str, interval: str) -> Candles:
        columns = to_columns(rows, Source(self._name, symbol, interval))
        _write(file, columns)
        return Candles(columns)

    def _page(self, symbol: str, interval: str, since: datetime, limit: int) -> Path:
        # Runs of one frame ask for the same pages, because they load history in the same steps.
        asked = f"{symbol}|{interval}|{to_ms(since)}|{limit}"
        return self._folder / f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.npy"

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
