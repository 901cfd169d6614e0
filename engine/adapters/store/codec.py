"""How values of the domain become rows, and rows values again, strictly.

A value that was committed must come back as it was, to the last bit, or not at all: a position
restored with a guessed price is worse than one that is reported as unreadable. So every document is
checked by pydantic in strict mode on its way in as well as on its way out, and what cannot be
written so that it can be read is refused before anything is changed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, Final, Generic, TypeAlias, TypeVar

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from engine.domain.changes import ErrorNote, FinishedSaved, InstanceRecord, JournalEvent, Telemetry
from engine.domain.errors import StateError
from engine.domain.events import Partial, RiskRejection
from engine.domain.signals import (
    Cancelled,
    Closed,
    Mode,
    Opened,
    OpenPosition,
    RunKey,
    Scheduled,
    ScheduledSignal,
)

T = TypeVar("T")
Row: TypeAlias = Mapping[str, Any]
Columns: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str, ...]

KEY_COLUMNS: Final = ("mode", "exchange", "strategy", "symbol", "frame")
_KEY_FIELDS: Final = ("mode", "exchange_name", "strategy_name", "symbol", "frame_name")
_KEY_IN: Final = itemgetter(*KEY_COLUMNS)
_INTEGER_LIMIT: Final = 2**63

text_of: Final = partial(str, encoding="utf-8", errors="surrogateescape")
"""The text factory of reading connections: nonsense bytes break their own row, not the query."""


def key_values(key: RunKey) -> tuple[str, ...]:
    """The five columns of a key, in the order of `KEY_COLUMNS`."""
    values = (str(key.mode), *(getattr(key, field) for field in _KEY_FIELDS[1:]))
    for value in values:
        if not _is_text(value):
            raise StateError(f"{key!r} cannot be stored: {value!r} is not Unicode text")
    return values


def key_of(row: Row) -> RunKey:
    """The key in a row's columns.

    Raises:
        ValueError: it is none.
    """
    return _identity(*_KEY_IN(row))[0]


def storable_text(text: str) -> str:
    """Text as it can be stored: what is no Unicode (half an emoji, a stray byte) becomes ``?``."""
    return text if _is_text(text) else text.encode("utf-8", "replace").decode("utf-8")


def _by_object(
    paths: Iterable[tuple[Path, str]],
) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Paths of one or two names, grouped by the first of two: (object, ((member, source), ...))."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for path, source in paths:
        name, member = path if len(path) == 2 else ("", *path)
        groups.setdefault(name, []).append((member, source))
    return tuple((name, tuple(members)) for name, members in groups.items())


class Shape(Generic[T]):
    """How one type of value lies in a table: some of it in columns, the rest in the payload.

    Args:
        type_: the type.
        columns: column name to the path of its value in the value's JSON document.
        implied: path to the field of the row's key that has the same value; not written again.
    """

    def __init__(
        self, type_: type[T], columns: Mapping[str, Path], implied: Mapping[Path, str]
    ) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(type_)
        self._name = type_.__name__
        self.columns = columns
        self._implied = implied
        # Grouped by the object they belong to, because a start reads a hundred thousand rows.
        self._into_columns = _by_object((path, column) for column, path in columns.items())
        self._into_implied = _by_object(implied.items())

    def encode(self, value: T, key: RunKey) -> Columns:
        """The value's columns and its ``payload``.

        Raises:
            StateError: it holds something that could not be read back.
        """
        document = self._document(value)
        implied = _implied_values(key)
        for path, field in self._implied.items():
            if _get(document, path) == implied[field]:
                _remove(document, path)
        row: Columns = {}
        for column, path in self.columns.items():
            found = _get(document, path)
            row[column] = found if _fits(found) else None
            if _keeps(found):
                _remove(document, path)
        row["payload"] = _dumped(document)
        return row

    def decode(self, row: Row) -> T:
        """The value of a row.

        Raises:
            ValueError, TypeError, RecursionError: the row is not one that `encode` makes.
        """
        document = document_of(row["payload"])
        _, implied = _identity(*_KEY_IN(row))
        for name, members in self._into_implied:
            inner = _object_in(document, name)
            for member, field in members:
                inner.setdefault(member, implied[field])
        for name, members in self._into_columns:
            inner = _object_in(document, name)
            for member, column in members:
                value = row[column]
                if value is not None:
                    inner.setdefault(member, value)
        # Infinity, which a column can hold, becomes null, which is no number.
        text = to_json(document, inf_nan_mode="null")
        return self._adapter.validate_json(text, strict=True)

    def _document(self, value: T) -> dict[str, Any]:
        try:
            document = self._adapter.dump_python(value, mode="json", warnings="error")
            text = _dumped(document)
            if not _is_text(text):
                text = storable_text(text)
                document = json.loads(text)
            # What is written can be read: the only moment to find out is before the commit.
            self._adapter.validate_json(text, strict=True)
            return document
        except (ValueError, TypeError, RecursionError) as error:
            raise StateError(f"{self._name} cannot be stored: {error} (in {value!r})") from error


_KEYS: Final[Mapping[Path, str]] = {("key",): "key"}
_NAMES: Final[Mapping[Path, str]] = {
    (field,): field for field in ("symbol", "strategy_name", "exchange_name")
}


def _names_in(prefix: str) -> dict[Path, str]:
    return {(prefix, *path): field for path, field in _NAMES.items()}


def _signal_columns(prefix: str) -> dict[str, Path]:
    names = ("position", "price_open", "price_take_profit", "price_stop_loss")
    return {"signal_id": (prefix, "id"), **{name: (prefix, name) for name in names}}


def _result(type_: type[T], **columns: Path) -> Shape[T]:
    base: dict[str, Path] = {"at": ("when",), "price": ("current_price",)}
    base.update(_signal_columns("signal"))
    return Shape(type_, {**base, **columns}, {**_KEYS, **_names_in("signal")})


EVENTS: Final[Mapping[str, Shape[Any]]] = {
    "scheduled": _result(Scheduled),
    "opened": _result(Opened),
    "closed": _result(
        Closed, reason=("close_reason",), pnl_percent=("pnl", "pnl_percentage")
    ),
    "cancelled": _result(Cancelled, reason=("cancel_reason",)),
    "partial": Shape(
        Partial,
        {"at": ("timestamp",), "price": ("current_price",), "level": ("level",),
         "reason": ("side",), **_signal_columns("data")},
        {**_KEYS, **_NAMES, **_names_in("data")},
    ),
    "risk": Shape(
        RiskRejection,
        {"at": ("timestamp",), "price": ("current_price",), "reason": ("risk_name",),
         **_signal_columns("pending_signal")},
        {**_KEYS, **_NAMES, **_names_in("pending_signal")},
    ),
    "error": Shape(ErrorNote, {"at": ("when",), "reason": ("stage",)}, _KEYS),
}  # fmt: skip
"""The kinds of the journal."""

KIND_OF: Final[Mapping[type, str]] = {
    Scheduled: "scheduled", Opened: "opened", Closed: "closed", Cancelled: "cancelled",
    Partial: "partial", RiskRejection: "risk", ErrorNote: "error",
}  # fmt: skip

_ROW_COLUMNS: Final[Mapping[str, Path]] = {
    **_signal_columns("row"),
    "minutes": ("row", "minute_estimated_time"),
    "scheduled_at": ("row", "scheduled_at"),
    "pending_at": ("row", "pending_at"),
}
_POSITION: Final = Shape(
    OpenPosition,
    {**_ROW_COLUMNS, "profit_level": ("profit_level",), "loss_level": ("loss_level",)},
    _names_in("row"),
)
_SCHEDULED: Final = Shape(ScheduledSignal, _ROW_COLUMNS, _names_in("row"))
_INSTANCE: Final = Shape(
    InstanceRecord,
    {name: (name,) for name in (
        "status", "session", "started_at", "strategy_file", "strategy_hash", "error"
    )},
    {},
)  # fmt: skip


def encode_event(event: JournalEvent, key: RunKey) -> Columns:
    """Kind, columns and payload of a journal entry."""
    kind = KIND_OF[type(event)]
    return {"kind": kind, **EVENTS[kind].encode(event, key)}


def decode_event(row: Row) -> JournalEvent:
    """The event of a journal row."""
    shape = EVENTS.get(row["kind"])
    if shape is None:
        raise ValueError(f"kind {row['kind']!r} is none of {', '.join(EVENTS)}")
    return shape.decode(row)


def encode_held(held: ScheduledSignal | OpenPosition, key: RunKey) -> Columns:
    """Kind, columns and payload of what a run holds."""
    if isinstance(held, OpenPosition):
        return {"kind": "position", **_POSITION.encode(held, key)}
    return {"kind": "scheduled", **_SCHEDULED.encode(held, key)}


def decode_held(row: Row) -> ScheduledSignal | OpenPosition:
    """What a row of ``held`` holds."""
    if row["kind"] == "position":
        return _POSITION.decode(row)
    if row["kind"] == "scheduled":
        return _SCHEDULED.decode(row)
    raise ValueError(f"kind {row['kind']!r} is neither position nor scheduled")


def encode_reserved(held: OpenPosition, key: RunKey) -> Columns:
    """Columns and payload of a reservation."""
    return _POSITION.encode(held, key)


def decode_reserved(row: Row) -> tuple[tuple[str, RunKey], OpenPosition]:
    """A reservation: its profile and run, and the position."""
    return (_text(row["risk"]), key_of(row)), _POSITION.decode(row)


def encode_instance(record: InstanceRecord, key: RunKey) -> Columns:
    """Columns and payload of an instance.

    Raises:
        StateError: its settings are not JSON-able.
    """
    # Of itself pydantic would write a NaN among them as null.
    _json_object(record.settings, f"the settings of {key}")
    return _INSTANCE.encode(record, key)


def decode_instance(row: Row) -> InstanceRecord:
    """The record of an instance row."""
    return _INSTANCE.decode(row)


def encode_summary(finished: FinishedSaved) -> str:
    """The summary of a finished run as JSON.

    Raises:
        StateError: it is not JSON-able.
    """
    return _json_object(finished.summary, f"the summary of {finished.kind} {finished.run_id}")


def decode_finished(row: Row) -> FinishedSaved:
    """A finished backtest or walker."""
    kind, run_id = _text(row["kind"]), _text(row["run_id"])
    return FinishedSaved(kind, run_id, row["at"], document_of(row["summary"]), row["payload"])


def decode_meta(row: Row) -> tuple[str, str]:
    """A named value."""
    return _text(row["name"]), _text(row["value"])


def decode_telemetry(row: Row) -> Telemetry:
    """Where a run stands.

    Raises:
        ValueError: a price or percentage is not finite.
    """
    for value in (row["last_price"], row["pnl_percent"]):
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{value} is not a number")
    return Telemetry(
        key_of(row), row["at"], row["last_price"], row["pnl_percent"], row["heartbeat"]
    )


def document_of(text: Any) -> dict[str, Any]:
    """The JSON object in a text.

    Raises:
        ValueError, TypeError, RecursionError: there is none.
    """
    document: Any = from_json(text, allow_inf_nan=False)
    if not isinstance(document, dict):
        raise ValueError(f"not a JSON object but {type(document).__name__}")
    return document  # pyright: ignore[reportUnknownVariableType]


def row_text(row: Row) -> str:
    """A whole row as JSON, whatever is in it."""
    return json.dumps(dict(row), default=_hexadecimal)


def _hexadecimal(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else repr(value)


def _json_object(mapping: Mapping[str, Any], what: str) -> str:
    try:
        return storable_text(_dumped(dict(mapping)))
    except (ValueError, TypeError, RecursionError) as error:
        raise StateError(f"{what} cannot be stored: {error}") from error


def _dumped(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@lru_cache(maxsize=4096)
def _identity(mode: str, *names: str) -> tuple[RunKey, Mapping[str, Any]]:
    """The key that five columns are, and what it implies; every row of a run asks for it."""
    mode, *checked = map(_text, (mode, *names))
    key = RunKey(Mode(mode), *checked)
    return key, _implied_values(key)


def _implied_values(key: RunKey) -> dict[str, Any]:
    values: dict[str, Any] = {field: getattr(key, field) for field in _KEY_FIELDS}
    values["mode"] = str(key.mode)
    return {"key": dict(values), **values}


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _text(value: Any) -> str:
    if not isinstance(value, str) or not _is_text(value):
        raise ValueError(f"{value!r} is not Unicode text")
    return value


def _fits(value: Any) -> bool:
    """Whether SQLite can bind the value at all."""
    return not isinstance(value, int) or -_INTEGER_LIMIT <= value < _INTEGER_LIMIT


def _keeps(value: Any) -> bool:
    """Whether a column gives back exactly this value; SQLite forgets the sign of -0.0."""
    if isinstance(value, float):
        return value != 0.0 or math.copysign(1.0, value) > 0
    return value is not None and _fits(value)


def _get(document: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return document  # pyright: ignore[reportUnknownVariableType]


def _remove(document: dict[str, Any], path: Path) -> None:
    for name in path[:-1]:
        document = document[name]
    del document[path[-1]]


def _object_in(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The object of a document that has this name, "" for itself; made if it is missing."""
    if not name:
        return document
    inner = document.setdefault(name, {})
    if not isinstance(inner, dict):
        raise ValueError(f"{name!r} is not a JSON object")
    return inner  # pyright: ignore[reportUnknownVariableType]
