from __future__ import annotations

import re
from concurrent.futures import Future
from dataclasses import replace

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from console.app import SignaldeckApp
from console.views import FieldError, RunRequest
from screens.backtests import BacktestsScreen
from screens.deck import DeckScreen
from screens.last_runs import last_run
from screens.new_run import NewRunForm
from screens.sample import SampleHost, snapshot
from screens.walkers import WalkersScreen
from tests.screens.album import painting as painting
from tests.screens.bed import SMALL, console, lines, toasts, until

pytestmark = pytest.mark.usefixtures("painting")
"""Nobody looks at the terminal: what is drawn is asked of the widgets."""


def form(app: SignaldeckApp) -> NewRunForm:
    assert isinstance(app.screen, NewRunForm)
    return app.screen


async def fill(pilot: Pilot[None], text: str) -> None:
    """Replace what the field with the focus holds."""
    focused = pilot.app.focused
    assert isinstance(focused, Input)
    focused.select_all()
    focused.post_message(events.Paste(text))
    await pilot.pause()


def said(app: SignaldeckApp, field: str) -> str:
    """What stands below a field."""
    parts = form(app).fields[field].query("FieldMessage")
    return "".join(line for part in parts for line in lines(part)).strip()


def status(app: SignaldeckApp) -> str:
    """What stands below the fields."""
    return str(form(app).status.render())


def choices(app: SignaldeckApp) -> list[str]:
    return [line.removeprefix("▸").strip() for line in lines(form(app).choices)[1:] if line.strip()]


def names(app: SignaldeckApp) -> list[str]:
    """The first word of every choice."""
    return [row.split()[0] for row in choices(app)]


def is_whole(app: SignaldeckApp) -> bool:
    """Whether no hint is cut and the field with the focus is in sight with what is below it."""
    shown = form(app)
    keys = shown.query_one("#hint")
    if keys.size.width < len(str(keys.render())):
        return False
    cut = any(field.display and field.hint_is_cut for field in shown.fields.values())
    seen = shown.query_one("#fields").region
    return not cut and seen.contains_region(shown.fields[shown.current].region)


async def on_deck(app: SignaldeckApp, pilot: Pilot[None]) -> DeckScreen:
    await until(pilot, lambda: isinstance(app.screen, DeckScreen))
    assert isinstance(app.screen, DeckScreen)
    return app.screen


async def test_it_opens_filled_in_and_starts_a_live_run_of_each_symbol() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("n")
        first = RunRequest("live", "sma-cross", "ADAUSDT", "simulated", "", "", "1m")
        assert form(app).request() == first
        await pilot.press("enter")
        deck = await on_deck(app, pilot)
        assert host.commands == ["start live sma-cross ADAUSDT"]
        await until(pilot, lambda: deck.instances.current is not None)
        assert deck.instances.current is not None
        assert deck.instances.current.instance_id == "live-new", "the cursor is on the new run"
        assert "live run of sma-cross on ADAUSDT" in toasts(app)

        await pilot.press("n", "tab", "tab")
        await fill(pilot, "btc")
        await pilot.press("tab", "shift+tab", "end", "comma", "e")
        assert names(app) == ["ETHUSDT"]
        await pilot.press("down")
        assert form(app).request().symbol == "BTCUSDT, ETHUSDT"
        await pilot.press("comma")
        assert "BTCUSDT" not in " ".join(choices(app)), "what is chosen is no choice any more"
        await pilot.press("enter")
        await on_deck(app, pilot)
        assert host.commands[1:] == [
            "start live sma-cross BTCUSDT", "start live sma-cross ETHUSDT",
        ]  # fmt: skip
        assert "2 live runs of sma-cross on BTCUSDT, ETHUSDT" in toasts(app)
        await pilot.press("n")
        assert form(app).request().symbol == "BTCUSDT, ETHUSDT"
        assert last_run(host.memory, "live") == form(app).request()
        host.memory.remember("form.live", {"kind": "live"})
        assert last_run(host.memory, "live") is None, "of another version"

        only, start = "SOLUSDT is refused", host.start_run

        def some(request: RunRequest) -> Future[str]:
            host.refusal = only if request.symbol == "SOLUSDT" else ""
            return start(request)

        host.start_run = some
        await pilot.press("tab", "tab")
        await fill(pilot, "SOLUSDT, XRPUSDT")
        await pilot.press("enter")
        await on_deck(app, pilot)
        assert host.commands[-1] == "start live sma-cross XRPUSDT"
        assert only in toasts(app) and "live run of sma-cross on XRPUSDT" in toasts(app)


