"""The reporting classes: what runs of the current engine left behind, as data, text and files.

Every class answers for the newest session of a run, in backtest and live alike: statistics are over
all its events, the lists that are shown hold the newest.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Generic, TypeVar

from engine.domain.events import RiskRejection
from engine.domain.texts import check_texts
from engine.reports.columns import Column
from engine.reports.files import dump_report, report_path
from engine.reports.markdown import resolved
from engine.reports.partials import (
    PartialEvent,
    PartialStatistics,
    partial_report,
    partial_statistics,
)
from engine.reports.performance import (
    MetricStatistics,
    PerformanceStatistics,
    by_total,
    performance_report,
    performance_statistics,
)
from engine.reports.rejections import RiskStatistics, risk_report
from engine.reports.schedule import (
    ScheduleEvent,
    ScheduleStatistics,
    schedule_report,
    schedule_statistics,
)
from engine.runs.milestones import milestones_of
from engine.runs.reported import ReportedRun
from engine.selecting import (
    Columns,
    chosen_columns,
    journal_of,
    matching_runs,
    several_match,
    summary_of_runs,
)

Data = TypeVar("Data")
Row = TypeVar("Row")


class _RunReport(Generic[Data, Row]):
    """What the reports of a single run have in common."""

    _collection: ClassVar[str]
    _folder: ClassVar[str]
    _file: ClassVar[str] = "{name}.md"

    @classmethod
    async def get_data(
        cls,
        symbol: str,
        strategy_name: str,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        mode: str | None = None,
    ) -> Data:
        """Statistics of the run's newest session; empty ones before its first start.

        Args:
            symbol: the run's symbol.
            strategy_name: the run's strategy.
            exchange_name, frame_name, mode: needed where several runs match; ``mode`` is
                ``backtest``, ``live``, or ``portfolio`` for the member of one.

        Returns:
            The statistics, with what is listed newest first.

        Raises:
            NotRegisteredError: there is no such strategy.
            EngineError: several runs match; they are listed.
        """
        run = cls._find(symbol, strategy_name, exchange_name, frame_name, mode)
        return await cls._data(strategy_name, run)

    @classmethod
    async def get_report(
        cls,
        symbol: str,
        strategy_name: str,
        columns: Columns[Row] | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        mode: str | None = None,
    ) -> str:
        """The Markdown report of the same; ``columns`` replace the ones in force.

        Args:
            symbol: the run's symbol.
            strategy_name: the run's strategy.
            columns: instead of the ones in force; `Column` objects or mappings.
            exchange_name, frame_name, mode: as of `get_data`.

        Returns:
            The Markdown text.

        Raises:
            NotRegisteredError: there is no such strategy.
            EngineError: several runs match, or a column's function failed.
        """
        run = cls._find(symbol, strategy_name, exchange_name, frame_name, mode)
        return await cls._report(symbol, strategy_name, run, columns)

    @classmethod
    async def dump(
        cls,
        symbol: str,
        strategy_name: str,
        path: str | os.PathLike[str] | None = None,
        columns: Columns[Row] | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        mode: str | None = None,
    ) -> Path:
        """Write the report.

        Args:
            symbol: the run's symbol.
            strategy_name: the run's strategy.
            path: a file ending in ``.md`` or a folder, with the placeholders ``{mode} {symbol}
                {name} {exchange} {frame}``; by default below ``./dump``.
            columns: instead of the ones in force.
            exchange_name, frame_name, mode: as of `get_data`.

        Returns:
            The file that was written.

        Raises:
            NotRegisteredError: there is no such strategy.
            EngineError: several runs match, or the file could not be written.
        """
        run = cls._find(symbol, strategy_name, exchange_name, frame_name, mode)
        text = await cls._report(symbol, strategy_name, run, columns)
        key = run.key if run is not None else None
        target = report_path(
            path, mode=str(run.mode) if run else "", name=strategy_name, symbol=symbol,
            exchange=key.exchange_name if key else "", frame=key.frame_name if key else "",
            folder=cls._folder, file=cls._file,
        )  # fmt: skip
        return dump_report(text, target)

    @staticmethod
    async def list() -> builtins.list[dict[str, str]]:
        """``id, symbol, strategy_name, status`` of every run."""
        return summary_of_runs()

    @classmethod
    def _find(
        cls,
        symbol: str,
        strategy_name: str,
        exchange_name: str | None,
        frame_name: str | None,
        mode: str | None,
    ) -> ReportedRun | None:
        check_texts("report", symbol=symbol)
        found = matching_runs(strategy_name, exchange_name, frame_name, mode)
        found = [item for item in found if item.key.symbol == symbol]
        if len(found) > 1:
            raise several_match(found)
        return found[0] if found else None

    @classmethod
    async def _report(
        cls,
        symbol: str,
        strategy_name: str,
        run: ReportedRun | None,
        columns: Columns[Row] | None,
    ) -> str:
        data = await cls._data(strategy_name, run)
        chosen = chosen_columns(cls._collection, columns)
        ready = await resolved(chosen, cls._rows(data))
        return cls._text(symbol, strategy_name, data, ready)

    @classmethod
    async def _data(cls, strategy_name: str, run: ReportedRun | None) -> Data:
        raise NotImplementedError

    @classmethod
    def _rows(cls, data: Data) -> Sequence[Row]:
        raise NotImplementedError

    @classmethod
    def _text(
        cls, symbol: str, strategy_name: str, data: Data, columns: Sequence[Column[Row]]
    ) -> str:
        raise NotImplementedError


class Schedule(_RunReport[ScheduleStatistics, ScheduleEvent]):
    """What became of a run's scheduled signals; written to ``./dump/schedule/{name}.md``."""

    _collection = "schedule_columns"
    _folder = "schedule"

    @classmethod
    async def _data(cls, strategy_name: str, run: ReportedRun | None) -> ScheduleStatistics:
        tally = journal_of(run).schedule
        return schedule_statistics(
            tuple(reversed(tally.events)), scheduled=tally.scheduled, opened=tally.opened,
            cancelled=tally.cancelled, minutes_to_open=tally.minutes_to_open,
            minutes_to_cancel=tally.minutes_to_cancel,
        )  # fmt: skip

    @classmethod
    def _rows(cls, data: ScheduleStatistics) -> Sequence[ScheduleEvent]:
        return data.event_list

    @classmethod
    def _text(
        cls,
        symbol: str,
        strategy_name: str,
        data: ScheduleStatistics,
        columns: Sequence[Column[ScheduleEvent]],
    ) -> str:
        return schedule_report(strategy_name, data, columns)


