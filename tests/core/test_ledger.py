"""A ledger gives the same statistics as the trades that were entered in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.core.ledger import TradeLedger
from engine.domain.signals import Position
from engine.domain.time import DAY, MINUTE
from engine.reports.statistics import summarise
from tests.reports.report_samples import KEY, SETTINGS, START, trade

plans = st.lists(
    st.tuples(
        st.floats(-50, 50), st.integers(0, 3000), st.integers(0, 3000),
        st.sampled_from(Position), st.booleans(), st.booleans(),
    ),
    max_size=20,
)  # fmt: skip


@given(plans)
def test_statistics_are_those_of_the_whole_trades(steps: list[Any]) -> None:
    trades, at = [], START
    for percent, wait, held, position, ambiguous, swept in steps:
        opened = at + wait * MINUTE
        at = opened + held * MINUTE
        closed = trade(percent, opened, at, position=position, ambiguous=ambiguous, swept=swept)
        # The entry price is the booked one.
        trades.append(replace(closed, signal=replace(closed.signal, price_open=100.0)))
    ledger = TradeLedger()
    for closed in trades:
        ledger.add(closed)
    assert len(ledger) == len(trades)

    def figures(of: Any) -> Any:
        return summarise(
            of, frame_start=START, frame_end=at + DAY, mark=lambda _: 105.0, settings=SETTINGS
        )

    assert figures(ledger.trades(KEY)) == figures(trades)
