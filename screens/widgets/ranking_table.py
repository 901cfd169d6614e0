"""Strategies by a figure, best first; it fills in as they finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import itemgetter
from typing import ClassVar, Final

from textual.binding import BindingType
from textual.message import Message

from console.keymap import bind
from screens.text import clean, count, number, percent
from screens.widgets.backtest_tables import progress_bar
from screens.widgets.line_table import Column, LineTable
from screens.widgets.price_bar import signed_tone
from screens.widgets.tones import Cell, Cells, Tone

METRICS: Final[Mapping[str, tuple[str, bool]]] = {
    "sharpe_ratio": ("Sharpe", False), "total_return": ("return %", True),
    "total_pnl": ("sum %", True), "profit_factor": ("profit f.", False),
    "win_rate": ("won %", False), "max_drawdown": ("drawdown", False),
    "sortino_ratio": ("Sortino", False), "calmar_ratio": ("Calmar", False),
    "expectancy": ("expect. %", True), "sqn": ("SQN", False),
    "avg_pnl": ("mean %", True), "cagr": ("CAGR %", True),
    "expected_yearly_returns": ("yearly %", True), "certainty_ratio": ("certainty", False),
    "annualized_sharpe_ratio": ("Sharpe/y", False), "daily_sharpe_ratio": ("Sharpe/d", False),
}  # fmt: skip
"""Figures a ranking can go by: short heading, and whether gains carry a sign."""

LOWER_IS_BETTER: Final = frozenset({"max_drawdown"})

_DECIMALS: Final = {"sharpe_ratio": 3, "win_rate": 1}
_BESIDE: Final = ("total_return", "sharpe_ratio", "win_rate", "max_drawdown", "profit_factor")
_WORDS: Final[dict[str, Tone]] = {
    "waiting": "muted", "failed": "loss", "stopped": "warn", "skipped": "warn",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Contender:
    """A strategy in the ranking.

    Attributes:
        status: ``waiting | running | done | stopped | skipped | failed``.
        figures: statistics by name; None or missing where undefined.
        progress: 0 to 1 while it runs.
        error: why it failed, or that it failed at some instants.
    """

    name: str
    status: str
    figures: Mapping[str, float | None]
    trades: int | None = None
    progress: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    place: int | None
    contender: Contender
    best: bool


def ranked(contenders: Sequence[Contender], metric: str) -> list[_Place]:
    """The contenders by a figure, best first; those without one behind them, as they came."""
    sign = 1 if metric in LOWER_IS_BETTER else -1
    known: list[tuple[float, Contender]] = []
    unknown: list[Contender] = []
    for contender in contenders:
        value = contender.figures.get(metric)
        if value is None or not isfinite(value):
            unknown.append(contender)
        else:
            known.append((sign * value, contender))
    known.sort(key=itemgetter(0))
    places = [_Place(at, contender, at == 1) for at, (_, contender) in enumerate(known, start=1)]
    return [*places, *(_Place(None, contender, False) for contender in unknown)]


def figure(metric: str, value: float | None) -> Cells:
    """A figure of a ranking as text."""
    if value is None or not isfinite(value):
        return Cell("-", "muted")
    if METRICS.get(metric, ("", False))[1]:
        return Cell(percent(value), signed_tone(value))
    return Cell(number(value, _DECIMALS.get(metric, 2)))


class RankingTable(LineTable[_Place]):
    """The ranking; a key switches the figure it goes by."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("metric", "next_metric")]

    class Switched(Message):
        """It goes by another figure, because the operator said so."""

        def __init__(self, metric: str) -> None:
            super().__init__()
            self.metric = metric

    def __init__(self, metric: str = "sharpe_ratio", *, id: str | None = None) -> None:
        super().__init__(
            _columns(metric),
            key=lambda row: row.contender.name,
            empty="no strategy has finished yet",
            id=id,
        )
        self._metric = metric
        self._contenders: tuple[Contender, ...] = ()

    @property
    def metric(self) -> str:
        """The figure it goes by."""
        return self._metric

    @property
    def chosen(self) -> Contender | None:
        """The strategy under the cursor."""
        return None if self.current is None else self.current.contender

    @property
    def in_order(self) -> tuple[Contender, ...]:
        """All of them as they are ranked now."""
        return tuple(row.contender for row in self.rows)

    @property
    def best(self) -> Contender | None:
        """Who is in front."""
        first = self.rows[0] if self.rows else None
        return first.contender if first is not None and first.best else None

    def show(self, contenders: Sequence[Contender], metric: str | None = None) -> None:
        """Rank these, by another figure if one is given."""
        self._contenders = tuple(contenders)
        if metric is not None and metric != self._metric:
            self._metric = metric
            self.set_columns(_columns(metric))
        self.set_rows(ranked(self._contenders, self._metric))

    def action_next_metric(self) -> None:
        """Go by the next figure; the cursor goes to the best one."""
        names = list(METRICS)
        place = names.index(self._metric) if self._metric in names else -1
        self.show(self._contenders, names[(place + 1) % len(names)])
        self.move_cursor(0)
        self.refresh()
        self.post_message(self.Switched(self._metric))


def _columns(metric: str) -> tuple[Column[_Place], ...]:
    heading = METRICS.get(metric, (metric.replace("_", " "), False))[0]
    beside = [name for name in _BESIDE if name != metric]
    return (
        Column("#", 3, lambda r: Cell("" if r.place is None else str(r.place)), right=True),
        Column("", 4, lambda r: Cell("best" if r.best else "", "gain")),
        Column("strategy", 16, _name, grow=8),
        Column(f"▾{heading}", 10, lambda r: figure(metric, r.contender.figures.get(metric)), True),
        *(_beside(name, drop) for drop, name in enumerate(beside, start=3)),
        Column("trades", 6, lambda r: Cell(count(r.contender.trades)), right=True, drop=2),
        Column("status", 16, _status, grow=40),
    )


def _beside(name: str, drop: int) -> Column[_Place]:
    def cell(row: _Place) -> Cells:
        return figure(name, row.contender.figures.get(name))

    return Column(METRICS[name][0], 9, cell, right=True, drop=drop)


def _name(row: _Place) -> Cells:
    return Cell(clean(row.contender.name), "strong" if row.best else "")


def _status(row: _Place) -> Cells:
    contender = row.contender
    if contender.status == "running":
        bar = progress_bar(contender.progress, 8)
        cells = bar if isinstance(bar, tuple) else (bar,)
        return (*cells, Cell(f" {100 * contender.progress:.0f} %"))
    text = clean(contender.error or contender.status)
    usual: Tone = "warn" if contender.error else "muted"
    return Cell(text, _WORDS.get(contender.status, usual))


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample_desk import CONTENDERS

    table = RankingTable()
    show_alone(table, lambda: table.show(CONTENDERS))
