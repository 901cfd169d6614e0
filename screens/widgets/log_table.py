"""The program's log, newest first; it follows until the operator moves, and then holds still."""

from __future__ import annotations

from typing import Final

from console.views import DeckSnapshot, LogLine
from screens.filters import Fields
from screens.text import clean, time_of_day
from screens.widgets.filtered_table import FilteredTable
from screens.widgets.line_table import Column
from screens.widgets.panel import Panel
from screens.widgets.tones import Cell, Cells, Tone

LEVELS: Final = ("debug", "info", "warning", "error")
"""Levels of the log, the least first."""

LOG_FIELDS: Final[Fields[LogLine]] = {
    "level": lambda line: line.level,
    "logger": lambda line: line.logger,
    "text": lambda line: line.message,
}
"""What an expression can name in a line of the log."""

_TONES: Final[dict[str, Tone]] = {"debug": "muted", "warning": "warn", "error": "loss"}


def _message(line: LogLine) -> Cells:
    first, _, more = line.message.partition("\n")
    # Thousands of characters would be measured at every drawing, and nobody sees them here.
    text = Cell(clean(first[:500]), "loss" if line.level == "error" else "")
    return (Cell("+ ", "muted"), text) if more else text


class LogTable(Panel, FilteredTable[LogLine]):
    """The log of a snapshot from one level on."""

    topics = ("log",)

    def __init__(self, *, id: str | None = None) -> None:
        columns = (
            Column[LogLine]("UTC", 8, lambda v: Cell(time_of_day(v.when), "muted")),
            Column[LogLine]("level", 7, lambda v: Cell(clean(v.level), _TONES.get(v.level, ""))),
            Column[LogLine]("from", 9, lambda v: Cell(clean(_short(v.logger)), "muted"), drop=1),
            Column[LogLine]("message", 20, _message, grow=400),
        )
        super().__init__(
            columns,
            key=lambda line: line.number,
            fields=LOG_FIELDS,
            empty="no line of the log is shown",
            follow=True,
            id=id,
        )
        self._least = 0
        self._lines: tuple[LogLine, ...] = ()

    @property
    def level(self) -> str:
        """The least level that is shown."""
        return LEVELS[self._least]

    def next_level(self) -> None:
        """Show the next level and above; after the highest everything again."""
        self.set_level(LEVELS[(self._least + 1) % len(LEVELS)])

    def set_level(self, level: str) -> bool:
        """Show a level and above; False when there is no such level."""
        if level not in LEVELS:
            return False
        self._least = LEVELS.index(level)
        self.set_source(self._at_level())
        self.release()
        return True

    def show(self, snapshot: DeckSnapshot) -> None:
        """The log moved."""
        self._lines = snapshot.log
        self.set_source(self._at_level())

    def _at_level(self) -> tuple[LogLine, ...]:
        if not self._least:
            return self._lines
        shown = LEVELS[self._least :]
        return tuple(line for line in self._lines if line.level in shown)


def _short(logger: str) -> str:
    return logger.removeprefix("signaldeck.")


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import snapshot as sample

    table = LogTable()
    show_alone(table, lambda: table.show(sample()))
