"""What finished backtests and walkers have in common on their way into the state file and back."""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Final

from pydantic import TypeAdapter, ValidationError

from console.views import RunRequest
from engine.domain.changes import FinishedSaved
from engine.domain.errors import StateError

REQUEST: Final[TypeAdapter[RunRequest]] = TypeAdapter(RunRequest)
"""Reads the request that a run was started with."""


def packed(document: bytes) -> bytes:
    """A JSON document as the state file holds it."""
    return zlib.compress(document, 1)


def last_number(finished: Iterable[FinishedSaved], kind: str) -> int:
    """The highest number in the run ids of a kind (``backtest-12``); 0 without any."""
    numbers = (saved.run_id.rpartition("-")[2] for saved in finished if saved.kind == kind)
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


@contextmanager
def reading(saved: FinishedSaved) -> Generator[None]:
    """Around the reading of a stored run.

    Raises:
        StateError: it was stored by another version, or is damaged.
    """
    try:
        yield
    except (ValidationError, zlib.error, KeyError, TypeError) as error:
        text = " ".join(str(error).split())
        raise StateError(f"finished {saved.kind} {saved.run_id} cannot be read: {text}") from error
