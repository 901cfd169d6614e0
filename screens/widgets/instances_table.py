"""Live runs, one line each: how they are, what they hold, and where the price stands in it."""

from __future__ import annotations

from typing import Final

from console.views import DeckSnapshot, InstanceView
from screens.context import ScreenContext
from screens.layout import CHOSEN, ignored, recalled_list
from screens.text import clean, percent, price, rest, short_span
from screens.widgets.line_table import Column
from screens.widgets.marked_table import MarkedTable
from screens.widgets.panel import Panel
from screens.widgets.price_bar import BAR_WIDTH, path_bar, signed_tone
from screens.widgets.tones import Cell, Cells, Tone

_STATUS_TONES: Final[dict[str, Tone]] = {
    "stopping": "warn", "failed": "loss", "done": "muted", "idle": "muted",
}  # fmt: skip


def status_cell(view: InstanceView) -> Cells:
    """Status in words, with the words that need attention beside it."""
    word = "draining" if view.status == "stopping" else clean(view.status)
    status = Cell(word, _STATUS_TONES.get(view.status, ""))
    if not view.flags:
        return status
    flags = Cell(" ".join(clean(flag) for flag in view.flags), "alarm")
    return flags if view.status == "running" else (flags, Cell(" "), status)


def _name(view: InstanceView) -> list[str]:
    return [view.symbol, view.strategy_name, view.exchange_name]


def _side(view: InstanceView) -> Cells:
    if not view.position:
        return Cell("flat", "muted")
    side, _, waiting = clean(view.position).partition(" ")
    return Cell(side, "muted" if waiting else "")


def _path(view: InstanceView) -> Cells:
    if view.position.endswith("waiting"):
        return Cell(f"waits {price(view.entry)}")
    return path_bar(view.path)


def _gain(view: InstanceView) -> Cells:
    return Cell(percent(view.pnl_percent), signed_tone(view.pnl_percent))


def _total(view: InstanceView) -> Cells:
    return Cell(percent(view.total_pnl), signed_tone(view.total_pnl))


class InstancesTable(Panel, MarkedTable[InstanceView]):
    """The live runs of the snapshot."""

    topics = ("instances",)

    def __init__(self, context: ScreenContext, *, id: str | None = None) -> None:
        self.context = context
        columns = (
            Column[InstanceView]("status", 8, status_cell, grow=6),
            Column[InstanceView](
                "symbol", 8, lambda v: Cell(clean(v.symbol), "strong"), grow=4,
                order=lambda v: v.symbol,
            ),
            Column[InstanceView](
                "strategy", 14, lambda v: Cell(clean(v.strategy_name)), grow=4, shrink=4,
                order=lambda v: v.strategy_name,
            ),
            Column[InstanceView](
                "exchange", 9, lambda v: Cell(clean(v.exchange_name), "muted"), drop=8, grow=6
            ),
            Column[InstanceView]("side", 5, _side),
            Column[InstanceView](
                "entry", 10, lambda v: Cell(price(v.entry)), right=True, drop=5, grow=2
            ),
            Column[InstanceView](
                "last", 10, lambda v: Cell(price(v.last_price)), right=True, drop=4, grow=2
            ),
            Column[InstanceView]("PnL %", 7, _gain, right=True, order=lambda v: v.pnl_percent),
            Column[InstanceView]("SL           TP", BAR_WIDTH, _path),
            Column[InstanceView](
                "left", 6, self._left, right=True, ages=True,
                order=lambda v: v.expires_at, least=True,
            ),
            Column[InstanceView]("tick", 4, self._tick_age, right=True, ages=True),
            Column[InstanceView](
                "trades", 6, lambda v: Cell(str(v.trades), "muted"), right=True, drop=6,
                order=lambda v: v.trades,
            ),
            Column[InstanceView](
                "sum %", 7, _total, right=True, drop=7, order=lambda v: v.total_pnl
            ),
            Column[InstanceView](
                "last error", 30, lambda v: Cell(clean(v.last_error), "loss"), drop=9, grow=60
            ),
            Column[InstanceView]("mode", 4, lambda v: Cell(clean(v.mode), "muted"), drop=10),
        )  # fmt: skip
        super().__init__(
            columns,
            key=lambda view: view.instance_id,
            empty="no live runs - press {run.new} to start one",
            id=id,
        )
        self._wanted = recalled_list(context.host.memory, CHOSEN, str, str, str)

    def show(self, snapshot: DeckSnapshot) -> None:
        """The instances moved."""
        self.set_rows(snapshot.instances)
        if self._wanted and self.rows:
            found = [view for view in self.rows if _name(view) == self._wanted]
            if not (found and self.select(found[0].instance_id)):
                ignored(CHOSEN, self._wanted)
            self._wanted = []

    def on_line_table_moved(self) -> None:
        """The run under the cursor is that of the next start; its id is this process's only."""
        if self.current is not None and not self._wanted:
            self.context.host.memory.remember(CHOSEN, _name(self.current))

    def tick(self) -> None:
        """Ages and times left move every second."""
        self.refresh_aged()

    def _left(self, view: InstanceView) -> Cells:
        if view.expires_at is None:
            return Cell("")
        return Cell(rest((view.expires_at - self.context.now()) / 1000))

    def _tick_age(self, view: InstanceView) -> Cells:
        if view.last_tick is None:
            return Cell("-", "muted")
        age = short_span((self.context.now() - view.last_tick) / 1000)
        return Cell(age, "warn" if "stale" in view.flags else "muted")


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import SampleHost, frozen_clock

    sample = ScreenContext(SampleHost(), frozen_clock)
    table = InstancesTable(sample)
    show_alone(table, lambda: table.show(sample.snapshot))
