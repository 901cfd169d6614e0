"""Foreign text as Python literals, laid out as a formatter would lay them out.

Names, notes and prompts come from users and from models. They enter generated code through this
module alone, so whatever they hold, they stay strings. Characters that are invisible or change the
direction of text are written as escapes: what an operator reviews is what Python reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from unicodedata import combining, east_asian_width

LINE: Final = 100
"""Columns of a line of generated code."""

_INDENT: Final = 4
_ESCAPES: Final = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def literal(text: str) -> str:
    """A string literal on one line whose value is ``text``."""
    return _quoted([_escaped(character) for character in text])


def assignment(name: str, text: str) -> str:
    """``name = literal``, over several lines where one is too short."""
    whole = literal(text)
    if len(name) + 3 + _width(whole) <= LINE:
        return f"{name} = {whole}"
    if _width(whole) <= LINE - _INDENT:
        return f"{name} = (\n    {whole}\n)"
    lines = "\n".join(f"    {piece}" for piece in _pieces(text))
    return f"{name} = (\n{lines}\n)"


def keyword(name: str, text: str, indent: int = _INDENT) -> str:
    """``name=literal,`` as one indented line of a call, over several where one is too short."""
    blank, whole = " " * indent, literal(text)
    if indent + len(name) + 2 + _width(whole) <= LINE:
        return f"{blank}{name}={whole},"
    inner = indent + _INDENT
    pieces = [whole] if _width(whole) <= LINE - inner else _pieces(text, inner)
    lines = "\n".join(" " * inner + piece for piece in pieces)
    return f"{blank}{name}=(\n{lines}\n{blank}),"


def listing(name: str, texts: Sequence[str], indent: int = _INDENT) -> str:
    """``name=[...],`` as an indented argument of a call."""
    blank, items = " " * indent, [literal(text) for text in texts]
    line = f"{blank}{name}=[{', '.join(items)}],"
    if _width(line) <= LINE:
        return line
    lines = "\n".join(f"{blank}    {item}," for item in items)
    return f"{blank}{name}=[\n{lines}\n{blank}],"


def _pieces(text: str, indent: int = _INDENT) -> list[str]:
    """Literals that make ``text`` when written one after the other: one per line, or shorter."""
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        found.extend(_chunks([_escaped(character) for character in line], LINE - indent))
    return found


def _chunks(characters: Sequence[str], most: int) -> Iterable[str]:
    start, size = 0, 2
    for at, character in enumerate(characters):
        # A quote may have to be escaped: it counts as two.
        width = 2 if character in "\"'" else _width(character)
        if size + width > most:
            yield _quoted(characters[start:at])
            start, size = at, 2
        size += width
    yield _quoted(characters[start:])


def _quoted(characters: Sequence[str]) -> str:
    """The quote that needs fewer escapes, double ones when equal: what formatters choose."""
    quote = "'" if characters.count('"') > characters.count("'") else '"'
    body = "".join(f"\\{quote}" if item == quote else item for item in characters)
    return f"{quote}{body}{quote}"


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable() and not combining(character):
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
