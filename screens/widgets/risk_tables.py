"""Risk as tables: profiles with their slots, who holds them, what was rejected or invalid."""

from __future__ import annotations

from typing import NamedTuple

from console.views import DeckSnapshot, FeedEntry, InstanceView, ProfileView, RejectionView
from screens.context import ScreenContext
from screens.text import clean, count, percent, price, recent, rest
from screens.widgets.line_table import Column, LineTable
from screens.widgets.panel import Panel
from screens.widgets.price_bar import signed_tone
from screens.widgets.sortable_table import SortableTable
from screens.widgets.tones import Cell, Cells

INVALID = "validation: "
"""Beginning of a feed entry about a signal that broke a rule of the engine."""


def _rejected(view: ProfileView) -> Cells:
    return Cell(count(view.refusals), "warn" if view.refusals else "muted")


def _limit(view: ProfileView) -> Cells:
    if view.refused_at is None:
        return Cell("never", "muted")
    return Cell(f"{view.refused_at} taken")


class ProfilesTable(Panel, SortableTable[ProfileView]):
    """The risk profiles of the snapshot."""

    topics = ("risk",)

    def __init__(self, *, id: str | None = None) -> None:
        columns = (
            Column[ProfileView](
                "profile", 16, lambda v: Cell(clean(v.name), "strong"), grow=8,
                order=lambda v: v.name,
            ),
            Column[ProfileView](
                "slots", 5, lambda v: Cell(str(len(v.active)), "strong" if v.active else ""),
                right=True, order=lambda v: len(v.active),
            ),
            Column[ProfileView](
                "rejected", 8, _rejected, right=True, order=lambda v: v.refusals
            ),
            Column[ProfileView]("first at", 10, _limit, drop=1),
            Column[ProfileView]("rules", 28, lambda v: Cell(clean(", ".join(v.rules))), grow=24),
            Column[ProfileView](
                "strategies", 20, lambda v: Cell(clean(", ".join(v.strategies)), "muted"), drop=2,
                grow=60,
            ),
        )  # fmt: skip
        super().__init__(
            columns,
            key=lambda view: view.name,
            empty="no risk profile is registered - every valid signal is let through",
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """Profiles or their slots moved."""
        self.set_rows(snapshot.profiles)


class Holding(NamedTuple):
    """A run that holds a slot of a profile; ``view`` is None once the run is gone."""

    profile: str
    view: InstanceView


def _gain(row: Holding) -> Cells:
    return Cell(percent(row.view.pnl_percent), signed_tone(row.view.pnl_percent))


class HoldingsTable(Panel, SortableTable[Holding]):
    """Active positions per profile."""

    topics = ("risk", "instances")

    def __init__(self, context: ScreenContext, *, id: str | None = None) -> None:
        self.context = context
        columns = (
            Column[Holding](
                "profile", 16, lambda r: Cell(clean(r.profile)), grow=8, order=lambda r: r.profile
            ),
            Column[Holding](
                "symbol", 8, lambda r: Cell(clean(r.view.symbol), "strong"), grow=4,
                order=lambda r: r.view.symbol,
            ),
            Column[Holding](
                "strategy", 14, lambda r: Cell(clean(r.view.strategy_name)), grow=6, shrink=4
            ),
            Column[Holding]("side", 5, lambda r: Cell(clean(r.view.position))),
            Column[Holding](
                "entry", 10, lambda r: Cell(price(r.view.entry), "muted"), right=True, drop=1
            ),
            Column[Holding](
                "PnL %", 7, _gain, right=True, order=lambda r: r.view.pnl_percent
            ),
            Column[Holding]("open for", 8, self._since, right=True),
        )  # fmt: skip
        super().__init__(
            columns,
            key=lambda row: (row.profile, row.view.instance_id),
            empty="no open position holds a slot",
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """Slots or positions moved."""
        views = {view.instance_id: view for view in snapshot.instances}
        self.set_rows(
            [
                Holding(profile.name, views[run_id])
                for profile in snapshot.profiles
                for run_id in profile.active
                if run_id in views
            ]
        )

    def tick(self) -> None:
        """Times move every second."""
        if self.rows:
            self.refresh()

    def _since(self, row: Holding) -> Cells:
        if row.view.since is None:
            return Cell("-", "muted")
        return Cell(rest((self.context.now() - row.view.since) / 1000), "muted")


class RejectionsTable(Panel, SortableTable[RejectionView]):
    """Rejections by profile and reason, the most recent first."""

    topics = ("risk",)

    def __init__(self, context: ScreenContext, *, id: str | None = None) -> None:
        columns = (
            Column[RejectionView](
                "count", 6, lambda v: Cell(count(v.count), "warn"), right=True,
                order=lambda v: v.count,
            ),
            Column[RejectionView](
                "profile", 16, lambda v: Cell(clean(v.profile)), drop=1, grow=8
            ),
            Column[RejectionView]("reason", 30, lambda v: Cell(clean(v.reason)), grow=50, shrink=6),
            Column[RejectionView](
                "newest", 9, lambda v: Cell(recent(v.when, context.now()), "muted"), right=True,
                order=lambda v: v.when,
            ),
            Column[RejectionView]("symbol", 8, lambda v: Cell(clean(v.symbol), "strong"), drop=2),
            Column[RejectionView](
                "strategy", 14, lambda v: Cell(clean(v.strategy_name)), drop=3, grow=6
            ),
            Column[RejectionView]("side", 5, lambda v: Cell(clean(v.position)), drop=5),
            Column[RejectionView](
                "slots", 5, lambda v: Cell(str(v.taken), "muted"), right=True, drop=4
            ),
        )  # fmt: skip
        super().__init__(
            columns,
            key=lambda view: (view.profile, view.reason),
            empty="no signal has been rejected",
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """Rejections moved."""
        self.set_rows(snapshot.rejections)


class InvalidTable(Panel, LineTable[FeedEntry]):
    """Signals that broke a rule of the engine, newest first."""

    topics = ("feed",)

    def __init__(self, context: ScreenContext, *, id: str | None = None) -> None:
        columns = (
            Column[FeedEntry](
                "UTC", 9, lambda e: Cell(recent(e.when, context.now()), "muted"), right=True
            ),
            Column[FeedEntry]("symbol", 8, lambda e: Cell(clean(e.symbol), "strong"), grow=4),
            Column[FeedEntry](
                "strategy", 14, lambda e: Cell(clean(e.strategy_name)), grow=4, shrink=4
            ),
            Column[FeedEntry](
                "what is wrong", 24, lambda e: Cell(clean(e.detail.removeprefix(INVALID)), "loss"),
                grow=200,
            ),
        )  # fmt: skip
        super().__init__(
            columns,
            key=lambda entry: entry.number,
            empty="no strategy has given an invalid signal",
            follow=True,
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """The feed moved."""
        self.set_rows([e for e in snapshot.feed if e.detail.startswith(INVALID)])


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import snapshot as sample

    table = ProfilesTable()
    show_alone(table, lambda: table.show(sample()))
