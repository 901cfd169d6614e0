"""The command palette: every action of the screen by name, and the themes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from textual.binding import ActiveBinding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from console.keymap import ORDER, key_sign
from console.themes import THEMES
from screens.base import Explains
from screens.spelling import spell
from screens.text import clean

_LEFT_OUT = ("table.", "palette", "quit.always", "pane.previous")
"""Beginnings of key ids that make no sense as a command."""


class Command(NamedTuple):
    """One line of the palette."""

    name: str
    help: str
    run: Callable[[], object]


class ConsoleCommands(Provider):
    """What the keys of the screen do, then the themes; what cannot act says why."""

    def commands(self) -> Iterator[Command]:
        """Every command there is here: one per key id in keymap order, one per theme."""
        found: dict[str, ActiveBinding] = {}
        for active in self.screen.active_bindings.values():
            key_id = active.binding.id
            if key_id and active.binding.tooltip and not key_id.startswith(_LEFT_OUT):
                found.setdefault(key_id, active)
        for key_id in sorted(found, key=lambda key_id: ORDER.get(key_id, len(ORDER))):
            yield self._command(found[key_id])
        for theme in THEMES:
            name = theme.name.removeprefix("signaldeck-")
            run = partial(setattr, self.app, "theme", theme.name)
            yield Command(f"Theme: {name}", f"Use the {name} colours", run)

    async def discover(self) -> Hits:
        """Everything, while nothing is typed."""
        for command in self.commands():
            shown = _lines(Content(command.name), command.help)
            yield DiscoveryHit(shown, command.run, text=command.name)

    async def search(self, query: str) -> Hits:
        """What resembles the query."""
        matcher = self.matcher(query)
        for command in self.commands():
            score = matcher.match(command.name)
            if score > 0:
                shown = _lines(matcher.highlight(command.name), command.help)
                yield Hit(score, shown, command.run, text=command.name)

    def _command(self, active: ActiveBinding) -> Command:
        node, binding, enabled, _ = active
        key = key_sign(binding.key)
        if enabled:
            run = partial(self.app.run_action, binding.action, node)
            return Command(f"{binding.description}  ({key})", binding.tooltip, run)
        why = "it cannot act now"
        if isinstance(node, Explains):
            reason = node.reason(binding.action.partition("(")[0])
            why = clean(spell(self.screen, reason)) or why
        tell = partial(
            self.app.notify,
            why,
            title=f"{binding.description} cannot act",
            severity="warning",
            markup=False,
        )
        return Command(f"{binding.description}  (not now)", why, tell)


def _lines(name: Content, sentence: str) -> Content:
    """A command above what it does, which may name runs: as a help, Textual would parse it."""
    return Content("\n").join([name, Content.styled(sentence, "$text-muted")])
