"""The event bus' topics for programs that embed the engine: subscribe to any of them, or publish.

Strategy authors use the ``listen_*`` functions, which are the same with friendlier names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from engine.runtime import current_engine
from engine.services.bus import TOPICS, Listener, Unsubscribe


class Emitter:
    """One topic of the current engine's bus."""

    __slots__ = ("topic",)

    def __init__(self, topic: str) -> None:
        self.topic = topic

    def __repr__(self) -> str:
        return f"emitters.{self.topic}"

    def subscribe(self, listener: Listener) -> Unsubscribe:
        """Call ``listener`` with every event, in order, one at a time; ends by what it returns."""
        return current_engine().bus.subscribe(self.topic, listener)

    def once(self, accepts: Callable[[Any], object], listener: Listener) -> Unsubscribe:
        """Call ``listener`` with the first event that ``accepts`` finds true."""
        return current_engine().bus.subscribe_once(self.topic, accepts, listener)

    def publish(self, payload: Any) -> None:
        """Queue an event for every listener; only from the engine's own loop."""
        current_engine().bus.publish(self.topic, payload)


class Emitters:
    """Every topic as an attribute: ``emitters.signal``, ``emitters.risk``, ..."""

    def __init__(self) -> None:
        self._emitters = {topic: Emitter(topic) for topic in TOPICS}

    def __getattr__(self, topic: str) -> Emitter:
        try:
            return self._emitters[topic]
        except KeyError:
            names = ", ".join(TOPICS)
            raise AttributeError(f"there is no topic {topic!r}: use one of {names}") from None

    def __dir__(self) -> list[str]:
        return list(self._emitters)

    def __iter__(self) -> Iterator[Emitter]:
        return iter(self._emitters.values())


emitters = Emitters()
"""The topics of the current engine."""
