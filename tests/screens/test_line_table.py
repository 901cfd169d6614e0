from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.geometry import Region
from textual.pilot import Pilot

from screens.alone import AloneApp
from screens.widgets.line_table import GAP, GUTTER, Column, LineTable, fit_columns
from screens.widgets.tones import Cell
from tests.screens.bed import lines


@dataclass(frozen=True)
class Item:
    key: int
    word: str = ""


def columns() -> list[Column[Item]]:
    return [
        Column("key", 5, lambda item: Cell(str(item.key)), right=True),
        Column(
            "word",
            10,
            lambda item: Cell(item.word, "alarm" if item.word == "late" else ""),
            grow=10,
        ),
    ]


class Recording(LineTable[Item]):
    """A table that remembers which lines it was asked to draw again."""

    def __init__(self, *, follow: bool = False) -> None:
        super().__init__(columns(), key=lambda item: item.key, empty="nobody", follow=follow)
        self.redrawn: list[int] = []

    def refresh(self, *regions: Region, **options: bool) -> Recording:
        self.redrawn += [region.y for region in regions]
        if not regions:
            self.redrawn.append(-1)
        return super().refresh(*regions, **options)


@asynccontextmanager
async def table(
    rows: int, *, follow: bool = False, height: int = 11
) -> AsyncIterator[tuple[Recording, Pilot[None]]]:
    """A focused table of that many rows; ten rows fit."""
    shown = Recording(follow=follow)
    app = AloneApp(shown, lambda: shown.set_rows([Item(n) for n in range(rows)]))
    async with app.run_test(size=(40, height)) as pilot:
        shown.focus()
        await pilot.pause()
        yield shown, pilot


def keys(shown: Recording) -> list[int]:
    """The keys on screen, top to bottom."""
    return [int(line.removeprefix("▸").split()[0]) for line in lines(shown)[1:] if line.strip()]


async def test_headings_stay_while_rows_scroll() -> None:
    async with table(50) as (shown, pilot):
        await pilot.press("G")
        await pilot.pause()
        assert lines(shown)[0].split() == ["key", "word"]
        assert keys(shown) == list(range(40, 50))
        assert lines(shown)[-1].startswith("▸ ")
        await pilot.press("g")
        await pilot.pause()
        assert keys(shown) == list(range(10)) and shown.cursor == 0


async def test_under_the_cursor_a_word_with_a_background_of_its_own_keeps_it() -> None:
    async with table(2) as (shown, _):
        shown.set_rows([Item(0, "late"), Item(1, "late"), Item(2, "fine")])
        under, beside = (list(shown.render_line(y)) for y in (1, 2))
        (one,), (two,) = ([s.style for s in line if "late" in s.text] for line in (under, beside))
        assert one and two and one == two and one.bgcolor != shown.rich_style.bgcolor
        assert under[0].style != beside[0].style, "the rest of the line shows the cursor"


async def test_moving_keeps_the_cursor_in_sight() -> None:
    async with table(50) as (shown, pilot):
        await pilot.press(*"jjj", "down", "k", "up")
        assert shown.cursor == 2
        await pilot.press("pagedown", "pagedown")
        await pilot.pause()
        assert shown.cursor == 20 and 20 in keys(shown)
        await pilot.press("pageup")
        await pilot.pause()
        assert shown.cursor == 11 and 11 in keys(shown)
        await pilot.press("home", "up")
        assert shown.cursor == 0


async def test_the_cursor_stays_with_its_row_and_on_its_line() -> None:
    async with table(50) as (shown, pilot):
        await pilot.press("G", *"kkkk")
        await pilot.pause()
        line = keys(shown).index(45)
        shown.set_rows([Item(n) for n in range(-7, 50)])
        await pilot.pause()
        assert shown.current == Item(45) and keys(shown)[line] == 45
        shown.set_rows([Item(n) for n in range(20, 50)])
        await pilot.pause()
        assert shown.current == Item(45) and keys(shown)[line] == 45


async def test_a_vanished_row_leaves_the_cursor_where_it_was() -> None:
    async with table(6) as (shown, pilot):
        await pilot.press(*"jjj")
        shown.set_rows([Item(n) for n in (0, 1, 2, 4, 5)])
        assert shown.current == Item(4)
        shown.set_rows([Item(0)])
        assert shown.current == Item(0)
        shown.set_rows([])
        await pilot.pause()
        assert shown.current is None and "nobody" in "".join(lines(shown))
        assert shown.reason("open_row") == "the table is empty"


