"""Runs in worker processes: one process per run, so that a bad run can only hurt itself.

Processes come from a forkserver that is started before any thread exists, run at nice 10, ignore
SIGINT (the parent decides) and end when their parent does. Progress comes back ten times a second
and a stop arrives within a fifth of a second.

A strategy that stays silent past its time limit is killed together with its process. A thread of
the worker notices most of them; code that keeps the interpreter to itself silences that thread as
well, which is noticed here by signs of life that fail to come.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from multiprocessing import forkserver, resource_tracker
from typing import Any, Final

from engine.domain.errors import WorkerError
from engine.runs.worker_parent import CONTEXT, Limited, WorkerProcess
from engine.runs.worker_process import WorkerControl, WorkerProgress

__all__ = ["Limited", "WorkerControl", "WorkerPool", "WorkerProgress", "WorkerRun"]

# The path of a socket has 107 bytes; multiprocessing adds a folder and a name to this.
_LONGEST_FOLDER: Final = 70


class WorkerPool:
    """Starts runs in processes of their own, at most ``max_workers`` at a time.

    Args:
        entry: ``module:function`` that a worker calls with the job and its `WorkerControl`.
        max_workers: as many as there are processors by default.
        output: file that gets what strategies print; None sends it to our standard error. Standard
            output belongs to results, and a terminal in use belongs to its screen.
    """

    def __init__(
        self, entry: str, max_workers: int | None = None, output: str | None = None
    ) -> None:
        self._entry = entry
        self._output = output
        self._room = asyncio.Semaphore(max_workers or os.cpu_count() or 1)
        self._runs: set[WorkerRun] = set()
        self._processes: set[WorkerProcess] = set()
        self._idle: dict[str, list[WorkerProcess]] = {}

    @staticmethod
    def start_forkserver(preload: str = "engine.jobs") -> None:
        """Start the server that workers are forked from; before any thread and any terminal mode.

        The server is started with ``python -c``, which would put the working directory on the
        import path; a file there must never stand in for one of our modules. Its socket goes into
        the folder for temporary files, unless that has a name too long for a socket.
        """
        before = os.environ.get("PYTHONSAFEPATH")
        os.environ["PYTHONSAFEPATH"] = "1"
        folder = tempfile.gettempdir()
        try:
            if len(os.fsencode(folder)) > _LONGEST_FOLDER and os.access("/tmp", os.W_OK):
                tempfile.tempdir = "/tmp"
            multiprocessing.get_context(CONTEXT).set_forkserver_preload([preload])
            resource_tracker.ensure_running()
            forkserver.ensure_running()
        finally:
            tempfile.tempdir = folder
            if before is None:
                del os.environ["PYTHONSAFEPATH"]
            else:
                os.environ["PYTHONSAFEPATH"] = before

    def submit(
        self, job: Any, on_progress: Callable[[WorkerProgress], None], keep: str = ""
    ) -> WorkerRun:
        """Queue a run; ``on_progress`` is called on the running loop.

        Args:
            job: what the entry function gets; it must be picklable. One that is `Limited` is
                killed when its user code does not come back.
            on_progress: told how far the run is, ten times a second.
            keep: runs of the same name use each other's processes, one after the other, until
                `release`; "" gives the run a process of its own.
        """
        run = WorkerRun(self, job, on_progress, keep)
        self._runs.add(run)
        run.task.add_done_callback(lambda _: self._runs.discard(run))
        return run

    def warm(self, keep: str, count: int) -> None:
        """Start processes for runs of a name that are about to be submitted."""
        for _ in range(count):
            self._idle.setdefault(keep, []).append(self._started())

    def release(self, keep: str) -> None:
        """End the processes that were kept under a name and are not in use."""
        for process in self._idle.pop(keep, ()):
            process.end()

    async def close(self) -> None:
        """Kill what still runs and wait for it."""
        for run in tuple(self._runs):
            run.kill()
        await asyncio.gather(*(run.task for run in tuple(self._runs)), return_exceptions=True)
        for keep in tuple(self._idle):
            self.release(keep)
        for process in tuple(self._processes):
            await process.ended()

    @asynccontextmanager
    async def process(self, keep: str) -> AsyncGenerator[WorkerProcess]:
        """A process for one job, as soon as there is room."""
        async with self._room:
            process = self._kept(keep) or self._started()
            try:
                yield process
            except BaseException:
                process.kill()
                raise
            if keep and process.usable:
                self._idle.setdefault(keep, []).append(process)
            else:
                process.end()

    def _started(self) -> WorkerProcess:
        self.start_forkserver()  # for a program that did not
        process = WorkerProcess(self._entry, self._output)
        self._processes.add(process)
        process.when_ended(lambda: self._processes.discard(process))
        return process

    def _kept(self, keep: str) -> WorkerProcess | None:
        idle = self._idle.get(keep, [])
        while idle:
            process = idle.pop()
            if process.usable:
                return process
        return None


class WorkerRun:
    """One run in a worker process.

    Attributes:
        started: whether it has its process; before that it waits for room.
        task: ends with what the entry function returned.
    """

    def __init__(
        self,
        pool: WorkerPool,
        job: Any,
        on_progress: Callable[[WorkerProgress], None],
        keep: str = "",
    ) -> None:
        self.started = False
        self._pool = pool
        self._job = job
        self._on_progress = on_progress
        self._keep = keep
        self._stopped = False
        self._killed = False
        self._process: WorkerProcess | None = None
        self.task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Ask for a graceful end: the outcome so far is still delivered."""
        self._stopped = True
        if self._process is not None:
            self._process.stop()
        elif not self.started:
            self.task.cancel()

    def kill(self) -> None:
        """End the process at once; there will be no outcome."""
        self._killed = True
        if self._process is not None:
            self._process.kill()
        elif not self.started:
            self.task.cancel()

    async def result(self) -> Any:
        """What the entry function returned, once there is something.

        Raises:
            WorkerError: the process died, or the run was stopped before it began.
            EngineError: what ended the run, in the engine's words.
        """
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            if self.task.cancelled():
                raise WorkerError("the run was stopped before it began") from None
            raise

    async def _run(self) -> Any:
        async with self._pool.process(self._keep) as process:
            self.started = True
            done = process.begin(self._job, self._on_progress, last=not self._keep)
            self._process = process
            if self._killed:
                process.kill()
            if self._stopped:
                process.stop()
            outcome = await done
            self._process = None
        if outcome.error is not None:
            raise outcome.error
        return outcome.value
