"""Finished walkers on their way into the state file and back."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from typing import Final

from pydantic import TypeAdapter

from console.kept_runs import REQUEST, packed, reading
from console.views import RunRequest
from console.walker_views import WalkerView
from engine.domain.changes import FinishedSaved

KIND: Final = "walker"
"""Kind of these in the state file."""

_VIEW: Final[TypeAdapter[WalkerView]] = TypeAdapter(WalkerView)


def kept(request: RunRequest, view: WalkerView, when: int) -> FinishedSaved:
    """What is stored of an ended walker."""
    summary = {
        "request": asdict(request),
        "status": view.status,
        "best_strategy": view.best_strategy,
        "best_metric": view.best_metric,
    }
    return FinishedSaved(KIND, view.run_id, when, summary, packed(_VIEW.dump_json(view)))


def recalled(saved: FinishedSaved) -> tuple[RunRequest, WalkerView]:
    """The request and the view of a stored walker.

    Raises:
        StateError: it was stored by another version, or is damaged.
    """
    with reading(saved):
        request = REQUEST.validate_python(saved.summary["request"])
        return request, _VIEW.validate_json(zlib.decompress(saved.payload))
