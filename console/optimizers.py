"""Optimizers started in the console: from collecting sources to a module that waits for review.

They run on the engine's loop, because they wait for sources and models and compute next to nothing.
Every change of one is a new frozen `OptimizerView` handed to the read model.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from console.desks import ENDED, Desk, Entry, failure_text
from console.views import OptimizerView, RunRequest
from engine import Engine
from engine.domain.errors import EngineError, RunStateError
from engine.domain.events import OptimizerProgress
from engine.domain.optimizing import GeneratedModule
from engine.optimizing import DEFAULT_FOLDER
from engine.runs.optimizer import OptimizerRun
from engine.services.module_files import free_path, module_path, write_module

Put = Callable[[OptimizerView], None]
_log = logging.getLogger("signaldeck.optimizers")


@dataclass(slots=True)
class _Entry(Entry):
    view: OptimizerView
    run: OptimizerRun


class OptimizerDesk(Desk[_Entry]):
    """The optimizer runs of this session.

    Args:
        engine: where the optimizers are registered.
        put: called with every new view.
        folder: where modules are written, absolute; None is ``generated`` in the working directory.
    """

    def __init__(self, engine: Engine, put: Put, folder: Path | None = None) -> None:
        super().__init__(put)
        self._engine = engine
        self._folder = folder or Path(DEFAULT_FOLDER)
        self._unsubscribe = engine.bus.subscribe("progress_optimizer", self._progress)

    def start(self, optimizer_name: str, symbol: str) -> str:
        """Start an optimizer and answer its run id.

        Raises:
            NotRegisteredError: there is no such optimizer.
            RunStateError: it is running for this symbol already.
        """
        for entry in self._entries.values():
            same = entry.view.optimizer_name == optimizer_name and entry.view.symbol == symbol
            if same and entry.view.status not in ENDED:
                raise RunStateError(f"optimizer {optimizer_name!r} runs for {symbol} already")
        run = self._engine.optimizer(optimizer_name, symbol)
        run_id = f"optimizer-{len(self._entries) + 1}"
        view = OptimizerView(
            run_id=run_id,
            optimizer_name=optimizer_name,
            symbol=symbol,
            status="running",
            total_sources=len(run.schema.range_train) * len(run.schema.source),
            started_at=self._engine.clock.now(),
        )
        request = RunRequest("optimizer", optimizer_name, symbol, "")
        entry = self._entries[run_id] = _Entry(request, view, run)
        self._put(view)
        entry.task = asyncio.create_task(self._work(entry), name=run_id)
        # Also called for a task that is cancelled before it began.
        entry.task.add_done_callback(lambda _: self._ended(entry))
        return run_id

    def stop(self, run_id: str) -> str:
        """End an optimizer where it is; nothing is written."""
        entry = self._running(run_id)
        assert entry.task is not None
        entry.task.cancel()
        return f"{run_id} ends where it is: nothing is written"

    async def close(self) -> None:
        """End every optimizer now."""
        self._unsubscribe()
        await super().close()

    def _progress(self, event: OptimizerProgress) -> None:
        for entry in self._entries.values():
            view = entry.view
            same = (view.optimizer_name, view.symbol) == (event.optimizer_name, event.symbol)
            if same and view.status not in ENDED:
                self._set(entry, processed_sources=event.processed_sources, progress=event.progress)

    async def _work(self, entry: _Entry) -> None:
        view = entry.view
        try:
            module = await entry.run.generate()
            target = free_path(module_path(self._folder, view.optimizer_name, view.symbol))
            # Not handed to a thread: a stop in between would leave a file nobody is told of.
            write_module(module.code, target)
        except EngineError as error:
            self._set(entry, status="failed", error=failure_text(error))
        except Exception as error:
            _log.exception("%s failed", view.run_id)
            self._set(entry, status="failed", error=failure_text(error))
        else:
            self._done(entry, module, target)
            await entry.run.dumped(str(target))

    def _done(self, entry: _Entry, module: GeneratedModule, target: Path) -> None:
        worded = (item.strategy for item in module.strategies)
        self._set(
            entry,
            status="done",
            processed_sources=entry.view.total_sources,
            progress=1.0,
            path=str(target),
            written_by=module.written_by,
            strategies=tuple(zip(module.strategy_names, worded, strict=True)),
            walker_name=module.walker_name,
            checks=module.checks,
            warnings=module.warnings,
        )

    def _ended(self, entry: _Entry) -> None:
        if entry.view.status not in ENDED:
            self._set(entry, status="stopped")
