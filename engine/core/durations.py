"""Running statistics of durations: exact sums however many there were, in bounded memory.

A live run is measured every minute for weeks, a backtest at every question. The newest durations
are kept as they are; what does not fit is folded into a histogram whose buckets are so narrow that
percentiles read from it are good to three digits.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from math import ceil, exp2, fsum, inf, sqrt
from typing import Final

import numpy as np

from engine.domain.bars import Floats

KEPT: Final = 4096
"""So many durations are kept one by one; up to here percentiles are exact."""

_PER_OCTAVE: Final = 256
# Buckets per doubling: a bucket is 0.27 % wide, so its middle is at most 0.14 % off.

_SHORTEST: Final = 1e-9
# Below this all durations share a bucket.


class Durations:
    """A multiset of non-negative numbers that answers questions about all it has been given.

    ``count``, ``total``, ``minimum``, ``maximum`` and the deviation are exact (to rounding);
    percentiles are exact up to `KEPT` numbers, and within 0.14 % beyond.
    """

    __slots__ = ("_buckets", "_folded", "_kept", "_maximum", "_mean", "_minimum", "_squares",
                 "_total")  # fmt: skip

    def __init__(self, values: Iterable[float] | Floats = ()) -> None:
        self._kept = array("d")
        self._buckets: dict[int, int] = {}
        self._folded = 0
        self._total = 0.0
        self._mean = 0.0
        self._squares = 0.0
        self._minimum = inf
        self._maximum = -inf
        self.extend(values)

    def add(self, value: float) -> None:
        """Count one number in."""
        self._kept.append(value)
        if len(self._kept) > KEPT:
            self._fold()

    def extend(self, values: Iterable[float] | Floats) -> None:
        """Count several numbers in."""
        if isinstance(values, np.ndarray):
            self._kept.frombytes(np.ascontiguousarray(values, dtype=np.float64).tobytes())
        else:
            self._kept.extend(values)
        if len(self._kept) > KEPT:
            self._fold()

    @property
    def count(self) -> int:
        """How many numbers there were."""
        return self._folded + len(self._kept)

    @property
    def total(self) -> float:
        """Their sum; 0 of none."""
        return fsum((self._total, *self._kept))

    @property
    def mean(self) -> float | None:
        """Their mean; None of none."""
        return self.total / self.count if self.count else None

    @property
    def minimum(self) -> float | None:
        """The least; None of none."""
        return min((self._minimum, *self._kept)) if self.count else None

    @property
    def maximum(self) -> float | None:
        """The greatest; None of none."""
        return max((self._maximum, *self._kept)) if self.count else None

    @property
    def deviation(self) -> float | None:
        """Their standard deviation as a population (divided by n); None of none."""
        if not self.count:
            return None
        count, _, squares = _joined(
            (self._folded, self._mean, self._squares), _moments(np.frombuffer(self._kept))
        )
        return sqrt(squares / count)

    def percentile(self, percent: float) -> float | None:
        """The number at rank ``ceil(n * percent / 100)`` in ascending order; None of none."""
        if not self.count:
            return None
        rank = max(1, ceil(self.count * percent / 100))
        if not self._folded:
            return sorted(self._kept)[rank - 1]
        buckets = _counted(np.frombuffer(self._kept), dict(self._buckets))
        for bucket in sorted(buckets):
            rank -= buckets[bucket]
            if rank <= 0:
                middle = exp2((bucket + 0.5) / _PER_OCTAVE)
                return min(max(middle, self.minimum or 0.0), self.maximum or 0.0)
        return self.maximum

    def _fold(self) -> None:
        values = np.frombuffer(self._kept)
        self._total += float(values.sum())
        self._minimum = min(self._minimum, float(values.min()))
        self._maximum = max(self._maximum, float(values.max()))
        before = (self._folded, self._mean, self._squares)
        self._folded, self._mean, self._squares = _joined(before, _moments(values))
        _counted(values, self._buckets)
        self._kept = array("d")


def _moments(values: Floats) -> tuple[int, float, float]:
    """Count, mean and sum of squared differences from the mean."""
    if not len(values):
        return 0, 0.0, 0.0
    mean = float(values.mean())
    return len(values), mean, float(np.square(values - mean).sum())


def _joined(
    left: tuple[int, float, float], right: tuple[int, float, float]
) -> tuple[int, float, float]:
    """The moments of two sets together (Chan, Golub and LeVeque, 1979)."""
    count = left[0] + right[0]
    if not left[0] or not right[0]:
        return left if left[0] else right
    apart = right[1] - left[1]
    mean = left[1] + apart * right[0] / count
    return count, mean, left[2] + right[2] + apart * apart * left[0] * right[0] / count


def _counted(values: Floats, buckets: dict[int, int]) -> dict[int, int]:
    if len(values):
        places = np.floor(np.log2(np.maximum(values, _SHORTEST)) * _PER_OCTAVE).astype(np.int64)
        first = int(places.min())
        counts = np.bincount(places - first)
        for place in np.flatnonzero(counts).tolist():
            buckets[first + place] = buckets.get(first + place, 0) + int(counts[place])
    return buckets
