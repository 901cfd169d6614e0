"""The equity curve of a run with its drawdown below, drawn in braille on a common time axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from textual.strip import Strip

from engine.domain.outcome import EquityPoint
from screens.text import day, fit, percent
from screens.widgets.braille import hanging, line
from screens.widgets.tones import Cell, ToneWidget, segments

_AXIS: Final = 11
"""Cells of the figures at the left."""


def drawdowns(equity: Sequence[float]) -> list[float]:
    """How far below its maximum so far each point is, in positive percent."""
    peaks = accumulate(equity, max)
    return [100 * (1 - e / p) if p > 0 else 0.0 for e, p in zip(equity, peaks, strict=True)]


class EquityChart(ToneWidget, can_focus=True):
    """Equity as total return in percent, drawdown hanging below it."""

    DEFAULT_CSS = """
    EquityChart {
        height: 1fr;
        background: $background;
        color: $foreground;
    }
    """

    def __init__(self, equity: Sequence[EquityPoint] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._points = tuple(equity)
        self._lines: list[tuple[Cell, ...]] = []
        self._drawn_for = (-1, -1)

    def show(self, equity: Sequence[EquityPoint]) -> None:
        """Draw another curve."""
        self._points = tuple(equity)
        self._drawn_for = (-1, -1)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the picture, which is made anew when the size changed."""
        size = (self.size.width, self.size.height)
        if size != self._drawn_for:
            self._lines = chart_lines(self._points, *size)
            self._drawn_for = size
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        return Strip(segments(self._lines[y], self.size.width, self.style_of), self.size.width)


def chart_lines(points: Sequence[EquityPoint], width: int, height: int) -> list[tuple[Cell, ...]]:
    """The whole picture, top to bottom, for a space of that size."""
    plot = width - _AXIS - 2
    if len(points) < 2 or plot < 8 or height < 7:
        return [(), (Cell("  no equity curve: the run has no days", "muted"),)]
    equity = [point.equity for point in points]
    returns = [100 * (value - 1) for value in equity]
    depths = drawdowns(equity)
    below = max(2, (height - 3) // 4)
    above = height - 3 - below
    low, high = min(0.0, *returns), max(0.0, *returns)
    if high - low < 1e-9:
        low, high = -1.0, 1.0
    lines = [_titled("return %", "from the first day to the last, trades compounded")]
    labels = {0: percent(high), above - 1: percent(low)}
    zero = round(high / (high - low) * (above - 1))
    labels.setdefault(zero, "0.00")
    for row, dots in enumerate(line(returns, plot, above, low, high)):
        level = fit(labels.get(row, ""), _AXIS, right=True) + " "
        lines.append((Cell(level, "muted"), Cell(dots, "accent")))
    deepest = max(depths)
    lines.append(_titled("drawdown %", f"at most {deepest:.2f}"))
    for row, dots in enumerate(hanging(depths, plot, below, deepest)):
        level = "0.00" if row == 0 else f"{-deepest:.2f}" if row == below - 1 else ""
        level = level if deepest > 0 or row == 0 else ""
        lines.append((Cell(fit(level, _AXIS, right=True) + " ", "muted"), Cell(dots, "loss")))
    first, last = day(points[0].timestamp), day(points[-1].timestamp)
    axis = first + " " * max(1, plot - len(first) - len(last)) + last
    lines.append((Cell(" " * (_AXIS + 1) + axis, "muted"),))
    return lines


def _titled(title: str, note: str) -> tuple[Cell, ...]:
    return (Cell(fit(title, _AXIS, right=True) + " "), Cell(note, "muted"))


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import outcome

    show_alone(EquityChart(outcome(7).equity))
