"""What worker processes run in the tests: functions of a job and its control."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from engine.domain.errors import NotRegisteredError, SettingsError
from engine.runs.workers import WorkerControl, WorkerProgress


class Fake:
    """A run that is followed: it counts the looks at it and remembers a stop."""

    def __init__(self, limit: float = 1e9, question: object = None) -> None:
        self.stopped = threading.Event()
        self.seen = threading.Event()
        self.limit_seconds = limit
        self._question = question
        self._looks = 0

    def stop(self) -> None:
        self.stopped.set()

    def progress(self) -> WorkerProgress:
        self._looks += 1
        if self._looks > 1:
            self.seen.set()
        return WorkerProgress(self._looks / 100, os.getpid(), self._looks, 100, 0)

    def question(self) -> object:
        return self._question

    def call(self) -> None:
        return None

    def silence(self, call: object) -> str:
        return "strategy 'mute' on BTCUSDT did not answer for the bar at noon"


def answers(job: Any, control: WorkerControl) -> Any:
    return {"job": job, "pid": os.getpid(), "nice": os.nice(0),
            "sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN}  # fmt: skip


def reports_until_stopped(job: Any, control: WorkerControl) -> Any:
    run = Fake()
    control.follow(run)
    run.stopped.wait()
    return f"stopped {job}"


def reports_twice(job: Any, control: WorkerControl) -> Any:
    run = Fake()
    control.follow(run)
    run.seen.wait()
    return "reported"


def large(job: int, control: WorkerControl) -> Any:
    return b"x" * job


def killed(job: Any, control: WorkerControl) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(job: int, control: WorkerControl) -> Any:
    os._exit(job)


def fails(job: str, control: WorkerControl) -> Any:
    match job:
        case "engine":
            raise NotRegisteredError("strategy 'x' not found")
        case "settings":
            raise SettingsError(["one", "two"])
        case "exit":
            sys.exit(4)
        case "unpicklable":
            return lambda: None
        case _:
            raise ValueError(job)


def odd_jobs(job: str, control: WorkerControl) -> Any:
    if job == "boom":
        raise ValueError(job)
    if job == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def mute(job: Any, control: WorkerControl) -> Any:
    control.follow(Fake(limit=-0.9, question="noon"))
    threading.Event().wait()


def slow_but_answering(job: Any, control: WorkerControl) -> Any:
    """Nothing is being asked, so however long it takes it is not silent."""
    run = Fake(limit=-1.0, question=None)
    control.follow(run)
    run.seen.wait()
    return "patient"
