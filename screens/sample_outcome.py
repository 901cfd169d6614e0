"""Sample backtests: random trades, the same ones for the same seed."""

from __future__ import annotations

from math import prod
from random import Random
from typing import Final

from engine.domain.outcome import BacktestOutcome, BacktestStatistics, EquityPoint, RunCounts
from engine.domain.signals import Closed, CloseReason, Mode, PnL, Position, RunKey, SignalRow
from engine.reports.live import live_columns, live_report, live_statistics

JANUARY: Final = 1_704_067_200_000
"""Where the sample's history begins: 2024-01-01 UTC."""

_MINUTE: Final = 60_000
_DAY: Final = 86_400_000


def _trade(key: RunKey, at: int, index: int, random: Random) -> Closed:
    side = Position.LONG if random.random() < 0.6 else Position.SHORT
    entry = 42_000 + random.gauss(0, 900)
    roll = random.random()
    reason, pnl = CloseReason.TIME_EXPIRED, random.gauss(-0.1, 0.3)
    if roll < 0.48:
        reason, pnl = CloseReason.TAKE_PROFIT, 0.6
    elif roll < 0.85:
        reason, pnl = CloseReason.STOP_LOSS, -0.75
    sign = 1 if side is Position.LONG else -1
    close = entry * (1 + sign * (pnl + 0.4) / 100)
    row = SignalRow(
        f"trade-{index}", key.symbol, key.strategy_name, key.exchange_name, side, entry,
        entry * (1 + sign * 0.01), entry * (1 - sign * 0.01), 240, at, at, False,
        "fast over slow" if side is Position.LONG else "",
    )  # fmt: skip
    end = at + random.randint(4, 240) * _MINUTE
    booked = PnL(pnl, entry, close, entry * 1.001, close * 0.999)
    return Closed(key, end, close, row, reason, end, booked, ambiguous=index % 29 == 7)


def outcome(seed: int, days: int = 30, per_day: int = 4) -> BacktestOutcome:
    """A finished backtest of January 2024: random trades, the same ones for the same seed."""
    random = Random(seed)
    key = RunKey(Mode.BACKTEST, "simulated", "sma-cross", "BTCUSDT", "2024-01")
    trades = [
        _trade(key, JANUARY + day * _DAY + slot * 5 * 60 * _MINUTE, day * per_day + slot, random)
        for day in range(days)
        for slot in range(per_day)
        if random.random() < 0.8
    ]
    gains = [trade.pnl.pnl_percentage for trade in trades]
    equity = [EquityPoint(JANUARY, 1.0)]
    for day in range(1, days + 1):
        until = JANUARY + day * _DAY
        done = [t.pnl.pnl_percentage for t in trades if t.close_timestamp <= until]
        equity.append(EquityPoint(until, prod(1 + gain / 100 for gain in done)))
    peak, drawdown = 1.0, 0.0
    for point in equity:
        peak = max(peak, point.equity)
        drawdown = max(drawdown, 1 - point.equity / peak)
    wins = [gain for gain in gains if gain > 0]
    losses = [gain for gain in gains if gain < 0]
    statistics = BacktestStatistics(
        total_trades=len(gains), win_count=len(wins), loss_count=len(losses),
        win_rate=100 * len(wins) / len(gains), total_pnl=sum(gains),
        avg_pnl=sum(gains) / len(gains), std_dev=0.66, sharpe_ratio=0.031,
        annualized_sharpe_ratio=1.08, certainty_ratio=0.81, expected_yearly_returns=23.9,
        profit_factor=sum(wins) / -sum(losses), expectancy=sum(gains) / len(gains), sqn=0.31,
        avg_duration_minutes=121.4, max_win_streak=7, max_loss_streak=5, ambiguous_bars=3,
        swept_entries=0, total_return=100 * (equity[-1].equity - 1), cagr=None,
        max_drawdown=100 * drawdown, max_drawdown_days=9, daily_sharpe_ratio=1.12,
        sortino_ratio=1.9, calmar_ratio=None, exposure=0.338,
        undefined={
            "cagr": "the frame is shorter than 90 days",
            "calmar_ratio": "cagr is undefined",
        },
    )  # fmt: skip
    return BacktestOutcome(
        key, "1m", JANUARY, JANUARY + days * _DAY, tuple(trades), (), statistics, tuple(equity),
        RunCounts(days * 1440, 0, 2, 17, days * 1440 + 250),
        ("the frame asks for 12 minutes beyond the data",), (), {"percent_fee": 0.1},
        strategy_file="strategies/sma_cross.py", elapsed_seconds=0.41,
    )  # fmt: skip


def session_report(strategy_name: str) -> str:
    """The report of a live session with those trades."""
    result = outcome(7)
    trades = len(result.trades)
    session = live_statistics(
        result.statistics, reversed(result.trades), total_events=trades, total_scheduled=0,
        total_opened=trades, total_cancelled=0,
    )  # fmt: skip
    return live_report(strategy_name, session, live_columns(lambda: False))
