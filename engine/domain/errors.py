"""Every error the engine raises or reports, under one base class.

Messages name the offending thing, its value, the bound it broke and what to do about it, because
they are read by an operator in the console, not only by the author of the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from traceback import format_exception
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.domain.signals import RunKey


class EngineError(Exception):
    """Base of every error that the engine raises on purpose."""


class NotRegisteredError(EngineError):
    """A component name is not registered; the message lists the names that are."""


class AlreadyRegisteredError(EngineError):
    """A component of this kind and name already exists."""


class SchemaError(EngineError):
    """A component was registered with fields that cannot be used."""


class SettingsError(EngineError):
    """Settings were refused; the previous ones are still in force."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"{n}. {problem}" for n, problem in enumerate(self.problems, start=1))
        super().__init__(f"settings refused, nothing changed:\n{lines}")


class SignalValidationError(EngineError):
    """A strategy answered with a signal that breaks one or more rules; all are listed.

    Attributes:
        problems: one sentence per broken rule, in the order the rules are checked.
        codes: one short stable code per broken rule (``tp_side``, ``sl_far``, ...).
    """

    def __init__(self, position: str, problems: Sequence[tuple[str, str]]) -> None:
        self.codes = tuple(code for code, _ in problems)
        self.problems = tuple(text for _, text in problems)
        super().__init__("\n".join(f"{position}: {text}" for text in self.problems))


class ContextError(EngineError):
    """A data function was called where no run is active, or in the wrong form."""


class CandleDataError(EngineError):
    """An exchange or a file returned rows that cannot be candles; the message names the row."""


class DataGapError(CandleDataError):
    """History has a hole longer than ``max_gap_minutes``."""


class NoDataError(EngineError):
    """An exchange has no candles at all for what was asked."""


class ExchangeError(EngineError):
    """An exchange function failed after its retries; the cause is chained."""


class StrategyTimeoutError(EngineError):
    """A strategy, a risk rule or a callback took more than ``max_signal_generation_seconds``."""


class StrategyFileError(EngineError):
    """A strategy file could not be loaded; the message names file and line."""


class SizingError(EngineError):
    """A position size was asked for with numbers, or of a method, that give none."""


class LanguageModelError(EngineError):
    """A language model could not be asked, or its answer cannot be used; keys are never shown."""


class OptimizerError(EngineError):
    """An optimizer's source, prompt or template failed; the message names it."""


class GeneratedCodeError(EngineError):
    """A generated strategy module was refused by the checks; nothing was written.

    Attributes:
        problems: one line per problem, ``line N: what is wrong``.
        code: the refused source text, for whoever wants to see it.
    """

    def __init__(self, problems: Sequence[str], code: str = "") -> None:
        self.problems = tuple(problems)
        self.code = code
        lines = "\n".join(self.problems)
        super().__init__(f"the generated module was refused and not written:\n{lines}")


class RunStateError(EngineError):
    """A run was asked for something its present state does not allow."""


class StateError(EngineError):
    """The state file is owned by another process, damaged, full, or cannot be written."""


class WorkerError(EngineError):
    """A worker process died, was killed, or reported a failure of its run."""


class RunError(EngineError):
    """What ``listen_error`` delivers: one failure inside a run that goes on, or in its data.

    Attributes:
        cause: the original exception (also ``__cause__``).
        stage: where it happened: ``get_signal``, ``validation``, ``exchange``, ``risk``,
            ``callback``, ``listener``, ``tick``.
        mode, symbol, strategy_name, exchange_name, frame_name: the run it happened in ("" where
            there is none).
        when: the engine instant in ms UTC, or None outside of an instant.
    """

    def __init__(
        self,
        cause: BaseException,
        *,
        stage: str,
        mode: str = "",
        symbol: str = "",
        strategy_name: str = "",
        exchange_name: str = "",
        frame_name: str = "",
        when: int | None = None,
    ) -> None:
        self.cause = cause
        self.__cause__ = cause
        self.stage = stage
        self.mode = mode
        self.symbol = symbol
        self.strategy_name = strategy_name
        self.exchange_name = exchange_name
        self.frame_name = frame_name
        self.when = when
        name = type(cause).__name__
        try:
            text = str(cause) if isinstance(cause, EngineError) else f"{name}: {cause}"
        except Exception:
            text = f"{name} (whose message cannot be shown)"
        super().__init__(text)

    @property
    def traceback(self) -> str:
        """The formatted traceback of the cause (made on demand, it is not cheap)."""
        return "".join(format_exception(self.cause))


def run_error(
    cause: BaseException, key: RunKey, *, stage: str, when: int | None = None
) -> RunError:
    """The `RunError` of a failure in the run of a key."""
    return RunError(
        cause, stage=stage, mode=key.mode, symbol=key.symbol, strategy_name=key.strategy_name,
        exchange_name=key.exchange_name, frame_name=key.frame_name, when=when,
    )  # fmt: skip
