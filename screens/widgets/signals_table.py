"""The whole signal feed, filtered by an expression."""

from __future__ import annotations

from typing import Final

from console.views import DeckSnapshot, FeedEntry
from screens.context import ScreenContext
from screens.filters import Fields
from screens.text import clean, price, recent, words
from screens.widgets.feed_table import ACTION_TONES, outcome_cells
from screens.widgets.filtered_table import FilteredTable
from screens.widgets.line_table import Column
from screens.widgets.panel import Panel
from screens.widgets.tones import Cell

SIGNAL_FIELDS: Final[Fields[FeedEntry]] = {
    "action": lambda e: e.action,
    "symbol": lambda e: e.symbol,
    "strategy": lambda e: e.strategy_name,
    "exchange": lambda e: e.exchange_name,
    "mode": lambda e: e.mode,
    "side": lambda e: e.position,
    "why": lambda e: words(e.detail) if e.action != "error" else e.detail,
    "id": lambda e: e.signal_id,
    "price": lambda e: e.price,
    "pnl": lambda e: e.pnl_percent,
}
"""What an expression can name in a line of the feed."""


class SignalsTable(Panel, FilteredTable[FeedEntry]):
    """The feed of the snapshot, newest first.

    Args:
        context: for the engine's day: entries of earlier ones carry their weekday.
    """

    topics = ("feed",)

    def __init__(self, context: ScreenContext, *, id: str | None = None) -> None:
        columns = (
            Column[FeedEntry](
                "UTC", 9, lambda e: Cell(recent(e.when, context.now()), "muted"), right=True
            ),
            Column[FeedEntry](
                "event", 9, lambda e: Cell(clean(e.action), ACTION_TONES.get(e.action, ""))
            ),
            Column[FeedEntry]("symbol", 8, lambda e: Cell(clean(e.symbol), "strong"), grow=4),
            Column[FeedEntry]("side", 5, lambda e: Cell(clean(e.position))),
            Column[FeedEntry](
                "strategy", 13, lambda e: Cell(clean(e.strategy_name)), grow=5, shrink=3
            ),
            Column[FeedEntry]("mode", 4, lambda e: Cell(clean(e.mode), "muted"), drop=5),
            Column[FeedEntry](
                "exchange", 9, lambda e: Cell(clean(e.exchange_name), "muted"), drop=4, grow=6
            ),
            Column[FeedEntry](
                "price", 10, lambda e: Cell("" if e.price is None else price(e.price)), True, 1, 2
            ),
            Column[FeedEntry](
                "stop loss", 10, lambda e: Cell(_level(e.stop_loss), "muted"), right=True, drop=3
            ),
            Column[FeedEntry](
                "take profit", 11, lambda e: Cell(_level(e.take_profit), "muted"), True, 2
            ),
            Column[FeedEntry]("result, reason", 22, outcome_cells, grow=100, shrink=10),
        )
        super().__init__(
            columns,
            key=lambda entry: entry.number,
            fields=SIGNAL_FIELDS,
            empty="no signal is shown - they appear here as they come",
            follow=True,
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """The feed moved."""
        self.set_source(snapshot.feed)


def _level(value: float | None) -> str:
    return "" if value is None else price(value)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import SampleHost, frozen_clock

    sample = ScreenContext(SampleHost(), frozen_clock)
    table = SignalsTable(sample)
    show_alone(table, lambda: table.show(sample.snapshot))
