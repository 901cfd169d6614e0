"""One signal from the first word of it to the last: its levels, its ladder, what happened."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType

from console.keymap import bind
from console.views import DeckSnapshot, FeedEntry, InstanceView
from screens.base import BaseScreen
from screens.context import ScreenContext
from screens.detail import DetailDialog, entry_facts
from screens.text import clean, many, percent, price, span
from screens.widgets.ladder import Ladder, Rungs, milestone_times, rungs_of
from screens.widgets.life_table import LifeRow, LifeTable
from screens.widgets.line_table import LineTable
from screens.widgets.pane import Pane, PaneStack
from screens.widgets.price_bar import PriceBar, signed_tone
from screens.widgets.title_line import TitleLine
from screens.widgets.tones import Cell

_ENDS = ("closed", "cancelled")


class LifeScreen(BaseScreen):
    """One signal.

    Args:
        context: host, clock and session.
        signal_id: which one.
        mode_name: name of the mode it was opened from.
    """

    CSS_PATH = ["base.tcss", "life.tcss"]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "app.pop_screen")]

    def __init__(self, context: ScreenContext, signal_id: str, mode_name: str) -> None:
        super().__init__(context)
        self._signal_id = signal_id
        self.mode_name = mode_name
        self.title_line = TitleLine(())
        self.bar = PriceBar(id="price-bar")
        self.life = LifeTable(
            context,
            lambda happening: happening.signal_id == signal_id,
            newest_first=False,
            empty="the feed does not reach back to this signal any more",
            id="life",
        )
        self.ladder = Ladder(id="ladder")
        self.life_pane = Pane("What happened", self.life, counts=True, id="life-pane")
        self.ladder_pane = Pane("Milestones", self.ladder, id="ladder-pane")

    def compose_body(self) -> ComposeResult:
        """Title, price bar, panes."""
        yield self.title_line
        yield self.bar
        yield PaneStack([self.life_pane, self.ladder_pane])

    def on_mount(self) -> None:
        """Start with what happened."""
        self.life.focus()

    def after_follow(self) -> None:
        """Title, bar and ladder of the present state."""
        snapshot = self.context.snapshot
        entries = [e for e in snapshot.feed if e.signal_id == self._signal_id]
        if not entries:
            self.bar.show(None, "nothing of it is kept any more")
            return
        view = next((v for v in snapshot.instances if v.signal_id == self._signal_id), None)
        newest, first = entries[0], entries[-1]
        title = (
            Cell(f" {clean(newest.symbol)}  {clean(newest.strategy_name)}", "strong"),
            Cell(f"  {clean(newest.position)}  "),
            Cell(clean(newest.exchange_name), "muted"),
        )
        self.title_line.update(title, _state(newest, first, view))
        self.bar.show(view, _levels(newest))
        self.ladder.show(_rungs(entries, view, snapshot, self._signal_id))
        self.life_pane.title.update(note=many(len(self.life.rows), "event"))
        times = milestone_times(snapshot.milestones, self._signal_id)
        self.ladder_pane.title.update(note=f"{len(times)} kept")

    @on(LineTable.Opened)
    def open_row(self, message: LineTable.Opened) -> None:
        """Show everything about a line."""
        row = message.table.current
        if isinstance(row, LifeRow) and isinstance(row.happening, FeedEntry):
            entry = row.happening
            title = f"{entry.action}  {clean(entry.symbol)}  {clean(entry.strategy_name)}"
            self.app.push_screen(DetailDialog(title, entry_facts(entry)))


def _state(newest: FeedEntry, first: FeedEntry, view: InstanceView | None) -> tuple[Cell, ...]:
    """How it stands or ended, for the right of the title."""
    if newest.action in _ENDS:
        took = span((newest.when - first.when) / 1000)
        gain = newest.pnl_percent
        figures = () if gain is None else (Cell(f"{percent(gain)} %  ", signed_tone(gain)),)
        return (Cell(f"{newest.action}  "), *figures, Cell(f"after {took} ", "muted"))
    if view is None:
        return (Cell(f"{clean(newest.action)} "),)
    if view.position.endswith("waiting"):
        return (Cell("waiting for its entry "),)
    gain = view.pnl_percent
    return (Cell("open  "), Cell(f"{percent(gain)} % ", signed_tone(gain)))


def _levels(entry: FeedEntry) -> str:
    parts = [
        f"{name} {price(value)}"
        for name, value in (
            ("entry", entry.entry),
            ("stop loss", entry.stop_loss),
            ("take profit", entry.take_profit),
        )
        if value is not None
    ]
    if entry.minutes is not None:
        parts.append(f"may last {span(entry.minutes * 60)}")
    return "   ".join(parts)


def _rungs(
    entries: list[FeedEntry], view: InstanceView | None, snapshot: DeckSnapshot, signal_id: str
) -> Rungs | None:
    """The ladder, also of a position that has closed, as far as its milestones are kept."""
    if view is not None:
        return rungs_of(view, snapshot.milestones)
    entry = next((e for e in entries if e.action in ("opened", "closed")), None)
    if entry is None or None in (entry.entry, entry.take_profit, entry.stop_loss):
        return None
    times = milestone_times(snapshot.milestones, signal_id)
    assert entry.entry is not None
    assert entry.take_profit is not None
    assert entry.stop_loss is not None
    reached = {"profit": 0, "loss": 0}
    for side, level in times:
        reached[side] = max(level, reached.get(side, 0))
    return Rungs(
        entry.entry, entry.take_profit, entry.stop_loss, reached["profit"], reached["loss"], times
    )
