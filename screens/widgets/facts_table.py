"""Names and values below each other: settings, files, whatever is known of a thing."""

from __future__ import annotations

from collections.abc import Sequence

from screens.text import clean
from screens.widgets.line_table import Column, LineTable
from screens.widgets.tones import Cell

Named = tuple[str, str]


def _first_line(value: str) -> str:
    return clean(value.partition("\n")[0][:400])


class FactsTable(LineTable[Named]):
    """Pairs of name and value; of a long value the first line is shown.

    Args:
        empty: what to say when there are none.
    """

    def __init__(self, *, empty: str, id: str | None = None) -> None:
        columns = (
            Column[Named](
                "what", 22, lambda fact: Cell(clean(fact[0]), "muted"), grow=10, shrink=6
            ),
            Column[Named]("value", 20, lambda fact: Cell(_first_line(fact[1])), grow=400),
        )
        super().__init__(columns, key=lambda fact: fact[0], empty=empty, id=id)

    def show(self, facts: Sequence[Named]) -> None:
        """Show others; those that look the same are not drawn again."""
        self.set_rows(facts)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.sample import INSTANCES, instance_detail

    table = FactsTable(empty="nothing is known")
    show_alone(table, lambda: table.show(instance_detail(INSTANCES[0]).settings))
