from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from screens import text

MINUTE = 60_000
TUESDAY = 1_709_634_245_000  # 2024-03-05 10:24:05 UTC


@given(st.text(), st.integers(0, 40), st.booleans())
def test_fitted_text_has_exactly_the_width(foreign: str, width: int, right: bool) -> None:
    assert cell_len(text.fit(text.clean(foreign), width, right=right)) == width


@given(st.text())
def test_clean_text_cannot_move_the_cursor_or_start_a_sequence(foreign: str) -> None:
    cleaned = text.clean(foreign)
    assert cleaned.isprintable()
    assert "\x1b" not in cleaned and "\n" not in cleaned and "\u202e" not in cleaned


def test_markup_and_wide_characters_survive_cleaning() -> None:
    assert text.clean("[red]均线[/]") == "[red]均线[/]"
    assert text.clean("a\x1b[31mb\tc\u202ed\r\n") == "a [31mb c d  "
    assert text.clean_lines("one\ntwo\x07\n\n") == ("one", "two ")


def test_of_a_huge_text_the_beginning_is_drawn_and_all_of_it_is_told() -> None:
    huge = "x" * 10_000
    assert text.clean(huge) == "x" * text.LONGEST + "…"
    assert text.clean_lines(huge) == (huge,)
    assert text.fit(huge, 5) == "xxxx…"


def test_wide_characters_are_cut_by_cells() -> None:
    assert text.fit("均线策略", 5) == "均线…"
    assert text.fit("均线策略", 6) == "均线 …"
    assert text.fit("ab", 4, right=True) == "  ab"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(43_210.5, "43,210.50"), (98.4, "98.4000"), (0.5913, "0.59130"), (0.08231, "0.082310"),
     (0.0000123, "0.000012300"), (0.0, "0"), (None, "-")],
)  # fmt: skip
def test_prices_have_the_decimals_they_deserve(value: float | None, shown: str) -> None:
    assert text.price(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.214, "+0.21"), (-0.99, "-0.99"), (0.0, "0.00"), (-0.001, "0.00"), (0.004, "0.00"),
     (None, "-")],
)  # fmt: skip
def test_percentages_carry_their_sign(value: float | None, shown: str) -> None:
    assert text.percent(value) == shown


@pytest.mark.parametrize(
    ("seconds", "long", "short", "left"),
    [(0, "0s", "0s", "0s"), (59.9, "59s", "59s", "59s"), (185, "3m 05s", "3m", "3m"),
     (7_800, "2h 10m", "2h", "2h 10m"), (357_000, "4d 03h", "4d", "4d 03h"), (-5, "0s", "0s", "0s"),
     (None, "-", "-", "-")],
)  # fmt: skip
def test_spans(seconds: float | None, long: str, short: str, left: str) -> None:
    assert text.span(seconds) == long
    assert text.short_span(seconds) == short
    assert text.rest(seconds) == left


def test_instants_are_utc_and_say_so_where_the_zone_is_not_given() -> None:
    assert text.clock(TUESDAY) == "2024-03-05 10:24:05 UTC"
    assert text.minute(TUESDAY) == "2024-03-05 10:24"
    assert text.instant_input(TUESDAY - 5_000) == "2024-03-05T10:24"
    assert text.instant_input(TUESDAY - TUESDAY % 86_400_000) == "2024-03-05"


def test_an_entry_of_an_earlier_day_carries_its_weekday() -> None:
    assert text.recent(TUESDAY, TUESDAY + MINUTE) == "10:24:05"
    assert text.recent(TUESDAY, TUESDAY + 1440 * MINUTE) == "Tue 10:24"


def test_counts() -> None:
    assert (text.many(1, "run"), text.many(1_200, "run")) == ("1 run", "1,200 runs")
    assert text.count(None) == "-" and text.count(1_234) == "1,234"
