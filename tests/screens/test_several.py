"""Several runs selected: one question that lists what will happen; tables as files."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from screens.confirm import ConfirmDialog
from screens.deck import DeckScreen
from screens.export import exported, file_name, write
from screens.sample import snapshot
from screens.text_screen import TextScreen
from screens.typed import TypedDialog
from screens.widgets.line_table import LineTable
from tests.screens.bed import console, lines, toasts, until


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
        assert app.focused.id == "answer-no" and detail(app).startswith("No new signals.\n")
        await pilot.press("escape", "escape")
        assert deck.instances.marked == () and host.commands == []
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, TextScreen))


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
        await pilot.press("right", "right", "enter")
        await until(pilot, lambda: list(tmp_path.glob("*.csv")))
        (path,) = tmp_path.glob("signaldeck-instances-*.csv")
        await until(pilot, lambda: "exported" in toasts(app))
        assert len(path.read_text().splitlines()) == 3, "the two selected ones below the headings"
        assert write(path, "x").name == f"{path.stem}-2.csv"
        await pilot.press("y")
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
