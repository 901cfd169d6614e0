"""Ranking, sorting, filtering and the filter bar as widgets of their own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from screens.alone import AloneApp
from screens.filters import Fields, parse
from screens.sample_desk import CONTENDERS
from screens.widgets.filter_bar import FilterBar
from screens.widgets.filtered_table import FilteredTable
from screens.widgets.line_table import Column
from screens.widgets.ranking_table import METRICS, Contender, RankingTable, ranked
from screens.widgets.sortable_table import SortableTable, in_order
from screens.widgets.tones import Cell
from tests.screens.bed import lines


def test_the_best_is_first_and_marked_and_those_without_a_figure_are_behind() -> None:
    places = ranked(CONTENDERS, "sharpe_ratio")
    assert [p.contender.name for p in places][:3] == ["breakout", "sma-cross", "[red]均线[/] cross"]
    assert [p.place for p in places] == [1, 2, 3, None, None, None]
    assert [p.best for p in places] == [True] + [False] * 5
    lowest = ranked(CONTENDERS, "max_drawdown")
    assert lowest[0].contender.name == "breakout", "of drawdowns the least is best"
    broken = replace(CONTENDERS[0], figures={"sharpe_ratio": math.nan})
    assert ranked([broken, CONTENDERS[1]], "sharpe_ratio")[0].contender.name == "breakout"


async def test_a_ranking_fills_in_as_strategies_finish_and_switches_its_figure() -> None:
    table = RankingTable()
    async with AloneApp(table, lambda: table.show(CONTENDERS[3:])).run_test(
        size=(120, 12)
    ) as pilot:
        table.focus()
        await pilot.pause()
        assert table.best is None and "41 %" in "\n".join(lines(table))
        table.show(CONTENDERS)
        await pilot.pause()
        assert table.best is not None and table.best.name == "breakout"
        first = lines(table)[1]
        assert "best" in first and "0.112" in first and "▾Sharpe" in lines(table)[0]
        assert "KeyError: 'rsi'" in "\n".join(lines(table))
        await pilot.press("m")
        await pilot.pause()
        assert table.metric == "total_return" and "▾return %" in lines(table)[0]
        assert "+6.90" in lines(table)[1] and table.cursor == 0
        for _ in range(len(METRICS) - 1):
            await pilot.press("m")
        assert table.metric == "sharpe_ratio"


async def test_a_ranking_on_eighty_columns_keeps_what_matters() -> None:
    table = RankingTable()
    async with AloneApp(table, lambda: table.show(CONTENDERS)).run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        assert "best  breakout" in lines(table)[1] and "0.112" in lines(table)[1]
        assert {table.render_line(y).cell_length for y in range(12)} == {80}


@dataclass(frozen=True)
class Item:
    key: int
    word: str
    size: float | None


def columns() -> list[Column[Item]]:
    return [
        Column("key", 5, lambda item: Cell(str(item.key)), right=True),
        Column("word", 10, lambda item: Cell(item.word), order=lambda item: item.word),
        Column("size", 6, lambda i: Cell(f"{i.size}"), right=True, order=lambda item: item.size),
    ]


ITEMS = [Item(1, "b", 2.0), Item(2, "a", None), Item(3, "c", 5.0)]


async def test_sorting_goes_through_the_columns_and_the_cursor_stays_with_its_row() -> None:
    table = SortableTable[Item](columns(), key=lambda item: item.key)
    async with AloneApp(table, lambda: table.set_rows(ITEMS)).run_test(size=(40, 8)) as pilot:
        table.focus()
        await pilot.press("G", "O")
        assert table.current == ITEMS[2]
        assert table.reason("turn_sort") == "the table is not sorted - {sort} sorts it"
        await pilot.press("o")
        await pilot.pause()
        assert [row.word for row in table.rows] == ["a", "b", "c"] and "word▴" in "".join(
            lines(table)[0].split()
        )
        assert table.current == ITEMS[2]
        await pilot.press("o")
        assert [row.size for row in table.rows] == [5.0, 2.0, None], "no figure is last"
        await pilot.press("O")
        assert [row.size for row in table.rows] == [2.0, 5.0, None]
        table.set_columns([*columns()[:2], replace(columns()[2], least=True)])
        await pilot.pause()
        await pilot.press("o", "o")
        assert [row.size for row in table.rows] == [2.0, 5.0, None], "the soonest is first"
        assert table.order == ("size", False), "and the arrow says so"
        table.set_rows([*ITEMS, Item(4, "d", 1.0)])
        assert [row.size for row in table.rows] == [1.0, 2.0, 5.0, None], "new rows fall in place"
        assert table.current == ITEMS[2]
        await pilot.press("o")
        assert [row.key for row in table.rows] == [1, 2, 3, 4], "and back to the given order"


@given(
    st.lists(st.builds(Item, st.integers(), st.text(max_size=3), st.none() | st.floats(0, 9)),
             unique_by=lambda item: item.key),
)  # fmt: skip
def test_sorting_loses_no_row(items: list[Item]) -> None:
    for column in columns()[1:]:
        for descending in (False, True):
            assert sorted(map(id, in_order(items, column, descending=descending))) == sorted(
                map(id, items)
            )


FIELDS: Fields[Item] = {"word": lambda item: item.word, "size": lambda item: item.size}


async def test_a_filtered_table_asks_once_per_row() -> None:
    table = FilteredTable[Item](columns(), lambda item: item.key, FIELDS)
    asked: list[int] = []
    fields: Fields[Item] = {"word": lambda item: (asked.append(item.key), item.word)[1]}
    async with AloneApp(table, lambda: table.set_source(ITEMS)).run_test(size=(40, 8)):
        table.set_filter(parse("word:a,c", fields))
        assert [row.key for row in table.rows] == [2, 3] and table.total == 3
        asked.clear()
        table.set_source([*ITEMS, Item(4, "a", 0.0)])
        assert asked == [4] and [row.key for row in table.rows] == [2, 3, 4]
        table.set_filter(parse("", fields))
        assert len(table.rows) == 4


class BarApp(AloneApp):
    """A filter bar and a log of what it said."""

    def __init__(self) -> None:
        self.bar = FilterBar("type here")
        self.said: list[str] = []
        super().__init__(self.bar)

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self.said.append(message.text)

    def on_filter_bar_left(self) -> None:
        self.said.append("left")


async def test_the_filter_bar_tells_every_change_and_is_left_by_enter_or_escape() -> None:
    app = BarApp()
    async with app.run_test(size=(60, 4)) as pilot:
        app.bar.begin()
        await pilot.pause()
        await pilot.press("a", "exclamation_mark", "b", "enter")
        await pilot.pause()
        assert app.said == ["a", "a!", "a!b", "left"] and app.bar.is_typing
        app.bar.invert()
        await pilot.pause()
        assert app.bar.text == "! a!b" and app.said[-1] == "! a!b"
        await pilot.press("escape")
        await pilot.pause()
        assert app.bar.text == "" and set(app.said[-2:]) == {"left", ""}


def test_a_contender_needs_no_figures() -> None:
    assert ranked([Contender("x", "waiting", {})], "sqn")[0].place is None
