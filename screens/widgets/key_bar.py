"""The footer: the keys that work here, in a fixed order, those that cannot act now greyed.

It is one drawn line, not a row of widgets, so it costs nothing when the cursor moves. Where the
terminal is narrow the least needed keys give way; the help lists all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from textual import events
from textual.binding import ActiveBinding
from textual.screen import Screen
from textual.strip import Strip

from console.keymap import ORDER, key_sign
from screens.widgets.tones import Cell, ToneWidget, segments

_GIVE_WAY: Final = ("pane.next", "palette", "copy", "run.new", "back", "open")
"""Ids that are left out first where the line is too short."""


@dataclass(frozen=True, slots=True)
class KeyItem:
    """One key of the footer."""

    id: str
    key: str
    shown: str
    description: str
    enabled: bool

    @property
    def width(self) -> int:
        """Cells it takes with the gap after it."""
        return cell_len(self.shown) + 1 + cell_len(self.description) + 2


def key_items(active: Iterable[ActiveBinding]) -> tuple[KeyItem, ...]:
    """The bindings a footer lists, one per id, in the keymap's order."""
    found: dict[str, KeyItem] = {}
    for _, binding, enabled, _ in active:
        if not binding.show or not binding.id or binding.id in found:
            continue
        shown = binding.key_display or key_sign(binding.key)
        item = KeyItem(binding.id, binding.key, shown, binding.description, enabled)
        found[binding.id] = item
    return tuple(sorted(found.values(), key=lambda item: ORDER.get(item.id, len(ORDER))))


def fitting(items: tuple[KeyItem, ...], width: int) -> tuple[KeyItem, ...]:
    """As many of the items as fit into ``width`` cells."""
    kept = list(items)
    for key_id in _GIVE_WAY:
        if sum(item.width for item in kept) <= width:
            break
        kept = [item for item in kept if item.id != key_id]
    return tuple(kept)


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
        """What the footer lists now."""
        return self._items

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
        cells: list[Cell] = [Cell(" ")]
        width = self.size.width
        line = segments(tuple(cells), 1, self.style_of)
        for item in fitting(self._items, width - 1):
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
        for item in fitting(self._items, self.size.width - 1):
            if at <= event.x < at + item.width - 2:
                self.app.simulate_key(item.key)
            at += item.width


if __name__ == "__main__":
    from screens.alone import show_alone

    show_alone(KeyBar())
