"""Risk profiles' book-keeping: who holds a slot where, and what a rule gets to see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.domain.signals import OpenPosition, RunKey, SignalRow


@dataclass(frozen=True, slots=True)
class ActivePosition:
    """A position that holds a slot of a profile; ``open_timestamp`` is ms UTC."""

    signal: SignalRow
    strategy_name: str
    exchange_name: str
    symbol: str
    open_timestamp: int


@dataclass(frozen=True, slots=True)
class RiskCheck:
    """What a validation is called with; it refuses the signal by raising.

    Attributes:
        pending_signal: the row that asks for a slot.
        current_price: the price it would book, or wait for.
        timestamp: the instant, ms UTC, simulated time in a backtest.
        active_positions: who holds the profile's slots now.
    """

    symbol: str
    pending_signal: SignalRow
    strategy_name: str
    exchange_name: str
    current_price: float
    timestamp: int
    active_positions: tuple[ActivePosition, ...]

    @property
    def active_position_count(self) -> int:
        """Number of slots taken."""
        return len(self.active_positions)


class RiskBook:
    """Slots taken, per profile and run."""

    def __init__(self) -> None:
        self._slots: dict[str, dict[RunKey, OpenPosition]] = {}

    def active(self, risk_name: str) -> tuple[ActivePosition, ...]:
        """The positions that hold a profile's slots, oldest reservation first."""
        return tuple(
            ActivePosition(
                position.row, key.strategy_name, key.exchange_name, key.symbol,
                position.row.pending_at,
            )
            for key, position in self._slots.get(risk_name, {}).items()
        )  # fmt: skip

    def reserve(self, risk_names: Iterable[str], key: RunKey, position: OpenPosition) -> None:
        """Take a slot in every profile."""
        for name in risk_names:
            self._slots.setdefault(name, {})[key] = position

    def release(self, risk_names: Iterable[str], key: RunKey) -> None:
        """Free the run's slot in every profile; free ones are ignored."""
        for name in risk_names:
            self._slots.get(name, {}).pop(key, None)

    def restore(self, reservations: Mapping[tuple[str, RunKey], OpenPosition]) -> None:
        """Take over stored reservations."""
        for (name, key), position in reservations.items():
            self.reserve((name,), key, position)
