"""Candles with the levels of a position: where it was entered, where it ends, where price stands.

Every level is named on the axis, and where there is no colour falling candles are solid and rising
ones thin. It is computed with arrays and drawn as lines: 120 bars cost about a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from textual.binding import BindingType
from textual.strip import Strip

from console.keymap import bind
from console.views import BarsView
from screens.text import fit, price
from screens.widgets.axis import round_steps, time_axis
from screens.widgets.tones import Cell, Tone, ToneWidget, segments

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]

# Indexed by 3 * upper half + lower half of a cell: 0 nothing, 1 wick, 2 body.
_THIN: Final = np.array([ord(char) for char in " ╷╻╵│╽╹╿┃"], dtype=np.uint32)
_SOLID: Final = np.array([ord(char) for char in " ╷▄╵│▄▀▀█"], dtype=np.uint32)
_EIGHTHS: Final = np.array([ord(char) for char in " ▁▂▃▄▅▆▇█"], dtype=np.uint32)

_TONES: Final[tuple[Tone, ...]] = ("", "gain", "loss", "accent", "muted")
_GAIN, _LOSS, _ENTRY, _MUTED = 1, 2, 3, 4

_REACH: Final = 1.5
"""How many heights of the candles a level may be away and still be drawn to scale."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What is drawn across the candles; None draws nothing.

    Attributes:
        since: instant from which on the lines are drawn, ms UTC; None draws them all across.
    """

    entry: float | None = None
    take_profit: float | None = None
    stop_loss: float | None = None
    last: float | None = None
    since: int | None = None


class _Named(NamedTuple):
    name: str
    value: float
    tone: Tone
    code: int
    sign: str


class _Scale(NamedTuple):
    low: float
    high: float
    rows: int

    def halves(self, values: _Floats) -> _Ints:
        """Half rows of prices, 0 at the top."""
        last = 2 * self.rows - 1
        found = np.rint((self.high - values) / (self.high - self.low) * last)
        return np.clip(found, 0, last).astype(np.int64)

    def row(self, value: float) -> int:
        """The row of a price; outside of the rows when it is off the scale."""
        return round((self.high - value) / (self.high - self.low) * (2 * self.rows - 1)) // 2


def chart_lines(
    bars: BarsView,
    levels: Levels,
    width: int,
    height: int,
    *,
    volume: bool = False,
    plain: bool = False,
) -> list[tuple[Cell, ...]]:
    """The whole picture, top to bottom, for a space of that size.

    Args:
        bars: what to draw; the newest that fit are drawn.
        levels: lines across them.
        width, height: terminal cells.
        volume: draw volumes below the candles.
        plain: there is no colour to tell rising from falling candles.
    """
    prices = np.array([bars.open, bars.high, bars.low, bars.close], dtype=np.float64)
    usable = np.isfinite(prices).all(axis=0) if prices.size else np.zeros(0, dtype=np.bool_)
    if not usable.any():
        return [(), (Cell("  no bars yet", "muted"),)]
    named = _named(levels)
    axis = 2 + max(len(text) for text in _axis_widths(prices[:, usable], named))
    plot = width - axis
    below = max(2, height // 6) if volume and height >= 12 else 0
    rows = height - 1 - below
    if plot < 8 or rows < 3:
        return [(), (Cell("  too little room for a chart", "muted"),)]
    amount = int(usable.sum())
    pitch = 2 if 2 * amount <= plot else 1
    kept = np.flatnonzero(usable)[-(plot // pitch) :]
    columns = plot - pitch * len(kept) + pitch * np.arange(len(kept))
    o, h, lo, c = prices[:, kept]
    scale = _scale(h, lo, named, rows)
    opened = [bars.opened[at] for at in kept]
    codes = np.full((rows + below, plot), ord(" "), dtype=np.uint32)
    tones = np.zeros((rows + below, plot), dtype=np.uint8)
    start = _start(opened, columns, levels.since)
    for level in named:
        row = scale.row(level.value)
        if level.code and 0 <= row < rows:
            codes[row, start:] = ord(level.sign)
            tones[row, start:] = level.code
    _draw_candles(codes, tones, columns, scale, (o, h, lo, c), _SOLID if plain else _THIN)
    if below:
        volumes = np.array(bars.volume, dtype=np.float64)[kept]
        _draw_volume(codes[rows:], tones[rows:], columns, volumes)
    labels = _labels(scale, named)
    lines = [
        (*pieces, *_axis_label(labels.get(row), axis))
        for row, pieces in enumerate(_pieces(codes, tones))
    ]
    times = time_axis(opened, columns.tolist(), plot)
    lines.append((Cell(times, "muted"), Cell(fit("UTC ", axis, right=True), "muted")))
    return lines


def _named(levels: Levels) -> list[_Named]:
    found = (
        _Named("TP", levels.take_profit or 0.0, "gain", _GAIN, "╌"),
        _Named("SL", levels.stop_loss or 0.0, "loss", _LOSS, "╌"),
        _Named("entry", levels.entry or 0.0, "accent", _ENTRY, "─"),
        _Named("▸", levels.last or 0.0, "strong", 0, " "),
    )
    return [level for level in found if level.value > 0 and np.isfinite(level.value)]


def _axis_widths(prices: _Floats, named: list[_Named]) -> list[str]:
    blank, ends = " " * _name_width(named), (float(prices.min()), float(prices.max()))
    names = [f"{level.name} {price(level.value)} ↑" for level in named]
    return [*names, *(f"{blank} {price(end)}" for end in ends)]


def _name_width(named: list[_Named]) -> int:
    """Cells that the names of the levels take; all prices stand behind them."""
    return max((len(level.name) for level in named), default=0)


def _scale(high: _Floats, low: _Floats, named: list[_Named], rows: int) -> _Scale:
    bottom, top = float(low.min()), float(high.max())
    if top - bottom < 1e-9 * abs(top):
        top, bottom = top * 1.0005 + 1e-12, bottom * 0.9995 - 1e-12
    reach = _REACH * (top - bottom)
    near = [v.value for v in named if bottom - reach <= v.value <= top + reach]
    return _Scale(min(bottom, *near, bottom), max(top, *near, top), rows)


def _start(opened: list[int], columns: _Ints, since: int | None) -> int:
    if since is None or since <= opened[0]:
        return 0
    place = int(np.searchsorted(np.array(opened), since))
    return int(columns[min(place, len(columns) - 1)])


def _draw_candles(
    codes: NDArray[np.uint32],
    tones: NDArray[np.uint8],
    columns: _Ints,
    scale: _Scale,
    prices: tuple[_Floats, _Floats, _Floats, _Floats],
    falling: NDArray[np.uint32],
) -> None:
    o, h, lo, c = prices
    falls = c < o
    half = np.arange(2 * scale.rows)[:, None]
    wick = (half >= scale.halves(h)) & (half <= scale.halves(lo))
    body = (half >= scale.halves(np.maximum(o, c))) & (half <= scale.halves(np.minimum(o, c)))
    state = wick.astype(np.int64) + body
    state[body] = 2
    cell = 3 * state[0::2] + state[1::2]
    glyphs = np.where(falls, falling[cell], _THIN[cell])
    drawn = cell > 0
    part = codes[: scale.rows, columns]
    codes[: scale.rows, columns] = np.where(drawn, glyphs, part)
    shade = np.where(falls, _LOSS, _GAIN).astype(np.uint8)
    part = tones[: scale.rows, columns]
    tones[: scale.rows, columns] = np.where(drawn, shade, part)


def _draw_volume(
    codes: NDArray[np.uint32], tones: NDArray[np.uint8], columns: _Ints, volumes: _Floats
) -> None:
    volumes = np.where(np.isfinite(volumes), np.maximum(volumes, 0.0), 0.0)
    most = float(volumes.max())
    rows = len(codes)
    eighths = np.rint(volumes / most * rows * 8).astype(np.int64) if most > 0 else None
    if eighths is None:
        return
    floor = 8 * (rows - 1 - np.arange(rows))[:, None]
    codes[:, columns] = _EIGHTHS[np.clip(eighths - floor, 0, 8)]
    tones[:, columns] = _MUTED


def _labels(scale: _Scale, named: list[_Named]) -> dict[int, tuple[str, Tone]]:
    """What stands on the axis beside which row; a taken row sends a level to the next free one."""
    taken: dict[int, tuple[str, Tone]] = {}
    names = _name_width(named)
    for level in reversed(named):
        row = scale.row(level.value)
        text = f"{level.name:>{names}} {price(level.value)}"
        if not 0 <= row < scale.rows:
            text = f"{text} {'↑' if row < 0 else '↓'}"
            row = 0 if row < 0 else scale.rows - 1
        near = sorted(range(scale.rows), key=lambda other: abs(other - row))
        free = next((other for other in near[:3] if other not in taken), None)
        if free is not None:
            taken[free] = (text, level.tone)
    for value in round_steps(scale.low, scale.high, max(2, scale.rows // 4)):
        taken.setdefault(scale.row(value), (f"{' ' * names} {price(value)}", "muted"))
    return taken


def _axis_label(label: tuple[str, Tone] | None, axis: int) -> tuple[Cell, ...]:
    if label is None:
        return (Cell(" " * axis),)
    return (Cell(fit(f" {label[0]}", axis), label[1]),)


def _pieces(codes: NDArray[np.uint32], tones: NDArray[np.uint8]) -> list[list[Cell]]:
    """Rows as pieces of one tone each; blanks take the tone before them, so pieces stay few."""
    rows, width = codes.shape
    shades = tones.ravel()
    drawn = codes.ravel() != ord(" ")
    drawn[::width] = True
    place = np.arange(rows * width)
    shades = shades[np.maximum.accumulate(np.where(drawn, place, 0))]
    begins = shades[1:] != shades[:-1]
    starts = np.flatnonzero(np.concatenate(([True], begins)) | (place % width == 0))
    text = codes.tobytes().decode("utf-32-le")
    lines: list[list[Cell]] = [[] for _ in range(rows)]
    ends = [*starts[1:].tolist(), rows * width]
    owners, kinds = (starts // width).tolist(), shades[starts].tolist()
    for a, b, row, kind in zip(starts.tolist(), ends, owners, kinds, strict=True):
        lines[row].append(Cell(text[a:b], _TONES[kind]))
    return lines


class CandleChart(ToneWidget, can_focus=True):
    """Candles of one symbol with the levels of a position."""

    DEFAULT_CSS = """
    CandleChart {
        height: 1fr;
        background: $background;
        color: $foreground;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [bind("chart.volume", "toggle_volume")]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._bars = BarsView("1m")
        self._levels = Levels()
        self._volume = True
        self._lines: list[tuple[Cell, ...]] = []
        self._drawn_for = (-1, -1)

    @property
    def bars(self) -> BarsView:
        """What is drawn."""
        return self._bars

    def show(self, bars: BarsView, levels: Levels) -> None:
        """Draw other bars or levels; equal ones are not drawn again."""
        if bars != self._bars or levels != self._levels:
            self._bars, self._levels = bars, levels
            self._draw()

    def action_toggle_volume(self) -> None:
        """Draw volumes below the candles, or not."""
        self._volume = not self._volume
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of the picture, which is made anew when the size changed."""
        size = (self.size.width, self.size.height)
        if size != self._drawn_for:
            plain = self.app.no_color
            self._lines = chart_lines(
                self._bars, self._levels, *size, volume=self._volume, plain=plain
            )
            self._drawn_for = size
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        return Strip(segments(self._lines[y], self.size.width, self.style_of), self.size.width)

    def _draw(self) -> None:
        self._drawn_for = (-1, -1)
        self.refresh()


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample_desk import LEVELS, bars

    chart = CandleChart()
    show_alone(chart, lambda: chart.show(bars(), LEVELS))
