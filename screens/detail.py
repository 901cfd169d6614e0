"""Everything there is to say about one thing: an instance, a feed entry, a trade, a failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.css.styles import RulesMap
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions, Visual
from textual.widgets import Static

from console.keymap import bind
from console.views import BacktestView, FeedEntry, InstanceView
from engine.domain.signals import Closed
from screens.clipboard import copy_native
from screens.spelling import spell
from screens.text import (
    clean,
    clean_lines,
    day,
    fit,
    minute,
    percent,
    price,
    span,
    time_of_day,
    words,
)
from screens.widgets.statistics_table import StatRow
from screens.widgets.tones import spans

_PATH: Final = 1_000
"""Characters of a text that may be a path."""

_LABEL: Final = 24
"""Cells that a label may take; some are names that people gave."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and what is so; the value may have several lines."""

    label: str
    value: str


def instance_facts(view: InstanceView, now: int) -> tuple[Fact, ...]:
    """All that the Deck knows about a live run."""
    status = "draining" if view.status == "stopping" else view.status
    won = f"{view.wins} of {view.trades}"
    facts = [
        Fact("status", " ".join((status, *view.flags))),
        Fact("exchange", view.exchange_name),
        Fact("position", view.position or "flat"),
    ]
    if view.position:
        facts += [
            Fact("entry", price(view.entry)),
            Fact("take profit", price(view.take_profit)),
            Fact("stop loss", price(view.stop_loss)),
            Fact("PnL %", percent(view.pnl_percent)),
        ]
    if view.expires_at is not None:
        left = span((view.expires_at - now) / 1000)
        facts.append(Fact("expires", f"{minute(view.expires_at)} UTC, in {left}"))
    facts += [
        Fact("last price", price(view.last_price)),
        Fact("last tick", f"{time_of_day(view.last_tick)} UTC"),
        Fact("trades won", won),
        Fact("closed, sum %", percent(view.total_pnl)),
        Fact("errors", str(view.errors)),
    ]
    if view.last_error:
        facts.append(Fact("last error", view.last_error))
    return tuple(facts)


def entry_facts(entry: FeedEntry) -> tuple[Fact, ...]:
    """All that the feed knows about one of its lines."""
    facts = [
        Fact("event", entry.action),
        Fact("time", f"{minute(entry.when)} UTC"),
        Fact("mode", entry.mode),
        Fact("symbol", entry.symbol),
        Fact("strategy", entry.strategy_name),
        Fact("exchange", entry.exchange_name),
        Fact("position", entry.position),
        Fact("price", price(entry.price)),
        Fact("PnL %", percent(entry.pnl_percent)),
        Fact("entry", price(entry.entry)),
        Fact("take profit", price(entry.take_profit)),
        Fact("stop loss", price(entry.stop_loss)),
        Fact("why", _why(entry)),
        Fact("note", entry.note if entry.note != entry.detail else ""),
        Fact("signal id", entry.signal_id),
    ]
    return tuple(fact for fact in facts if fact.value not in ("", "-"))


def _why(entry: FeedEntry) -> str:
    return (entry.full or entry.detail) if entry.action == "error" else words(entry.detail)


def backtest_facts(view: BacktestView) -> tuple[Fact, ...]:
    """What is known of a backtest that has no result (yet)."""
    frame = f"{day(view.frame_start)} to {day(view.frame_end)}, every {view.frame_interval}"
    facts = [
        Fact("status", view.status),
        Fact("exchange", view.exchange_name),
        Fact("frame", frame),
        Fact("progress", f"{100 * view.progress:.1f} %"),
        Fact("reached", "" if view.when is None else f"{minute(view.when)} UTC"),
        Fact("trades", str(view.trades)),
        Fact("error", view.error),
    ]
    return tuple(fact for fact in facts if fact.value)


def trade_facts(trade: Closed) -> tuple[Fact, ...]:
    """One trade in full."""
    row, pnl = trade.signal, trade.pnl
    facts = [
        Fact("position", str(row.position)),
        Fact("scheduled", f"{minute(row.scheduled_at)} UTC"),
        Fact("opened", f"{minute(row.pending_at)} UTC"),
        Fact("closed", f"{minute(trade.close_timestamp)} UTC"),
        Fact("reason", words(str(trade.close_reason))),
        Fact("entry", f"{price(pnl.price_open)}, with slippage {price(pnl.adjusted_price_open)}"),
        Fact("exit", f"{price(pnl.price_close)}, with slippage {price(pnl.adjusted_price_close)}"),
        Fact("take profit", price(row.price_take_profit)),
        Fact("stop loss", price(row.price_stop_loss)),
        Fact("may last", span(row.minute_estimated_time * 60)),
        Fact("PnL %", f"{percent(pnl.pnl_percentage, 4)} after fees and slippage"),
        Fact("ambiguous", "its last bar touched both levels" if trade.ambiguous else ""),
        Fact("swept", "entry and stop-loss within one bar" if trade.swept else ""),
        Fact("note", row.note),
        Fact("signal id", row.id),
    ]
    return tuple(fact for fact in facts if fact.value)


