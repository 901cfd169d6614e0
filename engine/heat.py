"""`Heat`: one strategy over all its symbols, as data, text and files."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.reports.files import dump_report, report_path
from engine.reports.heat import HeatMember, HeatRow, HeatStatistics, heat_report, heat_statistics
from engine.reports.markdown import resolved
from engine.runs.outcome import backtest_figures
from engine.runs.reported import ReportedRun
from engine.runtime import current_engine
from engine.selecting import (
    Columns,
    chosen_columns,
    journal_of,
    matching_runs,
    several_match,
    summary_of_runs,
)


class Heat:
    """One strategy over all its symbols; written to ``./dump/heatmap/{name}.md``."""

    @staticmethod
    async def get_data(
        strategy_name: str,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        mode: str | None = None,
    ) -> HeatStatistics:
        """A row per symbol and the portfolio, over the newest session of each run.

        Args:
            strategy_name: the strategy.
            exchange_name, frame_name, mode: needed where several runs of one symbol match, or
                where there are runs of several modes: ``backtest``, ``live``, ``portfolio``.

        Returns:
            The rows, sorted by Sharpe ratio, and the portfolio of all symbols.

        Raises:
            NotRegisteredError: there is no such strategy.
            EngineError: several runs of one symbol match, or of several modes; they are listed.
        """
        return await _heat(_members(strategy_name, exchange_name, frame_name, mode))

    @staticmethod
    async def get_report(
        strategy_name: str,
        columns: Columns[HeatRow] | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        mode: str | None = None,
    ) -> str:
        """The Markdown report of the same; ``columns`` replace the ones in force.

        Args:
            strategy_name: the strategy.
            columns: these instead of the ones in force; `Column` objects or mappings.
            exchange_name, frame_name, mode: as of `get_data`.

        Returns:
            The Markdown text.

        Raises:
            NotRegisteredError: there is no such strategy.
            EngineError: runs are ambiguous, or a column's function failed.
        """
        members = _members(strategy_name, exchange_name, frame_name, mode)
        return await _heat_text(strategy_name, members, columns)

    @staticmethod
    async def dump(
        strategy_name: str,
        path: str | os.PathLike[str] | None = None,
        columns: Columns[HeatRow] | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        mode: str | None = None,
    ) -> Path:
        """Write the report.

        Args:
            strategy_name: the strategy.
            path: as in `Schedule.dump`; ``{symbol}`` is all symbols, joined by ``-``.
            columns: these instead of the ones in force; `Column` objects or mappings.
            exchange_name, frame_name, mode: as of `get_data`.

        Returns:
            The file that was written.

        Raises:
            NotRegisteredError: there is no such strategy.
            EngineError: runs are ambiguous, or the file could not be written.
        """
        members = _members(strategy_name, exchange_name, frame_name, mode)
        text = await _heat_text(strategy_name, members, columns)
        keys = [run.key for run in members]
        target = report_path(
            path, mode=_joined(str(run.mode) for run in members), name=strategy_name,
            symbol=_joined(key.symbol for key in keys),
            exchange=_joined(key.exchange_name for key in keys),
            frame=_joined(key.frame_name for key in keys), folder="heatmap",
        )  # fmt: skip
        return dump_report(text, target)

    @staticmethod
    async def list() -> builtins.list[dict[str, str]]:
        """``id, symbol, strategy_name, status`` of every run.

        Returns:
            One mapping per run.
        """
        return summary_of_runs()


def _members(
    strategy_name: str, exchange_name: str | None, frame_name: str | None, mode: str | None
) -> builtins.list[ReportedRun]:
    runs = matching_runs(strategy_name, exchange_name, frame_name, mode)
    found = [run for run in runs if run.journal is not None]
    symbols = {run.key.symbol for run in found}
    if len(symbols) < len(found) or len({run.mode for run in found}) > 1:
        raise several_match(found)
    return found


async def _heat(members: Sequence[ReportedRun]) -> HeatStatistics:
    engine = current_engine()
    found: list[HeatMember] = []
    for run in members:
        if run.backtest is not None:
            statistics, equity = backtest_figures(run.backtest)
        else:
            statistics, equity = await engine.live_runs.figures(run.key)
        trades = journal_of(run).all_trades()
        found.append(HeatMember(run.key.symbol, trades, statistics, equity))
    return heat_statistics(found)


async def _heat_text(
    strategy_name: str, members: Sequence[ReportedRun], columns: Columns[HeatRow] | None
) -> str:
    data = await _heat(members)
    ready = await resolved(chosen_columns("heat_columns", columns), data.rows)
    return heat_report(strategy_name, data, ready)


def _joined(texts: Any) -> str:
    return "-".join(dict.fromkeys(text for text in texts if text))
