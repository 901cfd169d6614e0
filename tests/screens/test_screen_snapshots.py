"""How the screens beside Deck and Backtests look, and the charts that stand alone.

Run with ``--snapshot-update`` after a change that is meant, look at the new pictures, keep them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from screens.alone import AloneApp
from screens.sample import outcome
from screens.sample_desk import CONTENDERS
from screens.widgets.curves_chart import Curve, CurvesChart
from screens.widgets.heatmap import Heatmap, monthly_grid
from screens.widgets.ranking_table import RankingTable
from tests.screens.bed import LARGE, SMALL
from tests.screens.test_snapshots import app, sizes

Compare = Callable[..., bool]

SCREENS = {
    "signals": ["2"],
    "life": ["2", "slash", *"id:signal-50", "enter", "j", "enter"],
    "scheduled": ["3"],
    "risk": ["4"],
    "walkers": ["6"],
    "performance": ["7"],
    "log": ["8"],
    "instance": ["enter"],
}


@sizes
@pytest.mark.parametrize("screen", SCREENS)
def test_screen(snap_compare: Compare, size: tuple[int, int], screen: str) -> None:
    assert snap_compare(app(), terminal_size=size, press=SCREENS[screen])


def test_instance_position_on_eighty_columns(snap_compare: Compare) -> None:
    assert snap_compare(app(), terminal_size=SMALL, press=["j", "enter", "tab"])


@pytest.mark.parametrize("pane", ["ranking", "equity"])
def test_walkers_panes(snap_compare: Compare, pane: str) -> None:
    keys = ["6", "enter", *(["tab"] if pane == "equity" else [])]
    assert snap_compare(app(), terminal_size=SMALL, press=keys)


def test_instance_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(app(), terminal_size=LARGE, press=["enter"])


def test_instance_light(snap_compare: Compare) -> None:
    assert snap_compare(app(theme="light"), terminal_size=LARGE, press=["enter"])


def test_instance_in_the_terminals_own_colours(snap_compare: Compare) -> None:
    assert snap_compare(app(theme="ansi"), terminal_size=LARGE, press=["enter"])


def test_search_and_pause(snap_compare: Compare) -> None:
    keys = ["2", "slash", *"action:closed", "enter", "exclamation_mark", "j", "space"]
    assert snap_compare(app(), terminal_size=SMALL, press=keys)


def test_curves(snap_compare: Compare) -> None:
    names = ("sma-cross", "breakout", "rsi-reversion", "momentum-v2")
    chart = CurvesChart([Curve(name, outcome(seed).equity) for seed, name in enumerate(names, 3)])
    assert snap_compare(AloneApp(chart), terminal_size=(120, 30))


def test_ranking(snap_compare: Compare) -> None:
    table = RankingTable()
    assert snap_compare(AloneApp(table, lambda: table.show(CONTENDERS)), terminal_size=(120, 12))


@pytest.mark.parametrize("width", [80, 140])
def test_heatmap(snap_compare: Compare, width: int) -> None:
    shown = Heatmap(monthly_grid(outcome(7, days=800).equity))
    assert snap_compare(AloneApp(shown), terminal_size=(width, 8))
