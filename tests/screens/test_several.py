"""Several runs selected: one question that lists what will happen; tables as files."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from textual.containers import Vertical

from screens.confirm import ConfirmDialog, Details
from screens.deck import DeckScreen
from screens.export import exported, file_name, write
from screens.sample import INSTANCES, snapshot
from screens.scheduled import ScheduledScreen
from screens.text_screen import TextScreen
from screens.typed import TypedDialog
from screens.widgets.key_bar import KeyBar
from screens.widgets.line_table import LineTable
from tests.screens.bed import SMALL, console, greyed, lines, toasts, until


def detail(app: object) -> str:
    return str(app.screen.query_one("#detail").render())  # type: ignore[attr-defined]


async def test_commands_to_several_are_asked_once_and_name_who_is_left_alone() -> None:
    async with console() as (app, host, pilot):
        deck = app.screen
        assert isinstance(deck, DeckScreen)
        await pilot.press("V", "X")
        await pilot.pause()
        assert isinstance(app.screen, TypedDialog)
        text = detail(app)
        open_now = [v for v in snapshot().instances if v.position in ("long", "short")]
        able = [v for v in open_now if v.status in ("running", "stopping")]
        assert "books about 43,391.07 (newest close, " in text
        assert "no order is sent" in text and "left alone: " in text
        assert text.count("books about") == len(able) > 1
        await pilot.press(*f"CLOSE {len(able)}")
        # One of them closes by itself while the word is typed.
        gone = able[0].instance_id
        moved = tuple(
            replace(v, position="") if v.instance_id == gone else v for v in snapshot().instances
        )
        host.swap(replace(snapshot(), instances=moved), "instances")
        await pilot.press("enter")
        await until(pilot, lambda: len(host.commands) == len(able) - 1)
        assert host.commands == [f"close {v.instance_id}" for v in able[1:]]
        assert "has moved on: nothing done" in toasts(app)
        assert deck.instances.marked == ()

        host.commands.clear()
        await pilot.press("g", "v", "v")
        assert [line[:2] for line in lines(deck.instances)[1:4]] == [" *", " *", "▸ "]
        assert len(deck.instances.marked) == 2
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmDialog) and app.focused is not None
        assert app.focused.id == "answer-no" and detail(app).startswith("No new signals; ")
        await pilot.press("escape", "escape")
        assert deck.instances.marked == () and host.commands == []
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, TextScreen))


async def test_what_waits_and_what_is_open_is_acted_on_where_it_is_listed() -> None:
    second = replace(
        INSTANCES[3], position="short waiting", entry=0.62, signal_id="signal-70", since=None
    )
    start = replace(snapshot(), instances=(*INSTANCES[:3], second, *INSTANCES[4:]))
    async with console(start, size=SMALL) as (app, host, pilot):
        await pilot.press("3", "X", "s")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, ScheduledScreen)
        (footer,) = lines(screen.query_one(KeyBar))
        assert "x Stop  X Close now  c Cancel" in footer and footer.endswith("q Quit")
        assert "its signal waits - c cancels it" in toasts(app)
        assert "breakout SOLUSDT is running already" in toasts(app)
        await pilot.press("c")
        await pilot.pause()
        assert app.focused is not None and app.focused.id == "answer-no"
        await pilot.press("y", "V")
        await pilot.pause()
        assert host.commands == ["cancel live-3"]
        assert "2 waiting, 2 selected" in "".join(lines(screen.scheduled_pane.title))
        await pilot.press("c")
        await pilot.pause()
        assert detail(app) == (
            "The runs go on and may signal again.\n"
            "breakout SOLUSDT: waits for 98.4000\nrsi-reversion XRPUSDT: waits for 0.62000"
        )
        # The first one's signal is another one by the time of the answer.
        moved = (*INSTANCES[:2], replace(INSTANCES[2], signal_id="next"), *start.instances[3:])
        host.swap(replace(start, instances=moved), "instances")
        await pilot.press("y")
        await pilot.pause()
        assert host.commands == ["cancel live-3", "cancel live-4"]
        assert "breakout SOLUSDT has moved on: nothing done" in toasts(app)
        assert screen.scheduled.marked == ()

        host.commands.clear()
        await pilot.press("tab", "c", "v", "v", "X")
        await pilot.pause()
        assert isinstance(app.screen, TypedDialog) and "CLOSE 2" in str(
            app.screen.query_one("#prompt").render()
        )
        stale = tuple(replace(v, flags=("stale",)) for v in moved)
        host.swap(replace(start, instances=stale), "instances")
        await app.screen.ask_again()
        assert detail(app).count("(newest close, STALE, 4m 00s old)") == 2, "prices are asked again"
        await pilot.press(*"CLOSE", "space", "2", "enter")
        await pilot.pause()
        assert host.commands == ["close live-1", "close live-2"]
        assert screen.ladders.current is not None and screen.ladders.marked == ()
        await pilot.press("G", "s", "g", "x", "y", "r")
        await until(pilot, lambda: isinstance(app.screen, TextScreen))
        assert host.commands[2:] == ["again live-5", "stop live-1"]
        host.only_shows = True
        await pilot.press("escape", "X")
        await pilot.pause()
        assert "read-only: act where the runs are running" in toasts(app)
        assert {"run.close", "run.cancel", "run.stop"} <= greyed(app)
        host.only_shows = False
        await pilot.press("tab", "x", "r")
        await pilot.pause()
        assert "a milestone is over and done - shift+tab goes to the open positions" in toasts(app)
        host.swap(replace(start, instances=()), "instances")
        await pilot.press("shift+tab", "X", "shift+tab", "c")
        await pilot.pause()
        assert "no position is open - shift+tab goes to the scheduled signals" in toasts(app)
        assert "no signal is waiting for its entry - tab goes to the open" in toasts(app)
        assert len(host.commands) == 4


async def test_tables_are_exported_and_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with console() as (app, _, pilot):
        deck = app.screen
        assert isinstance(deck, DeckScreen)
        first = deck.instances.rows[0]
        first = replace(first, symbol="A|B", strategy_name="=1+1", last_error="", total_pnl=1234.5)
        deck.instances.set_rows([first, *deck.instances.rows[1:]])
        texts = {form: exported(deck.instances, form) for form in ("markdown", "csv", "json")}
        assert "| A\\|B | =1+1 |" in texts["markdown"]
        rows = list(csv.DictReader(io.StringIO(texts["csv"])))
        assert rows[0]["strategy"] == "'=1+1" and float(rows[0]["sum %"]) == 1234.5
        values = json.loads(texts["json"])
        assert len(values) == len(rows) == len(deck.instances.rows)
        assert values[0]["sum %"] == 1234.5 and values[0]["strategy"] == "=1+1"
        await pilot.press("v", "v", "e")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmDialog)
        # Lines that go while the question stands are written all the same.
        deck.instances.set_rows(deck.instances.rows[2:])
        await pilot.press("right", "right", "enter")
        await until(pilot, lambda: list(tmp_path.glob("*.csv")))
        (path,) = tmp_path.glob("signaldeck-instances-*.csv")
        await until(pilot, lambda: "exported" in toasts(app))
        assert len(path.read_text().splitlines()) == 3, "the two selected ones below the headings"
        assert write(path, "x").name == f"{path.stem}-2.csv"
        await pilot.press("v", "v", "y")
        await pilot.pause()
        assert len(app.clipboard.splitlines()) == 2
        # Every other table with lines can be copied from as well.
        for mode in "2345678":
            await pilot.press(mode)
            await pilot.pause()
            for table in app.screen.query(LineTable):
                if table.rows and table.focusable:
                    table.focus()
                    await pilot.press("down", "y")
                    await pilot.pause()
                    assert app.clipboard == table.row_text(table.current), (mode, table.id)
        assert file_name("x", "json", 0) == "signaldeck-x-19700101T000000.json"
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        await pilot.press("1", "e")
        await until(pilot, lambda: "export failed" in toasts(app))
        assert "is gone: start it in another one" in toasts(app) and app.screen is deck


async def test_a_question_about_many_runs_shows_all_of_them() -> None:
    many_runs = tuple(
        replace(INSTANCES[0], instance_id=f"live-{n}", strategy_name=f"strategy-{n:02d}")
        for n in range(20)
    )
    start = replace(snapshot(), instances=many_runs)
    async with console(start, size=SMALL) as (app, host, pilot):
        for key, kind in (("x", ConfirmDialog), ("X", TypedDialog)):
            await pilot.press("V", key)
            await until(pilot, lambda kind=kind: isinstance(app.screen, kind))
            details = app.screen.query_one(Details)
            await until(pilot, lambda details=details: details.max_scroll_y > 0)
            frame = details.parent
            assert isinstance(frame, Vertical)
            assert frame.border_subtitle == "page down shows the rest"
            assert app.screen.query_one("#answers").region.bottom <= SMALL[1]
            for _ in range(8):
                await pilot.press("pagedown")
            assert details.scroll_offset.y == details.max_scroll_y
            await pilot.resize_terminal(160, 100)
            await until(pilot, lambda frame=frame: frame.border_subtitle == "")
            await pilot.resize_terminal(*SMALL)
            await pilot.press("escape", "escape")
            await pilot.pause()
        assert host.commands == []
