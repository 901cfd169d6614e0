"""What the screens of the console have in common.

Header on top, footer below, panels that are drawn only when their topic moved and they are visible,
clocks and ages that move every second, and greyed keys that say why they cannot act.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from time import monotonic
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget

from console.keymap import bind
from console.views import DeckSnapshot
from engine.domain.errors import EngineError
from screens.clipboard import copy_native
from screens.confirm import Answer, ConfirmDialog
from screens.context import ScreenContext
from screens.export import chosen, exported, file_name, write
from screens.following import word_empty_tables
from screens.layout import ignored, recalled_list
from screens.spelling import spell
from screens.text import clean
from screens.widgets.header_line import HeaderLine
from screens.widgets.key_bar import KeyBar
from screens.widgets.line_table import LineTable
from screens.widgets.marked_table import MarkedTable
from screens.widgets.pane import Pane, PaneStack
from screens.widgets.panel import Panel
from screens.widgets.sortable_table import SortableTable
from screens.widgets.whole_lines import WholeLines

MODES = (
    ("mode.deck", "Deck"),
    ("mode.signals", "Signals"),
    ("mode.scheduled", "Scheduled"),
    ("mode.risk", "Risk"),
    ("mode.backtests", "Backtests"),
    ("mode.walkers", "Walkers"),
    ("mode.performance", "Performance"),
    ("mode.log", "Log"),
)
"""Key id and name of every mode there is, as the header lists them."""

T = TypeVar("T")


@runtime_checkable
class Explains(Protocol):
    """A node that can say why one of its actions cannot act."""

    def reason(self, action: str) -> str:
        """Why it cannot act now, "" when it can; may name keys (`screens.spelling`)."""
        ...


@runtime_checkable
class Follower(Protocol):
    """A screen or dialog that wants to know when the snapshot was swapped."""

    def follow(self) -> None:
        """Draw what moved."""
        ...


PART = 0.3
"""As much of the screen as is drawn in one frame, unless a panel is larger."""

STALLED = 1.0
"""Seconds after which the next frame is not waited for any more."""


class BaseScreen(Screen[None]):
    """A screen with header, footer and panels.

    Args:
        context: host, clock and session.

    Attributes:
        opening: what a dialog has to say first is being asked for (`console.in_turn.Opens`).
    """

    mode_name: str = ""
    CSS_PATH = "base.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("pane.next", "next_pane(1)"),
        bind("pane.previous", "next_pane(-1)"),
        bind("pause", "pause"),
        bind("copy", "copy"),
        bind("export", "export"),
    ]

    def __init__(self, context: ScreenContext) -> None:
        super().__init__()
        self._styles_cache = WholeLines()
        self.context = context
        self._drawn: dict[Panel, tuple[int, ...]] = {}
        self._due: deque[Panel] = deque()
        self._begun_at = 0.0
        self._paused_at: int | None = None
        self.opening = False
        self._stacks: tuple[PaneStack, ...] = ()
        self._styled_for: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Header, the screen's own part, footer."""
        yield HeaderLine(self.context, MODES, self.mode_name)
        body = [*self.compose_body()]
        self._stacks = tuple(part for part in body if isinstance(part, PaneStack))
        self.arrange_panes(self.app.size)  # afterwards, all of it would be styled and drawn again
        yield from body
        yield KeyBar()

    def on_mount(self) -> None:
        """Tables are sorted as the operator left them."""
        if self.context.host.read_only:
            word_empty_tables(self, self.context.host.about.state)
        self._styled_for = self._styled_by()
        self._sort_again()

    def compose_body(self) -> ComposeResult:
        """The screen's own part."""
        raise NotImplementedError

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Draw what moved while the screen was away; style it where the styles may be others."""
        event.refresh_styles = self._styled_for != self._styled_by()
        self._styled_for = self._styled_by()
        self.follow()
        self.tick()

    def on_resize(self, event: events.Resize) -> None:
        """Arrange the panes for the terminal."""
        self.arrange_panes(event.size)
        self.call_after_refresh(self.follow)

    def arrange_panes(self, size: Size) -> None:
        """Arrange the panes for a terminal of that size; also before they are mounted."""
        for stack in self._stacks:
            stack.resized(size.width, size.height)

    def select_run(self, run_id: str) -> None:
        """Put the cursor on a run, where the screen lists runs."""

    def _styled_by(self) -> tuple[object, ...]:
        """What all styles may change with while the screen is away."""
        return self.app.theme, self.app.app_focus

    # Drawing

    def panels(self) -> tuple[Panel, ...]:
        """The panels of this screen that are in sight now, if only as a number in a title."""
        found = (widget for widget in self.query(Widget) if isinstance(widget, Panel))
        return tuple(panel for panel in found if _shown(panel))

    def follow(self) -> None:
        """Draw the visible panels whose topics moved since they were drawn."""
        self._due.clear()
        if self.is_mounted and self.display:  # else its panels may be gone already
            for panel in self._going_on():
                self._draw(panel)
            self._have_followed()

    def follow_in_turn(self) -> None:
        """Draw what moved a part of the screen at a time; a key waits for a part, not for all."""
        stalled = monotonic() > self._begun_at + STALLED
        begun = bool(self._due) and not stalled
        self._due.extend(panel for panel in self._going_on() if panel not in self._due)
        if not begun:
            self._draw_next()

    def _draw_next(self) -> None:
        self._begun_at = monotonic()
        going_on = self._going_on() if self.is_mounted and self.display else ()
        drawn = 0
        while self._due:
            panel = self._due.popleft()
            if panel not in going_on or not isinstance(panel, Widget) or not self._draw(panel):
                continue
            drawn += panel.size.area
            if self._due and drawn > self.size.area * PART:
                # Said through the panel, so that it comes after what that has to paint.
                panel.call_after_refresh(self._draw_next)
                return
        if going_on:
            self._have_followed()

    def _draw(self, panel: Panel) -> bool:
        snapshot = self.context.snapshot
        counters = tuple(getattr(snapshot.versions, topic) for topic in panel.topics)
        if self._drawn.get(panel) == counters:
            return False
        self._drawn[panel] = counters
        panel.show(snapshot)
        return True

    def _have_followed(self) -> None:
        if self._paused_at is None:
            self.after_follow()
        self.refresh_bindings()

    def after_follow(self) -> None:
        """What a screen does beside its panels when the snapshot moved."""

    def tick(self) -> None:
        """A second has passed: let clocks and ages move."""
        for panel in self._going_on():
            panel.tick()

    # Holding still

    @property
    def pause_words(self) -> str:
        """That the view is held still, and how much waits; "" while it goes on."""
        if self._paused_at is None:
            return ""
        waiting = self.happened(self.context.snapshot) - self._paused_at
        key = spell(self, "{pause}")
        return f"PAUSED, {waiting:,} waiting - {key} goes on"

    def happened(self, snapshot: DeckSnapshot) -> int:
        """How much there has been of what the screen shows, for the count of what waits."""
        return snapshot.feed_total

    def action_pause(self) -> None:
        """Hold the view still while everything is collected further, or catch up."""
        held = self._paused_at is not None
        self._paused_at = None if held else self.happened(self.context.snapshot)
        self.query_one(HeaderLine).refresh()
        self.follow()

    def end_pause(self) -> None:
        """Go on, because something was done whose effect must be seen."""
        if self._paused_at is not None:
            self.action_pause()

    def _going_on(self) -> tuple[Panel, ...]:
        """The visible panels that are drawn; while the view is held still only the header is."""
        panels = self.panels()
        if self._paused_at is None:
            return panels
        return tuple(panel for panel in panels if isinstance(panel, HeaderLine))

    # Keys

    def reason(self, action: str) -> str:
        """Why an action of this screen cannot act now, "" when it can."""
        if action == "export" and self.app.is_web:
            return "a file would be written where signaldeck serve runs: export there"
        if action == "export":
            return "" if self._table() is not None else "there is no table with lines to export"
        if action != "copy" or self.current_row() is not None:
            return ""
        if isinstance(self.focused, LineTable) and self.focused.rows:
            return "no line is selected - {table.down} selects one"
        return "there is no line here to copy"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey what cannot act."""
        return None if self.reason(action) else True

    def on_key(self, event: events.Key) -> None:
        """Say why a greyed key does nothing."""
        active = self.active_bindings.get(event.key)
        if active is None or active.enabled or not isinstance(active.node, Explains):
            return
        event.stop()
        why = spell(self, active.node.reason(active.binding.action.partition("(")[0]))
        name = active.binding.description
        self.notify(clean(why), title=f"{name} cannot act", severity="warning", markup=False)

    def on_sortable_table_sorted(self, message: SortableTable.Sorted) -> None:
        """The order is that of the next start, too."""
        name, order = _sorting(message.table), message.table.order
        self.context.host.memory.remember(name, list(order) if order[0] else None)

    def _sort_again(self) -> None:
        memory = self.context.host.memory
        for table in self.query(SortableTable):
            name = _sorting(table)
            order = recalled_list(memory, name, str, bool) if table.id else []
            if order and not table.sort_by(order[0], descending=order[1]):
                ignored(name, order)

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        """What can act depends on the line under the cursor."""
        self.refresh_bindings()

    def current_row(self) -> tuple[LineTable[object], object] | None:
        """The focused table and its row under the cursor."""
        table = self.focused
        if isinstance(table, LineTable) and table.current is not None:
            return table, table.current
        return None

    def action_next_pane(self, by: int) -> None:
        """Open the next pane, or the previous one."""
        for stack in self.query(PaneStack):
            stack.step(by)
        self.follow()

    def _table(self) -> LineTable[object] | None:
        table = self.focused
        return table if isinstance(table, LineTable) and table.rows else None

    @work
    async def action_export(self) -> None:
        """Ask for a format, then write the table to a file in the working directory."""
        table = self._table()
        if table is None:
            return
        try:
            folder = Path.cwd()
        except OSError:
            text = "the folder this console was started in is gone: start it in another one"
            self.notify(text, title="export failed", severity="error", markup=False)
            return
        name = table.id or "table"
        # What the question counts is what is written, however rows come and go meanwhile.
        rows, words = chosen(table)
        form = await self.app.push_screen_wait(
            ConfirmDialog(
                f"Export {words} in {name}?",
                f"As a file in {folder}, where nothing is replaced.",
                (
                    Answer("no", "No"), Answer("markdown", "Markdown"), Answer("csv", "CSV"),
                    Answer("json", "JSON"),
                ),
            )
        )  # fmt: skip
        if form == "no":
            return
        path = folder / file_name(name, form, self.context.now())
        try:
            written = await asyncio.to_thread(write, path, exported(table, form, rows))
        except OSError as error:
            text = f"{path}: {error.strerror or error}"
            self.notify(clean(text), title="export failed", severity="error", markup=False)
        else:
            self.notify(clean(str(written)), title="exported", markup=False)

    async def action_copy(self) -> None:
        """Copy the line under the cursor: by OSC 52, and natively where a program can."""
        current = self.current_row()
        if current is None:
            return
        table, row = current
        marked = table.marked if isinstance(table, MarkedTable) else ()
        text = "\n".join(table.row_text(one) for one in marked or (row,))
        self.app.copy_to_clipboard(text)
        program = await copy_native(text)
        how = f"with {program}" if program else "through the terminal"
        self.notify(f"copied {how}", timeout=2, markup=False)

    async def ask(self, command: Callable[[], Future[T]], what: str) -> T | None:
        """Give the host a command and await it; a refusal becomes a notification.

        Args:
            command: makes the future.
            what: the command in words, for the title of the refusal.
        """
        self.end_pause()
        try:
            return await asyncio.wrap_future(command())
        except EngineError as error:
            text = str(error)
        except Exception as error:
            # The last line of defence: a bug behind one command must not take down a console
            # that watches live runs.
            text = f"{type(error).__name__}: {error}"
        self.notify(clean(text), title=f"{what} refused", severity="error", markup=False)
        return None


def _sorting(table: SortableTable[object]) -> str:
    return f"sort.{table.id}"


def _shown(panel: Panel) -> bool:
    if not isinstance(panel, Widget):
        return False
    counted = isinstance(panel.parent, Pane) and panel.parent.counts
    nodes = panel.ancestors if counted else panel.ancestors_with_self
    return all(node.display for node in nodes if isinstance(node, Widget))
