"""What every screen is given: the host, the clock, and what the interface remembers while open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from console.messages import HostPort
from console.views import DeckSnapshot

LATE_HEARTBEAT: float = 3.0
"""Seconds after which a silent engine is announced."""


@dataclass(slots=True)
class Session:
    """What is remembered from one screen to the next, until the console closes.

    Attributes:
        errors_seen: how many of the engine's errors the operator has looked at.
    """

    errors_seen: int = 0


@dataclass(frozen=True, slots=True)
class ScreenContext:
    """The host a screen draws from and commands, with a clock in monotonic seconds.

    With ``local_clock`` the header shows the time of this machine beside UTC.
    """

    host: HostPort
    clock: Callable[[], float] = monotonic
    session: Session = field(default_factory=Session)
    local_clock: bool = False

    @property
    def snapshot(self) -> DeckSnapshot:
        """The newest snapshot."""
        return self.host.snapshot

    def inviting(self, text: str, invitation: str) -> str:
        """A text and what could be done about it; a console that only follows cannot do it."""
        return text if self.host.read_only else text + invitation

    def see_errors(self) -> bool:
        """The operator looks at the engine's errors: whether some of them were not seen before."""
        errors, before = self.snapshot.header.errors, self.session.errors_seen
        self.session.errors_seen = errors
        return errors != before

    def silence(self) -> float:
        """Wall seconds since the engine's last sign of life."""
        return max(0.0, self.clock() - self.host.snapshot.header.heartbeat)

    def now(self) -> int:
        """The engine's time, ms UTC, carried on from its last heartbeat."""
        header = self.host.snapshot.header
        return header.now + int(self.silence() * header.speed * 1000)
