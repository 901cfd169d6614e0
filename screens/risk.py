"""Risk: slots taken per profile, who takes them, what was rejected and why, invalid signals."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult

from console.views import FeedEntry, ProfileView, RejectionView
from screens.base import BaseScreen
from screens.context import ScreenContext
from screens.detail import DetailDialog, Fact, entry_facts
from screens.instance import InstanceScreen
from screens.text import clean, many, minute, price
from screens.widgets.line_table import LineTable
from screens.widgets.pane import Pane, PaneStack
from screens.widgets.risk_tables import (
    Holding,
    HoldingsTable,
    InvalidTable,
    ProfilesTable,
    RejectionsTable,
)


class RiskScreen(BaseScreen):
    """Profiles and positions above rejections and invalid signals."""

    mode_name = "Risk"
    CSS_PATH = ["base.tcss", "risk.tcss"]  # noqa: RUF012

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self.profiles = ProfilesTable(id="profiles")
        self.holdings = HoldingsTable(context, id="holdings")
        self.rejections = RejectionsTable(context, id="rejections")
        self.invalid = InvalidTable(context, id="invalid")
        self.profiles_pane = Pane("Risk profiles", self.profiles, counts=True, id="profiles-pane")
        self.holdings_pane = Pane(
            "Active positions", self.holdings, counts=True, id="holdings-pane"
        )
        self.rejections_pane = Pane("Rejections", self.rejections, id="rejections-pane")
        self.invalid_pane = Pane("Invalid signals", self.invalid, counts=True, id="invalid-pane")

    def compose_body(self) -> ComposeResult:
        """Four panes."""
        yield PaneStack(
            [self.profiles_pane, self.holdings_pane, self.rejections_pane, self.invalid_pane]
        )

    def on_mount(self) -> None:
        """Start with the profiles."""
        self.profiles.focus()

    def after_follow(self) -> None:
        """Titles."""
        snapshot = self.context.snapshot
        rejected = sum(view.count for view in snapshot.rejections)
        self.profiles_pane.title.update(note=many(len(snapshot.profiles), "profile"))
        self.holdings_pane.title.update(note=many(len(self.holdings.rows), "slot") + " taken")
        self.rejections_pane.title.update(
            note=f"{many(rejected, 'signal')} for {many(len(snapshot.rejections), 'reason')}"
        )
        self.invalid_pane.title.update(note=f"{len(self.invalid.rows)} in the feed")
        short = self.query_one(PaneStack).short
        for pane, table in (
            (self.profiles_pane, self.profiles),
            (self.holdings_pane, self.holdings),
        ):
            # Title, headings and rows; an empty table needs two lines of explanation.
            pane.limit(None if short else max(3, len(table.rows) + 1) + 2)

    @on(LineTable.Opened)
    def open_row(self, message: LineTable.Opened) -> None:
        """Show everything about a line; a position opens its run."""
        row = message.table.current
        if isinstance(row, Holding):
            run_id = row.view.instance_id
            self.app.push_screen(InstanceScreen(self.context, run_id, self.mode_name))
        elif isinstance(row, ProfileView):
            self.app.push_screen(DetailDialog(f"Profile {clean(row.name)}", profile_facts(row)))
        elif isinstance(row, RejectionView):
            self.app.push_screen(DetailDialog("Rejection", rejection_facts(row)))
        elif isinstance(row, FeedEntry):
            title = f"Invalid signal  {clean(row.symbol)}  {clean(row.strategy_name)}"
            self.app.push_screen(DetailDialog(title, entry_facts(row)))


def profile_facts(view: ProfileView) -> tuple[Fact, ...]:
    """All that is known of a profile."""
    first = "never" if view.refused_at is None else f"first with {view.refused_at} slots taken"
    facts = [
        Fact("slots taken", str(len(view.active))),
        Fact("rejected", f"{many(view.refusals, 'signal')}, {first}"),
        Fact("rules", "\n".join(view.rules) or "none: it lets everything through"),
        Fact("strategies", "\n".join(view.strategies) or "none uses it"),
        Fact("note", view.note),
    ]
    return tuple(fact for fact in facts if fact.value)


def rejection_facts(view: RejectionView) -> tuple[Fact, ...]:
    """All that is known of a reason for rejections."""
    return (
        Fact("profile", view.profile),
        Fact("reason", view.reason),
        Fact("how often", f"{view.count:,}"),
        Fact("newest", f"{minute(view.when)} UTC"),
        Fact("symbol", view.symbol),
        Fact("strategy", view.strategy_name),
        Fact("position", view.position),
        Fact("price", price(view.price)),
        Fact("slots taken", str(view.taken)),
    )
