"""Walkers: what compares strategies on one symbol, what it tries, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from engine.domain.outcome import BacktestOutcome, BacktestStatistics
from engine.domain.schemas import AnyFunction, Name, Schema, callbacks_of, one_of, unique

METRICS: Final = (
    "sharpe_ratio", "annualized_sharpe_ratio", "win_rate", "total_pnl", "certainty_ratio",
    "avg_pnl", "expected_yearly_returns", "profit_factor", "expectancy", "sqn", "total_return",
    "cagr", "daily_sharpe_ratio", "sortino_ratio", "calmar_ratio",
)  # fmt: skip
"""Statistics a walker can rank by; more is better in each."""

WALKER_CALLBACKS: Final = (
    "on_strategy_start", "on_strategy_complete", "on_strategy_error", "on_complete",
)  # fmt: skip

Status: TypeAlias = Literal["waiting", "running", "done", "stopped", "skipped", "failed"]


def _filled(value: Sequence[str]) -> Sequence[str]:
    if not value:
        raise ValueError("is empty: name at least one strategy")
    return unique(value)


def _values(value: Any) -> object:
    if not isinstance(value, Mapping):
        raise ValueError("must map a parameter's name to a list of values")
    found: dict[str, tuple[Any, ...]] = {}
    for name, values in value.items():  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"{name!r} is no parameter's name")
        if not isinstance(values, (list, tuple, range)) or not len(values):  # pyright: ignore[reportUnknownArgumentType]
            raise ValueError(f"{name} must be a list of at least one value")
        found[name] = tuple(values)  # pyright: ignore[reportUnknownArgumentType]
    return found


class WalkerSchema(Schema):
    """A walker: strategies that are backtested on the same bars and ranked by one metric.

    ``grid`` maps parameter names to values: each strategy is tried with every combination of the
    parameters it takes. ``symbols`` are walked when no symbol is named; each has a ranking of its
    own.
    """

    walker_name: Name
    exchange_name: Name
    frame_name: Name
    strategies: Annotated[tuple[Name, ...], AfterValidator(_filled)]
    metric: Annotated[str, one_of(METRICS)] = "sharpe_ratio"
    note: str | None = None
    grid: Annotated[Mapping[str, tuple[Any, ...]], BeforeValidator(_values)] = Field(
        default_factory=dict
    )
    symbols: Annotated[tuple[Name, ...], AfterValidator(unique)] = ()
    callbacks: Annotated[Mapping[str, AnyFunction], callbacks_of(*WALKER_CALLBACKS)] = Field(
        default_factory=dict
    )

    @property
    def name(self) -> str:
        """The walker's name."""
        return self.walker_name


@dataclass(frozen=True, slots=True)
class Candidate:
    """One strategy a walker tries, with the parameters it tries it with.

    Attributes:
        name: the strategy's, followed by ``params`` if there are any; unique in its walker.
        params: what is handed to the strategy on top of its own params.
    """

    name: str
    strategy_name: str
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class WalkedStrategy:
    """Where one candidate of a walker stands.

    Attributes:
        status: ``waiting | running | done | stopped | skipped | failed``; only a ``done`` one is
            ranked.
        metric_value: what it is ranked by; None when it is undefined, or not done.
        progress: 0 to 1.
        outcome: its backtest; of a stopped one what there was, None when there is none.
        error: why it failed.
    """

    candidate: Candidate
    status: Status = "waiting"
    metric_value: float | None = None
    progress: float = 0.0
    outcome: BacktestOutcome | None = None
    error: str = ""

    @property
    def strategy_name(self) -> str:
        """The candidate's name."""
        return self.candidate.name

    @property
    def params(self) -> Mapping[str, Any]:
        """What was handed to the strategy on top of its own params."""
        return self.candidate.params

    @property
    def stats(self) -> BacktestStatistics | None:
        """Its statistics, if there is an outcome."""
        return None if self.outcome is None else self.outcome.statistics


@dataclass(frozen=True, slots=True)
class WalkerStatistics:
    """What a walker has found on one symbol, so far or at its end.

    Attributes:
        frame_start, frame_end: the frame's bounds, ms UTC, both inclusive.
        strategies: all of them: first the done ones, best first, ties and undefined metrics in the
            order in which the walker names them; then the others.
        best_strategy, best_metric, best_stats: of the winner; None when no metric has a value.
        strategies_tested: how many are done.
    """

    walker_name: str
    symbol: str
    exchange_name: str
    frame_name: str
    frame_interval: str
    frame_start: int
    frame_end: int
    metric: str
    strategies: tuple[WalkedStrategy, ...]
    best_strategy: str | None
    best_metric: float | None
    best_stats: BacktestStatistics | None
    total_strategies: int
    strategies_tested: int
    stopped: bool = False
