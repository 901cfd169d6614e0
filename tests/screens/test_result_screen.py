from __future__ import annotations

from dataclasses import replace

import pytest

from console.app import SignaldeckApp
from engine.domain.outcome import BacktestOutcome
from screens.detail import DetailDialog
from screens.result import ResultScreen
from screens.sample import backtests, outcome, snapshot
from screens.text_screen import TextScreen
from screens.widgets.pane import Pane
from screens.widgets.statistics_table import stat_rows, statistics
from screens.widgets.title_line import TitleLine
from screens.widgets.tones import spans
from tests.screens.bed import LARGE, SMALL, console, greyed, lines


def screen(app: SignaldeckApp) -> ResultScreen:
    assert isinstance(app.screen, ResultScreen)
    return app.screen


def shown(app: SignaldeckApp) -> str:
    return "\n".join(
        line
        for part in (screen(app).statistics, screen(app).chart, screen(app).trades)
        for line in lines(part)
    )


async def test_statistics_equity_months_and_trades_stand_together_and_open() -> None:
    async with console(size=LARGE) as (app, _, pilot):
        await pilot.press("5", "enter")
        await pilot.pause()
        text = shown(app)
        assert "win rate %" in text and "56.2" in text and "+0.20" in text
        assert "at most 4.41" in text and "2024-01-31" in text
        assert "41,796.51" in text and "stop loss" in text
        (title,) = lines(app.screen.query_one(TitleLine))
        assert title.split() == [
            "sma-cross", "BTCUSDT", "simulated", "2024-01-01", "to", "2024-01-31", "UTC,",
            "every", "1m",
        ]  # fmt: skip
        assert "1 warning below" in "".join(
            lines(screen(app).query_one("#statistics-pane", Pane).title)
        )
        months = lines(screen(app).months)
        assert months[0].split()[:2] == ["Jan", "Feb"] and months[1].split()[:2] == [
            "2024",
            "+0.02",
        ]

        await pilot.press("r")
        await pilot.pause()
        assert isinstance(app.screen, TextScreen)
        text = "\n".join(lines(app.screen.text))
        assert "# Backtest Report: sma-cross" in text and "| trade-117 |" in text
        await pilot.press("escape")
        await pilot.pause()
        assert screen(app).statistics.has_focus

        await pilot.press(*"j" * 19, "enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog)
        facts = str(app.screen.query("#facts Static").first().render())
        assert "CAGR %" in facts and "the frame is shorter than 90 days" in facts

        await pilot.press("escape", "tab")
        await pilot.pause()
        assert screen(app).chart.has_focus and "copy" in greyed(app)
        await pilot.press("tab", *"j" * 6, "y")
        await pilot.pause()
        assert app.clipboard.startswith("7\t2024-01-02 15:00\t2024-01-02 17:33\tlong")
        await pilot.press("enter")
        await pilot.pause()
        facts = str(app.screen.query("#facts Static").first().render())
        assert "its last bar touched both levels" in facts and "trade-7" in facts

        await pilot.press("escape", "escape", "j", "j", "enter")
        await pilot.pause()
        (title,) = lines(app.screen.query_one(TitleLine))
        assert title.endswith("STOPPED early")


async def test_panes_take_turns_on_a_short_terminal() -> None:
    async with console(size=SMALL) as (app, _, pilot):
        await pilot.press("5", "enter")
        await pilot.pause()
        shown = screen(app)
        parts = [shown.statistics, shown.chart, shown.trades, shown.months]
        for expected in (0, 1, 2, 3, 0):
            assert [part.display for part in parts] == [n == expected for n in range(4)]
            assert parts[expected].has_focus
            await pilot.press("tab")
            await pilot.pause()


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_run_without_trades_has_a_result_too(size: tuple[int, int]) -> None:
    empty = outcome(7)
    nothing = replace(
        empty.statistics, total_trades=0, win_count=0, loss_count=0, win_rate=None, avg_pnl=None,
        std_dev=None, profit_factor=None, sharpe_ratio=None, max_drawdown=0.0,
        undefined={"win_rate": "no trades"},
    )  # fmt: skip
    empty = replace(empty, trades=(), statistics=nothing, equity=())
    view = replace(backtests()[3], outcome=empty)
    async with console(replace(snapshot(), backtests=(view,)), size=size) as (app, _, pilot):
        await pilot.press("5", "enter")
        await pilot.pause()
        await pilot.press("tab")
        await pilot.pause()
        assert "no equity curve" in "\n".join(lines(screen(app).chart))
        await pilot.press("tab")
        await pilot.pause()
        assert "no trade was closed" in "\n".join(lines(screen(app).trades))


def figures(result: BacktestOutcome) -> dict[str, str]:
    return {
        stat.label: stat.note or "".join(cell.text for cell in spans(stat.value))
        for section in statistics(result)
        for stat in section
    }


def test_every_statistic_of_the_outcome_is_listed() -> None:
    result = outcome(7)
    shown = figures(result)
    s = result.statistics
    assert shown["Trades"] == str(s.total_trades) == str(len(result.trades))
    assert shown["win rate %"] == f"{s.win_rate:.1f}"
    assert shown["sum of PnL %"] == f"{s.total_pnl:+.2f}"
    assert shown["profit factor"] == f"{s.profit_factor:.2f}"
    assert shown["max drawdown %"] == f"{s.max_drawdown:.2f}"
    assert shown["Sharpe per trade"] == "0.031" and shown["Sharpe daily"] == "1.12"
    assert shown["Sortino"] == "1.90" and shown["time in position %"] == "33.8"
    assert shown["CAGR %"] == "the frame is shorter than 90 days"
    assert shown["average duration"] == "2h 01m" and shown["drawdown lasted"] == "9d"
    assert shown["rejected by risk"] == "2" and shown["minutes filled in"] == "17"


def test_warnings_stand_at_the_end_and_nothing_is_lost_in_two_columns() -> None:
    sections = statistics(outcome(7))
    single = stat_rows(sections, pairs=False)
    pairs = stat_rows(sections, pairs=True)
    labels = {row.left.label for row in single if row.left.label}
    both = {stat.label for row in pairs for stat in (row.left, row.right) if stat and stat.label}
    assert labels == both
    assert pairs[-1].left.note == "the frame asks for 12 minutes beyond the data"
    assert len({row.number for row in pairs}) == len(pairs)
