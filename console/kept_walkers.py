"""Finished walkers on their way into the state file and back."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from typing import Final

from pydantic import TypeAdapter, ValidationError

from console.views import RunRequest
from console.walker_views import WalkerView
from engine.domain.changes import FinishedSaved
from engine.domain.errors import StateError

KIND: Final = "walker"
"""Kind of these in the state file."""

_VIEW: Final[TypeAdapter[WalkerView]] = TypeAdapter(WalkerView)
_REQUEST: Final[TypeAdapter[RunRequest]] = TypeAdapter(RunRequest)


def kept(request: RunRequest, view: WalkerView, when: int) -> FinishedSaved:
    """What is stored of an ended walker."""
    summary = {
        "request": asdict(request),
        "status": view.status,
        "best_strategy": view.best_strategy,
        "best_metric": view.best_metric,
    }
    return FinishedSaved(KIND, view.run_id, when, summary, zlib.compress(_VIEW.dump_json(view), 1))


def recalled(saved: FinishedSaved) -> tuple[RunRequest, WalkerView]:
    """The request and the view of a stored walker.

    Raises:
        StateError: it was stored by another version, or is damaged.
    """
    try:
        request = _REQUEST.validate_python(saved.summary["request"])
        return request, _VIEW.validate_json(zlib.decompress(saved.payload))
    except (ValidationError, zlib.error, KeyError, TypeError) as error:
        text = " ".join(str(error).split())
        raise StateError(f"finished walker {saved.run_id} cannot be read: {text}") from error
