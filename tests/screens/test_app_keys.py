from __future__ import annotations

import re
from dataclasses import fields, replace

import pytest
from textual.command import CommandPalette

from console.app import SignaldeckApp
from console.keymap import KEYS, bind, key_sign, keymap_problems
from console.messages import DeckChanged, EngineFailed
from console.views import Versions
from screens.backtests import BacktestsScreen
from screens.base import Explains
from screens.confirm import ConfirmDialog
from screens.deck import DeckScreen
from screens.help import HelpDialog, HelpRow
from screens.new_run import NewRunForm
from screens.quit import DrainDialog
from screens.run_actions import NOT_THERE, READ_ONLY
from screens.sample import SampleHost, empty_snapshot, frozen_clock, snapshot
from screens.widgets.header_line import HeaderLine
from screens.widgets.key_bar import KeyBar
from screens.widgets.line_table import LineTable
from screens.widgets.totals_line import TotalsLine
from tests.screens.bed import LARGE, SMALL, console, greyed, lines, toasts, until


def footer(app: SignaldeckApp) -> list[str]:
    return [item.id for item in app.screen.query_one(KeyBar).shown]


def test_every_binding_has_an_id_and_a_sentence() -> None:
    for key_id, spec in KEYS.items():
        binding = bind(key_id, "something")
        assert binding.id == key_id and binding.tooltip and binding.description
        assert spec.tooltip[0].isupper() and not spec.tooltip.endswith(".")


def test_an_unknown_key_id_cannot_be_bound_or_remapped() -> None:
    with pytest.raises(KeyError):
        bind("run.fly", "fly")
    assert keymap_problems({"run.new": "ctrl+n", "quit": "f10"}) == {}
    (unknown,) = keymap_problems({"run.fly": "f"}).values()
    assert "run.fly" in unknown and "run.new" in unknown
    (empty,) = keymap_problems({"run.new": " , "}).values()
    assert "run.new" in empty and "'n'" in empty


def test_a_key_is_one_thing_only_wherever_it_is_pressed() -> None:
    assert keymap_problems({key_id: spec.keys for key_id, spec in KEYS.items()}) == {}
    for fits in (
        {"run.stop": "n", "run.new": "x"},
        {"run.stop": "ctrl+s", "log.level": "i", "copy": "left"},
        {"dialog.yes": "x", "search": "S"},
    ):
        assert keymap_problems(fits) == {}, fits
    for clash, key, others in (
        ({"run.stop": "n"}, "run.stop", "'run.new' (New run)"),
        ({"about": "f1,?"}, "about", "'help' (Help)"),
        ({"run.stop": "f2", "run.close": "f2"}, "run.stop", "'run.close' (Close now)"),
        ({"search": "l"}, "search", "'log.level' (Level)"),
        ({"dialog.yes": "ctrl+q"}, "dialog.yes", "'quit.always' (Quit)"),
        ({"back": "down"}, "back", "'dialog.next' (Next)"),
    ):
        problems = keymap_problems(clash)
        assert list(problems) == [key] and others in problems[key], problems


def test_keys_are_written_as_people_write_them() -> None:
    assert [key_sign(k) for k in ("question_mark", "escape", "ctrl+p", "j", "up")] == [
        "?", "esc", "^p", "j", "↑",
    ]  # fmt: skip


async def test_all_bindings_in_sight_are_from_the_keymap() -> None:
    async with console() as (app, _, pilot):
        for keys in ((), ("tab",), ("5",), ("enter",)):
            await pilot.press(*keys)
            await pilot.pause()
            for active in app.screen.active_bindings.values():
                binding = active.binding
                if not binding.system and binding.show:
                    assert binding.id in KEYS and binding.tooltip, binding


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_footer_and_help_list_the_keys_in_order_and_why_some_cannot_act(
    size: tuple[int, int],
) -> None:
    async with console(size=size) as (app, _, pilot):
        assert footer(app) == (
            ["open", "run.new", "run.again", "run.stop", "run.close", "help", "quit"]
            if size == SMALL
            else [
                "open", "run.new", "run.again", "run.stop", "run.close", "run.cancel", "mark",
                "export", "report", "pause", "copy", "pane.next", "help", "palette", "quit",
            ]
        )  # fmt: skip
        (line,) = lines(app.screen.query_one(KeyBar))
        assert "n New run" in line and "q Quit" in line
        listed = {a.binding.id for a in app.screen.active_bindings.values() if a.binding.id in KEYS}
        await pilot.click(KeyBar, offset=(line.index("? Help") + 2, 0))
        await pilot.pause()
        assert isinstance(app.screen, HelpDialog), "a click on the footer presses the key"
        rows: tuple[HelpRow, ...] = app.screen.query_one(LineTable).rows
        assert {row.id for row in rows} == listed
        by_id = {row.id: row for row in rows}
        assert by_id["table.down"].keys == "j ↓" and by_id["help"].keys == "?"
        assert by_id["run.again"].why_not == "sma-cross BTCUSDT is running already"
        await pilot.press("j", "j")
        await pilot.pause()
        whole = str(app.screen.query_one("#whole").render())
        assert whole.endswith("not now: sma-cross BTCUSDT is running already")
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, DeckScreen)
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpDialog)
        await pilot.press("escape", "5")
        await pilot.pause()
        assert isinstance(app.screen, BacktestsScreen), "modes are switched by number"
        await pilot.press("enter")
        await pilot.pause()
        assert footer(app) == (
            ["open", "run.new", "report", "copy", "back", "help", "quit"]
            if size == SMALL
            else [
                "open", "run.new", "export", "report", "pause", "copy", "pane.next", "back", "help",
                "about", "palette", "quit",
            ]
        )  # fmt: skip
        await pilot.press("escape", "1")
        await pilot.pause()
        assert isinstance(app.screen, DeckScreen)


