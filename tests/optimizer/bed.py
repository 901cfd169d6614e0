"""What the tests of optimizers share: ranges, sources, and an engine that asks a local Ollama."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from engine import Engine, add_optimizer
from engine.runs.sources import Pace
from tests.servers.ollama import MODEL, Answer, OllamaServer, serving, trader

SYMBOL = "BTCUSDT"
DAY_1 = {
    "start_date": datetime(2023, 3, 1, tzinfo=UTC),
    "end_date": datetime(2023, 3, 2, tzinfo=UTC),
}
DAY_2 = {
    "start_date": datetime(2023, 3, 2, tzinfo=UTC), "end_date": datetime(2023, 3, 3, tzinfo=UTC),
    "note": "the second day",
}  # fmt: skip
TEST = {
    "start_date": datetime(2023, 3, 3, 12, tzinfo=UTC),
    "end_date": datetime(2023, 3, 3, 13, tzinfo=UTC),
}

Fetch = Callable[..., list[Mapping[str, Any]]]


def rows_of(count: int, **more: Any) -> Fetch:
    """A source of ``count`` rows."""

    def fetch(symbol: str, start_date: datetime, end_date: datetime, limit: int, offset: int):
        stop = min(count, offset + limit)
        return [{"id": n, "day": f"{start_date:%m-%d}", **more} for n in range(offset, stop)]

    return fetch


def trend(**page: Any) -> list[Mapping[str, Any]]:
    """A source of three rows."""
    return rows_of(3, trend="up")(**page)


async def volume(**page: Any) -> list[Mapping[str, Any]]:
    """A source of two rows, async."""
    return rows_of(2, volume=7.5)(**page)


def fields(**changes: Any) -> dict[str, Any]:
    """An optimizer of two training ranges and two sources."""
    return {
        "optimizer_name": "trend", "range_train": [DAY_1, DAY_2], "range_test": TEST,
        "source": [trend, volume], "get_prompt": lambda symbol, messages: "buy low", **changes,
    }  # fmt: skip


def add(**changes: Any) -> None:
    """Register `fields`."""
    add_optimizer(**fields(**changes))


class FakeTime:
    """Seconds that pass when somebody sleeps, or when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def pace(self) -> Pace:
        """For a `SourceReader`."""
        return Pace(lambda: self.now, self.sleep)


@asynccontextmanager
async def bed(answer: Answer | str = trader) -> AsyncIterator[tuple[Engine, OllamaServer]]:
    """An engine that asks a local Ollama."""
    async with serving(answer) as server:
        config = {
            "ollama_host": server.url, "ollama_model": MODEL, "ollama_timeout_seconds": 20,
        }  # fmt: skip
        async with Engine(config=config) as engine:
            yield engine, server
