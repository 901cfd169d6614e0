"""Hands the engine's log to an object of the user's, together with the run it is about."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from engine.domain.time import from_ms
from engine.services.context import current_execution

ROOT: Final = "signaldeck"
"""The logger all of the engine's loggers hang below."""


class Logger(Protocol):
    """What ``set_logger`` takes; every method is called with four arguments.

    They are the topic (the logger's name, ``signaldeck.run``), the payload (``message``, and
    ``error`` where there is an exception), and the contexts the code was in: ``strategy_name,
    exchange_name, frame_name`` and ``symbol, when, backtest``, or empty mappings outside of a run.
    """

    def debug(
        self, topic: str, payload: Mapping[str, Any], method: Mapping[str, Any],
        execution: Mapping[str, Any], /,
    ) -> Any:  # fmt: skip
        """Called for what is of interest to developers."""
        ...

    def info(
        self, topic: str, payload: Mapping[str, Any], method: Mapping[str, Any],
        execution: Mapping[str, Any], /,
    ) -> Any:  # fmt: skip
        """Called for what happens in runs that go on."""
        ...

    def warn(
        self, topic: str, payload: Mapping[str, Any], method: Mapping[str, Any],
        execution: Mapping[str, Any], /,
    ) -> Any:  # fmt: skip
        """Called for what somebody should look at, errors included."""
        ...


class ForwardingHandler(logging.Handler):
    """Forwards what is logged while ``concerns()`` is true.

    A logger that raises harms nothing: what it was told is lost, and nothing else.

    Args:
        logger: the user's object.
        concerns: whether the code that logs belongs to whoever set the logger.
    """

    def __init__(self, logger: Logger, concerns: Callable[[], bool]) -> None:
        super().__init__()
        self._logger = logger
        self._concerns = concerns
        self._level_before = logging.NOTSET

    def install(self) -> None:
        """Begin; records from INFO on are made from now on, whatever the root logger keeps."""
        root = logging.getLogger(ROOT)
        self._level_before = root.level
        if root.getEffectiveLevel() > logging.INFO:
            root.setLevel(logging.INFO)
        root.addHandler(self)

    def remove(self) -> None:
        """End, and leave the level as it was."""
        root = logging.getLogger(ROOT)
        root.removeHandler(self)
        if not any(isinstance(other, ForwardingHandler) for other in root.handlers):
            root.setLevel(self._level_before)
        self.close()

    def emit(self, record: logging.LogRecord) -> None:
        """Call the method of the record's level."""
        if not self._concerns():
            return
        payload: dict[str, Any] = {"message": record.getMessage()}
        if record.exc_info is not None and record.exc_info[1] is not None:
            payload["error"] = record.exc_info[1]
        try:
            self._method(record.levelno)(record.name, payload, *_contexts())
        except Exception:
            # Logging a logger's failure would only call it again.
            return

    def _method(self, level: int) -> Callable[..., Any]:
        if level >= logging.WARNING:
            return self._logger.warn
        return self._logger.info if level >= logging.INFO else self._logger.debug


def _contexts() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    context = current_execution.get()
    if context is None:
        return {}, {}
    key = context.scope.key
    method = {
        "strategy_name": key.strategy_name,
        "exchange_name": key.exchange_name,
        "frame_name": key.frame_name,
    }
    execution = {
        "symbol": key.symbol,
        "when": from_ms(context.when),
        "backtest": key.mode == "backtest",
    }
    return method, execution
