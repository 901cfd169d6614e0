from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.adapters.cache.names import (
    EXCHANGE_LETTERS,
    SYMBOL_LETTERS,
    folder_name,
    original_name,
)
from engine.domain.errors import SchemaError


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("BTCUSDT", "BTCUSDT"),
        ("BTC/USDT:USDT-240329", "BTC%2FUSDT%3AUSDT-240329"),
        ("kPEPE", "%6BPEPE"),
        ("..", "%2E."),
        ("A%2FB", "A%252FB"),
        ("ЖЩ", "%D0%96%D0%A9"),
        ("NUL\0", "NUL%00"),
    ],
)
def test_symbols_become_plain_names_and_come_back(symbol: str, name: str) -> None:
    assert folder_name(symbol, SYMBOL_LETTERS) == name
    assert original_name(name, SYMBOL_LETTERS) == symbol


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_no_two_names_share_a_folder_even_where_case_is_ignored(one: str, other: str) -> None:
    for letters in (SYMBOL_LETTERS, EXCHANGE_LETTERS):
        names = [folder_name(text, letters) for text in (one, other)]
        assert (one == other) == (names[0].casefold() == names[1].casefold())
        assert [original_name(name, letters) for name in names] == [one, other]
        for name in names:
            assert name.isascii() and name.isprintable()
            assert "/" not in name and ":" not in name and not name.startswith(".")


def test_case_alone_tells_symbols_apart() -> None:
    names = {folder_name(text, SYMBOL_LETTERS).casefold() for text in ("BTC", "btc", "Btc")}
    assert len(names) == 3


@pytest.mark.parametrize("text", ["", "X" * 256, "é" * 50, "\ud800"])
def test_what_cannot_name_a_folder_is_refused(text: str) -> None:
    with pytest.raises(SchemaError, match="cannot name a folder of candles"):
        folder_name(text, SYMBOL_LETTERS)


@pytest.mark.parametrize("name", ["btc", "%2f", "%ZZ", "%C3", ".git", "%41", "lost+found"])
def test_folders_of_somebody_else_are_nobodys(name: str) -> None:
    assert original_name(name, SYMBOL_LETTERS) is None
