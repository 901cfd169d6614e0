from __future__ import annotations

import asyncio
from dataclasses import replace

from textual.screen import Screen

from screens.confirm import ConfirmDialog
from screens.sample import HEARTBEAT, feed, snapshot
from screens.toasts import HELD, WINDOW, ToastQueue, single, together
from tests.screens.bed import console, toasts, until

OPENED, REJECTED, CLOSED, _, _, ERROR = feed(6)


def test_the_first_notice_is_shown_at_once() -> None:
    toast = ToastQueue().offer(CLOSED, 10.0)
    assert toast is not None
    assert toast.title == "closed long SOLUSDT" and toast.severity == "information"
    assert toast.message == "breakout, at 99.6100, +0.82 %, take profit"


def test_a_burst_becomes_one_more_toast() -> None:
    queue = ToastQueue()
    assert queue.offer(OPENED, 0.0) is not None
    for entry in (OPENED, CLOSED, ERROR, OPENED):
        assert queue.offer(entry, 1.0) is None
    assert queue.due(WINDOW - 0.1) is None
    toast = queue.due(WINDOW)
    assert toast is not None
    assert toast.title == "1 error, 2 opened, 1 closed" and toast.severity == "error"
    assert "get_signal: KeyError: 'rsi'" in toast.message
    assert queue.due(WINDOW + 0.1) is None
    assert queue.offer(OPENED, WINDOW + 1) is None, "the window opened again"
    assert queue.due(2 * WINDOW + 1) is not None
    assert queue.offer(OPENED, 4 * WINDOW) is not None, "after a quiet time at once"


def test_a_dialog_is_not_covered_for_a_while() -> None:
    queue = ToastQueue()
    assert queue.offer(OPENED, 0.0, dialog=True) is None
    assert queue.offer(OPENED, 5.0, dialog=True) is None
    assert queue.due(HELD - 0.1, dialog=True) is None
    assert queue.due(HELD, dialog=True) == single(OPENED, 2), "nor is it kept back for ever"
    assert queue.offer(CLOSED, HELD + WINDOW, dialog=True) is None
    assert queue.due(HELD + WINDOW) == single(CLOSED)


def test_equal_notices_collapse_into_a_count() -> None:
    toast = together([ERROR] * 37)
    assert toast.title.endswith("37") and "error DOGEUSDT" in toast.title
    assert toast.message == single(ERROR).message


def test_every_kind_has_its_weight() -> None:
    assert single(REJECTED).severity == "warning"
    assert single(ERROR).severity == "error"
    assert single(OPENED).severity == "information"


async def test_notices_of_the_host_become_toasts_without_markup() -> None:
    now = [HEARTBEAT]
    async with console(clock=lambda: now[0]) as (app, host, pilot):
        strange = replace(ERROR, detail="[b]boom[/b] \x1b[31m", symbol="均线")
        host.swap(snapshot(), "feed", notice=strange)
        await pilot.pause()
        assert "error 均线" in toasts(app) and "[b]boom[/b]  [31m" in toasts(app)
        for _ in range(50):
            host.swap(snapshot(), "feed", notice=OPENED)
        await pilot.pause()
        assert "50" not in toasts(app)
        now[0] += WINDOW
        await until(pilot, lambda: "50" in toasts(app))
        assert toasts(app).count("opened long BTCUSDT") == 1, "fifty notices, one toast"
        now[0] += WINDOW
        await pilot.press("x")
        host.swap(snapshot(), "feed", notice=CLOSED)
        await pilot.pause()
        assert isinstance(app.screen, ConfirmDialog) and "closed long" not in toasts(app)
        await pilot.press("escape")
        await until(pilot, lambda: "closed long SOLUSDT" in toasts(app))


async def test_news_while_the_screens_are_taken_down_harm_nothing() -> None:
    gone: list[bool] = []

    class TakesItsTime(Screen[None]):
        async def on_unmount(self) -> None:
            gone.append(not app.screen_stack)
            host.swap(snapshot(), "feed", notice=OPENED)
            await asyncio.sleep(0.6)  # the app looks for gathered toasts every half second

    async with console() as (app, host, pilot):
        app.action_go("log")
        await pilot.pause()
        await app.push_screen(TakesItsTime())
        app.action_go("deck")  # the screens in front are the first to go
        await pilot.pause()
    assert gone == [True]
