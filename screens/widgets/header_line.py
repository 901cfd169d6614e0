"""The two lines on top of every screen: what this is, where you are, and whether it is alive.

The badge never gives way. A silent engine or late data says so in words, in the tone of an alarm,
and takes the place of less important figures where the terminal is narrow.
"""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from textual.strip import Strip

from console.views import DeckSnapshot, ExchangeHealth, HeaderView
from screens.context import LATE_HEARTBEAT, ScreenContext
from screens.spelling import spell
from screens.text import clean, clock, local_clock, many, short_span
from screens.widgets.panel import Panel
from screens.widgets.tones import Cell, Tone, ToneWidget, two_sided, width_of

CLOCK_APART: Final = 1_000
"""Milliseconds that two clocks may differ before it is a warning."""

LEAST: Final = (40, 12)
"""Columns and lines of a terminal below which not all of a question is seen; it is told then."""

MUCH_USED: Final = 0.8
"""Share of a rate limit from which on it is a warning."""


@runtime_checkable
class Pauses(Protocol):
    """A screen whose view can be held still."""

    @property
    def pause_words(self) -> str:
        """That it is, and how much waits; "" while it goes on."""
        ...


class HeaderLine(Panel, ToneWidget):
    """Badge, modes and clock; heartbeat, newest bars, counts and unseen errors.

    Args:
        context: host and clock.
        modes: key id and name of every mode, in order.
        active: name of the mode this header stands in.
    """

    topics = ("header",)
    DEFAULT_CSS = """
    HeaderLine {
        height: 2;
        background: $surface;
        color: $foreground;
    }
    """

    def __init__(
        self, context: ScreenContext, modes: tuple[tuple[str, str], ...], active: str
    ) -> None:
        super().__init__()
        self.context = context
        self._modes = modes
        self._active = active

    def show(self, snapshot: DeckSnapshot) -> None:
        """The header moved."""
        self.refresh()

    def tick(self) -> None:
        """Clock and ages move every second."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The badge's line or the engine's line."""
        if y == 0:
            return self._identity(self.size.width)
        if y == 1:
            return self._health(self.size.width)
        return Strip.blank(self.size.width, self.rich_style)

    def _identity(self, width: int) -> Strip:
        header = self.context.snapshot.header
        badge = Cell(f" {clean(header.badge)}  ", "badge")
        now = clock(self.context.now())
        only = now[11:]
        if self.context.local_clock:
            only = local_clock(self.context.now())
            now += f" ({only})"
        bar, keys, name = self._mode_bar(), self._mode_keys(), (Cell(self._active, "accent"),)
        # Full, then without year and date, then the keys of the other modes, then without them,
        # with one clock of two; at last nothing but the badge.
        left: tuple[Cell, ...] = ()
        right: tuple[Cell, ...] = ()
        widths = ((bar, now), (bar, now[5:]), (bar, now[11:]), (keys, now), (keys, now[5:]))
        narrow = ((keys, now[11:]), (name, now[11:]), (name, only), ((), only), ((), ""))
        for modes, time in (*widths, *narrow):
            left, right = (badge, *modes), ((Cell(f" {time} "),) if time else ())
            if width_of((*left, *right)) <= width:
                break
        return two_sided(left, right, width, self.style_of)

    def _mode_bar(self) -> tuple[Cell, ...]:
        cells: list[Cell] = []
        for key_id, name in self._modes:
            here = name == self._active
            cells.append(Cell(spell(self, f"{{{key_id}}} "), "muted"))
            cells.append(Cell(f"[{name}]" if here else name, "accent" if here else "muted"))
            cells.append(Cell("  "))
        return tuple(cells[:-1])

    def _mode_keys(self) -> tuple[Cell, ...]:
        cells: list[Cell] = []
        for key_id, name in self._modes:
            here = name == self._active
            text = f"[{name}]" if here else spell(self, f"{{{key_id}}}")
            cells += [Cell(text, "accent" if here else "muted"), Cell(" ")]
        return tuple(cells[:-1])

    def _health(self, width: int) -> Strip:
        columns, rows = self.app.size
        small = columns < LEAST[0] or rows < LEAST[1]
        if small and self.context.silence() <= LATE_HEARTBEAT:
            words = f" TERMINAL TOO SMALL: {columns}x{rows}, use {LEAST[0]}x{LEAST[1]} or more "
            short = " TOO SMALL, {}x{} ".format(*LEAST)
            fits = len(words) <= width
            return two_sided((Cell(words if fits else short, "alarm"),), (), width, self.style_of)
        header = self.context.snapshot.header
        late = tuple(exchange for exchange in header.exchanges if exchange.stale)
        everything = header.exchanges
        # Whole words where there is room; then short ones; then only the exchanges that are late.
        for short, exchanges, counted in (
            (False, everything, True),
            (True, everything, True),
            (True, late, True),
            (True, late, False),
        ):
            alive = (*self._alive(short), *_trouble(header))
            left = (Cell(" "), *alive, *self._bars(exchanges, short))
            right = (
                *self._paused(short),
                *self._unseen(header),
                *(_counts(header, short) if counted else ()),
            )
            if width_of((*left, *right)) <= width:
                break
        return two_sided(left, right, width, self.style_of)

    def _paused(self, short: bool) -> tuple[Cell, ...]:
        words = self.screen.pause_words if isinstance(self.screen, Pauses) else ""
        words = words.partition(" - ")[0] if short else words
        return (Cell(f" {words} ", "alarm"), Cell("  ")) if words else ()

    def _unseen(self, header: HeaderView) -> tuple[Cell, ...]:
        errors = header.errors - self.context.session.errors_seen
        if errors <= 0:
            return ()
        return (Cell(f" {many(errors, 'unseen error')} ", "alarm"), Cell("  "))

    def _alive(self, short: bool) -> tuple[Cell, ...]:
        silence = self.context.silence()
        if silence > LATE_HEARTBEAT:
            text = f" ENGINE SILENT {short_span(silence)} - figures are old "
            return (Cell(text, "alarm"), Cell("  "))
        return (Cell("● ", "gain"), Cell("alive" if short else "engine alive", "muted"), Cell("  "))

    def _bars(self, exchanges: tuple[ExchangeHealth, ...], short: bool) -> tuple[Cell, ...]:
        cells: list[Cell] = []
        now = self.context.now()
        for exchange in exchanges:
            name = clean(exchange.exchange_name)
            if exchange.newest_close is None:
                cells += [Cell(f"{name} no bar yet", "muted"), Cell("  ")]
                continue
            age = short_span((now - exchange.newest_close) / 1000)
            if exchange.stale:
                text = f" {name} STALE {age} " if short else f" {name} STALE, newest bar {age} old "
                cells += [Cell(text, "alarm"), Cell("  ")]
            else:
                age = age if short else f"newest bar {age} old"
                cells += [Cell(f"{name} ", "muted"), Cell(age), Cell("  ")]
            cells += _care(exchange, short)
        return tuple(cells)


