from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens.filters import Fields, parse, quoted, turned_round


@dataclass(frozen=True)
class Entry:
    action: str
    symbol: str
    why: str = ""
    pnl: float | None = None


FIELDS: Fields[Entry] = {
    "action": lambda e: e.action,
    "symbol": lambda e: e.symbol,
    "why": lambda e: e.why,
    "pnl": lambda e: e.pnl,
}
ROWS = (
    Entry("opened", "BTCUSDT", "fast over slow"),
    Entry("closed", "BTCUSDT", "take profit", 0.6),
    Entry("closed", "ETHUSDT", "stop loss", -0.75),
    Entry("error", "SOLUSDT", "get_signal: KeyError: 'rsi'"),
)
ENTRIES = st.builds(
    Entry,
    st.sampled_from(["opened", "closed", "error"]),
    st.text(max_size=8),
    st.text(max_size=12),
    st.none() | st.floats(-5, 5),
)
WORDS = st.text(st.characters(exclude_categories=("Z", "C"), exclude_characters='"!'), min_size=1)


def shown(text: str) -> list[int]:
    accepts = parse(text, FIELDS).accepts
    return [at for at, row in enumerate(ROWS) if accepts(row)]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [0, 1, 2, 3]),
        ("btc", [0, 1]),
        ("!btc", [2, 3]),
        ("btc closed", [1]),
        ("symbol:eth", [2]),
        ("action:closed,error", [1, 2, 3]),
        ("!action:closed,error", [0]),
        ("action:closed !symbol:btc", [2]),
        ("! action:closed symbol:btc", [0, 2, 3]),
        ("pnl>0", [1]),
        ("pnl<=-0.75", [2]),
        ("!pnl>0", [0, 2, 3]),
        ('"take profit"', [1]),
        ('why:"take profit","stop loss"', [1, 2]),
        ("get_signal: keyerror", [3]),
        ("symbol:", [0, 1, 2, 3]),
        ("pnl>", [0, 1, 2, 3]),
        ("!", [0, 1, 2, 3]),
        ('"take pro', [1]),
        ("'rsi'", [3]),
        ("0.6", [1]),
    ],
)
def test_what_an_expression_shows(text: str, rows: list[int]) -> None:
    assert shown(text) == rows


def test_a_figure_that_is_none_is_told() -> None:
    found = parse("pnl>high", FIELDS)
    assert "pnl> needs a figure" in found.problem and "'high'" in found.problem
    assert not parse("colon: in text > more", FIELDS).problem


@given(st.text(max_size=40), ENTRIES)
def test_any_text_is_an_expression(text: str, entry: Entry) -> None:
    assert parse(text, FIELDS).accepts(entry) in (True, False)


@given(WORDS, ENTRIES)
def test_a_mark_in_front_inverts_a_word(word: str, entry: Entry) -> None:
    found = parse(word, FIELDS)
    if found.terms:
        assert parse(f"!{word}", FIELDS).accepts(entry) is not found.accepts(entry)


@given(st.text(max_size=20), st.text(max_size=20), ENTRIES)
def test_words_must_all_match(left: str, right: str, entry: Entry) -> None:
    if '"' in left or left.lstrip().startswith("!") or right.lstrip().startswith("!"):
        return
    both = parse(f"{left} {right}", FIELDS).accepts(entry)
    assert both is (parse(left, FIELDS).accepts(entry) and parse(right, FIELDS).accepts(entry))


@given(st.text(max_size=20), ENTRIES)
def test_turning_an_expression_round_inverts_the_whole_and_back(text: str, entry: Entry) -> None:
    once, twice = turned_round(text), turned_round(turned_round(text))
    before = parse(text, FIELDS)
    if before.terms:
        assert parse(once, FIELDS).accepts(entry) is not before.accepts(entry)
    assert parse(twice, FIELDS).accepts(entry) is before.accepts(entry)


@given(st.text(st.characters(exclude_categories=("C",), exclude_characters='"'), min_size=1))
def test_a_quoted_word_is_taken_literally(word: str) -> None:
    found = parse(f"symbol:{quoted(word)}", FIELDS)
    assert found.accepts(Entry("opened", f"x{word}y")) or not word.strip()
    assert found.accepts(Entry("opened", "")) is not bool(found.terms)
