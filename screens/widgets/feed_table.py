"""The signal feed, newest first; it follows until the operator moves, and then holds still."""

from __future__ import annotations

from typing import Final

from console.views import DeckSnapshot, FeedEntry
from screens.text import clean, percent, price, time_of_day, words
from screens.widgets.instances_table import signed_tone
from screens.widgets.line_table import Column, LineTable
from screens.widgets.panel import Panel
from screens.widgets.tones import Cell, Cells, Tone

ACTION_TONES: Final[dict[str, Tone]] = {
    "opened": "accent", "closed": "strong", "cancelled": "muted", "scheduled": "",
    "rejected": "warn", "error": "loss",
}  # fmt: skip
"""How each kind of entry looks."""


def _detail(entry: FeedEntry) -> Cells:
    tone: Tone = "loss" if entry.action == "error" else "muted"
    return Cell(words(entry.detail) if entry.action != "error" else clean(entry.detail), tone)


class FeedTable(Panel, LineTable[FeedEntry]):
    """The feed of the snapshot."""

    topics = ("feed",)

    def __init__(self, *, id: str | None = None) -> None:
        columns = (
            Column[FeedEntry]("time", 8, lambda e: Cell(time_of_day(e.when), "muted")),
            Column[FeedEntry](
                "event", 9, lambda e: Cell(clean(e.action), ACTION_TONES.get(e.action, ""))
            ),
            Column[FeedEntry]("symbol", 8, lambda e: Cell(clean(e.symbol), "strong"), grow=4),
            Column[FeedEntry]("side", 5, lambda e: Cell(clean(e.position)), drop=2),
            Column[FeedEntry]("strategy", 10, lambda e: Cell(clean(e.strategy_name)), grow=8),
            Column[FeedEntry](
                "exchange", 9, lambda e: Cell(clean(e.exchange_name), "muted"), drop=5, grow=6
            ),
            Column[FeedEntry]("price", 10, lambda e: Cell(price(e.price)), right=True, grow=2),
            Column[FeedEntry](
                "PnL %",
                7,
                lambda e: Cell(
                    "" if e.pnl_percent is None else percent(e.pnl_percent),
                    signed_tone(e.pnl_percent),
                ),
                right=True,
            ),
            Column[FeedEntry]("why", 6, _detail, grow=90),
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
    from screens.sample import snapshot as sample

    table = FeedTable()
    show_alone(table, lambda: table.show(sample()))
