"""What child processes run that write a cache and are killed, or read it meanwhile.

``python -m tests.cache.writing COMMAND ROOT ...``; every finished step is a line on stdout.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.adapters.cache.candle_cache import CandleCache
from engine.domain.bars import Candles
from tests.cache.cache_bed import KEY, bars_at, part

PAGE = 200


def die_at(cache: CandleCache, point: int) -> None:
    """Merge minutes 100 to 199, and be killed at the ``point``-th call that touches the disk."""
    calls = 0

    def dying(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == point:
                if name == "write":  # in the middle of it
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return wrapped

    for name in ("write", "fsync", "replace", "unlink", "pwrite", "ftruncate"):
        setattr(os, name, dying(getattr(os, name), name))
    cache.merge(KEY, [part(100, 100)])
    print("done", calls, flush=True)


def die_at_each(cache: CandleCache) -> None:
    """Fork for each point a child that dies there, in a cache of its own, until one survives."""
    code, point = -signal.SIGKILL, 0
    while code == -signal.SIGKILL:
        point += 1
        own = CandleCache(cache.root / str(point))
        own.merge(KEY, [part(0, 100)])
        child = os.fork()
        if not child:
            die_at(own, point)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(point, code, flush=True)


def append(cache: CandleCache, first: int, pages: int, every: int) -> None:
    """Merge pages one by one, each ``every`` pages after the one before."""
    for number in range(pages):
        cache.merge(KEY, [part((first + number * every) * PAGE, PAGE)])
        print(number + 1, flush=True)


def read(cache: CandleCache, rows: int) -> None:
    """Load until ``rows`` rows are there; every load must be whole."""
    loads, found = 0, 0
    while found < rows:
        stored = cache.load(KEY)
        loads += 1
        if stored is None:
            continue
        candles = stored.candles
        assert candles == Candles(bars_at(candles.timestamp)), "a row is not what was written"
        assert len(candles) % PAGE == 0 and stored.holes == 0, "half of a write"
        assert len(candles) >= found, "bars were lost"
        found = len(candles)
    print(loads, flush=True)


def main(command: str, root: str, *numbers: str) -> None:
    """Run a command on the cache under ``root``."""
    commands: dict[str, Callable[..., None]] = {
        "die_at_each": die_at_each, "append": append, "read": read,
    }  # fmt: skip
    commands[command](CandleCache(Path(root)), *map(int, numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
