"""Whatever bytes a file holds, it is candles or an error of the engine's own."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.exchanges.files import FilesExchange
from engine.adapters.exchanges.tables import read_table
from engine.domain.errors import CandleDataError, EngineError
from engine.domain.time import MINUTE
from tests.adapters.candle_files import (
    FUZZ,
    HEADER,
    T0,
    everything,
    exchange,
    frame,
    parquet,
    rows,
    text,
)

CELLS = st.one_of(
    st.sampled_from(
        (
            *(
                "",
                " ",
                "1",
                "1.5",
                "-1",
                "nan",
                "1e400",
                "x",
                '"',
                '"1"',
                "\0",
                "\r",
                "\xe9",
                "1_0",
            ),
            *(str(T0), str(T0 // 1000), "2022-01-01", "9" * 25, "1e9", "0001-01-01T00:00+23:59"),
        )
    ),
    st.floats().map(str),
    st.integers().map(str),
    st.text(max_size=4),
)
TABLES = st.lists(st.lists(CELLS, min_size=4, max_size=7).map(",".join), max_size=6).map(
    lambda lines: "\n".join([HEADER, *lines]).encode("utf-8", "surrogatepass")
)


def survives(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        source = FilesExchange([path])
    except EngineError as error:
        assert str(error)
    else:
        assert len(everything(source)) >= 1
        source.history()


@given(st.one_of(TABLES, st.binary(max_size=300), TABLES.map(gzip.compress)))
@FUZZ
def test_any_bytes_are_candles_or_an_engine_error(tmp_path: Path, content: bytes) -> None:
    survives(tmp_path / "X-1m.csv", content)


def outcome(path: Path, content: bytes) -> object:
    path.write_bytes(content)
    try:
        return everything(FilesExchange([path]))
    except EngineError as error:
        return type(error)


@given(TABLES)
@FUZZ
def test_the_quick_and_the_careful_reader_agree(tmp_path: Path, content: bytes) -> None:
    # A blank first line sends the file to the careful reader.
    path = tmp_path / "X-1m.csv"
    assert outcome(path, content) == outcome(path, b"\n" + content)


@given(
    packed=st.booleans(),
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3)), max_size=4),
    cut=st.integers(0, 50),
)
@FUZZ
def test_damaged_files_are_candles_or_an_engine_error(
    tmp_path: Path, packed: bool, edits: list[tuple[int, bytes]], cut: int
) -> None:
    whole = text(rows(30)).encode()
    content = bytearray(gzip.compress(whole) if packed else whole)
    for at, patch in edits:
        at %= len(content)
        content[at : at + len(patch)] = patch
    survives(tmp_path / "X-1m.csv", bytes(content[: len(content) - cut]))


@given(end=st.integers(1, 5000), packed=st.booleans())
@FUZZ
def test_truncated_parquet_is_refused(tmp_path: Path, end: int, packed: bool) -> None:
    whole = parquet(frame(rows(30)))
    cut = whole[: end % len(whole)]
    with pytest.raises(CandleDataError):
        exchange(tmp_path, gzip.compress(cut) if packed else cut, "X-1m.parquet")


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=8).map(str),
    st.integers(-(2**70), 2**70).map(str),
)


@given(st.lists(NUMBERS, min_size=1, max_size=20))
@FUZZ
def test_numbers_are_read_as_python_reads_them(tmp_path: Path, numbers: list[str]) -> None:
    lines = [f"{T0 + i * MINUTE},{cell},1,1,1,1" for i, cell in enumerate(numbers)]
    path = tmp_path / "X.csv"
    quick, careful = "\n".join([HEADER, *lines]), "\n".join(["", HEADER, *lines])
    for content in (quick, careful):
        path.write_text(content)
        read = read_table(path).columns.open
        assert [struct.pack("d", x) for x in read] == [struct.pack("d", float(x)) for x in numbers]