def _trouble(header: HeaderView) -> tuple[Cell, ...]:
    if not header.trouble:
        return ()
    return (Cell(f" STATE {header.trouble.upper()} ", "alarm"), Cell("  "))


def _care(exchange: ExchangeHealth, short: bool) -> list[Cell]:
    """Clock and rate limit of an exchange; where room is short only if they need attention."""
    cells: list[Cell] = []
    offset, used = exchange.clock_offset, exchange.rate_limit_used
    if offset is not None and (not short or abs(offset) >= CLOCK_APART):
        tone: Tone = "warn" if abs(offset) >= CLOCK_APART else "muted"
        cells += [Cell(f"its clock {offset:+,} ms", tone), Cell("  ")]
    if used is not None and (not short or used >= MUCH_USED):
        tone = "warn" if used >= MUCH_USED else "muted"
        cells += [Cell(f"limit {100 * used:.0f} % used", tone), Cell("  ")]
    return cells


def _counts(header: HeaderView, short: bool) -> tuple[Cell, ...]:
    words = ("run", "open", "wait") if short else ("running", "open", "scheduled")
    figures = (header.running, header.open, header.scheduled)
    cells = [
        part
        for figure, word in zip(figures, words, strict=True)
        for part in (Cell(f"{figure} ", "strong" if figure else "muted"), Cell(f"{word} ", "muted"))
    ]
    return tuple(cells)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import SampleHost, frozen_clock

    sample = ScreenContext(SampleHost(), frozen_clock)
    show_alone(HeaderLine(sample, (("mode.deck", "Deck"), ("mode.backtests", "Backtests")), "Deck"))
