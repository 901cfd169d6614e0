from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.adapters.cache.candle_cache import CandleCache, DamagedCandlesError, Stored
from engine.adapters.cache.files import CacheError, locked
from engine.adapters.cache.sidecar import FORMAT, CandleKey
from engine.adapters.cache.stretches import Part
from engine.domain.bars import Candles, Columns
from engine.domain.errors import CandleDataError, SchemaError
from engine.domain.time import MINUTE
from tests.cache.cache_bed import KEY, T0, bars, bars_at, part, stretch


@pytest.fixture
def cache(tmp_path: Path) -> CandleCache:
    return CandleCache(tmp_path / "candles")


def stored(cache: CandleCache, key: CandleKey = KEY) -> Stored:
    found = cache.load(key)
    assert found is not None
    return found


def files(cache: CandleCache) -> list[str]:
    return sorted(path.name for path in cache.path(KEY).parent.iterdir())


def bar_file(cache: CandleCache) -> Path:
    return cache.path(KEY).with_name(stored(cache).sidecar.data)


# -- what is kept --------------------------------------------------------------------------------


def test_bars_come_back_to_the_bit_with_what_they_cover(cache: CandleCache) -> None:
    assert cache.load(KEY) is None and cache.signature(KEY) is None
    cache.merge(KEY, [part(0, 100, missing=[7, 8])])
    found = stored(cache)
    assert found.candles == Candles(bars(0, 100, missing=[7, 8]))
    assert found.part.covered == stretch(0, 100) and found.holes == 2
    sidecar = found.sidecar
    assert (sidecar.first, sidecar.last, sidecar.rows) == (T0, T0 + 99 * MINUTE, 98)
    assert cache.path(KEY) == cache.root / "binance" / "BTC%2FUSDT" / "1m.json"
    assert files(cache) == [sidecar.data, "1m.json", "1m.lock"]


def test_the_file_of_bars_is_columns_that_numpy_maps(cache: CandleCache) -> None:
    cache.merge(KEY, [part(0, 1000)])
    found, path = stored(cache), bar_file(cache)
    record = np.load(path, mmap_mode="r", allow_pickle=False)
    assert path.stat().st_size < 1000 * 48 + 1000
    for name, column in found.part.columns._asdict().items():
        assert column.dtype == (np.int64 if name == "timestamp" else np.float64)
        assert column.flags.c_contiguous and column.flags.aligned and not column.flags.writeable
        assert np.array_equal(record[name], column)


def test_a_map_outlives_its_file(cache: CandleCache) -> None:
    cache.merge(KEY, [part(0, 500)])
    old = stored(cache)
    cache.merge(KEY, [part(500, 500)])
    shutil.rmtree(cache.root)
    assert old.candles == Candles(bars(0, 500))


def test_parts_grow_in_any_order_and_leave_one_pair(cache: CandleCache) -> None:
    cache.merge(KEY, [part(50, 10), part(0, 10)])
    before = cache.signature(KEY)
    assert stored(cache).part.covered == (*stretch(0, 10), *stretch(50, 10))
    cache.merge(KEY, [part(5, 50, missing=[20])])
    assert stored(cache).candles == Candles(bars(0, 60, missing=[20]))
    assert stored(cache).part.covered == stretch(0, 60)
    assert cache.signature(KEY) not in (None, before)
    assert len(files(cache)) == 3


def test_what_is_known_already_is_not_written_again(cache: CandleCache) -> None:
    cache.merge(KEY, [part(0, 100)])
    before = cache.signature(KEY)
    cache.merge(KEY, [part(20, 30), part(0, 100)])
    assert cache.signature(KEY) == before


def test_a_hole_that_becomes_known_changes_the_sidecar_alone(cache: CandleCache) -> None:
    cache.merge(KEY, [part(0, 10)])
    data = stored(cache).sidecar.data
    cache.merge(KEY, [Part(bars(0, 0), stretch(10, 5))])
    assert stored(cache).holes == 5 and stored(cache).sidecar.data == data


def test_covered_time_without_any_bar_is_nothing_to_store(cache: CandleCache) -> None:
    assert cache.merge(KEY, [Part(bars(0, 0), stretch(0, 10))]) is None
    assert cache.load(KEY) is None and cache.entries() == ()


