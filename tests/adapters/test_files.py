"""Files as an exchange: what is read, how it is served, and how bad input is refused."""

from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.exchanges.files import FilesExchange
from engine.domain.bars import Candle
from engine.domain.errors import CandleDataError, NoDataError, SchemaError
from engine.domain.ports import Exchange
from engine.domain.time import MINUTE, from_ms, to_ms
from tests.adapters.candle_files import (
    FUZZ,
    HEADER,
    T0,
    everything,
    exchange,
    frame,
    parquet,
    refusal,
    rows,
    text,
)

REAL = Path(__file__).parents[3] / "shared/data/BTCUSDT-1m-2022-01.csv.gz"


# --- what can be read -------------------------------------------------------------------------


def test_csv_is_read_and_described(tmp_path: Path) -> None:
    source = exchange(tmp_path, text(rows()))
    assert everything(source) == rows()
    assert source.description == "5 rows, timestamps in ms"
    assert isinstance(source, Exchange)
    assert source.history() == (T0, T0 + 5 * MINUTE)


@pytest.mark.parametrize(
    ("unit", "write"),
    [
        ("seconds", lambda ms: ms // 1000),
        ("ms", lambda ms: ms),
        ("us", lambda ms: ms * 1000),
        ("ns", lambda ms: ms * 1_000_000),
        ("seconds", lambda ms: f"{ms // 1000}.0"),
        ("ms", lambda ms: f"{ms / 1e12!r}e12"),
        ("ISO-8601", lambda ms: from_ms(ms).strftime("%Y-%m-%dT%H:%M:%SZ")),
        ("ISO-8601", lambda ms: from_ms(ms).strftime("%Y-%m-%d %H:%M:%S")),
        ("ISO-8601", lambda ms: from_ms(ms).strftime("%Y-%m-%dT%H:%M")),
        ("ISO-8601", lambda ms: from_ms(ms).isoformat()),
        ("ISO-8601", lambda ms: (from_ms(ms) + timedelta(hours=2)).strftime("%FT%T.000+02:00")),
    ],
)
def test_unit_of_time_is_detected(tmp_path: Path, unit: str, write) -> None:
    lines = [f"{write(c.timestamp)},{','.join(map(str, c[1:]))}" for c in rows()]
    source = exchange(tmp_path, "\n".join([HEADER, *lines]))
    assert everything(source) == rows()
    assert source.description == f"5 rows, timestamps in {unit}"


def test_order_and_case_of_columns_are_free_and_others_ignored(tmp_path: Path) -> None:
    lines = [
        f'"x, ""quoted""\nline",{c.volume},{c.close},{c.low},{c.high},{c.open},{c.timestamp}'
        for c in rows()
    ]
    header = "note,VOLUME,Close, low ,HIGH,Open,Timestamp"
    assert everything(exchange(tmp_path, "\n".join([header, *lines]))) == rows()


@pytest.mark.parametrize(
    "content",
    [
        text(rows(), end="\r\n"),
        text(rows(), end="\r"),
        text(rows(), end="\n\n"),
        "\n  \n" + text(rows()),
        "\ufeff" + text(rows()),
        text(rows()).rstrip(),
        text(rows()).replace(",", ";"),
        text(rows()).replace(",", "\t"),
        text(rows()).replace(",", ", "),
        text(rows()).replace("100.0,", '"100.0",'),
    ],
    ids=["crlf", "cr", "blank", "leading", "bom", "no-newline", "semicolon", "tab", "space", "q"],
)
def test_dialects_of_csv(tmp_path: Path, content: str) -> None:
    assert everything(exchange(tmp_path, content)) == rows()


@pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet", "a.parquet.gz", "a.csv"])
def test_content_and_not_the_name_tells_the_format(tmp_path: Path, name: str) -> None:
    plain = text(rows()).encode()
    for content in (plain, gzip.compress(plain), parquet(frame(rows()))):
        assert everything(exchange(tmp_path, content, name)) == rows()
    assert everything(exchange(tmp_path, gzip.compress(parquet(frame(rows()))), name)) == rows()


@pytest.mark.parametrize(
    ("unit", "column"),
    [
        ("ms", pl.col("timestamp")),
        ("ms", pl.col("timestamp").cast(pl.UInt64)),
        ("ms", pl.col("timestamp").cast(pl.Float64)),
        ("seconds", pl.col("timestamp") // 1000),
        ("ms", pl.col("timestamp").cast(pl.String)),
        ("datetime", pl.from_epoch("timestamp", "ms")),
        ("datetime", pl.from_epoch("timestamp", "ms").cast(pl.Datetime("ns"))),
        (
            "datetime",
            pl.from_epoch("timestamp", "ms")
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone("America/New_York"),
        ),
        ("ISO-8601", pl.from_epoch("timestamp", "ms").dt.strftime("%Y-%m-%dT%H:%M:%SZ")),
    ],
)
def test_parquet_types(tmp_path: Path, unit: str, column: pl.Expr) -> None:
    table = frame(rows()).with_columns(
        column.alias("timestamp"),
        pl.col("open").cast(pl.Float32),
        pl.col("close").cast(pl.Decimal(20, 4)),
        pl.col("volume").cast(pl.Int32),
        extra=pl.lit("x"),
    )
    table = table.rename({"open": "Open"})
    source = exchange(tmp_path, parquet(table), "BTCUSDT.parquet")
    assert everything(source) == rows()
    assert source.description == f"5 rows, timestamps in {unit}"


def test_several_files_are_joined_by_time(tmp_path: Path) -> None:
    first, second = tmp_path / "BTCUSDT-1m-2.csv", tmp_path / "BTCUSDT-1m-1.parquet"
    first.write_text(text(rows(10)[5:]))
    second.write_bytes(parquet(frame(rows(5)).with_columns(pl.col("timestamp") // 1000)))
    source = FilesExchange([first, second])
    assert everything(source) == rows(10)
    assert source.description == "10 rows in 2 files, timestamps in ms and seconds, sorted by time"


def test_rows_are_ordered_but_not_repaired(tmp_path: Path) -> None:
    bad = Candle(T0 + 7 * MINUTE, 5.0, 1.0, 9.0, -3.0, -1.0)
    given_rows = [*rows()[::-1], rows()[2], bad]
    source = exchange(tmp_path, text(given_rows))
    assert everything(source) == sorted(given_rows, key=lambda row: row.timestamp)
    assert source.description == "7 rows, timestamps in ms, sorted by time"


@pytest.mark.parametrize(("interval", "minutes"), [("5m", 5), ("1h", 60), ("8h", 480)])
def test_other_intervals(tmp_path: Path, interval: str, minutes: int) -> None:
    source = exchange(tmp_path, text(rows(4, minutes * MINUTE)))
    assert source.intervals() == {interval}
    assert source.description == f"4 rows of {interval}, timestamps in ms"
    assert source.history() == (T0, T0 + 4 * minutes * MINUTE)
    with pytest.raises(NoDataError, match=f"holds {interval} bars, not 1m"):
        source.get_candles("BTCUSDT", "1m", from_ms(T0), 1)


def test_a_single_row_is_a_minute(tmp_path: Path) -> None:
    assert exchange(tmp_path, text(rows(1))).intervals() == {"1m"}


# --- how it is served -------------------------------------------------------------------------


@given(since=st.integers(-90, 400), limit=st.integers(-1, 300), hole=st.integers(1, 200))
@FUZZ
def test_a_request_is_a_slice(tmp_path: Path, since: int, limit: int, hole: int) -> None:
    kept = [row for i, row in enumerate(rows(205)) if not 3 <= i < hole]
    source = exchange(tmp_path, text(kept))
    instant = T0 + since * (MINUTE // 2)
    got = source.get_candles("BTCUSDT", "1m", from_ms(instant), limit)
    assert list(got) == [row for row in kept if row.timestamp >= instant][: max(limit, 0)]


def test_serving_copies_nothing(tmp_path: Path) -> None:
    source = exchange(tmp_path, text(rows(50)))
    one, two = (source.get_candles("BTCUSDT", "1m", from_ms(T0), n) for n in (10, 20))
    assert np.shares_memory(one.close, two.close)
    with pytest.raises(ValueError, match="read-only"):
        one.close[0] = 1.0


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("BTCUSDT-1m-2022-01.csv.gz", "BTCUSDT"),
        ("ETHUSDT_5m.parquet", "ETHUSDT"),
        ("BTC-USDT-1m.csv", "BTC-USDT"),
        ("xrpusdt.csv", "XRPUSDT"),
        ("bars", "BARS"),
    ],
)
def test_symbol_from_the_file_name(tmp_path: Path, name: str, symbol: str) -> None:
    assert exchange(tmp_path, text(rows()), name).symbols() == (symbol,)


def test_symbol_given_wins_and_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "whatever-1m.csv"
    path.write_text(text(rows()))
    source = FilesExchange(str(path), symbol="ETHUSDT")
    assert source.symbols() == ("ETHUSDT",)
    with pytest.raises(NoDataError, match=r"holds ETHUSDT, not BTCUSDT: ask for ETHUSDT"):
        source.get_candles("BTCUSDT", "1m", from_ms(T0), 1)


def test_files_of_different_symbols_or_intervals_do_not_mix(tmp_path: Path) -> None:
    paths = [tmp_path / "BTCUSDT-1m.csv", tmp_path / "ETHUSDT-1m.csv", tmp_path / "BTCUSDT-5m.csv"]
    for path, step in zip(paths, (1, 1, 5), strict=True):
        path.write_text(text(rows(step=step * MINUTE)))
    with pytest.raises(SchemaError, match=r"BTCUSDT \(BTCUSDT-1m.csv\), ETHUSDT"):
        FilesExchange(paths[:2])
    with pytest.raises(CandleDataError, match="different intervals: 1m"):
        FilesExchange([paths[0], paths[2]])
    with pytest.raises(NoDataError, match="no data file"):
        FilesExchange([])


def test_precision_is_that_of_the_file(tmp_path: Path) -> None:
    source = exchange(tmp_path, text(rows()))
    assert source.format_price("BTCUSDT", 42685.3456789) == "42685.35"
    assert source.format_quantity("BTCUSDT", 0.1234567891) == "0.12345679"
    fine = [row._replace(close=0.123456 + i) for i, row in enumerate(rows())]
    assert exchange(tmp_path, text(fine)).format_price("BTCUSDT", 1e-5) == "0.000010"


def test_closing_keeps_nothing_open(tmp_path: Path) -> None:
    asyncio.run(exchange(tmp_path, text(rows())).close())


# --- how bad input is refused -----------------------------------------------------------------


def with_cell(line: int, column: str, value: str, count: int = 40) -> str:
    """A CSV whose ``line`` (1-based, with the header) holds ``value`` in ``column``."""
    lines = [row.split(",") for row in text(rows(count)).splitlines()]
    lines[line - 1][HEADER.split(",").index(column)] = value
    return "\n".join(map(",".join, lines))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("abc", "is not a number"),
        ("1_0", "is not a number"),
        ("0x10", "is not a number"),
        ("None", "is not a number"),
        ("", "is empty"),
        ("nan", "is not finite"),
        ("inf", "is not finite"),
        ("-Infinity", "is not finite"),
        ("1e999", "is not finite"),
    ],
)
@pytest.mark.parametrize("column", HEADER.split(",")[1:])
def test_text_in_place_of_a_price(tmp_path: Path, column: str, value: str, why: str) -> None:
    message = refusal(tmp_path, with_cell(17, column, value))
    assert f"line 17, column {column}: {value!r} {why}" in message


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("soon", "is not a time"),
        ("", "is not a time"),
        ("nan", "is not a time"),
        ("2022-13-01", "is not a time"),
        ("9" * 30, "is not a time"),
        ("-5", "reads as seconds where the file's first row is in ms"),
        (str(T0 // 1000), "reads as seconds where the file's first row is in ms"),
        ("2022-01-01T00:15:00Z", "reads as ISO-8601 where the file's first row is in ms"),
    ],
)
def test_a_time_that_is_none(tmp_path: Path, value: str, why: str) -> None:
    message = refusal(tmp_path, with_cell(17, "timestamp", value))
    assert f"line 17, column timestamp: {value!r} {why}" in message


def test_a_time_before_1970(tmp_path: Path) -> None:
    message = refusal(tmp_path, text(rows(start=-2 * MINUTE)))
    assert "line 2, column timestamp: '-120000' is not a time after 1970" in message


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    content = with_cell(6, "close", "abc").splitlines()
    content[3:3] = ["", ""]
    assert "line 8, column close: 'abc'" in refusal(tmp_path, "\n".join(content))
    content[0] = f"{content[0]},note"
    content[1:] = [line and f'{line},"two\nlines"' for line in content[1:]]
    assert "column close: 'abc'" in refusal(tmp_path, "\n".join(content))


def test_the_first_fault_is_named(tmp_path: Path) -> None:
    lines = with_cell(30, "open", "late").splitlines()
    lines[8] = lines[8].rsplit(",", 1)[0] + ",early"
    assert "line 9, column volume: 'early'" in refusal(tmp_path, "\n".join(lines))


def test_ragged_lines(tmp_path: Path) -> None:
    lines = text(rows(40)).splitlines()
    assert "line 20: 5 fields where the header has 6" in refusal(
        tmp_path, "\n".join([*lines[:19], lines[19].rsplit(",", 1)[0], *lines[20:]])
    )
    assert "line 20: 7 fields where the header has 6" in refusal(
        tmp_path, "\n".join([*lines[:19], lines[19] + ",1", *lines[20:]])
    )


def test_missing_and_doubled_columns(tmp_path: Path) -> None:
    assert "columns low, volume missing" in refusal(
        tmp_path, "timestamp,open,high,close\n1,2,3,4\n"
    )
    assert "column close appears 2 times" in refusal(tmp_path, text(rows(), HEADER + ",Close"))
    headless = text(rows()).partition("\n")[2]
    assert "name the columns timestamp,open" in refusal(tmp_path, headless)


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_empty_file(tmp_path: Path, content: bytes) -> None:
    assert "the file is empty" in refusal(tmp_path, content)


def test_header_alone(tmp_path: Path) -> None:
    for content in (HEADER, HEADER + "\n", HEADER + "\n\n , \n", parquet(frame([]))):
        assert "no rows" in refusal(tmp_path, content)


@pytest.mark.parametrize("cut", [11, 40, -9, -4])
def test_broken_gzip(tmp_path: Path, cut: int) -> None:
    assert "broken gzip" in refusal(tmp_path, gzip.compress(text(rows(99)).encode())[:cut])


def test_a_step_that_is_no_interval(tmp_path: Path) -> None:
    message = refusal(tmp_path, with_cell(5, "timestamp", str(T0 + 150_000)))
    assert "line 5 opens 30 s after line 4" in message
    assert "line 3 opens 420 s after line 2" in refusal(tmp_path, text(rows(5, 7 * MINUTE)))
    assert "line 3 opens 86400 s after line 2" in refusal(tmp_path, text(rows(5, 1440 * MINUTE)))


def test_parquet_faults_name_the_row(tmp_path: Path) -> None:
    table = frame(rows())

    def says(column: pl.Expr | pl.Series) -> str:
        return refusal(tmp_path, parquet(table.with_columns(column)), "a.parquet")

    fourth = pl.int_range(pl.len()) == 3
    hole = pl.when(fourth).then(None)
    assert "row 4, column low: None is empty" in says(hole.otherwise("low").alias("low"))
    assert "row 4, column timestamp: None is empty" in says(
        hole.otherwise("timestamp").alias("timestamp")
    )
    assert "row 4, column low: nan is not finite" in says(
        pl.when(fourth).then(float("nan")).otherwise("low").alias("low")
    )
    assert "row 4, column low: 'x' is not a number" in says(
        pl.when(fourth).then(pl.lit("x")).otherwise(pl.col("low").cast(pl.String)).alias("low")
    )
    assert "column low: True is of type Boolean" in says(pl.lit(value=True).alias("low"))
    assert "is of type List" in says(pl.Series("timestamp", [[1]] * 5))
    assert "column low: None is empty" in says(pl.lit(None).alias("low"))
    assert "column volume missing" in refusal(tmp_path, parquet(table.drop("volume")), "a.parquet")


def test_absent_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(NoDataError, match=r"absent\.csv: no such file: check the path"):
        FilesExchange([tmp_path / "absent.csv"])
    with pytest.raises(NoDataError, match="cannot be read"):
        FilesExchange([tmp_path], symbol="BTCUSDT")
    with pytest.raises(NoDataError, match="cannot be read"):
        FilesExchange(["a\0b.csv"])


# --- real data --------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.exists(), reason="the shared market data is not here")
def test_real_month() -> None:
    source = FilesExchange([REAL])
    assert source.symbols() == ("BTCUSDT",)
    assert source.intervals() == {"1m"}
    assert source.description == "45031 rows, timestamps in ms"
    assert source.history() == (1640991660000, 1643693520000)
    first = source.get_candles("BTCUSDT", "1m", datetime(2022, 1, 2, tzinfo=UTC), 1)
    assert first[0].timestamp == to_ms(datetime(2022, 1, 2, tzinfo=UTC))
