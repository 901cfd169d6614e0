"""The mutable rows behind the frozen instance views, and what is read off a signal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from console.views import InstanceView
from engine.core.lifecycle import progress
from engine.domain.errors import RunError
from engine.domain.signals import RunKey, SignalRow


@dataclass(slots=True)
class Row:
    """The mutable twin of one `InstanceView`; ``view`` is None while it differs from the rest."""

    instance_id: str
    key: RunKey
    status: str = "idle"
    flags: tuple[str, ...] = ()
    signal: SignalRow | None = None
    last_price: float | None = None
    pnl_percent: float | None = None
    path: float | None = None
    last_tick: int | None = None
    trades: int = 0
    wins: int = 0
    total_pnl: float = 0.0
    errors: int = 0
    last_error: str = ""
    profit_level: int = 0
    loss_level: int = 0
    failure: RunError | None = None
    view: InstanceView | None = None

    def clear_signal(self) -> None:
        """Forget the position or waiting signal."""
        self.signal = self.pnl_percent = self.path = None
        self.profit_level = self.loss_level = 0

    def new_session(self) -> None:
        """Restart what is counted per session."""
        self.clear_signal()
        self.trades = self.wins = self.errors = 0
        self.total_pnl = 0.0
        self.last_error = ""
        self.failure = None


def levels_of(signal: SignalRow) -> dict[str, Any]:
    """What a feed entry tells of the signal it is about."""
    return {
        "signal_id": signal.id,
        "entry": signal.price_open,
        "take_profit": signal.price_take_profit,
        "stop_loss": signal.price_stop_loss,
        "minutes": signal.minute_estimated_time,
        "note": first_line(signal.note),
    }


def path_of(signal: SignalRow, price: float | None) -> float:
    """Where a price stands between stop-loss (-100) and take-profit (+100); 0 is the entry."""
    if price is None:
        return 0.0
    to_profit, to_loss = progress(signal, price)
    return to_profit if to_profit > 0 else -to_loss


def since(signal: SignalRow | None) -> int | None:
    """When a position opened or a signal was scheduled."""
    if signal is None:
        return None
    return signal.scheduled_at if signal.is_scheduled else signal.pending_at


def position_text(signal: SignalRow | None) -> str:
    """``long``, ``short waiting`` and so on; "" without a signal."""
    if signal is None:
        return ""
    return f"{signal.position} waiting" if signal.is_scheduled else str(signal.position)


def first_line(text: str) -> str:
    """The first line of a text."""
    return text.strip().splitlines()[0] if text.strip() else ""


def is_about(key: RunKey, run: RunKey) -> bool:
    """Whether an error with this key is about a run.

    An exchange that fails for a symbol is one error that names no strategy: it is about all runs
    there.
    """
    return key in (run, replace(run, strategy_name=""))
