"""What crosses between the engine's host and the screens: commands down, messages up.

The host speaks in plain values (`console.notices`) from its own thread; the app posts one of the
messages below for each, and Textual delivers them on the interface's loop. `HostPort` is the whole
surface a screen may use of the host, so a screen runs just as well on a sample host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from textual.message import Message

from console.about import About
from console.memory import Memory
from console.notices import HostEvent
from console.views import (
    DeckSnapshot,
    FeedEntry,
    FieldError,
    InstanceDetail,
    Quote,
    RunRequest,
    Versions,
)


class HostPort(Protocol):
    """The engine's host as screens see it; every future resolves off the interface's loop."""

    @property
    def snapshot(self) -> DeckSnapshot:
        """Everything there is to draw; swapped in whole, cheap to read from any thread."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether it only shows: every command is refused."""
        ...

    @property
    def restored(self) -> str:
        """What start-up brought back from the state file, one line; "" when there was nothing."""
        ...

    @property
    def memory(self) -> Memory:
        """What the console remembers from one start to the next."""
        ...

    @property
    def about(self) -> About:
        """Its files and versions."""
        ...

    def set_listener(self, notify: Callable[[HostEvent], None] | None) -> None:
        """Call ``notify`` from the engine's thread on changes (at most 4 Hz) and on notices."""
        ...

    def start_run(self, request: RunRequest) -> Future[str]:
        """Start a run; gives its id, raises `EngineError`."""
        ...

    def check(self, request: RunRequest) -> Future[tuple[FieldError, ...]]:
        """What the engine would refuse about a request, in its own words."""
        ...

    def stop_run(self, run_id: str) -> Future[str]:
        """Stop a run gracefully; gives a sentence of what will happen."""
        ...

    def start_again(self, run_id: str) -> Future[str]:
        """Start a run that ended once more, or resume one that drains; gives a sentence."""
        ...

    def close_run(self, run_id: str) -> Future[str]:
        """Close a live run's position at market now; gives a sentence of what happened."""
        ...

    def cancel_run(self, run_id: str) -> Future[str]:
        """Cancel a live run's scheduled signal; gives a sentence of what happened."""
        ...

    def stop_runs(self, run_ids: Sequence[str]) -> Future[str]:
        """Stop several live runs gracefully; gives a sentence, naming what was refused."""
        ...

    def close_runs(self, run_ids: Sequence[str]) -> Future[str]:
        """Close several positions at market now; gives a sentence, naming what was refused."""
        ...

    def quote(self, run_id: str) -> Future[Quote]:
        """The price that closing a live run's position now would book."""
        ...

    def instance_detail(self, run_id: str, interval: str) -> Future[InstanceDetail]:
        """What there is to know of one live run, with bars of that interval."""
        ...

    def skip_strategy(self, run_id: str, strategy_name: str) -> Future[str]:
        """Leave one strategy of a walker out; gives a sentence."""
        ...

    def symbols(self, exchange_name: str) -> Future[tuple[str, ...]]:
        """Symbols of an exchange, empty when it cannot tell."""
        ...

    def begin_shutdown(self, *, drain: bool) -> Future[None]:
        """Refuse new commands and close; with ``drain`` after every open position has closed."""
        ...


class DeckChanged(Message):
    """The snapshot was swapped; a newer one replaces an older one that still waits in line."""

    def __init__(self, versions: Versions) -> None:
        super().__init__()
        self.versions = versions

    def can_replace(self, message: Message) -> bool:
        """Only the newest state matters."""
        return isinstance(message, DeckChanged)


@dataclass
class Notice(Message):
    """Something happened that an operator wants to hear of at once."""

    entry: FeedEntry


@dataclass
class EngineFailed(Message):
    """The engine's thread ended by an error; nothing on screen is live any more."""

    error: str
