"""Whatever user code does in a worker, its run ends, and says which strategy and bar it was."""

from __future__ import annotations

import asyncio
import importlib
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from os import close, pidfd_open
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import EngineError, StrategyTimeoutError, WorkerError
from engine.domain.settings import Settings
from engine.jobs import ENTRY, BacktestJob
from engine.runs.silence import CALLERS
from engine.runs.workers import WorkerPool
from tests.runs.bed import MINUTE, T0

PATIENCE = 60

STRATEGY = """
import asyncio, os, re, threading
from engine import Signal, add_exchange, add_risk, add_strategy

START, MINUTE = {start}, 60_000

def get_candles(symbol, interval, since, limit):
    first = max(int(since.timestamp() * 1000), START - 20 * MINUTE)
    stamps = range(first, min(first + limit * MINUTE, START + 60 * MINUTE), MINUTE)
    return [[at, 100.0, 101.0, 99.0, 100.0, 1.0] for at in stamps]

def forever(*_):
    threading.Event().wait()

async def later(*_):
    await asyncio.Event().wait()

async def deaf(*_):
    while True:
        try:
            await later()
        except asyncio.CancelledError:
            pass

def holds_the_interpreter(*_):
    re.match("(a+)+$", "a" * 60 + "b")

def leaves_a_child(*_):
    child = os.fork()
    if child:
        with open({pid!r}, "w") as file:
            file.write(str(child))
        os._exit(0)
    forever()

add_exchange(exchange_name="mine", get_candles=get_candles, intervals=["1m"])
add_exchange(exchange_name="stuck", get_candles=forever, intervals=["1m"])
add_exchange(exchange_name="hangs", get_candles=later, intervals=["1m"])
add_risk(risk_name="blocks", validations=[forever])

def minute(when):
    return (int(when.timestamp() * 1000) - START) // MINUTE

def at_three(then):
    def get_signal(symbol, when):
        return then() if minute(when) == 3 else None
    return get_signal

def opens(symbol, when):
    return Signal("long", 110, 90, 5) if minute(when) == 3 else None

async def regex_later(symbol, when):
    if minute(when) == 3:
        await asyncio.sleep(0.01)
        holds_the_interpreter()

add_strategy(strategy_name="regex", interval="1m", get_signal=at_three(holds_the_interpreter))
add_strategy(strategy_name="regex_later", interval="1m", get_signal=regex_later)
add_strategy(strategy_name="forks", interval="1m", get_signal=at_three(leaves_a_child))
add_strategy(strategy_name="quiet", interval="1m", get_signal=at_three(lambda: None))
add_strategy(strategy_name="refused", interval="1m", get_signal=opens, risk_name="blocks")
for name, callback in (
    ("regex_opens", {{"on_open": holds_the_interpreter}}),
    ("opens", {{"on_open": forever}}),
    ("closes", {{"on_close": deaf}}),
    ("polite", {{"on_close": later}}),
):
    add_strategy(strategy_name=name, interval="1m", get_signal=opens, callbacks=callback)
"""

BLOCKING_IMPORT = "import threading\nx = 1\nthreading.Event().wait()\n"


@pytest.fixture(scope="module", autouse=True)
def forkserver() -> None:
    WorkerPool.start_forkserver()


@asynccontextmanager
async def pool() -> AsyncIterator[WorkerPool]:
    made = WorkerPool(ENTRY, 20)
    try:
        async with asyncio.timeout(PATIENCE):
            yield made
    finally:
        await made.close()


def job(path: Path, name: str, exchange: str = "mine") -> BacktestJob:
    settings = Settings().updated({"max_signal_generation_seconds": 1})
    return BacktestJob(
        strategy_files=(str(path),), strategy_name=name, symbol="BTCUSDT", exchange_name=exchange,
        exchange=None, frame_interval="1m", frame_start=T0, frame_end=T0 + 20 * MINUTE,
        settings=settings.model_dump(),
    )  # fmt: skip


async def failure(made: WorkerPool, task: BacktestJob) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await made.submit(task, lambda _: None).result()
    return caught.value


async def test_whatever_blocks_is_killed_and_named(tmp_path: Path) -> None:
    path, pid = tmp_path / "mine.py", tmp_path / "pid"
    path.write_text(STRATEGY.format(start=T0, pid=str(pid)), encoding="utf-8")
    slow = tmp_path / "slow.py"
    slow.write_text(BLOCKING_IMPORT, encoding="utf-8")
    third = "for the bar at 2024-01-01 00:03 UTC"
    expected: dict[str, tuple[BacktestJob, type[EngineError], list[str]]] = {
        "regex": (job(path, "regex"), StrategyTimeoutError, [f"did not answer within 1 s {third}"]),
        "regex later": (
            job(path, "regex_later"), StrategyTimeoutError, [f"did not answer within 1 s {third}"]
        ),
        "regex in a callback": (
            job(path, "regex_opens"), StrategyTimeoutError,
            [f"let nothing else run for 1 s {third}"],
        ),
        "callback": (
            job(path, "opens"), StrategyTimeoutError,
            [f"a callback ({path}:13) did not come back", third],
        ),
        "async callback": (
            job(path, "closes"), StrategyTimeoutError,
            ["a callback (", "within 1 s for the bar at 2024-01-01 00:08 UTC"],
        ),
        "risk": (job(path, "refused"), StrategyTimeoutError, ["a risk validation (", third]),
        "exchange": (
            job(path, "quiet", "stuck"), StrategyTimeoutError,
            ["get_candles of the exchange (", "before its first bar"],
        ),
        "async exchange": (
            job(path, "quiet", "hangs"), StrategyTimeoutError,
            ["get_candles of the exchange (", "before its first bar"],
        ),
        "import": (job(slow, "quiet"), StrategyTimeoutError, ["loading (", "before its first bar"]),
        "fork": (
            job(path, "forks"), WorkerError, ["without a result (exit code 0), ", third]
        ),
    }  # fmt: skip
    async with pool() as made:
        names = list(expected)
        found = await asyncio.gather(*(failure(made, expected[name][0]) for name in names))
        outcome: Any = await made.submit(job(path, "quiet"), lambda _: None).result()
        polite: Any = await made.submit(job(path, "polite"), lambda _: None).result()
    for name, error in zip(names, found, strict=True):
        task, kind, words = expected[name]
        assert type(error) is kind, (name, error)
        for word in (*words, f"strategy {task.strategy_name!r} on BTCUSDT"):
            assert word in str(error), (name, error)
    assert outcome.counts.calls == 21, "a strategy that answers is left alone"
    assert (len(polite.trades), polite.counts.errors) == (1, 1), "what can be cancelled is"
    assert "on_close" in polite.errors[0]
    assert gone(int(pid.read_text())), "what user code has forked ends with its worker"


def gone(pid: int) -> bool:
    try:
        descriptor = pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], PATIENCE)[0])
    finally:
        close(descriptor)


@pytest.mark.parametrize("caller", CALLERS)
def test_the_functions_that_call_user_code_have_these_names(caller: str) -> None:
    module, _, name = caller.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
