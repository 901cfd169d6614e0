"""Signals, one signal's life, and the log: what is searched, and what holds still meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual import events

from console.app import SignaldeckApp
from screens.detail import DetailDialog
from screens.life import LifeScreen
from screens.log import LogScreen
from screens.sample import empty_snapshot, feed, snapshot
from screens.scheduled import ScheduledScreen
from screens.searching import SearchScreen
from screens.signals import SignalsScreen
from screens.widgets.filter_bar import FilterNote
from screens.widgets.header_line import HeaderLine
from tests.screens.bed import LARGE, SMALL, console, greyed, lines, paste, picture, toasts, until


def searched(app: SignaldeckApp) -> SearchScreen:
    assert isinstance(app.screen, SearchScreen)
    return app.screen


def rows(app: SignaldeckApp) -> list[str]:
    return [line for line in lines(searched(app).table)[1:] if line.strip()]


def note(app: SignaldeckApp) -> str:
    return "".join(lines(searched(app).query_one(FilterNote)))


async def test_signals_are_searched_as_one_types_and_inverted() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("2")
        await pilot.pause()
        assert isinstance(app.screen, SignalsScreen)
        assert "60 kept of 60" in "".join(lines(searched(app).pane.title)) and not note(app)
        await pilot.press("slash", *"action:closed pnl")
        await pilot.press("less_than_sign", "0")
        await pilot.pause()
        assert all("closed" in row and "-0." in row for row in rows(app))
        assert note(app).strip() == "12 of 60 shown"
        await pilot.press("enter")
        await pilot.pause()
        assert searched(app).table.has_focus, "the expression is kept, the keys are in the table"
        await pilot.press("exclamation_mark")
        await pilot.pause()
        assert searched(app).bar.text == "! action:closed pnl<0"
        assert note(app).strip() == "48 of 60 shown"
        await pilot.press("slash", "escape")
        await pilot.pause()
        assert searched(app).bar.text == "" and len(searched(app).table.rows) == 60
        # Over a slow line keys come in one packet.
        for key in ("slash", "c", "escape", "1", "2", "slash", "b", "enter", "3"):
            app.post_message(
                events.Key(key, {"slash": "/"}.get(key, key if len(key) < 2 else None))
            )
        await until(pilot, lambda: isinstance(app.screen, ScheduledScreen))
        await pilot.press("2")
        await pilot.pause()
        assert searched(app).bar.text == "b", "what comes behind a search is not part of it"


async def test_an_expression_that_means_something_else_is_told() -> None:
    async with console(size=SMALL) as (app, _, pilot):
        await pilot.press("2", "slash")
        await paste(pilot, "pnl>much")
        assert "pnl> needs a figure, not 'much'" in note(app)
        await pilot.press("ctrl+u")
        await paste(pilot, "nothing like it")
        assert "0 of 60 shown" in note(app) and "no signal is shown" in "\n".join(rows(app))


async def test_one_key_shows_only_this_run_and_back() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("2", "f")
        await pilot.pause()
        assert "no line is selected - j selects one" in toasts(app)
        await pilot.press("slash")
        await paste(pilot, "!error")
        await pilot.press("enter", "j", "j", "f")
        await pilot.pause()
        assert searched(app).bar.text == "symbol:XRPUSDT strategy:rsi-reversion"
        assert all("XRPUSDT" in row for row in rows(app)) and rows(app)
        await pilot.press("j", "f")
        await pilot.pause()
        assert searched(app).bar.text == "!error"


async def test_a_filtered_feed_holds_still_and_counts_only_what_is_shown() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("2", "slash")
        await paste(pilot, "action:opened")
        await pilot.press("enter", "j", "j")
        await pilot.pause()
        before, row = rows(app), searched(app).table.current
        host.swap(replace(snapshot(), feed=feed(72, 72), feed_total=72), "feed")
        await pilot.pause()
        assert rows(app) == before and searched(app).table.current == row
        title = "".join(lines(searched(app).pane.title))
        assert "4 new above - g follows" in title and "72 kept of 72" in title


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_paused_view_stands_still_and_says_how_much_waits(size: tuple[int, int]) -> None:
    async with console(size=size) as (app, host, pilot):
        await pilot.press("2", "space")
        await pilot.pause()
        before = rows(app)
        host.swap(replace(snapshot(), feed=feed(60, 67), feed_total=67), "feed", "header")
        await pilot.pause()
        header = "\n".join(lines(app.screen.query_one(HeaderLine)))
        assert "PAUSED, 7 waiting" in header and rows(app) == before
        await pilot.press("space")
        await pilot.pause()
        header = "\n".join(lines(app.screen.query_one(HeaderLine)))
        assert "PAUSED" not in header and rows(app) != before
        await pilot.press("slash", "space", "a")
        await pilot.pause()
        assert searched(app).bar.text == " a", "while one types, a blank is a blank"


async def test_enter_opens_a_signals_life_with_milestones_or_an_entry_in_full() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("2", *"jjj", "enter")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, LifeScreen)
        events = lines(screen.life)
        assert "scheduled" in events[1] and "closed" in events[2] and "+0.82 %" in events[2]
        assert "closed  +0.82 %  after 1h 17m" in "".join(lines(screen.title_line))
        assert "stop loss" in "".join(lines(screen.bar)) and "4h 00m" in "".join(lines(screen.bar))
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog)
        await pilot.press("escape", "escape")
        await pilot.pause()
        assert isinstance(app.screen, SignalsScreen)

        await pilot.press("slash")
        await paste(pilot, "id:signal-50")
        await pilot.press("enter", "g", "j", "enter")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, LifeScreen)
        drawn = "\n".join(lines(screen.life))
        assert drawn.count("milestone") == 5 and "40 % of the way to the take profit" in drawn
        assert "10 % of the way to the stop loss" in drawn and "opened" in lines(screen.life)[1]
        assert "SL 42,778.40" in "".join(lines(screen.bar))
        assert "●  40 %  43,383.34" in "\n".join(lines(screen.ladder))
        assert "open  +0.21 %" in "".join(lines(screen.title_line))

        await pilot.press("escape", "slash", "ctrl+u")
        await paste(pilot, "validation")
        await pilot.press("enter", "g", "j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog), "an entry without a signal"
        facts = str(app.screen.query("#facts Static").first().render())
        assert "minute_estimated_time is 0: must be at least 1" in facts


async def test_the_log_has_levels_a_search_a_file_and_tracebacks() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("8")
        await pilot.pause()
        assert isinstance(app.screen, LogScreen) and len(searched(app).table.rows) == 40
        title = "".join(lines(searched(app).pane.title))
        assert "every level" in title and "/signaldeck.log" in title
        await pilot.press("l", "l")
        await pilot.pause()
        assert {row.level for row in searched(app).table.rows} == {"warning", "error"}
        assert "warning and above" in "".join(lines(searched(app).pane.title))
        await pilot.press("slash")
        await paste(pilot, "rsi")
        await pilot.press("enter", "j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog)
        facts = str(app.screen.query("#facts Static").first().render())
        assert "Traceback (most recent call last):" in facts and "momentum_v2.py" in facts
        await pilot.press("escape", "l", "l")
        await pilot.pause()
        assert searched(app).table.total == 40


async def test_every_screen_says_so_when_there_is_nothing() -> None:
    async with console(empty_snapshot(), size=SMALL) as (app, _, pilot):
        for key in "23478":
            await pilot.press(key)
            await pilot.pause()
            assert "open" in greyed(app) and "copy" in greyed(app)
            text = "\n".join(strip.text for strip in picture(app))
            assert "no " in text or "nothing" in text
