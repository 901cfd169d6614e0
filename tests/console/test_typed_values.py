"""Grids and settings as an operator types them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.typed_values import parse_grid, parse_settings
from engine.domain.errors import SchemaError


def test_values_are_numbers_truths_or_texts() -> None:
    assert parse_grid("minutes=60, 240 side=long,short; x = 1e3") == {
        "minutes": (60, 240), "side": ("long", "short"), "x": (1000.0,),
    }  # fmt: skip
    assert parse_settings("percent_fee=0.05 report_show_signal_note=True exit_trigger=touch") == {
        "percent_fee": 0.05, "report_show_signal_note": True, "exit_trigger": "touch",
    }  # fmt: skip
    assert parse_grid("") == parse_settings(" ; ") == {}


@pytest.mark.parametrize("text", ["x", "a=", "=1", "a=1 b", "a=1,", "a=1 2", "a=1 a=2", "a==1"])
def test_what_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(SchemaError, match=r"cannot be read: write|given twice"):
        parse_grid(text)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.lists(st.integers(-999, 999), min_size=1, max_size=4),
        max_size=4,
    ),
    st.sampled_from([" ", "; ", ";"]),
)
def test_what_is_written_is_read_back(grid: dict[str, list[int]], between: str) -> None:
    text = between.join(f"{name}={','.join(map(str, values))}" for name, values in grid.items())
    assert parse_grid(text) == {name: tuple(values) for name, values in grid.items()}
