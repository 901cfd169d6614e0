"""Backtests that run, with progress, and backtests that ended, with their key figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from console.views import BacktestView, DeckSnapshot
from engine.domain.outcome import BacktestStatistics
from screens.text import clean, count, day, number, percent, short_minute, span
from screens.widgets.line_table import Column
from screens.widgets.marked_table import MarkedTable
from screens.widgets.panel import Panel
from screens.widgets.price_bar import signed_tone
from screens.widgets.tones import Cell, Cells, Tone

ENDED: Final = frozenset({"done", "stopped", "failed"})
"""Statuses of a backtest that goes on no more."""

_PROGRESS: Final = 12
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_TONES: Final[dict[str, Tone]] = {
    "queued": "muted", "stopping": "warn", "stopped": "warn", "failed": "loss",
}  # fmt: skip


def progress_bar(fraction: float, width: int = _PROGRESS) -> Cells:
    """A bar of ``width`` cells, filled in eighths of a cell."""
    eighths = round(max(0.0, min(1.0, fraction)) * width * 8)
    full, part = divmod(eighths, 8)
    bar = "█" * full + (_EIGHTHS[part] if part else "")
    return (Cell(bar, "accent"), Cell("·" * (width - len(bar)), "muted"))


def status_cell(status: str) -> Cell:
    """The status of a backtest, a walker or an optimizer."""
    return Cell(clean(status), _TONES.get(status, ""))


def _frame(view: BacktestView) -> Cells:
    return Cell(f"{day(view.frame_start)} to {day(view.frame_end)}", "muted")


_RUN_COLUMNS: Final = (
    Column[BacktestView](
        "strategy", 13, lambda v: Cell(clean(v.strategy_name)), grow=5,
        order=lambda v: v.strategy_name,
    ),
    Column[BacktestView](
        "symbol", 9, lambda v: Cell(clean(v.symbol), "strong"), order=lambda v: v.symbol
    ),
    Column[BacktestView]("exchange", 10, lambda v: Cell(clean(v.exchange_name), "muted"), drop=7),
    Column[BacktestView]("frame", 24, _frame, drop=5),
    Column[BacktestView](
        "every", 5, lambda v: Cell(clean(v.frame_interval), "muted"), right=True, drop=6
    ),
)  # fmt: skip


class RunningTable(Panel, MarkedTable[BacktestView]):
    """Backtests that wait or run."""

    topics = ("backtests",)

    def __init__(self, *, id: str | None = None) -> None:
        columns = (
            Column[BacktestView]("status", 8, lambda v: status_cell(v.status)),
            *_RUN_COLUMNS,
            Column[BacktestView]("progress", _PROGRESS, lambda v: progress_bar(v.progress)),
            Column[BacktestView](
                "%", 5, lambda v: Cell(f"{100 * v.progress:.1f}"), right=True,
                order=lambda v: v.progress,
            ),
            Column[BacktestView](
                "ETA", 7, lambda v: Cell(span(v.eta_seconds)), right=True,
                order=lambda v: v.eta_seconds,
            ),
            Column[BacktestView](
                "candles/s", 11, lambda v: Cell(_rate(v), "muted"), right=True, drop=2
            ),
            Column[BacktestView](
                "reached", 11, lambda v: Cell(short_minute(v.when), "muted"), drop=4
            ),
            Column[BacktestView]("trades", 6, lambda v: Cell(count(v.trades)), right=True, drop=3),
        )  # fmt: skip
        super().__init__(
            columns,
            key=lambda view: view.run_id,
            empty="no backtest is running - press {run.new} to start one",
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """The backtests moved."""
        self.set_rows([view for view in snapshot.backtests if view.status not in ENDED])


def _rate(view: BacktestView) -> str:
    return count(None if view.candles_per_second is None else round(view.candles_per_second))


def _figure(
    title: str,
    width: int,
    of: Callable[[BacktestStatistics], float | None],
    cell: Callable[[float | None], Cells],
    drop: int = 0,
) -> Column[BacktestView]:
    """A figure of the results, which the table can be sorted by."""

    def value(view: BacktestView) -> float | None:
        return None if view.outcome is None else of(view.outcome.statistics)

    def drawn(view: BacktestView) -> Cells:
        return Cell("-", "muted") if view.outcome is None else cell(value(view))

    return Column[BacktestView](title, width, drawn, right=True, drop=drop, order=value)


def _plain(decimals: int) -> Callable[[float | None], Cells]:
    return lambda value: Cell(number(value, decimals))


def _signed(value: float | None) -> Cells:
    return Cell(percent(value), signed_tone(value))


def _took(view: BacktestView) -> Cells:
    seconds = None if view.outcome is None else view.outcome.elapsed_seconds
    if seconds is None:
        return Cell("-", "muted")
    return Cell(f"{seconds:.1f}s" if seconds < 60 else span(seconds), "muted")


class FinishedTable(Panel, MarkedTable[BacktestView]):
    """Backtests that ended, newest first as long as they are not sorted."""

    topics = ("backtests",)

    def __init__(self, *, id: str | None = None) -> None:
        columns = (
            Column[BacktestView]("status", 8, lambda v: status_cell(v.status)),
            *_RUN_COLUMNS,
            _figure("trades", 6, lambda s: s.total_trades, _plain(0)),
            _figure("won %", 5, lambda s: s.win_rate, _plain(1)),
            _figure("sum %", 8, lambda s: s.total_pnl, _signed, drop=3),
            _figure("return %", 8, lambda s: s.total_return, _signed),
            _figure("drawdown", 8, lambda s: s.max_drawdown, _plain(2)),
            _figure("Sharpe", 6, lambda s: s.sharpe_ratio, _plain(3), drop=2),
            _figure("profit f.", 9, lambda s: s.profit_factor, _plain(2), drop=4),
            Column[BacktestView]("took", 7, _took, right=True, drop=8),
        )
        super().__init__(
            columns,
            key=lambda view: view.run_id,
            empty="no backtest has finished yet - press {run.new} to start one",
            id=id,
        )

    def show(self, snapshot: DeckSnapshot) -> None:
        """The backtests moved."""
        self.set_rows([view for view in snapshot.backtests if view.status in ENDED])


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import snapshot as sample

    table = FinishedTable()
    show_alone(table, lambda: table.show(sample()))
