from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.reports.markdown import table
from screens.text_tables import cells_of, layouts, unescaped
from screens.widgets.text_view import TextLine

REPORT = """\
# Report

| Strategy | Trades | Won | Note |
| --- | --- | --- | --- |
| sma-cross | 97 | 48.45% | a \\| b |
| 均线 | 4 | N/A | \\[red\\] |

| only |
| --- |
| 界 |
no table | at all
| --- |""".splitlines()


def test_columns_stand_below_their_headings_and_figures_to_the_right() -> None:
    found = layouts(REPORT)
    assert [layout and layout.first for layout in found] == [None] * 2 + [2] * 4 + [None] + [
        7
    ] * 3 + [None] * 2
    drawn = [layout.drawn(n, REPORT[n]) for n, layout in enumerate(found) if layout is not None]
    assert drawn == [
        "| Strategy  | Trades |    Won | Note  |",
        "|-----------|--------|--------|-------|",
        "| sma-cross |     97 | 48.45% | a | b |",
        "| 均线      |      4 |    N/A | [red] |",
        "| only |",
        "|------|",
        "| 界   |",
    ]


def test_a_line_in_full_has_the_headings_and_no_backslashes() -> None:
    (layout,) = {layout for layout in layouts(REPORT) if layout is not None and layout.first == 2}
    line = TextLine(4, REPORT[4], layout)
    assert line.facts() == (
        ("Strategy", "sma-cross"), ("Trades", "97"), ("Won", "48.45%"), ("Note", "a | b"),
    )  # fmt: skip
    assert TextLine(3, REPORT[3], layout).facts() == (("line", REPORT[3]),)


@given(
    st.lists(st.lists(st.text(max_size=60), min_size=1, max_size=4), min_size=1, max_size=5),
    st.integers(1, 4),
)
def test_whatever_the_cells_hold_they_are_drawn_unchanged(rows: list[list[str]], wide: int) -> None:
    text = table([f"heading {n}" for n in range(wide)], rows).splitlines()
    for place, (line, layout) in enumerate(zip(text, layouts(text), strict=True)):
        assert layout is not None
        if place == 1:
            continue
        shown = [unescaped(cell) for cell in cells_of(line)]
        drawn = layout.drawn(place, line)
        for cell in shown:
            assert cell in drawn
            drawn = drawn.split(cell, 1)[1] if cell else drawn
        if place > 1:
            assert [value for _, value in layout.named(line)] == shown[:wide]
