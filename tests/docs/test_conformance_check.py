"""What keeps the conformance page honest: every row counted, every named test seen to have run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def check_script() -> ModuleType:
    """`.ci/conformance.py`, which is in no package."""
    name = "conformance_script"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / "conformance.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


FILE = "tests/a/test_a.py"
HEAD = "| {} | as it holds here | test |\n|-|-|-|\n"


def page(**changed: str | None) -> str:
    """A page with everything in it, but for some rows: c7 and d7 are changed, left out if None."""
    cases = {f"c{n}": f"| {n} | holds | {FILE}::test_one |" for n in range(1, 205)}
    defects = {f"d{n}": f"| D{n} | holds | {FILE}::test_one |" for n in range(1, 53)}
    tables = []
    for kind, rows in (("case", cases), ("defect", defects)):
        told = {**rows, **{name: row for name, row in changed.items() if name in rows}}
        tables.append(HEAD.format(kind) + "\n".join(row for row in told.values() if row))
    tables.append(HEAD.format("section") + (changed.get("s9") or f"| 9.2 | h | {FILE}::test_one |"))
    return "# Page\n\n## Some\n\n" + "\n\n## More\n\n".join(tables) + "\n\n## Else\n\n| x |\n"


REPORT = """<testsuites><testsuite>
<testcase classname="tests.a.test_a" name="test_one"/>
<testcase classname="tests.a.test_a" name="test_many[1-a]@alone"/>
<testcase classname="tests.a.test_a" name="test_many[x::y, z@b]"/>
<testcase classname="tests.a.test_a.TestClass" name="test_of_a_class"/>
<testcase classname="tests.a.test_a" name="test_with_data"><skipped message="no data"/></testcase>
<testcase classname="tests.a.test_a" name="test_skipped"><skipped message="why"/></testcase>
<testcase classname="tests.a.test_a" name="test_half[a]"/>
<testcase classname="tests.a.test_a" name="test_half[b]"><skipped message="why"/></testcase>
<testcase classname="tests.a.test_a" name="test_broken"><failure message="so"/></testcase>
<testcase classname="tests.a.test_a" name="test_unset"><error message="so"/></testcase>
</testsuite></testsuites>"""


def checked(tmp_path: Path, capsys: Any, text: str) -> tuple[int, list[str]]:
    """The script's exit status and the lines it printed."""
    files = {"report.xml": REPORT, "page.md": text, "allowed": "tests.*::test_with_* # no data\n"}
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    status = check_script().main(*(str(tmp_path / name) for name in files))
    return status, capsys.readouterr().out.splitlines()


def test_a_page_of_which_everything_ran(tmp_path: Path, capsys: Any) -> None:
    status, lines = checked(
        tmp_path,
        capsys,
        page(
            c2=f"| 2 | holds | {FILE}::test_many, {FILE}::TestClass::test_of_a_class |",
            c3=f"| 3 | one of several | {FILE}::test_many[x::y, z@b], ::test_one |",
            c4="| 4 | removed: semantics 1.2: nobody sees it | none |",
            c12=None,
            c11=r"| 11, 12 | a \| b; removed: semantics 6: the other form; removed | none |",
            c13=f"| 13 | holds | {FILE}::test_with_data |",
        ),
    )
    assert status == 0
    assert lines == [
        "204 cases: 201 shown by 5 tests, 3 without a test (semantics.md removes them: 4, 11, 12); "
        "52 defects: 52 shown by 1 tests, 0 without a test; not shown in this run: 13"
    ]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"c7": None}, "case 7: has no row"),
        ({"d52": None}, "defect 52: has no row"),
        ({"c7": f"| 7, 8 | holds | {FILE}::test_one |"}, "case 8: has 2 rows"),
        ({"d7": f"| D8 | holds | {FILE}::test_one |"}, "defect 8: has 2 rows"),
        ({"c7": f"| 205, 7 | holds | {FILE}::test_one |"}, "case 205: there is none"),
        ({"c7": f"| 7 (b) | holds | {FILE}::test_one |"}, "case 7 (b): is no number"),
        ({"c7": f"| D7 | holds | {FILE}::test_one |"}, "case D7: is no number"),
        ({"c7": f"| 7 | {FILE}::test_one |"}, "case 7: has 2 cells, not name, text and tests"),
        ({"c7": f"| 7 | | {FILE}::test_one |"}, "case 7: has 3 cells, not name, text and tests"),
        ({"c7": "| 7 | holds | none |"},
         'case 7: has no test and does not say "removed: semantics ..."'),
        ({"c7": "| 7 | holds | |"}, "case 7: '' names no test"),
        ({"c7": "| 7 | removed: semantics 1 | |"}, "case 7: '' names no test"),
        ({"c7": f"| 7 | holds | {FILE} |"}, f"case 7: '{FILE}' names no test"),
        ({"c7": f"| 7 | holds | {FILE}::test_other |"}, f"{FILE}::test_other: did not run"),
        ({"c7": f"| 7 | holds | {FILE}::test_one, ::test_other |"},
         f"case 7: {FILE}::test_other: did not run"),
        ({"c7": f"| 7 | holds | {FILE}::Other::test_of_a_class |"}, "did not run"),
        ({"c7": f"| 7 | holds | {FILE}::test_many[2] |"}, "test_many[2]: did not run"),
        ({"d7": f"| D7 | holds | {FILE}::test_skipped |"},
         f"defect D7: {FILE}::test_skipped: skipped"),
        ({"c7": f"| 7 | holds | {FILE}::test_half |"}, f"case 7: {FILE}::test_half: skipped"),
        ({"c7": f"| 7 | holds | {FILE}::test_broken |"}, f"{FILE}::test_broken: failed"),
        ({"c7": f"| 7 | holds | {FILE}::test_unset |"}, f"{FILE}::test_unset: failed"),
        ({"s9": f"| 9.2 | h | {FILE}::test_other |"}, f"section 9.2: {FILE}::test_other: did not"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    changed: dict[str, str | None], problem: str, tmp_path: Path, capsys: Any
) -> None:
    status, lines = checked(tmp_path, capsys, page(**changed))
    assert status == 1
    assert any(line.startswith("CONFORMANCE: ") and problem in line for line in lines[1:]), lines


def test_a_page_without_tables_shows_nothing(tmp_path: Path, capsys: Any) -> None:
    status, lines = checked(tmp_path, capsys, "# Nothing\n")
    assert status == 1
    assert len(lines) == 1 + 204 + 52
