"""Every key of the footer against the real engine on the demo's simulated market."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual import events
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input

from console.app import SignaldeckApp
from console.demo import demo_plan
from console.views import BacktestView, InstanceView
from engine.runs.workers import WorkerPool
from screens.backtests import BacktestsScreen
from screens.confirm import ConfirmDialog
from screens.deck import DeckScreen
from screens.detail import DetailDialog
from screens.help import HelpDialog
from screens.instance import InstanceScreen
from screens.new_run import NewRunForm
from screens.performance import PerformanceScreen
from screens.quit import DrainDialog
from screens.result import ResultScreen
from screens.scheduled import ScheduledScreen
from screens.signals import SignalsScreen
from screens.text import percent
from screens.widgets.header_line import HeaderLine
from tests.console.host_bed import Watcher, running
from tests.screens.bed import LARGE, SMALL, lines, toasts, until

FAST = 1_200.0
"""A simulated hour in three seconds."""


@asynccontextmanager
async def trading(
    *, live: bool = True, size: tuple[int, int] = LARGE, strategies: str | None = None
) -> AsyncIterator[tuple[SignaldeckApp, Watcher, Pilot[None]]]:
    """The app on a running engine."""
    WorkerPool.start_forkserver()
    plan = demo_plan(speed=FAST, live=live, max_workers=1, strategies=strategies)
    with running(plan) as watch:
        app = SignaldeckApp(watch.host)
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            yield app, watch, pilot


async def type_in(pilot: Pilot[None], text: str) -> None:
    """Replace what the input with the focus holds."""
    await pilot.press("ctrl+u")
    assert isinstance(pilot.app.focused, Input)
    pilot.app.focused.post_message(events.Paste(text))
    await pilot.pause()


def instance(app: SignaldeckApp, symbol: str) -> InstanceView | None:
    views = app.host.snapshot.instances
    return next((view for view in views if view.symbol == symbol), None)


async def start_live(app: SignaldeckApp, pilot: Pilot[None], symbol: str) -> None:
    """Fill in the New-run form and start sma-cross on a symbol."""
    await pilot.press("1", "n")
    await until(pilot, lambda: isinstance(app.screen, NewRunForm))
    await type_in(pilot, "sma-cross")
    await pilot.press("tab", "tab")
    await type_in(pilot, symbol)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, DeckScreen))


async def start_backtest(
    app: SignaldeckApp, pilot: Pilot[None], strategy: str, start: str, end: str
) -> BacktestsScreen:
    """Fill in the New-run form and start a backtest on BTCUSDT."""
    await pilot.press("5", "n")
    await until(pilot, lambda: isinstance(app.screen, NewRunForm))
    await type_in(pilot, strategy)
    for text in ("simulated", "BTCUSDT", start, end):
        await pilot.press("tab")
        await type_in(pilot, text)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, BacktestsScreen))
    screen = app.screen
    assert isinstance(screen, BacktestsScreen)
    return screen


def newest(app: SignaldeckApp) -> BacktestView:
    return app.host.snapshot.backtests[0]


async def test_the_deck_fills_by_itself_and_its_keys_work() -> None:
    async with trading() as (app, _, pilot):
        deck = app.screen
        assert isinstance(deck, DeckScreen)
        await until(pilot, lambda: deck.feed.rows and deck.instances.current)
        head = "\n".join(lines(app.screen.query_one(HeaderLine)))
        assert "SIMULATED x1200" in head and "8 running" in head
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, InstanceScreen))
        opened = app.screen
        assert isinstance(opened, InstanceScreen)
        await until(pilot, lambda: opened.chart.bars.close)
        assert "UTC" in lines(opened.chart)[-1] and opened.detail is not None
        first = opened.chart.bars.opened[-1]
        await until(pilot, lambda: opened.chart.bars.opened[-1] > first)
        await pilot.press("escape", "y")
        await until(pilot, lambda: app.clipboard)
        assert app.clipboard.split("\t")[1] == "BTCUSDT"
        await pilot.press("tab")
        await until(pilot, lambda: deck.feed.has_focus)
        await pilot.press("j")
        held = deck.feed.current
        await until(pilot, lambda: (deck.feed.waiting or 0) > 0)
        assert deck.feed.current == held, "signals arrived, nothing moved"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DetailDialog))
        await pilot.press("enter", "g")
        await until(pilot, lambda: deck.feed.following)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpDialog))
        await pilot.press("escape", "ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await pilot.press("escape", "2")
        await until(pilot, lambda: isinstance(app.screen, SignalsScreen))
        feed = app.screen
        assert isinstance(feed, SignalsScreen)
        await until(pilot, lambda: feed.table.rows)
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, ScheduledScreen))
        waiting = app.screen
        assert isinstance(waiting, ScheduledScreen)
        await until(pilot, lambda: waiting.milestones.rows and waiting.ladders.rows)
        await pilot.press("7")
        await until(pilot, lambda: isinstance(app.screen, PerformanceScreen))
        measured = app.screen
        assert isinstance(measured, PerformanceScreen)
        await until(
            pilot,
            lambda: {"live_tick", "engine_lag"} <= {view.name for view in measured.timings.rows},
        )
        await pilot.press("5")
        await until(pilot, lambda: isinstance(app.screen, BacktestsScreen))
        await pilot.press("1")
        await until(pilot, lambda: app.screen is deck and deck.partials.rows)
        await until(pilot, lambda: deck.refusals.rows == app.host.snapshot.rejections)
        await until(pilot, lambda: len(deck.scheduled.rows) == app.host.snapshot.header.scheduled)


async def test_a_live_run_is_started_stopped_and_started_again_by_keyboard() -> None:
    async with trading(live=False) as (app, _, pilot):
        await start_live(app, pilot, "LTCUSDT")
        deck = app.screen
        assert isinstance(deck, DeckScreen)
        await until(pilot, lambda: deck.instances.current is not None)
        assert deck.instances.current is not None
        assert deck.instances.current.symbol == "LTCUSDT", "it appears at once, under the cursor"
        await pilot.press("s")
        await until(pilot, lambda: "sma-cross LTCUSDT is running already" in toasts(app))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("right", "enter")
        await until(pilot, lambda: (v := instance(app, "LTCUSDT")) and v.status == "done")
        await until(pilot, lambda: deck.reason("start_again") == "")
        await pilot.press("s")
        await until(pilot, lambda: (v := instance(app, "LTCUSDT")) and v.status == "running")
        await until(pilot, lambda: "LTCUSDT @ simulated: started" in toasts(app))


async def test_the_form_shows_the_engines_own_words() -> None:
    async with trading(live=False) as (app, _, pilot):
        await start_live(app, pilot, "BTCUSDT")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewRunForm))
        form = app.screen
        assert isinstance(form, NewRunForm)
        await pilot.press("enter")
        await until(pilot, lambda: "already running" in str(form.status.render()))
        await pilot.press("tab", "tab")
        await type_in(pilot, "GOLD")
        await until(pilot, lambda: "GOLD" in form.fields["symbol"].error)
        assert "use one of" in form.fields["symbol"].error
        assert form.choices.rows == ()
        await type_in(pilot, "ETH")
        await until(pilot, lambda: [row.name for row in form.choices.rows] == ["ETHUSDT"])
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
async def test_a_backtest_is_launched_by_keyboard_and_its_result_read(
    size: tuple[int, int],
) -> None:
    async with trading(live=False, size=size) as (app, _, pilot):
        screen = await start_backtest(app, pilot, "breakout", "2025-07-01", "2025-07-02T23:59")
        await until(pilot, lambda: screen.finished.current is not None)
        view = newest(app)
        outcome = view.outcome
        assert outcome is not None and view.status == "done" and len(outcome.trades) > 0
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ResultScreen))
        result = app.screen
        assert isinstance(result, ResultScreen)
        await until(pilot, lambda: result.statistics.rows)
        text = "\n".join(lines(result.statistics))
        assert percent(outcome.statistics.total_pnl) in text
        assert f"{outcome.statistics.win_rate:.1f}" in text
        await pilot.press("tab", "tab")
        await until(pilot, lambda: result.trades.has_focus)
        assert len(result.trades.rows) == len(outcome.trades)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DetailDialog))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("s")
        await until(pilot, lambda: newest(app).run_id != view.run_id)
        await until(pilot, lambda: newest(app).outcome is not None)
        await until(pilot, lambda: screen.finished.current == newest(app))
        again = newest(app).outcome
        assert again is not None and again.statistics == outcome.statistics


async def test_a_running_backtest_is_stopped_by_keyboard() -> None:
    async with trading(live=False) as (app, _, pilot):
        screen = await start_backtest(app, pilot, "rsi-reversion", "2019-01-01", "2025-01-01")
        await until(pilot, lambda: screen.running.current and screen.running.has_focus)
        await until(pilot, lambda: newest(app).progress > 0)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("y")
        await until(pilot, lambda: newest(app).status == "stopped")
        await until(pilot, lambda: screen.finished.has_focus)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ResultScreen))


async def test_quit_drains_and_leaves() -> None:
    async with trading() as (app, watch, pilot):
        await until(pilot, lambda: app.host.snapshot.header.open > 0)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))
        await pilot.press("q", "right", "right", "enter")
        await until(pilot, lambda: isinstance(app.screen, DrainDialog) or not app.is_running)
        await until(pilot, lambda: not app.is_running, tries=1_200)
        shot = watch.host.snapshot
        assert {view.status for view in shot.instances} == {"done"} and shot.header.open == 0
