"""Runs in worker processes: one process per run, so that a bad run can only hurt itself.

Processes come from a forkserver that is started before any thread exists, run at nice 10, ignore
SIGINT (the parent decides) and end when their parent does. Progress comes back ten times a second,
a stop arrives within a fifth of a second, and a strategy that stays silent past its time limit is
killed together with its process.
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Any, Final, Protocol

from engine.domain import errors
from engine.domain.errors import EngineError, WorkerError
from engine.domain.outcome import BacktestOutcome

_POLL_SECONDS: Final = 0.05
_PROGRESS_EVERY: Final = 2
_NICE: Final = 10
_CONTEXT: Final = "forkserver"


@dataclass(frozen=True, slots=True)
class WorkerProgress:
    """How far a run is: ``fraction`` 0 to 1, ``when`` the simulated instant in ms UTC."""

    fraction: float
    when: int
    processed: int
    total: int
    trades: int


class Followed(Protocol):
    """What a worker's control thread asks of the run it watches; called from that thread."""

    def stop(self) -> None:
        """Ask for a graceful end."""
        ...

    def progress(self) -> WorkerProgress:
        """How far it is."""
        ...

    def question(self) -> tuple[int, object]:
        """A number that grows with every question to the strategy, and what is open now."""
        ...

    def silence(self) -> tuple[float, str]:
        """Seconds a question may stay open, and the message when it stays open longer."""
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
            job: what the entry function gets; it must be picklable.
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
        self.task: asyncio.Task[BacktestOutcome] = asyncio.get_running_loop().create_task(
            self._run()
        )

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
        if self._process is not None and self._process.is_alive():
            self._process.kill()
        elif not self.started:
            self.task.cancel()

    async def result(self) -> BacktestOutcome:
        """The outcome, once there is one.

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

    async def _run(self) -> BacktestOutcome:
        async with self._room:
            self.started = True
            loop = asyncio.get_running_loop()
            done: asyncio.Future[BacktestOutcome] = loop.create_future()
            context = multiprocessing.get_context(_CONTEXT)
            ours, theirs = context.Pipe()
            self._connection = ours
            self._process = context.Process(
                target=_child, args=(self._entry, self._job, theirs, self._output), daemon=True
            )
            self._process.start()
            theirs.close()
            if self._killed:
                self._process.kill()
            if self._stopped:
                self.stop()
            reader = threading.Thread(
                target=self._read, args=(loop, done), name="signaldeck-worker", daemon=True
            )
            reader.start()
            try:
                return await done
            finally:
                self._connection = None
                if self._process.is_alive():
                    self._process.kill()

    def _read(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[BacktestOutcome]) -> None:
        """In a thread of its own, because an outcome can be large and a pipe slow."""
        connection, process = self._connection, self._process
        assert connection is not None and process is not None

        def settle(outcome: BacktestOutcome | None, error: EngineError | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            elif outcome is not None:
                done.set_result(outcome)

        outcome: BacktestOutcome | None = None
        error: EngineError | None = None
        while outcome is None and error is None:
            try:
                kind, payload = connection.recv()
            except (EOFError, OSError):
                process.join(5)
                error = self._death(process.exitcode)
                break
            except Exception as broken:
                error = WorkerError(f"the worker's answer cannot be read: {broken!r}")
                break
            if kind == "progress":
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._on_progress, payload)
            elif kind == "outcome":
                outcome = payload
            else:
                error = _rebuilt(*payload)
        process.join(5)
        connection.close()
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(settle, outcome, error)

    def _death(self, exitcode: int | None) -> WorkerError:
        if self._killed:
            return WorkerError("the run was killed")
        if exitcode is not None and exitcode < 0:
            with suppress(ValueError):
                name = signal.Signals(-exitcode).name
                return WorkerError(
                    f"the worker process died ({name}): its run is lost, other runs go on. "
                    "Out of memory, or killed from outside?"
                )
        return WorkerError(f"the worker process ended without a result (exit code {exitcode})")


class WorkerControl:
    """In the worker: follows the run from a thread of its own, talks to the parent."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._followed: Followed | None = None
        self._stopped = False
        threading.Thread(target=self._watch, name="signaldeck-control", daemon=True).start()

    def follow(self, run: Followed) -> None:
        """Report this run's progress, pass stops on to it, watch its silence."""
        self._followed = run
        if self._stopped:
            run.stop()

    def finish(self, kind: str, payload: object) -> None:
        """Send the last message; nothing is reported after it."""
        self._followed = None
        self._send((kind, payload))

    def _send(self, message: tuple[str, object]) -> None:
        with self._lock, suppress(OSError):
            self._connection.send(message)

    def _watch(self) -> None:
        parent = multiprocessing.parent_process()
        sentinel: Any = parent.sentinel if parent is not None else None
        sources = [self._connection] + ([sentinel] if sentinel is not None else [])
        rounds, seen, since = 0, -1, time.monotonic()
        while True:
            ready = wait(sources, _POLL_SECONDS)
            if sentinel is not None and sentinel in ready:
                os._exit(1)
            if self._connection in ready:
                try:
                    self._connection.recv()
                except (EOFError, OSError):
                    os._exit(1)
                self._stopped = True
                if self._followed is not None:
                    self._followed.stop()
            run = self._followed
            if run is None:
                continue
            rounds += 1
            if rounds % _PROGRESS_EVERY == 0:
                self._send(("progress", run.progress()))
            number, asked = run.question()
            if number != seen or asked is None:
                seen, since = number, time.monotonic()
            else:
                limit, message = run.silence()
                if time.monotonic() - since > limit:
                    self.finish("error", ("StrategyTimeoutError", message))
                    os._exit(3)


def _child(entry: str, job: Any, connection: Connection[Any, Any], output: str | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if output is None:
        os.dup2(2, 1)
    else:
        file = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
    with suppress(OSError):
        os.nice(_NICE)
    control = WorkerControl(connection)
    module, _, name = entry.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        control.finish("outcome", function(job, control))
    except EngineError as error:
        control.finish("error", (type(error).__name__, str(error)))
    except BaseException as error:
        control.finish("error", ("WorkerError", f"{type(error).__name__}: {error}"))


def _rebuilt(name: str, message: str) -> EngineError:
    """The error a worker reported; classes that need more than a message become `WorkerError`."""
    kind = getattr(errors, name, WorkerError)
    if not issubclass(kind, EngineError) or kind.__init__ is not EngineError.__init__:
        kind = WorkerError
    return kind(message)
