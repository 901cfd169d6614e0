"""Runs as reports see them: backtests, live runs, and the members of portfolios."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from engine.domain.signals import Mode, RunKey
from engine.runs.backtest import BacktestExecution
from engine.runs.instance import Instance
from engine.runs.portfolio import PortfolioExecution
from engine.services.journal import Recorder, RunJournal

MODES: Final = (Mode.BACKTEST, Mode.LIVE, Mode.PORTFOLIO)
"""What reports tell apart; the backtests of a walker are in its own report."""


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """One strategy on one symbol.

    Attributes:
        mode: ``backtest`` or ``live``, or ``portfolio`` for a member of one.
        instance: the run it is, or is part of.
        backtest: its newest session if it is a backtest.
        journal: what it left, None before its first start.
    """

    key: RunKey
    mode: Mode
    instance: Instance
    backtest: BacktestExecution | None
    journal: RunJournal | None

    def __str__(self) -> str:
        return str(self.instance.key)


def reported_runs(instances: Iterable[Instance], recorder: Recorder) -> list[ReportedRun]:
    """Every run there is, oldest first.

    Where several portfolios have the same member, it is the one of the newest.
    """
    found: list[ReportedRun] = []
    members: dict[RunKey, ReportedRun] = {}
    for item in instances:
        execution = item.execution
        if isinstance(execution, PortfolioExecution):
            for member in execution.members:
                members[member.key] = ReportedRun(
                    member.key, Mode.PORTFOLIO, item, member, member.journal
                )
        elif item.key.mode in MODES:
            backtest = execution if isinstance(execution, BacktestExecution) else None
            journal = recorder.of(item.key)
            found.append(ReportedRun(item.key, item.key.mode, item, backtest, journal))
    return [*found, *members.values()]
