from __future__ import annotations

from dataclasses import replace

from console.app import SignaldeckApp
from screens.backtests import BacktestsScreen
from screens.detail import DetailDialog
from screens.result import ResultScreen
from screens.sample import backtests, empty_snapshot, outcome, snapshot
from tests.screens.bed import SMALL, console, greyed, lines, toasts


def screen(app: SignaldeckApp) -> BacktestsScreen:
    assert isinstance(app.screen, BacktestsScreen)
    return app.screen


async def test_running_ones_show_progress_and_finished_ones_figures() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("5")
        await pilot.pause()
        running = "\n".join(lines(screen(app).running))
        assert "63.4" in running and "38s" in running and "412,000" in running
        assert "queued" in running and "███████▋····" in running
        finished = lines(screen(app).finished)
        assert finished[1].split()[1:4] == ["done", "sma-cross", "BTCUSDT"]
        assert "+0.20" in finished[1] and "-5.09" in finished[2]
        assert "stopped" in finished[3] and "failed" in finished[4]


async def test_an_empty_screen_says_what_to_do() -> None:
    async with console(empty_snapshot(), size=SMALL) as (app, _, pilot):
        await pilot.press("5")
        await pilot.pause()
        text = "\n".join(lines(screen(app).running) + lines(screen(app).finished))
        assert "no backtest is running - press n to start one" in text
        assert "no backtest has finished yet - press n to start one" in text
        assert {"open", "run.stop", "run.again", "copy"} <= greyed(app)


async def test_enter_opens_the_result_and_escape_comes_back_to_the_same_line() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("5", "j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, ResultScreen)
        assert app.screen.outcome == backtests()[4].outcome
        await pilot.press("1", "5")
        await pilot.pause()
        assert isinstance(app.screen, ResultScreen), "a mode remembers where one was"
        await pilot.press("escape")
        await pilot.pause()
        assert screen(app).finished.cursor == 1


async def test_enter_on_a_failed_one_shows_why() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("5", "G", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog)
        facts = str(app.screen.query("#facts Static").first().render())
        assert "get_signal took longer than 180 s at 2024-01-04 02:11 UTC" in facts


async def test_a_running_one_is_stopped_after_asking() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("5", "x")
        await pilot.pause()
        assert host.commands == [] and "has ended (done)" in toasts(app)
        await pilot.press("tab", "j", "x")
        await pilot.pause()
        assert app.focused is not None and app.focused.id == "answer-no"
        await pilot.press("right", "enter")
        await pilot.pause()
        assert host.commands == ["stop bt-8"]


async def test_a_finished_one_is_run_again_and_a_running_one_is_not() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("5", "s")
        await pilot.pause()
        assert host.commands == ["again bt-6"]
        await pilot.press("tab", "s")
        await pilot.pause()
        assert host.commands == ["again bt-6"] and "has not ended yet (queued)" in toasts(app)


async def test_cursor_and_keys_go_along_with_a_run_that_ends() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("5", "tab", "j")
        assert screen(app).running.current == backtests()[1]
        ended = replace(backtests()[1], status="done", outcome=outcome(5))
        tests = (backtests()[0], ended, *backtests()[2:])
        host.swap(replace(snapshot(), backtests=tests), "backtests")
        await pilot.pause()
        assert screen(app).finished.has_focus and screen(app).finished.current == ended
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, ResultScreen)


async def test_someone_elses_end_moves_nothing() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("5", "tab", "j", "tab")
        ended = replace(backtests()[2], status="done", outcome=outcome(5))
        tests = (*backtests()[:2], ended, *backtests()[3:])
        host.swap(replace(snapshot(), backtests=tests), "backtests")
        await pilot.pause()
        assert screen(app).finished.current == backtests()[3]
        assert len(screen(app).finished.rows) == 5
