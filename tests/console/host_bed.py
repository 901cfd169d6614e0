"""What the tests of the engine's host share: a started host, and waiting without sleeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from console.follower import FollowingHost
from console.host import EngineHost, HostPlan
from console.notices import HostEvent
from console.views import DeckSnapshot, RunRequest

TIMEOUT = 60.0
"""Seconds after which a test that waits gives up."""


class Watcher:
    """Listens to a host and wakes on every event."""

    def __init__(self, host: EngineHost | FollowingHost) -> None:
        self.host = host
        self.events: list[tuple[float, HostEvent]] = []
        self._wake = threading.Condition()
        host.set_listener(self._hear)

    def _hear(self, event: HostEvent) -> None:
        with self._wake:
            self.events.append((time.monotonic(), event))
            self._wake.notify_all()

    def of(self, kind: type[HostEvent]) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def until(self, holds: Callable[[DeckSnapshot], Any]) -> DeckSnapshot:
        """Wait until a snapshot fulfils something, and answer it."""
        found: list[DeckSnapshot] = []

        def check() -> bool:
            shot = self.host.snapshot
            return bool(holds(shot)) and not found.append(shot)

        with self._wake:
            assert self._wake.wait_for(check, TIMEOUT), self.host.snapshot
        return found[0]


@contextmanager
def running(plan: HostPlan) -> Iterator[Watcher]:
    """A started host with a watcher, closed at the end."""
    host = EngineHost(plan)
    watcher = Watcher(host)
    host.start()
    try:
        yield watcher
    finally:
        host.begin_shutdown(drain=False).result(TIMEOUT)
        assert host.join(TIMEOUT)


def live(strategy_name: str, symbol: str = "BTCUSDT") -> RunRequest:
    return RunRequest("live", strategy_name, symbol, "simulated")


def past(strategy_name: str, **changes: str) -> RunRequest:
    fields = {"start": "2025-07-02", "end": "2025-07-03T23:59", "interval": "1m", **changes}
    return RunRequest("backtest", strategy_name, "BTCUSDT", "simulated", **fields)
