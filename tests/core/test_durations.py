"""Running statistics against the plain ones over everything, however much of it was folded."""

from __future__ import annotations

from math import ceil, fsum, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import durations
from engine.core.durations import KEPT, Durations

numbers = st.floats(0, 1e9)


def rank(values: list[float], percent: float) -> float:
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


def compare(made: Durations, values: list[float], close: float) -> None:
    mean = fsum(values) / len(values)
    assert made.count == len(values)
    assert made.total == pytest.approx(fsum(values), rel=1e-9)
    assert made.mean == pytest.approx(mean, rel=1e-9)
    assert (made.minimum, made.maximum) == (min(values), max(values))
    deviation = sqrt(fsum((value - mean) ** 2 for value in values) / len(values))
    assert made.deviation == pytest.approx(deviation, rel=1e-6, abs=1e-9 * (1 + max(values)))
    for percent in (1, 50, 95, 99, 100):
        assert made.percentile(percent) == pytest.approx(rank(values, percent), rel=close, abs=1e-8)


@given(st.lists(numbers, min_size=1, max_size=60))
def test_few_numbers_are_exact(values: list[float]) -> None:
    made = Durations()
    for value in values:
        made.add(value)
    compare(made, values, 1e-15)


@settings(deadline=None)
@given(st.lists(st.lists(numbers, max_size=12), min_size=1, max_size=12))
def test_folded_numbers_are_exact_but_for_narrow_buckets(chunks: list[list[float]]) -> None:
    values = [value for chunk in chunks for value in chunk]
    made = Durations()
    kept, durations.KEPT = durations.KEPT, 5  # type: ignore[misc]
    try:
        for at, chunk in enumerate(chunks):
            made.extend(np.array(chunk) if at % 2 else chunk)
    finally:
        durations.KEPT = kept  # type: ignore[misc]
    if values:
        compare(made, values, 0.0014)
    else:
        assert made.count == 0


def test_nothing_has_no_figures() -> None:
    made = Durations()
    assert (made.count, made.total) == (0, 0)
    assert (made.mean, made.minimum, made.maximum, made.deviation) == (None,) * 4
    assert made.percentile(50) is None


def test_memory_stays_bounded_over_a_month_of_minutes() -> None:
    rng = np.random.default_rng(1)
    values = rng.lognormal(0, 2, 43_200)
    made = Durations()
    for chunk in np.array_split(values, 100):
        made.extend(chunk)
    compare(made, values.tolist(), 0.0014)
    assert len(made._kept) <= KEPT
    assert len(made._buckets) < 8000
