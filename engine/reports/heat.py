"""One strategy over several symbols: a row for each, and the portfolio they make together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Final

from engine.domain.outcome import BacktestStatistics, EquityPoint
from engine.domain.signals import Closed
from engine.reports.columns import Column, column, number_text, percent_text
from engine.reports.markdown import column_table, document, escape
from engine.reports.statistics import backtest_statistics, trade_drawdown


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One symbol's trades; percentages in percent units, an undefined figure is None.

    Attributes:
        avg_win, avg_loss: mean of the winning, of the losing trades; the loss is negative.
        max_drawdown: over single trades compounded in close order, positive percent.
        undefined: why a figure is None.
    """

    symbol: str
    total_trades: int
    win_count: int
    loss_count: int
    win_rate: float | None
    total_pnl: float
    avg_pnl: float | None
    std_dev: float | None
    sharpe_ratio: float | None
    profit_factor: float | None
    expectancy: float | None
    avg_win: float | None
    avg_loss: float | None
    max_drawdown: float
    max_win_streak: int
    max_loss_streak: int
    undefined: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class HeatMember:
    """One run of the strategy: its trades in close order, statistics and daily equity curve."""

    symbol: str
    trades: Sequence[Closed]
    statistics: BacktestStatistics
    equity: Sequence[EquityPoint]


@dataclass(frozen=True, slots=True)
class HeatStatistics:
    """A strategy's rows and its portfolio.

    The portfolio puts an equal part of the capital on each symbol and leaves it there, so its
    equity curve is the mean of the members' curves, and its figures are those of that curve.

    Attributes:
        rows: by Sharpe ratio, best first, undefined ones last.
        portfolio_total_pnl: return of the portfolio over the whole time, percent.
        portfolio_sharpe_ratio: daily Sharpe ratio of the portfolio, annualised.
        portfolio_max_drawdown: of the portfolio's daily curve, positive percent.
        portfolio_total_trades: trades of all symbols together.
        portfolio: every statistic of the portfolio's curve; those of single trades are empty.
        equity: the portfolio's daily equity curve.
    """

    rows: tuple[HeatRow, ...]
    total_symbols: int
    portfolio_total_trades: int
    portfolio: BacktestStatistics
    equity: tuple[EquityPoint, ...]

    @property
    def symbols(self) -> tuple[HeatRow, ...]:
        """The rows."""
        return self.rows

    @property
    def portfolio_total_pnl(self) -> float:
        """Return of the portfolio over the whole time, percent."""
        return self.portfolio.total_return

    @property
    def portfolio_sharpe_ratio(self) -> float | None:
        """Daily Sharpe ratio of the portfolio, annualised; None when undefined."""
        return self.portfolio.daily_sharpe_ratio

    @property
    def portfolio_max_drawdown(self) -> float:
        """Deepest drawdown of the portfolio's daily curve, positive percent."""
        return self.portfolio.max_drawdown


def heat_statistics(members: Sequence[HeatMember]) -> HeatStatistics:
    """Rows and portfolio of a strategy's runs, one per symbol."""
    rows = sorted((_row(member) for member in members), key=_by_sharpe)
    equity = mean_equity([member.equity for member in members])
    start = equity[0].timestamp if equity else 0
    end = equity[-1].timestamp if equity else 0
    return HeatStatistics(
        rows=tuple(rows),
        total_symbols=len(rows),
        portfolio_total_trades=sum(row.total_trades for row in rows),
        portfolio=backtest_statistics([], equity, frame_start=start, frame_end=end),
        equity=equity,
    )


