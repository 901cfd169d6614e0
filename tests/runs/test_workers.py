"""Worker processes, real ones: progress, stops, deaths, silence."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import (
    EngineError,
    NotRegisteredError,
    StrategyFileError,
    StrategyTimeoutError,
    WorkerError,
)
from engine.domain.settings import Settings
from engine.jobs import ENTRY, BacktestJob
from engine.runs.workers import WorkerPool, WorkerProgress, WorkerRun
from engine.runtime import ExchangeSpec
from tests.runs.bed import MINUTE, T0

ROOT = Path(__file__).parents[2]
PATIENCE = 60


@pytest.fixture(scope="module", autouse=True)
def forkserver() -> None:
    WorkerPool.start_forkserver()


@asynccontextmanager
async def pool(entry: str, most: int = 2) -> AsyncIterator[WorkerPool]:
    entry = entry if ":" in entry else f"tests.runs.worker_entries:{entry}"
    made = WorkerPool(entry, most)
    try:
        async with asyncio.timeout(PATIENCE):
            yield made
    finally:
        await made.close()


def ignore(_: WorkerProgress) -> None:
    return None


async def started(run_of: Any) -> tuple[WorkerRun, int]:
    """A run whose process reports; the process id it reports as its instant."""
    first: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def note(progress: WorkerProgress) -> None:
        if not first.done():
            first.set_result(progress.when)

    run = run_of(note)
    return run, await first


def ended(pid: int) -> bool:
    """Wait for the end of a process that is not our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], PATIENCE)[0])
    finally:
        os.close(descriptor)


async def test_a_worker_is_a_process_of_its_own_polite_and_deaf_to_ctrl_c() -> None:
    async with pool("answers") as made:
        outcome: Any = await made.submit({"any": ["thing"]}, ignore).result()
    assert outcome["job"] == {"any": ["thing"]}
    assert outcome["pid"] != os.getpid()
    assert outcome["nice"] >= os.nice(0) or outcome["nice"] == 19
    assert outcome["nice"] > 0
    assert outcome["sigint"]


async def test_progress_arrives_on_the_loop() -> None:
    threads, seen = set(), []

    def note(progress: WorkerProgress) -> None:
        threads.add(threading.get_ident())
        seen.append(progress.fraction)

    async with pool("reports_twice") as made:
        assert await made.submit(None, note).result() == "reported"  # type: ignore[comparison-overlap]
    assert threads == {threading.get_ident()}
    assert seen[:2] == [0.01, 0.02]
    assert seen == sorted(seen)


async def test_a_progress_listener_that_fails_harms_nobody() -> None:
    def fails(progress: WorkerProgress) -> None:
        raise ValueError("mine")

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with pool("reports_twice") as made:
        assert await made.submit(None, fails).result() == "reported"  # type: ignore[comparison-overlap]


async def test_a_stop_is_graceful_and_delivers_the_outcome() -> None:
    async with pool("reports_until_stopped") as made:
        run, _ = await started(lambda note: made.submit("job", note))
        run.stop()
        run.stop()
        assert await run.result() == "stopped job"  # type: ignore[comparison-overlap]
        run.stop()


async def test_a_stop_that_comes_before_the_process_is_ready_is_not_lost() -> None:
    async with pool("reports_until_stopped") as made:
        run = made.submit("early", ignore)
        while not run.started:
            await asyncio.sleep(0)
        run.stop()
        assert await run.result() == "stopped early"  # type: ignore[comparison-overlap]


async def test_no_more_than_the_allowed_number_at_a_time_in_order() -> None:
    async with pool("reports_until_stopped", most=1) as made:
        first, _ = await started(lambda note: made.submit(1, note))
        second, third = made.submit(2, ignore), made.submit(3, ignore)
        assert (first.started, second.started, third.started) == (True, False, False)
        third.stop()
        with pytest.raises(WorkerError, match="stopped before it began"):
            await third.result()
        first.stop()
        assert await first.result() == "stopped 1"  # type: ignore[comparison-overlap]
        while not second.started:
            await asyncio.sleep(0)
        second.stop()
        assert await second.result() == "stopped 2"  # type: ignore[comparison-overlap]


async def test_a_worker_that_is_killed_fails_its_own_run_alone() -> None:
    async with pool("reports_until_stopped") as made:
        victim, pid = await started(lambda note: made.submit("victim", note))
        other, _ = await started(lambda note: made.submit("other", note))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"died \(SIGKILL\).*other runs go on"):
            await victim.result()
        other.stop()
        assert await other.result() == "stopped other"  # type: ignore[comparison-overlap]
        after, _ = await started(lambda note: made.submit("after", note))
        after.stop()
        assert await after.result() == "stopped after"  # type: ignore[comparison-overlap]


