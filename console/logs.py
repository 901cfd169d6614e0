"""Where the program's log goes: a rotating file and the Log screen, never the terminal."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import nullcontext
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from platformdirs import user_log_path

from console.views import FeedEntry, LogLine

KEPT_LINES: Final = 2_000
"""Lines of the log that the Log screen shows; the file keeps more."""

LONGEST: Final = 20_000
"""Characters that are kept of one line with its traceback."""

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
        none = _NoLog(f"{path} cannot be written: {error.strerror or error}")
        logger.addHandler(none)
        return none.why
    handler.setFormatter(logging.Formatter(_FORMAT))
    logger.addHandler(handler)
    root = logging.getLogger()
    if not root.handlers:
        # What libraries warn of would be written over the screens else.
        root.addHandler(handler)
    return ""


def log_place() -> str:
    """Where the log is, or that there is none and why, as screens show it."""
    for handler in logging.getLogger("signaldeck").handlers:
        if isinstance(handler, _NoLog):
            return f"none: {handler.why}"
    return str(log_path())


class _NoLog(logging.NullHandler):
    """Stands for the log file that could not be opened."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class LogBuffer(logging.Handler):
    """Keeps the newest lines of the log for the Log screen; records may come from any thread."""

    def __init__(self, size: int = KEPT_LINES) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[LogLine] = deque(maxlen=size)
        self._frozen: tuple[LogLine, ...] = ()
        self._frozen_at = 0
        self.total = 0

    def open(self) -> None:
        """Listen to the program's log."""
        logging.getLogger("signaldeck").addHandler(self)

    def close(self) -> None:
        """Listen no more."""
        logging.getLogger("signaldeck").removeHandler(self)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record; one that cannot be formatted is kept as what went wrong."""
        try:
            message = record.getMessage()
            if record.exc_info and record.exc_info[0] is not None:
                message += "\n" + logging.Formatter().formatException(record.exc_info)
        except Exception as error:
            message = f"{record.msg!s} (cannot be formatted: {type(error).__name__}: {error})"
        self.total += 1
        self._lines.appendleft(
            LogLine(
                self.total,
                int(record.created * 1000),
                _level(record.levelno),
                record.name,
                message[:LONGEST],
            )
        )

    def lines(self) -> tuple[LogLine, ...]:
        """What is kept, newest first."""
        with self.lock or _NO_LOCK:
            if self._frozen_at != self.total:
                self._frozen, self._frozen_at = tuple(self._lines), self.total
            return self._frozen


_events = logging.getLogger("signaldeck.signals")


def note_entry(entry: FeedEntry) -> None:
    """Write a line of the signal feed to the log, failures as errors and refusals as warnings."""
    levels = {"error": logging.ERROR, "rejected": logging.WARNING}
    level = levels.get(entry.action, logging.INFO)
    if not _events.isEnabledFor(level):
        return
    price = "" if entry.price is None else f" at {entry.price:g}"
    gain = "" if entry.pnl_percent is None else f", {entry.pnl_percent:+.2f} %"
    why = entry.full or entry.detail
    what = " ".join(part for part in (entry.action, entry.position) if part)
    run = f"{entry.mode} {entry.strategy_name} {entry.symbol} @ {entry.exchange_name}"
    _events.log(level, "%s: %s%s%s%s", run, what, price, gain, f": {why}" if why else "")


_NO_LOCK: Final = nullcontext()


def _level(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
