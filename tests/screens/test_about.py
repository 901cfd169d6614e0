"""The information screen, and questions that tell what is so."""

from __future__ import annotations

import re
from dataclasses import replace

from console.about import MEMORY, About, about
from console.preferences import ConsoleSection
from screens.detail import DetailDialog
from screens.instance import InstanceScreen
from screens.sample import snapshot
from screens.widgets.candle_chart import CandleChart
from screens.widgets.header_line import HeaderLine
from tests.screens.bed import LARGE, SMALL, console, lines, until


def shown(app: object, query: str) -> str:
    return str(app.screen.query_one(query).render())  # type: ignore[attr-defined]


async def test_the_information_screen_and_the_question_without_a_state_file() -> None:
    section = ConsoleSection(bell=("error",), clock="local")
    async with console(size=LARGE, section=section) as (app, host, pilot):
        rings: list[str] = []
        app.bell = lambda: rings.append("ring")  # type: ignore[method-assign]
        for action in ("error", "error", "opened"):
            notice = replace(snapshot().feed[0], action=action)
            host.swap(snapshot(), "feed", notice=notice)
        await until(pilot, lambda: rings)
        assert rings == ["ring"], "once for the toast of the first; the others are gathered"
        shot = snapshot()
        health = replace(shot.header.exchanges[0], clock_offset=1_500, rate_limit_used=0.034)
        header = replace(shot.header, exchanges=(health,))
        host.swap(replace(shot, header=header), "header")
        await pilot.pause()
        head = lines(app.screen.query_one(HeaderLine))
        assert re.search(r" UTC \(\d\d:\d\d:\d\d \w+\)", head[0])
        assert "its clock +1,500 ms  limit 3 % used" in head[1]
        badge = "READ-ONLY, NOT RUNNING  SIGNALS ONLY - no orders are sent"
        host.swap(replace(shot, header=replace(header, badge=badge)), "header")
        await pilot.resize_terminal(*SMALL)
        await pilot.pause()
        head = lines(app.screen.query_one(HeaderLine))
        assert re.fullmatch(rf" {badge}  Deck +\d\d:\d\d:\d\d \w+", head[0]), "one clock of two"
        await pilot.resize_terminal(*LARGE)
        await pilot.press("I")
        assert isinstance(app.screen, DetailDialog)
        text = shown(app, "#facts Static")
        assert "/home/deck/state.db" in text and "theme dark" in text and "160x48" in text
        assert "newest bar" in text
        await pilot.press("escape", "q")
        assert "at the next start" in shown(app, "#detail")
        await pilot.press("escape")
        host.about = About(MEMORY)
        await pilot.press("q")
        assert "NOTHING IS KEPT" in shown(app, "#detail")
        assert shown(app, "#answer-quit") == "Give up"
        await pilot.press("escape", "X")
        assert "no order is sent" in shown(app, "#detail")
        await pilot.press("escape", "ctrl+k")
        assert "no order is sent" in shown(app, "#detail")
        await pilot.press("escape")
        app.notify("said")
        await pilot.pause()
        toast = app.screen.query_one("Toast").region
        assert toast.y > app.size.height // 2 and toast.bottom < app.size.height, "below"


async def test_a_terminal_of_middling_size_has_room_for_a_chart() -> None:
    async with console(size=(100, 30)) as (app, _, pilot):
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, InstanceScreen)
        chart = lines(app.screen.query_one(CandleChart))
        assert len(chart) > 12 and "too little room" not in "\n".join(chart)


def test_what_a_process_uses() -> None:
    found = about(MEMORY)
    assert not found.keeps and about("state.db").keeps
    assert dict(found.versions)["textual"][0].isdigit() and "log" in dict(found.files)
