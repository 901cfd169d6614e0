"""Walkers and optimizer runs, under way and ended, newest first."""

from __future__ import annotations

from typing import Final

from console.views import DeckSnapshot, OptimizerView
from console.walker_views import WalkerView
from screens.text import clean, day, span
from screens.widgets.backtest_tables import progress_bar, status_cell
from screens.widgets.line_table import Column, LineTable
from screens.widgets.panel import Panel
from screens.widgets.ranking_table import METRICS, figure
from screens.widgets.tones import Cell, Cells, spans

_BAR: Final = 10


def _best(view: WalkerView) -> Cells:
    if view.status == "failed":
        return Cell(clean(view.error), "loss")
    return Cell(clean(view.best_strategy), "strong") if view.best_strategy else Cell("-", "muted")


def _value(view: WalkerView) -> Cells:
    if not view.best_strategy:
        return Cell("-", "muted")
    heading = METRICS.get(view.metric, (view.metric.replace("_", " "), False))[0]
    return (Cell(f"{heading} ", "muted"), *spans(figure(view.metric, view.best_metric)))


def _left(view: WalkerView) -> Cells:
    return Cell(span(view.eta_seconds) if view.eta_seconds is not None else "-", "muted")


class WalkersTable(Panel, LineTable[WalkerView]):
    """Walkers, the running ones with progress, all with the best strategy so far."""

    topics = ("walkers",)

    def __init__(self, *, id: str | None = None) -> None:
        columns = (
            Column[WalkerView]("status", 8, lambda v: status_cell(v.status)),
            Column[WalkerView]("walker", 12, lambda v: Cell(clean(v.walker_name)), grow=8),
            Column[WalkerView]("symbol", 9, lambda v: Cell(clean(v.symbol), "strong")),
            Column[WalkerView](
                "exchange", 10, lambda v: Cell(clean(v.exchange_name), "muted"), drop=6
            ),
            Column[WalkerView](
                "frame",
                24,
                lambda v: Cell(f"{day(v.frame_start)} to {day(v.frame_end)}", "muted"),
                drop=4,
            ),
            Column[WalkerView](
                "every", 5, lambda v: Cell(clean(v.frame_interval), "muted"), True, drop=5
            ),
            Column[WalkerView]("progress", _BAR, lambda v: progress_bar(v.progress, _BAR)),
            Column[WalkerView](
                "done", 7, lambda v: Cell(f"{v.strategies_tested}/{v.total_strategies}"), True
            ),
            Column[WalkerView]("ETA", 6, _left, right=True, drop=3),
            Column[WalkerView]("best so far", 15, _best, grow=20),
            Column[WalkerView]("ranked by", 16, _value, drop=2),
        )
        super().__init__(
            columns,
            key=lambda view: view.run_id,
            empty="no walker has been started - press {run.new} to compare strategies",
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """The walkers moved."""
        self.set_rows(snapshot.walkers)


def _outcome(view: OptimizerView) -> Cells:
    if view.status == "failed":
        return Cell(clean(view.error), "loss")
    if view.status == "done":
        return (Cell("not executed  ", "warn"), Cell(clean(view.path)))
    return Cell("-", "muted")


class OptimizersTable(Panel, LineTable[OptimizerView]):
    """Optimizer runs of this session."""

    topics = ("optimizers",)

    def __init__(self, *, id: str | None = None) -> None:
        columns = (
            Column[OptimizerView]("status", 8, lambda v: status_cell(v.status)),
            Column[OptimizerView]("optimizer", 12, lambda v: Cell(clean(v.optimizer_name)), grow=8),
            Column[OptimizerView]("symbol", 9, lambda v: Cell(clean(v.symbol), "strong")),
            Column[OptimizerView]("progress", _BAR, lambda v: progress_bar(v.progress, _BAR)),
            Column[OptimizerView](
                "sources", 7, lambda v: Cell(f"{v.processed_sources}/{v.total_sources}"), True
            ),
            Column[OptimizerView](
                "written by", 14, lambda v: Cell(clean(v.written_by) or "-", "muted"), drop=2
            ),
            Column[OptimizerView]("module", 14, _outcome, grow=90),
        )
        super().__init__(
            columns,
            key=lambda view: view.run_id,
            empty="no optimizer has been started - press {run.new} to start one",
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """The optimizers moved."""
        self.set_rows(snapshot.optimizers)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import snapshot as sample

    table = WalkersTable()
    show_alone(table, lambda: table.show(sample()))
