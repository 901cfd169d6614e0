"""Milestones of a backtest, worked out from its trades when somebody asks.

Reaching one changes no trade, so a backtest that nobody listens to does not look for them. The bars
of every trade are there afterwards, and the same lifecycle that would have announced the milestones
is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from itertools import chain
from time import monotonic

from engine.core import exits, lifecycle
from engine.domain.events import Partial
from engine.domain.settings import Settings
from engine.domain.signals import OpenPosition, RunKey, SignalRow
from engine.runs.backtest import YIELD_SECONDS, BacktestExecution
from engine.services.journal import PartialTally
from engine.services.series import BarSeries


async def milestones_of(execution: BacktestExecution) -> PartialTally:
    """Every milestone the backtest's positions have reached so far; lets others run meanwhile."""
    if execution.remains is not None:
        return execution.remains.milestones
    tally = PartialTally()
    series = execution.market.known(execution.key.symbol)
    if series is None:
        return tally
    session = execution.session
    held = session.held if session is not None else None
    still_open = ((held.row, execution.when),) if isinstance(held, OpenPosition) else ()
    closed = [(trade.signal, trade.close_timestamp) for trade in execution.journal.trades]
    pause = monotonic() + YIELD_SECONDS
    for row, until in chain(closed, still_open):
        for event in _of_position(execution.key, row, until, series, execution.settings):
            tally.note(event)
        if monotonic() > pause:
            await asyncio.sleep(0)
            pause = monotonic() + YIELD_SECONDS
    return tally


def _of_position(
    key: RunKey, row: SignalRow, until: int, series: BarSeries, settings: Settings
) -> Generator[Partial]:
    position = OpenPosition(row)
    start, stop = series.closed(row.pending_at), series.closed(until)
    for index in exits.milestone_bars(position, series.vwap, start, stop):
        bar = series.bar(index, market_is_vwap=settings.fill_price == "vwap")
        outcome = lifecycle.settle_position(position, bar, settings)
        if not isinstance(outcome, lifecycle.Progress):
            continue  # the bar that closed it
        for side, level in outcome.reached:
            yield Partial(
                side, key, key.symbol, key.strategy_name, key.exchange_name, row, bar.vwap, level,
                True, bar.at,
            )  # fmt: skip
        position = lifecycle.advanced(position, outcome.reached)
