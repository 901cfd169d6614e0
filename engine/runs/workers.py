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
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from typing import Any, Final, Protocol, runtime_checkable

from engine.domain import errors
from engine.domain.errors import EngineError, StrategyTimeoutError, WorkerError
from engine.runs.silence import Call
from engine.runs.worker_process import (
    BOARD_SIZE,
    GRACE_SECONDS,
    WorkerControl,
    WorkerProgress,
    work,
)

__all__ = ["Limited", "WorkerControl", "WorkerPool", "WorkerProgress", "WorkerRun"]

_CONTEXT: Final = "forkserver"
_LOOK_SECONDS: Final = 0.5
_MISSED_SECONDS: Final = 3.0
# Beyond limit and grace: a worker at nice 10 on a busy machine may be late with a sign of life.

_EXIT_SECONDS: Final = 5.0


@runtime_checkable
class Limited(Protocol):
    """A job whose user code may take so long and no longer."""

    @property
    def limit_seconds(self) -> float:
        """Seconds one call of user code may take."""
        ...

    def silence(self, code: int, when: int, call: Call | None = None) -> str:
        """What to say of user code that did not come back.

        Args:
            code, when: what is on the worker's board.
            call: what it is in, as far as somebody could look.
        """
        ...

    def place(self, code: int, when: int) -> str:
        """Where the run was, for the message of a death; arguments as of `silence`."""
        ...


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

    @staticmethod
    def start_forkserver(preload: str = "engine.jobs") -> None:
        """Start the server that workers are forked from; before any thread and any terminal mode.

        The server is started with ``python -c``, which would put the working directory on the
        import path; a file there must never stand in for one of our modules.
        """
        before = os.environ.get("PYTHONSAFEPATH")
        os.environ["PYTHONSAFEPATH"] = "1"
        try:
            multiprocessing.get_context(_CONTEXT).set_forkserver_preload([preload])
            resource_tracker.ensure_running()
            forkserver.ensure_running()
        finally:
            if before is None:
                del os.environ["PYTHONSAFEPATH"]
            else:
                os.environ["PYTHONSAFEPATH"] = before

    def submit(self, job: Any, on_progress: Callable[[WorkerProgress], None]) -> WorkerRun:
        """Queue a run; ``on_progress`` is called on the running loop.

        Args:
            job: what the entry function gets; it must be picklable. One that is `Limited` is
                killed when its user code does not come back.
            on_progress: told how far the run is, ten times a second.
        """
        run = WorkerRun(self._entry, job, on_progress, self._room, self._output)
        self._runs.add(run)
        run.task.add_done_callback(lambda _: self._runs.discard(run))
        return run

    async def close(self) -> None:
        """Kill what still runs and wait for it."""
        for run in tuple(self._runs):
            run.kill()
        await asyncio.gather(*(run.task for run in tuple(self._runs)), return_exceptions=True)


class WorkerRun:
    """One run in a process of its own.

    Attributes:
        started: whether its process exists; before that it waits for room.
        task: ends with what the entry function returned.
    """

    def __init__(
        self,
        entry: str,
        job: Any,
        on_progress: Callable[[WorkerProgress], None],
        room: asyncio.Semaphore,
        output: str | None,
    ) -> None:
        self.started = False
        self._entry = entry
        self._job = job
        self._on_progress = on_progress
        self._room = room
        self._output = output
        self._stopped = False
        self._killed = False
        self._connection: Any = None
        self._process: ForkServerProcess | None = None
        self.task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Ask for a graceful end: the outcome so far is still delivered."""
        self._stopped = True
        if self._connection is not None:
            with suppress(OSError):
                self._connection.send("stop")
        elif not self.started:
            self.task.cancel()

    def kill(self) -> None:
        """End the process at once; there will be no outcome."""
        self._killed = True
        if self._process is not None:
            _end(self._process)
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
        async with self._room:
            self.started = True
            loop = asyncio.get_running_loop()
            done: asyncio.Future[Any] = loop.create_future()
            context = multiprocessing.get_context(_CONTEXT)
            ours, theirs = context.Pipe()
            self._connection = ours
            board: Any = context.RawArray("q", BOARD_SIZE)
            arguments = (self._entry, self._job, theirs, self._output, board)
            process = context.Process(target=work, args=arguments, daemon=True)
            process.start()
            self._process = process
            theirs.close()
            if self._killed:
                _end(process)
            if self._stopped:
                self.stop()
            reader = threading.Thread(
                target=self._read,
                args=(ours, process, board, loop, done),
                name="signaldeck-worker",
                daemon=True,
            )
            reader.start()
            try:
                return await done
            finally:
                self._connection = self._process = None
                if not done.done():
                    _end(process)

    def _read(
        self,
        connection: Any,
        process: ForkServerProcess,
        board: Any,
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[Any],
    ) -> None:
        """In a thread of its own, because an outcome can be large and a pipe slow."""

        def settle(outcome: Any, error: EngineError | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(outcome)

        outcome, error = self._listen(connection, process, board, loop)
        process.join(_EXIT_SECONDS)
        _end(process)
        connection.close()
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(settle, outcome, error)

    def _listen(
        self, connection: Any, process: ForkServerProcess, board: Any, loop: Any
    ) -> tuple[Any, EngineError | None]:
        """Hand on progress until there is an outcome, or until it is clear that none will come."""
        job = self._job if isinstance(self._job, Limited) else None
        heard = time.monotonic()
        while True:
            # Whatever the process has forked may keep the connection open, so its end is watched.
            ready = wait([connection, process.sentinel], _LOOK_SECONDS)
            if connection in ready:
                try:
                    kind, payload = connection.recv()
                except (EOFError, OSError):
                    return None, self._death(process, board)
                except Exception as broken:
                    return None, WorkerError(f"the worker's answer cannot be read: {broken!r}")
                heard = time.monotonic()
                if kind == "outcome":
                    return payload, None
                if kind == "error":
                    return None, _rebuilt(*payload)
                if kind == "progress":
                    with suppress(RuntimeError):
                        loop.call_soon_threadsafe(self._on_progress, payload)
            elif ready:
                return None, self._death(process, board)
            elif job is not None:
                silent = time.monotonic() - heard
                if silent > job.limit_seconds + GRACE_SECONDS + _MISSED_SECONDS:
                    _end(process)
                    return None, StrategyTimeoutError(job.silence(*board))

    def _death(self, process: ForkServerProcess, board: Any) -> WorkerError:
        process.join(_EXIT_SECONDS)
        exitcode = process.exitcode
        if self._killed:
            return WorkerError("the run was killed")
        where = f", {self._job.place(*board)}" if isinstance(self._job, Limited) else ""
        if exitcode is not None and exitcode < 0:
            with suppress(ValueError):
                name = signal.Signals(-exitcode).name
                return WorkerError(
                    f"the worker process died ({name}){where}: its run is lost, other runs go on. "
                    "Out of memory, or killed from outside?"
                )
        return WorkerError(
            f"the worker process ended without a result (exit code {exitcode}){where}"
        )


def _end(process: ForkServerProcess) -> None:
    """Kill a worker, if it is there still, and whatever user code has forked from it.

    Not long after its end: its number may be somebody else's by then.
    """
    if process.pid is None:
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):  # it may not have got as far as a group of its own
        process.kill()


def _rebuilt(name: str, message: str) -> EngineError:
    """The error a worker reported; classes that need more than a message become `WorkerError`."""
    kind = getattr(errors, name, WorkerError)
    if not issubclass(kind, EngineError) or kind.__init__ is not EngineError.__init__:
        kind = WorkerError
    return kind(message)
