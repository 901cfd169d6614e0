"""Every listener there is meant to be, and the topics themselves for embedders."""

from __future__ import annotations

from typing import Any

import pytest

import engine
from engine import Engine, SchemaError, emitters
from engine.services.bus import TOPICS

LISTENERS = {
    "signal": "signal", "signal_backtest": "signal_backtest", "signal_live": "signal_live",
    "error": "error", "exit": "exit", "done_backtest": "done_backtest", "done_live": "done_live",
    "done_walker": "done_walker", "backtest_progress": "progress_backtest",
    "walker_progress": "progress_walker", "optimizer_progress": "progress_optimizer",
    "performance": "performance", "walker": "walker", "walker_complete": "walker_complete",
    "validation": "validation", "partial_profit": "partial_profit",
    "partial_loss": "partial_loss", "risk": "risk",
}  # fmt: skip
"""Listener functions without ``listen_``, and the topic each listens to."""

WITH_ONCE = (
    "signal", "signal_backtest", "signal_live", "done_backtest", "done_live", "done_walker",
    "walker", "partial_profit", "partial_loss", "risk",
)  # fmt: skip


async def test_there_are_28_listeners_and_each_hears_its_topic() -> None:
    assert len(LISTENERS) + len(WITH_ONCE) == 28
    async with Engine() as made:
        heard: dict[str, list[Any]] = {}
        for name in LISTENERS:
            getattr(engine, f"listen_{name}")(heard.setdefault(name, []).append)
        for name in WITH_ONCE:
            once = heard.setdefault(f"{name}_once", [])
            getattr(engine, f"listen_{name}_once")(lambda event: event[1] == 2, once.append)
        for topic in set(LISTENERS.values()):
            for number in (1, 2, 2):
                made.bus.publish(topic, (topic, number))
        await made.bus.flush()
    for name, topic in LISTENERS.items():
        assert heard[name] == [(topic, 1), (topic, 2), (topic, 2)]
    for name in WITH_ONCE:
        assert heard[f"{name}_once"] == [(LISTENERS[name], 2)]


async def test_emitters_are_the_topics_of_the_current_engine() -> None:
    assert [emitter.topic for emitter in emitters] == list(TOPICS)
    assert set(dir(emitters)) == set(TOPICS)
    heard: list[Any] = []
    async with Engine() as outer:
        unsubscribe = emitters.risk.subscribe(heard.append)
        emitters.risk.once(lambda event: event == 2, lambda event: heard.append(("once", event)))
        async with Engine() as inner:
            emitters.risk.publish("to the inner one")
            await inner.bus.flush()
        for event in (1, 2, 2):
            emitters.risk.publish(event)
        await outer.bus.flush()
        unsubscribe()
        emitters.risk.publish(3)
        await outer.bus.flush()
    assert [e for e in heard if not isinstance(e, tuple)] == [1, 2, 2]
    assert [e for e in heard if isinstance(e, tuple)] == [("once", 2)]
    assert repr(emitters.risk) == "emitters.risk"
    with pytest.raises(AttributeError, match="no topic 'news': use one of signal"):
        emitters.news  # noqa: B018


async def test_what_cannot_listen_is_refused_at_once() -> None:
    """Else it would fail at every single event."""

    async def accepts(event: Any) -> bool:
        return False

    async with Engine() as made:
        for name in LISTENERS:
            with pytest.raises(SchemaError, match=r"listener of .* is None: must be a function"):
                getattr(engine, f"listen_{name}")(None)
        for given, words in (
            ((None, print), "filter of .* is None: must be a function"),
            ((bool, 5), "listener of .* is 5: must be a function"),
            ((accepts, print), "filter of .* is async: must be a plain function"),
        ):
            for name in WITH_ONCE:
                with pytest.raises(SchemaError, match=words):
                    getattr(engine, f"listen_{name}_once")(*given)
        assert not any(made.bus.wants(topic) for topic in TOPICS)
