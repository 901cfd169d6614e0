"""What the desks of backtests, walkers and optimizers have in common: runs by their ids."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from console.views import RunRequest
from engine.domain.errors import EngineError, RunStateError

ENDED: Final = ("done", "stopped", "failed")
"""The states of a run that does not go on."""


@dataclass(slots=True)
class Entry:
    """A run of a desk.

    Attributes:
        request: what it was started with.
        view: how it looks now; replaced, never changed.
        task: follows it to its end; None for a run of an earlier session.
    """

    request: RunRequest
    view: Any
    task: asyncio.Task[None] | None = field(default=None, kw_only=True)


EntryT = TypeVar("EntryT", bound=Entry)


class Desk(Generic[EntryT]):
    """Runs of one kind: those of this session, and those of earlier ones that were kept.

    Args:
        put: called with every new view.
    """

    def __init__(self, put: Callable[[Any], None]) -> None:
        self._put = put
        self._entries: dict[str, EntryT] = {}

    @property
    def active(self) -> int:
        """Runs queued or running."""
        return sum(entry.view.status not in ENDED for entry in self._entries.values())

    def knows(self, run_id: str) -> bool:
        """Whether a run id is that of a run of this desk."""
        return run_id in self._entries

    def request_of(self, run_id: str) -> RunRequest:
        """What a run was started with."""
        return self._entries[run_id].request

    async def close(self) -> None:
        """End every run now."""
        tasks = [entry.task for entry in self._entries.values() if entry.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _running(self, run_id: str) -> EntryT:
        entry = self._entries[run_id]
        if entry.task is None or entry.view.status in ENDED:
            raise RunStateError(f"{run_id} has already ended ({entry.view.status})")
        return entry

    def _set(self, entry: EntryT, **changes: object) -> None:
        entry.view = replace(entry.view, **changes)
        self._put(entry.view)


def failure_text(error: Exception) -> str:
    """Why a run failed: in the engine's words, or named by its class."""
    return str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
