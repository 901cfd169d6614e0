"""Each widget shows itself on sample data when its module is run."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widget import Widget

import screens.alone
import screens.widgets
from screens.alone import AloneApp

FOLDER = Path(str(screens.widgets.__file__)).parent
SHOWS = {
    "backtest_tables": "momentum-v2", "candidate_list": "breakout", "candle_chart": "43,642.60",
    "choice": "backtest", "curves_chart": "rsi-reversion", "equity_chart": "drawdown",
    "facts_table": "percent_fee", "feed_table": "cancelled", "filter_bar": "12",
    "form_field": "BTCUSDT", "header_line": "STALE", "heatmap": "Jan",
    "instances_table": "draining", "key_bar": "Quit", "ladder": "profit", "life_table": "milestone",
    "line_table": "even", "log_table": "warning", "marked_table": "reversion",
    "metrics_table": "tick",
    "milestone_tables": "reached", "pane": "Upper", "position_card": "entry", "price_bar": "SL",
    "ranking_table": "best", "risk_tables": "weekend", "scheduled_table": "SOLUSDT",
    "signals_table": "take", "sortable_table": "reversion", "statistics_table": "Sortino",
    "text_view": "Report", "title_line": "sma-cross", "totals_line": "trades",
    "trades_table": "expired", "walker_tables": "sma-grid",
}  # fmt: skip


def test_every_widget_has_a_module_that_can_be_run() -> None:
    runnable = {path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text()}
    assert runnable == set(SHOWS)
    others = {path.stem for path in FOLDER.glob("*.py")} - runnable
    assert others == {
        "__init__",
        "axis",
        "braille",
        "columns",
        "filtered_table",
        "panel",
        "spark",
        "tones",
        "whole_lines",
    }, "these are no widgets"


@pytest.mark.parametrize("module", SHOWS)
async def test_a_widget_shows_itself(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[Widget, Callable[[], object] | None]] = []
    monkeypatch.setattr(
        screens.alone, "show_alone", lambda widget, fill=None: shown.append((widget, fill))
    )
    runpy.run_path(str(FOLDER / f"{module}.py"), run_name="__main__")
    ((widget, fill),) = shown
    async with AloneApp(widget, fill).run_test(size=(140, 24)) as pilot:
        await pilot.pause()
        assert SHOWS[module] in pilot.app.export_screenshot()
