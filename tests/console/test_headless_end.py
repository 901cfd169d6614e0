"""The end of a headless run, whatever listeners of strategy files do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from console import live_command
from console.live_command import Headless, LiveOptions
from engine import Engine


async def test_a_listener_that_never_returns_does_not_keep_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_command, "FLUSH_SECONDS", 0.05)
    heard: list[Any] = []

    async def never(event: Any) -> None:
        heard.append(event)
        await asyncio.Event().wait()

    async with Engine() as engine:
        engine.bus.subscribe("error", never)
        engine.bus.publish("error", RuntimeError("x"))
        options = LiveOptions("s", (), "x", "detach", json=False)
        async with asyncio.timeout(30):
            assert await Headless(engine, "state.db", options).run(()) == 0
    assert len(heard) == 1
