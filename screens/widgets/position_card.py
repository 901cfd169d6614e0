"""The position of one run in figures, and its milestones below."""

from __future__ import annotations

from textual.strip import Strip

from console.views import DeckSnapshot, InstanceView
from screens.context import ScreenContext
from screens.text import clean, percent, price, rest, short_minute
from screens.widgets.ladder import Rungs, ladder_lines, rungs_of
from screens.widgets.panel import Panel
from screens.widgets.price_bar import distance, signed_tone
from screens.widgets.tones import Cell, ToneWidget, segments


def card_lines(view: InstanceView, now: int) -> list[tuple[Cell, ...]]:
    """What is held, in two or three lines.

    Args:
        view: the run.
        now: the engine's time, ms UTC.
    """
    if not view.position:
        won = f"{view.wins} of {view.trades} trades won" if view.trades else "no trades yet"
        return [
            (Cell("  flat"), Cell(f", last price {price(view.last_price)}", "muted")),
            (Cell(f"  {won}, closed "), Cell(percent(view.total_pnl), signed_tone(view.total_pnl)),
             Cell(" %")),
        ]  # fmt: skip
    side = clean(view.position).partition(" ")[0]
    since = f" since {short_minute(view.since)}" if view.since is not None else ""
    left = f", {rest((view.expires_at - now) / 1000)} left" if view.expires_at is not None else ""
    if view.position.endswith("waiting"):
        middle = (
            Cell(f"  entry {price(view.entry)}   now {price(view.last_price)}   to go "),
            Cell(f"{percent(distance(view))} %", "strong"),
        )
        first = (Cell(f"  {side}", "strong"), Cell(f", waiting{since}{left}", "muted"))
    else:
        middle = (
            Cell(f"  entry {price(view.entry)}   now {price(view.last_price)}   "),
            Cell(f"{percent(view.pnl_percent)} %", signed_tone(view.pnl_percent)),
        )
        first = (Cell(f"  {side}", "strong"), Cell(f"{since}{left}", "muted"))
    levels = (Cell(f"  TP {price(view.take_profit)}   SL {price(view.stop_loss)}"),)
    return [first, middle, levels]


class PositionCard(Panel, ToneWidget, can_focus=True):
    """What one run holds.

    Args:
        context: for the engine's time.
        run_id: the run.
    """

    topics = ("instances", "milestones")
    DEFAULT_CSS = """
    PositionCard {
        height: 1fr;
        background: $background;
        color: $foreground;
    }
    """

    def __init__(self, context: ScreenContext, run_id: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.context = context
        self._run_id = run_id
        self._view: InstanceView | None = None
        self._rungs: Rungs | None = None

    def show(self, snapshot: DeckSnapshot) -> None:
        """The run or its milestones moved."""
        found = (v for v in snapshot.instances if v.instance_id == self._run_id)
        view = next(found, None)
        rungs = rungs_of(view, snapshot.milestones) if view is not None else None
        if (view, rungs) != (self._view, self._rungs):
            self._view, self._rungs = view, rungs
            self.refresh()

    def tick(self) -> None:
        """The time left moves every second."""
        if self._view is not None and self._view.expires_at is not None:
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of card or ladder."""
        width = self.size.width
        lines = self._lines(width, self.size.height)
        cells = lines[y] if y < len(lines) else ()
        return Strip(segments(cells or Cell(""), width, self.style_of), width)

    def _lines(self, width: int, height: int) -> list[tuple[Cell, ...]]:
        if self._view is None:
            return [(), (Cell("  the run does not exist any more", "muted"),)]
        card = card_lines(self._view, self.context.now())
        if self._rungs is None:
            return card
        return [*card, (), *ladder_lines(self._rungs, width, height - len(card) - 1)]


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import SampleHost, frozen_clock

    sample = ScreenContext(SampleHost(), frozen_clock)
    shown = PositionCard(sample, "live-1")
    show_alone(shown, lambda: shown.show(sample.snapshot))
