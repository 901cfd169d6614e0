"""A feed or table that shows only what an expression accepts.

What a row was found to be is remembered by its key, so that a busy feed asks the expression once
per entry and not once per drawing.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

from screens.filters import Fields, Filter
from screens.widgets.line_table import Column, LineTable

Row = TypeVar("Row")


class FilteredTable(LineTable[Row]):
    """Rows that never change once they are there, filtered.

    Args:
        columns, key, options: as of `LineTable`.
        fields: what an expression can name.
    """

    def __init__(
        self, columns: Sequence[Column[Row]], key: Any, fields: Fields[Row], **options: Any
    ) -> None:
        super().__init__(columns, key, **options)
        self.fields = fields
        self._source: tuple[Row, ...] = ()
        self._filter: Filter[Row] = Filter()
        self._found: dict[Hashable, bool] = {}

    @property
    def total(self) -> int:
        """Rows there are, shown or not."""
        return len(self._source)

    def set_source(self, rows: Sequence[Row]) -> None:
        """Replace the rows; those that are accepted are shown."""
        self._source = tuple(rows)
        if len(self._found) > 2 * len(self._source) + 100:
            self._found.clear()
        self.set_rows([row for row in self._source if self._accepts(row)])

    def set_filter(self, new: Filter[Row]) -> None:
        """Show what another expression accepts, from the top."""
        self._filter = new
        self._found.clear()
        self.set_source(self._source)
        if self.following or self._follow:
            self.release()
        self.refresh()

    def _accepts(self, row: Row) -> bool:
        if not self._filter:
            return True
        key = self._row_key(row)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._filter.accepts(row)
        return found
