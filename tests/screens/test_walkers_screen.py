"""Walkers: a ranking that fills in, metrics, curves, stops and skips, optimizer runs, read-only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from console.app import SignaldeckApp
from engine.domain.walks import METRICS
from screens.comparison import CURVES, contenders, curves, statistics_of
from screens.detail import DetailDialog
from screens.result import ResultScreen
from screens.sample import empty_snapshot, outcome, snapshot
from screens.sample_walkers import OPTIMIZERS, ranked_by, walkers
from screens.text_screen import TextScreen
from screens.walkers import WalkersScreen
from screens.widgets.ranking_table import METRICS as RANKED_BY
from screens.widgets.ranking_table import ranked
from tests.screens.bed import SMALL, console, greyed, lines, toasts


def screen(app: SignaldeckApp) -> WalkersScreen:
    assert isinstance(app.screen, WalkersScreen)
    return app.screen


async def test_a_ranking_fills_in_and_its_strategies_are_opened_skipped_and_compared() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("6")
        await pilot.pause()
        listed = lines(screen(app).walkers)
        assert "3/6" in listed[1] and "1m 36s" in listed[1] and "sma-cross" in listed[1]
        assert "KeyError: 'rsi'" in listed[4]
        ranking = lines(screen(app).ranking)
        assert [line.split()[0] for line in ranking[1:4]] == ["1", "2", "3"]
        assert "best  sma-cross" in ranking[1] and "41 %" in "\n".join(ranking)
        assert "done, 12 errors" in ranking[2]
        assert "a ── sma-cross" in "\n".join(lines(screen(app).curves))
        running = walkers()[0]
        more = ranked_by(
            replace(running, rows=tuple(
                replace(row, status="done", progress=1.0, outcome=outcome(20))
                if row.status == "running" else row for row in running.rows
            )),
            running.metric,
        )  # fmt: skip
        host.swap(replace(snapshot(), walkers=(more, *walkers()[1:])), "walkers")
        await pilot.pause()
        assert [line.split()[0] for line in lines(screen(app).ranking)[1:5]] == list("1234")
        assert "4 with a result" in "".join(lines(screen(app).curves_pane.title))
        host.swap(snapshot(), "walkers")
        await pilot.press("m")
        await pilot.pause()
        assert screen(app).ranking.metric == "total_return"
        assert "best  breakout" in lines(screen(app).ranking)[1]
        assert "a ── breakout" in "\n".join(lines(screen(app).curves))
        await pilot.press("r")
        await pilot.pause(0.1)
        await pilot.pause()
        assert isinstance(app.screen, TextScreen)
        text = "\n".join(lines(app.screen.text))
        assert "| Rank" in text and "# Walker Comparison Report: comparison" in text
        assert "Best total_return" in text
        await pilot.press("escape", "enter", "enter")
        await pilot.pause()
        assert isinstance(app.screen, ResultScreen) and app.screen.mode_name == "Walkers"
        assert app.screen.outcome.key.strategy_name == "breakout"
        await pilot.press("escape", "S")
        await pilot.pause()
        assert "breakout has ended (done)" in toasts(app) and host.commands == []
        await pilot.press("j", "j", "j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog)
        await pilot.press("escape", "S", "y", "x", "right", "enter")
        await pilot.pause()
        assert host.commands == ["skip walker-4 rsi-reversion", "stop walker-4"]


async def test_the_walker_under_the_cursor_is_ranked_and_keeps_its_metric() -> None:
    async with console(size=SMALL) as (app, host, pilot):
        await pilot.press("6", "m", "j")
        await pilot.pause()
        assert screen(app).ranking.metric == "sharpe_ratio", "every walker has its own"
        assert len(screen(app).ranking.rows) == 9
        await pilot.press("x", "tab", "G", "tab")
        await pilot.pause()
        drawn = "\n".join(lines(screen(app).curves))
        chosen = screen(app).ranking.chosen
        assert chosen is not None and chosen.name[:20] in drawn and "and 3 more" in drawn
        await pilot.press("shift+tab", "shift+tab", "k")
        await pilot.pause()
        assert screen(app).ranking.metric == "total_return"
        await pilot.press("G", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog), "a failed one says why"
        await pilot.press("escape", "s")
        await pilot.pause()
        assert host.commands == ["again walker-1"]


async def test_optimizers_are_read_stopped_and_their_module_is_shown(tmp_path: Path) -> None:
    module = tmp_path / "trend.py"
    module.write_text("# made for review\nadd_strategy()\n")
    done = replace(OPTIMIZERS[1], path=str(module))
    async with console(replace(snapshot(), optimizers=(OPTIMIZERS[0], done))) as (app, host, pilot):
        await pilot.press("6", "shift+tab", "r", "x", "right", "enter")
        await pilot.pause()
        assert "has written no module (running)" in toasts(app)
        assert host.commands == ["stop optimizer-2"]
        await pilot.press("j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog)
        facts = str(app.screen.query("#facts Static").first().render())
        assert "read it before anything opens it" in facts and "hourly trend turns up" in facts
        await pilot.press("escape", "r")
        await pilot.pause()
        assert isinstance(app.screen, TextScreen)
        assert "add_strategy()" in "\n".join(lines(app.screen.text))


async def test_a_read_only_console_ranks_and_reports_but_commands_nothing() -> None:
    async with console() as (app, host, pilot):
        host.only_shows = True
        await pilot.press("6", "tab", "m", "j", "j", "j", "S", "x", "s")
        await pilot.pause()
        assert {"run.skip", "run.stop", "run.again"} <= greyed(app) and "metric" not in greyed(app)
        assert screen(app).ranking.metric == "total_return" and host.commands == []
        assert "read-only" in toasts(app)


async def test_an_empty_screen_says_what_to_do() -> None:
    async with console(empty_snapshot()) as (app, _, pilot):
        await pilot.press("6")
        await pilot.pause()
        assert "press n to compare strategies" in "\n".join(lines(screen(app).walkers))
        assert "press n to start one" in "\n".join(lines(screen(app).optimizers))
        assert {"run.skip", "run.stop", "run.again", "metric", "report"} <= greyed(app)


@pytest.mark.parametrize("metric", METRICS)
def test_screen_and_engine_rank_alike(metric: str) -> None:
    view = walkers()[1]
    engine = [item.strategy_name for item in statistics_of(view, metric).strategies]
    shown = [place.contender.name for place in ranked(contenders(view), metric)]
    assert shown == engine and metric in RANKED_BY
    assert [row.name for row in ranked_by(view, metric).rows] == engine


def test_what_is_no_metric_of_the_engine_is_reported_by_the_walkers_own() -> None:
    view = walkers()[1]
    assert statistics_of(view, "max_drawdown").metric == view.metric
    order = contenders(view)
    assert [curve.name for curve in curves(view, order, order[-1].name)][CURVES - 1] == (
        order[-1].name
    )
