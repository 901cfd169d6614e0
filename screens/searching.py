"""A screen that is one table below a line to type a filter expression into."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType

from console.keymap import bind
from screens.base import BaseScreen
from screens.context import ScreenContext
from screens.filters import parse
from screens.layout import recalled_text
from screens.spelling import spell
from screens.widgets.filter_bar import FilterBar
from screens.widgets.filtered_table import FilteredTable
from screens.widgets.header_line import HeaderLine
from screens.widgets.pane import Pane, PaneStack
from screens.widgets.tones import Cell

LONGEST_KEPT: Final = 2_000
"""Characters of an expression that are remembered."""


class SearchScreen(BaseScreen):
    """One table and its filter.

    Args:
        context: host, clock and session.
        table: what is searched.
        title: name of its pane.
        example: what to show while no expression is typed.
    """

    # Textual's own choice is the first input: a key pressed right away would be typed into it.
    AUTO_FOCUS = "LineTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("search", "search"),
        bind("search.invert", "invert_search"),
    ]

    def __init__(
        self, context: ScreenContext, table: FilteredTable[Any], title: str, example: str
    ) -> None:
        super().__init__(context)
        self.table = table
        self.bar = FilterBar(example, id="filter")
        self.pane = Pane(title, table, id="searched-pane")

    def compose_body(self) -> ComposeResult:
        """The expression above what it leaves."""
        yield self.bar
        yield PaneStack([self.pane])

    def on_mount(self) -> None:
        """Start in the table, with the expression of last time."""
        self.table.focus()
        self.bar.text = recalled_text(self.context.host.memory, f"filter.{self.table.id}")
        self.watch(self.table, "waiting", self._show_waiting)

    def after_follow(self) -> None:
        """Counts move with the rows; errors that are shown with everything else count as seen."""
        self._tell_found()
        self.pane.title.update(note=self.counted())
        whole = self.table.following and not self.bar.text.strip()
        if whole and self.context.see_errors():
            self.query_one(HeaderLine).refresh()

    def counted(self) -> str:
        """How much there is, for the title."""
        return f"{self.table.total:,} kept of {self.happened(self.context.snapshot):,}"

    def action_search(self) -> None:
        """Type an expression."""
        self.bar.begin()

    def action_invert_search(self) -> None:
        """Show what the expression leaves out, or begin one."""
        self.bar.invert()
        if self.bar.text.strip() == "!":
            self.bar.begin()

    @on(FilterBar.Changed)
    def _expression_changed(self, message: FilterBar.Changed) -> None:
        self.table.set_filter(parse(message.text, self.table.fields))
        kept = message.text[:LONGEST_KEPT] or None
        self.context.host.memory.remember(f"filter.{self.table.id}", kept)
        self._tell_found()

    @on(FilterBar.Left)
    def _bar_left(self) -> None:
        self.table.focus()

    def _tell_found(self) -> None:
        problem = parse(self.bar.text, self.table.fields).problem
        self.bar.say(len(self.table.rows), self.table.total, problem)

    def _show_waiting(self, waiting: int | None) -> None:
        remark: tuple[Cell, ...] = ()
        if waiting is not None:
            key = spell(self, "{table.top}")
            new = f"{waiting} new above" if waiting else "nothing new"
            remark = (
                Cell("holding, ", "muted"),
                Cell(new, "warn" if waiting else "muted"),
                Cell(f" - {key} follows ", "muted"),
            )
        self.pane.title.update(remark=remark)
