"""How the screens look: compare with pictures that were looked at and accepted.

Run with ``--snapshot-update`` after a change that is meant, look at the new pictures, keep them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from console.app import SignaldeckApp
from console.preferences import ConsoleSection
from console.views import DeckSnapshot
from screens.sample import HEARTBEAT, SampleHost, empty_snapshot, frozen_clock
from tests.screens.bed import LARGE, SMALL

Compare = Callable[..., bool]

sizes = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])


def app(
    start: DeckSnapshot | None = None,
    *,
    clock: Callable[[], float] = frozen_clock,
    theme: str | None = None,
) -> SignaldeckApp:
    section = ConsoleSection(theme=theme or "dark")
    return SignaldeckApp(SampleHost(start), frozen_clock=clock, console=section)


@sizes
def test_deck(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app(), terminal_size=size)


@sizes
def test_deck_feed_held(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app(), terminal_size=size, press=["tab", "j", "j"])


@sizes
def test_deck_empty(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app(empty_snapshot()), terminal_size=size)


@sizes
def test_deck_engine_silent(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app(clock=lambda: HEARTBEAT + 42), terminal_size=size)


def test_deck_light(snap_compare: Compare) -> None:
    assert snap_compare(app(theme="light"), terminal_size=LARGE)


def test_deck_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(app(), terminal_size=SMALL)


@sizes
def test_backtests(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app(), terminal_size=size, press=["5"])


@sizes
def test_backtests_empty(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app(empty_snapshot()), terminal_size=size, press=["5"])


@sizes
def test_result(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app(), terminal_size=size, press=["5", "enter"])


@pytest.mark.parametrize("pane", ["equity", "trades", "months"])
def test_result_panes(snap_compare: Compare, pane: str) -> None:
    tabs = {"equity": 1, "trades": 2, "months": 3}[pane]
    assert snap_compare(app(), terminal_size=SMALL, press=["5", "enter", *["tab"] * tabs])


@sizes
@pytest.mark.parametrize("kind", ["live", "backtest", "walker"])
def test_new_run(snap_compare: Compare, size: tuple[int, int], kind: str) -> None:
    keys = {"live": ["n"], "backtest": ["5", "n"], "walker": ["6", "n"]}[kind]
    assert snap_compare(app(), terminal_size=size, press=keys)


@sizes
def test_new_run_refused(snap_compare: Compare, size: tuple[int, int]) -> None:
    keys = ["5", "n", "ctrl+u", *"sma", "delete", "tab", "tab", "ctrl+u", "enter"]
    assert snap_compare(app(), terminal_size=size, press=keys)


@sizes
def test_help(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app(), terminal_size=size, press=["question_mark", "j", "j"])


@pytest.mark.parametrize("key", ["x", "q"])
def test_questions(snap_compare: Compare, key: str) -> None:
    assert snap_compare(app(), terminal_size=SMALL, press=[key])


def test_many_modes_of_trouble_fit_on_eighty_columns(snap_compare: Compare) -> None:
    busy = SampleHost().snapshot
    late = tuple(replace(e, stale=True) for e in busy.header.exchanges)
    header = replace(busy.header, exchanges=late, errors=123_456, running=200)
    assert snap_compare(app(replace(busy, header=header)), terminal_size=SMALL)
