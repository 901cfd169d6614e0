"""Painting: lines that are kept are those Textual would draw, and news are drawn in parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
from textual._styles_cache import StylesCache
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from console.app import SignaldeckApp
from console.views import DeckSnapshot, Versions
from screens.sample import feed, snapshot
from screens.widgets.feed_table import FeedTable
from screens.widgets.instances_table import InstancesTable
from screens.widgets.whole_lines import WholeLines
from tests.screens.bed import LARGE, SMALL, console, lines, until

Draw = Callable[[int], Strip]
Show = Callable[[DeckSnapshot], None]
TOPICS = tuple(topic.name for topic in fields(Versions))


def as_textual_draws(widget: Widget, crop: Region) -> list[list[object]]:
    return [list(strip) for strip in StylesCache().render_widget(widget, crop)]


def as_kept(widget: Widget, crop: Region) -> list[list[object]]:
    return [list(strip) for strip in widget.render_lines(crop)]


def keeping(app: SignaldeckApp) -> list[Widget]:
    found = [app.screen, *app.screen.query(Widget)]
    return [w for w in found if isinstance(w._styles_cache, WholeLines) and w.region.area]


@pytest.mark.parametrize("colour", [True, False], ids=["colour", "no colour"])
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
async def test_kept_lines_are_those_that_textual_draws(
    size: tuple[int, int], colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    async with console(size=size) as (app, host, pilot):
        for keys in ((), ("j", "j"), ("2", "k"), ("n", "tab"), ("escape", "5", "j")):
            await pilot.press(*keys)
            host.swap(replace(snapshot(), feed=feed(len(keys) + 3)), *TOPICS)
            await pilot.pause()
            assert len(keeping(app)) > 3 or not isinstance(app.screen._styles_cache, WholeLines)
            for widget in keeping(app):
                width, height = widget.region.size
                for crop in (
                    Region(0, 0, width, height),
                    Region(1, 0, max(1, width - 3), max(1, height // 2)),
                ):
                    assert as_kept(widget, crop) == as_textual_draws(widget, crop), widget


async def test_a_style_of_its_own_is_drawn_and_goes_again() -> None:
    async with console() as (app, _, pilot):
        table = app.screen.query_one(InstancesTable)
        for style, value, before in (
            ("padding", 1, 0), ("border", ("round", "red"), None), ("opacity", 0.5, 1.0),
            ("tint", "green 30%", None), ("outline", ("heavy", "blue"), None),
        ):  # fmt: skip
            for now in (value, before):
                setattr(table.styles, style, now)
                await pilot.pause()
                region = Region(0, 0, *table.region.size)
                assert as_kept(table, region) == as_textual_draws(table, region), (style, now)


async def test_a_cursor_that_moves_draws_two_lines_and_no_other_widget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with console() as (app, _, pilot):
        await pilot.press("j")
        drawn: Counter[tuple[Widget, int]] = Counter()
        for widget in keeping(app):

            def draw(y: int, own: Widget = widget, real: Draw = widget.render_line) -> Strip:
                drawn[own, y] += 1
                return real(y)

            monkeypatch.setattr(widget, "render_line", draw)
        await pilot.press("j")
        table = app.screen.query_one(InstancesTable)
        assert {y for widget, y in drawn if widget is table} == {
            table.cursor + table._top - 1, table.cursor + table._top,
        }  # fmt: skip
        others = {type(widget).__name__ for widget, _ in drawn if widget is not table}
        assert others <= {"TotalsLine", "KeyBar"}, others


async def test_news_are_drawn_in_parts_and_all_of_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screens.base.PART", 0.1)
    painted = 0
    paint = Screen._compositor_refresh

    def count(screen: Screen[object]) -> None:
        nonlocal painted
        painted += 1
        paint(screen)

    monkeypatch.setattr(Screen, "_compositor_refresh", count)
    async with console() as (app, host, pilot):
        table, told = app.screen.query_one(InstancesTable), app.screen.query_one(FeedTable)
        shown: dict[object, int] = {}
        for panel in (table, told):

            def show(now: DeckSnapshot, own: object = panel, real: Show = panel.show) -> None:
                shown[own] = painted
                real(now)

            monkeypatch.setattr(panel, "show", show)
        moved = tuple(replace(v, last_price=77.125) for v in snapshot().instances)
        host.swap(replace(snapshot(), instances=moved, feed=feed(3)), *TOPICS)
        await until(pilot, lambda: len(shown) == 2)
        assert shown[table] < shown[told], "the table was painted before the feed was drawn"
        await pilot.pause()
        assert "77.1250" in "\n".join(lines(table)) and len(told.rows) == 3


async def test_a_frame_that_never_comes_does_not_stop_the_drawing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("screens.base.PART", 0.0)
    async with console() as (app, host, pilot):
        table, told = app.screen.query_one(InstancesTable), app.screen.query_one(FeedTable)
        for panel in app.screen.panels():  # type: ignore[attr-defined]
            monkeypatch.setattr(panel, "call_after_refresh", lambda _: False)
        host.swap(replace(snapshot(), feed=feed(3)), *TOPICS)
        await pilot.pause()
        assert len(told.rows) != 3 and table.rows
        monkeypatch.setattr("screens.base.STALLED", 0.0)
        for _ in app.screen.panels():  # type: ignore[attr-defined]
            host.swap(replace(snapshot(), feed=feed(3)), "header")
            await pilot.pause()
        assert len(told.rows) == 3