async def test_only_changed_lines_are_drawn_again() -> None:
    async with table(50) as (shown, pilot):
        await pilot.press(*"j" * 12)
        await pilot.pause()
        shown.redrawn.clear()
        rows = [Item(n) for n in range(50)]
        shown.set_rows(rows)
        assert shown.redrawn == [], "equal rows are not drawn again"
        rows[5] = Item(5, "new")
        rows[49] = Item(49, "out of sight")
        shown.set_rows(rows)
        top = keys(shown)[0]
        assert shown.redrawn == [5 - top + 1]
        await pilot.pause()
        assert "new" in lines(shown)[5 - top + 1]


async def test_a_feed_follows_until_the_operator_moves_then_holds_still() -> None:
    async with table(0, follow=True) as (feed, pilot):
        feed.set_rows([Item(n) for n in range(30, 0, -1)])
        await pilot.pause()
        assert feed.cursor == -1 and feed.following
        assert feed.reason("open_row")
        feed.set_rows([Item(n) for n in range(33, 0, -1)])
        await pilot.pause()
        assert keys(feed)[0] == 33, "it follows"
        await pilot.press("j", "j")
        await pilot.pause()
        before = keys(feed)
        assert feed.current == Item(32) and feed.waiting == 0
        feed.set_rows([Item(n) for n in range(37, 0, -1)])
        await pilot.pause()
        assert feed.current == Item(32) and feed.waiting == 4
        assert keys(feed) == before, "nothing jumps under the reader"
        await pilot.press("g")
        await pilot.pause()
        assert keys(feed)[0] == 37 and feed.waiting is None and feed.cursor == -1


async def test_scrolling_away_with_the_wheel_holds_a_feed_too() -> None:
    async with table(60, follow=True) as (feed, pilot):
        feed.scroll_to(y=5, animate=False)
        await pilot.pause()
        before = keys(feed)
        feed.set_rows([Item(n) for n in (101, 100, *range(60))])
        await pilot.pause()
        assert keys(feed) == before and feed.waiting == 2


async def test_clicks_select_and_open() -> None:
    async with table(5) as (shown, pilot):
        await pilot.click(shown, offset=(5, 3))
        assert shown.current == Item(2)
        await pilot.click(shown, offset=(5, 0))
        assert shown.current == Item(2), "headings are no row"


@given(st.integers(0, 200))
def test_columns_never_take_more_than_there_is_unless_none_may_go(width: int) -> None:
    wide: list[Column[Item]] = [
        Column("a", 12, lambda _: Cell(""), shrink=4),
        Column("b", 10, lambda _: Cell(""), drop=2, grow=5),
        Column("c", 12, lambda _: Cell(""), drop=1, grow=40),
        Column("d", 6, lambda _: Cell(""), drop=3),
    ]
    fitted = fit_columns(wide, width)
    total = GUTTER + sum(room for _, room in fitted) + GAP * (len(fitted) - 1)
    assert total <= max(width, GUTTER + 8)
    assert all(room >= column.width - column.shrink for column, room in fitted)
    if any(room < column.width for column, room in fitted):
        assert len(fitted) == 1, "columns give up cells when there is nothing left to drop"
    names = [column.title for column, _ in fitted]
    assert names in (["a"], ["a", "c"], ["a", "b", "c"], ["a", "b", "c", "d"])


async def test_foreign_text_keeps_the_columns_aligned() -> None:
    async with table(0) as (shown, pilot):
        shown.set_rows([Item(1, "plain"), Item(2, "均线均线均线均线均线均线"), Item(3, "[red]")])
        await pilot.pause()
        strips = [shown.render_line(y) for y in range(4)]
        assert {strip.cell_length for strip in strips} == {40}
        assert "[red]" in strips[3].text


@pytest.mark.parametrize("key", ["enter", "j"])
async def test_keys_do_nothing_harmful_on_an_empty_table(key: str) -> None:
    async with table(0) as (shown, pilot):
        await pilot.press(key, "G", "g", "k", "pagedown", "pageup")
        assert shown.cursor == -1


async def test_rows_beyond_the_sight_and_ages_that_stand_still_draw_nothing() -> None:
    async with table(20) as (shown, pilot):
        shown.redrawn.clear()
        shown.set_rows([Item(n) for n in range(50)])
        assert shown.redrawn == [] and shown.max_scroll_y == 40
        assert shown.vertical_scrollbar.window_virtual_size == 51
        await pilot.press("G")
        assert keys(shown)[-1] == 49
        await pilot.press("g")
        seconds = [10]
        aged = Column[Item](
            "age", 5, lambda i: Cell(str(seconds[0] // (60 if i.key else 1))), ages=True
        )
        shown.set_columns([*columns(), aged])
        await pilot.pause()
        shown.refresh_aged()
        shown.redrawn.clear()
        shown.refresh_aged()
        assert shown.redrawn == []
        seconds[0] += 1
        shown.refresh_aged()
        assert shown.redrawn == [1]
