"""What the engine's thread tells the interface between two snapshots.

Plain values without any Textual type, so that the host can be driven by a test, a script or another
interface; the app turns each into a message of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from console.views import FeedEntry, Versions


@dataclass(frozen=True, slots=True)
class Changed:
    """The snapshot was swapped; ``versions`` are the counters of the new one."""

    versions: Versions


@dataclass(frozen=True, slots=True)
class Notice:
    """Something an operator wants to hear of at once: opened, closed, rejected or error."""

    entry: FeedEntry


@dataclass(frozen=True, slots=True)
class EngineFailed:
    """The engine's thread ended by an error; every command is refused from now on."""

    message: str


HostEvent: TypeAlias = Changed | Notice | EngineFailed
"""What a listener of `console.host.EngineHost` is called with."""

NOTICE_ACTIONS = frozenset({"opened", "closed", "rejected", "error"})
"""Feed actions that are worth a notice."""
