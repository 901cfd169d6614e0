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

_KEPT: Final = 100
_log = logging.getLogger("signaldeck.live")


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