def stat_facts(row: StatRow) -> tuple[Fact, ...]:
    """The statistics of one line, an undefined one with its reason."""
    facts = [
        Fact(stat.label or "remark", stat.note or "".join(c.text for c in spans(stat.value)))
        for stat in (row.left, row.right)
        if stat is not None
    ]
    return tuple(fact for fact in facts if fact.value)


class FactsVisual(Visual):
    """Facts in two columns: what does not fit goes on below, in the column of the values."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        labels = [clean(fact.label) for fact in facts]
        self._indent = min(max(map(cell_len, labels), default=0), _LABEL) + 2
        self._facts = [
            (label, clean_lines(fact.value) or ("",))
            for label, fact in zip(labels, facts, strict=True)
        ]
        self._laid_out: tuple[int, Content] = (-1, Content())

    def __str__(self) -> str:
        """All of it, unwrapped."""
        return "\n".join(
            f"{fit(label if number == 0 else '', self._indent)}{line}"
            for label, lines in self._facts
            for number, line in enumerate(lines)
        )

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        """As wide as there is room for."""
        return container_width

    def get_height(self, rules: RulesMap, width: int) -> int:
        """Lines at a width."""
        return self._at(width).plain.count("\n") + 1

    def render_strips(
        self, width: int, height: int | None, style: Style, options: RenderOptions
    ) -> list[Strip]:
        """Those lines."""
        return self._at(width).render_strips(width, height, style, options)

    def _at(self, width: int) -> Content:
        if self._laid_out[0] != width:
            room = max(8, width - self._indent)
            lines: list[Content] = []
            for label, texts in self._facts:
                head = label
                for text in texts:
                    for piece in _wrapped(text, room):
                        label_cells = Content.styled(fit(head, self._indent), "$text-muted")
                        lines.append(label_cells + piece)
                        head = ""
            self._laid_out = (width, Content("\n").join(lines))
        return self._laid_out[1]


def _wrapped(text: str, room: int) -> list[Content]:
    """Lines of at most that many cells; a path that is longer breaks behind one of its folders."""
    lines: list[Content] = []
    if " " not in text and len(text) < _PATH:
        while cell_len(text) > room and (cut := text.rfind("/", 0, room) + 1):
            lines.append(Content(text[:cut]))
            text = text[cut:]
    return lines + Content(text).wrap(room)


class DetailDialog(ModalScreen[None]):
    """Facts under a title; escape or enter closes, ``y`` copies them."""

    CSS_PATH = "detail.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "dismiss"),
        bind("open", "dismiss", description="Close"),
        bind("copy", "copy"),
        bind("table.down", "scroll(1)"),
        bind("table.up", "scroll(-1)"),
    ]

    def __init__(self, title: str, facts: Sequence[Fact]) -> None:
        super().__init__()
        self._title = clean(title)
        self._facts = tuple(facts)

    def compose(self) -> ComposeResult:
        """Title, facts, keys."""
        with Vertical(id="dialog"):
            yield Static(Content(self._title), id="title")
            with VerticalScroll(id="facts", can_focus=False):
                yield Static(FactsVisual(self._facts))
            hint = "{back} closes   {copy} copies   {table.down} {table.up} scroll"
            yield Static(Content(spell(self, hint)), id="keys")

    def action_scroll(self, by: int) -> None:
        """Move by lines."""
        self.query_one("#facts", VerticalScroll).scroll_relative(y=by, animate=False)

    async def action_copy(self) -> None:
        """Copy the facts as lines of ``label: value``, with what is printable in them."""
        shown = [(clean(fact.label), "\n".join(clean_lines(fact.value))) for fact in self._facts]
        text = "\n".join([self._title, *(f"{label}: {value}" for label, value in shown)])
        self.app.copy_to_clipboard(text)
        await copy_native(text)
        self.notify("copied", timeout=2)
