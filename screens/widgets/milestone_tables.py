"""How far open positions came, as one ladder each, and the milestones one after the other."""

from __future__ import annotations

from console.views import DeckSnapshot, InstanceView, MilestoneView
from screens.context import ScreenContext
from screens.text import clean, percent, price, recent, rest
from screens.widgets.ladder import LADDER_WIDTH, ladder
from screens.widgets.line_table import Column, LineTable
from screens.widgets.marked_table import MarkedTable
from screens.widgets.panel import Panel
from screens.widgets.price_bar import signed_tone
from screens.widgets.scheduled_table import waits
from screens.widgets.tones import Cell, Cells


class LaddersTable(Panel, MarkedTable[InstanceView]):
    """The open positions of the snapshot's runs with their ladders."""

    topics = ("instances",)

    def __init__(self, context: ScreenContext, *, id: str | None = None) -> None:
        self.context = context
        columns = (
            Column[InstanceView](
                "symbol", 8, lambda v: Cell(clean(v.symbol), "strong"), grow=4,
                order=lambda v: v.symbol,
            ),
            Column[InstanceView](
                "strategy", 14, lambda v: Cell(clean(v.strategy_name)), grow=6, shrink=4
            ),
            Column[InstanceView]("side", 5, lambda v: Cell(clean(v.position))),
            Column[InstanceView]("entry", 10, lambda v: Cell(price(v.entry)), True, 3, 2),
            Column[InstanceView](
                "PnL %", 7, lambda v: Cell(percent(v.pnl_percent), signed_tone(v.pnl_percent)),
                right=True, order=lambda v: v.pnl_percent,
            ),
            Column[InstanceView](
                "milestones reached", LADDER_WIDTH,
                lambda v: ladder(v.profit_level, v.loss_level),
            ),
            Column[InstanceView](
                "best", 5, lambda v: Cell(f"{v.profit_level} %", "gain" if v.profit_level else ""),
                right=True, drop=2, order=lambda v: v.profit_level,
            ),
            Column[InstanceView](
                "worst", 5, lambda v: Cell(f"{v.loss_level} %", "loss" if v.loss_level else ""),
                right=True, drop=1, order=lambda v: v.loss_level,
            ),
            Column[InstanceView]("open for", 8, self._since, right=True, drop=4),
        )  # fmt: skip
        super().__init__(
            columns, key=lambda view: view.instance_id, empty="no position is open", id=id
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """The runs moved."""
        self.set_rows([view for view in snapshot.instances if view.position and not waits(view)])

    def tick(self) -> None:
        """Times move every second."""
        if self.rows:
            self.refresh()

    def _since(self, view: InstanceView) -> Cells:
        if view.since is None:
            return Cell("-", "muted")
        return Cell(rest((self.context.now() - view.since) / 1000), "muted")


def _level(view: MilestoneView) -> Cells:
    sign, tone = ("+", "gain") if view.side == "profit" else ("-", "loss")
    return Cell(f"{sign}{view.level} %", tone)


class MilestonesTable(Panel, LineTable[MilestoneView]):
    """The milestones of the snapshot, newest first; it follows until the operator moves."""

    topics = ("milestones",)

    def __init__(self, context: ScreenContext, *, id: str | None = None) -> None:
        columns = (
            Column[MilestoneView](
                "UTC", 9, lambda v: Cell(recent(v.when, context.now()), "muted"), right=True
            ),
            Column[MilestoneView]("symbol", 8, lambda v: Cell(clean(v.symbol), "strong"), grow=4),
            Column[MilestoneView](
                "strategy", 10, lambda v: Cell(clean(v.strategy_name)), drop=3, grow=10
            ),
            Column[MilestoneView]("side", 5, lambda v: Cell(clean(v.position)), drop=1),
            Column[MilestoneView]("reached", 7, _level, right=True),
            Column[MilestoneView](
                "of the way to", 13,
                lambda v: Cell("take profit" if v.side == "profit" else "stop loss", "muted"),
            ),
            Column[MilestoneView]("price", 10, lambda v: Cell(price(v.price)), True, 2, 2),
            Column[MilestoneView](
                "exchange", 9, lambda v: Cell(clean(v.exchange_name), "muted"), drop=4, grow=6
            ),
        )  # fmt: skip
        super().__init__(
            columns,
            key=lambda view: view.number,
            empty="no position has reached a milestone yet",
            follow=True,
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """The milestones moved."""
        self.set_rows(snapshot.milestones)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import SampleHost, frozen_clock

    sample = ScreenContext(SampleHost(), frozen_clock)
    table = MilestonesTable(sample)
    show_alone(table, lambda: table.show(sample.snapshot))
