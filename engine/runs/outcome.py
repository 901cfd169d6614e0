"""Turns a backtest's execution into the outcome that reports, command line and console read."""

from __future__ import annotations

from engine.domain.errors import NoDataError
from engine.domain.outcome import BacktestOutcome, RunCounts
from engine.domain.time import MINUTE
from engine.reports.statistics import summarise
from engine.runs.backtest import BacktestExecution
from engine.services.series import BarSeries


def outcome_of(
    execution: BacktestExecution, strategy_file: str = "", strategy_hash: str = ""
) -> BacktestOutcome:
    """The outcome of a finished, stopped or still running backtest.

    Args:
        execution: the backtest.
        strategy_file: where the strategy came from, "" when it was registered in code.
        strategy_hash: SHA-256 (hex) of that file.
    """
    journal, frame = execution.journal, execution.frame
    series = _series(execution)

    def mark(instant: int) -> float | None:
        closed = series.closed(instant) if series is not None else 0
        if series is None or not closed:
            return None
        column = series.vwap if execution.settings.fill_price == "vwap" else series.columns.close
        return float(column[closed - 1])

    trades = tuple(journal.trades)
    statistics, equity = summarise(
        trades,
        frame_start=frame.start,
        frame_end=frame.end,
        mark=mark,
        settings=execution.settings,
    )
    last = max((trade.close_timestamp for trade in trades), default=frame.end)
    end = max(frame.end, last) + MINUTE
    warnings = list(journal.warnings)
    filled = series.filled_between(frame.start, end) if series is not None else 0
    if filled:
        warnings.append(f"{filled} missing minutes were filled with flat bars")
    return BacktestOutcome(
        key=execution.key,
        frame_interval=execution.interval,
        frame_start=frame.start,
        frame_end=frame.end,
        trades=trades,
        cancelled=tuple(journal.cancelled),
        statistics=statistics,
        equity=equity,
        counts=RunCounts(
            calls=execution.session.source.calls if execution.session else 0,
            errors=journal.error_count,
            rejections=journal.rejections,
            filled=filled,
            candles=series.closed(end) - series.closed(frame.start) if series is not None else 0,
        ),
        warnings=tuple(warnings),
        errors=tuple(journal.errors),
        settings=execution.settings.model_dump(),
        data_hash=series.sha256(frame.start, end) if series is not None else "",
        strategy_hash=strategy_hash,
        strategy_file=strategy_file,
        stopped=execution.stopped,
        elapsed_seconds=execution.elapsed_seconds,
    )


def _series(execution: BacktestExecution) -> BarSeries | None:
    try:
        return execution.market.minutes(execution.key.symbol)
    except NoDataError:
        return None
