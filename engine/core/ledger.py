"""Every closed trade of a run in a few bytes, for runs that go on for weeks.

A trade as an object takes most of a kilobyte; what statistics need of it takes 33 bytes. A live run
keeps its newest trades whole and all of them here, so its figures are over all trades while its
memory hardly grows.
"""

from __future__ import annotations

from array import array
from typing import Final

from engine.domain.signals import (
    Closed,
    CloseReason,
    PnL,
    Position,
    RunKey,
    SignalRow,
)

_SHORT: Final = 1
_AMBIGUOUS: Final = 2
_SWEPT: Final = 4


class TradeLedger:
    """Closed trades in close order, reduced to what statistics are computed from."""

    __slots__ = ("_closed", "_flags", "_opened", "_percents", "_prices")

    def __init__(self) -> None:
        self._percents = array("d")
        self._prices = array("d")
        self._opened = array("q")
        self._closed = array("q")
        self._flags = array("b")

    def __len__(self) -> int:
        return len(self._percents)

    def add(self, trade: Closed) -> None:
        """Enter a trade that has just closed."""
        row = trade.signal
        self._percents.append(trade.pnl.pnl_percentage)
        self._prices.append(trade.pnl.price_open)
        self._opened.append(row.pending_at)
        self._closed.append(trade.close_timestamp)
        self._flags.append(
            (_SHORT if row.position is Position.SHORT else 0)
            | (_AMBIGUOUS if trade.ambiguous else 0)
            | (_SWEPT if trade.swept else 0)
        )

    def trades(self, key: RunKey) -> tuple[Closed, ...]:
        """The trades again, oldest first, good for statistics alone.

        Entry price, instants, position, result and flags are the trade's; levels, reason and id
        are not kept.
        """
        columns = zip(
            self._percents, self._prices, self._opened, self._closed, self._flags, strict=True
        )
        return tuple(
            _trade(key, percent, price, opened, closed, flags)
            for percent, price, opened, closed, flags in columns
        )


def _trade(
    key: RunKey, percent: float, price: float, opened: int, closed: int, flags: int
) -> Closed:
    position = Position.SHORT if flags & _SHORT else Position.LONG
    row = SignalRow(
        "", key.symbol, key.strategy_name, key.exchange_name, position, price, 0.0, 0.0, 0,
        opened, opened, False,
    )  # fmt: skip
    money = PnL(percent, price, 0.0, 0.0, 0.0)
    return Closed(
        key, closed, 0.0, row, CloseReason.TIME_EXPIRED, closed, money, bool(flags & _AMBIGUOUS),
        bool(flags & _SWEPT),
    )  # fmt: skip
