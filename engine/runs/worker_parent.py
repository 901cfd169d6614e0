"""A worker process as its parent sees it: one job at a time, its progress, its end.

A thread for each process listens to it, because an outcome can be large and a pipe slow. Whatever
happens to the process, the job that it had ends with an outcome or an error.
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
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from engine.domain import errors
from engine.domain.errors import EngineError, StrategyTimeoutError, WorkerError
from engine.runs.silence import Call
from engine.runs.worker_process import BOARD_SIZE, GRACE_SECONDS, WorkerProgress, work

CONTEXT: Final = "forkserver"
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


class Outcome(NamedTuple):
    """What became of a job: a value, or an error."""

    value: Any = None
    error: EngineError | None = None


class WorkerProcess:
    """A process that was forked for jobs.

    Args:
        entry: ``module:function`` it calls with each job and its `WorkerControl`.
        output: file that gets what user code prints; None is our standard error.
    """

    def __init__(self, entry: str, output: str | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._job: Any = None
        self._done: asyncio.Future[Outcome] | None = None
        self._told: Callable[[WorkerProgress], None] | None = None
        self._killed = False
        self._leaving = False
        self._over = self._loop.create_future()
        context = multiprocessing.get_context(CONTEXT)
        self._connection: Any
        self._connection, theirs = context.Pipe()
        self._board: Any = context.RawArray("q", BOARD_SIZE)
        self._process: ForkServerProcess = context.Process(
            target=work, args=(entry, theirs, output, self._board), daemon=True
        )
        self._process.start()
        theirs.close()
        threading.Thread(target=self._listen, name="signaldeck-worker", daemon=True).start()

    @property
    def usable(self) -> bool:
        """Whether it can be given another job."""
        if self._killed or self._leaving or self._over.done() or self._done is not None:
            return False
        return not wait([self._process.sentinel], 0)

    def begin(
        self, job: Any, told: Callable[[WorkerProgress], None], *, last: bool
    ) -> asyncio.Future[Outcome]:
        """Give it a job; the future always gets an `Outcome`.

        Args:
            job: what the entry function gets.
            told: called on the loop with every `WorkerProgress`.
            last: the process ends after it.

        Raises:
            WorkerError: the job cannot be pickled.
        """
        done: asyncio.Future[Outcome] = self._loop.create_future()
        self._board[0] = self._board[1] = 0
        self._job, self._told, self._done = job, told, done
        try:
            with suppress(OSError):  # it has died, which its listener is about to say
                self._connection.send(("job", (job, last)))
        except Exception as error:
            raise WorkerError(
                f"the run cannot be handed to a worker process: {error}: use parameters that can "
                "be pickled (numbers, texts, lists), or one worker"
            ) from error
        return done

    def stop(self) -> None:
        """Ask for a graceful end of the job."""
        with suppress(OSError):
            self._connection.send(("stop", None))

    def end(self) -> None:
        """Let it go as soon as it has nothing to do."""
        with suppress(OSError):
            self._connection.send(("end", None))

    def kill(self) -> None:
        """End it at once."""
        self._killed = True
        if not self._over.done():
            _end(self._process)

    def when_ended(self, call: Callable[[], None]) -> None:
        """Call something on the loop when the process has gone."""
        self._over.add_done_callback(lambda _: call())

    async def ended(self) -> None:
        """Return when the process has gone."""
        await asyncio.shield(self._over)

    # -- on the loop ---------------------------------------------------------------------------

    def _settle(self, outcome: Outcome) -> None:
        done, self._done, self._job = self._done, None, None
        if done is not None and not done.done():
            done.set_result(outcome)

    def _tell(self, progress: WorkerProgress) -> None:
        if self._told is not None and self._done is not None:
            self._told(progress)

    def _gone(self, outcome: Outcome) -> None:
        self._settle(outcome)
        if not self._over.done():
            self._over.set_result(None)

    # -- in the listening thread -----------------------------------------------------------------

    def _listen(self) -> None:
        last = self._heard_last()
        self._process.join(_EXIT_SECONDS)
        _end(self._process)
        self._connection.close()
        self._post(self._gone, last)

    def _heard_last(self) -> Outcome:
        """Hand on what it says until it says no more; what to make of a job it still has."""
        heard = time.monotonic()
        while True:
            # Whatever the process has forked may keep the connection open, so its end is watched.
            ready = wait([self._connection, self._process.sentinel], _LOOK_SECONDS)
            if self._connection in ready:
                try:
                    kind, payload = self._connection.recv()
                except (EOFError, OSError):
                    return Outcome(error=self._death())
                except Exception as broken:
                    return Outcome(
                        error=WorkerError(f"the worker's answer cannot be read: {broken!r}")
                    )
                heard = time.monotonic()
                self._hear(kind, payload)
            elif ready:
                return Outcome(error=self._death())
            else:
                job = self._job
                silent = time.monotonic() - heard
                if isinstance(job, Limited) and silent > (
                    job.limit_seconds + GRACE_SECONDS + _MISSED_SECONDS
                ):
                    _end(self._process)
                    return Outcome(error=StrategyTimeoutError(job.silence(*self._board)))

    def _hear(self, kind: str, payload: Any) -> None:
        if kind == "outcome":
            self._post(self._settle, Outcome(payload))
        elif kind in ("error", "leaving"):
            # One that leaves is there for a moment still: it must not be given another job.
            self._leaving = self._leaving or kind == "leaving"
            self._post(self._settle, Outcome(error=_rebuilt(*payload)))
        elif kind == "progress":
            self._post(self._tell, payload)

    def _post(self, call: Callable[[Any], None], payload: Any) -> None:
        with suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(call, payload)

    def _death(self) -> WorkerError:
        self._process.join(_EXIT_SECONDS)
        exitcode, job = self._process.exitcode, self._job
        if self._killed:
            return WorkerError("the run was killed")
        where = f", {job.place(*self._board)}" if isinstance(job, Limited) else ""
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
