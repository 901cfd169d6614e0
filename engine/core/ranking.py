"""How a walker spreads a grid over strategies and orders what comes back: pure and repeatable."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import product
from math import inf, prod
from typing import Any, Final

from engine.domain.errors import SchemaError
from engine.domain.outcome import BacktestStatistics
from engine.domain.schemas import StrategySchema
from engine.domain.walks import Candidate, WalkedStrategy

MOST_CANDIDATES: Final = 10_000
"""More than so many combinations are a slip of the pen."""


def candidates(
    walker_name: str,
    strategies: Sequence[StrategySchema],
    grid: Mapping[str, Sequence[Any]],
) -> tuple[Candidate, ...]:
    """Every strategy with every combination of the grid's parameters it takes, in order.

    A strategy takes a parameter if its schema has it among its params or its function can be
    given it by name. One that takes none of them is tried once.

    Raises:
        SchemaError: a parameter that no strategy takes, or far too many combinations.
    """
    found: list[Candidate] = []
    used: set[str] = set()
    for strategy in strategies:
        taken = [name for name in grid if _takes(strategy, name)]
        used.update(taken)
        count = len(found) + prod(len(grid[name]) for name in taken)
        if count > MOST_CANDIDATES:
            raise SchemaError(
                f"walker {walker_name!r}: its grid gives {count} combinations for "
                f"{strategy.name!r}, at most {MOST_CANDIDATES} are tried: make it smaller"
            )
        for values in product(*(grid[name] for name in taken)):
            params = dict(zip(taken, values, strict=True))
            found.append(Candidate(_label(strategy.name, params), strategy.name, params))
    twice = next((name for name, count in Counter(c.name for c in found).items() if count > 1), "")
    if twice:
        raise SchemaError(f"walker {walker_name!r}: its grid makes {twice} more than once")
    unused = [name for name in grid if name not in used]
    if unused:
        asked = ", ".join(strategy.name for strategy in strategies)
        raise SchemaError(
            f"walker {walker_name!r}: grid has {', '.join(unused)}, which none of {asked} takes: "
            "add it to a strategy's params, or to its function's arguments"
        )
    return tuple(found)


def varied(strategy: StrategySchema, params: Mapping[str, Any], name: str = "") -> StrategySchema:
    """The strategy with ``params`` on top of its own, under ``name`` if that is given.

    Containers among the parameters are copied: what one candidate puts into a list of its own must
    not be there for the next, as it is not when each is tested in a process of its own.
    """
    own = {key: _own(value) for key, value in {**strategy.params, **params}.items()}
    return strategy.model_copy(
        update={"strategy_name": name or strategy.strategy_name, "params": own}
    )


def metric_value(statistics: BacktestStatistics | None, metric: str) -> float | None:
    """The statistic a strategy is ranked by; None when it is undefined."""
    return None if statistics is None else getattr(statistics, metric)


def judged(strategies: Iterable[WalkedStrategy], metric: str) -> tuple[WalkedStrategy, ...]:
    """The same strategies in the same order, with their values of ``metric``."""
    return tuple(
        replace(
            item,
            metric_value=metric_value(item.stats, metric) if item.status == "done" else None,
        )
        for item in strategies
    )


def ranked(strategies: Sequence[WalkedStrategy]) -> tuple[WalkedStrategy, ...]:
    """Done ones first, best metric first; equal and undefined values keep their order.

    Args:
        strategies: in the order in which the walker names them.
    """
    return tuple(sorted(strategies, key=_place))


def best(strategies: Iterable[WalkedStrategy]) -> WalkedStrategy | None:
    """The first of those with the greatest metric; None when none has a value."""
    found: WalkedStrategy | None = None
    for item in strategies:
        value = item.metric_value
        if value is None:
            continue
        if found is None or found.metric_value is None or value > found.metric_value:
            found = item
    return found


def _place(item: WalkedStrategy) -> tuple[bool, float]:
    return item.status != "done", inf if item.metric_value is None else -item.metric_value


def _takes(strategy: StrategySchema, name: str) -> bool:
    if name in strategy.params:
        return True
    parameters = _parameters(strategy.get_signal)
    # The first two are symbol and when, whatever they are called.
    asked, named = parameters[:2], parameters[2:]
    if any(item.name == name and item.kind is not item.POSITIONAL_ONLY for item in asked):
        return False
    return any(
        item.kind is item.VAR_KEYWORD
        or (item.name == name and item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY))
        for item in named
    )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def _label(name: str, params: Mapping[str, Any]) -> str:
    if not params:
        return name
    return f"{name}({', '.join(f'{key}={_shown(value)}' for key, value in params.items())})"


def _own(value: Any) -> Any:
    return deepcopy(value) if type(value) in (list, dict, set) else value


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
