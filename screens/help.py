"""Every key that exists where the operator stands, made from the bindings themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import ActiveBinding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from console.keymap import KEYS, ORDER, bind, key_sign
from screens.base import Explains
from screens.spelling import spell
from screens.text import clean
from screens.widgets.line_table import Column, LineTable
from screens.widgets.tones import Cell


@dataclass(frozen=True, slots=True)
class HelpRow:
    """One key of the help; ``why_not`` says why it cannot act at the moment."""

    id: str
    keys: str
    name: str
    sentence: str
    why_not: str


def help_rows(active: Mapping[str, ActiveBinding]) -> tuple[HelpRow, ...]:
    """The bindings that have an id and a tooltip, keys of one id together, in keymap order."""
    keys: dict[str, list[str]] = {}
    first: dict[str, ActiveBinding] = {}
    for found in active.values():
        key_id = found.binding.id
        if key_id and found.binding.tooltip:
            keys.setdefault(key_id, []).append(found.binding.key)
            first.setdefault(key_id, found)
    rows: list[HelpRow] = []
    for key_id in sorted(first, key=lambda key_id: ORDER.get(key_id, len(ORDER))):
        node, binding, enabled, _ = first[key_id]
        default = KEYS[key_id].keys if key_id in KEYS else ""
        names = sorted(keys[key_id], key=default.find)
        why = ""
        if not enabled and isinstance(node, Explains):
            why = spell(node, node.reason(binding.action.partition("(")[0]))
        shown = " ".join(map(key_sign, names))
        rows.append(HelpRow(key_id, shown, binding.description, binding.tooltip, why))
    return tuple(rows)


class HelpDialog(ModalScreen[None]):
    """The keys of the screen below.

    Args:
        active: `active_bindings` of that screen.
    """

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "dismiss"),
        bind("help", "dismiss", description="Close"),
        bind("quit", "dismiss", description="Close"),
    ]

    def __init__(self, active: Mapping[str, ActiveBinding]) -> None:
        super().__init__()
        self._rows = help_rows(active)

    def compose(self) -> ComposeResult:
        """A table of keys."""
        columns = (
            Column[HelpRow]("key", 9, lambda r: Cell(r.keys, "accent")),
            Column[HelpRow]("command", 12, lambda r: Cell(r.name, "strong")),
            Column[HelpRow](
                "what it does",
                30,
                lambda r: (
                    Cell(r.sentence)
                    if not r.why_not
                    else Cell(f"not now: {clean(r.why_not)}", "warn")
                ),
                grow=80,
            ),
        )
        with Vertical(id="dialog"):
            yield Static(Content("Keys that work here"), id="title")
            yield LineTable[HelpRow](columns, key=lambda row: row.id, id="keys")
            yield Static(id="whole")
            hint = "{back} closes - keys can be changed in signaldeck.toml, section [keys]"
            yield Static(Content(spell(self, hint)), id="hint")

    def on_mount(self) -> None:
        """Fill in the keys."""
        table = self.query_one("#keys", LineTable)
        table.set_rows(self._rows)
        table.focus()

    def on_line_table_moved(self) -> None:
        """The whole sentence of the selected key, which its column may cut."""
        row = self.query_one("#keys", LineTable).current
        if isinstance(row, HelpRow):
            text = (
                f"{row.sentence} - not now: {clean(row.why_not)}" if row.why_not else row.sentence
            )
            self.query_one("#whole", Static).update(Content(text))
