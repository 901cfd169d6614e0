"""What the console keeps in the state file for itself: where one was, how tables are sorted.

Screens write small JSON values under names and read them back at the next start. Writing is folded,
at most one commit a second, because an operator who types a filter changes it with every key.
Nothing of this is ever worth a refused start: what cannot be understood is logged and ignored.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from engine.domain.changes import MetaSaved
from engine.domain.errors import EngineError

PREFIX: Final = "console."
"""Before the names of the console's values among the named values of the state file."""

CLOCK_META: Final = "clock"
"""Name in the state file of a simulated clock's time, ms UTC; not among the remembered values."""

FOLD_SECONDS: Final = 1.0
"""Least time between two commits."""

MAX_TEXT: Final = 64 * 1024
"""Characters of one value as JSON; more is a mistake."""

Commit = Callable[[Sequence[MetaSaved]], Coroutine[Any, Any, Any]]
_log = logging.getLogger("signaldeck.memory")


class Memory:
    """Named JSON values; `remember` and `recall` may be called from any thread.

    Without a `keep` that runs, as in the read-only console, it lasts as long as the process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._waiting: dict[str, str] = {}
        self._wake: Callable[[], object] | None = None

    # -- the interface's side ------------------------------------------------------------------

    def remember(self, name: str, value: object) -> None:
        """Keep a value; written when it differs from what is kept.

        Args:
            name: what it is about, such as ``table.deck.instances``.
            value: anything JSON can hold; None forgets.

        Raises:
            ValueError: it is longer than `MAX_TEXT` characters of JSON.
            TypeError: JSON cannot hold it.
        """
        text = json.dumps(value, ensure_ascii=False, sort_keys=True)
        if len(text) > MAX_TEXT:
            raise ValueError(
                f"{name} has {len(text):,} characters: at most {MAX_TEXT:,} are remembered"
            )
        with self._lock:
            if self._known.get(name, "null") == text:
                return
            self._known[name] = self._waiting[name] = text
            wake = self._wake
        if wake is not None:
            # An engine that has just ended keeps nothing any more.
            with suppress(RuntimeError):
                wake()

    def recall(self, name: str) -> Any:
        """The value of a name; None when there is none, or when it is damaged."""
        with self._lock:
            text = self._known.get(name, "null")
        try:
            return json.loads(text)
        except ValueError as error:
            _log.warning("what was remembered as %s cannot be read, it is ignored: %s", name, error)
            return None

    # -- the engine's side ---------------------------------------------------------------------

    def restore(self, meta: Mapping[str, str]) -> None:
        """Take the console's values from the named values of a state file."""
        found = {
            name.removeprefix(PREFIX): value
            for name, value in meta.items()
            if name.startswith(PREFIX)
        }
        with self._lock:
            self._known = {**found, **self._waiting}

    async def keep(self, commit: Commit) -> None:
        """Write what is remembered, until cancelled; `flush` writes what is left then."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._wake = lambda: loop.call_soon_threadsafe(changed.set)
            if self._waiting:
                changed.set()
        try:
            while True:
                await changed.wait()
                changed.clear()
                if not await self.flush(commit):
                    changed.set()
                await asyncio.sleep(FOLD_SECONDS)
        finally:
            with self._lock:
                self._wake = None

    async def flush(self, commit: Commit) -> bool:
        """Write what waits; False when the store refused it and it goes on waiting."""
        with self._lock:
            taken, self._waiting = self._waiting, {}
        if not taken:
            return True
        try:
            await commit([MetaSaved(PREFIX + name, text) for name, text in taken.items()])
        except EngineError as error:
            _log.warning("the console's layout could not be kept: %s", error)
            with self._lock:
                self._waiting = {**taken, **self._waiting}
            return False
        return True
