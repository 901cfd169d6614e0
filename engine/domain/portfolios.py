"""What a portfolio leaves behind: the outcomes of its members and the totals over all of them."""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain.outcome import BacktestOutcome, BacktestStatistics, EquityPoint
from engine.domain.signals import Closed, RunKey


@dataclass(frozen=True, slots=True)
class PortfolioOutcome:
    """A finished (or stopped) portfolio, complete and picklable.

    Attributes:
        key: identity of the portfolio; its symbol and strategy name describe all members.
        members: one outcome per member, in order of symbol and strategy name.
        trades: those of all members, by close time, then symbol and strategy name.
        statistics: of all trades, and of ``equity``; ``exposure`` is the members' mean.
        equity: the equal-weighted mean of the members' curves, E0 first.
        stopped: True when a stop ended it before the frame's end.
        elapsed_seconds: wall time of the run.
    """

    key: RunKey
    frame_interval: str
    frame_start: int
    frame_end: int
    members: tuple[BacktestOutcome, ...]
    trades: tuple[Closed, ...]
    statistics: BacktestStatistics
    equity: tuple[EquityPoint, ...]
    stopped: bool = False
    elapsed_seconds: float = 0.0
