from __future__ import annotations

import re
from concurrent.futures import Future
from dataclasses import replace

from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from console.app import SignaldeckApp
from console.views import FieldError, RunRequest
from screens.backtests import BacktestsScreen
from screens.deck import DeckScreen
from screens.last_runs import last_run
from screens.new_run import NewRunForm
from screens.sample import snapshot
from screens.walkers import WalkersScreen
from tests.screens.bed import SMALL, console, lines, toasts, until


def form(app: SignaldeckApp) -> NewRunForm:
    assert isinstance(app.screen, NewRunForm)
    return app.screen


async def fill(pilot: Pilot[None], text: str) -> None:
    """Replace what the field with the focus holds."""
    await pilot.press("ctrl+u")
    focused = pilot.app.focused
    assert isinstance(focused, Input)
    focused.post_message(events.Paste(text))
    await pilot.pause()


def said(app: SignaldeckApp, field: str) -> str:
    """What stands below a field."""
    parts = form(app).fields[field].query("FieldMessage")
    return "".join(line for part in parts for line in lines(part)).strip()


def choices(app: SignaldeckApp) -> list[str]:
    return [line.removeprefix("▸").strip() for line in lines(form(app).choices)[1:] if line.strip()]


async def test_it_opens_filled_in_and_enter_starts_a_live_run() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("n")
        await pilot.pause()
        assert form(app).request() == RunRequest(
            "live", "sma-cross", "ADAUSDT", "simulated", "", "", "1m"
        )
        await pilot.press("enter")
        await pilot.pause()
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))
        assert host.commands == ["start live sma-cross ADAUSDT"]
        deck = app.screen
        assert isinstance(deck, DeckScreen)
        await until(pilot, lambda: deck.instances.current is not None)
        assert deck.instances.current is not None
        assert deck.instances.current.instance_id == "live-new", "the cursor is on the new run"
        assert "live run of sma-cross on ADAUSDT" in toasts(app)


async def test_a_backtest_is_started_by_keyboard_alone() -> None:
    async with console(size=SMALL) as (app, host, pilot):
        await pilot.press("n", "shift+tab", "right", "tab")
        await pilot.press("ctrl+u", *"break", "tab", "tab")
        await fill(pilot, "ETH")
        await pilot.press("tab")
        await fill(pilot, "2024-01-05")
        await pilot.press("tab")
        await fill(pilot, "2024-01-20T12:00")
        await pilot.press("tab")
        await fill(pilot, "5m")
        assert form(app).request() == RunRequest(
            "backtest", "breakout", "ETHUSDT", "simulated", "2024-01-05", "2024-01-20T12:00", "5m"
        )
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, BacktestsScreen))
        assert host.commands == ["start backtest breakout ETHUSDT"]
        tests = app.screen
        assert isinstance(tests, BacktestsScreen)
        await until(pilot, lambda: tests.running.has_focus)
        assert tests.running.current is not None and tests.running.current.run_id == "bt-new"


async def test_it_opens_with_the_kind_of_the_screen_and_the_last_run_of_that_kind() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("5", "n")
        await pilot.pause()
        first = form(app).request()
        assert (first.kind, first.start, first.end) == ("backtest", "2024-02-27", "2024-03-05")
        await fill(pilot, "rsi-reversion")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, BacktestsScreen))
        await pilot.press("n")
        await pilot.pause()
        assert form(app).request() == replace(first, strategy_name="rsi-reversion")
        await pilot.press("escape", "1", "n")
        await pilot.pause()
        assert form(app).request().kind == "live"
        assert form(app).request().strategy_name == "sma-cross"


