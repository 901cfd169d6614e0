from __future__ import annotations

from dataclasses import replace

import pytest

from console.app import SignaldeckApp
from console.views import ExchangeHealth, InstanceView
from screens.confirm import ConfirmDialog
from screens.deck import DeckScreen
from screens.detail import DetailDialog
from screens.instance import InstanceScreen
from screens.life import LifeScreen
from screens.sample import HEARTBEAT, INSTANCES, NOW, empty_snapshot, feed, snapshot
from screens.widgets.header_line import HeaderLine
from screens.widgets.totals_line import TotalsLine
from tests.screens.bed import LARGE, SMALL, console, greyed, lines, toasts


def deck(app: SignaldeckApp) -> DeckScreen:
    assert isinstance(app.screen, DeckScreen)
    return app.screen


def header(app: SignaldeckApp) -> str:
    return "\n".join(lines(app.screen.query_one(HeaderLine)))


async def test_every_run_is_shown_in_words_with_totals_late_data_and_its_times_moving() -> None:
    now = [HEARTBEAT + 0.2]
    async with console(clock=lambda: now[0]) as (app, host, pilot):
        shown = deck(app)
        text = "\n".join(lines(shown.instances))
        for word in ("running", "draining", "stale", "failed", "done", "waits 98.4000"):
            assert word in text
        assert "[red]均线[/] cross" in text, "a strategy's name is not markup"
        btc = next(line for line in lines(shown.instances) if "43,391.07" in line)
        assert "+0.21" in btc and "┼━━●" in btc and "2h 10m" in btc and btc.endswith("+4.62")
        (line,) = lines(app.screen.query_one(TotalsLine))
        assert "8 runs" in line and "64 trades" in line and "57.8 % won" in line
        assert "closed +7.84 %" in line and "open -0.28 %" in line
        assert "papier STALE, newest bar 4m old" in header(app)
        assert "simulated newest bar 5s old" in header(app)

        assert app.host.snapshot.header.now == NOW
        first = lines(shown.instances)[1]
        now[0] += 120
        second = lines(shown.instances)[1]
        assert "2h 10m    5s" in first and "2h 08m    2m" in second, "without a new snapshot"

        # A panel whose topic did not move is left alone.
        other = replace(snapshot(), instances=INSTANCES[:1], feed=feed(5, 70))
        host.swap(other, "feed")
        await pilot.pause()
        assert len(shown.instances.rows) == len(INSTANCES)
        assert shown.feed.rows == feed(5, 70)

        # A swapped snapshot is drawn, and the cursor stays with its run.
        await pilot.press("j", "j")
        new = InstanceView("live-0", "live", "AVAXUSDT", "sma-cross", "simulated", "running")
        changed = replace(INSTANCES[2], last_price=98.11)
        host.swap(replace(snapshot(), instances=(new, *INSTANCES[:2], changed)), "instances")
        await pilot.pause()
        assert shown.instances.current == changed
        text = "\n".join(lines(shown.instances))
        assert "AVAXUSDT" in text and "98.1100" in text


async def test_an_empty_deck_says_what_to_do() -> None:
    async with console(empty_snapshot(), size=SMALL) as (app, _, pilot):
        assert "no live runs - press n to start one" in "\n".join(lines(deck(app).instances))
        assert {"run.stop", "run.again", "open", "copy"} <= greyed(app)
        await pilot.press("x")
        await pilot.pause()
        assert "no live run - press n" in toasts(app)


async def test_runs_are_sorted_by_key_and_stay_sorted_while_they_move() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("j", "o", "o", "o")
        await pilot.pause()
        gains = [view.pnl_percent for view in deck(app).instances.rows]
        assert gains[:3] == [0.5, 0.21, -0.99] and set(gains[3:]) == {None}
        assert deck(app).instances.current == INSTANCES[1], "the cursor stays with its run"
        better = replace(INSTANCES[1], pnl_percent=3.0)
        moved = (INSTANCES[0], better, *INSTANCES[2:])
        host.swap(replace(snapshot(), instances=moved), "instances")
        await pilot.pause()
        assert deck(app).instances.rows[0] == better == deck(app).instances.current
        assert "PnL %▾" in lines(deck(app).instances)[0]


