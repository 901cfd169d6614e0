"""All live runs in one line: how many trades, how many won, what they add up to."""

from __future__ import annotations

from textual.strip import Strip

from console.views import DeckSnapshot, InstanceView
from screens.text import many, percent
from screens.widgets.panel import Panel
from screens.widgets.price_bar import signed_tone
from screens.widgets.tones import Cell, ToneWidget, segments, width_of


def totals(instances: tuple[InstanceView, ...]) -> tuple[tuple[Cell, ...], ...]:
    """The totals of the runs as pieces of text: in full, then ever shorter, never half a figure."""
    if not instances:
        return ((Cell(" no live runs", "muted"),),)
    trades = sum(view.trades for view in instances)
    wins = sum(view.wins for view in instances)
    gained = sum(view.total_pnl for view in instances)
    marked = [view.pnl_percent for view in instances if view.pnl_percent is not None]
    won = f", {100 * wins / trades:.1f} % won" if trades else ""
    held = percent(sum(marked)) if marked else "none"
    runs, made = many(len(instances), "run"), many(trades, "trade")
    figures = (
        Cell("   closed "),
        Cell(f"{percent(gained)} %", signed_tone(gained)),
        Cell("   open "),
        Cell(f"{held} %" if marked else held, signed_tone(sum(marked))),
    )
    return (
        (Cell(f" {runs}   {made}{won}"), *figures, Cell("   (sums over trades)", "muted")),
        (Cell(f" {runs}   {made}{won}"), *figures),
        (Cell(f" {runs}   {made}"), *figures),
        (Cell(f" {runs}"), *figures),
        (Cell(" closed "), *figures[1:]),
        (Cell(" open "), figures[3]),
    )


class TotalsLine(Panel, ToneWidget):
    """Totals over the instances of the snapshot."""

    topics = ("instances",)
    DEFAULT_CSS = """
    TotalsLine {
        height: 1;
        background: $panel;
        color: $foreground;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._totals = totals(())

    def show(self, snapshot: DeckSnapshot) -> None:
        """The instances moved."""
        found = totals(snapshot.instances)
        if found != self._totals:
            self._totals = found
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The one line."""
        width = self.size.width
        fitting = (cells for cells in self._totals if width_of(cells) <= width)
        cells = next(fitting, self._totals[-1])
        return Strip(segments(cells, width, self.style_of), width)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import snapshot as sample

    line = TotalsLine()
    show_alone(line, lambda: line.show(sample()))
