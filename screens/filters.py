"""Filter expressions as one types them after ``/``, parsed and applied without any widget.

Words that are separated by blanks must all match. A word matches where it occurs in any text of
the row; ``field:word`` looks in one field only, and ``field:a,b`` takes either. ``field>1``,
``field>=1``, ``field<1`` and ``field<=1`` compare figures. ``!`` in front of a word inverts it, and
standing alone in front of everything it inverts the whole. Quotes keep blanks and signs together:
``"take profit"``. Case does not matter. Whatever is typed means something: parsing never fails.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Generic, TypeAlias, TypeVar

Row = TypeVar("Row")
Value: TypeAlias = "str | float | None"
Fields: TypeAlias = "Mapping[str, Callable[[Row], Value]]"
"""What can be asked for by name: each gives a row's text or figure."""

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = MappingProxyType(
    {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
)
_TOKEN: Final = re.compile(r'(?:"[^"]*"?|[^\s"])+')
_FIELD: Final = re.compile(r"([a-z_]+)(:|>=|<=|>|<)(.*)", re.DOTALL)
_PIECE: Final = re.compile(r'"([^"]*)"?|([^",]+)|(,)')


@dataclass(frozen=True, slots=True)
class Term(Generic[Row]):
    """One word of an expression.

    Attributes:
        fields: where to look; every field for a bare word.
        words: any of them makes a match; lower case.
        compare: compares the field's figure with ``bound`` instead, where there is one.
        inverted: matches where the rest does not.
    """

    fields: tuple[Callable[[Row], Value], ...]
    words: tuple[str, ...]
    compare: Callable[[float, float], bool] | None = None
    bound: float = 0.0
    inverted: bool = False

    def accepts(self, row: Row) -> bool:
        """Whether a row matches."""
        return self._matches(row) is not self.inverted

    def _matches(self, row: Row) -> bool:
        if self.compare is not None:
            value = self.fields[0](row)
            return isinstance(value, int | float) and self.compare(value, self.bound)
        for field in self.fields:
            text = _text(field(row))
            if any(word in text for word in self.words):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Filter(Generic[Row]):
    """A parsed expression.

    Attributes:
        text: as typed.
        terms: all must match; none matches everything.
        inverted: the whole is turned round.
        problem: what in the text probably does not mean what was meant; "" when nothing.
    """

    text: str = ""
    terms: tuple[Term[Row], ...] = ()
    inverted: bool = False
    problem: str = ""

    def __bool__(self) -> bool:
        return bool(self.terms)

    def accepts(self, row: Row) -> bool:
        """Whether a row is to be shown."""
        if not self.terms:
            return True
        return all(term.accepts(row) for term in self.terms) is not self.inverted


def parse(text: str, fields: Fields[Row]) -> Filter[Row]:
    """The filter an expression stands for; any text gives one.

    Args:
        text: as typed.
        fields: what can be named in it; a word with an unknown name is a bare word.
    """
    tokens = _TOKEN.findall(text)
    inverted = bool(tokens) and tokens[0] == "!"
    problems: list[str] = []
    terms: list[Term[Row]] = []
    for token in tokens[1:] if inverted else tokens:
        term = _term(token, fields, problems)
        if term is not None:
            terms.append(term)
    return Filter(text, tuple(terms), inverted, problems[0] if problems else "")


def turned_round(text: str) -> str:
    """The same expression with its whole inverted, or not any more."""
    stripped = text.lstrip()
    if stripped == "!" or stripped.startswith("! "):
        return stripped[1:].lstrip()
    return f"! {stripped}"


def quoted(word: str) -> str:
    """A word as it has to be typed to be taken literally."""
    plain = word.replace('"', " ")
    return plain if re.fullmatch(r"[\w.+/-]+", plain) else f'"{plain}"'


def _term(token: str, fields: Fields[Row], problems: list[str]) -> Term[Row] | None:
    inverted = token.startswith("!")
    body = token[1:] if inverted else token
    everywhere = tuple(fields.values())
    found = _FIELD.fullmatch(body.lower())
    if found is None or found[1] not in fields:
        words = _words(body, split=False)
        return Term(everywhere, words, inverted=inverted) if words else None
    name, sign, rest = found.groups()
    if sign == ":":
        words = _words(rest, split=True)
        # ``symbol:`` alone, still being typed, leaves everything in sight.
        return Term((fields[name],), words, inverted=inverted) if words else None
    try:
        bound = float(rest)
    except ValueError:
        if rest:
            problems.append(f"{name}{sign} needs a figure, not {rest!r}")
        return None
    return Term((fields[name],), (), _COMPARE[sign], bound, inverted)


def _words(text: str, *, split: bool) -> tuple[str, ...]:
    """The words of a term, lower case; commas outside of quotes part them if ``split``."""
    words = [""]
    for literal, plain, comma in _PIECE.findall(text):
        if comma and split:
            words.append("")
        else:
            words[-1] += literal or plain or comma
    return tuple(word.lower() for word in words if word)


def _text(value: Value) -> str:
    if value is None:
        return ""
    return value.lower() if isinstance(value, str) else f"{value:g}"
