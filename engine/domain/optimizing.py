"""What an optimizer makes: strategies in words, and the module generated from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from engine.domain.conversation import Message

Row: TypeAlias = Mapping[str, Any]
"""One row of a source; it has an ``id``."""


@dataclass(frozen=True, slots=True)
class OptimizerStrategy:
    """What a model made of one training range.

    Attributes:
        name: ``train-1`` for the first training range, and so on.
        messages: the conversation that led to the strategy, a copy of this record's own.
        strategy: the strategy in words, which the generated strategy asks its model to follow.
        note: the training range's note.
        sources: names of the sources the conversation shows, in order.
        start_date, end_date: the training range, ms UTC, both inclusive.
    """

    symbol: str
    name: str
    messages: tuple[Message, ...]
    strategy: str
    note: str
    sources: tuple[str, ...]
    start_date: int
    end_date: int


@dataclass(frozen=True, slots=True)
class GeneratedModule:
    """A generated strategy module that passed the checks; nobody has executed it.

    Attributes:
        prefix: what all component names in the module begin with.
        written_by: the model that worded the strategies.
        code: the module's source text.
        checks: what was checked, one line each.
        warnings: what an operator should know, one line each (sources cut at their limit).
    """

    optimizer_name: str
    symbol: str
    prefix: str
    written_by: str
    code: str
    strategies: tuple[OptimizerStrategy, ...]
    strategy_names: tuple[str, ...]
    walker_name: str
    checks: tuple[str, ...]
    warnings: tuple[str, ...] = ()
