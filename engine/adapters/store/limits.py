"""What every store keeps, and what none accepts: the rules that all of them share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from engine.domain.changes import Change, CommandNoted, FinishedSaved, MetaSaved, Telemetry
from engine.domain.errors import StateError
from engine.domain.signals import Mode, RunKey

RECENT_KEPT: Final = 2_000
"""How many of the newest journal entries `Store.load` hands out."""

FINISHED_KEPT: Final = 200
"""How many of the newest finished runs are kept; older ones are deleted."""

FINISHED_BYTES: Final = 64 * 1024 * 1024
"""And how much they may weigh together; the newest one is handed out whatever it weighs."""


def handed_out(sizes: Iterable[int]) -> int:
    """How many of the newest finished runs `Store.load` hands out.

    Args:
        sizes: bytes of their payloads, newest first.
    """
    count = total = 0
    for size in sizes:
        total += size
        if count and (count == FINISHED_KEPT or total > FINISHED_BYTES):
            break
        count += 1
    return count


def refuse_backtests(changes: Sequence[Change | Telemetry]) -> None:
    """Let no backtest near the state of live runs.

    Raises:
        StateError: a change belongs to a backtest; the message names it.
    """
    for key in _keys(changes):
        if key.mode is not Mode.LIVE:
            raise StateError(
                f"{key}: a backtest writes no live state; only its finished result is kept"
            )


def _keys(changes: Iterable[Change | Telemetry]) -> Iterable[RunKey]:
    for change in changes:
        if not isinstance(change, CommandNoted | FinishedSaved | MetaSaved):
            yield change.key