async def test_typing_narrows_the_choices_and_arrows_take_one() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("n")
        await pilot.pause()
        assert [row.split()[0] for row in choices(app)] == [
            "breakout", "rsi-reversion", "sma-cross", "!",
        ]  # fmt: skip
        await fill(pilot, "r")
        assert [row.split()[0] for row in choices(app)] == [
            "breakout",
            "rsi-reversion",
            "sma-cross",
        ]
        await fill(pilot, "RS")
        assert [row.split()[0] for row in choices(app)] == ["rsi-reversion"]
        await pilot.press("tab")
        assert form(app).request().strategy_name == "rsi-reversion", "tab completes"
        await pilot.press("shift+tab", "up")
        assert form(app).request().strategy_name == "breakout"
        await pilot.press("down", "down", "down", "down")
        assert form(app).request().strategy_name == "sma-cross"


async def test_a_broken_strategy_is_listed_with_its_error_and_cannot_be_chosen() -> None:
    async with console(size=SMALL) as (app, _, pilot):
        await pilot.press("n", "down", "down", "down", "down")
        await pilot.pause()
        assert form(app).request().strategy_name == "sma-cross"
        assert choices(app)[-1].startswith("! typo.py")
        assert "typo.py:12: SyntaxError" in str(form(app).status.render())
        await pilot.click(form(app).choices, offset=(4, 4))
        assert form(app).request().strategy_name == "sma-cross"
        await pilot.click(form(app).choices, offset=(4, 1))
        await pilot.pause()
        assert form(app).request().strategy_name == "breakout"


async def test_messages_of_the_engine_appear_below_the_field_while_typing() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("n")
        await fill(pilot, "nobody")
        await until(pilot, lambda: said(app, "strategy_name").startswith("!"))
        assert "strategy 'nobody' is not registered" in said(app, "strategy_name")
        whole = str(form(app).status.render())
        assert whole.endswith("use one of breakout, rsi-reversion, sma-cross")
        await pilot.press("enter")
        await until(pilot, lambda: "not started" in str(form(app).status.render()))
        assert host.commands == []
        await fill(pilot, "breakout")
        await until(pilot, lambda: "retest" in said(app, "strategy_name"))


async def test_a_refused_start_puts_the_cursor_on_the_first_wrong_field() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("5", "n", "tab", "tab", "tab")
        await fill(pilot, "2024-12-01")
        await pilot.press("shift+tab", "shift+tab", "enter")
        await until(pilot, lambda: form(app).fields["start"].control.has_focus)
        assert said(app, "start").startswith("! start 2024-12-01 is after end 2024-03-05")
        status = "not started, 1 problem: start 2024-12-01 is after end 2024-03-05: exchange them"
        await until(pilot, lambda: str(form(app).status.render()) == status)
        assert host.commands == []


async def test_several_symbols_start_a_run_each_and_the_last_run_is_kept() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("n", "tab", "tab")
        await fill(pilot, "btc")
        await pilot.press("tab", "shift+tab", "end", "comma", "e")
        await pilot.pause()
        assert [row.split()[0] for row in choices(app)] == ["ETHUSDT"]
        await pilot.press("down")
        assert form(app).request().symbol == "BTCUSDT, ETHUSDT"
        await pilot.press("comma")
        await pilot.pause()
        assert "BTCUSDT" not in " ".join(choices(app)), "what is chosen is no choice any more"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))
        assert host.commands == ["start live sma-cross BTCUSDT", "start live sma-cross ETHUSDT"]
        assert "2 live runs of sma-cross on BTCUSDT, ETHUSDT" in toasts(app)
        await pilot.press("n")
        await pilot.pause()
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
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))
        assert host.commands[-1] == "start live sma-cross XRPUSDT"
        assert only in toasts(app) and "live run of sma-cross on XRPUSDT" in toasts(app)


