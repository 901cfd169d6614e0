"""What execution and reporting classes ask of the current engine: runs, summaries, columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from engine.domain.errors import EngineError, RunStateError
from engine.domain.signals import Mode, RunKey
from engine.domain.texts import check_texts
from engine.reports.columns import Column, as_columns
from engine.runs.instance import Instance
from engine.runs.reported import MODES, ReportedRun, reported_runs
from engine.runtime import current_engine
from engine.services.journal import RunJournal

Row = TypeVar("Row")
ExecutionT = TypeVar("ExecutionT")
Columns = Sequence[Column[Row] | Mapping[str, Any]]
"""Columns for one report: `Column` objects, or mappings with their four fields."""


def summary(
    instance: Instance, key: RunKey | None = None, name_field: str = "strategy_name"
) -> dict[str, str]:
    """``id, symbol, strategy_name, status`` of a run, as the ``list()`` of every class gives it.

    Args:
        instance: the run.
        key: whom it is about, if it is not the run itself but a member of it.
        name_field: what the name is called.
    """
    key = key or instance.key
    return {
        "id": instance.id,
        "symbol": key.symbol,
        name_field: key.strategy_name,
        "status": instance.status,
    }


def summaries_of_mode(mode: Mode, name_field: str = "strategy_name") -> list[dict[str, str]]:
    """A `summary` of every run of a mode, in the order of their first use."""
    return [summary(item, name_field=name_field) for item in current_engine().instances(mode)]


def summary_of_runs() -> list[dict[str, str]]:
    """A `summary` of every run that reports tell apart."""
    engine = current_engine()
    runs = reported_runs(engine.instances(), engine.recorder)
    return [summary(run.instance, run.key) for run in runs]


def matching_runs(
    strategy_name: str, exchange_name: str | None, frame_name: str | None, mode: str | None
) -> list[ReportedRun]:
    """All runs of a strategy that match what else is named.

    Raises:
        NotRegisteredError: there is no such strategy, neither registered nor running.
    """
    engine = current_engine()
    check_texts(
        "report", strategy_name=strategy_name, exchange_name=exchange_name, frame_name=frame_name,
        mode=mode,
    )  # fmt: skip
    if mode is not None and mode not in MODES:
        raise EngineError(f"mode is {mode!r}: must be one of {', '.join(MODES)}")
    runs = reported_runs(engine.instances(), engine.recorder)
    of_strategy = [run for run in runs if run.key.strategy_name == strategy_name]
    if not of_strategy:
        engine.strategy(strategy_name, "report")
    return [
        run
        for run in of_strategy
        if run.key.on(exchange_name, frame_name) and mode in (None, run.mode)
    ]


def execution_of(instance: Instance, kind: type[ExecutionT]) -> ExecutionT:
    """What a run does or did.

    Args:
        instance: the run.
        kind: the class that runs of its mode have.

    Raises:
        RunStateError: it has not been started.
    """
    if not isinstance(instance.execution, kind):
        raise RunStateError(f"{instance.key} has not been started: run it first")
    return instance.execution


def several_match(runs: Sequence[ReportedRun]) -> EngineError:
    """The error that lists runs of which one should have been named."""
    keys = "; ".join(map(str, runs))
    return EngineError(f"several runs match, name mode, exchange_name and frame_name: {keys}")


def chosen_columns(collection: str, given: Columns[Any] | None) -> Sequence[Column[Any]]:
    """Columns given for one report, else those in force of a collection."""
    if given is None:
        return current_engine().columns[collection]
    return as_columns(collection, given)


def journal_of(run: ReportedRun | None) -> RunJournal:
    """What a run left; an empty journal stands for one that never started."""
    found = run.journal if run is not None else None
    return found or RunJournal(RunKey(Mode.BACKTEST, "", "", ""))
