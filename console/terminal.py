"""The terminal under the console: it can go away, and it can ask the process to stop.

A terminal that is gone is noticed by its hang-up, whether or not a signal tells of it: processes
started by ``nohup`` or ``setsid`` get none. Writing to it fails from then on, so the streams are
led to nowhere.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

_LOOK_MS: Final = 500


class HangUpWatch:
    """Sends this process SIGHUP when its terminal hangs up without one; a context manager.

    Where there is no terminal to begin with, there is none to lose.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._terminal = os.isatty(descriptor)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="signaldeck-terminal", daemon=True)

    def __enter__(self) -> HangUpWatch:
        if self._terminal:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        if self._terminal:
            self._thread.join()

    @property
    def hung_up(self) -> bool:
        """Whether the other side of the terminal has gone."""
        return self._terminal and _wait_hang_up(self._descriptor, 0)

    def _run(self) -> None:
        while not self._over.is_set():
            if _wait_hang_up(self._descriptor, _LOOK_MS):
                os.kill(os.getpid(), signal.SIGHUP)
                return


def release_terminal() -> None:
    """Lead the standard streams to nowhere: what is written to a terminal that is gone fails."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def guard_suspension(refusal: Callable[[], str], tell: Callable[[str], None]) -> None:
    """Refuse SIGTSTP while there is a reason to; else what was there before handles it.

    Call it on the main thread, once the terminal's driver has put its own handler in place.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    before: Any = signal.getsignal(signal.SIGTSTP)
    if not callable(before):
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if why := refusal():
            tell(why)
        else:
            before(number, frame)

    signal.signal(signal.SIGTSTP, handle)


def _wait_hang_up(descriptor: int, milliseconds: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)  # A hang-up is told without being asked for.
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(milliseconds))
