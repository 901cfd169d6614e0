"""The way from stop-loss to take-profit in one line, with the price standing on it."""

from __future__ import annotations

from typing import Final

from textual.strip import Strip

from console.views import InstanceView
from screens.text import percent, price
from screens.widgets.tones import Cell, Cells, Tone, ToneWidget, segments, width_of

BAR_WIDTH: Final = 15
"""Cells of the bar in a table; odd, so that the entry has a middle."""

_WIDEST: Final = 61
"""A longer bar is harder to read than a shorter one."""


def signed_tone(value: float | None) -> Tone:
    """Gain, loss, or nothing of the kind."""
    if value is None or value == 0:
        return ""
    return "gain" if value > 0 else "loss"


def path_bar(path: float | None, width: int = BAR_WIDTH) -> Cells:
    """The way from stop-loss (left) over the entry (middle) to take-profit (right).

    Args:
        path: where the price stands, -100 (stop-loss) to 100 (take-profit), 0 at the entry.
        width: cells to draw in, odd.
    """
    if path is None:
        return Cell("")
    middle = width // 2
    at = middle + round(max(-100.0, min(100.0, path)) / 100 * middle)
    low, high = min(at, middle), max(at, middle)
    bar = ["─"] * width
    bar[low:high] = "━" * (high - low)
    bar[middle] = "┼"
    bar[at] = "●"
    tone: Tone = signed_tone(path) or "strong"
    return (
        Cell("".join(bar[:low]), "muted"),
        Cell("".join(bar[low : high + 1]), tone),
        Cell("".join(bar[high + 1 :]), "muted"),
    )


def price_bar(view: InstanceView, width: int) -> tuple[Cell, ...]:
    """The bar with the prices at both its ends, or in words what there is instead.

    Args:
        view: the run whose position or waiting signal is shown.
        width: cells there are.
    """
    if not view.position:
        return (Cell("flat, nothing is held", "muted"),)
    if view.position.endswith("waiting"):
        return (Cell(f"waits for {price(view.entry)}"), Cell(_distance(view), "muted"))
    if view.path is None:
        return (Cell("no price yet", "muted"),)
    stop = (Cell("SL ", "loss"), Cell(f"{price(view.stop_loss)} "))
    target = (Cell(f" {price(view.take_profit)}"), Cell(" TP", "gain"))
    room = width - width_of((*stop, *target))
    bar = path_bar(view.path, min(_WIDEST, room - 1 + room % 2)) if room >= 7 else ()
    return (*stop, *(bar if isinstance(bar, tuple) else (bar,)), *target)


def distance(view: InstanceView) -> float | None:
    """Percent the price still has to go to the entry of a waiting signal, with its sign."""
    if view.entry is None or not view.last_price:
        return None
    return (view.entry / view.last_price - 1) * 100


def _distance(view: InstanceView) -> str:
    away = distance(view)
    return "" if away is None else f", now {price(view.last_price)}, {percent(away)} % to go"


class PriceBar(ToneWidget):
    """One line: the position of a run between its levels."""

    DEFAULT_CSS = """
    PriceBar {
        height: 1;
        background: $background;
        color: $foreground;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view: InstanceView | None = None
        self._words = ""

    def show(self, view: InstanceView | None, words: str = "") -> None:
        """Draw another state, or say something instead."""
        if (view, words) != (self._view, self._words):
            self._view, self._words = view, words
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The one line."""
        width = self.size.width
        if self._view is None:
            cells: tuple[Cell, ...] = (Cell(self._words, "muted"),)
        else:
            cells = price_bar(self._view, width - 2)
        return Strip(segments((Cell("  "), *cells), width, self.style_of), width)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import INSTANCES

    bar = PriceBar()
    show_alone(bar, lambda: bar.show(INSTANCES[0]))
