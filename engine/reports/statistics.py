"""Statistics of a run as pure functions of its trades, so every report shows the same numbers.

Formulas are those of ``docs/statistics.md``. Nothing here reads a clock, a file or a setting that
was not passed in, and nothing returns NaN or infinity: a figure without a value is a sentence that
says why, until it lands as None in `BacktestStatistics` with the sentence beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum, isfinite, sqrt
from typing import Any, Final, TypeAlias

from engine.core.pricing import pnl
from engine.domain.errors import EngineError
from engine.domain.outcome import BacktestStatistics, EquityPoint
from engine.domain.settings import Settings
from engine.domain.signals import Closed
from engine.domain.time import DAY, MINUTE, from_ms

DAYS_PER_YEAR: Final = 365
"""Crypto markets trade every calendar day."""

_NOISE: Final = 1e-12
# Spread below which values count as equal, relative to the greater of 1 and the largest value.
# Returns and percentages are differences of numbers near 1, so rounding alone puts them some
# 1e-16 apart, and a deviation made of that would give ratios near 1e15. A price tick, on the
# other hand, moves them by 1e-8 or more.

_MOST_EQUITY: Final = 1e300
# Equity is held below this so that a run of absurd gains stays a number.

_MOST_PNL: Final = 1e100
# No price gives a percentage beyond this; one that is beyond it, or NaN, is an engine fault.

_HUGE: Final = "the value is too large for a number"
_NO_TRADES: Final = "no trades"
_NO_DAYS: Final = "the frame has no days"
_NO_LENGTH: Final = "the frame has no length"

_Figure: TypeAlias = float | str
# A value, or the reason why there is none.


@dataclass(frozen=True, slots=True)
class DrawdownPoint:
    """``drawdown``, percent below the running maximum (0 or positive), at ``timestamp`` (ms)."""

    timestamp: int
    drawdown: float


@dataclass(frozen=True, slots=True)
class MonthlyReturn:
    """Return of one calendar month (UTC) in percent; the run's first and last may be partial."""

    year: int
    month: int
    percent: float


def summarise(
    trades: Sequence[Closed],
    *,
    frame_start: int,
    frame_end: int,
    mark: Callable[[int], float | None],
    settings: Settings,
) -> tuple[BacktestStatistics, tuple[EquityPoint, ...]]:
    """Statistics and daily equity curve of one run; arguments as of `daily_equity`."""
    equity = daily_equity(
        trades, frame_start=frame_start, frame_end=frame_end, mark=mark, settings=settings
    )
    figures = backtest_statistics(trades, equity, frame_start=frame_start, frame_end=frame_end)
    return figures, equity


