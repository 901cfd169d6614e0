"""The signal feed, newest first; it follows until the operator moves, and then holds still."""

from __future__ import annotations

from typing import Final

from console.views import DeckSnapshot, FeedEntry
from screens.context import ScreenContext
from screens.text import clean, percent, price, recent, words
from screens.widgets.line_table import Column, LineTable
from screens.widgets.panel import Panel
from screens.widgets.price_bar import signed_tone
from screens.widgets.tones import Cell, Cells, Tone

ACTION_TONES: Final[dict[str, Tone]] = {
    "opened": "accent", "closed": "strong", "cancelled": "muted", "scheduled": "",
    "rejected": "warn", "error": "loss",
}  # fmt: skip
"""How each kind of entry looks."""


def _price(entry: FeedEntry) -> Cells:
    return Cell("" if entry.price is None else price(entry.price))


def outcome_cells(entry: FeedEntry) -> Cells:
    """What came of it, or why: the gain with its sign, then words."""
    gain = Cell("")
    if entry.pnl_percent is not None:
        gap = "  " if entry.detail else ""
        gain = Cell(f"{percent(entry.pnl_percent)} %{gap}", signed_tone(entry.pnl_percent))
    if entry.action == "error":
        return (gain, Cell(clean(entry.detail), "loss"))
    return (gain, Cell(words(entry.detail), "muted"))


class FeedTable(Panel, LineTable[FeedEntry]):
    """The feed of the snapshot.

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
            Column[FeedEntry](
                "exchange", 9, lambda e: Cell(clean(e.exchange_name), "muted"), drop=2, grow=6
            ),
            Column[FeedEntry]("price", 10, _price, right=True, drop=1, grow=2),
            Column[FeedEntry]("result, reason", 22, outcome_cells, grow=100, shrink=10),
        )
        super().__init__(
            columns,
            key=lambda entry: entry.number,
            empty="nothing has happened yet - signals appear here as they come",
            follow=True,
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """The feed moved."""
        self.set_rows(snapshot.feed)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import SampleHost, frozen_clock

    sample = ScreenContext(SampleHost(), frozen_clock)
    table = FeedTable(sample)
    show_alone(table, lambda: table.show(sample.snapshot))
