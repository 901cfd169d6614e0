"""Reports of live runs and backtests as Markdown, on a screen of their own."""

from __future__ import annotations

from console.views import InstanceView
from engine.domain.outcome import BacktestOutcome
from engine.reports.backtest import backtest_report
from screens.base import BaseScreen
from screens.text import clean
from screens.text_screen import TextScreen
from screens.widgets.tones import Cell

NO_REPORT = "there is no report yet: it begins with the first trade"


async def show_report(screen: BaseScreen, view: InstanceView) -> None:
    """Ask for a live run's report and show it."""
    host = screen.context.host
    detail = await screen.ask(lambda: host.instance_detail(view.instance_id, "1m"), "report")
    if detail is None:
        return
    if not detail.report:
        screen.notify(NO_REPORT, title="report", severity="warning", markup=False)
        return
    title = (Cell(f" {clean(view.strategy_name)}  {clean(view.symbol)}", "strong"),)
    screen.app.push_screen(TextScreen(screen.context, title, detail.report, screen.mode_name))


def show_result_report(screen: BaseScreen, outcome: BacktestOutcome) -> None:
    """Show a backtest's report."""
    key = outcome.key
    title = (Cell(f" {clean(key.strategy_name)}  {clean(key.symbol)}", "strong"),)
    text = backtest_report(outcome)
    screen.app.push_screen(TextScreen(screen.context, title, text, screen.mode_name))
