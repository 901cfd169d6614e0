"""Milestones of a position: every tenth of the way to take-profit and to stop-loss.

A reached one is a filled mark, so the ladder reads the same without colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from textual.strip import Strip

from console.views import InstanceView, MilestoneView
from screens.text import price, time_of_day
from screens.widgets.tones import Cell, Tone, ToneWidget, segments

LADDER_WIDTH: Final = 27
"""Cells of `ladder`."""

_LEVELS: Final = tuple(range(10, 101, 10))
_ON, _OFF = "●", "·"
_SIDE: Final = 28


@dataclass(frozen=True, slots=True)
class Rungs:
    """A position and how far it came.

    Attributes:
        entry, take_profit, stop_loss: its prices.
        profit, loss: highest milestone reached on either side, 0 to 100.
        times: instant (ms UTC) at which (side, level) was reached, where it is known.
    """

    entry: float
    take_profit: float
    stop_loss: float
    profit: int = 0
    loss: int = 0
    times: Mapping[tuple[str, int], int] | None = None


def rungs_of(view: InstanceView, milestones: tuple[MilestoneView, ...]) -> Rungs | None:
    """The ladder of a run's open position; None while there is none."""
    waiting = view.position.endswith("waiting") or not view.position
    if waiting or view.entry is None or view.take_profit is None or view.stop_loss is None:
        return None
    times = milestone_times(milestones, view.signal_id)
    return Rungs(
        view.entry, view.take_profit, view.stop_loss, view.profit_level, view.loss_level, times
    )


def milestone_times(
    milestones: tuple[MilestoneView, ...], signal_id: str
) -> dict[tuple[str, int], int]:
    """When a signal's milestones were reached, as far as they are still kept."""
    return {(m.side, m.level): m.when for m in milestones if m.signal_id == signal_id}


def ladder(profit: int, loss: int) -> tuple[Cell, ...]:
    """The ladder in one line, entry in the middle: ``SL ········●● ┼ ●●●······· TP``."""
    return (
        Cell("SL ", "muted"),
        Cell(_OFF * (10 - loss // 10), "muted"),
        Cell(_ON * (loss // 10), "loss"),
        Cell("┼"),
        Cell(_ON * (profit // 10), "gain"),
        Cell(_OFF * (10 - profit // 10), "muted"),
        Cell(" TP", "muted"),
    )


def ladder_lines(rungs: Rungs, width: int, height: int) -> list[tuple[Cell, ...]]:
    """Both sides with prices and times, the highest milestone on top.

    Where that does not fit: one line, and below it what was reached last.

    Args:
        rungs: the position.
        width, height: terminal cells.
    """
    if height < len(_LEVELS) + 1 or width < 2 * _SIDE:
        short = [(Cell("  "), *ladder(rungs.profit, rungs.loss)), *_reached(rungs)]
        return short[:height]
    heading = f"  {'loss':<{_SIDE}}profit"
    lines: list[tuple[Cell, ...]] = [(Cell(heading, "muted"),)]
    for level in reversed(_LEVELS):
        lines.append((*_rung(rungs, "loss", level), *_rung(rungs, "profit", level)))
    return lines


def _reached(rungs: Rungs) -> list[tuple[Cell, ...]]:
    sides: tuple[tuple[str, int, Tone], ...] = (
        ("profit", rungs.profit, "gain"),
        ("loss", rungs.loss, "loss"),
    )
    lines: list[tuple[Cell, ...]] = []
    for side, level, tone in sides:
        if not level:
            lines.append((Cell(f"  {side:<7} none reached", "muted"),))
            continue
        at = (rungs.times or {}).get((side, level))
        when = f" at {time_of_day(at)}" if at is not None else ""
        words = f"  {price(_price_at(rungs, side, level))}{when}"
        lines.append((Cell(f"  {side:<7} {level:>3} %", tone), Cell(words)))
    return lines


def _rung(rungs: Rungs, side: str, level: int) -> tuple[Cell, ...]:
    on = level <= (rungs.profit if side == "profit" else rungs.loss)
    tone: Tone = ("gain" if side == "profit" else "loss") if on else "muted"
    at = (rungs.times or {}).get((side, level))
    when = time_of_day(at) if at is not None else ""
    where = price(_price_at(rungs, side, level))
    text = f"{level:>3} % {where:>10} {when:<8}".ljust(_SIDE - 3)
    return (Cell(f" {_ON if on else _OFF} ", tone), Cell(text, "" if on else tone))


def _price_at(rungs: Rungs, side: str, level: int) -> float:
    end = rungs.take_profit if side == "profit" else rungs.stop_loss
    return rungs.entry + (end - rungs.entry) * level / 100


class Ladder(ToneWidget, can_focus=True):
    """The ladder of one position."""

    DEFAULT_CSS = """
    Ladder {
        height: 1fr;
        background: $background;
        color: $foreground;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rungs: Rungs | None = None

    def show(self, rungs: Rungs | None) -> None:
        """Draw another position; None says that there is none."""
        if rungs != self._rungs:
            self._rungs = rungs
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the ladder."""
        width = self.size.width
        if self._rungs is None:
            lines = [(), (Cell("  no open position, so no milestones", "muted"),)]
        else:
            lines = ladder_lines(self._rungs, width, self.size.height)
        cells = lines[y] if y < len(lines) else ()
        return Strip(segments(cells or Cell(""), width, self.style_of), width)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import INSTANCES
    from screens.sample_desk import MILESTONES

    shown = Ladder()
    show_alone(shown, lambda: shown.show(rungs_of(INSTANCES[0], MILESTONES)))
