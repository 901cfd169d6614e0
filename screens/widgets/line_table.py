"""A table on Textual's Line API for rows that change several times a second.

`DataTable` repaints every visible cell on any change, which costs tens of milliseconds on a wall
monitor. This one has fixed column widths, draws only lines whose row differs from the one drawn
before, and keeps cursor and scroll position on the same row while others come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, Generic

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.keymap import bind
from screens.spelling import spell
from screens.text import fit
from screens.widgets.columns import GAP, GUTTER, Column, Row, fit_columns
from screens.widgets.tones import Cells, PieceStyles, Tone, segments, spans, tone_css
from screens.widgets.whole_lines import WholeLines

PIECES = 1_500
"""Drawn cells that a table remembers: more than a wall monitor shows at once."""


class LineTable(ScrollView, Generic[Row], can_focus=True):
    """Keyed rows under fixed headings, with a cursor.

    Args:
        columns: what to draw, left to right; where none has a heading there is no line for them.
        key: identity of a row; the cursor stays with it when rows are replaced.
        empty: what to say when there are no rows; may name keys (`screens.spelling`).
        follow: new rows arrive at the top and the table stays at the top, without a cursor, until
            the operator moves; from then on nothing moves and `waiting` counts what came since.
    """

    DEFAULT_CSS = """
    LineTable {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
        .line-table--heading { color: $text-muted; }
        .line-table--cursor { background: $cursor-row; }
        .line-table--cursor-blurred { background: $cursor-row-blurred; }
    }
    """ + tone_css("LineTable")
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("open", "open_row"),
        bind("table.down", "cursor_down"),
        bind("table.up", "cursor_up"),
        bind("table.page_down", "page_down"),
        bind("table.page_up", "page_up"),
        bind("table.top", "cursor_top"),
        bind("table.bottom", "cursor_bottom"),
    ]

    always_live: ClassVar[bool] = False
    """Draw the cursor as with the focus, for lists that another widget steers."""

    waiting: reactive[int | None] = reactive(None, repaint=False)
    """Rows that arrived above while the operator reads; None while the table follows."""

    class Moved(Message):
        """The cursor is on another row (or on none)."""

        def __init__(self, table: LineTable[Any]) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> LineTable[Any]:
            """The table it happened in."""
            return self.table

    class Opened(Moved):
        """Enter or a double click on the row under the cursor."""

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        key: Callable[[Row], Hashable],
        *,
        empty: str = "nothing here yet",
        follow: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        self._styles_of = PieceStyles(self)
        self._drawn: dict[tuple[Cells, int, bool], list[Segment]] = {}
        super().__init__(id=id, classes=classes)
        self._styles_cache = WholeLines()
        self._columns = tuple(columns)
        self._top = _heading_lines(columns)
        self._row_key = key
        self._empty = empty
        self._follow = follow
        self._rows: tuple[Row, ...] = ()
        self._places: dict[Hashable, int] = {}
        self._cursor = -1
        self._held_from: Hashable = None
        self._fitted: list[tuple[Column[Row], int]] = []
        self._fitted_width = -1
        self._aged: dict[Hashable, tuple[Cells, ...]] = {}

    # What a screen asks and tells

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows, top to bottom."""
        return self._rows

    @property
    def cursor(self) -> int:
        """Index of the row under the cursor, -1 when there is none."""
        return self._cursor

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if 0 <= self._cursor < len(self._rows) else None

    @property
    def following(self) -> bool:
        """Whether new rows move the table along."""
        return self._follow and self.waiting is None

    @property
    def visible_lines(self) -> int:
        """Rows that fit between the headings and the bottom."""
        return max(0, self.scrollable_content_region.height - self._top)

    def set_empty(self, text: str) -> None:
        """Change what is said when there are no rows."""
        if text != self._empty:
            self._empty = text
            self.refresh()

    def set_columns(self, columns: Sequence[Column[Row]]) -> None:
        """Draw other columns of the same rows."""
        self._columns = tuple(columns)
        self._top = _heading_lines(columns)
        self._fitted_width = -1
        self.refresh()

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Replace the rows; lines that look the same are not drawn again."""
        new = tuple(rows)
        old, old_scroll, old_key = self._rows, int(self.scroll_offset.y), self._cursor_key()
        anchor, offset = self._anchor(old_scroll)
        self._rows = new
        self._places = {self._row_key(row): index for index, row in enumerate(new)}
        self._place_cursor(old_key)
        scroll = old_scroll
        if self.following:
            scroll = 0
        elif anchor in self._places:
            scroll = self._places[anchor] - offset
        if self.waiting is not None:
            self.waiting = self._places.get(self._held_from, len(new))
        # What is held stays on its line also where everything would fit without scrolling.
        held = self.waiting is not None
        scroll = max(0, min(scroll, len(new) - (1 if held else self.visible_lines)))
        self._measure(scroll if held else 0)
        if scroll != old_scroll:
            self.scroll_to(y=scroll, animate=False, force=True)
        if scroll != old_scroll or not old or not new:
            self.refresh()
        else:
            self._refresh_changed(old, scroll)
        if self._cursor_key() != old_key:
            self.post_message(self.Moved(self))

    def refresh_aged(self) -> None:
        """Draw the lines again whose cells differ from a moment ago although the row is the same.

        Most ages that are more than a minute stand still for a minute.
        """
        scroll = int(self.scroll_offset.y)
        before, self._aged = self._aged, {}
        for index in range(scroll, min(scroll + self.visible_lines, len(self._rows))):
            row = self._rows[index]
            key = self._row_key(row)
            cells = tuple(column.cell(row) for column, _ in self._fitted if column.ages)
            self._aged[key] = cells
            if before.get(key) != cells:
                self.refresh_line(index + self._top)

    def select(self, key: Hashable) -> bool:
        """Put the cursor on the row of that key; False when there is none."""
        place = self._places.get(key)
        if place is None:
            return False
        self.move_cursor(place)
        return True

    def move_cursor(self, index: int) -> None:
        """Put the cursor on a row, as near as there is one, and bring it into view."""
        if not self._rows:
            return
        before, self._cursor = self._cursor, max(0, min(index, len(self._rows) - 1))
        self._hold()
        self._scroll_into_view()
        if before != self._cursor:
            for line in (before, self._cursor):
                if line >= 0:
                    self.refresh_line(line + self._top)
            self.post_message(self.Moved(self))

    def clear_cursor(self) -> None:
        """Take the cursor away."""
        self._refresh_cursor()
        self._cursor = -1

    def release(self) -> None:
        """Go back to the top and follow what arrives."""
        self.scroll_to(y=0, animate=False, force=True)
        self._measure(0)
        self._cursor = -1
        self.waiting, self._held_from = None, None
        self.refresh()
        self.post_message(self.Moved(self))

    def row_text(self, row: Row | None) -> str:
        """A row (None: the headings) as plain text, every column of it, with tabs between."""
        if row is None:
            return "\t".join(column.title for column in self._columns)
        parts = ("".join(cell.text for cell in spans(c.cell(row))).strip() for c in self._columns)
        return "\t".join(parts)

    # Keys and mouse

    def action_cursor_down(self) -> None:
        """Move one row down."""
        self.move_cursor(self._cursor + 1)

    def action_cursor_up(self) -> None:
        """Move one row up."""
        self.move_cursor(max(0, self._cursor - 1))

    def action_page_down(self) -> None:
        """Move a page down."""
        self.move_cursor(max(0, self._cursor) + max(1, self.visible_lines - 1))

    def action_page_up(self) -> None:
        """Move a page up."""
        self.move_cursor(max(0, self._cursor - max(1, self.visible_lines - 1)))

    def action_cursor_top(self) -> None:
        """Go to the first row; a following table follows again."""
        if self._follow:
            self.release()
        else:
            self.move_cursor(0)

    def action_cursor_bottom(self) -> None:
        """Go to the last row."""
        self.move_cursor(len(self._rows) - 1)

    def action_open_row(self) -> None:
        """Tell the screen to open the row under the cursor."""
        if self.current is not None:
            self.post_message(self.Opened(self))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enter is greyed while no row is under the cursor."""
        if action == "open_row" and self.reason(action):
            return None
        return super().check_action(action, parameters)

    def reason(self, action: str) -> str:
        """Why a key cannot act now, "" when it can."""
        if action != "open_row" or self.current is not None:
            return ""
        if not self._rows:
            return "the table is empty"
        return "no line is selected - {table.down} selects one"

    def on_click(self, event: events.Click) -> None:
        """Select a row; a second click opens it."""
        index = int(self.scroll_offset.y) + event.y - self._top
        if event.y >= self._top and index < len(self._rows):
            self.move_cursor(index)
            if event.chain > 1:
                self.action_open_row()

    def on_focus(self) -> None:
        """Show that the cursor is live."""
        self._refresh_cursor()

    def on_blur(self) -> None:
        """Show that the cursor rests."""
        self._refresh_cursor()

    def on_resize(self) -> None:
        """Fit the columns to the new width."""
        self._measure(int(self.scroll_offset.y) if self.waiting is not None else 0)
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling away from the top holds a following table, too."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value) and round(new_value) > 0:
            self._hold()

    # Drawing

    def render_line(self, y: int) -> Strip:
        """One line: headings first, then the rows from the scroll position on."""
        width = self.size.width
        self._fit(self.scrollable_content_region.width)
        if y < self._top:
            return self._heading(width)
        index = int(self.scroll_offset.y) + y - self._top
        if index < len(self._rows):
            return self._line(index, width)
        if not self._rows and y == self._top + 1:
            words = " " * GUTTER + spell(self, self._empty)
            text = Segment(fit(words, width), self._style("muted"))
            return Strip([text], width)
        return Strip.blank(width, self._style(""))

    def notify_style_update(self) -> None:
        """Another theme or state: perhaps other styles."""
        super().notify_style_update()
        if self._styles_of.renew():
            self._drawn.clear()
            self.refresh()

    def _fit(self, width: int) -> None:
        if width != self._fitted_width:
            self._fitted_width = width
            self._fitted = fit_columns(self._columns, width)

    def _style(self, tone: Tone) -> Style:
        return self._styles_of.tone(tone)

    def _heading(self, width: int) -> Strip:
        style = self._styles_of.whole("line-table--heading")
        line = [Segment(" " * GUTTER, style)]
        for column, room in self._fitted:
            line.append(Segment(fit(column.title, room, right=column.right), style))
            line.append(Segment(self.heading_sign(column).ljust(GAP), style))
        return Strip(line).adjust_cell_length(width, style)

    def heading_sign(self, column: Column[Row]) -> str:
        """What stands behind a column's heading, at most `GAP` cells."""
        return ""

    def _line(self, index: int, width: int) -> Strip:
        row, on_cursor = self._rows[index], index == self._cursor
        live = self.has_focus or self.always_live
        plain = self._style("")
        line = [Segment("▸ " if on_cursor and live else " " * GUTTER, plain)]
        drawn = GUTTER
        for column, room in self._fitted:
            line += self._pieces(column.cell(row), room, column.right)
            drawn += room + GAP
        if drawn < width:
            line.append(Segment(" " * (width - drawn), plain))
        strip = Strip(line, max(drawn, width)).adjust_cell_length(width, plain)
        if on_cursor:
            name = "line-table--cursor" if live else "line-table--cursor-blurred"
            over = self._styles_of.alone(name)
            # What has a background of its own keeps it: its text is chosen for that one.
            styled = [(piece.text, piece.style or plain) for piece in strip]
            below = plain.bgcolor
            line = [Segment(t, s + over if s.bgcolor == below else s) for t, s in styled]
            strip = Strip(line, width)
        return strip

    def _pieces(self, cells: Cells, room: int, right: bool) -> list[Segment]:
        """What a cell and the gap behind it are drawn with; most cells are as they were."""
        known = self._drawn.get((cells, room, right))
        if known is not None:
            return known
        pieces, plain = segments(cells, room, self._style, right=right), self._style("")
        style = pieces[-1].style if pieces else None
        if style is not None and style.bgcolor == plain.bgcolor:
            text = pieces[-1].text
            pieces[-1] = Segment(text + " " * GAP, style)  # half as many pieces in a line
        else:
            pieces.append(Segment(" " * GAP, plain))
        if len(self._drawn) >= PIECES:
            self._drawn.clear()
        self._drawn[cells, room, right] = pieces
        return pieces

    def _refresh_changed(self, old: tuple[Row, ...], scroll: int) -> None:
        new, first = self._rows, -1
        end = min(scroll + self.visible_lines, max(len(old), len(new)))
        for index in range(scroll, end):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            if before is not after and before != after:
                first = index if first < 0 else first
            elif first >= 0:
                # Lines side by side are one region: each region costs as much as a line.
                self.refresh_lines(first + self._top, index - first)
                first = -1
        if first >= 0:
            self.refresh_lines(first + self._top, end - first)

    def _refresh_cursor(self) -> None:
        if self._cursor >= 0:
            self.refresh_line(self._cursor + self._top)

    # Cursor and scroll position

    def _measure(self, scroll: int) -> None:
        """Let the table be as long as its rows, and long enough to stand at ``scroll``."""
        lines = max(len(self._rows), scroll + self.visible_lines if scroll else 0)
        size, before = (
            Size(self.scrollable_content_region.width, lines + self._top),
            self.virtual_size,
        )
        room, height = self.size.height, self.styles.height
        if (
            size.width == before.width
            and min(size.height, before.height) > room > 0
            and height is not None
            and not height.is_auto
        ):
            # Longer than it is tall before and after: only the scroll bar has to know. Setting the
            # size as usual would arrange and draw the whole screen again for every new row.
            self.set_reactive(ScrollView.virtual_size, size)  # pyright: ignore[reportArgumentType]
            self.vertical_scrollbar.window_virtual_size = size.height
        else:
            self.virtual_size = size

    def _cursor_key(self) -> Hashable:
        row = self.current
        return None if row is None else self._row_key(row)

    def _anchor(self, scroll: int) -> tuple[Hashable, int]:
        """The row that must not move on screen, and how far below the first line it is."""
        if not self._rows:
            return None, 0
        if scroll <= self._cursor < scroll + self.visible_lines:
            return self._cursor_key(), self._cursor - scroll
        return self._row_key(self._rows[min(scroll, len(self._rows) - 1)]), 0

    def _place_cursor(self, key: Hashable) -> None:
        if key is not None and key in self._places:
            self._cursor = self._places[key]
        elif self.following or not self._rows:
            self._cursor = -1
        else:
            self._cursor = max(0, min(self._cursor, len(self._rows) - 1))

    def _hold(self) -> None:
        if self._follow and self.waiting is None and self._rows:
            self._held_from = self._row_key(self._rows[0])
            self.waiting = 0

    def _scroll_into_view(self) -> None:
        scroll, lines = int(self.scroll_offset.y), self.visible_lines
        if self._cursor < scroll:
            self.scroll_to(y=self._cursor, animate=False, force=True)
        elif lines and self._cursor >= scroll + lines:
            self.scroll_to(y=self._cursor - lines + 1, animate=False, force=True)


def _heading_lines(columns: Sequence[Column[Any]]) -> int:
    return 1 if any(column.title for column in columns) else 0


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.widgets.tones import Cell

    squares = LineTable[int](
        [
            Column("n", 6, lambda n: Cell(str(n)), right=True),
            Column("square", 10, lambda n: Cell(f"{n * n:,}", "gain"), right=True),
            Column("words", 20, lambda n: Cell("even" if n % 2 == 0 else "odd", "muted"), grow=40),
        ],
        key=lambda n: n,
    )
    show_alone(squares, lambda: squares.set_rows(range(200)))
