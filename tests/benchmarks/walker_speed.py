"""A walker over eight strategies and a month of minutes: one process against two.

Both ways are measured in turns in the same run, wall seconds of the whole walk, the start of its
processes included; the results have to be the same to the bit. The month is a real one where it is
found, and one of the simulated market elsewhere. No figure is asserted.

Run with ``make bench-walker``, or ``python -m tests.benchmarks.walker_speed --rounds 5``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from engine import Engine, Walker, add_frame, add_walker, open_exchange
from engine.domain.time import from_ms, parse_instant
from engine.runs.workers import WorkerPool


async def measured(folder: Path, rounds: int, workers: int, weight: int) -> None:
    """Walk in turns with one process and with ``workers``; print what each took."""
    # Worker processes import this module again: the tests, and with them pytest, only here.
    from tests.runs.test_walker_workers import EIGHT, REAL, SYMBOL, walk

    file = folder / "eight.py"
    # A strategy that thinks a little longer: it adds its closes up so many times more.
    more = f"    for _ in range({weight}):\n        sum(closes)\n    if len(closes)"
    file.write_text(EIGHT.replace("    if len(closes)", more), encoding="utf-8")
    start, end = parse_instant("2022-01-02"), parse_instant("2022-01-31")
    taken: dict[int, list[float]] = {1: [], workers: []}
    found: list[object] = []
    async with Engine() as engine:
        assert not engine.load_file(file).error
        if REAL.exists():
            open_exchange("month", "files", paths=[str(REAL)], symbol=SYMBOL)
        else:
            open_exchange("month", "simulated", seed=1)
        add_frame(frame_name="f", interval="1m", start_date=from_ms(start), end_date=from_ms(end))
        names = tuple(f"cross-{number}" for number in range(8))
        add_walker(
            walker_name="w", exchange_name="month", frame_name="f", strategies=names,
            metric="sharpe_ratio",
        )  # fmt: skip
        for _ in range(rounds):
            for count, seconds in taken.items():
                began = time.perf_counter()
                async for _ in Walker.run(SYMBOL, walker_name="w", workers=count):
                    pass
                seconds.append(time.perf_counter() - began)
        for count in taken:
            _, data, _ = await walk(workers=count)
            found.append(data)
    assert found[0] == found[1], "the results differ"
    alone, together = (median(seconds) for seconds in taken.values())
    print(f"bars {'of a real month' if REAL.exists() else 'of the simulated market'}; "
          f"{os.cpu_count()} processors, {rounds} rounds, medians; weight {weight}")  # fmt: skip
    print(f"one process   {alone:6.2f} s   {' '.join(f'{s:.2f}' for s in taken[1])}")
    print(f"{workers} processes   {together:6.2f} s   "
          f"{' '.join(f'{s:.2f}' for s in taken[workers])}")  # fmt: skip
    print(f"ratio         {alone / together:6.2f}     same results")


def main() -> None:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    WorkerPool.start_forkserver()
    for weight in (0, 40):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measured(Path(folder), options.rounds, options.workers, weight))


if __name__ == "__main__":
    main()
