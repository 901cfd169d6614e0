"""The frozen views of walkers, as `console.views` has them of everything else."""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain.outcome import BacktestOutcome


@dataclass(frozen=True, slots=True)
class WalkerRow:
    """One strategy of a walker; rows come best first, those without a rank last.

    Attributes:
        name: the strategy's, with its parameters where the walker sweeps them.
        place: where the walker names it, from 0; equal metrics keep this order.
        rank: from 1; None unless it is done and its metric has a value.
        status: ``waiting | running | done | stopped | skipped | failed``.
        progress: 0 to 1.
        best: True for the winner so far.
        outcome: its whole backtest once there is one; statistics and equity are in it.
        error: why it failed.
    """

    name: str
    place: int
    status: str
    rank: int | None = None
    progress: float = 0.0
    metric_value: float | None = None
    best: bool = False
    outcome: BacktestOutcome | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class WalkerView:
    """One walker on one symbol, from queued to finished.

    Attributes:
        status: ``queued | running | stopping | done | stopped | failed``.
        metric: what is ranked by now; the operator may switch it.
        progress: 0 to 1, over all strategies.
        rows: all strategies, ranked; they fill in as strategies finish.
        eta_seconds: None until known.
        error: the message when ``failed``.
    """

    run_id: str
    walker_name: str
    symbol: str
    exchange_name: str
    frame_interval: str
    frame_start: int
    frame_end: int
    metric: str
    status: str
    progress: float = 0.0
    rows: tuple[WalkerRow, ...] = ()
    best_strategy: str = ""
    best_metric: float | None = None
    strategies_tested: int = 0
    total_strategies: int = 0
    started_at: int | None = None
    eta_seconds: float | None = None
    error: str = ""
