"""The result of one backtest: statistics, equity with drawdown, every trade, months, report."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType

from console.keymap import bind
from engine.domain.outcome import BacktestOutcome
from engine.reports.backtest import backtest_report
from screens.base import BaseScreen
from screens.context import ScreenContext
from screens.detail import DetailDialog, stat_facts, trade_facts
from screens.text import clean, instant_input, many
from screens.text_screen import TextScreen
from screens.widgets.equity_chart import EquityChart
from screens.widgets.heatmap import Heatmap, monthly_grid
from screens.widgets.line_table import LineTable
from screens.widgets.pane import Pane, PaneStack
from screens.widgets.statistics_table import StatisticsTable
from screens.widgets.title_line import TitleLine
from screens.widgets.tones import Cell
from screens.widgets.trades_table import TradeRow, TradesTable


class ResultScreen(BaseScreen):
    """One outcome.

    Args:
        context: host, clock and session.
        outcome: what to show.
        mode_name: name of the mode it was opened from.
    """

    CSS_PATH = ["base.tcss", "result.tcss"]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "app.pop_screen"),
        bind("report", "report"),
    ]

    def __init__(
        self, context: ScreenContext, outcome: BacktestOutcome, mode_name: str = "Backtests"
    ) -> None:
        super().__init__(context)
        self.mode_name = mode_name
        self.outcome = outcome
        self.statistics = StatisticsTable(outcome, id="statistics")
        self.chart = EquityChart(outcome.equity, id="chart")
        self.trades = TradesTable(id="trades")
        self.months = Heatmap(monthly_grid(outcome.equity), id="months")

    def compose_body(self) -> ComposeResult:
        """What was run, then four panes."""
        yield TitleLine(result_title(self.outcome), result_remark(self.outcome))
        yield PaneStack(
            [
                Pane("Statistics", self.statistics, id="statistics-pane"),
                Pane("Equity", self.chart, id="chart-pane"),
                Pane("Trades", self.trades, id="trades-pane"),
                Pane("Monthly returns", self.months, id="months-pane"),
            ]
        )

    def on_mount(self) -> None:
        """List the trades, start with the statistics."""
        self.trades.show(self.outcome.trades)
        note = many(len(self.outcome.trades), "trade")
        self.query_one("#trades-pane", Pane).title.update(note=note)
        self.query_one("#chart-pane", Pane).title.update(note=many(self._days(), "day"))
        self.query_one("#months-pane", Pane).title.update(note="in %")
        if remarks := len(self.outcome.errors) + len(self.outcome.warnings):
            remark = (Cell(f"{many(remarks, 'warning')} below ", "warn"),)
            self.query_one("#statistics-pane", Pane).title.update(remark=remark)
        self.statistics.focus()

    def _days(self) -> int:
        return max(0, len(self.outcome.equity) - 1)

    def action_report(self) -> None:
        """Show the whole result as Markdown."""
        title, text = result_title(self.outcome), backtest_report(self.outcome)
        self.app.push_screen(TextScreen(self.context, title, text, self.mode_name))

    @on(LineTable.Opened, "#statistics")
    def open_statistic(self) -> None:
        """Show a line of the statistics in full; a reason may be longer than its column."""
        row = self.statistics.current
        if row is not None and (facts := stat_facts(row)):
            self.app.push_screen(DetailDialog("Statistics", facts))

    @on(LineTable.Opened, "#trades")
    def open_trade(self) -> None:
        """Show a trade in full."""
        row = self.trades.current
        if isinstance(row, TradeRow):
            self.app.push_screen(DetailDialog(f"Trade {row.number}", trade_facts(row.trade)))


def result_title(outcome: BacktestOutcome) -> tuple[Cell, ...]:
    """What was run, on what, over which frame."""
    key = outcome.key
    frame = f"{instant_input(outcome.frame_start)} to {instant_input(outcome.frame_end)} UTC"
    return (
        Cell(f" {clean(key.strategy_name)}  {clean(key.symbol)}", "strong"),
        Cell(f"  {clean(key.exchange_name)}  "),
        Cell(f"{frame}, every {outcome.frame_interval}", "muted"),
    )


def result_remark(outcome: BacktestOutcome) -> tuple[Cell, ...]:
    """Whether it ran to its end."""
    return (Cell(" STOPPED early ", "alarm"),) if outcome.stopped else ()
