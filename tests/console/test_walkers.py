"""The desk of walkers: rows that fill in, another metric, stops and skips, and what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console.demo import demo_plan
from console.discovery import Workshop, equip
from console.follower import FollowingHost
from console.kept_walkers import kept, recalled
from console.run_requests import RequestError, check_request, completed, walk_of
from console.settings import load_project
from console.views import RunRequest
from console.walker_views import WalkerView
from console.walkers import WalkerDesk
from engine import Engine
from engine.domain.errors import EngineError, RunStateError, StateError
from engine.jobs import ENTRY
from engine.runs.workers import WorkerPool
from tests.console.host_bed import TIMEOUT, Watcher, running

FILE = """
import threading
from engine import Signal, add_strategy, add_walker, get_candles

async def trades(symbol, when, minutes=60, side="long"):
    price = (await get_candles(symbol, "1m", 1)).close[-1]
    far, near = (1.2, 0.9) if side == "long" else (0.8, 1.1)
    return Signal(side, price * far, price * near, minutes)

add_strategy(strategy_name="longs", interval="1h", get_signal=trades)
add_strategy(strategy_name="shorts", interval="1h", get_signal=trades, params={"side": "short"})
add_strategy(strategy_name="none", interval="1h", get_signal=lambda s, w: None)

def silent(symbol, when):
    threading.Event().wait()

add_strategy(strategy_name="silent", interval="1h", get_signal=silent)
add_walker(walker_name="grid", exchange_name="simulated", frame_name="missing", metric="total_pnl",
           strategies=["longs", "none"], grid={"minutes": [60, 240]})
