"""Every statistic of a run with its name; an undefined one says why instead of a figure."""

from __future__ import annotations

from typing import NamedTuple

from engine.domain.outcome import BacktestOutcome, BacktestStatistics
from screens.text import clean, count, number, percent, span
from screens.widgets.line_table import Column, LineTable
from screens.widgets.price_bar import signed_tone
from screens.widgets.tones import Cell, Cells


class Stat(NamedTuple):
    """A line of the statistics; a ``label`` alone heads a section."""

    label: str
    value: Cells = Cell("")
    note: str = ""


class StatRow(NamedTuple):
    """A line of the table: one statistic, or two side by side."""

    number: int
    left: Stat
    right: Stat | None


def statistics(outcome: BacktestOutcome) -> tuple[tuple[Stat, ...], ...]:
    """The statistics in sections: trades, equity, run, and warnings where there are some."""
    sections = [_trades(outcome.statistics), _equity(outcome.statistics), _run(outcome)]
    remarks = [*outcome.errors, *outcome.warnings]
    if remarks:
        lines = [Stat("", Cell(""), clean(remark)) for remark in remarks]
        sections.append((Stat("Warnings and errors"), *lines))
    return tuple(sections)


def session_statistics(s: BacktestStatistics) -> tuple[tuple[Stat, ...], ...]:
    """The statistics of a live session in sections: trades, equity."""
    return (_trades(s), _equity(s))


def _trades(s: BacktestStatistics) -> tuple[Stat, ...]:
    undefined = s.undefined

    def ratio(label: str, name: str, decimals: int = 2) -> Stat:
        return _ratio(label, getattr(s, name), undefined.get(name, ""), decimals)

    return (
        Stat("Trades", Cell(count(s.total_trades), "strong")),
        Stat("won", Cell(f"{count(s.win_count)}")),
        Stat("lost", Cell(f"{count(s.loss_count)}")),
        ratio("win rate %", "win_rate", 1),
        Stat("sum of PnL %", Cell(percent(s.total_pnl), signed_tone(s.total_pnl))),
        _signed("average PnL %", s.avg_pnl, undefined.get("avg_pnl", ""), 4),
        ratio("standard deviation", "std_dev", 4),
        ratio("profit factor", "profit_factor"),
        _signed("expectancy %", s.expectancy, undefined.get("expectancy", ""), 4),
        ratio("SQN", "sqn"),
        ratio("Sharpe per trade", "sharpe_ratio", 3),
        ratio("Sharpe annualised", "annualized_sharpe_ratio"),
        ratio("certainty ratio", "certainty_ratio"),
        _signed(
            "expected yearly %",
            s.expected_yearly_returns,
            undefined.get("expected_yearly_returns", ""),
        ),
        Stat("longest win streak", Cell(count(s.max_win_streak))),
        Stat("longest loss streak", Cell(count(s.max_loss_streak))),
        Stat("average duration", Cell(_minutes(s.avg_duration_minutes))),
    )


def _equity(s: BacktestStatistics) -> tuple[Stat, ...]:
    undefined = s.undefined

    def ratio(label: str, name: str, decimals: int = 2) -> Stat:
        return _ratio(label, getattr(s, name), undefined.get(name, ""), decimals)

    return (
        Stat("Total return %", Cell(percent(s.total_return), signed_tone(s.total_return))),
        _signed("CAGR %", s.cagr, undefined.get("cagr", "")),
        Stat("max drawdown %", Cell(number(s.max_drawdown))),
        Stat("drawdown lasted", Cell(f"{s.max_drawdown_days}d")),
        ratio("Sharpe daily", "daily_sharpe_ratio"),
        ratio("Sortino", "sortino_ratio"),
        ratio("Calmar", "calmar_ratio"),
        _ratio(
            "time in position %",
            None if s.exposure is None else s.exposure * 100,  # a fraction of the frame
            undefined.get("exposure", ""),
            1,
        ),
    )