async def test_a_process_that_just_leaves_is_an_error() -> None:
    async with pool("killed") as made:
        with pytest.raises(WorkerError, match="SIGKILL"):
            await made.submit(None, ignore).result()
    async with pool("leaves") as made:
        with pytest.raises(WorkerError, match=r"without a result \(exit code 7\)"):
            await made.submit(7, ignore).result()


@pytest.mark.parametrize(
    ("job", "kind", "words"),
    [
        ("engine", NotRegisteredError, "strategy 'x' not found"),
        ("settings", WorkerError, "2. two"),
        ("boom", WorkerError, "ValueError: boom"),
        ("exit", WorkerError, "SystemExit: 4"),
        ("unpicklable", WorkerError, "pickle"),
    ],
)
async def test_failures_come_back_as_the_engines_errors(
    job: str, kind: type[EngineError], words: str
) -> None:
    async with pool("fails") as made:
        with pytest.raises(kind) as caught:
            await made.submit(job, ignore).result()
    assert words in str(caught.value)
    assert type(caught.value) is kind


async def test_a_large_outcome_gets_through() -> None:
    async with pool("large") as made:
        outcome: Any = await made.submit(20_000_000, ignore).result()
        assert len(outcome) == 20_000_000


async def test_silence_is_ended_and_named_and_work_without_questions_is_not_silence() -> None:
    async with pool("mute") as made:
        with pytest.raises(StrategyTimeoutError, match=r"'mute' on BTCUSDT.*the bar at noon"):
            await made.submit(None, ignore).result()
    async with pool("slow_but_answering") as made:
        assert await made.submit(None, ignore).result() == "patient"  # type: ignore[comparison-overlap]


async def test_runs_of_one_name_use_the_same_process_until_it_is_released() -> None:
    async with pool("answers") as made:
        first: Any = await made.submit(1, ignore, keep="walk").result()
        second: Any = await made.submit(2, ignore, keep="walk").result()
        other: Any = await made.submit(3, ignore, keep="other").result()
        assert [first["job"], second["job"], other["job"]] == [1, 2, 3]
        assert first["pid"] == second["pid"] != other["pid"]
        made.release("walk")
        assert ended(first["pid"])
        again: Any = await made.submit(4, ignore, keep="walk").result()
        assert again["pid"] != first["pid"]
    assert ended(again["pid"]) and ended(other["pid"])


async def test_a_kept_process_that_failed_is_used_again_and_one_that_died_is_not() -> None:
    async with pool("odd_jobs") as made:
        first: Any = await made.submit("pid", ignore, keep="x").result()
        with pytest.raises(WorkerError, match="ValueError: boom"):
            await made.submit("boom", ignore, keep="x").result()
        assert await made.submit("pid", ignore, keep="x").result() == first
        with pytest.raises(WorkerError, match="SIGKILL"):
            await made.submit("killed", ignore, keep="x").result()
        second: Any = await made.submit("pid", ignore, keep="x").result()
        assert second != first


async def test_a_stop_of_one_job_is_not_heard_by_the_next() -> None:
    async with pool("reports_until_stopped") as made:
        run, pid = await started(lambda note: made.submit(1, note, keep="x"))
        run.stop()
        run.stop()
        assert await run.result() == "stopped 1"  # type: ignore[comparison-overlap]
        run.stop()
        second, same = await started(lambda note: made.submit(2, note, keep="x"))
        assert same == pid and not second.task.done()
        second.stop()
        assert await second.result() == "stopped 2"  # type: ignore[comparison-overlap]


async def test_closing_the_pool_kills_what_runs_and_drops_what_waits() -> None:
    async with pool("reports_until_stopped", most=1) as made:
        run, pid = await started(lambda note: made.submit(1, note))
        waiting = made.submit(2, ignore)
        await made.close()
        with pytest.raises(WorkerError, match="killed"):
            await run.result()
        with pytest.raises(WorkerError):
            await waiting.result()
        assert ended(pid)


def test_workers_end_when_their_parent_dies() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.runs.parent"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
        assert ended(worker)
    finally:
        parent.kill()
        parent.wait()
        if parent.stdout is not None:
            parent.stdout.close()


# -- real jobs ---------------------------------------------------------------------------------

