"""Lines and areas in braille dots: eight to a terminal cell, two across and four down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BLANK = 0x2800
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.int64)


def _columns(values: Sequence[float], dots: int) -> NDArray[np.float64]:
    """The values, stretched or thinned to ``dots`` columns: lowest and highest of each, (2, n).

    Thinning keeps extremes, so no spike is lost.
    """
    data = np.asarray(values, dtype=np.float64)
    if len(data) <= dots:
        at = np.interp(np.linspace(0, len(data) - 1, dots), np.arange(len(data)), data)
        return np.stack([at, at])
    edges = np.linspace(0, len(data), dots + 1).astype(np.int64)[:-1]
    return np.stack([np.minimum.reduceat(data, edges), np.maximum.reduceat(data, edges)])


def _rows(values: NDArray[np.float64], low: float, high: float, dots: int) -> NDArray[np.int64]:
    """Dot rows of values, 0 at the top."""
    span = high - low if high > low else 1.0
    rows = np.rint((high - values) / span * (dots - 1))
    return np.clip(rows, 0, dots - 1).astype(np.int64)


def text(dots: NDArray[np.bool_]) -> list[str]:
    """Dots, (4 * height, 2 * width), as ``height`` strings of ``width`` characters."""
    height, width = dots.shape[0] // 4, dots.shape[1] // 2
    cells = dots.reshape(height, 4, width, 2).transpose(0, 2, 1, 3)
    codes = (cells * _BITS).sum(axis=(2, 3)) + _BLANK
    return ["".join(map(chr, line)) for line in codes.tolist()]


def line_dots(
    values: Sequence[float], width: int, height: int, low: float, high: float
) -> NDArray[np.bool_]:
    """A connected line through the values, as dots; arguments as of `line`."""
    dots = np.zeros((height * 4, width * 2), dtype=np.bool_)
    bottom, top = _rows(_columns(values, width * 2), low, high, height * 4)
    before_top, before_bottom = int(top[0]), int(bottom[0])
    for column in range(width * 2):
        first, last = int(top[column]), int(bottom[column])
        # Reach half way to the neighbour, so that steep parts stay connected.
        dots[min(first, before_bottom) : max(last, before_top) + 1, column] = True
        before_top, before_bottom = first, last
    return dots


def line(values: Sequence[float], width: int, height: int, low: float, high: float) -> list[str]:
    """A connected line through the values.

    Args:
        values: at least one, left to right.
        width, height: terminal cells.
        low, high: values at the bottom and at the top.

    Returns:
        ``height`` strings of ``width`` characters.
    """
    return text(line_dots(values, width, height, low, high))


def hanging(values: Sequence[float], width: int, height: int, deepest: float) -> list[str]:
    """An area that hangs from the top: 0 leaves the top row alone, ``deepest`` fills the column.

    Args:
        values: depths, 0 or more, at least one.
        width, height: terminal cells.
        deepest: the depth at the bottom.

    Returns:
        ``height`` strings of ``width`` characters.
    """
    dots = np.zeros((height * 4, width * 2), dtype=np.bool_)
    depths = _columns(values, width * 2)[1]
    filled = np.rint(depths / deepest * height * 4).astype(np.int64) if deepest > 0 else None
    if filled is not None:
        dots[np.arange(height * 4)[:, None] < filled[None, :]] = True
    return text(dots)