def _run(outcome: BacktestOutcome) -> tuple[Stat, ...]:
    counts, s = outcome.counts, outcome.statistics
    return (
        Stat("Minutes of data", Cell(count(counts.candles))),
        Stat("minutes filled in", Cell(count(counts.filled))),
        Stat("strategy calls", Cell(count(counts.calls))),
        Stat("rejected by risk", Cell(count(counts.rejections))),
        Stat("signals cancelled", Cell(count(len(outcome.cancelled)))),
        Stat("ambiguous bars", Cell(count(s.ambiguous_bars))),
        Stat("swept entries", Cell(count(s.swept_entries))),
        Stat("errors", Cell(count(counts.errors), "loss" if counts.errors else "")),
        Stat("took", Cell(f"{outcome.elapsed_seconds:.2f}s")),
    )


def _ratio(label: str, value: float | None, why: str, decimals: int = 2) -> Stat:
    if value is None:
        return Stat(label, Cell("-", "muted"), clean(why))
    return Stat(label, Cell(number(value, decimals)))


def _signed(label: str, value: float | None, why: str, decimals: int = 2) -> Stat:
    if value is None:
        return Stat(label, Cell("-", "muted"), clean(why))
    return Stat(label, Cell(percent(value, decimals), signed_tone(value)))


def _minutes(value: float | None) -> str:
    return span(None if value is None else value * 60)


def _value(stat: Stat | None) -> Cells:
    if stat is None:
        return Cell("")
    return Cell(stat.note, "muted") if stat.note else stat.value


def _label(stat: Stat | None) -> Cells:
    return Cell("" if stat is None else stat.label, "muted")


def stat_rows(sections: tuple[tuple[Stat, ...], ...], pairs: bool) -> tuple[StatRow, ...]:
    """The sections below each other, or the first beside the second and third.

    Warnings stand below, alone, because they are long.
    """
    if pairs and len(sections) >= 2:
        left, right = list(sections[0]), [stat for part in sections[1:3] for stat in part]
        height = max(len(left), len(right))
        left += [Stat("")] * (height - len(left))
        padded = [*right, *[None] * (height - len(right))]
        rows = list(zip(left, padded, strict=True))
        rows += [(stat, None) for section in sections[3:] for stat in section]
    else:
        rows = [(stat, None) for section in sections for stat in (*section, Stat(""))]
    return tuple(StatRow(number, *row) for number, row in enumerate(rows))


_SINGLE = (
    Column[StatRow]("statistic", 20, lambda r: _label(r.left)),
    Column[StatRow]("value", 12, lambda r: _value(r.left), right=True, grow=60),
)
_PAIRS = (
    Column[StatRow]("over trades", 20, lambda r: _label(r.left)),
    Column[StatRow]("", 12, lambda r: _value(r.left), right=True),
    Column[StatRow]("over time", 20, lambda r: _label(r.right)),
    Column[StatRow]("", 12, lambda r: _value(r.right), right=True, grow=24),
)


class StatisticsTable(LineTable[StatRow]):
    """The statistics of a run, in one or two columns as the width allows."""

    def __init__(self, outcome: BacktestOutcome | None = None, *, id: str | None = None) -> None:
        super().__init__(_SINGLE, key=lambda row: row.number, empty="no statistics yet", id=id)
        self._sections = statistics(outcome) if outcome is not None else ()

    def show(self, sections: tuple[tuple[Stat, ...], ...]) -> None:
        """List other statistics; lines that look the same are not drawn again."""
        if sections != self._sections:
            self._sections = sections
            self._arrange()

    def on_resize(self) -> None:
        """One or two columns."""
        self._arrange()

    def _arrange(self) -> None:
        pairs = self.scrollable_content_region.width >= 74
        self.set_columns(_PAIRS if pairs else _SINGLE)
        self.set_rows(stat_rows(self._sections, pairs))


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import outcome as sample

    show_alone(StatisticsTable(sample(7)))