def mean_equity(curves: Sequence[Sequence[EquityPoint]]) -> tuple[EquityPoint, ...]:
    """The equal-weighted mean of daily equity curves, each with its E0 in front.

    It starts with the earliest curve and has every day that one of them has. A curve that has not
    begun yet is at 1, one that has ended stays where it ended.
    """
    begun = [curve for curve in curves if curve]
    if not begun:
        return ()
    start = min(curve[0].timestamp for curve in begun)
    days = sorted({point.timestamp for curve in begun for point in curve[1:]})
    values, places = [1.0] * len(begun), [1] * len(begun)
    found = [EquityPoint(start, 1.0)]
    for day in days:
        for at, curve in enumerate(begun):
            while places[at] < len(curve) and curve[places[at]].timestamp <= day:
                values[at] = curve[places[at]].equity
                places[at] += 1
        found.append(EquityPoint(day, fsum(values) / len(values)))
    return tuple(found)


HEAT_COLUMNS: Final[tuple[Column[HeatRow], ...]] = (
    column("symbol", "Symbol", lambda row: row.symbol),
    column("total_pnl", "Total PNL", lambda row: percent_text(row.total_pnl)),
    column("sharpe_ratio", "Sharpe", lambda row: number_text(row.sharpe_ratio, 2)),
    column("profit_factor", "PF", lambda row: number_text(row.profit_factor, 2)),
    column("expectancy", "Expect", lambda row: percent_text(row.expectancy)),
    column("win_rate", "WR", lambda row: number_text(row.win_rate, 1, "%")),
    column("avg_win", "Avg Win", lambda row: percent_text(row.avg_win)),
    column("avg_loss", "Avg Loss", lambda row: percent_text(row.avg_loss)),
    column("max_drawdown", "Max DD", lambda row: percent_text(-row.max_drawdown)),
    column("max_win_streak", "W Streak", lambda row: str(row.max_win_streak)),
    column("max_loss_streak", "L Streak", lambda row: str(row.max_loss_streak)),
    column("total_trades", "Trades", lambda row: str(row.total_trades)),
)


def heat_report(
    strategy_name: str, data: HeatStatistics, columns: Sequence[Column[HeatRow]]
) -> str:
    """The Markdown report: the portfolio in one line, then a row per symbol, best first."""
    blocks = [f"# Portfolio Heatmap: {escape(strategy_name)}"]
    if not data.rows:
        blocks.append("*No data: no run of this strategy has been started.*")
    else:
        sharpe = number_text(data.portfolio_sharpe_ratio, 2)
        blocks += [
            f"**Total Symbols:** {data.total_symbols} | "
            f"**Portfolio PNL:** {percent_text(data.portfolio_total_pnl)} | "
            f"**Portfolio Sharpe:** {sharpe} | "
            f"**Total Trades:** {data.portfolio_total_trades}",
            column_table(columns, data.rows),
        ]
    return document(blocks)


def _row(member: HeatMember) -> HeatRow:
    figures = member.statistics
    gains = [trade.pnl.pnl_percentage for trade in member.trades]
    wins = [gain for gain in gains if gain > 0]
    losses = [gain for gain in gains if gain < 0]
    undefined = {
        name: reason for name, reason in figures.undefined.items() if name in _OF_STATISTICS
    }
    if not wins:
        undefined["avg_win"] = "no winning trade" if gains else "no trades"
    if not losses:
        undefined["avg_loss"] = "no losing trade" if gains else "no trades"
    return HeatRow(
        symbol=member.symbol,
        **{name: getattr(figures, name) for name in _OF_STATISTICS},
        avg_win=fsum(wins) / len(wins) if wins else None,
        avg_loss=fsum(losses) / len(losses) if losses else None,
        max_drawdown=trade_drawdown(gains),
        undefined=undefined,
    )


_OF_STATISTICS: Final = (
    "total_trades", "win_count", "loss_count", "win_rate", "total_pnl", "avg_pnl", "std_dev",
    "sharpe_ratio", "profit_factor", "expectancy", "max_win_streak", "max_loss_streak",
)  # fmt: skip


def _by_sharpe(row: HeatRow) -> tuple[bool, float]:
    sharpe = row.sharpe_ratio
    return sharpe is None, -(sharpe or 0.0)
