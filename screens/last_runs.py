"""The last run of each kind, which the New-run form opens with, also after a restart."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from pydantic import TypeAdapter, ValidationError

from console.memory import Memory
from console.views import RunRequest

_REQUEST: Final[TypeAdapter[RunRequest]] = TypeAdapter(RunRequest)


def remember_run(memory: Memory, request: RunRequest) -> None:
    """Keep what a run was started with; ``symbol`` may name several."""
    memory.remember(_name(request.kind), asdict(request))


def last_run(memory: Memory, kind: str) -> RunRequest | None:
    """What the last run of a kind was started with; None when there was none."""
    try:
        return _REQUEST.validate_python(memory.recall(_name(kind)))
    except ValidationError:
        # Never started, or kept by a version with other fields: the form fills itself in.
        return None


def _name(kind: str) -> str:
    return f"form.{kind}"
