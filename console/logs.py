"""Where the program's log goes: a rotating file, because the terminal belongs to the screens."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from platformdirs import user_log_path

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_MAX_BYTES = 5_000_000


def log_path() -> Path:
    """The log file, in the platform's folder for logs."""
    return user_log_path("signaldeck", appauthor=False) / "signaldeck.log"


def open_log() -> str:
    """Send the log of this process to `log_path`.

    Returns:
        "" when that worked, else why not; the program runs without a log then.
    """
    logger = logging.getLogger("signaldeck")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if logger.handlers:
        return ""
    path = log_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=3, encoding="utf-8")
    except OSError as error:
        # Without any handler, logging would write warnings over the screens.
        logger.addHandler(logging.NullHandler())
        return f"{path} cannot be written: {error.strerror or error}"
    handler.setFormatter(logging.Formatter(_FORMAT))
    logger.addHandler(handler)
    return ""
