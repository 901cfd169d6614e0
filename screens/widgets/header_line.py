"""The two lines on top of every screen: what this is, where you are, and whether it is alive.

The badge never gives way. A silent engine or late data says so in words, in the tone of an alarm,
and takes the place of less important figures where the terminal is narrow.
"""

from __future__ import annotations

from textual.strip import Strip

from console.views import DeckSnapshot, ExchangeHealth, HeaderView
from screens.context import LATE_HEARTBEAT, ScreenContext
from screens.text import clean, clock, many, short_span
from screens.widgets.panel import Panel
from screens.widgets.tones import Cell, ToneWidget, two_sided, width_of

_GAP = Cell("   ")


class HeaderLine(Panel, ToneWidget):
    """Badge, modes and clock; heartbeat, newest bars, counts and unseen errors.

    Args:
        context: host and clock.
        modes: key and name of every mode, in order.
        active: name of the mode this header stands in.
    """

    topics = ("header",)
    DEFAULT_CSS = """
    HeaderLine {
        height: 2;
        background: $surface;
        color: $foreground;
    }
    """

    def __init__(
        self, context: ScreenContext, modes: tuple[tuple[str, str], ...], active: str
    ) -> None:
        super().__init__()
        self.context = context
        self._modes = modes
        self._active = active

    def show(self, snapshot: DeckSnapshot) -> None:
        """The header moved."""
        self.refresh()

    def tick(self) -> None:
        """Clock and ages move every second."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The badge's line or the engine's line."""
        if y == 0:
            return self._identity(self.size.width)
        if y == 1:
            return self._health(self.size.width)
        return Strip.blank(self.size.width, self.rich_style)

    def _identity(self, width: int) -> Strip:
        header = self.context.snapshot.header
        badge = (Cell(f" {clean(header.badge)}", "badge"), _GAP)
        right = (Cell(clock(self.context.now()) + " "),)
        room = width - width_of(badge) - width_of(right)
        modes = self._mode_bar()
        if width_of(modes) + 1 > room:
            modes = (Cell(self._active, "accent"),)
        if width_of(modes) + 1 > room:
            right = (Cell(clock(self.context.now())[11:] + " "),)
        return two_sided((*badge, *modes), right, width, self.style_of)

    def _mode_bar(self) -> tuple[Cell, ...]:
        cells: list[Cell] = []
        for key, name in self._modes:
            here = name == self._active
            cells.append(Cell(f"{key} ", "muted"))
            cells.append(Cell(f"[{name}]" if here else name, "accent" if here else "muted"))
            cells.append(Cell("  "))
        return tuple(cells[:-1])

    def _health(self, width: int) -> Strip:
        header = self.context.snapshot.header
        errors = header.errors - self.context.session.errors_seen
        unseen: tuple[Cell, ...] = ()
        if errors > 0:
            unseen = (Cell(f" {many(errors, 'unseen error')} ", "alarm"), Cell(" "))
        counts = (
            Cell(f"{header.running} running  {header.open} open  {header.scheduled} scheduled "),
        )
        left = (Cell(" "), *self._alive(), *self._bars(header, header.exchanges))
        if width_of(left) + width_of(counts) + width_of(unseen) + 2 > width:
            late = tuple(e for e in header.exchanges if e.stale)
            left = (Cell(" "), *self._alive(), *self._bars(header, late))
        right = (*unseen, *counts)
        if width_of(left) + width_of(right) > width:
            right = unseen
        return two_sided(left, right, width, self.style_of)

    def _alive(self) -> tuple[Cell, ...]:
        silence = self.context.silence()
        if silence > LATE_HEARTBEAT:
            text = f" ENGINE SILENT for {short_span(silence)} - figures are old "
            return (Cell(text, "alarm"), _GAP)
        return (Cell("● ", "gain"), Cell("engine alive", "muted"), _GAP)

    def _bars(self, header: HeaderView, exchanges: tuple[ExchangeHealth, ...]) -> tuple[Cell, ...]:
        cells: list[Cell] = []
        now = self.context.now()
        for exchange in exchanges:
            name = clean(exchange.exchange_name)
            if exchange.newest_close is None:
                cells += [Cell(f"{name} no bar yet", "muted"), _GAP]
                continue
            age = short_span((now - exchange.newest_close) / 1000)
            if exchange.stale:
                cells += [Cell(f" {name} STALE: newest bar {age} old ", "alarm"), _GAP]
            else:
                cells += [Cell(f"{name} ", "muted"), Cell(f"bar {age}"), _GAP]
        return tuple(cells)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import SampleHost, frozen_clock

    sample = ScreenContext(SampleHost(), frozen_clock)
    show_alone(HeaderLine(sample, (("1", "Deck"), ("5", "Backtests")), "Deck"))
