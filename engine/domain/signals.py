"""Signals, positions and what an instant of a run can result in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from engine.domain.errors import SchemaError
from engine.domain.texts import value_text


class Position(StrEnum):
    """Direction of a signal; compares and formats as its plain string."""

    LONG = "long"
    SHORT = "short"


class Mode(StrEnum):
    """What kind of run it is.

    Strategies only ever run in a backtest or live; walkers and portfolios are runs made of
    backtests.
    """

    BACKTEST = "backtest"
    LIVE = "live"
    WALKER = "walker"
    PORTFOLIO = "portfolio"


class Action(StrEnum):
    """What an instant did to a run."""

    IDLE = "idle"
    SCHEDULED = "scheduled"
    OPENED = "opened"
    ACTIVE = "active"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class CloseReason(StrEnum):
    """Why a position closed."""

    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    TIME_EXPIRED = "time_expired"
    OPERATOR = "operator"
    END_OF_DATA = "end_of_data"


class CancelReason(StrEnum):
    """Why a scheduled signal never became a position."""

    TIMEOUT = "timeout"
    STOP_LOSS = "stop_loss"
    RISK = "risk"
    STOPPED = "stopped"
    OPERATOR = "operator"
    END_OF_DATA = "end_of_data"


@dataclass(frozen=True, slots=True)
class Signal:
    """What a strategy answers: an intent to enter, not yet checked.

    Attributes:
        position: ``"long"`` or ``"short"``; ``"wait"`` means no signal.
        price_take_profit: price at which to take the profit.
        price_stop_loss: price at which to stop the loss.
        minute_estimated_time: whole minutes after opening at which the position expires.
        price_open: entry price to wait for; None opens at once at market.
        note: free text; Markdown is flattened to one plain line.
        id: the signal's id; None lets the engine choose one.
    """

    position: str
    price_take_profit: float
    price_stop_loss: float
    minute_estimated_time: int
    price_open: float | None = None
    note: str = ""
    id: str | None = None


@dataclass(frozen=True, slots=True)
class RunKey:
    """Identity of a run; everything kept for a run is kept under this key."""

    mode: Mode
    exchange_name: str
    strategy_name: str
    symbol: str
    frame_name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.symbol, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            shown = value_text(self.symbol)
            raise SchemaError(f"{self.mode.capitalize()}: symbol is {shown}: must be text")

    def __str__(self) -> str:
        frame = f" on {self.frame_name}" if self.frame_name else ""
        return f"{self.mode} {self.strategy_name} {self.symbol} @ {self.exchange_name}{frame}"

    def on(self, exchange_name: str | None, frame_name: str | None) -> bool:
        """Whether the run is on this exchange and frame; None is any."""
        return exchange_name in (None, self.exchange_name) and frame_name in (None, self.frame_name)


@dataclass(frozen=True, slots=True)
class SignalRow:
    """A signal that passed validation.

    Attributes:
        price_open: the price to wait for while scheduled, the booked price once open.
        scheduled_at: instant (ms UTC) at which the signal was accepted.
        pending_at: instant (ms UTC) at which the position opened; equals ``scheduled_at`` until
            a scheduled signal activates.
        is_scheduled: True while it waits for its entry price.
    """

    id: str
    symbol: str
    strategy_name: str
    exchange_name: str
    position: Position
    price_open: float
    price_take_profit: float
    price_stop_loss: float
    minute_estimated_time: int
    scheduled_at: int
    pending_at: int
    is_scheduled: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class ScheduledSignal:
    """A signal that waits for its entry price."""

    row: SignalRow


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """A position being watched.

    Attributes:
        profit_level, loss_level: highest milestone (0, 10, ..., 100) already announced.
    """

    row: SignalRow
    profit_level: int = 0
    loss_level: int = 0


@dataclass(frozen=True, slots=True)
class PnL:
    """Profit of a closed trade in percent of the entry, costs included.

    ``price_open`` and ``price_close`` are the booked prices; the adjusted ones are worsened by
    slippage and are what the percentage is computed from.
    """

    pnl_percentage: float
    price_open: float
    price_close: float
    adjusted_price_open: float
    adjusted_price_close: float


class _Result:
    """The names every tick result answers to, taken from its run's key.

    ``replayed`` marks a transition that was committed before a crash and is published after it.
    """

    __slots__ = ()
    key: RunKey

    @property
    def symbol(self) -> str:
        """Symbol of the run."""
        return self.key.symbol

    @property
    def strategy_name(self) -> str:
        """Strategy of the run."""
        return self.key.strategy_name

    @property
    def exchange_name(self) -> str:
        """Exchange of the run."""
        return self.key.exchange_name

    @property
    def frame_name(self) -> str:
        """Frame of the run, "" when live."""
        return self.key.frame_name

    @property
    def backtest(self) -> bool:
        """True when the run is a backtest."""
        return self.key.mode is Mode.BACKTEST


@dataclass(frozen=True, slots=True)
class Idle(_Result):
    """Nothing is held. ``when`` is the instant (ms UTC); ``current_price`` is market(when)."""

    action: ClassVar[Action] = Action.IDLE
    key: RunKey
    when: int
    current_price: float
    signal: None = None


@dataclass(frozen=True, slots=True)
class Scheduled(_Result):
    """A signal was accepted and waits for its entry price."""

    action: ClassVar[Action] = Action.SCHEDULED
    key: RunKey
    when: int
    current_price: float
    signal: SignalRow
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Opened(_Result):
    """A position opened; ``current_price`` is the booked price."""

    action: ClassVar[Action] = Action.OPENED
    key: RunKey
    when: int
    current_price: float
    signal: SignalRow
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Active(_Result):
    """A position or a waiting signal goes on.

    ``percent_tp``/``percent_sl`` (0-100) say how far VWAP went from the entry towards take-profit
    or stop-loss; the inactive one is 0, both are 0 while a scheduled signal waits.
    """

    action: ClassVar[Action] = Action.ACTIVE
    key: RunKey
    when: int
    current_price: float
    signal: SignalRow
    percent_tp: float = 0.0
    percent_sl: float = 0.0


@dataclass(frozen=True, slots=True)
class Closed(_Result):
    """A position closed; ``current_price`` is the booked price.

    ``ambiguous`` marks a bar that touched take-profit and stop-loss with neither opened beyond;
    ``swept`` marks an entry and a stop-loss within one bar. Both only with the touch trigger.
    """

    action: ClassVar[Action] = Action.CLOSED
    key: RunKey
    when: int
    current_price: float
    signal: SignalRow
    close_reason: CloseReason
    close_timestamp: int
    pnl: PnL
    ambiguous: bool = False
    swept: bool = False
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Cancelled(_Result):
    """A scheduled signal ended without a position; ``current_price`` is market at that instant."""

    action: ClassVar[Action] = Action.CANCELLED
    key: RunKey
    when: int
    current_price: float
    signal: SignalRow
    cancel_reason: CancelReason
    close_timestamp: int
    pnl: None = None
    replayed: bool = False


TickResult: TypeAlias = Idle | Scheduled | Opened | Active | Closed | Cancelled
