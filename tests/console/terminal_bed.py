"""A real terminal for a test: a program on a pty, its screen read by pyte."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

TIMEOUT = 60.0
"""Seconds after which waiting for the screen gives up."""


class Terminal:
    """A program that believes it runs in a terminal of the given size.

    Args:
        command: program and arguments.
        cwd: its working directory.
        environment: its whole environment.
        size: columns and lines.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        size: tuple[int, int] = (120, 40),
    ) -> None:
        columns, lines = size
        self.screen = pyte.Screen(columns, lines)
        self._lines: dict[int, str] = {}
        self._stream = pyte.ByteStream(self.screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            # A busy machine may read the bytes of an arrow key so far apart that its first one is
            # taken for the escape key.
            env={**environment, "TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none",
                 "ESCDELAY": "1000"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(theirs)
        self._open = True

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.hang_up()

    @property
    def text(self) -> str:
        """What the screen shows; only lines that were written to since are put together again."""
        for y in self.screen.dirty:
            line = self.screen.buffer[y]
            # What follows a wide character is an empty one.
            cells = (line[x].data for x in range(self.screen.columns))
            self._lines[y] = "".join(cells).rstrip()
        self.screen.dirty.clear()
        return "\n".join(self._lines[y] for y in range(self.screen.lines))

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Make the window another size; the program gets SIGWINCH."""
        self.screen.resize(lines, columns)
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def hang_up(self) -> None:
        """Close the window."""
        if self._open:
            self._open = False
            os.close(self._ours)

    def until(self, shows: str | Callable[[str], object]) -> str:
        """Read until the screen shows something, and answer its text."""
        holds = (lambda text: shows in text) if isinstance(shows, str) else shows
        deadline = time.monotonic() + TIMEOUT
        while not holds(self.text):
            more = self._all_there_is(deadline - time.monotonic())
            assert more or holds(self.text), f"not shown: {shows}\n{self.text}"
        return self.text

    def wait(self, holds: Callable[[], object]) -> None:
        """Read until something outside of the screen holds."""
        deadline = time.monotonic() + TIMEOUT
        while not holds():
            assert time.monotonic() < deadline, self.text
            self._read(0.05)

    def status(self) -> int:
        """Read until the program ends, and answer its exit status."""
        deadline = time.monotonic() + TIMEOUT
        while self._read(deadline - time.monotonic()):
            continue
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, seconds: float) -> bool:
        """Feed what the program wrote to the screen; False at its end or when time is up."""
        ready, _, _ = select.select([self._ours], [], [], max(0.0, seconds))
        if not ready:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            return False  # Linux says so when the program has closed its side.
        self._stream.feed(data)
        return bool(data)

    def _all_there_is(self, seconds: float) -> bool:
        """Read, and then on as long as more is there; False at its end or when time is up."""
        alive = self._read(seconds)
        while alive and select.select([self._ours], [], [], 0.0)[0]:
            alive = self._read(0.0)
        return alive
