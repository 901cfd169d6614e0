"""The cache under real processes: killed at every call, killed at random, and side by side."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from engine.adapters.cache.candle_cache import CandleCache
from engine.domain.bars import Candles
from tests.cache.cache_bed import KEY, bars, bars_at, part, stretch
from tests.cache.writing import PAGE

ROOT = Path(__file__).parents[2]
KILLS = 5


def child(command: str, cache: CandleCache, *numbers: int) -> subprocess.Popen[str]:
    arguments = [command, str(cache.root), *map(str, numbers)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.cache.writing", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_writer_killed_at_any_call_leaves_the_old_or_the_new_pair(tmp_path: Path) -> None:
    old, new = Candles(bars(0, 100)), Candles(bars(0, 200))
    process = child("die_at_each", CandleCache(tmp_path))
    output, _ = process.communicate(timeout=120)
    done, calls, points, code = map(int, output.replace("done", "0").split())
    assert (done, code, points) == (0, 0, calls + 1), "all but the last were killed"
    outcomes: list[bool] = []
    for point in range(1, points + 1):
        cache = CandleCache(tmp_path / str(point))
        found = cache.load(KEY)
        assert found is not None and not list(cache.path(KEY).parent.glob("*damaged*"))
        assert found.candles in (old, new)
        assert found.part.covered == stretch(0, len(found.candles))
        outcomes.append(found.candles == new)
        # Whatever it left, the next writer goes on from there and tidies up.
        merged = cache.merge(KEY, [part(100, 100)])
        assert merged is not None and merged.candles == new
        cache.merge(KEY, [part(200, 1)])
        assert len(list(cache.path(KEY).parent.iterdir())) == 3
    committed = outcomes.index(True)
    assert outcomes == [False] * committed + [True] * (len(outcomes) - committed)
    # Both files are written and synced before; syncing the name and deleting comes after.
    assert committed > 10 and len(outcomes) - committed >= 3
    print(f"killed at {len(outcomes) - 1} calls: {committed} before the commit, the rest after")


def test_writers_killed_at_random_lose_nothing_they_have_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(5)
    cache = CandleCache(tmp_path)
    pages = 0
    for _ in range(KILLS):
        process = child("append", cache, pages, 10_000, 1)
        assert process.stdout is not None
        acknowledged = 0
        for _ in range(chance.randrange(1, 12)):
            acknowledged = int(process.stdout.readline())
        process.kill()
        # Some lines may have been on their way when it died.
        rest = process.stdout.read().splitlines()
        process.wait()
        acknowledged = max([acknowledged, *(int(line) for line in rest if line)])
        found = cache.load(KEY)
        assert found is not None
        written = len(found.candles) // PAGE
        assert pages + acknowledged <= written <= pages + acknowledged + 1
        assert found.candles == Candles(bars(0, written * PAGE))
        pages = written
    print(f"{KILLS} kills, {pages} pages, none lost")


def test_writers_and_readers_side_by_side(tmp_path: Path) -> None:
    cache = CandleCache(tmp_path)
    writers, pages = 3, 20
    total = writers * pages * PAGE
    readers = [child("read", cache, total) for _ in range(2)]
    writing = [child("append", cache, first, pages, writers) for first in range(writers)]
    for process in writing:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0 and output.split()[-1] == str(pages)
    for process in readers:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0 and int(output) > 0
    found = cache.load(KEY)
    assert found is not None and found.candles == Candles(bars(0, total))
    assert found.part.covered == stretch(0, total)


def test_a_reader_keeps_the_bars_it_has_while_they_are_replaced(tmp_path: Path) -> None:
    cache = CandleCache(tmp_path)
    cache.merge(KEY, [part(0, PAGE)])
    held = cache.load(KEY)
    process = child("append", cache, 1, 5, 1)
    process.communicate(timeout=60)
    assert held is not None and held.candles == Candles(bars_at(held.candles.timestamp))
    assert len(held.candles) == PAGE
    newest = cache.load(KEY)
    assert newest is not None and len(newest.candles) == 6 * PAGE
