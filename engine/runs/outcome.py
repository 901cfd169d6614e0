"""Turns what a run left into the figures and outcomes that reports, commands and console read."""

from __future__ import annotations

from collections.abc import Callable

from engine.domain.errors import EngineError
from engine.domain.outcome import BacktestOutcome, BacktestStatistics, EquityPoint, RunCounts
from engine.domain.settings import Settings
from engine.domain.signals import Action, Closed
from engine.domain.time import DAY, MINUTE
from engine.reports.live import LiveStatistics, live_statistics
from engine.reports.statistics import summarise
from engine.runs.backtest import BacktestExecution, BarsUsed
from engine.services.journal import RunJournal
from engine.services.market import Market
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
    trades = tuple(journal.trades)
    statistics, equity = backtest_figures(execution)
    bars = bars_used(execution)
    warnings = list(journal.warnings)
    if bars.filled:
        warnings.append(f"{bars.filled} missing minutes were filled with flat bars")
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
            filled=bars.filled,
            candles=bars.candles,
        ),
        warnings=tuple(warnings),
        errors=tuple(journal.errors),
        settings=execution.settings.model_dump(),
        data_hash=bars.data_hash,
        strategy_hash=strategy_hash,
        strategy_file=strategy_file,
        stopped=execution.stopped,
        elapsed_seconds=execution.elapsed_seconds,
    )


def backtest_figures(
    execution: BacktestExecution,
) -> tuple[BacktestStatistics, tuple[EquityPoint, ...]]:
    """Statistics and daily equity curve of a backtest's trades so far."""
    if execution.remains is not None:
        return execution.remains.figures
    frame, series = execution.frame, execution.market.known(execution.key.symbol)
    return summarise(
        execution.journal.all_trades(),
        frame_start=frame.start,
        frame_end=frame.end,
        mark=_mark(series, execution.settings),
        settings=execution.settings,
    )


def bars_used(execution: BacktestExecution) -> BarsUsed:
    """The bars of a backtest from the start of its frame to its last close."""
    if execution.remains is not None:
        return execution.remains.bars
    frame, series = execution.frame, execution.market.known(execution.key.symbol)
    if series is None:
        return BarsUsed()
    trades = execution.journal.trades
    last = max((trade.close_timestamp for trade in trades), default=frame.end)
    end = max(frame.end, last) + MINUTE
    candles = series.closed(end) - series.closed(frame.start)
    filled = series.filled_between(frame.start, end)
    return BarsUsed(candles, filled, series.sha256(frame.start, end))


def live_data(journal: RunJournal, figures: BacktestStatistics) -> LiveStatistics:
    """Figures of a live session together with what its journal has of it."""
    counts = journal.counts
    return live_statistics(
        figures,
        reversed(journal.events),
        total_events=counts.total(),
        total_scheduled=counts[Action.SCHEDULED],
        total_opened=counts[Action.OPENED],
        total_cancelled=counts[Action.CANCELLED],
    )


async def live_figures(
    journal: RunJournal, market: Market | None, settings: Settings, now: int
) -> tuple[BacktestStatistics, tuple[EquityPoint, ...]]:
    """Statistics and daily equity curve of a live session from its start to now, or to its end.

    A trade that was open at midnight is marked at the market of that instant. A session that was
    taken over by this process may have to load bars for that; what the exchange no longer has is
    not marked, and the trade counts when it closed.

    Args:
        journal: of the session.
        market: bars of its exchange, None when that is not registered (any more).
        settings: the settings it runs with.
        now: the present instant, ms UTC.
    """
    trades = journal.all_trades()
    # The first instant of a session is the whole minute it was started in.
    start = (now if journal.started_at is None else journal.started_at) // MINUTE * MINUTE
    end = max(start, (now if journal.ended_at is None else journal.ended_at) // MINUTE * MINUTE)
    series = None
    if market is not None:
        await _reach_back(market, journal.key.symbol, trades, settings)
        series = market.known(journal.key.symbol)
    return summarise(
        trades,
        frame_start=start,
        frame_end=end,
        mark=_mark(series, settings),
        settings=settings,
    )


async def _reach_back(
    market: Market, symbol: str, trades: tuple[Closed, ...], settings: Settings
) -> None:
    """Load bars back to the first midnight at which a trade was open, if they are not there."""
    overnight = (
        midnight
        for trade in trades
        if (midnight := -(-trade.signal.pending_at // DAY) * DAY) < trade.close_timestamp
    )
    first = next(overnight, None)
    if first is None:
        return
    since = first - settings.avg_price_candles_count * MINUTE
    series = market.known(symbol)
    if series is not None and (series.at_start or series.first <= since):
        return
    try:
        # Only backwards: what is newer belongs to the run's own polls.
        until = trades[-1].close_timestamp if series is None else series.loaded_until
        await market.ensure(symbol, since, until)
    except EngineError:
        return


def _mark(series: BarSeries | None, settings: Settings) -> Callable[[int], float | None]:
    def mark(instant: int) -> float | None:
        closed = series.closed(instant) if series is not None else 0
        if series is None or not closed:
            return None
        column = series.vwap if settings.fill_price == "vwap" else series.columns.close
        return float(column[closed - 1])

    return mark
