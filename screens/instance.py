"""Everything about one live run: candles with its levels, position, events, figures, settings.

What is in the read model is drawn from the snapshot. The rest (bars, statistics, report, settings)
is asked of the host once when the screen opens and again when the run has lived through another
bar, never on a timer.
"""

from __future__ import annotations

import asyncio
from pathlib import PurePath
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType

from console.keymap import bind
from console.views import BarsView, FeedEntry, InstanceDetail, InstanceView, MilestoneView
from engine.domain.errors import EngineError
from screens.context import ScreenContext
from screens.detail import DetailDialog, Fact, entry_facts
from screens.life import LifeScreen
from screens.run_screen import RunScreen
from screens.text import clean, count, many, minute
from screens.widgets.candle_chart import CandleChart, Levels
from screens.widgets.facts_table import FactsTable
from screens.widgets.instances_table import status_cell
from screens.widgets.life_table import Happening, LifeRow, LifeTable
from screens.widgets.line_table import LineTable
from screens.widgets.pane import Pane, PaneStack
from screens.widgets.position_card import PositionCard
from screens.widgets.price_bar import PriceBar
from screens.widgets.statistics_table import StatisticsTable, session_statistics
from screens.widgets.text_view import TextLine, TextView
from screens.widgets.title_line import TitleLine
from screens.widgets.tones import Cell, spans

INTERVALS: Final = ("1m", "5m", "15m", "1h")
"""Intervals the candles are drawn in, one after the other."""

_LEAST_PAUSE: Final = 1.0
"""Seconds between two questions to the host; a fast simulated clock closes many bars in one."""


