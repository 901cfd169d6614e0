"""Numbers as an exchange writes them: a fixed number of decimals, never an exponent."""

from __future__ import annotations

from math import isfinite

import numpy as np

from engine.domain.bars import Floats

MAX_DECIMALS = 8


def fixed(value: float, decimals: int) -> str:
    """``value`` with exactly ``decimals`` decimals; a non-finite one as Python writes it."""
    return f"{value:.{decimals}f}" if isfinite(value) else str(value)


def decimals_of(values: Floats, least: int) -> int:
    """How many decimals are needed to write every one of ``values``.

    Args:
        values: finite numbers, shape (n,).
        least: the answer is never below this, nor above `MAX_DECIMALS`.
    """
    for decimals in range(least, MAX_DECIMALS):
        if np.array_equal(np.round(values, decimals), values):
            return decimals
    return MAX_DECIMALS
