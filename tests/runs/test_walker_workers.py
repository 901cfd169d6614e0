"""Walkers over worker processes: the same results, the bars asked for once, failures kept apart."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from types import ModuleType
from typing import Any

import pytest

from engine import (
    Engine,
    EngineError,
    NotRegisteredError,
    Walker,
    WalkerStatistics,
    add_frame,
    add_strategy,
    add_walker,
    listen_backtest_progress,
    listen_done_walker,
    listen_walker_complete,
    listen_walker_progress,
    open_exchange,
)
from engine.domain.time import from_ms, parse_instant
from engine.runs.workers import WorkerPool
from tests.runs.bed import MINUTE, RELAXED, SYMBOL, T0

FILE = """
import os, signal, threading
from pathlib import Path
from engine import Signal, add_exchange, add_risk, add_strategy, get_candles

START, MINUTE, LOG = {start}, 60_000, Path({log!r})
runs = []

def rows(symbol, interval, since, limit):
    with LOG.open("a") as log:
        log.write(f"{{interval}} {{since:%d-%H:%M}} {{limit}}\\n")
    step = MINUTE if interval == "1m" else 5 * MINUTE
    first = max(int(since.timestamp() * 1000), START - 2000 * MINUTE)
    stamps = range(first, min(first + limit * step, START + 3000 * MINUTE), step)
    return [[at, p, p + 2, p - 2, p, 1.0] for at in stamps for p in [100 + at // MINUTE % 11]]

async def later(symbol, interval, since, limit):
    return rows(symbol, interval, since, limit)

add_exchange(exchange_name="plain", get_candles=rows, intervals=["1m", "5m"])
add_exchange(exchange_name="async", get_candles=later, intervals=["1m", "5m"])

def one(check):
    if check.active_position_count:
        raise ValueError("taken")

add_risk(risk_name="one", validations=[one])

@add_strategy(strategy_name="swept", interval="5m", risk_name="one", params={{"hold": 1}})
async def swept(symbol, when, hold):
    runs.append(when)
    await get_candles(symbol, "5m", 3)
    await get_candles(symbol, "1m", 1500)
    return Signal("long", 130, 60, hold, note=f"question {{len(runs)}}")

@add_strategy(strategy_name="plain", interval="1m")
def plain(symbol, when):
    return Signal("short", 80, 140, 7) if when.minute % 3 else None

def at_ten(name, do):
    @add_strategy(strategy_name=name, interval="1m")
    def get_signal(symbol, when):
        if (when.hour, when.minute) == (0, 10):
            do()

at_ten("silent", lambda: threading.Event().wait())
at_ten("dies", lambda: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.fixture(scope="module", autouse=True)
def forkserver() -> None:
    WorkerPool.start_forkserver()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the walks of a test keep their bars; it is empty again in the end."""
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    yield tmp_path
    assert list(shared.iterdir()) == []


@asynccontextmanager
async def loaded(folder: Path, **config: Any) -> AsyncIterator[Engine]:
    file, log = folder / "mine.py", folder / "log"
    file.write_text(FILE.format(start=T0, log=str(log)), encoding="utf-8")
    log.write_text("")
    async with asyncio.timeout(60), Engine() as engine:
        engine.configure({**RELAXED, **config}, unsafe=True)
        loaded = engine.load_file(file)
        assert not loaded.error, loaded.error
        end = T0 + 1500 * MINUTE
        add_frame(frame_name="f", interval="1m", start_date=from_ms(T0), end_date=from_ms(end))
        yield engine


def walker(*names: str, **fields: Any) -> None:
    add_walker(
        **{"walker_name": "w", "exchange_name": "plain", "frame_name": "f", "strategies": names,
           "metric": "total_pnl", **fields}
    )  # fmt: skip


async def walk(workers: int) -> tuple[list[Any], WalkerStatistics, str]:
    events = [event async for event in Walker.run(SYMBOL, walker_name="w", workers=workers)]
    data = await Walker.get_data(SYMBOL, "w")
    strategies = tuple(
        replace(item, outcome=replace(item.outcome, elapsed_seconds=0.0) if item.outcome else None)
        for item in data.strategies
    )
    return events, replace(data, strategies=strategies), await Walker.get_report(SYMBOL, "w")


@pytest.mark.parametrize("exchange", ["plain", "async"])
async def test_parallel_results_are_the_sequential_ones_and_bars_are_asked_for_once(
    folder: Path, exchange: str
) -> None:
    async with loaded(folder) as engine:
        walker("swept", "plain", grid={"hold": [5, 3, 30, 4]}, exchange_name=exchange)
        complete: list[Any] = []
        progress: list[Any] = []
        running: list[Any] = []
        done: list[Any] = []
        listen_walker_complete(complete.append)
        listen_walker_progress(progress.append)
        listen_backtest_progress(running.append)
        listen_done_walker(done.append)
        events, data, report = await walk(workers=2)
        asked = (folder / "log").read_text().splitlines()
        await engine.bus.flush()
        assert len(asked) == len(set(asked)), "no process asks what another has asked"
        assert {line.split()[0] for line in asked} == {"1m", "5m"}
        assert [p.progress for p in progress] == [0.2, 0.4, 0.6, 0.8, 1.0]
        assert {e.strategy_name for e in running} <= {s.strategy_name for s in data.strategies}
        assert (len(done), len(complete)) == (1, 1)
        assert engine.instances()[0].status == "done"
        here_events, here, here_report = await walk(workers=1)
        assert complete[0].best_strategy == here.best_strategy == "swept(hold=30)"
    assert sorted(e.strategy_name for e in events) == sorted(e.strategy_name for e in here_events)
    by_name = {e.strategy_name: (e.stats, e.metric_value) for e in here_events}
    assert all(by_name[e.strategy_name] == (e.stats, e.metric_value) for e in events)
    # What a module remembers goes from one strategy to the next here, in workers it does not.
    first = data.strategies[0].outcome
    assert first is not None and first.trades[0].signal.note == "question 1"
    assert unsaid(data) == unsaid(here)
    assert report == here_report
    assert first.strategy_hash and first.strategy_file == str(folder / "mine.py")


def unsaid(data: WalkerStatistics) -> list[Any]:
    """A walk without the notes of its signals."""
    found: list[Any] = []
    for item in data.strategies:
        assert item.outcome is not None
        trades = [replace(t, signal=replace(t.signal, note="")) for t in item.outcome.trades]
        found.append((item.candidate, item.metric_value, replace(item.outcome, trades=()), trades))
    return found


async def test_a_built_in_exchange_is_asked_here_and_not_opened_by_workers(folder: Path) -> None:
    async with loaded(folder):
        open_exchange("market", "simulated", seed=3)
        walker("swept", "plain", exchange_name="market", grid={"hold": [5, 60]})
        _, data, report = await walk(workers=2)
        _, here, here_report = await walk(workers=1)
    assert unsaid(data) == unsaid(here) and report == here_report
    assert data.strategies_tested == 3 and data.best_strategy is not None


async def test_a_strategy_that_is_silent_or_dies_fails_alone(folder: Path) -> None:
    async with loaded(folder, max_signal_generation_seconds=1):
        walker("silent", "dies", "plain", "swept")
        errors: list[tuple[str, str]] = []
        _, data, _ = await walk(workers=2)
        errors = [(s.strategy_name, s.error) for s in data.strategies if s.status == "failed"]
    assert data.strategies_tested == 2 and data.best_strategy is not None
    assert [name for name, _ in errors] == ["silent", "dies"]
    at = "for the bar at 2024-01-01 00:10 UTC"
    assert f"'silent' on {SYMBOL} did not answer within 1 s {at}" in errors[0][1]
    assert f"died (SIGKILL), strategy 'dies' on {SYMBOL}, {at}" in errors[1][1]


async def test_parameters_that_no_other_process_knows_are_said_to_be_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class of a strategy file is one: its module has another name in every process."""
    elsewhere = ModuleType("elsewhere")
    elsewhere.Odd = type("Odd", (), {"__module__": "elsewhere"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "elsewhere", elsewhere)
    async with loaded(folder):
        walker("swept", grid={"hold": [lambda: 1, elsewhere.Odd(), 3]})
        _, data, _ = await walk(workers=2)
    assert data.strategies[0].status == "done"
    first, second = (item.error for item in data.strategies[1:])
    assert "cannot be handed to a worker process" in first and "pickle" in first
    assert "cannot be taken over by a worker process" in second and "'elsewhere'" in second
    assert all("use parameters that can be pickled" in text for text in (first, second))


async def test_symbols_walked_at_the_same_time_share_the_processes(folder: Path) -> None:
    async with loaded(folder) as engine:
        walker("plain", "swept", symbols=["ONE", "TWO", "THREE"])
        finished: list[Any] = []
        listen_walker_complete(finished.append)
        Walker.background(walker_name="w", workers=2)
        instances = [engine.group_runs.find_walker(s, "w") for s in ("ONE", "TWO", "THREE")]
        await asyncio.gather(*(instance.wait() for instance in instances))
        runners = [instance.execution._runner for instance in instances]  # type: ignore[union-attr]
        assert len({id(runner._pool) for runner in runners}) == 1
        await engine.bus.flush()
        assert {event.symbol for event in finished} == {"ONE", "TWO", "THREE"}
        again = [event async for event in Walker.run("ONE", walker_name="w", workers=2)]
        assert len(again) == 2, "a new start gets processes of its own"


async def test_stop_and_skip_reach_workers(folder: Path) -> None:
    async with loaded(folder) as engine:
        walker("silent", "plain", "swept", grid={"hold": [3, 4]})
        skipped = asyncio.Event()

        async def ended(progress: Any) -> None:
            if progress.current_strategy == "plain":
                await Walker.skip(SYMBOL, "w", "swept(hold=4)")
                await Walker.stop(SYMBOL, "w")
                skipped.set()

        listen_walker_progress(ended)
        Walker.background(SYMBOL, walker_name="w", workers=2)
        instance = engine.group_runs.find_walker(SYMBOL, "w")
        await skipped.wait()
        assert instance.status == "stopping"
        await instance.cancel()  # what is silent does not hear of a stop
        execution: Any = instance.execution
        statuses = {s.strategy_name: s.status for s in execution.statistics().strategies}
    assert statuses["plain"] == "done" and statuses["swept(hold=4)"] == "skipped"
    assert statuses["silent"] == "stopped", "it was killed where it was"


async def test_what_workers_cannot_find_is_said_at_once(folder: Path) -> None:
    async with loaded(folder) as engine:
        add_strategy(strategy_name="in code", interval="1m", get_signal=lambda s, w: None)
        engine.exchanges.add(
            engine.exchanges.get("plain", "test").model_copy(update={"exchange_name": "copy"})
        )
        walker("plain", "in code")
        walker("plain", walker_name="elsewhere", exchange_name="copy")
        for start in (Walker.run, Walker.background):
            with pytest.raises(NotRegisteredError, match="strategy 'in code' was registered in"):
                start(SYMBOL, walker_name="w", workers=2)
            with pytest.raises(NotRegisteredError, match="exchange 'copy' was registered in code"):
                start(SYMBOL, walker_name="elsewhere", workers=0)
            with pytest.raises(EngineError, match="workers is -1"):
                start(SYMBOL, walker_name="w", workers=-1)
        events = [event async for event in Walker.run(SYMBOL, walker_name="w")]
        assert len(events) == 2


EIGHT = """
from engine import Signal, add_strategy, get_candles

async def cross(symbol, when, fast, slow):
    closes = (await get_candles(symbol, "1m", slow + 1)).close.tolist()
    if len(closes) <= slow:
        return None
    above = sum(closes[-fast:]) / fast > sum(closes[-slow:]) / slow
    was = sum(closes[-fast - 1:-1]) / fast > sum(closes[-slow - 1:-1]) / slow
    price = closes[-1]
    return Signal("long", price * 1.012, price * 0.99, 240) if above and not was else None

PAIRS = [(5, 20), (10, 30), (20, 50), (20, 100), (30, 60), (40, 120), (10, 60), (15, 45)]
for number, (fast, slow) in enumerate(PAIRS):
    add_strategy(strategy_name=f"cross-{number}", interval="1m", get_signal=cross,
                 params={"fast": fast, "slow": slow})
"""

REAL = Path(__file__).parents[3] / "shared" / "data" / "BTCUSDT-1m-2022-01.csv.gz"


@pytest.mark.skipif(not REAL.exists(), reason="the shared market data is not here")
async def test_eight_strategies_over_a_real_month_are_ranked_as_by_hand(folder: Path) -> None:
    file = folder / "eight.py"
    file.write_text(EIGHT, encoding="utf-8")
    start, end = (parse_instant(f"2022-01-{day}") for day in ("02", "31"))
    async with asyncio.timeout(120), Engine() as engine:
        assert not engine.load_file(file).error
        open_exchange("month", "files", paths=[str(REAL)], symbol=SYMBOL)
        add_frame(frame_name="f", interval="1m", start_date=from_ms(start), end_date=from_ms(end))
        names = [f"cross-{number}" for number in range(8)]
        walker(*names, exchange_name="month", metric="sharpe_ratio")
        _, data, report = await walk(workers=2)
        _, here, here_report = await walk(workers=1)
    assert data == here and report == here_report
    gains = {
        item.strategy_name: [trade.pnl.pnl_percentage for trade in item.outcome.trades]
        for item in data.strategies
        if item.outcome is not None
    }
    by_hand = {name: mean(values) / stdev(values) for name, values in gains.items()}
    assert min(len(values) for values in gains.values()) > 50
    assert [item.strategy_name for item in data.strategies] == sorted(
        names, key=lambda name: -by_hand[name]
    )
    for item in data.strategies:
        assert item.metric_value == pytest.approx(by_hand[item.strategy_name], rel=1e-9)
