"""Values as an operator types them: a walker's grid, and settings of one run.

Both are one line of ``name=value`` parts, so they fit an input and a stored request. They are read
in one place: the form's check, the start and a later start all mean the same by them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from engine.domain.errors import SchemaError

_PART: Final = re.compile(r"\s*([^\s=;]+)\s*=\s*([^=;]*?)\s*(?:;|(?=\s[^\s=;]+\s*=)|$)")


def parse_grid(text: str) -> dict[str, tuple[Any, ...]]:
    """Parameters and the values to try, from ``minutes=60,240 side=long,short``.

    Raises:
        SchemaError: a part that is no ``name=value,value``, or a name twice.
    """
    return {
        name: tuple(_value(part) for part in value.split(","))
        for name, value in _parts(text, "grid", "minutes=60,240").items()
    }


def parse_settings(text: str) -> dict[str, Any]:
    """Settings by name, from ``percent_fee=0.05 exit_trigger=touch``.

    Raises:
        SchemaError: a part that is no ``name=value``, or a name twice.
    """
    parts = _parts(text, "settings", "percent_fee=0.05")
    return {name: _value(value) for name, value in parts.items()}


def _parts(text: str, what: str, example: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    at = 0
    while text[at:].strip(" ;"):
        match = _PART.match(text, at)
        # A blank inside of a value is a forgotten comma, or a name without its value.
        if match is None or not match[2] or any(len(v.split()) != 1 for v in match[2].split(",")):
            raise SchemaError(f"{what} {text[at:].strip()!r} cannot be read: write {example}")
        if match[1] in found:
            raise SchemaError(f"{what}: {match[1]} is given twice: give it once")
        found[match[1]] = match[2]
        at = match.end()
    return found


def _value(text: str) -> Any:
    """A number, true or false where the text is one, else the text itself."""
    text = text.strip()
    try:
        value = json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float | str) else text