async def test_a_walker_and_an_optimizer_are_started_by_keyboard_alone() -> None:
    async with console(size=SMALL) as (app, host, pilot):
        await pilot.press("6", "n")
        await pilot.pause()
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
        assert form(app).fields["settings"].region.bottom <= SMALL[1] - 4, "scrolled into sight"
        assert form(app).request() == RunRequest(
            "walker", "", "BTCUSDT", "simulated", "2024-01-02", "2024-01-05", "15m",
            ("sma-cross", "breakout"), "total_pnl", "window=20,50", "percent_fee=0",
        )  # fmt: skip
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, WalkersScreen))
        assert host.commands == ["start walker sma-cross+breakout BTCUSDT"]
        walkers = app.screen
        assert isinstance(walkers, WalkersScreen)
        await until(pilot, lambda: (v := walkers.current_view()) and v.run_id == "walker-new")
        await pilot.press("n", "shift+tab", "right")
        await pilot.pause()
        assert form(app).request() == RunRequest("optimizer", "trend", "BTCUSDT", "")
        await pilot.press("enter")
        await until(pilot, lambda: walkers.optimizers.has_focus)
        assert host.commands[-1] == "start optimizer trend BTCUSDT"
        assert walkers.optimizers.current is not None
        assert walkers.optimizers.current.run_id == "optimizer-new"
        await pilot.press("n", "shift+tab", "left", "left")
        await pilot.pause()
        again = form(app).request()
        assert (again.kind, again.strategy_name, again.exchange_name) == (
            "live", "sma-cross", "simulated",
        )  # fmt: skip


async def test_keys_that_arrive_at_once_go_to_their_fields() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("5", "n", "tab", "tab", "ctrl+u")
        for key in ("e", "t", "h", "tab", *"2024-01-05", "tab", *"2024-01-09", "tab"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: form(app).request().end == "2024-01-09")
        request = form(app).request()
        assert (request.symbol, request.start) == ("ETHUSDT", "2024-01-05")


async def test_dates_have_presets_that_fit_the_exchange() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("5", "n", "tab")
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


async def test_frame_fields_belong_to_backtests() -> None:
    async with console(size=SMALL) as (app, _, pilot):
        await pilot.press("n")
        await pilot.pause()
        assert not any(form(app).fields[name].display for name in ("start", "end", "interval"))
        await pilot.press("shift+tab", "space")
        await pilot.pause()
        assert all(form(app).fields[name].display for name in ("start", "end", "interval"))
        assert form(app).request().kind == "backtest"


async def test_it_is_left_without_starting_refused_and_started_by_the_button() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("n", "escape")
        await pilot.pause()
        assert isinstance(app.screen, DeckScreen)
        await pilot.press("n")
        await pilot.pause()
        catalog = snapshot().catalog
        more = (*catalog.strategies, replace(catalog.strategies[0], name="zigzag"))
        host.swap(replace(snapshot(), catalog=replace(catalog, strategies=more)), "catalog")
        await pilot.pause()
        assert any(row.startswith("zigzag") for row in choices(app)), "new, and in the open form"
        await pilot.press("tab", "down")
        await pilot.pause()
        assert form(app).request().exchange_name == "simulated"
        assert any("recorded bars only" in row for row in choices(app)), "no choice for a live run"
        await pilot.click("#cancel")
        await pilot.pause()
        assert isinstance(app.screen, DeckScreen) and host.commands == []

        host.refusal = "live sma-cross ADAUSDT @ simulated is already running"
        await pilot.press("n", "enter")
        await until(pilot, lambda: "not started" in str(form(app).status.render()))
        assert "is already running" in str(form(app).status.render())
        host.refusal = ""
        await pilot.press("tab", "tab", "tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))
        assert host.commands[-1] == "start live sma-cross ADAUSDT"


async def test_enter_twice_starts_one_run() -> None:
    async with console() as (app, host, pilot):
        slow: Future[tuple[FieldError, ...]] = Future()
        host.check = lambda request: slow
        await pilot.press("n", "enter", "enter", "escape", "enter")
        assert isinstance(app.screen, NewRunForm), "one start is on its way"
        slow.set_result(())
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))
        assert host.commands == ["start live sma-cross ADAUSDT"]


async def test_an_answer_to_an_older_question_is_not_shown() -> None:
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
