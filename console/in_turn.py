"""Keys act one after the other, however fast they arrive.

Over a slow line, or typed ahead of a busy screen, several keys come in one packet. Textual gives
each to the widget that has the focus when it arrives, while a binding acts only once its key has
come back up from there: ``n`` and the letters behind it would all go to the table the operator is
leaving, where letters are commands to runs. So a key waits until the one before it has acted, and
until the screen that one opened can be typed into.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any, Final, Protocol, runtime_checkable

from textual import events, on
from textual.app import App, ReturnType
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

LOOK_SECONDS: Final = 0.02
"""How often it is looked whether a widget went away with the key it was given."""

PATIENCE: Final = 2.0
"""Seconds after which a key is no longer waited for."""


@runtime_checkable
class Opens(Protocol):
    """A screen whose keys may open a dialog only when something has been asked for.

    Attributes:
        opening: such a dialog is on its way; the keys behind it are meant for it.
    """

    opening: bool


class KeyPassed(Message, bubble=True):
    """Follows a key through the queues: where it arrives, the key has been.

    Args:
        number: of the key, counted from the first.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class KeysInTurn(App[ReturnType]):
    """An app that gives out one key at a time.

    Letters of one input are given out together, and nothing waits for a cursor that moves.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held: deque[events.Event] = deque()
        self._number = 0
        self._passing: MessagePump | None = None
        self._given_at = 0.0
        self._given_on: Screen[Any] | None = None
        self._typing_in: Input | None = None
        self._moves: tuple[Widget | None, frozenset[str]] = (None, frozenset())
        self._looking: Timer | None = None

    async def on_event(self, event: events.Event) -> None:
        """Hold a key while another one is on its way."""
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            self._held.append(event)
            await self._give_out()
        else:
            await super().on_event(event)

    async def _give_out(self) -> None:
        while self._held and (not self._is_passing() or self._may_follow(self._held[0])):
            await self._give(self._held.popleft())
        if self._held and self._looking is None:
            self._looking = self.set_interval(LOOK_SECONDS, self._look)
        elif not self._held and self._looking is not None:
            self._looking.stop()
            self._looking = None

    async def _give(self, event: events.Event) -> None:
        # While it acts at once, which may take a moment, the app itself is where it is.
        self._passing, self._given_at, self._given_on = self, monotonic(), self.screen
        letter = isinstance(event, events.Key) and event.is_printable
        self._typing_in = self.focused if letter and isinstance(self.focused, Input) else None
        moves = isinstance(event, events.Key) and self._is_move(event.key)
        await super().on_event(event)
        if moves:
            self._passing = None
        else:
            self._follow(self.focused or self.screen)

    def _follow(self, target: MessagePump) -> None:
        self._number += 1
        self._passing, self._given_at = target, monotonic()
        target.post_message(KeyPassed(self._number))

    @on(KeyPassed)
    async def _key_passed(self, event: KeyPassed) -> None:
        if event.number != self._number or not self.screen_stack:
            # Others are under way, or the app is being closed.
            return
        if self.screen is not self._given_on:
            # It is asked to give something the focus before it hears of this.
            self._given_on = self.screen
            self._follow(self.screen)
            return
        self._passing = None
        await self._give_out()

    def _is_passing(self) -> bool:
        if monotonic() - self._given_at > PATIENCE:
            return False
        if isinstance(self.screen, Opens) and self.screen.opening:
            return True
        return self._passing is not None and self._passing.is_attached

    def _is_move(self, key: str) -> bool:
        """Whether a key moves the cursor of a table: what comes next goes to the same table."""
        focused = self.focused
        if focused is None or isinstance(focused, Input):
            return False
        if self._moves[0] is not focused:
            found = self.screen.active_bindings.items()
            ours = (sign for sign, one in found if (one.binding.id or "").startswith("table."))
            self._moves = (focused, frozenset(ours))
        return key in self._moves[1]

    def _may_follow(self, event: events.Event) -> bool:
        letter = isinstance(event, events.Key) and event.is_printable
        return letter and self._typing_in is not None and self._typing_in is self.focused

    def _look(self) -> None:
        self.call_later(self._go_on)

    async def _go_on(self) -> None:
        if not self.screen_stack:
            return  # the app is being closed
        if self._held and self._passing is None and self.screen is not self._given_on:
            self._given_on = self.screen  # it came later than its key: see `Opens`
            self._follow(self.screen)
        else:
            await self._give_out()
