"""Scheduled & partials, risk, performance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.app import SignaldeckApp
from screens.base import BaseScreen
from screens.detail import DetailDialog
from screens.instance import InstanceScreen
from screens.life import LifeScreen
from screens.performance import PerformanceScreen
from screens.risk import RiskScreen
from screens.sample import HEARTBEAT, INSTANCES, snapshot
from screens.sample_desk import MILESTONES
from screens.scheduled import ScheduledScreen
from screens.widgets.header_line import HeaderLine
from tests.screens.bed import LARGE, SMALL, console, lines


def facts(app: SignaldeckApp) -> str:
    assert isinstance(app.screen, DetailDialog)
    return str(app.screen.query("#facts Static").first().render())


async def test_waiting_signals_say_how_far_the_entry_is_and_how_long_they_wait() -> None:
    now = [HEARTBEAT + 0.2]
    async with console(clock=lambda: now[0]) as (app, _, pilot):
        await pilot.press("3")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, ScheduledScreen)
        (line,) = [line for line in lines(screen.scheduled) if "SOLUSDT" in line]
        assert line.split()[-6:] == ["-0.54", "21m", "1h", "36m", "97.2000", "99.6000"]
        now[0] += 120
        (line,) = [line for line in lines(screen.scheduled) if "SOLUSDT" in line]
        assert line.split()[-6:-2] == ["-0.54", "23m", "1h", "34m"]
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, InstanceScreen) and app.screen.run_id == "live-3"


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_positions_have_ladders_and_milestones_open_their_signal(
    size: tuple[int, int],
) -> None:
    async with console(size=size) as (app, _, pilot):
        await pilot.press("3", "tab")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, ScheduledScreen)
        ladders = {line.split()[0]: line for line in lines(screen.ladders)[1:] if line.strip("▸ ")}
        assert "SL ·········●┼●●●●······ TP" in ladders["▸"] or "SL" in ladders["BTCUSDT"]
        assert any("SL ·····●●●●●┼●········· TP" in line for line in ladders.values())
        await pilot.press("tab", "j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, LifeScreen)
        assert "43,383.20" in "\n".join(lines(app.screen.life))


async def test_milestones_follow_until_they_are_read() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("3", "tab", "tab", "j")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, ScheduledScreen)
        before = lines(screen.milestones)
        newer = replace(MILESTONES[0], number=11, level=50, price=43_430.0)
        host.swap(replace(snapshot(), milestones=(newer, *MILESTONES)), "milestones")
        await pilot.pause()
        assert lines(screen.milestones) == before and screen.milestones.waiting == 1
        await pilot.press("g")
        await pilot.pause()
        assert "+50 %" in lines(screen.milestones)[1]


async def test_slots_refusals_and_invalid_signals_are_shown() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("4")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, RiskScreen)
        (three,) = [line for line in lines(screen.profiles) if "three-at-once" in line]
        assert three.split()[1:6] == ["three-at-once", "3", "42", "3", "taken"]
        assert len(screen.holdings.rows) == 4
        assert "48 signals for 3 reasons" in "".join(lines(screen.rejections_pane.title))
        assert "at most 3 positions at once" in lines(screen.rejections)[1]
        assert "take profit 0.08214 is below" in lines(screen.invalid)[1]
        await pilot.press("enter")
        await pilot.pause()
        assert "one per symbol" in facts(app) and "with 3 slots taken" in facts(app)
        await pilot.press("escape", "tab", "tab", "enter")
        await pilot.pause()
        assert "how often" in facts(app) and "40" in facts(app)
        await pilot.press("escape", "tab", "j", "enter")
        await pilot.pause()
        assert "must be at least 1" in facts(app)
        await pilot.press("escape", "shift+tab", "shift+tab", "j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, InstanceScreen) and app.screen.run_id == "live-2"


async def test_a_slot_moves_with_its_position_without_a_risk_event() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("4")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, RiskScreen)
        moved = replace(INSTANCES[0], pnl_percent=-0.4)
        host.swap(replace(snapshot(), instances=(moved, *INSTANCES[1:])), "instances")
        await pilot.pause()
        assert "-0.40" in "\n".join(lines(screen.holdings))


async def test_measurements_stand_apart_by_kind_and_can_be_sorted() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("7")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, PerformanceScreen)
        timings = lines(screen.timings)
        assert "live tick" in timings[1] and "18,422" in timings[1] and "1.84" in timings[1]
        assert any(bar in timings[1] for bar in "▃▄▅▆▇█")
        assert [line.split()[0] for line in lines(screen.load)[1:4]] == [
            "events",
            "memory",
            "events",
        ]
        await pilot.press("o", "o")
        await pilot.pause()
        means = [view.mean for view in screen.timings.rows]
        assert means == sorted(means, reverse=True) and "mean▾" in lines(screen.timings)[0]
        await pilot.press("O")
        await pilot.pause()
        assert [view.mean for view in screen.timings.rows] == sorted(means)
        await pilot.press("enter")
        await pilot.pause()
        assert "samples" in facts(app) and "p99" in facts(app)


async def test_a_screen_nobody_sees_is_not_drawn() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("7")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, PerformanceScreen)
        before = screen.timings.rows
        await pilot.press("1")
        await pilot.pause()
        host.swap(replace(snapshot(), metrics=()), "metrics")
        await pilot.pause()
        assert screen.timings.rows == before
        await pilot.press("7")
        await pilot.pause()
        assert screen.timings.rows == ()


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_every_mode_is_reached_by_its_key_and_named_in_the_header(
    size: tuple[int, int],
) -> None:
    async with console(size=size) as (app, _, pilot):
        for key, name in zip(
            "12345678",
            ("Deck", "Signals", "Scheduled", "Risk", "Backtests", "Walkers", "Performance", "Log"),
            strict=True,
        ):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, BaseScreen) and app.screen.mode_name == name
            header = lines(app.screen.query_one(HeaderLine))[0]
            assert f"[{name}]" in header and "SIGNALS ONLY - no orders are sent" in header
            assert "10:24:05 UTC" in header