"""

REQUEST = RunRequest(
    "walker", "", "BTCUSDT", "simulated", "2025-07-02", "2025-07-02T23:59", "1m",
    ("longs", "shorts", "none"), "total_pnl",
)  # fmt: skip


class Bench:
    """A desk on an engine with the strategies above, and every view that it put."""

    def __init__(self, engine: Engine, workshop: Workshop) -> None:
        self.engine = engine
        self.workshop = workshop
        self.views: list[WalkerView] = []
        self.kept: list[Any] = []
        self._changed = asyncio.Event()
        self.pool = WorkerPool(ENTRY, 2)
        self.desk = WalkerDesk(
            engine.group_runs, self.pool, 2, self._put, engine.clock.now, self._keep
        )

    def _put(self, view: WalkerView) -> None:
        self.views.append(view)
        self._changed.set()

    async def _keep(self, finished: Any) -> None:
        self.kept.append(finished)
        self._changed.set()

    async def until(self, holds: Callable[[WalkerView], Any]) -> WalkerView:
        while not (self.views and holds(self.views[-1])):
            self._changed.clear()
            await self._changed.wait()
        return self.views[-1]

    def start(self, request: RunRequest) -> str:
        request = completed(self.engine, request)
        return self.desk.start(request, *walk_of(self.engine, self.workshop, request))


@pytest.fixture(scope="module", autouse=True)
def forkserver() -> None:
    WorkerPool.start_forkserver()


@asynccontextmanager
async def bench(folder: Path, **config: Any) -> AsyncIterator[Bench]:
    (folder / "mine.py").write_text(FILE)
    project = load_project(strategies=str(folder))
    async with asyncio.timeout(60), Engine(config=config) as engine:
        made = Bench(engine, equip(engine, project))
        try:
            yield made
        finally:
            await made.desk.close()
            await made.pool.close()


def ended(view: WalkerView) -> bool:
    return view.status in ("done", "stopped", "failed")


async def test_rows_fill_in_and_are_ranked(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        run_id = made.start(REQUEST)
        assert (run_id, made.desk.active, made.desk.knows(run_id)) == ("walker-1", 1, True)
        first = made.views[0]
        assert (first.status, first.walker_name, first.metric) == (
            "queued", "comparison", "total_pnl",
        )  # fmt: skip
        assert [(r.name, r.status, r.rank) for r in first.rows] == [
            (name, "waiting", None) for name in REQUEST.strategies
        ]
        view = await made.until(ended)
        assert (view.status, view.progress, view.eta_seconds) == ("done", 1.0, None)
        assert made.desk.active == 0 and (view.strategies_tested, view.total_strategies) == (3, 3)
        assert [v.progress for v in made.views] == sorted(v.progress for v in made.views)
        assert {v.status for v in made.views} == {"queued", "running", "done"}
        assert [row.rank for row in view.rows] == [1, 2, 3]
        values = [row.metric_value for row in view.rows]
        assert values == sorted(values, reverse=True)  # type: ignore[type-var]
        assert view.best_strategy == view.rows[0].name and view.best_metric == values[0]
        assert [row.best for row in view.rows] == [True, False, False]
        outcomes = {row.name: row.outcome for row in view.rows if row.outcome is not None}
        assert {len(outcome.equity) for outcome in outcomes.values()} == {2}
        assert len(outcomes["longs"].trades) > 10 and outcomes["none"].trades == ()
        assert sorted(row.place for row in view.rows) == [0, 1, 2]
        with pytest.raises(RunStateError, match="already ended"):
            made.desk.stop(run_id)
        with pytest.raises(RunStateError, match="already ended"):
            made.desk.skip(run_id, "longs")


async def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.start(REQUEST)
        view = await made.until(ended)
        while not made.kept:
            await asyncio.sleep(0)
        (finished,) = made.kept
        assert (finished.kind, finished.run_id) == ("walker", "walker-1")
        request, back = recalled(finished)
        assert (request, back) == (REQUEST, view)
        other = Bench(made.engine, made.workshop)
        older: list[WalkerView] = []
        broken = replace(finished, run_id="walker-7", payload=b"no")
        with pytest.raises(StateError, match="walker-7 cannot be read"):
            recalled(broken)
        await other.desk.recall([finished, broken], older.append)
        assert older == [view] and other.desk.request_of("walker-1") == REQUEST
        assert kept(request, back, finished.when) == finished
        assert other.start(REQUEST) == "walker-8", "numbers are not used again"
        await other.desk.close()
        await other.pool.close()


async def test_stop_and_skip(tmp_path: Path) -> None:
    async with bench(tmp_path, max_signal_generation_seconds=60) as made:
        run_id = made.start(replace(REQUEST, strategies=("silent", "none", "longs", "shorts")))
        await made.until(lambda v: v.strategies_tested >= 1)
        assert "silent is skipped" in made.desk.skip(run_id, "silent")
        assert "no further strategy" in made.desk.stop(run_id)
        assert made.views[-1].status == "stopping"
        with pytest.raises(RunStateError, match="does not try 'nobody'"):
            made.desk.skip(run_id, "nobody")
        await made.desk.close()  # what is silent does not hear of it
        assert made.views[-1].status == "stopping"


async def test_all_that_fail_make_a_failed_walker_and_one_does_not(tmp_path: Path) -> None:
    async with bench(tmp_path, max_signal_generation_seconds=1) as made:
        made.start(replace(REQUEST, strategies=("silent", "none")))
        view = await made.until(ended)
        assert view.status == "done" and view.rows[-1].name == "silent"
        assert "did not answer within 1 s" in view.rows[-1].error
        made.start(replace(REQUEST, start="2031-01-01", end="2031-01-02"))
        view = await made.until(lambda v: v.run_id == "walker-2" and ended(v))
        assert view.status == "failed" and view.error
        assert {row.status for row in view.rows} == {"failed"}


async def test_requests_are_checked_in_the_words_of_the_engine(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:

        async def problems(**changes: Any) -> dict[str, str]:
            request = replace(REQUEST, **changes)
            found = await check_request(made.engine, made.workshop, request)
            return {problem.field: problem.message for problem in found}

        assert await problems() == {}
        grid = {"strategies": (), "strategy_name": "grid", "metric": "", "exchange_name": ""}
        assert await problems(**grid) == {}
        assert "no walker is chosen" in (await problems(strategies=()))["strategy_name"]
        assert "'gridd' not found" in (
            await problems(strategies=(), strategy_name="gridd")
        )["strategy_name"]  # fmt: skip
        bad = await problems(
            strategies=("longs", "gone"), metric="luck", symbol="GOLD", exchange_name="simulated",
            start="", end="yesterday", interval="7m",
        )  # fmt: skip
        assert set(bad) == {"strategy_name", "metric", "symbol", "start", "end", "interval"}
        request = completed(made.engine, replace(REQUEST, **grid))
        walk, sources = walk_of(made.engine, made.workshop, request)
        assert [c.name for c in walk.candidates] == [
            "longs(minutes=60)", "longs(minutes=240)", "none",
        ]  # fmt: skip
        assert (walk.walker.metric, walk.key.exchange_name) == ("total_pnl", "simulated")
        assert sources.files_for("longs") == (str(tmp_path / "mine.py"),)
        made.engine.walkers.add(
            made.engine.walkers.get("grid", "test").model_copy(
                update={"walker_name": "odd", "grid": {"speed": (1,)}}
            )
        )
        odd = await problems(**{**grid, "strategy_name": "odd"})
        assert "speed, which none of longs, none takes" in odd["strategy_name"]


def test_the_host_runs_walkers_keeps_them_and_lists_them_again(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    plan = demo_plan(live=False, strategies=str(tmp_path), max_workers=2)
    plan = replace(plan, state=str(tmp_path / "state.db"))
    with running(plan) as watch:
        host = watch.host
        assert host.check(REQUEST).result(TIMEOUT) == ()
        run_id = host.start_run(REQUEST).result(TIMEOUT)
        assert [view.run_id for view in host.snapshot.walkers] == [run_id]
        shot = watch.until(lambda s: s.walkers[0].status == "done")
        assert shot.versions.walkers > 1 and len(shot.walkers[0].rows) == 3
        for refused in (
            host.skip_strategy(run_id, "longs"), host.stop_run(run_id),
            host.skip_strategy("backtest-1", "longs"),
        ):  # fmt: skip
            with pytest.raises(EngineError):
                refused.result(TIMEOUT)
        assert "walker-2 is started" in host.start_again(run_id).result(TIMEOUT)
        watch.until(lambda s: s.walkers[0].run_id == "walker-2" and s.walkers[0].status == "done")
        bad = replace(REQUEST, strategies=("gone",))
        with pytest.raises(RequestError, match="'gone'"):
            host.start_run(bad).result(TIMEOUT)
    with running(plan) as watch:
        shot = watch.until(lambda s: len(s.walkers) == 2)
        assert [view.run_id for view in shot.walkers] == ["walker-2", "walker-1"]
        assert shot.walkers[0].rows[0].outcome is not None
        follower: Any = FollowingHost(tmp_path / "state.db", "SIGNALS ONLY")
        follows = Watcher(follower)
        follower.start()
        seen = follows.until(lambda s: len(s.walkers) == 2).walkers
        assert {view.run_id for view in seen} == {"walker-1", "walker-2"}
        with pytest.raises(RunStateError, match="read-only"):
            follower.skip_strategy("walker-1", "a").result(TIMEOUT)
        follower.begin_shutdown(drain=False).result(TIMEOUT)
        assert follower.join(TIMEOUT)
        assert watch.host.start_run(REQUEST).result(TIMEOUT) == "walker-3"
