"""Signals that wait for their entry: how far away it is, and how long they still wait."""

from __future__ import annotations

from console.views import DeckSnapshot, InstanceView
from screens.context import ScreenContext
from screens.text import clean, percent, price, rest
from screens.widgets.line_table import Column
from screens.widgets.marked_table import MarkedTable
from screens.widgets.panel import Panel
from screens.widgets.price_bar import distance
from screens.widgets.tones import Cell, Cells


def waits(view: InstanceView) -> bool:
    """Whether a run holds a signal that waits for its entry."""
    return view.position.endswith("waiting")


def _level(value: float | None) -> Cells:
    return Cell(price(value), "muted")


class ScheduledTable(Panel, MarkedTable[InstanceView]):
    """The waiting signals of the snapshot's runs."""

    topics = ("instances",)

    def __init__(self, context: ScreenContext, *, id: str | None = None) -> None:
        self.context = context
        columns = (
            Column[InstanceView](
                "symbol", 8, lambda v: Cell(clean(v.symbol), "strong"), grow=4,
                order=lambda v: v.symbol,
            ),
            Column[InstanceView](
                "strategy", 14, lambda v: Cell(clean(v.strategy_name)), drop=1, grow=6
            ),
            Column[InstanceView](
                "exchange", 9, lambda v: Cell(clean(v.exchange_name), "muted"), drop=6, grow=4
            ),
            Column[InstanceView]("side", 5, lambda v: Cell(clean(v.position).partition(" ")[0])),
            Column[InstanceView]("entry", 10, lambda v: Cell(price(v.entry)), right=True, grow=2),
            Column[InstanceView](
                "last", 10, lambda v: Cell(price(v.last_price)), right=True, grow=2, drop=3
            ),
            Column[InstanceView](
                "to go %", 8, lambda v: Cell(percent(distance(v)), "strong"), right=True,
                order=lambda v: None if (d := distance(v)) is None else abs(d), least=True,
            ),
            Column[InstanceView]("waited", 7, self._waited, right=True, drop=2),
            Column[InstanceView](
                "left", 7, self._left, right=True,
                order=lambda v: v.expires_at, least=True,
            ),
            Column[InstanceView](
                "stop loss", 10, lambda v: _level(v.stop_loss), right=True, drop=5
            ),
            Column[InstanceView](
                "take profit", 11, lambda v: _level(v.take_profit), right=True, drop=4
            ),
        )  # fmt: skip
        super().__init__(
            columns,
            key=lambda view: view.instance_id,
            empty="no signal is waiting for its entry",
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """The runs moved."""
        self.set_rows([view for view in snapshot.instances if waits(view)])

    def tick(self) -> None:
        """Times move every second."""
        if self.rows:
            self.refresh()

    def _waited(self, view: InstanceView) -> Cells:
        if view.since is None:
            return Cell("-", "muted")
        return Cell(rest((self.context.now() - view.since) / 1000), "muted")

    def _left(self, view: InstanceView) -> Cells:
        if view.expires_at is None:
            return Cell("-", "muted")
        return Cell(rest((view.expires_at - self.context.now()) / 1000))


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import SampleHost, frozen_clock

    sample = ScreenContext(SampleHost(), frozen_clock)
    table = ScheduledTable(sample)
    show_alone(table, lambda: table.show(sample.snapshot))