def daily_equity(
    trades: Sequence[Closed],
    *,
    frame_start: int,
    frame_end: int,
    mark: Callable[[int], float | None],
    settings: Settings,
) -> tuple[EquityPoint, ...]:
    """The daily equity curve: E0 = 1 at the frame's start, then one point per UTC day at 24:00.

    A day owns the instants after its 00:00 up to and including its 24:00, so a frame that ends
    at 00:00 sharp ends with the day before. The curve goes on to the last close's day if that is
    later. A frame that ends before it starts has E0 alone.

    Args:
        trades: closed trades of one run in close order; they do not overlap.
        frame_start, frame_end: the frame's bounds, ms UTC, both inclusive.
        mark: market price at an instant (ms UTC), asked only where a trade is open; None where
            there is no price, and the trade then counts when it closes.
        settings: costs of the marked trade.

    Returns:
        E0 and the daily points, oldest first; equity is never below 0.

    Raises:
        EngineError: a trade's ``pnl_percentage`` is not a usable number.
    """
    last = max(frame_end, trades[-1].close_timestamp if trades else frame_end)
    points = [EquityPoint(frame_start, 1.0)]
    if last < frame_start:
        return tuple(points)
    gains = _pnls(trades)
    equity, done = 1.0, 0
    for day in range(frame_start // DAY, -(-last // DAY)):
        midnight = (day + 1) * DAY
        while done < len(trades) and trades[done].close_timestamp <= midnight:
            equity = _grown(equity, gains[done])
            done += 1
        value = equity
        if done < len(trades) and trades[done].signal.pending_at <= midnight:
            value = _grown(equity, _marked(trades[done], mark(midnight), settings))
        points.append(EquityPoint(midnight, value))
    return tuple(points)


def backtest_statistics(
    trades: Sequence[Closed],
    equity: Sequence[EquityPoint],
    *,
    frame_start: int,
    frame_end: int,
) -> BacktestStatistics:
    """Every statistic of one run.

    Args:
        trades: all closed trades in close order.
        equity: the curve of `daily_equity` for the same trades and frame, E0 included.
        frame_start, frame_end: the frame's bounds, ms UTC, both inclusive.

    Returns:
        Counts and sums (0 when there is nothing to count) and ratios; an undefined ratio is None
        and ``undefined`` maps its name to the reason.

    Raises:
        EngineError: a trade's ``pnl_percentage`` is not a usable number.
    """
    gains = _pnls(trades)
    length = max(0, frame_end - frame_start)
    figures = {
        **_trade_figures(gains, length / (DAYS_PER_YEAR * DAY)),
        **_time_figures(trades, frame_start, frame_end),
        **_curve_figures(equity),
    }
    undefined = {name: reason for name, reason in figures.items() if isinstance(reason, str)}
    ratios: dict[str, Any] = {
        name: None if name in undefined else figures[name] for name in figures
    }
    deepest, underwater_days = _deepest(equity)
    wins, losses = _streaks(gains)
    return BacktestStatistics(
        total_trades=len(gains),
        win_count=sum(gain > 0 for gain in gains),
        loss_count=sum(gain < 0 for gain in gains),
        total_pnl=fsum(gains),
        max_win_streak=wins,
        max_loss_streak=losses,
        ambiguous_bars=sum(trade.ambiguous for trade in trades),
        swept_entries=sum(trade.swept for trade in trades),
        total_return=(equity[-1].equity - 1) * 100 if equity else 0.0,
        max_drawdown=deepest * 100,
        max_drawdown_days=underwater_days,
        undefined=undefined,
        **ratios,
    )


def trade_drawdown(pnls: Iterable[float]) -> float:
    """Deepest drawdown over trades compounded in close order, positive percent.

    Args:
        pnls: ``pnl_percentage`` of the trades in close order; +10, -6, -4, -5, +20 gives 14.27.
    """
    curve = [1.0]
    for gain in pnls:
        curve.append(_grown(curve[-1], gain))
    return max(_drawdowns(curve)) * 100


def drawdown_curve(equity: Sequence[EquityPoint]) -> tuple[DrawdownPoint, ...]:
    """Percent below the running maximum at every point of the equity curve."""
    depths = _drawdowns([point.equity for point in equity])
    return tuple(
        DrawdownPoint(point.timestamp, depth * 100)
        for point, depth in zip(equity, depths, strict=True)
    )


def monthly_returns(equity: Sequence[EquityPoint]) -> tuple[MonthlyReturn, ...]:
    """Return of every calendar month the curve covers, oldest first.

    A point at 24:00 belongs to the day, and so to the month, that ends there. A month that
    starts with nothing left returns 0.
    """
    closing: dict[tuple[int, int], float] = {}
    for point in equity[1:]:
        day = from_ms(point.timestamp - 1)
        closing[day.year, day.month] = point.equity
    found: list[MonthlyReturn] = []
    before = equity[0].equity if equity else 1.0
    for (year, month), value in closing.items():
        found.append(MonthlyReturn(year, month, _return(before, value) * 100))
        before = value
    return tuple(found)


def _trade_figures(gains: Sequence[float], years: float) -> Mapping[str, _Figure]:
    count = len(gains)
    wins = [gain for gain in gains if gain > 0]
    losses = [gain for gain in gains if gain < 0]
    average = _mean(gains, _NO_TRADES)
    deviation = _deviation(gains, "trades")
    sharpe = _ratio(average, deviation, "every trade has the same result")
    per_year = _ratio(count, years, _NO_LENGTH)
    no_loss = "no losing trade" if gains else _NO_TRADES
    no_win = "no winning trade" if gains else _NO_TRADES
    average_loss = _mean(losses, no_loss)
    return {
        "win_rate": _ratio(len(wins) * 100, count, _NO_TRADES),
        "avg_pnl": average,
        "std_dev": deviation,
        "sharpe_ratio": sharpe,
        "annualized_sharpe_ratio": _product(sharpe, _root(per_year)),
        "certainty_ratio": _ratio(_mean(wins, no_win), _magnitude(average_loss), no_loss),
        "expected_yearly_returns": _product(average, per_year),
        "profit_factor": _ratio(fsum(wins), abs(fsum(losses)), no_loss),
        "expectancy": average,
        "sqn": _product(sharpe, sqrt(count)),
    }


def _time_figures(
    trades: Sequence[Closed], frame_start: int, frame_end: int
) -> Mapping[str, _Figure]:
    held = sum(trade.close_timestamp - trade.signal.pending_at for trade in trades)
    inside = sum(
        max(0, min(trade.close_timestamp, frame_end) - max(trade.signal.pending_at, frame_start))
        for trade in trades
    )
    return {
        "avg_duration_minutes": _ratio(held / MINUTE, len(trades), _NO_TRADES),
        "exposure": _ratio(inside, max(0, frame_end - frame_start), _NO_LENGTH),
    }


def _curve_figures(equity: Sequence[EquityPoint]) -> Mapping[str, _Figure]:
    values = [point.equity for point in equity]
    returns = [_return(before, after) for before, after in pairwise(values)]
    average = _mean(returns, _NO_DAYS)
    growth = _yearly_growth(values)
    yearly = sqrt(DAYS_PER_YEAR)
    sharpe = _ratio(average, _deviation(returns, "days"), "every day has the same return")
    sortino = _ratio(average, _downside(returns), "no losing day")
    drawdown = max(_drawdowns(values), default=0.0) * 100
    return {
        "cagr": growth,
        "daily_sharpe_ratio": _product(sharpe, yearly),
        "sortino_ratio": _product(sortino, yearly),
        "calmar_ratio": _ratio(growth, drawdown, "no drawdown"),
    }


def _pnls(trades: Sequence[Closed]) -> list[float]:
    gains = [trade.pnl.pnl_percentage for trade in trades]
    for trade, gain in zip(trades, gains, strict=True):
        if not abs(gain) <= _MOST_PNL:  # NaN compares false
            raise EngineError(
                f"trade {trade.signal.id} closed with pnl_percentage {gain}: statistics need a "
                f"finite number of at most {_MOST_PNL:g} percent; check its prices "
                f"({trade.pnl.price_open} to {trade.pnl.price_close}) and the cost settings"
            )
    return gains


def _grown(equity: float, percent: float) -> float:
    return min(_MOST_EQUITY, equity * max(0.0, 1 + percent / 100))


def _marked(trade: Closed, price: float | None, settings: Settings) -> float:
    if price is None:
        return 0.0
    return pnl(trade.signal.position, trade.pnl.price_open, price, settings).pnl_percentage


def _return(before: float, after: float) -> float:
    return after / before - 1 if before > 0 else 0.0


def _mean(values: Sequence[float], empty: str) -> _Figure:
    if not values:
        return empty
    try:
        return _finite(fsum(values) / len(values))
    except OverflowError:
        return _HUGE


def _deviation(values: Sequence[float], things: str) -> _Figure:
    if len(values) < 2:
        return f"fewer than two {things}"
    low, high = min(values), max(values)
    if high - low <= _NOISE * max(1.0, abs(low), abs(high)):
        return 0.0
    mean = _mean(values, "")
    return _root(_squares(values, mean, len(values) - 1))


def _downside(returns: Sequence[float]) -> _Figure:
    if len(returns) < 2:
        return "fewer than two days"
    losing = [value for value in returns if value < -_NOISE]
    return _root(_squares(losing, 0.0, len(returns)))


def _squares(values: Sequence[float], centre: _Figure, divisor: int) -> _Figure:
    if isinstance(centre, str):
        return centre
    try:
        return _finite(fsum((value - centre) * (value - centre) for value in values) / divisor)
    except OverflowError:
        return _HUGE


def _yearly_growth(values: Sequence[float]) -> _Figure:
    days = len(values) - 1
    if days < 1:
        return _NO_DAYS
    try:
        return _finite(((values[-1] / values[0]) ** (DAYS_PER_YEAR / days) - 1) * 100)
    except OverflowError:
        return _HUGE


def _drawdowns(values: Sequence[float]) -> list[float]:
    """Fractions below the running maximum; within rounding of it is 0 exactly."""
    peak, found = 0.0, list[float]()
    for value in values:
        peak = max(peak, value)
        depth = 1 - value / peak if peak > 0 else 0.0
        found.append(depth if depth > _NOISE else 0.0)
    return found


def _deepest(equity: Sequence[EquityPoint]) -> tuple[float, int]:
    """Deepest drawdown, a fraction, and the days from its peak to its recovery (or the end)."""
    depths = _drawdowns([point.equity for point in equity])
    deepest = max(depths, default=0.0)
    if deepest == 0:
        return 0.0, 0
    bottom = depths.index(deepest)
    peak = next(at for at in range(bottom, -1, -1) if depths[at] == 0)
    recovered = (at for at in range(bottom, len(depths)) if depths[at] == 0)
    return deepest, next(recovered, len(depths) - 1) - peak


def _streaks(gains: Sequence[float]) -> tuple[int, int]:
    wins = losses = longest_win = longest_loss = 0
    for gain in gains:
        if gain > 0:
            wins, losses = wins + 1, 0
        elif gain < 0:
            wins, losses = 0, losses + 1
        longest_win, longest_loss = max(longest_win, wins), max(longest_loss, losses)
    return longest_win, longest_loss


def _finite(value: float) -> _Figure:
    return value if isfinite(value) else _HUGE


def _ratio(numerator: _Figure, denominator: _Figure, zero: str) -> _Figure:
    if isinstance(numerator, str):
        return numerator
    if isinstance(denominator, str):
        return denominator
    return _finite(numerator / denominator) if denominator else zero


def _product(left: _Figure, right: _Figure) -> _Figure:
    if isinstance(left, str):
        return left
    return right if isinstance(right, str) else _finite(left * right)


def _root(value: _Figure) -> _Figure:
    return value if isinstance(value, str) else sqrt(value)


def _magnitude(value: _Figure) -> _Figure:
    return value if isinstance(value, str) else abs(value)
