"""Fails unless every case and defect of the conformance page is shown by a test that ran.

Usage: conformance.py JUNIT_XML PAGE ALLOWED. A row of PAGE is ``| 7 | as it holds | tests |`` or
``| D7, D8 | ... |``, or ``| 9.2 | ... |`` of a section, which is not counted. Tests are named
``path::test`` or ``path::Class::test``, separated by commas, and ``::test`` is another one of the
same file. What a semantics paragraph removes has ``none`` for tests and says "removed: semantics
..." in its row. ALLOWED are the tests that may be skipped (see skips.py).
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

EXPECTED = {"case": 204, "defect": 52}
"""How many there are of each; numbered from 1."""
_NUMBERS = {"case": r"\d+(?:, \d+)*", "defect": r"D\d+(?:, D\d+)*"}
_TEST = re.compile(r"tests(?:/\w+)+\.py(?:::\w+){1,2}(?:\[.*\])?")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: what it is about, and the tests that show it."""

    kind: str
    name: str
    numbers: tuple[int, ...]
    text: str
    tests: tuple[str, ...]

    @property
    def removed(self) -> bool:
        """There is nothing to show: it says so, and which paragraph decided it."""
        return not self.tests and "removed: semantics" in self.text


def rows_of(page: str) -> tuple[list[Row], list[str]]:
    """The rows of both tables, and what is wrong with single ones."""
    rows: list[Row] = []
    problems: list[str] = []
    kind = ""
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            kind = "" if line.startswith("#") else kind
        elif cells[0] in (*EXPECTED, "section"):
            kind = cells[0]
        elif kind and set(cells[0]) - set("-:"):
            row, wrong = _row(kind, cells)
            rows.append(row)
            problems += [f"{kind} {cells[0]}: {problem}" for problem in wrong]
    return rows, problems


def _row(kind: str, cells: Sequence[str]) -> tuple[Row, list[str]]:
    """A row, and what is wrong with it; what cannot be read is left out of it."""
    wrong: list[str] = []
    numbers: tuple[int, ...] = ()
    if len(cells) != 3 or not cells[1]:
        wrong.append(f"has {len(cells)} cells, not name, text and tests")
    if kind not in EXPECTED:
        pass
    elif re.fullmatch(_NUMBERS[kind], cells[0]):
        numbers = tuple(int(number) for number in re.findall(r"\d+", cells[0]))
    else:
        wrong.append("is no number")
    tests, file = [], ""
    told = cells[-1] if len(cells) > 1 else ""
    for name in [] if told == "none" else re.split(r",\s*(?![^\[]*\])", told):
        full = file + name if name.startswith("::") else name
        file = full.partition("::")[0]
        if _TEST.fullmatch(full):
            tests.append(full)
        else:
            wrong.append(f"{name!r} names no test")
    row = Row(kind, cells[0], numbers, cells[1] if len(cells) > 1 else "", tuple(tests))
    if told == "none" and not row.removed:
        wrong.append('has no test and does not say "removed: semantics ..."')
    return row, wrong


def counted(rows: Iterable[Row]) -> list[str]:
    """What is missing, double, or beyond the last one."""
    problems: list[str] = []
    rows = list(rows)
    for kind, last in EXPECTED.items():
        found = Counter(n for row in rows if row.kind == kind for n in row.numbers)
        problems += [f"{kind} {n}: has no row" for n in range(1, last + 1) if not found[n]]
        problems += [f"{kind} {n}: has {count} rows" for n, count in found.items() if count > 1]
        problems += [f"{kind} {n}: there is none" for n in found if not 1 <= n <= last]
    return problems


def outcomes(report: str, allowed: str) -> dict[str, set[str]]:
    """By test, with and without its parameters: passed, failed, skipped, or skipped and allowed."""
    lines = Path(allowed).read_text(encoding="utf-8").splitlines()
    patterns = [pattern for line in lines if (pattern := line.split("#", 1)[0].strip())]
    found: dict[str, set[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        # Groups of tests that share a process are named after an @.
        name = re.sub(r"@[^@\[\]]*$", "", f"{case.get('classname')}::{case.get('name')}")
        outcome = "passed"
        if case.find("skipped") is not None:
            known = any(fnmatchcase(name, pattern) for pattern in patterns)
            outcome = "allowed skip" if known else "skipped"
        elif case.find("failure") is not None or case.find("error") is not None:
            outcome = "failed"
        for key in {name, name.partition("[")[0]}:
            found.setdefault(key, set()).add(outcome)
    return found


def _key(test: str) -> str:
    """The name of a test in a report: its module with dots, then its class."""
    path, _, name = test.partition(".py::")
    owner, _, method = name.partition("[")[0].rpartition("::")
    parameters = name[name.index("[") :] if "[" in name else ""
    module = path.replace("/", ".")
    return f"{module}{'.' * bool(owner)}{owner}::{method}{parameters}"


def ran(rows: Iterable[Row], found: dict[str, set[str]]) -> list[str]:
    """What is wrong with the tests that were named."""
    problems: list[str] = []
    for row in rows:
        for test in row.tests:
            outcome = found.get(_key(test), set())
            bad = sorted(outcome - {"passed", "allowed skip"})
            if not outcome or bad:
                problems.append(f"{row.kind} {row.name}: {test}: {', '.join(bad) or 'did not run'}")
    return problems


def summary(rows: Sequence[Row], found: dict[str, set[str]]) -> str:
    """How many are shown by how many tests, and which are not."""
    said: list[str] = []
    for kind, expected in EXPECTED.items():
        mine = [row for row in rows if row.kind == kind]
        shown = sum(len(row.numbers) for row in mine if row.tests)
        tests = {test for row in mine for test in row.tests}
        removed = [n for row in mine if row.removed for n in row.numbers]
        which = f" (semantics.md removes them: {', '.join(map(str, removed))})" if removed else ""
        said.append(
            f"{expected} {kind}s: {shown} shown by {len(tests)} tests, "
            f"{len(removed)} without a test{which}"
        )
    unseen = [
        row.name
        for row in rows
        if row.tests and not any("passed" in found.get(_key(test), ()) for test in row.tests)
    ]
    if unseen:
        said.append(f"not shown in this run: {', '.join(unseen)}")
    return "; ".join(said)


def main(report: str, page: str, allowed: str) -> int:
    """Print the summary and every problem; 1 when there is one."""
    rows, problems = rows_of(Path(page).read_text(encoding="utf-8"))
    found = outcomes(report, allowed)
    problems += counted(rows) + ran(rows, found)
    print(summary(rows, found))
    for problem in problems:
        print(f"CONFORMANCE: {problem}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
