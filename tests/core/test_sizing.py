"""Position sizes: conformance cases 10 and 159 to 168, and what holds for any numbers."""

from __future__ import annotations

from decimal import Decimal
from math import inf, isfinite, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import (
    AlreadyRegisteredError,
    Engine,
    NotRegisteredError,
    PositionSize,
    SchemaError,
    SizingError,
    add_sizing,
    list_sizings,
)
from engine.core.sizing import atr_based, fixed_percentage, kelly_criterion
from engine.domain.schemas import SizingSchema

BALANCE, OPEN = 10_000.0, 50_000.0


def fixed(**fields: Any) -> SizingSchema:
    given_ = {"sizing_name": "f", "method": "fixed-percentage", "risk_percentage": 2.0, **fields}
    return SizingSchema(**given_)


def kelly(**fields: Any) -> SizingSchema:
    return SizingSchema(**{"sizing_name": "k", "method": "kelly-criterion", **fields})


def ranged(**fields: Any) -> SizingSchema:
    given_ = {"sizing_name": "a", "method": "atr-based", "risk_percentage": 2.0, **fields}
    return SizingSchema(**given_)


def test_fixed_percentage() -> None:
    assert fixed_percentage(fixed(), BALANCE, OPEN, 49_000) == pytest.approx(0.2, rel=1e-12)
    # A short's stop lies above; the distance counts.
    assert fixed_percentage(fixed(), BALANCE, OPEN, 51_000) == pytest.approx(0.2, rel=1e-12)


def test_kelly() -> None:
    # K = (.55 * 1.5 - .45) / 1.5 = .25; 10000 * .25 * .25 / 50000.
    assert kelly_criterion(kelly(), BALANCE, OPEN, 0.55, 1.5) == pytest.approx(0.0125, rel=1e-12)
    assert kelly_criterion(kelly(kelly_multiplier=0), BALANCE, OPEN, 0.55, 1.5) == 0


def test_without_an_edge_kelly_bets_nothing() -> None:
    assert kelly_criterion(kelly(), BALANCE, OPEN, 0.4, 1.0) == 0


def test_atr() -> None:
    assert atr_based(ranged(), BALANCE, OPEN, 500) == pytest.approx(0.2, rel=1e-12)
    assert atr_based(ranged(atr_multiplier=4), BALANCE, OPEN, 500) == pytest.approx(0.1, rel=1e-12)


def test_the_caps_in_their_order() -> None:
    risky = fixed(risk_percentage=50.0, max_position_percentage=10.0)
    assert fixed_percentage(risky, BALANCE, OPEN, 49_000) == pytest.approx(0.02, rel=1e-12)
    tiny = fixed(risk_percentage=0.01, min_position_size=0.001)
    assert fixed_percentage(tiny, BALANCE, OPEN, 49_900) == pytest.approx(0.01, rel=1e-12)
    assert fixed_percentage(tiny, BALANCE, OPEN, 30_000) == 0.001
    assert fixed_percentage(fixed(max_position_size=0.01), BALANCE, OPEN, 49_000) == 0.01
    # The minimum is raised after the share of the balance is cut, the maximum has the last word.
    both = fixed(max_position_percentage=0.001, min_position_size=0.5, max_position_size=0.7)
    assert fixed_percentage(both, BALANCE, OPEN, 49_000) == 0.5
    # No edge is no reason to trade less than the account's smallest size, if one was asked for.
    assert kelly_criterion(kelly(min_position_size=0.1), BALANCE, OPEN, 0.1, 1.0) == 0.1


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: fixed_percentage(fixed(), BALANCE, OPEN, OPEN), "price_stop_loss"),
        (lambda: fixed_percentage(fixed(), BALANCE, OPEN, nan), "price_stop_loss"),
        (lambda: fixed_percentage(fixed(), -1, OPEN, 49_000), "account_balance"),
        (lambda: fixed_percentage(fixed(), inf, OPEN, 49_000), "account_balance"),
        (lambda: fixed_percentage(fixed(), BALANCE, 0, 49_000), "price_open"),
        (lambda: kelly_criterion(kelly(), BALANCE, OPEN, 0, 1.5), "win_rate"),
        (lambda: kelly_criterion(kelly(), BALANCE, OPEN, 1, 1.5), "win_rate"),
        (lambda: kelly_criterion(kelly(), BALANCE, OPEN, nan, 1.5), "win_rate"),
        (lambda: kelly_criterion(kelly(), BALANCE, OPEN, 0.5, 0), "win_loss_ratio"),
        (lambda: kelly_criterion(kelly(), BALANCE, OPEN, 0.5, -1), "win_loss_ratio"),
        (lambda: atr_based(ranged(), BALANCE, OPEN, 0), "atr"),
        (lambda: atr_based(ranged(), BALANCE, OPEN, -5), "atr"),
        (lambda: fixed_percentage(fixed(), 1e308, 1e-300, 2e-300), "not a number"),
        (lambda: fixed_percentage(kelly(), BALANCE, OPEN, 49_000), "method mismatch"),
        (lambda: kelly_criterion(ranged(), BALANCE, OPEN, 0.5, 1), "method mismatch"),
        (lambda: atr_based(fixed(), BALANCE, OPEN, 5), "method mismatch"),
    ],
)
def test_what_gives_no_size_is_said(call: Any, word: str) -> None:
    with pytest.raises(SizingError, match=word):
        call()


amounts = st.floats(1e-6, 1e9)
caps = st.none() | st.floats(0, 1e6)


