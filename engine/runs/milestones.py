"""Milestones of a backtest, worked out from its trades when somebody asks.

Reaching one changes no trade, so a backtest that nobody listens to does not look for them. The bars
of every trade are there afterwards, and the same lifecycle that would have announced the milestones
is asked again.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import chain

from engine.core import exits, lifecycle
from engine.domain.errors import NoDataError
from engine.domain.events import Partial
from engine.domain.settings import Settings
from engine.domain.signals import OpenPosition, RunKey, SignalRow
from engine.runs.backtest import BacktestExecution
from engine.services.series import BarSeries


def milestones_of(execution: BacktestExecution) -> Generator[Partial]:
    """Every milestone the backtest's positions have reached so far, oldest first."""
    try:
        series = execution.market.minutes(execution.key.symbol)
    except NoDataError:
        return
    session = execution.session
    held = session.held if session is not None else None
    closed = ((trade.signal, trade.close_timestamp) for trade in execution.journal.trades)
    still_open = ((held.row, execution.when),) if isinstance(held, OpenPosition) else ()
    for row, until in chain(closed, still_open):
        yield from _of_position(execution.key, row, until, series, execution.settings)


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