async def test_the_footer_shows_what_there_is_room_for_and_always_the_help() -> None:
    async with console(size=(20, 10)) as (app, _, pilot):
        bar = app.screen.query_one(KeyBar)
        most = len(bar.items)
        for width in (20, 40, 60, 100, 130, 160, 230):
            await pilot.resize_terminal(width, 30)
            await pilot.pause()
            shown = footer(app)
            assert {"help", "quit"} <= {*shown} and len(lines(bar)[0]) <= width
            assert shown == [item.id for item in bar.items if item.id in shown], "the order stays"
        assert len(shown) == most and {"mark", "export", "about", "run.stop_all"} <= {*shown}
        for size, told in (
            ((20, 5), "TOO SMALL, 40x12"), ((9, 2), "TOO"), ((80, 9), "TERMINAL TOO SMALL: 80x9"),
        ):  # fmt: skip
            await pilot.resize_terminal(*size)
            await pilot.pause()
            (sums,) = lines(app.screen.query_one(TotalsLine))
            assert size[0] < 15 or re.search(r"open -\d+[.]\d\d %", sums), "no half a figure"
            badge, health = lines(app.screen.query_one(HeaderLine))
            assert told in health and badge.strip().startswith("SIG"), "the badge gives way last"


async def test_the_palette_runs_what_the_keys_do() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert isinstance(app.screen, CommandPalette)
        await pilot.press(*"backtests")
        await app.workers.wait_for_complete()
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, BacktestsScreen)
        await pilot.press("ctrl+p", *"theme: light")
        await app.workers.wait_for_complete()
        await pilot.press("enter")
        await pilot.pause()
        assert app.theme == "signaldeck-light"


async def test_keys_can_be_moved_and_every_text_follows() -> None:
    keymap = {"run.new": "f2", "run.stop": "ctrl+s", "pane.next": "o"}
    async with console(empty_snapshot(), size=SMALL, keymap=keymap) as (app, _, pilot):
        deck = app.screen
        assert isinstance(deck, DeckScreen)
        assert "no live runs - press f2 to start one" in "\n".join(lines(deck.instances))
        (line,) = lines(app.screen.query_one(KeyBar))
        assert "f2 New run" in line and "^s Stop" in line
        assert "o opens it" in "".join(lines(deck.feed_pane.title))
        await pilot.press("n")
        await pilot.pause()
        assert app.screen is deck, "the old key is free"
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "press f2 to start one" in toasts(app)
        await pilot.press("f2")
        await pilot.pause()
        assert isinstance(app.screen, NewRunForm)


