from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.outcome import EquityPoint
from screens.widgets import braille
from screens.widgets.equity_chart import chart_lines, drawdowns
from screens.widgets.price_bar import path_bar
from screens.widgets.tones import spans, width_of

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


def dots(text: list[str]) -> set[tuple[int, int]]:
    """Positions (column, row) of every dot that is set."""
    bits = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
    return {
        (2 * x + dx, 4 * y + dy)
        for y, row in enumerate(text)
        for x, char in enumerate(row)
        for bit, (dx, dy) in enumerate(bits)
        if (ord(char) - 0x2800) >> bit & 1
    }


@given(VALUES, st.integers(1, 40), st.integers(1, 12))
def test_a_line_fills_its_space_and_has_a_dot_in_every_column(
    values: list[float], width: int, height: int
) -> None:
    text = braille.line(values, width, height, min(values), max(values))
    assert len(text) == height and {len(row) for row in text} == {width}
    assert {x for x, _ in dots(text)} == set(range(2 * width))


def test_a_rising_line_rises_and_is_connected() -> None:
    drawn = dots(braille.line([0, 1], 4, 2, 0, 1))
    assert (0, 7) in drawn and (7, 0) in drawn
    for column in range(7):
        here = {y for x, y in drawn if x == column}
        there = {y for x, y in drawn if x == column + 1}
        assert min(abs(a - b) for a in here for b in there) <= 1


def test_thinning_keeps_a_spike() -> None:
    values = [0.0] * 5_000
    values[2_345] = 1.0
    assert min(y for _, y in dots(braille.line(values, 20, 5, 0, 1))) == 0


def test_an_area_hangs_from_the_top() -> None:
    drawn = dots(braille.hanging([0, 0, 10, 10], 2, 2, 10))
    assert {y for x, y in drawn if x == 3} == set(range(8))
    assert not {y for x, y in drawn if x == 0}
    assert not dots(braille.hanging([0, 0, 0], 3, 2, 0))


def test_drawdowns_are_measured_from_the_highest_point_so_far() -> None:
    assert drawdowns([1.0, 1.25, 1.0, 1.5, 0.0]) == pytest.approx([0, 0, 20, 0, 100])
    assert drawdowns([1.0, 0.0, 0.0]) == pytest.approx([0, 100, 100])


@given(
    st.lists(st.floats(0, 4), min_size=0, max_size=60),
    st.integers(1, 150),
    st.integers(1, 40),
)
def test_the_equity_chart_stays_inside_its_space(
    equity: list[float], width: int, height: int
) -> None:
    points = [EquityPoint(day * 86_400_000, value) for day, value in enumerate(equity)]
    drawn = chart_lines(points, width, height)
    assert len(drawn) <= max(height, 2)
    if width > 45:
        titles = ("no equity", "return %", "drawdown %")
        plain = [line for line in drawn if not any(c.text.strip().startswith(titles) for c in line)]
        assert all(width_of(line) <= width for line in plain)


def test_the_equity_chart_names_its_extremes_and_days() -> None:
    points = [EquityPoint(day * 86_400_000, e) for day, e in enumerate([1, 1.05, 0.98, 1.02])]
    text = ["".join(cell.text for cell in line) for line in chart_lines(points, 60, 20)]
    assert "+5.00" in text[1] and "at most 6.67" in "".join(text)
    assert any("-2.00" in line for line in text) and any("-6.67" in line for line in text)
    assert "1970-01-01" in text[-1] and text[-1].rstrip().endswith("1970-01-04")
    assert len(text) == 20


@pytest.mark.parametrize(
    ("path", "bar"),
    [
        (None, ""),
        (0.0, "───────●───────"),
        (100.0, "───────┼━━━━━━●"),
        (-100.0, "●━━━━━━┼───────"),
        (41.8, "───────┼━━●────"),
        (250.0, "───────┼━━━━━━●"),
    ],
)
def test_the_bar_shows_where_the_price_stands(path: float | None, bar: str) -> None:
    assert "".join(cell.text for cell in spans(path_bar(path))) == bar


def test_gain_and_loss_differ_by_side_and_tone() -> None:
    gain, loss = spans(path_bar(50.0)), spans(path_bar(-50.0))
    assert [cell.tone for cell in gain] == ["muted", "gain", "muted"]
    assert [cell.tone for cell in loss] == ["muted", "loss", "muted"]
