"""Names of exchanges and symbols as names of folders, and back.

Symbols come with slashes, colons and letters of any alphabet (``BTC/USDT:USDT``); a folder's name
must not, and two symbols must never share a folder, not even on a file system that ignores case.
"""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final
from urllib.parse import unquote

from engine.domain.errors import SchemaError

EXCHANGE_LETTERS: Final = ascii_lowercase
"""Letters that exchange names keep; others are escaped, so that no two names differ by case."""

SYMBOL_LETTERS: Final = ascii_uppercase
"""Letters that symbols keep; others are escaped, so that no two names differ by case."""

_OTHERS: Final = digits + "-_."
_LONGEST: Final = 255


def folder_name(text: str, letters: str) -> str:
    """A file system's name for any text, each odd byte of it (UTF-8) as ``%2F``.

    Args:
        text: the name of an exchange or a symbol.
        letters: those that are kept: `EXCHANGE_LETTERS` or `SYMBOL_LETTERS`.

    Raises:
        SchemaError: the text is empty, too long, or no text at all.
    """
    kept = letters + _OTHERS
    try:
        octets = text.encode()
    except UnicodeEncodeError:
        raise SchemaError(f"{text!r} cannot name a folder of candles: it is no text") from None
    name = "".join(chr(octet) if chr(octet) in kept else f"%{octet:02X}" for octet in octets)
    if name.startswith("."):
        name = f"%{ord('.'):02X}{name[1:]}"
    if not name or len(name) > _LONGEST:
        raise SchemaError(
            f"{text[:80]!r} cannot name a folder of candles: use 1 to {_LONGEST} plain characters"
        )
    return name


def original_name(name: str, letters: str) -> str | None:
    """The text whose `folder_name` this is; None when it is the name of something else."""
    try:
        text = unquote(name, errors="strict")
        return text if folder_name(text, letters) == name else None
    except (UnicodeDecodeError, SchemaError):
        return None
