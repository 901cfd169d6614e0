"""Everything that is written comes back as it was, to the bit; the rest is refused beforehand."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.adapters.store import codec
from engine.adapters.store.schema import migrations
from engine.domain.changes import ErrorNote, FinishedSaved, InstanceRecord
from engine.domain.errors import StateError
from engine.domain.signals import Opened, OpenPosition, RunKey
from tests.store.store_bed import (
    TEXTS,
    closed_event,
    events_of,
    json_values,
    key_of,
    keys,
    open_positions,
    record_of,
    records,
    row_of,
    scheduled_signals,
)


def bits(value: Any) -> Any:
    """A value with its floats by their bits, so that -0.0 is not 0.0 and 1 is not 1.0."""
    if isinstance(value, float):
        return value.hex()
    if is_dataclass(value):
        return type(value), tuple(bits(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, dict):
        return {name: bits(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return type(value), tuple(bits(inner) for inner in value)
    return type(value), value


@pytest.fixture(scope="module")
def database() -> Any:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(migrations()[0])
    connection.row_factory = sqlite3.Row
    connection.text_factory = codec.text_of
    yield connection
    connection.close()


def through(database: sqlite3.Connection, table: str, key: RunKey, columns: Any) -> Any:
    """The row that SQLite makes of columns."""
    named = dict(zip(codec.KEY_COLUMNS, codec.key_values(key), strict=True)) | columns
    marks = ", ".join("?" * len(named))
    database.execute(f"DELETE FROM {table}")
    database.execute(
        f"INSERT INTO {table} ({', '.join(named)}) VALUES ({marks})", tuple(named.values())
    )
    return dict(database.execute(f"SELECT * FROM {table}").fetchone())


many = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@many
@given(st.data(), keys)
def test_events_come_back_to_the_bit(
    database: sqlite3.Connection, data: st.DataObject, key: RunKey
) -> None:
    event = data.draw(events_of(key))
    row = through(database, "journal", key, {"deliver": 1, **codec.encode_event(event, key)})
    assert codec.key_of(row) == key
    assert bits(codec.decode_event(row)) == bits(event)


@many
@given(keys, scheduled_signals | open_positions)
def test_what_is_held_comes_back_to_the_bit(
    database: sqlite3.Connection, key: RunKey, held: Any
) -> None:
    row = through(database, "held", key, codec.encode_held(held, key))
    assert bits(codec.decode_held(row)) == bits(held)


@many
@given(keys, TEXTS, open_positions)
def test_reservations_come_back_to_the_bit(
    database: sqlite3.Connection, key: RunKey, risk: str, held: OpenPosition
) -> None:
    columns = {"risk": risk, **codec.encode_reserved(held, key)}
    row = through(database, "reservation", key, columns)
    assert bits(codec.decode_reserved(row)) == bits(((risk, key), held))


@many
@given(keys, records)
def test_instances_come_back_to_the_bit(
    database: sqlite3.Connection, key: RunKey, record: InstanceRecord
) -> None:
    row = through(database, "instance", key, codec.encode_instance(record, key))
    assert bits(codec.decode_instance(row)) == bits(record)


@many
@given(st.dictionaries(TEXTS, json_values, max_size=3))
def test_summaries_come_back_to_the_bit(summary: dict[str, Any]) -> None:
    text = codec.encode_summary(FinishedSaved("backtest", "r", 1, summary, b""))
    assert bits(codec.document_of(text)) == bits(summary)


def test_an_event_lies_in_columns_that_sql_can_ask_for() -> None:
    key = key_of()
    columns = codec.encode_event(closed_event(key, 60_000), key)
    assert columns["kind"] == "closed"
    assert columns["price_take_profit"] == 110.3
    assert (columns["reason"], columns["pnl_percent"]) == ("stop_loss", -1.25)
    # Said once: what a column or the key says is not in the payload.
    assert "110.3" not in columns["payload"] and "USDT" not in columns["payload"]


def opened(price: Any, **changed: Any) -> Opened:
    key = key_of()
    return Opened(key, 1, price, replace(row_of(key), **changed))


@pytest.mark.parametrize(
    "event",
    [
        opened(math.nan), opened(math.inf), opened(None), opened("100"), opened(np.int64(100)),
        opened(1.0, scheduled_at=1.5), opened(1.0, position="sideways"), opened(1.0, note=None),
        opened(1.0, id=7), ErrorNote(key_of(), 1, "tick", b"bytes"),  # type: ignore[arg-type]
    ],
    ids=lambda event: repr(event)[-60:],
)  # fmt: skip
def test_what_could_not_be_read_back_is_refused(event: Any) -> None:
    with pytest.raises(StateError, match="cannot be stored"):
        codec.encode_event(event, key_of())


@pytest.mark.parametrize("value", [math.nan, object(), {1, 2}, np.int64(3), b"x\xff"])
def test_settings_that_are_no_json_are_refused(value: Any) -> None:
    record = replace(record_of(), settings={"a": value})
    with pytest.raises(StateError, match="cannot be stored"):
        codec.encode_instance(record, key_of())


def test_numpy_floats_are_floats() -> None:
    key = key_of()
    event = opened(np.float64(100.5))
    row = {**dict(zip(codec.KEY_COLUMNS, codec.key_values(key), strict=True))}
    found = codec.decode_event({**row, **codec.encode_event(event, key)})
    assert bits(found) == bits(opened(100.5))


def test_text_that_is_no_unicode_is_kept_readable() -> None:
    key = key_of()
    note = ErrorNote(key, 1, "tick", "no such file: caf\udce9 \ud83d")
    row = {**dict(zip(codec.KEY_COLUMNS, codec.key_values(key), strict=True))}
    found = codec.decode_event({**row, **codec.encode_event(note, key)})
    assert found == replace(note, message="no such file: caf? ?")


def test_a_key_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(StateError, match="not Unicode"):
        codec.key_values(replace(key_of(), symbol="\ud83d"))
