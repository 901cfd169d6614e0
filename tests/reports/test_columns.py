"""Columns: what the default ones show, and what is said about unusable ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.domain.errors import EngineError
from engine.domain.signals import CloseReason, Position
from engine.domain.time import MINUTE
from engine.reports.column_sets import default_columns
from engine.reports.columns import (
    BACKTEST_COLUMNS,
    Column,
    ColumnsError,
    column_problems,
    minutes_text,
    percent_text,
    price_text,
    updated_columns,
)
from tests.reports.report_samples import START, priced, row, trade

DEFAULT_COLUMNS = default_columns(lambda: False)


def shown() -> bool:
    return True


def column(**changes):
    fields = {"key": "a", "label": "A", "format": lambda r, i: "x", "is_visible": shown}
    return {name: value for name, value in {**fields, **changes}.items() if value is not ...}


def test_default_labels_in_order():
    assert [c.label for c in BACKTEST_COLUMNS] == [
        "Signal ID", "Symbol", "Position", "Open Price", "Take Profit", "Stop Loss", "Close Price",
        "PNL %", "Close Reason", "Open Time", "Close Time", "Duration", "Note",
    ]  # fmt: skip
    assert all(c.is_visible() for c in BACKTEST_COLUMNS)


def test_default_cells():
    closed = trade(
        -2.776, START + 5 * MINUTE, START + 130 * MINUTE, id="a1", position=Position.SHORT,
        price_take_profit=0.012303, price_stop_loss=42685.3456789, note="why | so",
        close_reason=CloseReason.TIME_EXPIRED,
    )  # fmt: skip
    assert [c.format(closed, 0) for c in BACKTEST_COLUMNS] == [
        "a1", "BTC/USDT:USDT", "SHORT", "100.00000000 USD", "0.01230300 USD",
        "42685.34567890 USD", "97.22400000 USD", "-2.78%", "time_expired",
        "2024-01-01T00:05:00.000Z", "2024-01-01T02:10:00.000Z", "125 min", "why | so",
    ]  # fmt: skip


def test_prices_are_the_booked_ones():
    closed = priced(Position.LONG, 42000.0, 43000.0, START, START + MINUTE)
    cells = {c.key: c.format(closed, 0) for c in BACKTEST_COLUMNS}
    assert cells["price_open"] == "42000.00000000 USD"
    assert cells["price_close"] == "43000.00000000 USD"
    assert cells["pnl"] == "+1.98%"


def test_a_missing_note_is_said():
    note = BACKTEST_COLUMNS[-1]
    assert note.format(trade(1.0, START, START, note=""), 0) == "N/A"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.976, "+1.98%"), (-2.776, "-2.78%"), (0.0, "0.00%"), (-0.0, "0.00%"), (0.004, "0.00%"),
        (-0.004, "0.00%"), (0.006, "+0.01%"), (-0.006, "-0.01%"), (1e9, "+1000000000.00%"),
    ],
)  # fmt: skip
def test_percent_text(value, text):
    assert percent_text(value) == text


def test_price_and_minutes_text():
    assert price_text(0.1) == "0.10000000 USD"
    assert price_text(1e-9) == "0.00000000 USD"
    assert minutes_text(0, 90_000) == "2 min"
    assert minutes_text(START, START) == "0 min"


def test_defaults_are_valid_and_read_only():
    assert column_problems(DEFAULT_COLUMNS) == []
    with pytest.raises(TypeError):
        DEFAULT_COLUMNS["backtest_columns"] = ()  # type: ignore[index]
    with pytest.raises(AttributeError):
        BACKTEST_COLUMNS[0].label = "x"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["key", "label", "format", "is_visible"])
def test_a_missing_field_is_named(name):
    [problem] = column_problems({"backtest_columns": [column(**{name: ...})]})
    assert problem == f"backtest_columns[0]: missing required field {name!r}"


@pytest.mark.parametrize("name", ["key", "label"])
@pytest.mark.parametrize("value", ["", "  \t", None, 7, ["a"]])
def test_key_and_label_are_texts(name, value):
    [problem] = column_problems({"backtest_columns": [column(**{name: value})]})
    assert problem == f"backtest_columns[0].{name} is {value!r}: must be a non-empty string"


@pytest.mark.parametrize("name", ["format", "is_visible"])
@pytest.mark.parametrize("value", [None, "x", True])
def test_functions_are_callable(name, value):
    [problem] = column_problems({"backtest_columns": [column(**{name: value})]})
    assert problem == f"backtest_columns[0].{name} is {value!r}: must be a function"


def test_duplicate_keys_list_their_indexes():
    columns = [column(), column(key="b"), column(), column(key="b"), column(), column(key="c")]
    assert column_problems({"backtest_columns": columns}) == [
        "backtest_columns: duplicate key 'a' at indexes 0, 2, 4",
        "backtest_columns: duplicate key 'b' at indexes 1, 3",
    ]


@pytest.mark.parametrize("value", [None, "abc", {"key": "a"}, 5])
def test_a_collection_is_a_list(value):
    [problem] = column_problems({"backtest_columns": value})
    assert problem.startswith("backtest_columns is ")
    assert problem.endswith("must be a list of columns")


@pytest.mark.parametrize("value", [None, "abc", 5, object()])
def test_a_column_is_an_object(value):
    [problem] = column_problems({"backtest_columns": [value]})
    assert problem.startswith("backtest_columns[0] is ")
    assert "must be an object with key, label, format, is_visible" in problem


def test_all_faults_are_numbered_in_one_error():
    faulty = {"key": " ", "label": None, "format": 1, "is_visible": "yes"}
    with pytest.raises(ColumnsError) as caught:
        updated_columns(DEFAULT_COLUMNS, {"backtest_columns": [faulty, {}], "mistyped": []})
    assert isinstance(caught.value, EngineError)
    lines = str(caught.value).splitlines()
    assert lines[0] == "columns refused, nothing changed:"
    # One unknown collection, four faults of the first column, four fields missing in the second.
    assert [line.split(".")[0] for line in lines[1:]] == [str(n) for n in range(1, 10)]
    assert lines[1].startswith("1. mistyped is not a collection of columns: use one of backtest")
    assert len(caught.value.problems) == 9


def test_columns_of_the_class_are_validated_too():
    broken = Column("", "A", lambda r, i: "", shown)
    assert len(column_problems({"backtest_columns": [broken]})) == 1


def test_an_update_leaves_the_rest_and_what_it_came_from():
    mine = Column[Any]("a", "A", lambda r, i: f"{r.id} {i}", shown)
    current = {"backtest_columns": BACKTEST_COLUMNS, "other_columns": (mine,)}
    found = updated_columns(current, {"backtest_columns": [column(label="B")]})
    assert current["backtest_columns"] is BACKTEST_COLUMNS
    assert found["other_columns"] == (mine,)
    [made] = found["backtest_columns"]
    assert isinstance(made, Column)
    assert (made.key, made.label, made.format(None, 0), made.is_visible()) == ("a", "B", "x", True)
    with pytest.raises(TypeError):
        found["backtest_columns"] = ()  # type: ignore[index]


def test_a_fault_anywhere_refuses_the_whole_update():
    with pytest.raises(ColumnsError, match=r"other_columns\[0\]"):
        updated_columns(
            {"backtest_columns": BACKTEST_COLUMNS, "other_columns": ()},
            {"backtest_columns": [column()], "other_columns": [3]},
        )


def test_unsafe_skips_the_rules_but_not_the_shape():
    twice = {"backtest_columns": [column(label=""), column()]}
    assert len(updated_columns(DEFAULT_COLUMNS, twice, unsafe=True)["backtest_columns"]) == 2
    for shapeless in (None, [3], [{}]):
        with pytest.raises(ColumnsError):
            updated_columns(DEFAULT_COLUMNS, {"backtest_columns": shapeless}, unsafe=True)
    with pytest.raises(ColumnsError, match="a column of heat_columns has no 'label': give key, l"):
        updated_columns(DEFAULT_COLUMNS, {"heat_columns": [{"key": "a"}]}, unsafe=True)
    with pytest.raises(ColumnsError, match="mistyped"):
        updated_columns(DEFAULT_COLUMNS, {"mistyped": []}, unsafe=True)


def test_a_column_sees_row_and_index():
    mine = Column[Any]("a", "A", lambda r, i: f"{r.id} {i}", shown)
    assert mine.format(row("r7"), 3) == "r7 3"


def test_a_column_may_name_its_row():
    # A frozen and slotted generic class raises here on Python 3.11.
    mine = Column[Any]("a", "A", lambda r, i: "x", shown)
    assert mine == replace(mine)
