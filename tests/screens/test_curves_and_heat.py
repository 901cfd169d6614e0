from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.outcome import EquityPoint
from screens.alone import AloneApp
from screens.sample import INSTANCES, outcome
from screens.sample_desk import MILESTONES
from screens.widgets.curves_chart import Curve, curves_lines
from screens.widgets.heatmap import HeatGrid, Heatmap, HeatRow, monthly_grid, shade, symbol_grid
from screens.widgets.ladder import Rungs, ladder, ladder_lines, rungs_of
from screens.widgets.price_bar import distance, price_bar
from screens.widgets.spark import sparkline
from screens.widgets.tones import Cell, width_of
from tests.screens.bed import lines

DAY = 86_400_000


def text(picture: list[tuple[Cell, ...]]) -> list[str]:
    return ["".join(cell.text for cell in line) for line in picture]


def curve(name: str, *equity: float, start: int = 0) -> Curve:
    points = (EquityPoint((start + day) * DAY, value) for day, value in enumerate(equity))
    return Curve(name, tuple(points))


def test_curves_have_a_legend_letters_and_a_common_axis() -> None:
    picture = curves_lines([curve("up", 1, 1.1, 1.2), curve("down", 1, 0.95, 0.9)], 80, 20)
    drawn = text(picture)
    assert "a ── up +20.00 %" in drawn[0] and "b ── down -10.00 %" in drawn[0]
    assert "+20.00" in drawn[1] and "-10.00" in drawn[-2] and "0.00" in "".join(drawn[2:-2])
    assert drawn[1].rstrip().endswith("a") and drawn[-2].rstrip().endswith("b")
    assert drawn[-1].split() == ["1970-01-01", "1970-01-03"]
    assert {cell.tone for line in picture for cell in line} >= {"accent", "warn"}


def test_a_curve_that_begins_later_is_blank_before() -> None:
    early, late = curve("early", 1, 1, 1, 1, 1), curve("late", 1, 1.5, start=3)
    with_late = text(curves_lines([early, late], 80, 20))
    top = with_late[1][10:]
    assert not top[: len(top) // 2].strip().strip("⠀"), "nothing is above zero in the first half"


def test_curves_that_cannot_be_drawn_are_said_and_many_are_counted() -> None:
    assert "no equity curves" in text(curves_lines([curve("one", 1.0)], 80, 20))[1]
    several = [curve(f"s{n}", 1, 1 + n / 100) for n in range(9)]
    assert "and 3 more" in "".join(text(curves_lines(several, 200, 20)))


@given(
    st.lists(st.tuples(st.text(max_size=60), st.lists(st.floats(0, 5), max_size=30)), max_size=8),
    st.integers(1, 160),
    st.integers(1, 48),
)
def test_curves_stay_inside_their_space(
    given_curves: list[tuple[str, list[float]]], width: int, height: int
) -> None:
    picture = curves_lines([curve(name, *equity) for name, equity in given_curves], width, height)
    assert len(picture) <= max(2, height)
    if len(picture) > 2 and width >= 60:
        assert all(width_of(line) <= width for line in picture)


def test_months_stand_in_years_with_their_return() -> None:
    grid = monthly_grid(outcome(7, days=400).equity)
    assert [row.label for row in grid.rows] == ["2024", "2025"]
    first = grid.rows[0]
    assert all(value is not None for value in first.values)
    grown = math.prod(1 + (value or 0) / 100 for value in first.values)
    assert first.total is not None and abs(first.total - (grown - 1) * 100) < 1e-9
    assert grid.rows[1].values[2:] == (None,) * 10


def test_symbols_stand_by_their_sum() -> None:
    trades = outcome(7).trades
    other = tuple(
        replace(trade, key=replace(trade.key, symbol="ETHUSDT")) for trade in outcome(3).trades
    )
    grid = symbol_grid((*trades, *other))
    sums = {row.label: row.total for row in grid.rows}
    assert abs((sums["BTCUSDT"] or 0) - sum(t.pnl.pnl_percentage for t in trades)) < 1e-9
    assert [row.total for row in grid.rows] == sorted(sums.values(), reverse=True)
    assert symbol_grid(()).rows == ()


@given(st.none() | st.floats(), st.floats(0, 1e6))
def test_shades_have_the_sign_of_the_figure(value: float | None, most: float) -> None:
    strength = shade(value, most)
    assert -3 <= strength <= 3
    if strength:
        assert value is not None and (strength > 0) is (value > 0)
    assert shade(10.0, 10.0) == 3 and shade(-0.1, 10.0) == -1


async def test_a_heatmap_is_readable_without_colour() -> None:
    rows = (
        HeatRow("BTC", (1.25, -3.5, None, 100_000.0), 2.0),
        HeatRow("[b]均线[/b] 10000000000", (math.nan, 0.0, -0.001, -12.25), -5.0),
    )
    shown = Heatmap(HeatGrid(("Jan", "Feb", "Mar", "Apr"), rows, "sum"))
    async with AloneApp(shown).run_test(size=(60, 8)) as pilot:
        await pilot.pause()
        drawn = lines(shown)
        assert drawn[0].split() == ["Jan", "Feb", "Mar", "Apr", "sum"]
        assert drawn[1].split() == ["BTC", "+1.25", "-3.50", "·", "+100000", "+2.00"]
        assert "[b]均线" in drawn[2] and "-12.25" in drawn[2]
        assert {shown.render_line(y).cell_length for y in range(8)} == {60}
        shown.show(HeatGrid((), ()))
        await pilot.pause()
        assert "nothing to compare" in lines(shown)[1]


@given(st.lists(st.floats(), max_size=60), st.integers(0, 30))
def test_a_sparkline_has_a_bar_for_each_of_the_newest(values: list[float], width: int) -> None:
    drawn = sparkline(values, width)
    sound = [value for value in (values[-width:] if width else []) if math.isfinite(value)]
    assert len(drawn) == (min(len(values), width) if sound else 0)


def test_a_sparkline_rises_with_its_figures() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5, 5], 8) == "▁▁▁" and sparkline([], 4) == ""
    assert sparkline([9, 9, 0, 7], 2) == "▁█"


