"""The choices for the field that has the focus; steered from there, or clicked."""

from __future__ import annotations

from textual import events
from textual.message import Message

from screens.candidates import Candidate
from screens.widgets.line_table import Column, LineTable
from screens.widgets.tones import Cell, Cells


def _name(candidate: Candidate) -> Cells:
    if candidate.error:
        return Cell(f"! {candidate.name}", "muted")
    return Cell(candidate.name)


def _note(candidate: Candidate) -> Cells:
    return Cell(candidate.error, "loss") if candidate.error else Cell(candidate.note, "muted")


class CandidateList(LineTable[Candidate], can_focus=False):
    """A list of choices without a focus of its own."""

    always_live = True
    DEFAULT_CSS = """
    CandidateList { background: $surface; scrollbar-background: $surface; }
    """

    class Picked(Message):
        """A choice was clicked."""

        def __init__(self, candidate: Candidate) -> None:
            super().__init__()
            self.candidate = candidate

    def __init__(self, *, id: str | None = None) -> None:
        columns = (
            Column[Candidate]("choices", 20, _name, grow=2),
            Column[Candidate]("", 24, _note, drop=1, grow=70),
        )
        super().__init__(columns, key=lambda c: c.name, empty="", id=id)

    def step(self, by: int) -> Candidate | None:
        """Move to the next choice that can be taken; None when there is none that way."""
        index = self.cursor + by
        while 0 <= index < len(self.rows):
            if not self.rows[index].error:
                self.move_cursor(index)
                return self.rows[index]
            index += by
        return None

    def on_click(self, event: events.Click) -> None:
        """Take what was clicked, unless it cannot be chosen."""
        index = int(self.scroll_offset.y) + event.y - 1
        if event.y >= 1 and index < len(self.rows) and not self.rows[index].error:
            self.post_message(self.Picked(self.rows[index]))


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.candidates import strategy_candidates
    from screens.sample import CATALOG

    table = CandidateList()
    show_alone(table, lambda: table.set_rows(strategy_candidates(CATALOG)))