class Partial(_RunReport[PartialStatistics, PartialEvent]):
    """Milestones a run's positions reached; written to ``./dump/partial/{symbol}_{name}.md``."""

    _collection = "partial_columns"
    _folder = "partial"
    _file = "{symbol}_{name}.md"

    @classmethod
    async def _data(cls, strategy_name: str, run: ReportedRun | None) -> PartialStatistics:
        if run is not None and run.backtest is not None:
            tally = await milestones_of(run.backtest)
        else:
            tally = journal_of(run).milestones
        newest = tuple(reversed(tally.events))
        return partial_statistics(newest, profit=tally.profit, loss=tally.loss)

    @classmethod
    def _rows(cls, data: PartialStatistics) -> Sequence[PartialEvent]:
        return data.event_list

    @classmethod
    def _text(
        cls,
        symbol: str,
        strategy_name: str,
        data: PartialStatistics,
        columns: Sequence[Column[PartialEvent]],
    ) -> str:
        return partial_report(symbol, strategy_name, data, columns)


class Risk(_RunReport[RiskStatistics, RiskRejection]):
    """Signals of a run that risk refused; written to ``./dump/risk/{symbol}_{name}.md``."""

    _collection = "risk_columns"
    _folder = "risk"
    _file = "{symbol}_{name}.md"

    @classmethod
    async def _data(cls, strategy_name: str, run: ReportedRun | None) -> RiskStatistics:
        tally = journal_of(run).refusals
        newest = tuple(reversed(tally.events))
        return RiskStatistics(newest, tally.total, dict(tally.by_symbol), dict(tally.by_strategy))

    @classmethod
    def _rows(cls, data: RiskStatistics) -> Sequence[RiskRejection]:
        return data.event_list

    @classmethod
    def _text(
        cls,
        symbol: str,
        strategy_name: str,
        data: RiskStatistics,
        columns: Sequence[Column[RiskRejection]],
    ) -> str:
        return risk_report(symbol, strategy_name, data, columns)


class Performance(_RunReport[PerformanceStatistics, MetricStatistics]):
    """How long a run's pieces took; written to ``./dump/performance/{name}.md``."""

    _collection = "performance_columns"
    _folder = "performance"

    @classmethod
    async def _data(cls, strategy_name: str, run: ReportedRun | None) -> PerformanceStatistics:
        timings = journal_of(run).timings
        return performance_statistics(strategy_name, timings.by_type, timings.newest)

    @classmethod
    def _rows(cls, data: PerformanceStatistics) -> Sequence[MetricStatistics]:
        return by_total(data)

    @classmethod
    def _text(
        cls,
        symbol: str,
        strategy_name: str,
        data: PerformanceStatistics,
        columns: Sequence[Column[MetricStatistics]],
    ) -> str:
        return performance_report(data, columns)


class Constant:
    """Milestones, percent of the path, at which strategies usually take part of a position off."""

    TP_LEVEL1: Final = 30
    TP_LEVEL2: Final = 60
    TP_LEVEL3: Final = 90
    SL_LEVEL1: Final = 40
    SL_LEVEL2: Final = 80