class InstanceScreen(RunScreen):
    """One live run.

    Args:
        context: host, clock and session.
        run_id: which one.
        mode_name: name of the mode it was opened from.
    """

    CSS_PATH = ["base.tcss", "instance.tcss"]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "app.pop_screen"),
        bind("chart.interval", "next_interval"),
    ]

    def __init__(self, context: ScreenContext, run_id: str, mode_name: str = "Deck") -> None:
        super().__init__(context)
        self.mode_name = mode_name
        self.run_id = run_id
        self.detail: InstanceDetail | None = None
        self.title_line = TitleLine(())
        self.bar = PriceBar(id="price-bar")
        self.chart = CandleChart(id="chart")
        self.card = PositionCard(context, run_id, id="card")
        self.events = LifeTable(
            context, self._is_ours, newest_first=True, empty="nothing has happened yet", id="events"
        )
        self.statistics = StatisticsTable(id="statistics")
        self.report = TextView(empty="no report yet - it begins with the first trade", id="report")
        self.about = FactsTable(empty="not known yet", id="about")
        self.panes = {
            "chart": Pane("Candles", self.chart, id="chart-pane"),
            "card": Pane("Position", self.card, id="card-pane"),
            "events": Pane("Events", self.events, counts=True, id="events-pane"),
            "statistics": Pane("Statistics", self.statistics, id="statistics-pane"),
            "report": Pane("Report", self.report, id="report-pane"),
            "about": Pane("Settings and file", self.about, id="about-pane"),
        }
        view = self.view
        self._where = ("", "", "") if view is None else _where(view)
        self._interval = INTERVALS[0]
        self._view: InstanceView | None = None
        self._asked_tick: int | None = -1
        self._asked_at = float("-inf")
        self._asking = False

    def compose_body(self) -> ComposeResult:
        """Title, price bar, panes."""
        yield self.title_line
        yield self.bar
        yield PaneStack(list(self.panes.values()))

    def on_mount(self) -> None:
        """Start with the candles."""
        self.chart.focus()

    @property
    def view(self) -> InstanceView | None:
        """The run as the snapshot has it."""
        views = self.context.snapshot.instances
        return next((view for view in views if view.instance_id == self.run_id), None)

    # Drawing

    def after_follow(self) -> None:
        """Draw the run's state, and ask for more bars once it has lived through another one."""
        view = self.view
        self.panes["events"].title.update(note=many(len(self.events.rows), "event"))
        if view is not None and view is not self._view:
            self._view = view
            self._show_state(view)
        self._ask_if_behind()

    def tick(self) -> None:
        """A second has passed."""
        super().tick()
        if not self.pause_words:
            self._ask_if_behind()

    def _show_state(self, view: InstanceView) -> None:
        left = (
            Cell(f" {clean(view.strategy_name)}  {clean(view.symbol)}", "strong"),
            Cell(f"  {clean(view.exchange_name)}  "),
            Cell(clean(view.mode), "muted"),
        )
        errors = (Cell(f"{many(view.errors, 'error')}  ", "loss"),) if view.errors else ()
        self.title_line.update(left, (*errors, *spans(status_cell(view)), Cell(" ")))
        self.bar.show(view)
        self._draw_chart(view)
        if self.detail is not None:
            self._show_about(view, self.detail)

    def _draw_chart(self, view: InstanceView) -> None:
        held = bool(view.position)
        levels = Levels(
            entry=view.entry if held else None,
            take_profit=view.take_profit if held else None,
            stop_loss=view.stop_loss if held else None,
            last=view.last_price,
            since=view.since,
        )
        bars = self.detail.bars if self.detail is not None else BarsView(self._interval)
        self.chart.show(bars, levels)

    def _show_detail(self, detail: InstanceDetail) -> None:
        self.detail = detail
        bars = detail.bars
        remark = (Cell(f"{clean(detail.problem)} ", "warn"),) if detail.problem else ()
        self.panes["chart"].title.update(
            note=f"{bars.interval}, {many(len(bars.opened), 'bar')}", remark=remark
        )
        if detail.statistics is not None:
            self.statistics.show(session_statistics(detail.statistics))
        if detail.started_at is not None:
            note = f"since {minute(detail.started_at)} UTC"
            self.panes["statistics"].title.update(note=note)
        self.report.show(detail.report)
        if self._view is not None:
            self._draw_chart(self._view)
            self._show_about(self._view, detail)

    def _show_about(self, view: InstanceView, detail: InstanceDetail) -> None:
        facts = [
            ("last error", view.last_error or "none"),
            ("strategy file", PurePath(detail.strategy_file).name or "registered in code"),
            ("in folder", str(PurePath(detail.strategy_file).parent)),
            ("its SHA-256", detail.strategy_hash or "-"),
            ("session", str(detail.session)),
            ("started", f"{minute(detail.started_at)} UTC"),
            ("decisions missed", count(detail.missed)),
        ]
        self.about.show([*facts, *detail.settings])

    # Asking

    def _ask_if_behind(self) -> None:
        view = self.view
        if view is None or self._asking or view.last_tick == self._asked_tick:
            return
        if self.context.clock() - self._asked_at >= _LEAST_PAUSE:
            self._asked_tick = view.last_tick
            self._asking = True
            self._ask()

    @work
    async def _ask(self) -> None:
        self._asked_at = self.context.clock()
        try:
            answer = self.context.host.instance_detail(self.run_id, self._interval)
            detail = await asyncio.wrap_future(answer)
        except EngineError as error:
            remark = (Cell(f"{clean(str(error))} ", "warn"),)
            self.panes["chart"].title.update(remark=remark)
        else:
            if detail.bars.interval == self._interval:
                self._show_detail(detail)
            else:
                self._asked_tick = -1  # another interval was chosen meanwhile
        finally:
            self._asking = False

    def _is_ours(self, happening: Happening) -> bool:
        where = (happening.symbol, happening.strategy_name, happening.exchange_name)
        if where != self._where:
            return False
        return isinstance(happening, MilestoneView) or happening.mode == "live"

    # Keys

    def current_run(self) -> InstanceView | None:
        """The run, wherever the focus is."""
        return self.view

    def why_no_run(self) -> str:
        """The run was there when the screen was opened."""
        return "the run does not exist any more"

    def action_next_interval(self) -> None:
        """Draw candles of the next interval."""
        place = INTERVALS.index(self._interval)
        self._interval = INTERVALS[(place + 1) % len(INTERVALS)]
        self.panes["chart"].title.update(note=f"{self._interval}, asking for bars")
        self._asked_tick, self._asked_at = -1, float("-inf")
        self._ask_if_behind()

    @on(LineTable.Opened)
    def open_row(self, message: LineTable.Opened) -> None:
        """Open the signal an event belongs to, or show a line in full."""
        row = message.table.current
        if isinstance(row, LifeRow):
            happening = row.happening
            if happening.signal_id:
                screen = LifeScreen(self.context, happening.signal_id, self.mode_name)
                self.app.push_screen(screen)
            elif isinstance(happening, FeedEntry):
                title = f"{happening.action}  {clean(happening.symbol)}"
                self.app.push_screen(DetailDialog(title, entry_facts(happening)))
        elif isinstance(row, TextLine):
            facts = tuple(Fact(*fact) for fact in row.facts())
            self.app.push_screen(DetailDialog(f"line {row.place + 1}", facts))
        elif message.table is self.about and row is not None:
            name, value = row
            error = self.detail.error if self.detail is not None and name == "last error" else ""
            self.app.push_screen(DetailDialog(name, (Fact(name, error or value),)))


def _where(view: InstanceView) -> tuple[str, str, str]:
    return (view.symbol, view.strategy_name, view.exchange_name)
