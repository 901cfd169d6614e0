"""What a report's table shows: one `Column` per label, replaceable by the user, set by set.

A collection of columns has a name (``backtest_columns``); a report draws the visible ones of its
collection in order. Collections are immutable, so a refused change has nothing to roll back. The
collections as shipped are put together in `engine.reports.column_sets`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from engine.domain.errors import EngineError
from engine.domain.signals import Closed
from engine.domain.time import MINUTE, iso

Row = TypeVar("Row")

MISSING: Final = "N/A"
"""What a cell shows where there is nothing to show."""

_FIELDS: Final = ("key", "label", "format", "is_visible")


# Not slotted: Python 3.11 cannot make a ``Column[Closed](...)`` of a class both frozen and slotted.
@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of a report.

    Attributes:
        key: identity inside its collection.
        label: heading.
        format: text of a cell, from the row and its index (0 is the newest row); may be async.
        is_visible: asked before a report is made; may be async.
    """

    key: str
    label: str
    format: Callable[[Row, int], str | Awaitable[str]]
    is_visible: Callable[[], bool | Awaitable[bool]]


ColumnSets: TypeAlias = Mapping[str, tuple[Column[Any], ...]]
"""Collections by name."""


class ColumnsError(EngineError):
    """Columns were refused; the previous ones are still in force.

    Attributes:
        problems: one sentence per fault.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"{n}. {problem}" for n, problem in enumerate(self.problems, start=1))
        super().__init__(f"columns refused, nothing changed:\n{lines}")


def price_text(price: float) -> str:
    """A price with eight decimals: ``42685.34567890 USD``."""
    return f"{price:.8f} USD"


def number_text(value: float | None, decimals: int, unit: str = "") -> str:
    """A number with so many decimals and its unit, `MISSING` for None."""
    return MISSING if value is None else f"{value:.{decimals}f}{unit}"


def percent_text(percent: float | None, decimals: int = 2) -> str:
    """A signed percentage: ``+1.98%``, ``0.00%`` for what rounds to nothing, `MISSING` for None."""
    if percent is None:
        return MISSING
    if round(percent, decimals) == 0:
        percent = 0.0
    return f"{'+' if percent > 0 else ''}{percent:.{decimals}f}%"


def minutes_text(start: int, end: int) -> str:
    """Time between two instants (ms) in whole minutes: ``125 min``."""
    return f"{round((end - start) / MINUTE)} min"


def always() -> bool:
    """Visibility of a column that is always shown."""
    return True


def column(
    key: str, label: str, text: Callable[[Row], str], is_visible: Callable[[], bool] = always
) -> Column[Row]:
    """A column whose cells depend on the row alone."""
    return Column(key, label, lambda row, index: text(row), is_visible)


def iso_text(instant: int | None) -> str:
    """An instant as ISO-8601 UTC with milliseconds, `MISSING` for None."""
    return MISSING if instant is None else iso(instant)


BACKTEST_COLUMNS: Final[tuple[Column[Closed], ...]] = (
    column("signal_id", "Signal ID", lambda row: row.signal.id),
    column("symbol", "Symbol", lambda row: row.signal.symbol),
    column("position", "Position", lambda row: row.signal.position.upper()),
    column("price_open", "Open Price", lambda row: price_text(row.pnl.price_open)),
    column("price_take_profit", "Take Profit", lambda r: price_text(r.signal.price_take_profit)),
    column("price_stop_loss", "Stop Loss", lambda row: price_text(row.signal.price_stop_loss)),
    column("price_close", "Close Price", lambda row: price_text(row.pnl.price_close)),
    column("pnl", "PNL %", lambda row: percent_text(row.pnl.pnl_percentage)),
    column("close_reason", "Close Reason", lambda row: str(row.close_reason)),
    column("open_time", "Open Time", lambda row: iso(row.signal.pending_at)),
    column("close_time", "Close Time", lambda row: iso(row.close_timestamp)),
    column(
        "duration", "Duration", lambda row: minutes_text(row.signal.pending_at, row.close_timestamp)
    ),
    column("note", "Note", lambda row: row.signal.note or MISSING),
)
"""Columns of a backtest's trade table. The note is among them without a switch:
``report_show_signal_note`` rules the reports that hide it by default."""


def updated_columns(
    current: ColumnSets, changes: Mapping[str, object], *, unsafe: bool = False
) -> ColumnSets:
    """The collections ``current`` with some of them replaced.

    Args:
        current: collections in force; stay as they are.
        changes: new collections by name: lists of `Column` or of mappings with its four fields.
        unsafe: skip the validation of columns; unknown collections are refused all the same.

    Returns:
        A new read-only mapping with the same names.

    Raises:
        ColumnsError: every fault of every collection, numbered.
    """
    unknown = [
        f"{name} is not a collection of columns: use one of {', '.join(current)}"
        for name in changes
        if name not in current
    ]
    merged: dict[str, object] = {name: changes.get(name, current[name]) for name in current}
    problems = unknown if unsafe else [*unknown, *column_problems(merged)]
    if problems:
        raise ColumnsError(problems)
    return MappingProxyType({name: as_columns(name, merged[name]) for name in merged})


def column_problems(collections: Mapping[str, object]) -> list[str]:
    """Every fault of these collections, one sentence each."""
    found: list[str] = []
    for name, columns in collections.items():
        if not isinstance(columns, (list, tuple)):
            found.append(f"{name} is {_kind(columns)}: must be a list of columns")
            continue
        items = cast("Sequence[object]", columns)
        keys: dict[str, list[int]] = {}
        for index, column in enumerate(items):
            found.extend(_faults(f"{name}[{index}]", column))
            key = _fields(column).get("key")
            if isinstance(key, str):
                keys.setdefault(key, []).append(index)
        found.extend(
            f"{name}: duplicate key {key!r} at indexes {', '.join(map(str, at))}"
            for key, at in keys.items()
            if len(at) > 1
        )
    return found


def _faults(where: str, column: object) -> Iterator[str]:
    if not isinstance(column, (Column, Mapping)):
        yield f"{where} is {_kind(column)}: must be an object with {', '.join(_FIELDS)}"
        return
    fields = _fields(cast("object", column))
    for name in _FIELDS:
        value = fields.get(name)
        if name not in fields:
            yield f"{where}: missing required field {name!r}"
        elif name in ("key", "label"):
            if not (isinstance(value, str) and value.strip()):
                yield f"{where}.{name} is {value!r}: must be a non-empty string"
        elif not callable(value):
            yield f"{where}.{name} is {value!r}: must be a function"


def _fields(column: object) -> Mapping[str, object]:
    if isinstance(column, Mapping):
        return cast("Mapping[str, object]", column)
    return {name: getattr(column, name) for name in _FIELDS if hasattr(column, name)}


def as_columns(name: str, columns: object) -> tuple[Column[Any], ...]:
    """The columns of a collection given as `Column` objects or mappings, otherwise unchecked.

    Raises:
        ColumnsError: it is not a list of columns.
    """
    try:
        return tuple(_ascolumn(column) for column in cast("Sequence[object]", columns))
    except KeyError as error:
        text = f"a column of {name} has no {error}: give key, label, format and is_visible"
        raise ColumnsError([text]) from None
    except TypeError as error:
        raise ColumnsError([f"{name} is not a list of columns: {error}"]) from None


def _ascolumn(column: object) -> Column[Any]:
    if isinstance(column, Column):
        return cast("Column[Any]", column)
    fields = cast("Mapping[str, Any]", column)
    return Column(fields["key"], fields["label"], fields["format"], fields["is_visible"])


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
