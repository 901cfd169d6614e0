"""Notes become one plain line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.notes import plain_text


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (None, ""),
        ("", ""),
        ("plain words", "plain words"),
        ("**bold** x\n- y", "bold x • y"),
        ("# Head\ntext", "Head text"),
        ("a `code` b", "a code b"),
        ("before\n```py\nx = 1\n```\nafter", "before after"),
        ("![alt](http://x/y.png) and [link](http://x)", "alt and link"),
        ("***both*** __under__ _one_ *two*", "both under one two"),
        ("~~gone~~", "gone"),
        ("1. first\n2. second\n+ third", "• first • second • third"),
        ("> quoted\n>> deeper", "quoted deeper"),
        ("above\n\n---\n\nbelow", "above below"),
        ("<b>x</b> <br/>y", "x y"),
        ("a\t\tb \r\n\n  c", "a b c"),
        ("snake_case_name stays, 2 * 3 * 4 too", "snake_case_name stays, 2 * 3 * 4 too"),
        ("\x1b[31mred\x07", "[31mred"),
        (42, "42"),
    ],
)
def test_flattening(note: object, expected: str) -> None:
    assert plain_text(note) == expected


@given(st.text())
def test_whatever_comes_it_is_one_trimmed_line_without_control_characters(note: str) -> None:
    text = plain_text(note)
    assert text == text.strip()
    assert len(text.splitlines()) <= 1
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)


@given(st.text(alphabet="ab 1.,", max_size=40))
def test_words_without_markup_keep_every_character_but_spacing(note: str) -> None:
    if note.lstrip()[:1].isdigit():
        return  # may be a numbered list
    assert plain_text(note).split() == note.split()