async def test_a_console_that_only_follows_promises_nothing_it_cannot_do() -> None:
    host = SampleHost()
    host.only_shows = True
    app = SignaldeckApp(host, frozen_clock=frozen_clock)
    acting = {key_id for key_id in KEYS if key_id.startswith("run.")}
    seen: set[str] = set()
    async with app.run_test(size=LARGE, notifications=True) as pilot:
        for keys in ("1", "2", "3", "4", "5", "6", "7", "8", "1", "enter"):
            await pilot.press(keys)
            await pilot.pause()
            for active in app.screen.active_bindings.values():
                if active.binding.id in acting:
                    seen.add(active.binding.id)
                    assert not active.enabled and isinstance(active.node, Explains)
                    assert active.node.reason(active.binding.action) == READ_ONLY, active
        assert seen == acting
        await pilot.press("escape", "question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpDialog)
        rows: tuple[HelpRow, ...] = app.screen.query_one(LineTable).rows
        why = {row.id: row.why_not for row in rows}
        assert {why[key_id] for key_id in acting & why.keys()} == {READ_ONLY}
        assert why["report"] == NOT_THERE and "run.new" in why
        await pilot.press("escape")
        host.swap(empty_snapshot(), *(field.name for field in fields(Versions)))
        words = ""
        for mode in range(1, 9):
            await pilot.press(str(mode))
            await pilot.pause()
            for table in app.screen.query(LineTable):
                assert not table.rows, table.id
                words += "\n".join(lines(table)) + "\n"
                if table.display:
                    table.focus()
                    await pilot.pause()
                    for active in app.screen.active_bindings.values():
                        if not active.enabled and isinstance(active.node, Explains):
                            words += active.node.reason(active.binding.action) + "\n"
        assert not re.search(r"press n\b|\{run\.|\bstarts? (one|a)\b|let through", words), words
        for told in (
            "no live run in state.db", "running ones are not seen", "optimizers are not in",
            "risk profiles are not in", "measurements are not in", "the log is not in",
        ):  # fmt: skip
            assert told in words
        app.post_message(EngineFailed("StateError: gone"))
        await pilot.pause()
        assert "What it followed goes on. Quit with q" in toasts(app)


async def test_quitting_asks_starts_on_stay_and_leaves_keeping_the_positions() -> None:
    async with console() as (app, host, pilot):
        app.post_message(EngineFailed("OSError: [Errno 28] No space left on device"))
        await pilot.pause()
        assert "THE ENGINE HAS FAILED" in toasts(app)
        assert "[Errno 28] No space left on device" in toasts(app)
        await pilot.press("q")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmDialog)
        assert app.focused is not None and app.focused.id == "answer-stay"
        detail = str(app.screen.query_one("#detail").render())
        assert "6 live runs with 3 open positions and 1 scheduled signal." in detail
        assert "3 backtests, 1 walker, 1 optimizer will be stopped." in detail
        await pilot.press("ctrl+q")
        await pilot.pause()
        assert len(app.screen_stack) == 2, "one question at a time"
        await pilot.press("y")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmDialog), "y is for questions of two answers"
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, DeckScreen) and host.commands == []
        await pilot.press("q", "right", "enter")
        await until(pilot, lambda: not app.is_running)
        assert host.commands == ["shutdown drain=False"] and app.return_code == 0
    host.swap(empty_snapshot(), "header")  # nobody is there to be told


async def test_draining_waits_counts_and_then_leaves() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("q", "right", "right", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DrainDialog) and host.commands == ["shutdown drain=True"]
        assert "6 runs still going, 3 open positions" in str(
            app.screen.query_one("#detail").render()
        )
        header = replace(snapshot().header, running=1, open=1)
        host.swap(replace(snapshot(), header=header), "header")
        await pilot.pause()
        assert "1 run still going, 1 open position." in str(
            app.screen.query_one("#detail").render()
        )
        host.shutdown.set_result(None)
        await until(pilot, lambda: not app.is_running)


async def test_a_drain_can_be_cut_short() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("ctrl+q", "right", "right", "enter")
        await pilot.pause()
        await pilot.press("right", "enter")
        await until(pilot, lambda: not app.is_running)
        assert host.commands == ["shutdown drain=True", "shutdown drain=False"]


async def test_with_nothing_running_greyed_keys_say_why_and_the_question_is_short() -> None:
    async with console(empty_snapshot()) as (app, host, pilot):
        assert greyed(app) == {
            "open", "copy", "run.stop", "run.again", "run.close", "run.cancel", "run.stop_all",
            "run.close_all", "report", "export", "mark",
        }  # fmt: skip
        for key, why in (
            ("enter", "the table is empty"),
            ("y", "there is no line here to copy"),
            ("s", "there is no live run"),
        ):
            await pilot.press(key)
            await pilot.pause()
            assert why in toasts(app)
        assert host.commands == []
        await pilot.press("q")
        await pilot.pause()
        assert "No live run is going on." in str(app.screen.query_one("#detail").render())
        await pilot.press("y")
        await until(pilot, lambda: not app.is_running)
        assert host.commands == ["shutdown drain=False"]


def test_a_newer_change_replaces_one_that_still_waits() -> None:
    assert DeckChanged(Versions(2)).can_replace(DeckChanged(Versions(1)))
    assert not DeckChanged(Versions(2)).can_replace(EngineFailed("x"))
