"""What the engine asks of the outside world: the protocols that adapters fulfil."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol, TypeAlias, runtime_checkable

from engine.domain.bars import Candle, Candles
from engine.domain.changes import Change, StoredState, Telemetry
from engine.domain.conversation import Message

CandleRows: TypeAlias = Candles | Sequence[Candle | Sequence[float] | Mapping[str, Any]]
"""What an exchange may return: `Candles`, or rows as `Candle`, ``[ms, o, h, l, c, v]``, mapping."""


@runtime_checkable
class Exchange(Protocol):
    """A market data source. All methods are called on the engine's loop.

    ``get_candles`` returns up to ``limit`` bars of ``interval`` whose open time is at or after
    ``since``, oldest first, and never blocks the loop for long.
    """

    def get_candles(
        self, symbol: str, interval: str, since: datetime, limit: int
    ) -> CandleRows | Awaitable[CandleRows]:
        """Bars from ``since`` on; fewer than ``limit`` where there are no more."""
        ...

    def format_price(self, symbol: str, price: float) -> str:
        """A price in the exchange's precision."""
        ...

    def format_quantity(self, symbol: str, quantity: float) -> str:
        """A quantity in the exchange's precision."""
        ...

    def intervals(self) -> frozenset[str]:
        """Interval names this exchange serves itself; others are resampled from 1m."""
        ...

    def symbols(self) -> Sequence[str] | Awaitable[Sequence[str]]:
        """Symbols that can be asked for; empty when the exchange cannot tell."""
        ...

    def history(self) -> tuple[int, int] | None:
        """Open of the oldest and close of the newest bar, ms UTC; None when it cannot tell."""
        ...

    async def close(self) -> None:
        """Release connections and files."""
        ...


class Clock(Protocol):
    """Where the time of a live run comes from."""

    def now(self) -> int:
        """The present instant, ms UTC."""
        ...

    async def sleep_until(self, instant: int) -> None:
        """Return when ``now() >= instant``."""
        ...

    @property
    def speed(self) -> float:
        """Engine seconds per wall second; 0 for a clock that is driven by its users."""
        ...

    def working(self) -> AbstractContextManager[None]:
        """Code inside must finish before simulated time may move on."""
        ...

    def waiting(self) -> AbstractContextManager[None]:
        """Inside `working`: this task waits for another one, time may move."""
        ...


class Store(Protocol):
    """Where live state is kept; one process owns it from `open` to `close`."""

    async def open(self) -> None:
        """Take ownership and make the store ready.

        Raises:
            StateError: another process owns it, or it cannot be used; the message says what to do.
        """
        ...

    async def load(self) -> StoredState:
        """Everything kept; what cannot be understood is quarantined and named."""
        ...

    async def commit(self, changes: Sequence[Change]) -> tuple[int, ...]:
        """Apply changes in order as one transaction, all or none; durable when this returns.

        Once begun it is finished even if the caller is cancelled; the cancellation then carries
        the numbers as a `Committed`.

        Returns:
            The journal numbers of the `Journaled` changes, in order.

        Raises:
            StateError: nothing was changed.
        """
        ...

    def delivered(self, numbers: Sequence[int]) -> None:
        """Note, some time soon, that listeners have heard of these journal entries."""
        ...

    def telemetry(self, rows: Sequence[Telemetry]) -> None:
        """Note, some time soon, where runs stand; cheap, and the newest row of a run wins."""
        ...

    async def close(self) -> None:
        """Finish pending work, release ownership and the file."""
        ...


class LanguageModel(Protocol):
    """Something that answers conversations."""

    @property
    def name(self) -> str:
        """Model and host, as shown to operators; without credentials."""
        ...

    async def chat(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None
    ) -> str:
        """The model's answer to a conversation.

        Args:
            messages: the conversation so far.
            schema: JSON schema of the answer that is wanted; the answer may still differ.

        Raises:
            LanguageModelError: there is no answer, or not in time; the message says what to do.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
