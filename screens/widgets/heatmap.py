"""A grid of figures on a ground that is the stronger the further they are from zero.

The figures themselves are written out with their signs, so nothing rests on colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import fsum, isfinite
from typing import ClassVar, Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.keymap import bind
from engine.domain.outcome import EquityPoint
from engine.domain.signals import Closed
from engine.reports.statistics import monthly_returns
from screens.text import clean, fit, percent

_LABEL: Final = 14
_GAP: Final = 3
_LEAST: Final = 5
_WIDEST: Final = 9
_SHADES: Final = 3
_FAINT: Final = 1.0
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A line of a heatmap; None is drawn as a dot.

    Attributes:
        total: the figure at the end of the line, without a ground.
    """

    label: str
    values: tuple[float | None, ...]
    total: float | None = None


@dataclass(frozen=True, slots=True)
class HeatGrid:
    """What a heatmap shows: headings, lines, and what the last column is called ("" for none)."""

    columns: tuple[str, ...]
    rows: tuple[HeatRow, ...]
    total: str = ""


def monthly_grid(equity: Sequence[EquityPoint]) -> HeatGrid:
    """Years down, months across, in percent; the total is the year's compounded return."""
    years: dict[int, list[float | None]] = {}
    for month in monthly_returns(equity):
        years.setdefault(month.year, [None] * 12)[month.month - 1] = month.percent
    rows: list[HeatRow] = []
    for year, months in years.items():
        grown = 1.0
        for value in months:
            grown *= 1 + (value or 0.0) / 100
        rows.append(HeatRow(str(year), tuple(months), (grown - 1) * 100))
    return HeatGrid(_MONTHS, tuple(rows), "year")


def symbol_grid(trades: Iterable[Closed], months: int = 12) -> HeatGrid:
    """Symbols down, the newest months across: sums of the trades' percentages, best symbol on top.

    Args:
        trades: closed trades of any number of runs; each counts in the month it closed in.
        months: how many months there is room for; the total counts all of them.
    """
    sums: dict[str, dict[tuple[int, int], float]] = {}
    for trade in trades:
        when = datetime.fromtimestamp((trade.close_timestamp - 1) / 1000, UTC)
        line = sums.setdefault(trade.symbol, {})
        place = (when.year, when.month)
        line[place] = line.get(place, 0.0) + trade.pnl.pnl_percentage
    shown = sorted({place for line in sums.values() for place in line})[-months:]
    rows = [
        HeatRow(symbol, tuple(line.get(place) for place in shown), fsum(line.values()))
        for symbol, line in sums.items()
    ]
    rows.sort(key=lambda row: (-(row.total or 0.0), row.label))
    names = tuple(f"{_MONTHS[month - 1]} {year % 100:02d}" for year, month in shown)
    return HeatGrid(names, tuple(rows), "sum")


def shade(value: float | None, most: float) -> int:
    """How strong the ground of a figure is: 0 for none, negative for losses, up to 3.

    Args:
        value: the figure.
        most: the greatest distance from zero in the grid.
    """
    if value is None or not isfinite(value) or most <= 0 or round(value, 2) == 0:
        return 0
    strength = 1 + int(min(1.0, abs(value) / most) * _SHADES * 0.999)
    return strength if value > 0 else -strength


class Heatmap(ScrollView, can_focus=True):
    """A grid of signed figures in percent."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "heatmap--muted",
        *(f"heatmap--{side}{n}" for side in ("gain", "loss") for n in range(1, _SHADES + 1)),
    }
    DEFAULT_CSS = """
    Heatmap {
        height: 1fr;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
        .heatmap--muted { color: $text-muted; }
        .heatmap--gain1 { color: $success; background: $success 8%; }
        .heatmap--gain2 { color: $foreground; background: $success 24%; }
        .heatmap--gain3 { color: $foreground; background: $success 42%; text-style: bold; }
        .heatmap--loss1 { color: $error; background: $error 8%; }
        .heatmap--loss2 { color: $foreground; background: $error 24%; }
        .heatmap--loss3 { color: $foreground; background: $error 42%; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("table.down", "scroll_down"),
        bind("table.up", "scroll_up"),
    ]

    def __init__(self, grid: HeatGrid | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._grid = grid or HeatGrid((), ())
        self._most = _most(self._grid)

    def show(self, grid: HeatGrid) -> None:
        """Draw another grid; an equal one is not drawn again."""
        if grid != self._grid:
            self._grid, self._most = grid, _most(grid)
            self._measure()
            self.refresh()

    def on_resize(self) -> None:
        """The columns share the width."""
        self._measure()

    def render_line(self, y: int) -> Strip:
        """Headings, then one line per row."""
        width = self.size.width
        if not self._grid.rows:
            text = "  nothing to compare yet" if y == 1 else ""
            return Strip([Segment(fit(text, width), self._style("muted"))], width)
        cell = self._cell_width()
        if y == 0:
            names = "".join(fit(name, cell, right=True) for name in self._grid.columns)
            line = " " * self._label_width() + names + fit(self._grid.total, _WIDEST, right=True)
            return Strip([Segment(fit(line, width), self._style("muted"))], width)
        index = y - 1 + int(self.scroll_offset.y)
        if index >= len(self._grid.rows):
            return Strip.blank(width, self.rich_style)
        return self._row(self._grid.rows[index], cell, width)

    def _row(self, row: HeatRow, cell: int, width: int) -> Strip:
        line = [Segment(fit(f"  {clean(row.label)}", self._label_width()), self.rich_style)]
        for value in row.values:
            text = _figure(value, cell - 1)
            strength = shade(value, self._most) if text[0] in "+-" else 0
            side = "gain" if strength > 0 else "loss"
            name = f"{side}{abs(strength)}" if strength else "muted" if value is None else ""
            line.append(Segment(fit(text, cell, right=True), self._style(name)))
        if self._grid.total:
            total = percent(row.total) if row.total is not None else ""
            line.append(Segment(fit(total, _WIDEST, right=True), self.rich_style))
        return Strip(line).adjust_cell_length(width, self.rich_style)

    def _cell_width(self) -> int:
        total = _WIDEST if self._grid.total else 0
        room = self.size.width - self._label_width() - total
        return max(_LEAST, min(_WIDEST, room // max(1, len(self._grid.columns))))

    def _label_width(self) -> int:
        longest = max((cell_len(clean(row.label)) for row in self._grid.rows), default=0)
        return min(_LABEL, longest + _GAP)

    def _style(self, name: str) -> Style:
        if not name:
            return self.rich_style
        return self.get_component_rich_style(f"heatmap--{name}")

    def _measure(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._grid.rows) + 1)


def _figure(value: float | None, room: int) -> str:
    """A figure in its sign and as many decimals as there is room for."""
    if value is None or not isfinite(value):
        return "·"
    return next((t for d in (2, 1) if len(t := percent(value, d)) <= room), percent(value, 0))


def _most(grid: HeatGrid) -> float:
    known = (abs(v) for row in grid.rows for v in row.values if v is not None and isfinite(v))
    # A grid of nothing but small figures has no strong ones.
    return max(_FAINT, max(known, default=0.0))


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import outcome

    show_alone(Heatmap(monthly_grid(outcome(7, days=400).equity)))
