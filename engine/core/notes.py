"""Flattens a note written in Markdown to the one plain line that tables and logs can show."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"(?:[A-Za-z(][A-Za-z0-9.,;:%()/=]*(?: [A-Za-z0-9.,;:%()/=]+)*)?")
"""Text in which no pattern below finds anything to change."""

_LONGEST = 4_000
"""Characters of a note that are looked at; some patterns take time quadratic in its length."""

_STEPS = (
    (re.compile(r"```.*?```", re.S), ""),
    (re.compile(r"`([^`]*)`"), r"\1"),
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"^\s{0,3}#{1,6}\s+", re.M), ""),
    (re.compile(r"^[ \t]*(?:-{3,}|\*{3,}|_{3,})[ \t]*$", re.M), ""),
    (re.compile(r"(\*\*\*|___)(?=\S)(.+?)(?<=\S)\1", re.S), r"\2"),
    (re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", re.S), r"\2"),
    (re.compile(r"(?<![\w*])([*_])(?=\S)([^*_]+?)(?<=\S)\1(?![\w*])"), r"\2"),
    (re.compile(r"~~(.+?)~~", re.S), r"\1"),
    (re.compile(r"^[ \t]*(?:[-*+]|\d+\.)\s+", re.M), "• "),
    (re.compile(r"^[ \t]*>+[ \t]?", re.M), ""),
    (re.compile(r"<[^>\n]{0,200}>"), ""),
    (re.compile(r"[\x00-\x1f\x7f-\x9f]+"), " "),
    (re.compile(r"\s+"), " "),
)


def plain_text(note: object) -> str:
    """One plain line of a note: Markdown, tags and control characters gone; None gives ""."""
    text = "" if note is None else str(note)[:_LONGEST]
    if _PLAIN.fullmatch(text):
        return text
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    return text.strip()
