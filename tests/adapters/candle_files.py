"""Files of candles for the tests of the files exchange."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, settings

from engine.adapters.exchanges.files import FilesExchange
from engine.domain.bars import Candle
from engine.domain.errors import CandleDataError
from engine.domain.time import MINUTE, from_ms, to_ms

T0 = to_ms(datetime(2022, 1, 1, tzinfo=UTC))
HEADER: str = "timestamp,open,high,low,close,volume"
FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def rows(count: int = 5, step: int = MINUTE, start: int = T0) -> list[Candle]:
    return [
        Candle(start + i * step, 100.0 + i, 101.5 + i, 99.25 + i, 100.5 + i, 10.0 * i)
        for i in range(count)
    ]


def text(candles: list[Candle], header: str = HEADER, end: str = "\n") -> str:
    return end.join([header, *(",".join(map(str, candle)) for candle in candles)]) + end


def exchange(tmp_path: Path, content: str | bytes, name: str = "BTCUSDT-1m.csv") -> FilesExchange:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return FilesExchange([path])


def everything(source: FilesExchange) -> list[Candle]:
    (interval,) = source.intervals()
    return list(source.get_candles(source.symbols()[0], interval, from_ms(0), 10**9))


def refusal(tmp_path: Path, content: str | bytes, name: str = "BTCUSDT-1m.csv") -> str:
    with pytest.raises(CandleDataError) as caught:
        exchange(tmp_path, content, name)
    assert str(tmp_path / name) in str(caught.value)
    return str(caught.value)


def frame(candles: list[Candle]) -> pl.DataFrame:
    return pl.DataFrame(candles, schema=list(Candle._fields), orient="row")


def parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()
