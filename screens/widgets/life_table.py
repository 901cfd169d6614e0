"""What happened to one signal, or to one run: feed entries and milestones in one order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from console.views import DeckSnapshot, FeedEntry, MilestoneView
from screens.context import ScreenContext
from screens.text import clean, price, recent
from screens.widgets.feed_table import ACTION_TONES, outcome_cells
from screens.widgets.line_table import Column, LineTable
from screens.widgets.panel import Panel
from screens.widgets.tones import Cell, Cells, Tone

Happening: TypeAlias = FeedEntry | MilestoneView


@dataclass(frozen=True, slots=True)
class LifeRow:
    """One thing that happened."""

    happening: Happening

    @property
    def key(self) -> tuple[str, int]:
        """Identity: feed and milestones are numbered apart."""
        return (type(self.happening).__name__, self.happening.number)


def life_rows(
    snapshot: DeckSnapshot, accepts: Callable[[Happening], bool], *, newest_first: bool
) -> list[LifeRow]:
    """What is accepted of feed and milestones, in the order it happened or the other way round.

    At one instant milestones come before what ends the position.
    """
    found: list[Happening] = [entry for entry in snapshot.feed if accepts(entry)]
    found += [milestone for milestone in snapshot.milestones if accepts(milestone)]
    found.sort(key=_order, reverse=newest_first)
    return [LifeRow(happening) for happening in found]


def _order(happening: Happening) -> tuple[int, int, int]:
    if isinstance(happening, MilestoneView):
        return (happening.when, 1, happening.number)
    ends = happening.action in ("closed", "cancelled")
    return (happening.when, 2 if ends else 0, happening.number)


def _what(row: LifeRow) -> Cells:
    happening = row.happening
    if isinstance(happening, FeedEntry):
        return Cell(clean(happening.action), ACTION_TONES.get(happening.action, ""))
    return Cell("milestone", "muted")


def _detail(row: LifeRow) -> Cells:
    happening = row.happening
    if isinstance(happening, FeedEntry):
        return outcome_cells(happening)
    gains = happening.side == "profit"
    tone: Tone = "gain" if gains else "loss"
    way = "take profit" if gains else "stop loss"
    return (Cell(f"{happening.level} %", tone), Cell(f" of the way to the {way}", "muted"))


def _price(row: LifeRow) -> Cells:
    return Cell("" if row.happening.price is None else price(row.happening.price))


class LifeTable(Panel, LineTable[LifeRow]):
    """Feed entries and milestones that are accepted.

    Args:
        context: for the engine's day.
        accepts: which ones.
        newest_first: the table follows; False lists them as they happened.
        empty: what to say when there are none.
    """

    topics = ("feed", "milestones")

    def __init__(
        self,
        context: ScreenContext,
        accepts: Callable[[Happening], bool],
        *,
        newest_first: bool,
        empty: str,
        id: str | None = None,
    ) -> None:
        columns = (
            Column[LifeRow](
                "UTC", 9, lambda r: Cell(recent(r.happening.when, context.now()), "muted"), True
            ),
            Column[LifeRow]("event", 9, _what),
            Column[LifeRow]("side", 5, lambda r: Cell(clean(r.happening.position)), drop=1),
            Column[LifeRow]("price", 10, _price, right=True, grow=2),
            Column[LifeRow]("result, reason", 16, _detail, grow=200),
        )
        super().__init__(columns, key=lambda row: row.key, empty=empty, follow=newest_first, id=id)
        self._accepts = accepts
        self._newest_first = newest_first

    def show(self, snapshot: DeckSnapshot) -> None:
        """Feed or milestones moved."""
        self.set_rows(life_rows(snapshot, self._accepts, newest_first=self._newest_first))


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import SampleHost, frozen_clock

    sample = ScreenContext(SampleHost(), frozen_clock)
    table = LifeTable(
        sample, lambda h: h.signal_id == "signal-50", newest_first=False, empty="nothing"
    )
    show_alone(table, lambda: table.show(sample.snapshot))
