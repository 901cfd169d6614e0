"""The keys that README.md names are those of `console.keymap`."""

from __future__ import annotations

import re
from pathlib import Path

from console.keymap import KEYS

README = Path(__file__).parents[2] / "README.md"
NAMES = {"esc": "escape", "?": "question_mark", "/": "slash", "!": "exclamation_mark"}
GROUPS = ("table.", "form.next", "form.previous", "form.start", "choice.", "dialog.")
"""Beginnings of ids that need no line in README: arrows, enter and what a dialog writes on it."""


def listed() -> list[list[str]]:
    """The keys of every line of the table, in Textual's names."""
    section = README.read_text(encoding="utf-8").split("\n## Keys\n")[1].split("\n## ")[0]
    lines = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert lines[0].strip() == "`1` to `8`"
    lines[0] = " ".join(f"`{number}`" for number in range(1, 9))
    found = [[str(key) for key in re.findall(r"`([^`]+)`", line)] for line in lines]
    return [[NAMES.get(key, key) for key in line] for line in found]


def test_every_key_of_the_readme_exists_and_every_key_that_acts_is_in_it() -> None:
    written = [key for line in listed() for key in line]
    assert len(written) == len(set(written)), "each is told once"
    defaults = {key: spec.id for spec in KEYS.values() for key in spec.keys.split(",")}
    assert {key for key in written if key not in defaults} == set()
    acting = {spec.keys.split(",")[0] for spec in KEYS.values() if not spec.id.startswith(GROUPS)}
    assert acting - {*written} == set()


def test_the_modes_have_the_numbers_that_the_readme_gives_them() -> None:
    modes = [spec for spec in KEYS.values() if spec.id.startswith("mode.")]
    assert [spec.keys for spec in modes] == listed()[0]
    said = README.read_text(encoding="utf-8").split("| `1` to `8` |")[1].split("\n")[0]
    told = [name.split(" and ")[0] for name in said.strip(" |").split(", ")]
    assert told == [spec.description for spec in modes]