async def start_a_backtest(app: SignaldeckApp, host: SampleHost, pilot: Pilot[None]) -> None:
    """From the deck, by turning the kind; then again from its own screen."""
    await pilot.press("n")
    frame = ("start", "end", "interval")
    await until(pilot, lambda: is_whole(app))
    assert not any(form(app).fields[name].display for name in frame)
    await pilot.press("shift+tab", "space")
    assert all(form(app).fields[name].display for name in frame)
    await pilot.press("tab")
    await fill(pilot, "break")
    await pilot.press("tab", "tab")
    for text in ("ETH", "2024-01-05", "2024-01-20T12:00", "5m"):
        await fill(pilot, text)
        await pilot.press("tab")
        await until(pilot, lambda: is_whole(app))
    wanted = RunRequest(
        "backtest", "breakout", "ETHUSDT", "simulated", "2024-01-05", "2024-01-20T12:00", "5m"
    )
    assert form(app).request() == wanted
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, BacktestsScreen))
    assert host.commands == ["start backtest breakout ETHUSDT"]
    tests = app.screen
    assert isinstance(tests, BacktestsScreen)
    await until(pilot, lambda: tests.running.has_focus)
    assert tests.running.current is not None and tests.running.current.run_id == "bt-new"
    await pilot.press("n")
    assert form(app).request() == wanted, "the last run of the screen's kind"
    await pilot.press("escape", "1", "n")
    assert form(app).request().kind == "live"
    assert form(app).request().strategy_name == "sma-cross"
    await pilot.press("escape")


async def start_a_walker(app: SignaldeckApp, host: SampleHost, pilot: Pilot[None]) -> None:
    await pilot.press("6", "n")
    request = form(app).request()
    assert (request.strategy_name, request.symbol, request.interval) == (
        "sma-grid", "BTCUSDT, ETHUSDT", "5m",
    ), "what the walker is registered with"  # fmt: skip
    await fill(pilot, "sma-cross, bre")
    await pilot.press("tab", "tab")
    await fill(pilot, "BTC")
    for text in ("2024-01-02", "2024-01-05", "15m", "total_p", "window=20,50", "percent_fee=0"):
        await pilot.press("tab")
        await fill(pilot, text)
        await until(pilot, lambda: is_whole(app))
    assert form(app).query_one("#fields").scroll_y > 0, "there is not room for all of a walker's"
    assert form(app).fields["settings"].region.bottom <= SMALL[1] - 4, "scrolled into sight"
    assert form(app).request() == RunRequest(
        "walker", "", "BTCUSDT", "simulated", "2024-01-02", "2024-01-05", "15m",
        ("sma-cross", "breakout"), "total_pnl", "window=20,50", "percent_fee=0",
    )  # fmt: skip
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, WalkersScreen))
    assert host.commands[1:] == ["start walker sma-cross+breakout BTCUSDT"]


async def test_every_other_kind_is_started_by_keyboard_alone() -> None:
    async with console(size=SMALL) as (app, host, pilot):
        await start_a_backtest(app, host, pilot)
        await start_a_walker(app, host, pilot)
        walkers = app.screen
        assert isinstance(walkers, WalkersScreen)
        await until(pilot, lambda: (v := walkers.current_view()) and v.run_id == "walker-new")
        await pilot.press("n", "shift+tab", "right")
        assert form(app).request() == RunRequest("optimizer", "trend", "BTCUSDT", "")
        await until(pilot, lambda: is_whole(app))
        await pilot.press("enter")
        await until(pilot, lambda: walkers.optimizers.has_focus)
        assert host.commands[-1] == "start optimizer trend BTCUSDT"
        assert walkers.optimizers.current is not None
        assert walkers.optimizers.current.run_id == "optimizer-new"
        await pilot.press("n", "shift+tab", "left", "left")
        again = form(app).request()
        assert (again.kind, again.strategy_name, again.exchange_name) == (
            "live", "breakout", "simulated",
        ), "what the backtest between them ran last"  # fmt: skip


async def test_choices_narrow_while_typing_and_the_engine_says_what_is_wrong() -> None:
    async with console(size=SMALL) as (app, host, pilot):
        await pilot.press("n")
        assert names(app) == ["breakout", "rsi-reversion", "sma-cross", "!"]
        await fill(pilot, "r")
        assert names(app) == ["breakout", "rsi-reversion", "sma-cross"]
        await fill(pilot, "RS")
        assert names(app) == ["rsi-reversion"]
        await pilot.press("tab")
        assert form(app).request().strategy_name == "rsi-reversion", "tab completes"
        await pilot.press("shift+tab", "up")
        assert form(app).request().strategy_name == "breakout"
        await pilot.press("down", "down", "down", "down")
        assert form(app).request().strategy_name == "sma-cross"

        assert choices(app)[-1].startswith("! typo.py")
        await until(pilot, lambda: "typo.py:12: SyntaxError" in status(app))
        await pilot.click(form(app).choices, offset=(4, 4))
        assert form(app).request().strategy_name == "sma-cross", "a broken one is no choice"
        await pilot.click(form(app).choices, offset=(4, 1))
        assert form(app).request().strategy_name == "breakout"

        await fill(pilot, "nobody")
        await until(pilot, lambda: said(app, "strategy_name").startswith("!"))
        assert "strategy 'nobody' is not registered" in said(app, "strategy_name")
        assert status(app).endswith("use one of breakout, rsi-reversion, sma-cross")
        await pilot.press("enter")
        await until(pilot, lambda: "not started" in status(app))
        await fill(pilot, "breakout")
        await until(pilot, lambda: "retest" in said(app, "strategy_name"))
        await pilot.press("escape", "5", "n", "tab", "tab", "tab")
        await fill(pilot, "2024-12-01")
        await pilot.press("shift+tab", "shift+tab", "enter")
        await until(pilot, lambda: form(app).fields["start"].control.has_focus)
        assert said(app, "start").startswith("! start 2024-12-01 is after end")
        whole = "not started, 1 problem: start 2024-12-01 is after end 2024-03-05: exchange them"
        await until(pilot, lambda: status(app) == whole)
        assert host.commands == []


