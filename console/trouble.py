"""What went wrong in the interface, for the log and for the operator.

A traceback on the terminal helps nobody who watches positions: it goes to the log under a short
reference, and the reference is what is shown.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from hashlib import sha256
from traceback import format_exception

from console.logs import log_path

_log = logging.getLogger("signaldeck.interface")
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failure of the interface.

    Attributes:
        reference: short text by which the log finds it; the same failure has the same one.
        where: the screen it happened on, "" when that is not known.
        error: the exception in one line.
        log: the log file.
    """

    reference: str
    where: str
    error: str
    log: str


def noted(error: BaseException, where: str = "") -> Trouble:
    """Write a failure with its traceback to the log."""
    # Textual wraps what happens in a worker or a timer; the cause is what it is about.
    cause = error.__cause__ or getattr(error, "error", None) or error
    text = "".join(format_exception(error if error.__cause__ is None else cause))
    return _noted(text, f"{type(cause).__name__}: {cause}", where)


def noted_text(text: str, where: str = "") -> Trouble:
    """`noted` for a failure of which there is only a text."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _noted(text, lines[-1] if lines else "unknown", where)


def _noted(text: str, error: str, where: str) -> Trouble:
    reference = sha256(text.encode(errors="replace")).hexdigest()[:6]
    _log.error("interface failure %s on %s: %s\n%s", reference, where or "?", error, text.rstrip())
    return Trouble(reference, where, error[:_LONGEST], str(log_path()))
