from __future__ import annotations

from dataclasses import replace

from textual.pilot import Pilot

from console.app import SignaldeckApp
from screens.backtests import BacktestsScreen
from screens.detail import DetailDialog
from screens.result import ResultScreen
from screens.sample import backtests, empty_snapshot, outcome, snapshot
from tests.screens.bed import SMALL, console, greyed, lines, toasts


def screen(app: SignaldeckApp) -> BacktestsScreen:
    assert isinstance(app.screen, BacktestsScreen)
    return app.screen


async def opened(app: SignaldeckApp, pilot: Pilot[None]) -> BacktestsScreen:
    await pilot.press("5")
    await pilot.pause()
    return screen(app)


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
        table = screen(app).finished
        assert table.sort_by("drawdown", descending=True)
        known = [view.outcome.statistics.max_drawdown for view in table.rows if view.outcome]
        assert known == sorted(known, reverse=True) and len(known) == 3
        assert table.rows[-1].outcome is None, "what has no result stands last"
        await pilot.press("o")
        await pilot.pause()
        assert "Sharpe▾" in lines(table)[0]


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


async def test_several_are_stopped_started_again_and_exported_with_one_question() -> None:
    def question() -> str:
        return str(app.screen.query_one("#question").render())

    def detail() -> str:
        return str(app.screen.query_one("#detail").render())

    async with console() as (app, host, pilot):
        backtest_screen = await opened(app, pilot)
        await pilot.press("v", "v")
        await pilot.pause()
        assert "4 runs, 2 selected" in "".join(lines(backtest_screen.finished_pane.title))
        await pilot.press("e")
        await pilot.pause()
        assert question() == "Export 2 selected lines of 4 in finished?"
        await pilot.press("escape", "y", "x")
        await pilot.pause()
        assert len(app.clipboard.splitlines()) == 2
        assert "none of the selected: sma-cross BTCUSDT has ended (done)" in toasts(app)

        started = replace(backtests()[0], run_id="bt-10")
        host.swap(replace(snapshot(), backtests=(started, *backtests())), "backtests")
        await pilot.press("s")
        await pilot.pause()
        assert question() == "Start again 2 backtests?" and app.focused is not None
        assert app.focused.id == "answer-no"
        assert "breakout ETHUSDT: is done, runs again from 2024-01-01 to 2024-01-31" in detail()
        newer = replace(started, run_id="bt-11")
        host.swap(replace(snapshot(), backtests=(newer, started, *backtests())), "backtests")
        await pilot.press("y")
        await pilot.pause()
        assert host.commands == ["again bt-6", "again bt-5"]
        assert backtest_screen.finished.marked == ()
        assert backtest_screen.running.has_focus, "the keys go along to what was started"
        assert backtest_screen.running.current == newer

        host.commands.clear()
        stopping = replace(backtests()[2], status="stopping")
        tests = (*backtests()[:2], stopping, *backtests()[3:])
        host.swap(replace(snapshot(), backtests=tests), "backtests")
        await pilot.press("V", "x")
        await pilot.pause()
        assert question() == "Stop 2 backtests?"
        assert "rsi-reversion SOLUSDT: has not begun, leaves the queue" in detail()
        assert "breakout ETHUSDT: has done 63.4 %, ends" in detail()
        assert "left alone: sma-cross BTCUSDT is stopping already" in detail()
        ended = replace(backtests()[1], status="done", outcome=outcome(5))
        host.swap(replace(snapshot(), backtests=(tests[0], ended, *tests[2:])), "backtests")
        await pilot.press("y")
        await pilot.pause()
        assert host.commands == ["stop bt-9"]
        assert "1 of 2 done; breakout ETHUSDT has moved on: nothing done" in toasts(app)

        host.only_shows = True
        await pilot.press("tab", "tab", "x", "s")
        await pilot.pause()
        assert {"run.stop", "run.again"} <= greyed(app) and host.commands == ["stop bt-9"]
        assert toasts(app).count("read-only: act where the runs are running") == 2


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


async def test_an_end_moves_nothing_for_who_is_elsewhere() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("5", "tab", "j", "tab")
        assert screen(app).running.current == backtests()[1]
        ended = replace(backtests()[1], status="done", outcome=outcome(5))
        tests = (backtests()[0], ended, *backtests()[2:])
        host.swap(replace(snapshot(), backtests=tests), "backtests")
        await pilot.pause()
        assert screen(app).finished.current == backtests()[3]
        assert len(screen(app).finished.rows) == 5
