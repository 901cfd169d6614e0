"""VWAP to the bit, and profits against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.pricing import pnl, vwap_last, vwap_series, worse
from engine.domain.settings import Settings
from engine.domain.signals import Position

Bar = tuple[float, float, float, float]
price = st.floats(1e-6, 1e7)
volume = st.one_of(st.just(0.0), st.floats(1e-9, 1e12))
bars = st.lists(st.tuples(price, price, price, volume), min_size=1, max_size=60)


def plain(rows: list[Bar]) -> float:
    """The definition, as a loop over the window, oldest first."""
    value = weight = closes = 0.0
    for high, low, close, amount in rows:
        value += (high + low + close) / 3 * amount
        weight += amount
        closes += close
    return value / weight if weight != 0 else closes / len(rows)


def series(rows: list[Bar], window: int) -> list[float]:
    high, low, close, amount = (np.array(column) for column in zip(*rows, strict=True))
    return vwap_series(high, low, close, amount, window).tolist()


@settings(max_examples=150, deadline=None)
@given(bars, st.integers(1, 12), st.data())
def test_vwap_series_is_the_plain_loop_to_the_bit_on_every_slice(
    rows: list[Bar], window: int, data: st.DataObject
) -> None:
    expected = [plain(rows[max(0, i - window + 1) : i + 1]) for i in range(len(rows))]
    assert series(rows, window) == expected
    # Computed from anywhere, once the slice holds the whole window.
    start = data.draw(st.integers(0, len(rows) - 1))
    assert series(rows[start:], window)[window - 1 :] == expected[start + window - 1 :]


@settings(max_examples=100, deadline=None)
@given(bars)
def test_vwap_last_is_the_last_element_of_the_series(rows: list[Bar]) -> None:
    high, low, close, amount = ([*column] for column in zip(*rows, strict=True))
    assert vwap_last(high, low, close, amount) == plain(rows) == series(rows, len(rows))[-1]


def test_five_candles_of_the_conformance_provider() -> None:
    rows = [
        (base + 380.2, base + 100, base + 250.8, 100.0 + 10 * i)
        for i, base in ((i, 42000.0 + 100 * i) for i in range(5))
    ]
    assert series(rows, 5)[-1] == pytest.approx(42460.3333, abs=1e-4)


def test_without_volume_the_price_is_the_mean_of_the_closes() -> None:
    rows = [(9.0, 1.0, close, 0.0) for close in (1.0, 2.0, 6.0)]
    assert series(rows, 5) == [1.0, 1.5, 3.0]


def test_worse_is_dearer_for_who_buys_and_cheaper_for_who_sells() -> None:
    both = {"first": 10.0, "second": 11.0}
    assert worse(Position.LONG, entering=True, **both) == 11
    assert worse(Position.LONG, entering=False, **both) == 10
    assert worse(Position.SHORT, entering=True, **both) == 10
    assert worse(Position.SHORT, entering=False, **both) == 11


@pytest.mark.parametrize(
    ("position", "opened", "closed", "expected"),
    [
        ("long", 42000, 43000, 1.9764),
        ("long", 42000, 41000, -2.7760),
        ("short", 42000, 41000, 1.9855),
        ("short", 42000, 43000, -2.7859),
        ("long", 42000, 42210, 0.0992),
        ("long", 42000, 42084, -0.2002),
        ("long", 42000, 90000, 113.66),
        ("long", 42000, 42000, -0.3998),
        ("short", 42000, 42000, -0.4002),
        ("long", 100, 110, 9.5802),
        ("long", 42000, 39900, -5.3898),
    ],
)
def test_profit_of_the_conformance_cases(
    position: str, opened: float, closed: float, expected: float
) -> None:
    digits = 5e-3 if expected == 113.66 else 5e-5
    assert pnl(position, opened, closed, Settings()).pnl_percentage == pytest.approx(
        expected, abs=digits
    )


def test_a_result_carries_raw_and_adjusted_prices() -> None:
    costs = Settings().updated({"percent_slippage": 1.0, "percent_fee": 0.0}, unsafe=True)
    long = pnl("long", 100, 200, costs)
    assert (long.price_open, long.price_close) == (100, 200)
    assert long.adjusted_price_open == pytest.approx(101)
    assert long.adjusted_price_close == pytest.approx(198)
    short = pnl("short", 200, 100, costs)
    assert short.adjusted_price_open == pytest.approx(198)
    assert short.adjusted_price_close == pytest.approx(101)
    assert short.pnl_percentage == pytest.approx((198 - 101) / 198 * 100)


@given(price, price, st.floats(0, 5), st.floats(0, 5))
def test_costs_never_make_a_trade_better(
    opened: float, closed: float, slippage: float, fee: float
) -> None:
    free = Settings().updated({"percent_slippage": 0.0, "percent_fee": 0.0}, unsafe=True)
    costs = Settings().updated({"percent_slippage": slippage, "percent_fee": fee}, unsafe=True)
    for position in ("long", "short"):
        gross = pnl(position, opened, closed, free).pnl_percentage
        net = pnl(position, opened, closed, costs).pnl_percentage
        assert net <= gross + 1e-9 * max(1.0, abs(gross))
