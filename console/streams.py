"""Lines to a stream from a thread of their own: a reader that falls asleep holds up no live run."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import Final

_WAITING: Final = 10_000
"""Lines that wait for a reader; more are lost, and their number is told."""


class LineWriter:
    """Writes whole lines, in order.

    Args:
        descriptor: where to.
        on_gone: called once, from the thread, when the reader has left; later lines go nowhere.
    """

    def __init__(self, descriptor: int, on_gone: Callable[[], object] = lambda: None) -> None:
        self._descriptor = descriptor
        self._on_gone = on_gone
        self._lines: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._lost = 0
        self._gone = False
        self._thread = threading.Thread(target=self._run, name="signaldeck-lines", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue a line; it never waits."""
        try:
            self._lines.put_nowait(f"{line}\n".encode(errors="backslashreplace"))
        except queue.Full:
            self._lost += 1

    def close(self, seconds: float) -> None:
        """Write what waits, as long as the reader takes it, but no longer than this."""
        try:
            self._lines.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _run(self) -> None:
        told = 0
        while (line := self._lines.get()) is not None:
            if (lost := self._lost) > told:
                self._write(f"signaldeck: {lost - told} line(s) left out: nobody read\n".encode())
                told = lost
            self._write(line)

    def _write(self, data: bytes) -> None:
        # Past the stream's own buffer, whose lock the end of the interpreter would wait for. One
        # write where possible: whoever reads line by line never sees half of one.
        while data and not self._gone:
            try:
                data = data[os.write(self._descriptor, data) :]
            except OSError:
                self._gone = True
                self._on_gone()
