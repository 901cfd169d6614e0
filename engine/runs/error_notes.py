"""Errors of a live run on their way into the journal.

An error has changed nothing that has to be durable, so it waits for the next write instead of being
one; and an error of the store itself can only be written when the store works again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from engine.domain.changes import Change, ErrorNote, Journaled
from engine.domain.errors import StateError
from engine.domain.ports import Store
from engine.domain.signals import RunKey
from engine.domain.time import MINUTE

_KEPT: Final = 100
_REMINDED_EVERY: Final = 30 * MINUTE
_log = logging.getLogger("signaldeck.live")


class StoreTrouble:
    """Which failures of the store are news: every run meets the same one at every tick."""

    def __init__(self) -> None:
        self._told = ""
        self._told_at = 0

    def is_news(self, error: Exception, when: int) -> bool:
        """Whether to publish it: another one than before, or half an hour later (``when``, ms)."""
        text = str(error)
        if text == self._told and abs(when - self._told_at) < _REMINDED_EVERY:
            return False
        self._told, self._told_at = text, when
        return True


class ErrorNotes:
    """Collects errors; while the store cannot be written the newest 100 are kept."""

    def __init__(self, key: RunKey) -> None:
        self._key = key
        self._waiting: deque[Change] = deque(maxlen=_KEPT)

    def add(self, when: int, stage: str, message: str) -> None:
        """Note an error at an instant, ms UTC."""
        note = ErrorNote(self._key, when, stage, message)
        self._waiting.append(Journaled(self._key, note, deliver=False))

    async def keep(self, store: Store, more: Sequence[Change] = ()) -> bool:
        """Write what waits, and ``more``; False when the store refused, so they go on waiting."""
        notes = tuple(self._waiting)
        if not notes and not more:
            return True
        self._waiting.clear()
        try:
            await store.commit([*notes, *more])
        except StateError as error:
            _log.warning("%s: errors are not in the journal yet: %s", self._key, error)
            since = tuple(self._waiting)
            self._waiting.clear()
            self._waiting.extend((*notes, *since))
            return False
        return True