async def test_frames_fit_the_exchange_and_keys_that_arrive_at_once_go_to_their_fields() -> None:
    async with console() as (app, _, pilot):
        for key in ("5", "n", "tab", "tab", "ctrl+u", *"eth", "tab", "ctrl+u", *"2024-01-05",
                    "tab", *"2024-01-09", "tab"):  # fmt: skip
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(
            pilot,
            lambda: isinstance(app.screen, NewRunForm) and form(app).request().end == "2024-01-09",
        )
        request = form(app).request()
        assert (request.kind, request.symbol, request.start) == (
            "backtest", "ETHUSDT", "2024-01-05",
        )  # fmt: skip
        await pilot.press("escape", "n", "tab")
        first = form(app).request()
        assert (first.kind, first.start, first.end) == ("backtest", "2024-02-27", "2024-03-05")
        await fill(pilot, "january")
        await pilot.press("tab", "tab")
        await until(pilot, lambda: form(app).fields["start"].control.has_focus)
        assert [re.split("  +", row) for row in choices(app)] == [
            ["last 7 days", "2024-01-25 to 2024-02-01"],
            ["last 30 days", "2024-01-02 to 2024-02-01"],
            ["whole history", "2024-01-01 to 2024-02-01"],
        ]
        await pilot.press("down", "down", "down")
        request = form(app).request()
        assert (request.start, request.end) == ("2024-01-01", "2024-02-01")
        assert request.symbol == "BTCUSDT", "the symbol follows the exchange while untouched"


async def test_it_is_left_without_starting_refused_and_started_by_the_button() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("n", "escape")
        assert isinstance(app.screen, DeckScreen)
        await pilot.press("n")
        catalog = snapshot().catalog
        more = (*catalog.strategies, replace(catalog.strategies[0], name="zigzag"))
        host.swap(replace(snapshot(), catalog=replace(catalog, strategies=more)), "catalog")
        await pilot.pause()
        assert any(row.startswith("zigzag") for row in choices(app)), "new, and in the open form"
        await pilot.press("tab", "down")
        assert form(app).request().exchange_name == "simulated"
        assert any("recorded bars only" in row for row in choices(app)), "no choice for a live run"
        await pilot.click("#cancel")
        assert isinstance(app.screen, DeckScreen) and host.commands == []

        host.refusal = "live sma-cross ADAUSDT @ simulated is already running"
        await pilot.press("n", "enter")
        await until(pilot, lambda: "not started" in status(app))
        assert "is already running" in status(app)
        host.refusal = ""
        await pilot.press("tab", "tab", "tab", "enter")
        await on_deck(app, pilot)
        assert host.commands[-1] == "start live sma-cross ADAUSDT"


async def test_only_the_newest_answer_counts_and_enter_twice_starts_one_run() -> None:
    async with console() as (app, host, pilot):
        asked: list[tuple[RunRequest, Future[tuple[FieldError, ...]]]] = []

        def check(request: RunRequest) -> Future[tuple[FieldError, ...]]:
            asked.append((request, Future()))
            return asked[-1][1]

        host.check = check
        await pilot.press("n")
        await until(pilot, lambda: asked)
        asked[-1][1].set_result(())
        await fill(pilot, "first")
        await until(pilot, lambda: asked[-1][0].strategy_name == "first")
        await fill(pilot, "second")
        asked[-1][1].set_result((FieldError("strategy_name", "about the first"),))
        await until(pilot, lambda: asked[-1][0].strategy_name == "second")
        await pilot.pause()
        assert "about the first" not in said(app, "strategy_name")
        asked[-1][1].set_result((FieldError("strategy_name", "about the second"),))
        await until(pilot, lambda: "about the second" in said(app, "strategy_name"))
        await pilot.press("escape")

        slow: Future[tuple[FieldError, ...]] = Future()
        host.check = lambda request: slow
        await pilot.press("n", "enter", "enter", "escape", "enter")
        assert isinstance(app.screen, NewRunForm), "one start is on its way"
        slow.set_result(())
        await on_deck(app, pilot)
        assert host.commands == ["start live sma-cross ADAUSDT"]
