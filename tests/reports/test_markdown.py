"""Markdown that shows foreign text literally, judged by a real Markdown parser."""

from __future__ import annotations

import re
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from engine.domain.errors import EngineError
from engine.reports.columns import Column
from engine.reports.markdown import bold_line, bullet, column_table, escape, table

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])

nasty = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="|\\`*_<>[]()!#~&;-+=1.) \n\tab\r\x1b\ud800", max_size=40),
    st.sampled_from(
        [
            "a|b", "\\|", "\\", "a\\", "`a|b`", "``", "**x**", "_x_", "__x__", "a_b_c", "_", "___",
            "<b>x</b>", "<!-- x", "<http://x.y>", "[a](b)", "![a](b)", "[a]: b", "~~x~~", "&amp;",
            "&#124;", "---", "|---|", "1. x", "1) x", "# x", "> x", "- x", "+ x", "=", "===",
            "\r\n", "\u2028", "\x85", "\x00", "\x1b[31m", "\ud800", " x ", "",
        ]
    ),
)  # fmt: skip


def literal(text: str) -> str:
    """What a reader should see of ``text``."""
    line = " ".join(text.split())
    return "".join("\ufffd" if category(c) in ("Cc", "Cs") else c for c in line)


def plain(inline) -> str:
    kinds = {child.type for child in inline.children}
    assert kinds <= {"text", "text_special"}, kinds
    return "".join(child.content for child in inline.children)


def cells(markdown: str) -> list[list[str]]:
    tokens = PARSER.parse(markdown)
    assert tokens[0].type == "table_open" and tokens[-1].type == "table_close"
    assert sum(token.type == "table_open" for token in tokens) == 1
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(plain(token))
    return rows


@given(
    headings=st.lists(nasty, min_size=1, max_size=4),
    data=st.data(),
)
def test_a_table_keeps_its_shape_and_its_words(headings, data):
    width = len(headings)
    rows = data.draw(st.lists(st.lists(nasty, min_size=width, max_size=width), max_size=4))
    text = table(headings, rows)
    lines = text.split("\n")
    assert len(lines) == 2 + len(rows)
    # Also for readers that know no more than "a bar without a backslash parts two cells".
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {width + 1}
    assert cells(text) == [[literal(cell) for cell in row] for row in [headings, *rows]]


@given(text=nasty)
def test_a_bullet_is_one_literal_item(text):
    tokens = PARSER.parse(f"before\n\n{bullet(text)}\n{bullet('end')}")
    assert sum(t.type == "list_item_open" for t in tokens) == 2
    assert {t.type for t in tokens if t.nesting == 1} == {
        "paragraph_open", "bullet_list_open", "list_item_open",
    }  # fmt: skip
    found = [plain(t) for t in tokens if t.type == "inline"]
    wanted = ["before", literal(text), "end"]
    assert found == [line for line in wanted if line]


@given(text=nasty)
def test_escaped_text_is_one_line_that_files_accept(text):
    found = escape(text)
    assert len(found.splitlines()) <= 1
    assert found == found.strip()
    found.encode("utf-8")
    assert not any(category(c) == "Cc" for c in found)


@pytest.mark.parametrize(
    "name", ["take_profit", "sma_cross", "BTC/USDT:USDT", "2024-01-01T00:00:00.000Z", "+1.98%"]
)
def test_names_stay_readable(name):
    assert escape(name) == name


def test_examples():
    assert escape("a|b\nc") == "a\\|b c"
    assert escape("\\|") == "\\\\\\|"
    assert bullet("1. warn|x") == "- 1\\. warn\\|x"
    assert bullet("-5 %") == "- \\-5 %"
    assert bold_line("Win rate", "40.00%") == "- **Win rate:** 40.00%"
    assert bold_line("Win rate", "40.00%", "higher") == "- **Win rate:** 40.00% (higher)"
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert table([], []) == ""


def make(key, text=lambda row, index: str(row), visible=True):
    return Column(key, key.upper(), text, lambda: visible)


def test_only_visible_columns_are_drawn():
    columns = [make("a"), make("b", visible=False), make("c", lambda row, index: f"{index}")]
    assert cells(column_table(columns, [7, 8])) == [["A", "C"], ["7", "0"], ["8", "1"]]
    assert column_table([make("a", visible=False)], [1]) == ""


def test_a_failing_column_is_named():
    with pytest.raises(EngineError, match=r"column 'a' could not format row 1: ZeroDivisionError"):
        column_table([make("a", lambda row, index: str(1 // (1 - index)))], [1, 2])
    broken = Column("b", "B", lambda row, index: "", lambda: bool(1 // 0))
    with pytest.raises(EngineError, match="column 'b' failed in is_visible: ZeroDivisionError"):
        column_table([broken], [1])
