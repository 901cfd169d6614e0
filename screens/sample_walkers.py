"""Sample walkers and optimizer runs, in every state an operator can meet."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random
from typing import Final

from console.views import OptimizerView
from console.walker_views import WalkerRow, WalkerView
from engine.domain.outcome import BacktestOutcome
from screens.comparison import statistics_of
from screens.sample_outcome import JANUARY, outcome

_MONTH: Final = 30 * 86_400_000


@cache
def _outcome(name: str, seed: int) -> BacktestOutcome:
    random = Random(seed)
    found = outcome(seed)
    key = replace(found.key, strategy_name=name)
    figures = {"sharpe_ratio": random.gauss(0.02, 0.08), "sqn": random.gauss(0.2, 1.0)}
    return replace(found, key=key, statistics=replace(found.statistics, **figures))


def _done(name: str, place: int, seed: int) -> WalkerRow:
    return WalkerRow(name, place, "done", progress=1.0, outcome=_outcome(name, seed))


def _with_errors(row: WalkerRow) -> WalkerRow:
    assert row.outcome is not None
    counts = replace(row.outcome.counts, errors=12)
    return replace(row, outcome=replace(row.outcome, counts=counts))


def ranked_by(view: WalkerView, metric: str) -> WalkerView:
    """The walker as its desk would show it, ranked by a metric."""
    found = statistics_of(view, metric)
    rows = {row.name: row for row in view.rows}
    ranked = tuple(
        replace(
            rows[item.strategy_name],
            rank=at if item.metric_value is not None else None,
            metric_value=item.metric_value,
            best=item.strategy_name == found.best_strategy,
        )
        for at, item in enumerate(found.strategies, start=1)
    )
    winner, value = found.best_strategy or "", found.best_metric
    return replace(view, metric=metric, rows=ranked, best_strategy=winner, best_metric=value)


def _walker(run_id: str, status: str, rows: tuple[WalkerRow, ...], **changes: object) -> WalkerView:
    view = WalkerView(
        run_id, "comparison", "BTCUSDT", "simulated", "1m", JANUARY, JANUARY + _MONTH,
        "sharpe_ratio", status, 1.0, rows,
        strategies_tested=sum(row.status == "done" for row in rows), total_strategies=len(rows),
    )  # fmt: skip
    return replace(ranked_by(view, "sharpe_ratio"), **changes)


def walkers() -> tuple[WalkerView, ...]:
    """A walker that runs, one that swept a grid, one that was stopped, one that failed."""
    under_way = (
        _done("sma-cross", 0, 3),
        _done("breakout", 1, 5),
        WalkerRow("rsi-reversion", 2, "running", progress=0.41),
        _with_errors(_done("[red]均线[/] cross", 3, 4)),
        WalkerRow("momentum-v2", 4, "failed", error="KeyError: 'rsi' (momentum_v2.py:41)"),
        WalkerRow("grid 20/50", 5, "waiting"),
    )
    grid = tuple(
        _done(f"sma-cross(fast={fast}, slow={slow})", place, 20 + place)
        for place, (fast, slow) in enumerate((f, s) for f in (5, 10, 20) for s in (50, 100, 200))
    )
    cut = (_done("breakout", 0, 6), WalkerRow("rsi-reversion", 1, "skipped"),
           WalkerRow("sma-cross", 2, "stopped", progress=0.2))  # fmt: skip
    failed = (WalkerRow("momentum-v2", 0, "failed", error="KeyError: 'rsi'"),)
    return (
        _walker("walker-4", "running", under_way, progress=0.735, eta_seconds=96.0),
        _walker("walker-3", "done", grid, walker_name="sma-grid", symbol="ETHUSDT"),
        _walker("walker-2", "stopped", cut, progress=0.6),
        _walker("walker-1", "failed", failed, error="KeyError: 'rsi'", symbol="DOGEUSDT"),
    )


OPTIMIZERS: Final = (
    OptimizerView("optimizer-2", "trend", "BTCUSDT", "running", 8, 3, 0.375),
    OptimizerView(
        "optimizer-1", "trend", "ETHUSDT", "done", 8, 8, 1.0,
        path="/home/operator/trading/generated/trend_ETHUSDT.py", written_by="deepseek-v3.1",
        strategies=(("trend_ETHUSDT_train-1", "Buy when the hourly trend turns up."),),
        walker_name="trend_ETHUSDT_walker", checks=("it compiles", "it imports the engine alone"),
        warnings=("source candles was cut at 5,000 rows",),
    ),
)  # fmt: skip
"""Optimizer runs."""