async def test_the_feed_holds_still_while_it_is_read() -> None:
    async with console() as (app, host, pilot):
        await pilot.press("tab", "j", "j", "j")
        row = deck(app).feed.current
        before = lines(deck(app).feed)
        host.swap(replace(snapshot(), feed=feed(60, 64), feed_total=64), "feed")
        await pilot.pause()
        assert deck(app).feed.current == row and lines(deck(app).feed) == before
        title = "".join(lines(deck(app).feed_pane.title))
        assert "64 so far" in title and "4 new above - g follows" in title
        await pilot.press("g")
        await pilot.pause()
        assert deck(app).feed.rows[0].number == 64 and deck(app).feed.cursor == -1
        assert "new above" not in "".join(lines(deck(app).feed_pane.title))


async def test_a_short_terminal_shows_one_pane_at_a_time_and_grows() -> None:
    async with console(size=SMALL) as (app, host, pilot):
        shown = deck(app)
        assert shown.instances.display and not shown.feed.display
        assert "tab opens it" in "".join(lines(shown.feed_pane.title))
        before = shown.feed.rows
        host.swap(replace(snapshot(), feed=feed(9, 99)), "feed")
        await pilot.pause()
        assert shown.feed.rows == before, "nothing is drawn for a pane nobody sees"
        await pilot.press("tab")
        await pilot.pause()
        assert shown.feed.has_focus and not shown.instances.display
        assert shown.feed.rows == feed(9, 99), "it catches up when it opens"
        assert "time expired" in "\n".join(lines(shown.feed))
        await pilot.press("shift+tab")
        await pilot.pause()
        assert shown.instances.has_focus and not shown.feed.display
        await pilot.press("tab")
        await pilot.resize_terminal(*LARGE)
        await pilot.pause()
        assert shown.instances.display and shown.feed.display and shown.feed.has_focus
        await pilot.resize_terminal(*SMALL)
        await pilot.pause()
        assert shown.feed.display and not shown.instances.display


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_stopping_says_what_it_does_asks_and_starts_on_no(size: tuple[int, int]) -> None:
    async with console(size=size) as (app, host, pilot):
        for downs, sentence, leave in (
            (0, "open long is watched to its end", "enter"),
            (2, "scheduled signal is cancelled", "escape"),
            (1, "Nothing is held", "n"),
        ):
            await pilot.press(*"j" * downs, "x")
            await pilot.pause()
            assert isinstance(app.screen, ConfirmDialog)
            assert app.focused is not None and app.focused.id == "answer-no"
            assert sentence in str(app.screen.query_one("#detail").render())
            await pilot.press(leave)
            await pilot.pause()
            assert isinstance(app.screen, DeckScreen) and host.commands == []
        await pilot.press("g", "x", "y")
        await pilot.pause()
        assert host.commands == ["stop live-1"]
        assert "draining, nothing new is opened" in toasts(app)


