"""The worker's side of `engine.runs.workers`: what runs in the process that was forked for a run.

The run has the main thread; a second thread reports its progress, passes stops on to it, and ends
the process when its parent died or when user code does not come back.
"""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final, Protocol

from engine.domain.errors import EngineError
from engine.runs.generation import Board
from engine.runs.silence import Call

GRACE_SECONDS: Final = 1.0
"""Past the time limit an inline overrun reports itself first; only silence is killed."""

BOARD_SIZE: Final = 2
"""Integers on the board a worker shares with its parent: what its main thread is doing, and when.

The first is 0, or what `Job.silence` is to make of it; the second the newest instant, ms UTC.
"""

_POLL_SECONDS: Final = 0.05
_PROGRESS_EVERY: Final = 2
_ALIVE_EVERY: Final = 10
_NICE: Final = 10


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

    @property
    def limit_seconds(self) -> float:
        """Seconds a question to the strategy, or another call of user code, may take."""
        ...

    def stop(self) -> None:
        """Ask for a graceful end."""
        ...

    def progress(self) -> WorkerProgress | None:
        """How far it is; None before it began."""
        ...

    def question(self) -> object:
        """The question the strategy has not answered yet, equal only to itself; None if none."""
        ...

    def call(self) -> Call | None:
        """Other user code that has not come back."""
        ...

    def silence(self, call: Call | None) -> str:
        """The message for a call, or else a question, that took longer than the limit."""
        ...


class WorkerControl:
    """In the worker: follows the run from a thread of its own, talks to the parent.

    Attributes:
        board: integers that the parent can read whatever this process is doing.
        kept: what the entry function wants to find again when it is called for the next job.
        endings: called when there are no more jobs.
    """

    def __init__(self, connection: Connection[Any, Any], board: Board) -> None:
        self.board = board
        self.kept: dict[str, Any] = {}
        self.endings: list[Callable[[], None]] = []
        self._connection = connection
        self._lock = threading.Lock()
        self._followed: Followed | None = None
        self._stopped = False
        self._jobs: queue.SimpleQueue[tuple[Any, bool] | None] = queue.SimpleQueue()
        threading.Thread(target=self._watch, name="signaldeck-control", daemon=True).start()

    def follow(self, run: Followed) -> None:
        """Report this run's progress, pass stops on to it, watch its silence."""
        self._followed = run
        if self._stopped:
            run.stop()

    def next_job(self) -> tuple[Any, bool] | None:
        """Wait for a job, and whether it is the last one; None when there will be no more."""
        return self._jobs.get()

    def finish(self, kind: str, payload: object) -> None:
        """Send the last message; nothing is reported after it."""
        self._followed = None
        self._send((kind, payload))

    def _send(self, message: tuple[str, object]) -> None:
        # Before the lock is taken: while a large outcome is packed the parent has to hear of us.
        packed = ForkingPickler.dumps(message)
        with self._lock, suppress(OSError):
            self._connection.send_bytes(packed)

    def _watch(self) -> None:
        parent = multiprocessing.parent_process()
        sentinel: Any = parent.sentinel if parent is not None else None
        sources = [self._connection] + ([sentinel] if sentinel is not None else [])
        rounds, question, call = 0, _Same(), _Same()
        while True:
            ready = wait(sources, _POLL_SECONDS)
            if sentinel is not None and sentinel in ready:
                _leave()
            if self._connection in ready:
                try:
                    self._obey(*self._connection.recv())
                except (EOFError, OSError):
                    _leave()
                except Exception as error:  # of unpickling: a class that is not to be found here
                    self._refuse(error)
            rounds += 1
            run = self._followed
            if run is None:
                if rounds % _ALIVE_EVERY == 0:
                    self._send(("alive", None))
                continue
            if rounds % _PROGRESS_EVERY == 0:
                self._report(run)
            limit, calling = run.limit_seconds + GRACE_SECONDS, run.call()
            if call.seconds(calling.frame if calling else None) > limit:
                self._give_up(run.silence(calling))
            if question.seconds(run.question()) > limit:
                self._give_up(run.silence(None))

    def _obey(self, command: str, payload: Any) -> None:
        if command == "job":
            self._stopped = False  # whatever was said before was said of another job
            self._jobs.put(payload)
        elif command == "end":
            self._jobs.put(None)
        else:
            self._stopped = True
            if self._followed is not None:
                self._followed.stop()

    def _report(self, run: Followed) -> None:
        made = run.progress()
        self._send(("alive", None) if made is None else ("progress", made))

    def _refuse(self, error: Exception) -> None:
        text = (
            f"the run cannot be taken over by a worker process: {type(error).__name__}: {error}: "
            "use parameters that can be pickled (numbers, texts, lists), or one worker"
        )
        self.finish("leaving", ("WorkerError", text))
        _leave()

    def _give_up(self, message: str) -> None:
        self.finish("leaving", ("StrategyTimeoutError", message))
        _leave()


class _Same:
    """How long the same thing has been seen."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = 0.0

    def seconds(self, seen: object) -> float:
        now = time.monotonic()
        if seen is None or seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since


def _leave() -> None:
    """End this process at once, and whatever user code has forked from it."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def work(entry: str, connection: Connection[Any, Any], output: str | None, shared: Any) -> None:
    """What a worker process does: call the entry function for each job and send what comes of it.

    Args:
        entry: ``module:function``, called with a job and a `WorkerControl`.
        connection: to the parent, which sends jobs.
        output: file that gets what user code prints; None is standard error.
        shared: the board, as raw shared memory.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A session of its own: what user code forks can be ended with it, and no terminal stops it.
    os.setsid()
    if output is None:
        os.dup2(2, 1)
    else:
        file = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
    with suppress(OSError):
        os.nice(_NICE)
    gc.freeze()  # what came with the fork is never garbage, and looking at it copies its pages
    control = WorkerControl(connection, memoryview(shared).cast("B").cast("q"))
    while (found := control.next_job()) is not None:
        job, last = found
        _do(entry, job, control)
        if last:
            break
    for ending in control.endings:
        ending()


def _do(entry: str, job: Any, control: WorkerControl) -> None:
    module, _, name = entry.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        control.finish("outcome", function(job, control))
    except EngineError as error:
        control.finish("error", (type(error).__name__, str(error)))
    except BaseException as error:
        control.finish("error", ("WorkerError", f"{type(error).__name__}: {error}"))