def test_keys_do_not_mix(cache: CandleCache) -> None:
    keys = [
        KEY,
        KEY._replace(symbol="BTCUSDT"),
        KEY._replace(symbol="btc/usdt"),
        KEY._replace(exchange_name="Binance"),
        KEY._replace(interval="5m"),
    ]
    for count, key in enumerate(keys, start=1):
        stamps = [T0 + n * key.step for n in range(count)]
        cache.merge(key, [Part(bars_at(stamps), ((T0, T0 + count * key.step),))])
    assert [stored(cache, key).sidecar.rows for key in keys] == [1, 2, 3, 4, 5]
    assert {item.sidecar.key for item in cache.entries() if item.sidecar} == set(keys)
    assert not any(cache.verify(item).problem for item in cache.entries())


# -- what is refused -----------------------------------------------------------------------------


def test_overlaps_that_differ_are_refused_by_row_and_change_nothing(cache: CandleCache) -> None:
    cache.merge(KEY, [part(0, 100)])
    before = cache.signature(KEY)
    new = bars_at(bars(90, 20).timestamp, salt=1)
    with pytest.raises(CandleDataError, match=r"'binance', BTC/USDT 1m: row 0 at 2024-01-01 01:30"):
        cache.merge(KEY, [Part(new, stretch(90, 20))])
    with pytest.raises(CandleDataError, match=r"delete .*1m\.json"):
        cache.merge(KEY, [part(200, 5), part(50, 5, missing=[52])])
    assert cache.signature(KEY) == before and len(stored(cache).candles) == 100


def test_rows_that_are_no_candles_are_refused_before_anything_exists(cache: CandleCache) -> None:
    with pytest.raises(CandleDataError, match=r"row 1 .* off the interval's grid"):
        cache.merge(KEY, [Part(bars_at([T0, T0 + 30_000]), stretch(0, 5))])
    assert not cache.root.exists()


def test_unknown_intervals_and_impossible_names_are_refused(cache: CandleCache) -> None:
    with pytest.raises(SchemaError, match="interval '7m' is unknown"):
        cache.load(KEY._replace(interval="7m"))
    with pytest.raises(SchemaError, match="cannot name a folder"):
        cache.merge(KEY._replace(symbol=""), [part(0, 1)])


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here first")
    cache = CandleCache(tmp_path / "file" / "candles")
    with pytest.raises(CacheError, match=r"binance.*Not a directory.*SIGNALDECK_CACHE"):
        cache.merge(KEY, [part(0, 10)])


def test_a_full_disk_leaves_what_was_there(
    cache: CandleCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.merge(KEY, [part(0, 100)])
    before = files(cache)
    write = os.write

    def full(descriptor: int, data: memoryview) -> int:
        write(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(CacheError, match=r"No space left on device.*make room"):
        cache.merge(KEY, [part(100, 100)])
    monkeypatch.undo()
    assert files(cache) == before and len(stored(cache).candles) == 100


def test_a_writer_that_does_not_end_is_named(tmp_path: Path) -> None:
    path = tmp_path / "1m.lock"
    with (
        locked(path),
        pytest.raises(CacheError, match=rf"1m\.lock: process {os.getpid()} has been"),
        locked(path, patience=0.0),
    ):
        pass
    with locked(path, patience=0.0):
        assert path.read_text() == f"{os.getpid()}\n"


# -- damage --------------------------------------------------------------------------------------


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def harm_bars(path: Path, sidecar: Path) -> None:
    flip(path, -1)


def harm_header(path: Path, sidecar: Path) -> None:
    flip(path, 20)


def cut_bars(path: Path, sidecar: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def lose_bars(path: Path, sidecar: Path) -> None:
    path.unlink()


def empty_sidecar(path: Path, sidecar: Path) -> None:
    sidecar.write_bytes(b"")


def harm_covered(path: Path, sidecar: Path) -> None:
    edge = str(T0 + 100 * MINUTE)
    content = sidecar.read_text()
    assert edge in content
    sidecar.write_text(content.replace(edge, str(T0 + 200 * MINUTE)))


def no_object(path: Path, sidecar: Path) -> None:
    sidecar.write_text("[]")


def older_format(path: Path, sidecar: Path) -> None:
    body = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**body, "format": 0}))