async def test_what_can_be_started_stopped_and_copied_is_told_run_by_run() -> None:
    async with console() as (app, host, pilot):
        assert "run.again" in greyed(app)
        await pilot.press("s")
        await pilot.pause()
        assert host.commands == [] and "sma-cross BTCUSDT is running already" in toasts(app)
        await pilot.press("y")
        await pilot.pause()
        assert app.clipboard.split("\t")[1:3] == ["BTCUSDT", "sma-cross"]
        assert "43,210.50" in app.clipboard
        assert "copied" in toasts(app)

        await pilot.press(*"jjjj", "x")
        await pilot.pause()
        assert "is draining already" in toasts(app)
        await pilot.press("s")
        await pilot.pause()
        assert host.commands == ["again live-5"], "a draining run is resumed"

        await pilot.press("G", "s")
        await pilot.pause()
        assert host.commands == ["again live-5", "again live-8"], "an ended one is started again"
        assert "run.stop" in greyed(app)
        await pilot.press("x")
        await pilot.pause()
        assert "sma-cross LTCUSDT is not running (done)" in toasts(app)
        host.refusal = "live-8 does not exist any more [b]really[/b]"
        await pilot.press("s")
        await pilot.pause()
        assert "start refused" in toasts(app)
        assert "does not exist any more [b]really[/b]" in toasts(app)

        host.commands.clear()
        await pilot.press("tab", "x", "s")
        await pilot.pause()
        assert {"run.stop", "run.again", "open"} <= greyed(app)
        assert host.commands == [] and "shift+tab goes to the runs" in toasts(app)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_the_header_has_badge_silence_and_errors(size: tuple[int, int]) -> None:
    now = [HEARTBEAT + 0.2]
    async with console(size=size, clock=lambda: now[0]) as (app, host, pilot):
        assert "SIGNALS ONLY - no orders are sent" in header(app)
        assert "[Deck]" in header(app) and "10:24:05 UTC" in header(app)
        wide = size == LARGE
        assert ("engine alive" if wide else "● alive") in header(app)
        now[0] = HEARTBEAT + 7.0
        silent = "ENGINE SILENT 7s"
        assert (f"{silent} - figures are old" if wide else silent) in header(app)
        assert "10:24:12 UTC" in header(app), "the clock goes on"
        beat = replace(host.snapshot.header, heartbeat=HEARTBEAT + 7.0)
        host.swap(replace(host.snapshot, header=beat), "header")
        await pilot.pause()
        assert ("engine alive" if wide else "● alive") in header(app)

        assert "3 unseen errors" in header(app)
        await pilot.press("tab")
        await pilot.pause()
        assert "unseen" not in header(app)
        await pilot.press("shift+tab")
        host.swap(replace(host.snapshot, header=replace(beat, trouble="file is gone")), "header")
        await pilot.pause()
        assert "STATE FILE IS GONE" in header(app)
        bare = replace(beat, errors=4, exchanges=(ExchangeHealth("kraken"),))
        host.swap(replace(host.snapshot, header=bare), "header")
        await pilot.pause()
        assert "1 unseen error" in header(app) and "STATE" not in header(app)
        assert not wide or "kraken no bar yet" in header(app)
        await pilot.press("2")
        await pilot.pause()
        assert "unseen" not in header(app)
        await pilot.press("slash", *"opened", "enter")
        host.swap(replace(host.snapshot, header=replace(bare, errors=5)), "header")
        await pilot.pause()
        assert "1 unseen error" in header(app), "it may be among what the search leaves out"
        await pilot.press("5")
        await pilot.pause()
        assert "SIGNALS ONLY - no orders are sent" in header(app)
        assert "[Backtests]" in header(app)


async def test_enter_opens_a_run_and_shows_everything_about_an_entry() -> None:
    async with console() as (app, _, pilot):
        await pilot.press(*"jjjjjj", "enter")
        await pilot.pause()
        assert isinstance(app.screen, InstanceScreen) and app.screen.run_id == "live-7"
        await pilot.press("escape", "tab", "j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog)
        facts = str(app.screen.query("#facts Static").first().render())
        assert "signal-60" in facts and "fast over slow" in facts
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, DeckScreen)


async def test_an_accelerated_clock_runs_at_its_speed() -> None:
    fast = snapshot()
    fast = replace(fast, header=replace(fast.header, speed=60.0, badge="SIMULATED x60"))
    async with console(fast, clock=lambda: HEARTBEAT + 1.5) as (app, _, _):
        assert "SIMULATED x60" in header(app) and "10:25:35 UTC" in header(app)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_what_waits_milestones_and_refusals_stand_below_and_open(
    size: tuple[int, int],
) -> None:
    async with console(size=size) as (app, host, pilot):
        shown = deck(app)
        await pilot.press("tab", "tab")
        await pilot.pause()
        assert "-0.54" in lines(shown.scheduled)[1] and "1 waiting" in "".join(
            lines(shown.scheduled_pane.title)
        )
        await pilot.press("c", "y")
        await pilot.pause()
        assert host.commands == ["cancel live-3"], "a signal is cancelled where it is listed"
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, InstanceScreen) and app.screen.run_id == "live-3"
        await pilot.press("escape", "tab", "x")
        assert "the keys are in another pane" in toasts(app) and len(host.commands) == 1
        await pilot.press("j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, LifeScreen)
        await pilot.press("escape", "tab")
        await pilot.pause()
        assert "at most 3 positions at once" in lines(shown.refusals)[1]
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, DetailDialog)
        assert "how often" in str(app.screen.query("#facts Static").first().render())
        await pilot.press("escape", "tab")
        await pilot.pause()
        assert shown.instances.has_focus
        fewer = replace(snapshot(), rejections=(), milestones=())
        host.swap(fewer, "risk", "milestones")
        await pilot.press("shift+tab")
        await pilot.pause()
        assert "no signal has been rejected" in "\n".join(lines(shown.refusals))