STRATEGY = """
import os, signal, threading
from datetime import datetime
from engine import Signal, add_exchange, add_strategy

START = {start}
MINUTE = 60_000

def get_candles(symbol, interval, since, limit):
    first = max(int(since.timestamp() * 1000), START - 20 * MINUTE)
    stamps = range(first, min(first + limit * MINUTE, START + {minutes} * MINUTE), MINUTE)
    return [[at, 100.0, 101.0, 99.0, 100.0, 1.0] for at in stamps]

add_exchange(exchange_name="mine", get_candles=get_candles, intervals=["1m"])

def minute(when):
    return (int(when.timestamp() * 1000) - START) // MINUTE

@add_strategy(strategy_name="trades", interval="1m")
async def trades(symbol, when):
    return Signal("long", 110, 90, 5)

@add_strategy(strategy_name="mute", interval="1m")
def mute(symbol, when):
    if minute(when) == 3:
        threading.Event().wait()

@add_strategy(strategy_name="dies", interval="1m")
def dies(symbol, when):
    if minute(when) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def strategy_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(STRATEGY.format(start=T0, minutes=700_000), encoding="utf-8")
    return path


def job(path: Path, name: str = "trades", minutes: int = 20, **changes: Any) -> BacktestJob:
    fields: dict[str, Any] = {
        "strategy_files": (str(path),), "strategy_name": name, "symbol": "BTCUSDT",
        "exchange_name": "mine", "exchange": None, "frame_interval": "1m", "frame_start": T0,
        "frame_end": T0 + minutes * MINUTE, "settings": Settings().model_dump(),
    }  # fmt: skip
    return BacktestJob(**{**fields, **changes})


async def test_a_backtest_in_a_worker(strategy_file: Path) -> None:
    async with pool(ENTRY) as made:
        outcome = await made.submit(job(strategy_file), ignore).result()
    assert len(outcome.trades) == outcome.statistics.total_trades == 5
    assert outcome.counts.calls == 5
    assert outcome.strategy_file == str(strategy_file)
    assert len(outcome.strategy_hash) == len(outcome.data_hash) == 64
    assert not outcome.stopped


async def test_a_job_with_a_built_in_exchange(strategy_file: Path) -> None:
    spec = ExchangeSpec("market", "simulated", {"seed": 3})
    async with pool(ENTRY) as made:
        task = job(strategy_file, exchange_name="market", exchange=spec,
                   strategy_name="mute", minutes=2)  # fmt: skip
        outcome = await made.submit(task, ignore).result()
    assert outcome.key.exchange_name == "market"
    assert outcome.counts.calls == 3


async def test_a_stopped_backtest_gives_what_it_has(strategy_file: Path) -> None:
    async with pool(ENTRY) as made:
        seen: list[WorkerProgress] = []

        def stop(progress: WorkerProgress) -> None:
            seen.append(progress)
            if progress.processed:
                run.stop()

        run = made.submit(job(strategy_file, minutes=600_000), stop)
        outcome = await run.result()
    assert outcome.stopped
    assert 0 < len(outcome.trades) < 110_000
    assert all(0 <= progress.fraction <= 1 for progress in seen)
    assert seen[-1].total == 600_001


async def test_a_silent_strategy_ends_with_its_worker_and_is_named(strategy_file: Path) -> None:
    limited = Settings().updated({"max_signal_generation_seconds": 1}).model_dump()
    async with pool(ENTRY) as made:
        run = made.submit(job(strategy_file, "mute", settings=limited), ignore)
        with pytest.raises(StrategyTimeoutError) as caught:
            await run.result()
    text = str(caught.value)
    assert "'mute' on BTCUSDT" in text
    assert "within 1 s for the bar at 2024-01-01 00:03 UTC" in text
    assert "max_signal_generation_seconds" in text


async def test_a_strategy_that_kills_its_process(strategy_file: Path) -> None:
    async with pool(ENTRY) as made:
        bad = made.submit(job(strategy_file, "dies"), ignore)
        good = made.submit(job(strategy_file), ignore)
        with pytest.raises(WorkerError, match="SIGKILL"):
            await bad.result()
        assert len((await good.result()).trades) == 5


async def test_what_cannot_be_loaded_is_named(tmp_path: Path, strategy_file: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("x = 1\nraise ValueError('line two')\n", encoding="utf-8")
    async with pool(ENTRY) as made:
        with pytest.raises(StrategyFileError, match=r"broken\.py:2: ValueError: line two"):
            await made.submit(job(broken), ignore).result()
        with pytest.raises(NotRegisteredError, match="'nope' not found"):
            await made.submit(job(strategy_file, "nope"), ignore).result()
        with pytest.raises(NotRegisteredError, match="exchange 'nope' not found"):
            await made.submit(job(strategy_file, exchange_name="nope"), ignore).result()


async def test_settings_of_a_test_bed_reach_the_worker(strategy_file: Path) -> None:
    relaxed = Settings().updated({"min_takeprofit_distance_percent": 0.0}, unsafe=True)
    async with pool(ENTRY) as made:
        run = made.submit(job(strategy_file, settings=relaxed.model_dump()), ignore)
        outcome = await run.result()
    assert outcome.settings["min_takeprofit_distance_percent"] == 0
