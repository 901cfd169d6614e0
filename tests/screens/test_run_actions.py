"""Close now, cancel, stop all, close all: what is asked, what has to be typed, what is refused."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import replace

import pytest
from textual.events import Key
from textual.widgets import Button, Input

from console.views import DeckSnapshot, InstanceView, Quote
from screens.confirm import ConfirmDialog
from screens.deck import DeckScreen
from screens.run_actions import run_refusal
from screens.sample import empty_snapshot, snapshot
from screens.typed import TypedDialog
from tests.screens.bed import LARGE, SMALL, console, toasts, until


def detail(app: object) -> str:
    return str(app.screen.query_one("#detail").render())  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_close_now_wants_the_symbol_typed(size: tuple[int, int]) -> None:
    async with console(size=size) as (app, host, pilot):
        await pilot.press("X")
        await pilot.pause()
        assert isinstance(app.screen, TypedDialog)
        assert app.focused is not None and app.focused.id == "no"
        assert "It books about 43,391.07, the newest close at" in detail(app)
        assert app.screen.query_one("#yes", Button).disabled
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, DeckScreen) and host.commands == []
        await pilot.press("X", *"BTC", "enter")
        await pilot.pause()
        assert isinstance(app.screen, TypedDialog), "enter behind half a word is nothing"
        await pilot.press(*"USDT")
        assert app.screen.query_one(Input).value == "BTCUSDT"
        assert not app.screen.query_one("#yes", Button).disabled
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, DeckScreen) and host.commands == ["close live-1"]
        assert "closed at 61,234.5" in toasts(app)


async def test_enter_finds_the_button_that_was_gone_to_however_fast() -> None:
    async with console(size=SMALL) as (app, host, pilot):
        for turns in range(8):
            await pilot.press("x")
            await pilot.pause()
            assert isinstance(app.screen, ConfirmDialog)
            app.post_message(Key("right", None))
            for _ in range(turns):
                await asyncio.sleep(0)
            app.post_message(Key("enter", None))
            await pilot.pause()
            await pilot.pause()
            assert isinstance(app.screen, DeckScreen)
            assert host.commands == ["stop live-1"] * (turns + 1)


async def test_letters_come_in_order_however_fast_they_are_typed() -> None:
    async with console(size=SMALL) as (app, host, pilot):
        for turns in range(12):
            await pilot.press("X")
            await pilot.pause()
            for letter in "BTCUSDT":
                app.post_message(Key(letter, letter))
                for _ in range(turns):
                    await asyncio.sleep(0)
            app.post_message(Key("enter", None))
            await pilot.pause()
            await pilot.pause()
            assert isinstance(app.screen, DeckScreen), app.screen.query_one(Input).value
            assert host.commands == ["close live-1"] * (turns + 1)


async def test_what_is_typed_while_the_price_is_asked_for_is_the_answer() -> None:
    async with console(size=SMALL) as (app, host, pilot):
        for marked, answer in ((), "BTCUSDT"), (("v", "v", "v"), "CLOSE 2"):
            await pilot.press("g", *marked)
            asked: list[tuple[str, Future[Quote]]] = []
            quote = host.quote

            def late(run_id: str, asked: list[tuple[str, Future[Quote]]] = asked) -> Future[Quote]:
                asked.append((run_id, Future()))
                return asked[-1][1]

            host.quote = late
            for letter in ("X", *answer, "enter"):
                app.post_message(Key(letter, letter if len(letter) == 1 else None))
            await until(pilot, lambda asked=asked: asked)
            assert isinstance(app.screen, DeckScreen)
            host.quote = quote
            for run_id, future in asked:
                future.set_result(quote(run_id).result())
            await until(pilot, lambda: host.commands)
            assert isinstance(app.screen, DeckScreen) and host.commands[0] == "close live-1"
            assert len(host.commands) == max(1, len(marked) - 1)
            host.commands.clear()


async def test_the_price_moves_an_ended_position_is_not_mistaken_and_a_refusal_is_told() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("X")
        await pilot.pause()
        assert "STALE" not in detail(app)
        views = list(snapshot().instances)
        views[0] = replace(views[0], flags=("stale",), last_price=40_000.0)
        host.swap(replace(snapshot(), instances=tuple(views)), "instances")
        assert isinstance(app.screen, TypedDialog)
        await app.screen.ask_again()
        assert "THE DATA IS STALE: this price is 4m 00s old." in detail(app)
        assert "It books about 40,000.0" in detail(app)
        await pilot.press("escape")
        await pilot.pause()
        assert host.commands == []

        await pilot.press("X", *"BTCUSDT")
        views[0] = replace(views[0], signal_id="the next one")
        host.swap(replace(snapshot(), instances=tuple(views)), "instances")
        await pilot.press("enter")
        await pilot.pause()
        assert host.commands == [] and "does not hold that any more: nothing done" in toasts(app)

        host.refusal = "the run has ended"
        await pilot.press("X", *"BTCUSDT", "enter")
        await pilot.pause()
        assert "close now refused" in toasts(app) and "the run has ended" in toasts(app)


async def test_a_scheduled_signal_is_cancelled_after_a_question() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("c")
        await pilot.pause()
        assert "has no scheduled signal but an open position - X closes it" in toasts(app)
        await pilot.press("j", "j", "c")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmDialog)
        assert app.focused is not None and app.focused.id == "answer-no"
        await pilot.press("y")
        await pilot.pause()
        assert host.commands == ["cancel live-3"]


async def test_stop_all_and_close_all_say_how_many() -> None:
    async with console() as (app, host, pilot):
        running = [v for v in snapshot().instances if v.status == "running"]
        held = [v for v in snapshot().instances if v.position in ("long", "short")]
        await pilot.press("ctrl+x")
        await pilot.pause()
        assert f"Stop {len(running)} live runs?" in str(app.screen.query_one("#question").render())
        await pilot.press("y")
        await pilot.pause()
        await pilot.press("ctrl+k")
        await pilot.pause()
        assert f"Close {len(held)} open positions at market now?" in str(
            app.screen.query_one("#question").render()
        )
        await pilot.press(*"CLOSE", "space", *"ALL", "enter")
        await pilot.pause()
        assert host.commands == [
            "stop " + " ".join(view.instance_id for view in running),
            "close " + " ".join(view.instance_id for view in held),
        ]


async def test_close_all_closes_what_its_question_tells_and_that_moves_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("screens.typed.ASK_SECONDS", 3600.0)  # it looks when it is told to
    held = [v for v in snapshot().instances if v.position in ("long", "short")]

    def with_changes(**changes: dict[str, str]) -> DeckSnapshot:
        views = (replace(v, **changes.get(v.symbol, {})) for v in snapshot().instances)  # type: ignore[arg-type]
        return replace(snapshot(), instances=tuple(views))

    first, second, *others = (view.symbol for view in held)
    async with console(size=SMALL) as (app, host, pilot):
        await pilot.press("ctrl+k")
        await pilot.pause()
        host.swap(with_changes(**{first: {"position": ""}}), "instances")
        assert isinstance(app.screen, TypedDialog)
        await app.screen.ask_again()
        question = str(app.screen.query_one("#question").render())
        assert f"Close {len(held) - 1} open position" in question and first not in detail(app)
        await pilot.press(*"CLOSE", "space", *"ALL")
        # Between the last look and the answer one is another one, and one is new.
        changes = {first: {"signal_id": "new"}, second: {"signal_id": "next"}}
        host.swap(with_changes(**changes), "instances")
        await pilot.press("enter")
        await pilot.pause()
        kept = [view.instance_id for view in held if view.symbol in others]
        assert host.commands == ([f"close {' '.join(kept)}"] if kept else [])
        told = toasts(app)
        assert f"{second} has moved on: nothing done" in told
        assert told.count("opened meanwhile and is still open") == 2


async def test_with_nothing_to_stop_or_close_the_keys_say_so() -> None:
    async with console(empty_snapshot()) as (app, host, pilot):
        await pilot.press("ctrl+x", "ctrl+k")
        await pilot.pause()
        assert "no live run is running" in toasts(app) and "no position is open" in toasts(app)
        assert host.commands == []


@pytest.mark.parametrize(
    ("action", "changes", "reason"),
    [
        ("close_now", {"position": ""}, "has no open position"),
        ("close_now", {"position": "long waiting"}, "its signal waits - {run.cancel} cancels it"),
        ("close_now", {"status": "done"}, "is not running (done)"),
        ("close_now", {"status": "stopping"}, ""),
        ("cancel_signal", {"position": ""}, "has no scheduled signal"),
        ("cancel_signal", {"position": "short waiting"}, ""),
        ("stop_run", {"status": "stopping"}, "is draining already"),
        ("start_again", {}, "is running already"),
    ],
)
def test_reasons(action: str, changes: dict[str, str], reason: str) -> None:
    view = InstanceView("1", "live", "BTCUSDT", "sma", "sim", "running", position="long")
    told = run_refusal(action, replace(view, **changes))  # type: ignore[arg-type]
    assert (reason in told) if reason else told == ""