@given(amounts, amounts, amounts, st.floats(0, 100), caps, caps, caps)
def test_a_size_is_finite_not_negative_and_within_its_caps(
    balance: float, price: float, stop: float, risk: float,
    share: float | None, low: float | None, high: float | None,
) -> None:  # fmt: skip
    if low is not None and high is not None and low > high:
        low, high = high, low
    schema = fixed(
        risk_percentage=risk, max_position_percentage=share, min_position_size=low,
        max_position_size=high,
    )  # fmt: skip
    if stop == price:
        return
    size = fixed_percentage(schema, balance, price, stop)
    assert isfinite(size) and size >= 0
    if high is not None:
        assert size <= high
    if low is not None:
        assert size >= low
    if share is not None and low is None:
        assert size <= balance * share / 100 / price * (1 + 1e-12)


# -- registered ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fixed-percentage", "atr-based"])
async def test_a_risk_percentage_is_needed_and_kelly_does_without(method: str) -> None:
    async with Engine():
        with pytest.raises(SchemaError, match=r"sizing 's'.*risk_percentage"):
            add_sizing(sizing_name="s", method=method)
        with pytest.raises(SchemaError, match="risk_percentage is 'two'"):
            add_sizing(sizing_name="s", method=method, risk_percentage="two")
        add_sizing(sizing_name="s", method="kelly-criterion")
        assert [(s.sizing_name, s.kelly_multiplier) for s in list_sizings()] == [("s", 0.25)]
        with pytest.raises(AlreadyRegisteredError, match="'s' already exists"):
            add_sizing(sizing_name="s", method="kelly-criterion")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"method": "martingale"}, "must be one of fixed-percentage"),
        ({"risk_percentage": -1.0}, "greater than or equal to 0"),
        ({"risk_percentage": nan}, "finite"),
        ({"kelly_multiplier": 0.5}, "belongs to kelly-criterion"),
        ({"atr_multiplier": 3.0}, "belongs to atr-based"),
        ({"min_position_size": 2.0, "max_position_size": 1.0}, "above max_position_size"),
        ({"callbacks": {"on_calc": print}}, "on_calc unknown: use on_calculate"),
        ({"note2": "x"}, "note2 is not a field"),
    ],
)
async def test_what_a_sizing_refuses(fields: dict[str, Any], words: str) -> None:
    async with Engine():
        given_ = {"method": "fixed-percentage", "risk_percentage": 1.0, **fields}
        with pytest.raises(SchemaError, match=words):
            add_sizing(sizing_name="s", **given_)
        assert list_sizings() == []


async def test_the_callback_hears_the_returned_quantity() -> None:
    heard: list[tuple[float, dict[str, Any]]] = []

    async def later(quantity: float, params: dict[str, Any]) -> None:
        heard.append((quantity, params))

    async with Engine():
        add_sizing(
            sizing_name="f", method="fixed-percentage", risk_percentage=2.0,
            max_position_size=0.15, callbacks={"on_calculate": lambda q, p: heard.append((q, p))},
        )  # fmt: skip
        add_sizing(sizing_name="k", method="kelly-criterion", callbacks={"on_calculate": later})
        add_sizing(sizing_name="a", method="atr-based", risk_percentage=2.0)
        size = await PositionSize.fixed_percentage("BTCUSDT", BALANCE, OPEN, 49_000.0, "f")
        await PositionSize.kelly_criterion("BTCUSDT", BALANCE, OPEN, 0.55, 1.5, sizing_name="k")
        assert await PositionSize.atr_based("BTCUSDT", BALANCE, OPEN, 500, "a") == pytest.approx(
            0.2
        )
    assert size == 0.15
    assert heard[0] == (
        0.15,
        {
            "symbol": "BTCUSDT", "method": "fixed-percentage", "account_balance": BALANCE,
            "price_open": OPEN, "price_stop_loss": 49_000.0,
        },
    )  # fmt: skip
    assert heard[1][0] == pytest.approx(0.0125)
    assert heard[1][1]["win_loss_ratio"] == 1.5


async def test_a_failing_callback_costs_nobody_the_size() -> None:
    def fails(quantity: float, params: Any) -> None:
        raise RuntimeError("no")

    async with Engine() as engine:
        errors: list[Any] = []
        engine.bus.subscribe("error", errors.append)
        add_sizing(
            sizing_name="f", method="fixed-percentage", risk_percentage=2.0,
            callbacks={"on_calculate": fails},
        )  # fmt: skip
        assert await PositionSize.fixed_percentage(
            "BTCUSDT", BALANCE, OPEN, 49_000, "f"
        ) == pytest.approx(0.2)
        await engine.bus.flush()
        assert [(e.stage, str(e)) for e in errors] == [("callback", "RuntimeError: no")]


async def test_unknown_and_mismatched_sizings() -> None:
    async with Engine():
        add_sizing(sizing_name="k", method="kelly-criterion")
        with pytest.raises(NotRegisteredError, match=r"fixed_percentage: sizing 'x' not found"):
            await PositionSize.fixed_percentage("BTCUSDT", BALANCE, OPEN, 49_000, "x")
        with pytest.raises(SizingError, match="method mismatch: sizing 'k' is kelly-criterion"):
            await PositionSize.fixed_percentage("BTCUSDT", BALANCE, OPEN, 49_000, "k")


@pytest.mark.parametrize("balance", ["10000", None, True, 10**400, object()])
async def test_what_is_no_number_is_named(balance: Any) -> None:
    async with Engine():
        add_sizing(sizing_name="a", method="atr-based", risk_percentage=2.0)
        with pytest.raises(SizingError, match=r"^account_balance is .*: must be a (finite )?num"):
            await PositionSize.atr_based("BTCUSDT", balance, OPEN, 500, "a")
        assert await PositionSize.atr_based("BTCUSDT", Decimal(10_000), OPEN, 500, "a") == 0.2  # type: ignore[arg-type]