def test_the_ladder_fills_from_the_middle() -> None:
    drawn = "".join(cell.text for cell in ladder(30, 20))
    assert drawn == "SL ········●●┼●●●······· TP"
    assert "".join(c.text for c in ladder(0, 100)) == "SL ●●●●●●●●●●┼·········· TP"


def test_the_whole_ladder_names_prices_and_times() -> None:
    rungs = rungs_of(INSTANCES[0], MILESTONES)
    assert rungs is not None
    drawn = text(ladder_lines(rungs, 60, 11))
    assert len(drawn) == 11 and "42,778.40" in drawn[1] and "43,642.60" in drawn[1]
    (forty,) = [line for line in drawn if "43,383.34" in line]
    assert "●  40 %  43,383.34 10:23:00" in forty
    assert "● 10 %" not in drawn[-2] and "●  10 %  43,167.29 09:53:00" in drawn[-1]


def test_a_small_ladder_says_the_same_in_three_lines() -> None:
    drawn = text(ladder_lines(Rungs(100, 110, 95, 40, 0, {("profit", 40): 0}), 60, 5))
    assert len(drawn) == 3 and "┼●●●●······" in drawn[0]
    assert "profit   40 %  104.0000 at 00:00:00" in drawn[1] and "none reached" in drawn[2]


def test_only_open_positions_have_a_ladder() -> None:
    assert rungs_of(INSTANCES[2], MILESTONES) is None, "it waits"
    assert rungs_of(INSTANCES[3], MILESTONES) is None, "it is flat"


def test_the_price_bar_names_both_ends_and_says_what_there_is_instead() -> None:
    drawn = "".join(cell.text for cell in price_bar(INSTANCES[0], 78))
    assert drawn.startswith("SL 42,778.40 ─") and drawn.endswith("43,642.60 TP")
    assert "┼" in drawn and "●" in drawn and len(drawn) <= 78
    waiting = "".join(cell.text for cell in price_bar(INSTANCES[2], 78))
    assert waiting == "waits for 98.4000, now 98.9300, -0.54 % to go"
    assert "flat" in "".join(cell.text for cell in price_bar(INSTANCES[3], 78))
    assert distance(replace(INSTANCES[2], last_price=None)) is None


@given(st.integers(1, 200))
def test_the_price_bar_never_takes_more_than_there_is(width: int) -> None:
    cells = price_bar(INSTANCES[1], width)
    assert width_of(cells) <= max(width, len("SL 2,324.21  2,278.19 TP"))
