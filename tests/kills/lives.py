"""Births and deaths: the process that forks lives, and how each of them is killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Self

from tests.kills.life import Orders

_PATIENCE: float = 120.0
"""A life that takes longer than this many seconds hangs."""


@dataclass(frozen=True, slots=True)
class Kill:
    """How a life ends.

    Attributes:
        point, count: at the ``count``-th arrival at a point of `fate.POINTS`, exactly; or, when
            ``point`` is "", from outside, wherever it happens to be:
        requests: after so many requests to the exchange,
        seconds: and so long after that.
    """

    point: str = ""
    count: int = 0
    requests: int = 0
    seconds: float = 0.0

    @classmethod
    def at_random(cls, chance: random.Random) -> Kill:
        """A kill at any moment: a third of them while the process starts and recovers."""
        if chance.random() < 1 / 3:
            return cls(seconds=chance.uniform(0.0, 0.25))
        return cls(requests=chance.randrange(1, 90), seconds=chance.uniform(0.0, 0.012))

    def __str__(self) -> str:
        if self.point:
            return f"{self.point} #{self.count}"
        return f"{self.seconds * 1000:.0f} ms after request {self.requests}"


class Zygote:
    """The process that lives are forked from; a context manager. One life at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.zygote"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip

    def __enter__(self) -> Self:
        assert self._stdout.readline().strip() == "ready"
        return self

    def __exit__(self, *error: object) -> None:
        self._stdin.close()
        self._process.wait()
        self._stdout.close()

    async def life(self, orders: Orders, kill: Kill | None, requests: Callable[[], int]) -> int:
        """Let one life begin and wait for its end: the exit status, negative for a signal.

        Args:
            orders: what it is told.
            kill: how it is killed from outside; None, or one at a point, lets it end by itself.
            requests: how many requests the exchange has had so far.
        """
        before = requests()
        self._stdin.write(f"{orders.to_json()}\n")
        pid = int(await self._line())
        over = asyncio.create_task(self._line())
        try:
            if kill is not None and not kill.point:
                await _wait(over, lambda: requests() - before >= kill.requests)
                await asyncio.wait([over], timeout=kill.seconds)
                _kill(pid, over)
            done, _ = await asyncio.wait([over], timeout=_PATIENCE)
            assert done, f"a life hangs: {orders}"
        finally:
            _kill(pid, over)
            status = await over
        return int(status)

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    async def _line(self) -> str:
        return (await asyncio.to_thread(self._stdout.readline)).strip()


async def _wait(over: asyncio.Task[str], met: Callable[[], bool]) -> None:
    while not met() and not over.done():
        await asyncio.wait([over], timeout=0.001)


def _kill(pid: int, over: asyncio.Task[str]) -> None:
    # Until its end has been told the pid is its own: the zygote has not reaped it.
    if not over.done():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
