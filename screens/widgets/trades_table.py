"""The trades of a run, in the order they closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.domain.signals import Closed
from screens.text import clean, minute, percent, price, rest, words
from screens.widgets.line_table import Column, LineTable
from screens.widgets.price_bar import signed_tone
from screens.widgets.tones import Cell, Cells


class TradeRow(NamedTuple):
    """A trade with its place in the run, counted from 1."""

    number: int
    trade: Closed


def _flags(row: TradeRow) -> Cells:
    words_of = [
        word for word, on in (("ambiguous", row.trade.ambiguous), ("swept", row.trade.swept)) if on
    ]
    note = clean(row.trade.signal.note)
    return (Cell(" ".join(words_of), "warn"), Cell(" " if words_of else ""), Cell(note, "muted"))


def _lasted(row: TradeRow) -> Cells:
    held = (row.trade.close_timestamp - row.trade.signal.pending_at) / 1000
    return Cell(rest(held), "muted")


class TradesTable(LineTable[TradeRow]):
    """Closed trades."""

    def __init__(self, *, id: str | None = None) -> None:
        columns = (
            Column[TradeRow]("#", 5, lambda r: Cell(str(r.number), "muted"), right=True),
            Column[TradeRow](
                "opened", 16, lambda r: Cell(minute(r.trade.signal.pending_at), "muted"), drop=5
            ),
            Column[TradeRow]("closed", 16, lambda r: Cell(minute(r.trade.close_timestamp))),
            Column[TradeRow]("side", 5, lambda r: Cell(str(r.trade.signal.position))),
            Column[TradeRow](
                "entry", 10, lambda r: Cell(price(r.trade.pnl.price_open)), right=True, grow=2
            ),
            Column[TradeRow](
                "exit", 10, lambda r: Cell(price(r.trade.pnl.price_close)), right=True, grow=2
            ),
            Column[TradeRow](
                "PnL %",
                7,
                lambda r: Cell(
                    percent(r.trade.pnl.pnl_percentage), signed_tone(r.trade.pnl.pnl_percentage)
                ),
                right=True,
            ),
            Column[TradeRow]("reason", 12, lambda r: Cell(words(str(r.trade.close_reason)))),
            Column[TradeRow]("lasted", 6, _lasted, right=True, drop=2),
            Column[TradeRow](
                "take profit",
                11,
                lambda r: Cell(price(r.trade.signal.price_take_profit), "muted"),
                right=True,
                drop=4,
            ),
            Column[TradeRow](
                "stop loss",
                10,
                lambda r: Cell(price(r.trade.signal.price_stop_loss), "muted"),
                right=True,
                drop=3,
            ),
            Column[TradeRow]("note", 8, _flags, drop=6, grow=60),
        )
        super().__init__(
            columns,
            key=lambda row: row.number,
            empty="no trade was closed - the strategy gave no signal, or all were cancelled",
            id=id,
        )

    def show(self, trades: Sequence[Closed]) -> None:
        """List the trades of a run."""
        self.set_rows([TradeRow(number, trade) for number, trade in enumerate(trades, start=1)])


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import outcome

    table = TradesTable()
    show_alone(table, lambda: table.show(outcome(7).trades))
