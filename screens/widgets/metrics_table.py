"""What is measured again and again: how often, how long, and how it went lately."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from console.views import DeckSnapshot, MetricView
from screens.text import clean, count, words
from screens.widgets.line_table import Column
from screens.widgets.panel import Panel
from screens.widgets.sortable_table import SortableTable
from screens.widgets.spark import sparkline
from screens.widgets.tones import Cell, Cells

_SPARK: Final = 16

TIMINGS: Final = "ms"
"""Unit of the measurements that are lengths of time."""


def amount(value: float) -> str:
    """A measured figure with three digits or so that say something."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 100 else f"{value:.2f}" if size >= 0.1 else f"{value:.3f}"


def _figure(of: Callable[[MetricView], float]) -> Callable[[MetricView], Cells]:
    return lambda view: Cell(amount(of(view)))


def _right(title: str, of: Callable[[MetricView], float], drop: int = 0) -> Column[MetricView]:
    return Column(title, 8, _figure(of), right=True, drop=drop, order=of)


class MetricsTable(Panel, SortableTable[MetricView]):
    """The measurements of a snapshot: lengths of time, or everything else.

    Args:
        timings: show lengths of time; False shows the others.
    """

    topics = ("metrics",)

    def __init__(self, *, timings: bool, id: str | None = None) -> None:
        columns = (
            Column[MetricView]("what", 18, lambda v: Cell(words(v.name), "strong"), grow=10),
            Column[MetricView]("unit", 4, lambda v: Cell(clean(v.unit), "muted")),
            Column[MetricView](
                "count",
                9,
                lambda v: Cell(count(v.count), "muted"),
                True,
                2,
                order=lambda v: v.count,
            ),
            _right("mean", lambda v: v.mean, drop=3),
            _right("p50", lambda v: v.p50),
            _right("p95", lambda v: v.p95, drop=1),
            _right("p99", lambda v: v.p99),
            _right("last", lambda v: v.last),
            Column[MetricView](
                "lately", _SPARK, lambda v: Cell(sparkline(v.recent, _SPARK), "accent")
            ),
        )
        super().__init__(
            columns, key=lambda view: view.name, empty="nothing has been measured yet", id=id
        )
        self._timings = timings

    def show(self, snapshot: DeckSnapshot) -> None:
        """The measurements moved."""
        self.set_rows([v for v in snapshot.metrics if (v.unit == TIMINGS) is self._timings])


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import snapshot as sample

    table = MetricsTable(timings=True)
    show_alone(table, lambda: table.show(sample()))
