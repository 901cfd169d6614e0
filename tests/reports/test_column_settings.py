"""Columns as users set them: conformance cases 26 to 31 and 203, on the current engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import (
    Backtest,
    Column,
    ColumnsError,
    Engine,
    Live,
    Schedule,
    get_columns,
    get_default_columns,
    set_columns,
    set_config,
)
from engine.reports.column_sets import default_columns
from engine.reports.columns import column_problems
from tests.runs.bed import SYMBOL, bed, long

COLLECTIONS = {
    "backtest_columns", "live_columns", "schedule_columns", "partial_columns", "risk_columns",
    "heat_columns", "performance_columns", "walker_strategy_columns", "walker_pnl_columns",
}  # fmt: skip


def shown() -> bool:
    return True


def mine(key: str = "a", label: str = "A") -> dict[str, Any]:
    return {"key": key, "label": label, "format": lambda r, i: str(i), "is_visible": shown}


async def test_the_defaults_are_nine_valid_collections_that_nobody_can_change() -> None:
    async with Engine():
        defaults = get_default_columns()
        assert set(defaults) == COLLECTIONS
        assert column_problems(defaults) == []
        with pytest.raises(TypeError):
            defaults["heat_columns"] = ()  # type: ignore[index]
        with pytest.raises(AttributeError):
            defaults["heat_columns"].append(None)  # type: ignore[attr-defined]
        with pytest.raises(AttributeError):
            defaults["heat_columns"][0].label = "x"  # type: ignore[misc]
        assert set(get_columns()) == COLLECTIONS


async def test_what_is_got_is_a_copy() -> None:
    async with Engine():
        first = get_columns()
        first["heat_columns"].clear()
        del first["risk_columns"]
        assert len(get_columns()["heat_columns"]) == 12
        assert get_columns()["risk_columns"]


async def test_one_collection_is_replaced_and_the_others_stay() -> None:
    async with Engine():
        before = get_columns()
        after = set_columns(heat_columns=[mine()])
        assert [c.label for c in after["heat_columns"]] == ["A"]
        assert after == get_columns()
        assert {n: c for n, c in after.items() if n != "heat_columns"} == {
            n: c for n, c in before.items() if n != "heat_columns"
        }
        set_columns({"risk_columns": get_columns()["risk_columns"][:2]})
        assert [c.label for c in get_columns()["risk_columns"]] == ["Symbol", "Strategy"]
        assert [c.label for c in get_columns()["heat_columns"]] == ["A"]
        assert len(get_default_columns()["heat_columns"]) == 12


async def test_a_refused_change_changes_nothing_and_lists_every_fault() -> None:
    async with Engine():
        before = get_columns()
        faulty = {"key": "", "label": 5, "format": "x", "is_visible": None}
        with pytest.raises(ColumnsError) as caught:
            set_columns(heat_columns=[faulty], risk_columns=[mine(), mine()], other=[])
        assert len(caught.value.problems) >= 6
        assert "duplicate key 'a' at indexes 0, 1" in str(caught.value)
        assert "other is not a collection of columns" in str(caught.value)
        assert get_columns() == before
        set_columns(heat_columns=[mine(), mine()], unsafe=True)
        assert len(get_columns()["heat_columns"]) == 2


async def test_engines_have_columns_of_their_own() -> None:
    async with Engine():
        set_columns(heat_columns=[mine()])
        async with Engine():
            assert len(get_columns()["heat_columns"]) == 12
        assert len(get_columns()["heat_columns"]) == 1


names = st.sampled_from(sorted(COLLECTIONS))
columns = st.lists(
    st.tuples(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip)),
    max_size=5, unique_by=lambda pair: pair[0],
)  # fmt: skip


@given(st.dictionaries(names, columns, max_size=4), st.booleans())
def test_columns_round_trip(changes: dict[str, list[tuple[str, str]]], as_objects: bool) -> None:
    """What is set is got, and setting what was got changes nothing."""

    async def check() -> None:
        async with Engine():
            defaults = get_columns()
            made: dict[str, object] = {}
            for name, pairs in changes.items():
                fields = [mine(key, label) for key, label in pairs]
                made[name] = [Column[Any](**field) for field in fields] if as_objects else fields
            after = set_columns(made)
            for name in COLLECTIONS:
                if name in changes:
                    assert [(c.key, c.label) for c in after[name]] == changes[name]
                    assert [c.format(None, 3) for c in after[name]] == ["3"] * len(changes[name])
                elif name not in {"live_columns", "schedule_columns", "risk_columns"}:
                    assert after[name] == defaults[name]
            assert set_columns(after) == after == get_columns()
            assert set_columns() == after

    asyncio.run(check())


async def test_notes_are_hidden_until_they_are_asked_for() -> None:
    async with bed(frame=(0, 5), live=True, topics=()) as made:
        made.strategy(lambda s, w: long(3, entry=95))
        made.instance().start()
        await made.until(3)

        async def headings() -> list[bool]:
            live = await Live.get_report(SYMBOL, "asked")
            schedule = await Schedule.get_report(SYMBOL, "asked")
            return [" Note " in live, " Note " in schedule]

        assert await headings() == [False, False]
        set_config(report_show_signal_note=True, unsafe=True)
        assert await headings() == [True, True]
    hidden, noted = default_columns(lambda: False), default_columns(lambda: True)
    for name in COLLECTIONS:
        labels = [c.label for c in noted[name] if c.is_visible()]
        fewer = [c.label for c in hidden[name] if c.is_visible()]
        switched = name in ("live_columns", "schedule_columns", "risk_columns")
        assert fewer == [label for label in labels if label != "Note" or not switched]
        assert ("Note" in labels) == (switched or name == "backtest_columns")


async def test_columns_in_force_are_those_of_every_report() -> None:
    async with bed(frame=(0, 5), topics=()) as made:
        made.strategy(lambda s, w: long(3))
        await made.results()
        set_columns(backtest_columns=[mine(), mine("b", "B")])
        lines = (await Backtest.get_report(SYMBOL, "asked")).splitlines()
        assert lines[2:4] == ["| A | B |", "| --- | --- |"]
