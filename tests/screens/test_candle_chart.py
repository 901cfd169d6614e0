from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.views import BarsView
from screens.alone import AloneApp
from screens.sample_desk import LEVELS, bars
from screens.widgets.axis import round_steps, time_axis
from screens.widgets.candle_chart import CandleChart, Levels, chart_lines
from screens.widgets.tones import width_of
from tests.screens.bed import lines

MINUTE = 60_000
NOON = 1_709_640_000_000  # 2024-03-05 12:00 UTC
ANY = st.floats(allow_nan=True, allow_infinity=True)


def view(*rows: tuple[float, float, float, float], volume: float = 1.0) -> BarsView:
    """Bars of (open, high, low, close), one a minute from noon on."""
    columns = tuple(zip(*rows, strict=True)) if rows else ((), (), (), ())
    opened = tuple(NOON + at * MINUTE for at in range(len(rows)))
    return BarsView("1m", opened, *columns, (volume,) * len(rows))


def text(picture: list[tuple[object, ...]]) -> list[str]:
    return ["".join(cell.text for cell in line) for line in picture]  # type: ignore[attr-defined]


def test_a_rising_and_a_falling_candle_reach_from_low_to_high() -> None:
    picture = text(chart_lines(view((1, 3, 0, 2), (2, 3, 0, 1)), Levels(), 30, 13))
    columns = [line[:22] for line in picture[:-1]]
    drawn = [[line[at] for line in columns] for at in range(22)]
    bodies = [column for column in drawn if any(char != " " for char in column)]
    assert len(bodies) == 2
    for column in bodies:
        assert " " not in column, "wicks reach both ends of the scale"
        assert column[0] in "│╷" and column[-1] in "│╵" and "┃" in column
    assert bodies[0] == bodies[1], "in colour both look the same but for the tone"
    tones = {c.tone for line in chart_lines(view((1, 3, 0, 2)), Levels(), 30, 13) for c in line}
    assert "gain" in tones and "loss" not in tones


def test_without_colour_falling_candles_are_solid() -> None:
    both = view((1, 3, 0, 2), (2, 3, 0, 1))
    picture = "".join(text(chart_lines(both, Levels(), 30, 13, plain=True)))
    assert "┃" in picture and "█" in picture
    assert "█" not in "".join(text(chart_lines(both, Levels(), 30, 13)))


def test_every_level_is_named_on_the_axis_and_drawn_from_its_instant_on() -> None:
    flat = view(*((100, 101, 99, 100) for _ in range(20)))
    levels = Levels(100.5, 102.0, 98.5, 100.2, NOON + 10 * MINUTE)
    picture = text(chart_lines(flat, levels, 60, 24))
    for name in ("TP 102.0000", "SL 98.5000", "entry 100.5000", "▸ 100.2000"):
        assert sum(name in line for line in picture) == 1, name
    axis = [line[60 - 18 :] for line in picture[:-1] if any(char.isdigit() for char in line)]
    assert {line.rindex(" ", 0, 9) for line in axis} == {6}, "prices stand below each other"
    (top,) = [line for line in picture if "TP" in line]
    plot = top.split("TP")[0].rstrip()
    assert plot.count("╌") == 2 * 10, "a cell pitch of two, from the eleventh bar on"


def test_a_level_far_away_stands_at_the_edge_with_an_arrow() -> None:
    flat = view(*((100, 101, 99, 100) for _ in range(20)))
    picture = text(chart_lines(flat, Levels(take_profit=200.0, stop_loss=50.0), 60, 20))
    assert "TP 200.0000 ↑" in picture[0] and "╌" not in picture[0]
    assert any("SL 50.0000 ↓" in line for line in picture[-6:])


def test_the_newest_bars_are_drawn_where_there_is_no_room_for_all() -> None:
    many = bars(240)
    picture = text(chart_lines(many, LEVELS, 80, 20))
    assert "10:15" in picture[-1] and "UTC" in picture[-1]
    assert "06:30" not in picture[-1]


def test_volumes_stand_below_and_can_be_left_out() -> None:
    loud = view(*((100, 101, 99, 100.5) for _ in range(10)))
    with_volume = text(chart_lines(loud, Levels(), 60, 24, volume=True))
    assert "█" in with_volume[-2] and "█" not in text(chart_lines(loud, Levels(), 60, 24))[-2]
    silent = view((100, 101, 99, 100.5), volume=math.nan)
    assert chart_lines(silent, Levels(), 60, 24, volume=True)


@pytest.mark.parametrize("size", [(12, 20), (60, 3), (5, 5)])
def test_too_little_room_is_said(size: tuple[int, int]) -> None:
    picture = text(chart_lines(view((1, 2, 0.5, 1.5)), Levels(), *size))
    assert "too little room" in picture[1]
    assert "no bars yet" in text(chart_lines(view(), Levels(), 60, 20))[1]


@given(
    st.lists(st.tuples(ANY, ANY, ANY, ANY), max_size=40),
    st.tuples(st.none() | ANY, st.none() | ANY, st.none() | ANY, st.none() | ANY),
    st.integers(1, 160),
    st.integers(1, 48),
    st.booleans(),
)
def test_whatever_the_bars_are_the_chart_stays_inside_its_space(
    rows: list[tuple[float, float, float, float]],
    levels: tuple[float | None, float | None, float | None, float | None],
    width: int,
    height: int,
    volume: bool,
) -> None:
    entry, take, stop, last = levels
    picture = chart_lines(
        view(*rows), Levels(entry, take, stop, last, NOON), width, height, volume=volume
    )
    assert len(picture) <= max(2, height)
    if len(picture) > 2:
        assert {width_of(line) for line in picture} == {width}


@given(st.floats(1e-9, 1e9), st.floats(1e-6, 1e3), st.integers(1, 20))
def test_round_steps_are_inside_and_evenly_spaced(low: float, spread: float, amount: int) -> None:
    high = low * (1 + spread)
    steps = round_steps(low, high, amount)
    assert len(steps) <= amount + 1
    assert all(low * (1 - 1e-9) <= step <= high * (1 + 1e-9) for step in steps)


def test_times_are_readable_and_midnight_is_a_date() -> None:
    opened = [NOON + at * MINUTE for at in range(0, 1440, 10)]
    line = time_axis(opened, list(range(len(opened))), len(opened))
    assert line.startswith("12:00") and "03-06" in line and "18:00" in line
    assert time_axis([], [], 7) == " " * 7


async def test_the_widget_draws_again_only_what_is_new() -> None:
    chart = CandleChart()
    async with AloneApp(chart, lambda: chart.show(bars(), LEVELS)).run_test(
        size=(100, 30)
    ) as pilot:
        chart.focus()
        await pilot.pause()
        before = lines(chart)
        assert "▇" in "".join(before[-6:]) or "█" in "".join(before[-6:])
        await pilot.press("u")
        await pilot.pause()
        after = lines(chart)
        assert after != before and "█" not in "".join(after)
        chart.show(bars(), LEVELS)
        assert lines(chart) == after
