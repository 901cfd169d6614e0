"""What a finished backtest leaves behind; the command line, console and reports all read this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.domain.signals import Cancelled, Closed, RunKey


@dataclass(frozen=True, slots=True)
class BacktestStatistics:
    """Statistics over all closed trades of a run; see ``docs/statistics.md`` for the formulas.

    Counts and sums of nothing are 0; an undefined ratio is None and ``undefined`` says why.
    Percentages are in percent units, durations in minutes.
    """

    total_trades: int
    win_count: int
    loss_count: int
    win_rate: float | None
    total_pnl: float
    avg_pnl: float | None
    std_dev: float | None
    sharpe_ratio: float | None
    annualized_sharpe_ratio: float | None
    certainty_ratio: float | None
    expected_yearly_returns: float | None
    profit_factor: float | None
    expectancy: float | None
    sqn: float | None
    avg_duration_minutes: float | None
    max_win_streak: int
    max_loss_streak: int
    ambiguous_bars: int
    swept_entries: int
    total_return: float
    cagr: float | None
    max_drawdown: float
    max_drawdown_days: int
    daily_sharpe_ratio: float | None
    sortino_ratio: float | None
    calmar_ratio: float | None
    exposure: float | None
    undefined: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def total_signals(self) -> int:
        """The same number as ``total_trades``, under the name the walker uses."""
        return self.total_trades


@dataclass(frozen=True, slots=True)
class BacktestData(BacktestStatistics):
    """What ``Backtest.get_data`` gives: the statistics, and the newest closed trades.

    Attributes:
        signal_list: newest first; bounded, while the statistics are over all trades.
    """

    signal_list: tuple[Closed, ...] = ()


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """The daily equity curve: ``equity`` (1.0 at the frame's start) at ``timestamp`` (ms UTC)."""

    timestamp: int
    equity: float


@dataclass(frozen=True, slots=True)
class RunCounts:
    """What else happened in a run, besides its trades."""

    calls: int = 0
    errors: int = 0
    rejections: int = 0
    filled: int = 0
    candles: int = 0


@dataclass(frozen=True, slots=True)
class BacktestOutcome:
    """A finished (or stopped) backtest, complete and picklable.

    Attributes:
        frame_start, frame_end: the frame's bounds, ms UTC, both inclusive.
        trades: closed results in close order.
        cancelled: cancelled scheduled signals in order.
        equity: E0 and the daily points, oldest first.
        settings: the settings the run used.
        data_hash, strategy_hash: SHA-256 (hex) of the bars and of the strategy file ("" if none).
        stopped: True when a stop ended it before the frame's end.
        elapsed_seconds: wall time of the run.
    """

    key: RunKey
    frame_interval: str
    frame_start: int
    frame_end: int
    trades: tuple[Closed, ...]
    cancelled: tuple[Cancelled, ...]
    statistics: BacktestStatistics
    equity: tuple[EquityPoint, ...]
    counts: RunCounts
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    settings: Mapping[str, Any]
    data_hash: str = ""
    strategy_hash: str = ""
    strategy_file: str = ""
    stopped: bool = False
    elapsed_seconds: float = 0.0
