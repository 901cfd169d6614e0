"""Which run, and which instant of it, the current code belongs to.

A context is one immutable object in one ContextVar: it is set for exactly the call it describes
(a strategy, a callback, a listener), so concurrent runs never see each other's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from engine.domain.bars import Candles
from engine.domain.errors import ContextError
from engine.domain.signals import RunKey

if TYPE_CHECKING:
    from engine.domain.schemas import ExchangeSchema

CallForm: TypeAlias = Literal["async", "sync", "any"]
"""How the current user code may call data functions."""


class MarketWindow(Protocol):
    """What data functions need of a run's market."""

    @property
    def schema(self) -> ExchangeSchema:
        """The exchange of the run."""
        ...

    def cached_window(self, symbol: str, interval: str, when: int, limit: int) -> Candles | None:
        """The newest ``limit`` bars visible at ``when`` if they are in memory, else None."""
        ...

    async def window(self, symbol: str, interval: str, when: int, limit: int) -> Candles:
        """The newest ``limit`` bars visible at ``when``, loading what is missing."""
        ...

    def window_blocking(self, symbol: str, interval: str, when: int, limit: int) -> Candles:
        """`window` for plain functions that run on the engine's own thread."""
        ...

    @property
    def vwap_bars(self) -> int:
        """How many 1m bars VWAP is computed over."""
        ...

    def vwap(self, symbol: str, when: int) -> float | None:
        """VWAP(when) if it is in memory, else None."""
        ...


class Scope(NamedTuple):
    """What stays the same over all instants of a run.

    Attributes:
        key: the run.
        market: where data functions look.
        loop: the engine's loop.
        form: how the code that sees this may call data functions.
    """

    key: RunKey
    market: MarketWindow
    loop: asyncio.AbstractEventLoop
    form: CallForm = "any"


class ExecutionContext:
    """One instant of one run: ``when`` is ms UTC.

    A plain class with two slots, because a backtest makes one per question to the strategy.
    """

    __slots__ = ("scope", "when")

    def __init__(self, scope: Scope, when: int) -> None:
        self.scope = scope
        self.when = when


current_execution: ContextVar[ExecutionContext | None] = ContextVar(
    "signaldeck_execution", default=None
)


def require(call: str) -> ExecutionContext:
    """The current context.

    Raises:
        ContextError: no run is active here; ``call`` is named.
    """
    context = current_execution.get()
    if context is None:
        raise ContextError(
            f"{call} was called without a context: it works inside get_signal, callbacks, "
            "listeners and risk validations of a running backtest or live run"
        )
    return context


@contextmanager
def execution(context: ExecutionContext) -> Generator[None]:
    """Make ``context`` current inside the block."""
    token = current_execution.set(context)
    try:
        yield
    finally:
        current_execution.reset(token)