HARM = {
    harm_bars: "SHA-256",
    harm_header: "SHA-256",
    cut_bars: "bytes instead of",
    lose_bars: "the file is missing",
    empty_sidecar: "not valid JSON",
    harm_covered: "checksum",
    no_object: "not a JSON object",
    older_format: "format is 0",
}


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_damage_is_seen_named_set_aside_and_overcome(cache: CandleCache, harm: object) -> None:
    cache.merge(KEY, [part(0, 100)])
    path = bar_file(cache)
    harm(path, cache.path(KEY))  # type: ignore[operator]
    (item,) = (cache.verify(item) for item in cache.entries())
    assert HARM[harm] in item.problem and item.path == cache.path(KEY)  # type: ignore[index]
    with pytest.raises(DamagedCandlesError) as caught:
        cache.load(KEY)
    message = str(caught.value)
    assert str(cache.path(KEY)) in message and HARM[harm] in message  # type: ignore[index]
    assert "download or import them again" in message
    assert "1m.json.damaged-1" in files(cache) and "1m.json" not in files(cache)
    assert cache.load(KEY) is None and cache.entries() == ()
    cache.merge(KEY, [part(0, 100)])
    assert stored(cache).candles == Candles(bars(0, 100))
    assert "1m.json.damaged-1" in files(cache)


def test_a_second_damage_keeps_the_first_for_inspection(cache: CandleCache) -> None:
    for number in (1, 2):
        cache.merge(KEY, [part(0, 100)])
        path = bar_file(cache)
        flip(path, -1)
        with pytest.raises(DamagedCandlesError, match=rf"damaged-{number}"):
            cache.merge(KEY, [part(100, 1)])
        assert {f"1m.json.damaged-{number}", f"{path.name}.damaged-{number}"} <= {*files(cache)}
    assert "1m.json.damaged-1" in files(cache)


def test_a_pair_in_the_wrong_folder_is_not_believed(cache: CandleCache) -> None:
    other = KEY._replace(symbol="ETH/USDT")
    cache.merge(KEY, [part(0, 100)])
    shutil.copytree(cache.path(KEY).parent, cache.path(other).parent)
    with pytest.raises(DamagedCandlesError, match="belongs to exchange 'binance', BTC/USDT 1m"):
        cache.load(other)
    assert len(stored(cache).candles) == 100


def test_files_of_a_later_version_are_left_alone(cache: CandleCache) -> None:
    cache.merge(KEY, [part(0, 100)])
    path = cache.path(KEY)
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', '"format": 99'))
    pair = [name for name in files(cache) if name != "1m.lock"]
    before = {name: path.with_name(name).read_bytes() for name in pair}
    for attempt in (lambda: cache.load(KEY), lambda: cache.merge(KEY, [part(0, 200)])):
        with pytest.raises(CacheError, match=r"by a later version of signaldeck.*format 99"):
            attempt()
    assert before == {name: path.with_name(name).read_bytes() for name in before}
    assert "later version" in cache.entries()[0].problem


def test_foreign_files_are_no_entries(cache: CandleCache) -> None:
    cache.merge(KEY, [part(0, 10)])
    for name in ("binance/BTC%2FUSDT/notes.json", "binance/btc/1m.json", "x/y/1m.txt"):
        path = cache.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    assert [item.path for item in cache.entries()] == [cache.path(KEY)]


def test_leftovers_of_killed_writers_are_swept(cache: CandleCache) -> None:
    cache.merge(KEY, [part(0, 10)])
    folder = cache.path(KEY).parent
    five = KEY._replace(interval="5m")
    cache.merge(five, [Part(bars_at([T0]), ((T0, T0 + 5 * MINUTE),))])
    for name in ("1m-0123456789abcdef.npy", "1m-0123.npy.tmp", "1m.json.tmp"):
        (folder / name).write_bytes(b"half")
    cache.merge(KEY, [part(10, 10)])
    names = set(files(cache))
    assert names == {
        "1m.json", "1m.lock", stored(cache).sidecar.data,
        "5m.json", "5m.lock", stored(cache, five).sidecar.data,
    }  # fmt: skip


def test_columns_are_named_as_candles_are() -> None:
    assert Columns._fields == ("timestamp", "open", "high", "low", "close", "volume")
