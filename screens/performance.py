"""Performance: how long things take, how much of them there is, what memory is used."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult

from console.views import MetricView
from screens.base import BaseScreen
from screens.context import ScreenContext
from screens.detail import DetailDialog, Fact
from screens.text import words
from screens.widgets.line_table import LineTable
from screens.widgets.metrics_table import MetricsTable, amount
from screens.widgets.pane import Pane, PaneStack


class PerformanceScreen(BaseScreen):
    """Lengths of time above rates and sizes."""

    mode_name = "Performance"

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self.timings = MetricsTable(timings=True, id="timings")
        self.load = MetricsTable(timings=False, id="load")

    def compose_body(self) -> ComposeResult:
        """Two panes."""
        timings = Pane("How long it takes", self.timings, id="timings-pane")
        load = Pane("How much there is", self.load, id="load-pane")
        timings.title.update(note="means over everything, percentiles over the newest 1,000")
        yield PaneStack([timings, load])

    def on_mount(self) -> None:
        """Start with the lengths of time."""
        self.timings.focus()

    @on(LineTable.Opened)
    def open_row(self, message: LineTable.Opened) -> None:
        """Show a measurement in full."""
        row = message.table.current
        if isinstance(row, MetricView):
            self.app.push_screen(DetailDialog(words(row.name), metric_facts(row)))


def metric_facts(view: MetricView) -> tuple[Fact, ...]:
    """All that is known of a measurement."""
    figures = (
        ("mean", view.mean), ("p50", view.p50), ("p95", view.p95), ("p99", view.p99),
        ("last", view.last),
    )  # fmt: skip
    return (
        Fact("samples", f"{view.count:,}"),
        *(Fact(name, f"{amount(value)} {view.unit}".rstrip()) for name, value in figures),
    )
