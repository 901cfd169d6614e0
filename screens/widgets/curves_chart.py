"""Equity curves of several strategies over each other, with a legend.

Every curve has a letter at its end and a line of its own kind, so they can be told apart without
colour as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from textual.strip import Strip

from engine.domain.outcome import EquityPoint
from screens.text import clean, day, fit, percent
from screens.widgets.braille import line_dots, text
from screens.widgets.tones import Cell, Tone, ToneWidget, segments, width_of

_AXIS: Final = 9
"""Cells of the figures at the left."""

_KINDS: Final[tuple[tuple[Tone, int], ...]] = (
    ("accent", 0), ("warn", 0), ("", 6), ("accent", 3), ("warn", 6), ("muted", 3),
)  # fmt: skip
"""Tone of each curve, and of how many dots across it leaves out every second half; 0 is solid."""

_NAME: Final = 24
_SAMPLES: Final = {0: "──", 6: "╌╌", 3: "··"}


@dataclass(frozen=True, slots=True)
class Curve:
    """The equity curve of one strategy."""

    name: str
    points: tuple[EquityPoint, ...]


def curves_lines(curves: Sequence[Curve], width: int, height: int) -> list[tuple[Cell, ...]]:
    """The whole picture, top to bottom: legend, curves, days.

    Args:
        curves: the first stands in front of the others; a curve needs two points to be drawn.
        width, height: terminal cells.
    """
    drawn = [curve for curve in curves if len(curve.points) > 1][: len(_KINDS)]
    plot = width - _AXIS - 4
    if not drawn or plot < 8 or height < 6:
        return [(), (Cell("  no equity curves yet", "muted"),)]
    legend = _legend(drawn, len(curves) - len(drawn), width)
    rows = height - len(legend) - 1
    if rows < 3:
        legend, rows = legend[:1], height - 2
    start = min(curve.points[0].timestamp for curve in drawn)
    end = max(curve.points[-1].timestamp for curve in drawn)
    returns = [_sampled(curve, start, end, 2 * plot) for curve in drawn]
    low = min(0.0, *(float(np.nanmin(values)) for values in returns))
    high = max(0.0, *(float(np.nanmax(values)) for values in returns))
    if high - low < 1e-9:
        low, high = -1.0, 1.0
    pictures = [_picture(values, plot, rows, low, high) for values in returns]
    ends = _ends(returns, rows, low, high)
    labels = {0: percent(high), rows - 1: percent(low)}
    labels.setdefault(round(high / (high - low) * (rows - 1)), "0.00")
    lines = legend
    cells = _merged(pictures)
    for row in range(rows):
        level = Cell(fit(labels.get(row, ""), _AXIS, right=True) + " ", "muted")
        lines.append((level, *cells[row], *ends.get(row, ())))
    first, last = day(start), day(end)
    axis = first + " " * max(1, plot - len(first) - len(last)) + last
    lines.append((Cell(" " * (_AXIS + 1) + axis, "muted"),))
    return lines


def _legend(drawn: Sequence[Curve], left_out: int, width: int) -> list[tuple[Cell, ...]]:
    entries: list[tuple[Cell, ...]] = []
    for letter, curve, (tone, gap) in zip(ascii_lowercase, drawn, _KINDS, strict=False):
        gained = percent((curve.points[-1].equity - 1) * 100)
        name = clean(curve.name)
        name = name if cell_len(name) <= _NAME else fit(name, _NAME)
        entries.append((Cell(f"{letter} {_SAMPLES[gap]} ", tone), Cell(f"{name} {gained} %   ")))
    if left_out:
        entries.append((Cell(f"and {left_out} more", "muted"),))
    lines: list[list[Cell]] = [[Cell("  ")]]
    for entry in entries:
        if len(lines[-1]) > 1 and width_of((*lines[-1], *entry)) > width:
            lines.append([Cell("  ")])
        lines[-1] += entry
    return [tuple(line) for line in lines]


def _sampled(curve: Curve, start: int, end: int, columns: int) -> NDArray[np.float64]:
    """Returns in percent on a common grid; NaN before a curve begins and after it ends."""
    stamps = np.array([point.timestamp for point in curve.points], dtype=np.float64)
    values = np.array([(point.equity - 1) * 100 for point in curve.points])
    grid = np.linspace(start, end, columns)
    return np.interp(grid, stamps, values, left=np.nan, right=np.nan)


def _picture(
    values: NDArray[np.float64], plot: int, rows: int, low: float, high: float
) -> NDArray[np.bool_]:
    known = np.flatnonzero(np.isfinite(values))
    dots = np.zeros((4 * rows, 2 * plot), dtype=np.bool_)
    if len(known):
        first, last = int(known[0]) // 2, int(known[-1]) // 2 + 1
        part = values[known[0] : known[-1] + 1]
        dots[:, 2 * first : 2 * last] = line_dots(part.tolist(), last - first, rows, low, high)
    return dots


def _merged(pictures: Sequence[NDArray[np.bool_]]) -> list[list[Cell]]:
    """All pictures in one; a cell has the tone of the foremost curve in it."""
    columns = np.arange(pictures[0].shape[1])
    every = np.zeros_like(pictures[0])
    owner = np.full((every.shape[0] // 4, every.shape[1] // 2), -1)
    for place in reversed(range(len(pictures))):
        gap = _KINDS[place][1]
        dots = pictures[place] if not gap else pictures[place] & (columns // (gap // 2) % 2 == 0)
        every |= dots
        here = pictures[place].reshape(owner.shape[0], 4, owner.shape[1], 2).any(axis=(1, 3))
        owner[here] = place
    lines: list[list[Cell]] = []
    for row, line in enumerate(text(every)):
        cells: list[Cell] = []
        begin = 0
        kinds = owner[row].tolist()
        for at in range(1, len(line) + 1):
            if at == len(line) or kinds[at] != kinds[begin]:
                tone: Tone = _KINDS[kinds[begin]][0] if kinds[begin] >= 0 else "muted"
                cells.append(Cell(line[begin:at], tone))
                begin = at
        lines.append(cells)
    return lines


def _ends(
    returns: Sequence[NDArray[np.float64]], rows: int, low: float, high: float
) -> dict[int, tuple[Cell, ...]]:
    """The letters at the ends of the curves, by row; those that end together stand together."""
    found: dict[int, tuple[Cell, ...]] = {}
    for letter, values, (tone, _) in zip(ascii_lowercase, returns, _KINDS, strict=False):
        known = values[np.isfinite(values)]
        if not len(known):
            continue
        row = min(rows - 1, round((high - float(known[-1])) / (high - low) * (rows - 1)))
        if len(found.get(row, ())) < 3:
            found[row] = (*found.get(row, ()), Cell(letter, tone))
    return found


class CurvesChart(ToneWidget, can_focus=True):
    """Several equity curves as total returns in percent."""

    DEFAULT_CSS = """
    CurvesChart {
        height: 1fr;
        background: $background;
        color: $foreground;
    }
    """

    def __init__(self, curves: Sequence[Curve] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._curves = tuple(curves)
        self._lines: list[tuple[Cell, ...]] = []
        self._drawn_for = (-1, -1)

    def show(self, curves: Sequence[Curve]) -> None:
        """Draw other curves; equal ones are not drawn again."""
        if tuple(curves) != self._curves:
            self._curves = tuple(curves)
            self._drawn_for = (-1, -1)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the picture, which is made anew when the size changed."""
        size = (self.size.width, self.size.height)
        if size != self._drawn_for:
            self._lines = curves_lines(self._curves, *size)
            self._drawn_for = size
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        return Strip(segments(self._lines[y], self.size.width, self.style_of), self.size.width)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import outcome

    names = ("sma-cross", "breakout", "rsi-reversion", "momentum-v2")
    show_alone(
        CurvesChart([Curve(name, outcome(seed).equity) for seed, name in enumerate(names, 3)])
    )
