"""A finished backtest as people and programs read it: Markdown, JSON and CSV.

All three read the same `BacktestOutcome` and nothing else, and depend on nothing but the run:
wall times are left out, so the same run gives the same bytes.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite
from numbers import Integral, Real
from typing import Any, Final, cast

from engine.domain.outcome import BacktestOutcome, BacktestStatistics
from engine.domain.signals import Cancelled, Closed, SignalRow
from engine.domain.time import minute_text
from engine.reports.columns import BACKTEST_COLUMNS, MISSING, Column, percent_text
from engine.reports.markdown import bold_line, bullet, column_table, document, escape, table

_LISTED: Final = 50
# Warnings and errors shown in a report: a run may have one per minute of a year.

_HIGHER: Final = "higher is better"
_LOWER: Final = "lower is better"


@dataclass(frozen=True, slots=True)
class StatisticLine:
    """One statistic as a person reads it.

    Attributes:
        field: its name in `BacktestStatistics`.
        label: heading, for example ``Win rate``.
        text: formatted value with its unit; ``N/A`` when undefined.
        hint: ``higher is better``, ``lower is better`` or "".
        reason: why the value is undefined, else "".
        daily: True when it comes from the daily equity curve, False when from the trades.
    """

    field: str
    label: str
    text: str
    hint: str = ""
    reason: str = ""
    daily: bool = False


def statistic_lines(statistics: BacktestStatistics) -> tuple[StatisticLine, ...]:
    """Every statistic in the order of the report, trades first, then the daily curve."""
    days = statistics.max_drawdown_days
    after = {
        "win_rate": f" ({statistics.win_count}W / {statistics.loss_count}L)",
        "max_drawdown": f" ({days} day{'' if days == 1 else 's'})",
    }
    found: list[StatisticLine] = []
    for field, label, show, hint in _SHOWN:
        value: float | None = getattr(statistics, field)
        text = MISSING if value is None else show(value) + after.get(field, "")
        reason = statistics.undefined.get(field, "") if value is None else ""
        found.append(StatisticLine(field, label, text, hint, reason, field in _DAILY))
    return tuple(found)


def backtest_report(
    outcome: BacktestOutcome, columns: Sequence[Column[Closed]] | None = None
) -> str:
    """The Markdown report: trades newest first, statistics, what was run, warnings and errors.

    Args:
        outcome: a finished or stopped backtest.
        columns: instead of the default ones; taken as they are.

    Raises:
        EngineError: a column's function failed.
    """
    blocks = [f"# Backtest Report: {escape(outcome.key.strategy_name)}"]
    if outcome.trades:
        chosen = BACKTEST_COLUMNS if columns is None else columns
        lines = statistic_lines(outcome.statistics)
        blocks += [
            column_table(chosen, tuple(reversed(outcome.trades))),
            statistics_block(line for line in lines if not line.daily),
            "## Daily equity",
            statistics_block(line for line in lines if line.daily),
        ]
    else:
        blocks.append("No signals closed in this run.")
    blocks += [
        "## Run",
        "\n".join(bold_line(label, escape(text)) for label, text in _facts(outcome)),
    ]
    if outcome.cancelled:
        reasons = Counter(str(result.cancel_reason) for result in outcome.cancelled)
        counts = ((reason, str(count)) for reason, count in reasons.most_common())
        blocks += ["## Cancelled signals", table(["Reason", "Signals"], counts)]
    settings = ((name, str(value)) for name, value in outcome.settings.items())
    blocks += ["## Settings", table(["Setting", "Value"], settings)]
    blocks += _listing("Warnings", outcome.warnings, len(outcome.warnings))
    # A run keeps the first errors and counts them all.
    blocks += _listing("Errors", outcome.errors, outcome.counts.errors)
    return document(blocks)


def outcome_to_json(outcome: BacktestOutcome) -> dict[str, Any]:
    """The backtest as JSON data: ``run``, ``statistics``, ``trades``, ``cancelled``.

    Instants are ms UTC, percentages in percent units, undefined statistics None with the reason
    under ``undefined``. Holds no NaN or infinity, so strict JSON writers take it.
    """
    data = {
        "run": _run_data(outcome),
        "statistics": statistics_data(outcome.statistics),
        "trades": [_trade_data(trade) for trade in outcome.trades],
        "cancelled": [_cancelled_data(result) for result in outcome.cancelled],
    }
    return cast("dict[str, Any]", json_safe(data))


def statistics_data(figures: BacktestStatistics) -> dict[str, Any]:
    """Every statistic by its name."""
    listed = {item.name: getattr(figures, item.name) for item in fields(figures)}
    return {"total_signals": figures.total_signals, **listed}


def trades_to_csv(trades: Iterable[Closed]) -> str:
    """The trades as CSV in the given order: the JSON fields and the note, one line per trade.

    White space in texts collapses to single blanks, so that no text breaks its line.
    """
    names = [*_TRADE_FIELDS, "note"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for trade in trades:
        data = {**_trade_data(trade), "note": trade.signal.note}
        writer.writerow(
            {k: " ".join(v.split()) if isinstance(v, str) else v for k, v in data.items()}
        )
    return text.getvalue()


def json_safe(value: object) -> object:
    """``value`` of JSON types alone; a number that JSON has no word for becomes None."""
    if value is None or isinstance(value, bool):
        return value
    # The abstract numbers, so that numpy's scalars are numbers too.
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if isfinite(value) else None
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(name): json_safe(item) for name, item in items}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_safe(item) for item in cast("Iterable[object]", value)]
    return str(value)


_TRADE_FIELDS: Final = (
    "id",
    "position",
    "price_open",
    "price_take_profit",
    "price_stop_loss",
    "minute_estimated_time",
    "scheduled_at",
    "pending_at",
    "price_close",
    "close_reason",
    "close_timestamp",
    "pnl_percentage",
)


def _trade_data(trade: Closed) -> dict[str, Any]:
    row = trade.signal
    return {
        **_row_data(row),
        "price_open": trade.pnl.price_open,
        "pending_at": row.pending_at,
        "price_close": trade.pnl.price_close,
        "close_reason": str(trade.close_reason),
        "close_timestamp": trade.close_timestamp,
        "pnl_percentage": trade.pnl.pnl_percentage,
    }


def _cancelled_data(result: Cancelled) -> dict[str, Any]:
    return {
        **_row_data(result.signal),
        "price": result.current_price,
        "cancel_reason": str(result.cancel_reason),
        "close_timestamp": result.close_timestamp,
    }


def _row_data(row: SignalRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "position": str(row.position),
        "price_open": row.price_open,
        "price_take_profit": row.price_take_profit,
        "price_stop_loss": row.price_stop_loss,
        "minute_estimated_time": row.minute_estimated_time,
        "scheduled_at": row.scheduled_at,
    }


def _run_data(outcome: BacktestOutcome) -> dict[str, Any]:
    key, counts = outcome.key, outcome.counts
    return {
        "mode": str(key.mode),
        "symbol": key.symbol,
        "strategy_name": key.strategy_name,
        "exchange_name": key.exchange_name,
        "frame_name": key.frame_name,
        "frame_interval": outcome.frame_interval,
        "frame_start": outcome.frame_start,
        "frame_end": outcome.frame_end,
        "stopped": outcome.stopped,
        "candles": counts.candles,
        "filled": counts.filled,
        "calls": counts.calls,
        "rejections": counts.rejections,
        "error_count": counts.errors,
        "errors": outcome.errors,
        "warnings": outcome.warnings,
        "settings": outcome.settings,
        "strategy_file": outcome.strategy_file,
        "strategy_hash": outcome.strategy_hash,
        "data_hash": outcome.data_hash,
    }


def _facts(outcome: BacktestOutcome) -> list[tuple[str, str]]:
    key, counts = outcome.key, outcome.counts
    span = f"{minute_text(outcome.frame_start)} to {minute_text(outcome.frame_end)}"
    return [
        ("Strategy", key.strategy_name),
        ("Symbol", key.symbol),
        ("Exchange", key.exchange_name),
        ("Frame", f"{key.frame_name or MISSING}, {outcome.frame_interval}, {span}"),
        ("Ended", "stopped before the frame's end" if outcome.stopped else "complete"),
        ("Candles", str(counts.candles)),
        ("Filled minutes", str(counts.filled)),
        ("Strategy calls", str(counts.calls)),
        ("Cancelled signals", str(len(outcome.cancelled))),
        ("Risk rejections", str(counts.rejections)),
        ("Errors", str(counts.errors)),
        ("Strategy file", outcome.strategy_file or MISSING),
        ("Strategy SHA-256", outcome.strategy_hash or MISSING),
        ("Bars SHA-256", outcome.data_hash or MISSING),
    ]


def statistics_block(lines: Iterable[StatisticLine]) -> str:
    """A list of statistics, each with what there is to say of it."""
    return "\n".join(
        bold_line(line.label, line.text, escape(line.reason) or line.hint) for line in lines
    )


def _listing(heading: str, texts: Sequence[str], total: int) -> list[str]:
    if not texts:
        return []
    lines = [bullet(text) for text in texts[:_LISTED]]
    more = max(total, len(texts)) - len(lines)
    if more:
        lines.append(f"- ... and {more} more")
    return [f"## {heading}", "\n".join(lines)]


def _number(decimals: int, unit: str = "", scale: int = 1) -> Callable[[float], str]:
    return lambda value: f"{value * scale:.{decimals}f}{unit}"


_RATIO: Final = _number(3)
_DAILY: Final = frozenset(
    {
        "total_return",
        "cagr",
        "max_drawdown",
        "daily_sharpe_ratio",
        "sortino_ratio",
        "calmar_ratio",
        "exposure",
    }
)
_SHOWN: Final[tuple[tuple[str, str, Callable[[float], str], str], ...]] = (
    ("total_trades", "Total signals", str, ""),
    ("total_trades", "Closed signals", str, ""),
    ("win_rate", "Win rate", _number(2, "%"), _HIGHER),
    ("avg_pnl", "Average PNL", percent_text, _HIGHER),
    ("total_pnl", "Total PNL", percent_text, _HIGHER),
    ("std_dev", "Standard Deviation", _number(3, "%"), _LOWER),
    ("sharpe_ratio", "Sharpe Ratio", _RATIO, _HIGHER),
    ("annualized_sharpe_ratio", "Annualized Sharpe Ratio", _RATIO, _HIGHER),
    ("certainty_ratio", "Certainty Ratio", _RATIO, _HIGHER),
    ("expected_yearly_returns", "Expected Yearly Returns", percent_text, _HIGHER),
    ("profit_factor", "Profit Factor", _RATIO, _HIGHER),
    ("expectancy", "Expectancy", percent_text, _HIGHER),
    ("sqn", "SQN", _RATIO, _HIGHER),
    ("avg_duration_minutes", "Average Duration", _number(2, " min"), ""),
    ("max_win_streak", "Longest Win Streak", str, _HIGHER),
    ("max_loss_streak", "Longest Loss Streak", str, _LOWER),
    ("ambiguous_bars", "Ambiguous Bars", str, _LOWER),
    ("swept_entries", "Swept Entries", str, _LOWER),
    ("total_return", "Total Return", percent_text, _HIGHER),
    ("cagr", "CAGR", percent_text, _HIGHER),
    ("max_drawdown", "Max Drawdown", _number(2, "%"), _LOWER),
    ("daily_sharpe_ratio", "Daily Sharpe Ratio", _RATIO, _HIGHER),
    ("sortino_ratio", "Sortino Ratio", _RATIO, _HIGHER),
    ("calmar_ratio", "Calmar Ratio", _RATIO, _HIGHER),
    ("exposure", "Exposure", _number(2, "%", scale=100), ""),
)
# Field, label, how its value is written, hint; in the order of the report.
