"""The console's optimizer desk: views from the first source to a module that waits for review."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from console.optimizers import OptimizerDesk
from console.views import OptimizerView
from engine import Engine, NotRegisteredError, RunStateError
from tests.optimizer.bed import SYMBOL, add, bed
from tests.servers.ollama import Asked, Fault, trader


class Watched:
    """A desk and every view it put."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.views: list[OptimizerView] = []
        self._news = asyncio.Event()
        self.desk = OptimizerDesk(engine, self._put, folder)

    def _put(self, view: OptimizerView) -> None:
        self.views.append(view)
        self._news.set()

    async def until(self, status: str) -> OptimizerView:
        async with asyncio.timeout(20):
            while self.views[-1].status != status:
                self._news.clear()
                await self._news.wait()
        return self.views[-1]


async def test_progress_and_a_module_that_nobody_executed(tmp_path: Path) -> None:
    async with bed() as (engine, _):
        add(get_prompt=None)
        watched = Watched(engine, tmp_path)
        run_id = watched.desk.start("trend", SYMBOL)
        assert watched.desk.knows(run_id) and watched.desk.active == 1
        with pytest.raises(RunStateError, match="runs for BTCUSDT already"):
            watched.desk.start("trend", SYMBOL)
        done = await watched.until("done")
        assert watched.desk.active == 0
        with pytest.raises(RunStateError, match="has already ended"):
            watched.desk.stop(run_id)
        again = watched.desk.start("trend", SYMBOL)
        assert again != run_id
        second = await watched.until("done")
        await watched.desk.close()
        assert engine.strategies.names() == ()
    progress = [view.progress for view in watched.views if view.run_id == run_id]
    assert progress == sorted(progress) and {0.0, 0.25, 0.5, 0.75, 1.0} == set(progress)
    assert Path(done.path) == tmp_path / "trend_BTCUSDT.py" and Path(done.path).is_file()
    assert Path(second.path).name == "trend_BTCUSDT_2.py"
    assert (
        len(done.strategies) == 2
        and done.checks
        and done.walker_name in Path(done.path).read_text()
    )


async def test_failures_and_stops_end_a_run_in_words(tmp_path: Path) -> None:
    asked = asyncio.Event()

    def hangs(_: Asked) -> Fault:
        asked.set()
        return Fault("hang")

    async with bed(lambda _: Fault("status", 503, "busy")) as (engine, server):
        add(get_prompt=None)
        watched = Watched(engine, tmp_path)
        with pytest.raises(NotRegisteredError):
            watched.desk.start("other", SYMBOL)
        watched.desk.start("trend", SYMBOL)
        assert "status 503" in (await watched.until("failed")).error

        server.answer = hangs
        run_id = watched.desk.start("trend", SYMBOL)
        async with asyncio.timeout(20):
            await asked.wait()
        assert "nothing is written" in watched.desk.stop(run_id)
        await watched.until("stopped")

        watched.desk.start("trend", "ETHUSDT")
        await watched.desk.close()
        assert watched.views[-1].status == "stopped" and list(tmp_path.iterdir()) == []


async def test_an_unwritable_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with bed(trader) as (engine, _):
        add()
        watched = Watched(engine, tmp_path / "file" / "deep")
        watched.desk.start("trend", SYMBOL)
        assert "could not be written" in (await watched.until("failed")).error
        await watched.desk.close()
