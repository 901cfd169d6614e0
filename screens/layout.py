"""What the operator arranged, from one start to the next: screen, filters, orders, the chosen run.

It comes out of a file that anything may have happened to, and from versions that knew other screens
and columns: what does not fit is told to the log and left out.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from console.memory import Memory

SCREEN: Final = "screen"
"""Name of the mode that was shown."""

LEVEL: Final = "log.level"
"""Least level of the log that is shown."""

CHOSEN: Final = "chosen"
"""Symbol, strategy and exchange of the run under the Deck's cursor."""

_log = logging.getLogger("signaldeck.layout")


def recalled_text(memory: Memory, name: str) -> str:
    """A text that was remembered, "" where there is none."""
    value = memory.recall(name)
    if value is None or isinstance(value, str):
        return value or ""
    ignored(name, value)
    return ""


def recalled_list(memory: Memory, name: str, *kinds: type) -> list[Any]:
    """A list with one value of each kind, [] where none was remembered."""
    value = memory.recall(name)
    if value is None:
        return []
    if (
        isinstance(value, list)
        and len(value) == len(kinds)
        and all(isinstance(item, kind) for item, kind in zip(value, kinds, strict=True))
    ):
        return value
    ignored(name, value)
    return []


def ignored(name: str, value: object) -> None:
    """Tell the log that a remembered value does not fit."""
    _log.warning("what was remembered as %s does not fit and is ignored: %.200r", name, value)
