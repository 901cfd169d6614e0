"""Backtests that are over: the bars of the newest stay, of older ones what reports need of them.

A year of minutes is 28 MB. A program that makes hundreds of backtests wants all their results, and
hardly ever the milestones or the data hash of the first ones; these are worked out before the bars
are let go, so nobody can tell the difference.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from engine.runs.backtest import BacktestExecution, Remains
from engine.runs.milestones import milestones_of
from engine.runs.outcome import backtest_figures, bars_used

BARS_KEPT: Final = 8
"""Backtests whose bars stay in memory."""


class RestingBacktests:
    """The finished backtests of an engine that still have their bars."""

    def __init__(self) -> None:
        self._newest: deque[BacktestExecution] = deque()

    async def add(self, execution: BacktestExecution) -> None:
        """A backtest has ended; the oldest one that has bars may lose them."""
        self._newest.append(execution)
        while len(self._newest) > BARS_KEPT:
            await _let_go(self._newest.popleft())


async def _let_go(execution: BacktestExecution) -> None:
    execution.remains = Remains(
        backtest_figures(execution), bars_used(execution), await milestones_of(execution)
    )
    execution.market.forget()
