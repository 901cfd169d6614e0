"""Clocks: the wall, the wall at another speed, and one that tests and replays drive.

``working()`` marks code that must finish before simulated time may move on; on real clocks it
does nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

_SETTLE_ROUNDS = 5
"""Loop rounds without work before simulated time moves: callbacks of finished tasks need a few."""


class SystemClock:
    """The wall clock, in ms UTC."""

    speed = 1.0

    def now(self) -> int:
        """The present instant, ms UTC."""
        return time.time_ns() // 1_000_000

    async def sleep_until(self, instant: int) -> None:
        """Return when ``now() >= instant``; long sleeps notice a clock that was set meanwhile."""
        while (left := instant - self.now()) > 0:
            await asyncio.sleep(min(left, 30_000) / 1000)

    @contextmanager
    def working(self) -> Generator[None]:
        """Nothing to do: real time does not wait."""
        yield

    @contextmanager
    def waiting(self) -> Generator[None]:
        """Nothing to do: real time does not wait."""
        yield


class AcceleratedClock(SystemClock):
    """A clock that starts at ``start`` (ms UTC) and runs ``speed`` times as fast as the wall."""

    def __init__(self, start: int, speed: float) -> None:
        self.start = start
        self.speed = speed
        self._origin = time.monotonic()

    def now(self) -> int:
        """The present simulated instant, ms UTC."""
        return self.start + int((time.monotonic() - self._origin) * 1000 * self.speed)

    async def sleep_until(self, instant: int) -> None:
        """Return when ``now() >= instant``."""
        while (left := instant - self.now()) > 0:
            await asyncio.sleep(left / 1000 / self.speed + 0.0005)


class SimulatedClock:
    """A clock that jumps to the next sleeper as soon as nobody is working.

    A task that enters ``working()`` holds time still until it sleeps on this clock, enters
    ``waiting()`` (it waits for another task), or leaves. So a whole day passes as fast as it can
    be computed and the order of wake-ups is that of their instants, then of their calls.
    """

    speed = 0.0

    def __init__(self, start: int) -> None:
        self._now = start
        self._busy = 0
        self._holders: set[asyncio.Task[Any] | None] = set()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0
        self._pending = False
        self._left = 0

    def now(self) -> int:
        """The present simulated instant, ms UTC."""
        return self._now

    async def sleep_until(self, instant: int) -> None:
        """Return when time has been moved to ``instant``."""
        if instant <= self._now:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (instant, self._count, future))
        with self.waiting():
            await future

    @contextmanager
    def working(self) -> Generator[None]:
        """Hold time still while the current task is inside and not sleeping."""
        task = asyncio.current_task()
        self._holders.add(task)
        self._busy += 1
        try:
            yield
        finally:
            self._holders.discard(task)
            self._release()

    @contextmanager
    def waiting(self) -> Generator[None]:
        """Let time move while a working task waits for something else."""
        holds = asyncio.current_task() in self._holders
        if holds:
            self._release()
        else:
            self._watch()
        try:
            yield
        finally:
            if holds:
                self._busy += 1

    def _release(self) -> None:
        self._busy -= 1
        if self._busy == 0:
            self._watch()

    def _watch(self) -> None:
        # Counted anew at every pause: an older countdown must not end in the middle of a hand-over.
        self._left = _SETTLE_ROUNDS
        if not self._pending:
            self._pending = True
            asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        if self._busy:
            self._pending = False
        elif self._left:
            self._left -= 1
            asyncio.get_running_loop().call_soon(self._advance)
        else:
            self._pending = False
            self._wake_next()

    def _wake_next(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers:
            return
        self._now = max(self._now, self._sleepers[0][0])
        while self._sleepers and self._sleepers[0][0] <= self._now:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)
        self._watch()
