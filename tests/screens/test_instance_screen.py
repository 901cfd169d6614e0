from __future__ import annotations

from dataclasses import replace

import pytest

from console.app import SignaldeckApp
from screens.confirm import ConfirmDialog
from screens.deck import DeckScreen
from screens.detail import DetailDialog
from screens.instance import InstanceScreen
from screens.life import LifeScreen
from screens.sample import HEARTBEAT, INSTANCES, NOW, snapshot
from tests.screens.bed import LARGE, SMALL, console, greyed, lines, toasts


def screen(app: SignaldeckApp) -> InstanceScreen:
    assert isinstance(app.screen, InstanceScreen)
    return app.screen


def title(app: SignaldeckApp, pane: str) -> str:
    return "".join(lines(screen(app).panes[pane].title))


async def test_a_run_is_shown_with_everything_that_belongs_to_it() -> None:
    async with console(size=LARGE) as (app, host, pilot):
        await pilot.press("enter")
        await pilot.pause()
        shown = screen(app)
        assert host.asked == [("live-1", "1m")]
        chart = "\n".join(lines(shown.chart))
        for name in ("TP 43,642.60", "SL 42,778.40", "entry 43,210.50", "▸ 43,391.07", "10:15"):
            assert name in chart
        card = "\n".join(lines(shown.card))
        assert "long since 03-05 09:14, 2h 10m left" in card and "+0.21 %" in card
        assert "●  40 %  43,383.34 10:23:00" in card
        events = "\n".join(lines(shown.events))
        assert "milestone" in events and "opened" in events and "SOLUSDT" not in events
        assert "win rate %" in "\n".join(lines(shown.statistics))
        assert "Report: sma-cross" in "\n".join(lines(shown.report))
        about = "\n".join(lines(shown.about))
        assert "sma_cross.py" in about and "3f9a61c08d5e7b24" in about
        assert "SL 42,778.40" in "".join(lines(shown.bar))
        (line,) = lines(shown.title_line)
        assert line.split() == ["sma-cross", "BTCUSDT", "simulated", "live", "running"]
        detail = shown.detail
        assert detail is not None
        assert set(detail.settings) <= set(shown.about.rows), "every setting is listed"
        assert {"percent_fee", "exit_trigger"} <= dict(detail.settings).keys()

        await pilot.press("i")
        await pilot.pause()
        assert host.asked[-1] == ("live-1", "5m") and "5m, 240 bars" in title(app, "chart")
        await pilot.press("i", "i", "i")
        await pilot.pause()
        assert "1m, 240 bars" in title(app, "chart"), "intervals change by key"


async def test_another_bar_is_asked_for_when_it_was_lived_through_and_not_while_paused() -> None:
    now = [HEARTBEAT + 0.2]
    async with console(clock=lambda: now[0]) as (app, host, pilot):
        await pilot.press("enter")
        await pilot.pause()
        other = replace(INSTANCES[1], last_tick=NOW + 60_000)
        host.swap(replace(snapshot(), instances=(INSTANCES[0], other)), "instances")
        await pilot.pause()
        assert len(host.asked) == 1, "another run's tick is none of its business"
        moved = replace(INSTANCES[0], last_tick=NOW + 55_000, last_price=43_500.0)
        host.swap(replace(snapshot(), instances=(moved, other)), "instances")
        await pilot.pause()
        assert len(host.asked) == 1, "a second has to pass between two questions"
        assert "▸ 43,500.00" in "\n".join(lines(screen(app).chart)), "the price moves at once"
        now[0] += 1.5
        screen(app).tick()
        await pilot.pause()
        assert len(host.asked) == 2
        screen(app).tick()
        await pilot.pause()
        assert len(host.asked) == 2, "nothing happened since"

        await pilot.press("space")
        before = lines(screen(app).chart)
        moved = replace(INSTANCES[0], last_tick=NOW + 58_000, last_price=43_600.0)
        host.swap(replace(snapshot(), instances=(moved, *INSTANCES[1:])), "instances")
        now[0] += 5
        screen(app).tick()
        await pilot.pause()
        assert lines(screen(app).chart) == before and len(host.asked) == 2, "paused"
        await pilot.press("space")
        await pilot.pause()
        assert len(host.asked) == 3


async def test_events_open_their_signal_and_long_values_are_shown_in_full() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("enter", "tab", "tab", "j", "j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, LifeScreen)
        await pilot.press("escape", "shift+tab", "shift+tab", "shift+tab", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog)
        assert "none" in str(app.screen.query("#facts Static").first().render())
        await pilot.press("escape", "shift+tab", "j", "j", "j", "j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog)
        trade = str(app.screen.query("#facts Static").first().render())
        assert "Action" in trade and "CLOSED" in trade, "a line of the report, by its headings"


async def test_what_the_host_cannot_tell_is_said_and_the_rest_is_shown() -> None:
    async with console() as (app, host, pilot):
        host.refusal = "run 'live-1' does not exist any more [b]really[/b]"
        await pilot.press("enter")
        await pilot.pause()
        assert "does not exist any more [b]really[/b]" in title(app, "chart")
        assert "no bars yet" in "\n".join(lines(screen(app).chart))
        assert "43,391.07" in "\n".join(lines(screen(app).card))


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_run_is_stopped_from_here_after_asking(size: tuple[int, int]) -> None:
    async with console(size=size) as (app, host, pilot):
        await pilot.press("enter")
        await pilot.pause()
        if size == SMALL:
            parts = [pane.body for pane in screen(app).panes.values()]
            for expected in (0, 1, 2, 3, 4, 5, 0):
                assert [part.display for part in parts] == [n == expected for n in range(6)]
                assert parts[expected].has_focus, "panes take turns on a short terminal"
                await pilot.press("tab")
                await pilot.pause()
        await pilot.press("s")
        await pilot.pause()
        assert "is running already" in toasts(app)
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmDialog)
        await pilot.press("y")
        await pilot.pause()
        assert host.commands == ["stop live-1"]
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, DeckScreen)


async def test_flat_and_waiting_runs_have_no_ladder_and_errors_have_a_traceback() -> None:
    async with console() as (app, _, pilot):
        await pilot.press("j", "j", "enter")
        await pilot.pause()
        card = "\n".join(lines(screen(app).card))
        assert "waiting since 03-05 10:03" in card and "to go -0.54 %" in card and "●" not in card
        assert "waits for 98.4000" in "".join(lines(screen(app).bar))
        assert "run.close" in greyed(app)
        await pilot.press("escape", "j", "enter")
        await pilot.pause()
        assert "13 of 21 trades won, closed +2.05 %" in "\n".join(lines(screen(app).card))
        await pilot.press("escape", "j", "j", "j", "enter")
        await pilot.pause()
        assert "3 errors" in "".join(lines(screen(app).title_line))
        assert "momentum-v2: KeyError" in "\n".join(lines(screen(app).about))
        await pilot.press("shift+tab", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog)
        shown = str(app.screen.query("#facts Static").first().render())
        assert "Traceback (most recent call last):" in shown
