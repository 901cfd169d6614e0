"""The footer: the keys that work here, in a fixed order, those that cannot act now greyed.

It is one drawn line, not a row of widgets, so it costs nothing when the cursor moves. As many keys
are shown as there is room for, the most needed ones first, and always the help, which lists all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from textual import events
from textual.binding import ActiveBinding, Binding
from textual.screen import Screen
from textual.strip import Strip

from console.keymap import ORDER, key_sign
from screens.widgets.tones import Cell, ToneWidget, segments

_ALWAYS: Final = ("help", "quit")
"""Ids that are shown on a line of any length."""

_USUAL: Final = ("back", "open", "run.new", "copy", "palette", "pane.next")
"""Ids behind those that are a screen's own, the most needed first."""

_WITH_ROOM: Final = (
    "mark", "export", "run.cancel", "run.again", "pause", "report", "search.like",
    "search.invert", "sort", "run.stop_all", "run.close_all", "chart.volume", "about",
)  # fmt: skip
"""Ids that are shown behind all others where they are not meant to be, the most needed first."""


@dataclass(frozen=True, slots=True)
class KeyItem:
    """One key of the footer.

    Attributes:
        rank: its place among the keys by how much they are needed; 0 is most.
    """

    id: str
    key: str
    shown: str
    description: str
    enabled: bool
    rank: int

    @property
    def width(self) -> int:
        """Cells it takes with the gap after it."""
        return cell_len(self.shown) + 1 + cell_len(self.description) + 2


def key_items(active: Iterable[ActiveBinding]) -> tuple[KeyItem, ...]:
    """The bindings a footer lists where it is long enough, one per id, in the keymap's order."""
    found: dict[str, KeyItem] = {}
    for _, binding, enabled, _ in active:
        rank = _rank(binding)
        if rank is None or not binding.id or binding.id in found:
            continue
        shown = binding.key_display or key_sign(binding.key)
        item = KeyItem(binding.id, binding.key, shown, binding.description, enabled, rank)
        found[item.id] = item
    return tuple(sorted(found.values(), key=lambda item: ORDER.get(item.id, len(ORDER))))


def _rank(binding: Binding) -> int | None:
    if binding.id in _ALWAYS:
        return 0
    if binding.show:
        return 2 + _USUAL.index(binding.id) if binding.id in _USUAL else 1
    if binding.id in _WITH_ROOM:
        return 2 + len(_USUAL) + _WITH_ROOM.index(binding.id)
    return None


def fitting(items: tuple[KeyItem, ...], width: int) -> tuple[KeyItem, ...]:
    """Those of the items that fit into ``width`` cells, in the order they came in."""
    kept: set[str] = set()
    for item in sorted(items, key=lambda item: item.rank):
        width -= item.width
        if width < 0 and item.rank:
            break
        kept.add(item.id)
    return tuple(item for item in items if item.id in kept)


class KeyBar(ToneWidget):
    """The footer of a screen; a click on a key presses it."""

    DEFAULT_CSS = """
    KeyBar {
        height: 1;
        dock: bottom;
        background: $surface;
        color: $foreground;
        .key-bar--greyed { color: $text-disabled; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._items: tuple[KeyItem, ...] = ()

    @property
    def items(self) -> tuple[KeyItem, ...]:
        """What the footer would list now if it were long enough."""
        return self._items

    @property
    def shown(self) -> tuple[KeyItem, ...]:
        """What it lists."""
        return fitting(self._items, self.size.width - 1)

    def on_mount(self) -> None:
        """Follow the screen's bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)
        self._bindings_changed(self.screen)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        items = key_items(screen.active_bindings.values())
        if items != self._items:
            self._items = items
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The keys, left to right."""
        width = self.size.width
        line = segments(Cell(" "), 1, self.style_of)
        for item in self.shown:
            if item.enabled:
                pair = (Cell(f"{item.shown} ", "strong"), Cell(f"{item.description}  ", "muted"))
                line += segments(pair, item.width, self.style_of)
            else:
                text = Cell(f"{item.shown} {item.description}  ")
                line += segments(text, item.width, lambda _: self.pieces.whole("key-bar--greyed"))
        return Strip(line).adjust_cell_length(width, self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked."""
        at = 1
        for item in self.shown:
            if at <= event.x < at + item.width - 2:
                self.app.simulate_key(item.key)
            at += item.width


if __name__ == "__main__":
    from screens.alone import show_alone

    show_alone(KeyBar())
