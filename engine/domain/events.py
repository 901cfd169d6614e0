"""One frozen dataclass per event that is not a tick result.

The signal topics carry the tick results of `engine.domain.signals`; the error topics carry
exceptions (`engine.domain.errors.RunError`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.domain.outcome import BacktestStatistics
from engine.domain.signals import Mode, RunKey, SignalRow


@dataclass(frozen=True, slots=True)
class Done:
    """A run ended by itself or after a stop; published exactly once per run."""

    key: RunKey
    symbol: str
    strategy_name: str
    exchange_name: str
    frame_name: str
    backtest: bool


@dataclass(frozen=True, slots=True)
class BacktestProgress:
    """How far a backtest is; ``progress`` is 0 to 1 (times 100 for percent)."""

    key: RunKey
    symbol: str
    strategy_name: str
    exchange_name: str
    frame_name: str
    processed_frames: int
    total_frames: int
    progress: float
    when: int


@dataclass(frozen=True, slots=True)
class OptimizerProgress:
    """How far an optimizer is in collecting its sources; ``progress`` is 0 to 1.

    Published before each source and at the end.
    """

    optimizer_name: str
    symbol: str
    total_sources: int
    processed_sources: int
    progress: float


@dataclass(frozen=True, slots=True)
class Partial:
    """A position reached a milestone: ``level`` (10..100) percent of the path to TP or SL.

    Attributes:
        side: ``profit`` towards take-profit, ``loss`` towards stop-loss.
        data: the position's row.
        current_price: the VWAP that reached it.
        timestamp: instant in ms UTC.
    """

    side: Literal["profit", "loss"]
    key: RunKey
    symbol: str
    strategy_name: str
    exchange_name: str
    data: SignalRow
    current_price: float
    level: int
    backtest: bool
    timestamp: int
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class RiskRejection:
    """A risk profile refused a signal; ``comment`` is the note of the validation that refused."""

    key: RunKey
    risk_name: str
    symbol: str
    strategy_name: str
    exchange_name: str
    pending_signal: SignalRow
    current_price: float
    active_position_count: int
    comment: str
    timestamp: int
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Performance:
    """How long a piece of work took. ``timestamp`` and ``previous_timestamp`` are wall clock ms."""

    timestamp: float
    previous_timestamp: float | None
    metric_type: str
    duration: float
    strategy_name: str
    exchange_name: str
    symbol: str
    backtest: bool


@dataclass(frozen=True, slots=True)
class InstanceChanged:
    """A run changed its status: ``idle | running | stopping | done | failed``."""

    instance_id: str
    key: RunKey
    status: str
    mode: Mode
    when: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class DataStatus:
    """Live data of one symbol became late (``stale=True``) or arrived again."""

    exchange_name: str
    symbol: str
    stale: bool
    newest_close: int | None
    when: int


@dataclass(frozen=True, slots=True)
class ExchangeStatus:
    """What an exchange said of itself when it was last asked.

    Attributes:
        clock_offset: its clock minus ours, ms; None where it does not tell its time.
        rate_limit_used: share of its rate limit in use, 0 to 1; None where it does not tell.
        when: instant in ms UTC.
    """

    exchange_name: str
    clock_offset: int | None
    rate_limit_used: float | None
    when: int


@dataclass(frozen=True, slots=True)
class WalkerEvent:
    """A walker has tested one more strategy; failed and skipped ones make no such event.

    Attributes:
        strategy_name: the strategy, with its parameters where the walker sweeps them.
        stats: its statistics; ``metric_value`` is what it is ranked by, None when undefined.
        best_strategy, best_metric: the best one so far.
        strategies_tested: how many have been, this one included.
    """

    key: RunKey
    walker_name: str
    exchange_name: str
    frame_name: str
    symbol: str
    strategy_name: str
    stats: BacktestStatistics
    metric_value: float | None
    metric: str
    best_metric: float | None
    best_strategy: str | None
    strategies_tested: int
    total_strategies: int


@dataclass(frozen=True, slots=True)
class WalkerProgress:
    """How far a walker is, after each strategy; ``progress`` is 0 to 1 (times 100 for percent).

    Attributes:
        processed_strategies: tested, failed or skipped.
        strategies_tested: of these, the ones that were tested.
        current_strategy: the one that has just ended, however it did.
        stats, metric_value: its statistics and metric, None unless it was tested.
    """

    key: RunKey
    walker_name: str
    exchange_name: str
    frame_name: str
    symbol: str
    total_strategies: int
    processed_strategies: int
    progress: float
    current_strategy: str
    strategies_tested: int
    metric: str
    metric_value: float | None
    best_strategy: str | None
    best_metric: float | None
    stats: BacktestStatistics | None


@dataclass(frozen=True, slots=True)
class WalkerComplete:
    """A walker has ended, or was stopped; the best fields are None when no metric had a value."""

    key: RunKey
    walker_name: str
    symbol: str
    exchange_name: str
    frame_name: str
    metric: str
    total_strategies: int
    strategies_tested: int
    best_strategy: str | None
    best_metric: float | None
    best_stats: BacktestStatistics | None
