"""Timings: what was left behind in passing becomes the durations a stopwatch would have shown."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.events import Performance
from engine.domain.signals import Mode, RunKey
from engine.services import timings
from engine.services.timings import NEWEST, Timings

KEY = RunKey(Mode.BACKTEST, "exchange", "strategy", "BTCUSDT", "frame")


class Watch:
    """Stands in for the monotonic clock: every look takes a given time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(timings.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(timings.time, "time", lambda: self.now + 500.0)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def asked(made: Timings, watch: Watch, *gaps: float) -> None:
    """One question per gap, each taking that many seconds."""
    for gap in gaps:
        made.asked.append(watch.now)
        watch.now += gap
    made.end_stretch()


def facts(events: Any) -> list[tuple[str, float, float, float | None]]:
    return [
        (e.metric_type, round(e.duration, 6), round(e.timestamp, 6),
         None if e.previous_timestamp is None else round(e.previous_timestamp, 6))
        for e in events
    ]  # fmt: skip


def test_a_run_as_it_happens(watch: Watch) -> None:
    made, heard = Timings(KEY), list[Performance]()
    asked(made, watch, 0.001, 0.002)
    started = watch.now
    watch.now += 0.5
    made.note("backtest_signal", started)
    watch.now += 1.0
    asked(made, watch, 0.003)
    made.note("backtest_total", 1000.0)
    made.drain(heard.append)
    wall = 1_500_000.0
    assert facts(heard) == [
        ("backtest_timeframe", 1.0, wall + 1.0, None),
        ("backtest_timeframe", 2.0, wall + 3.0, wall + 1.0),
        ("backtest_signal", 500.0, wall + 503.0, wall + 3.0),
        ("backtest_timeframe", 3.0, wall + 1506.0, wall + 503.0),
        ("backtest_total", 1506.0, wall + 1506.0, wall + 1506.0),
    ]
    assert all(event.backtest and event.symbol == "BTCUSDT" for event in heard)
    frames = made.by_type["backtest_timeframe"]
    assert (frames.durations.count, frames.durations.maximum) == (3, pytest.approx(3.0))
    # The first one waited for nothing, the third for the signal and the pause after it.
    assert frames.waits.count == 2
    assert frames.waits.maximum == pytest.approx(1003.0)
    assert facts(made.newest) == facts(reversed(heard))


def test_a_stretch_that_goes_on_keeps_its_newest_question(watch: Watch) -> None:
    made = Timings(KEY)
    for _ in range(3):
        made.asked.append(watch.now)
        watch.now += 0.25
    assert made.by_type["backtest_timeframe"].durations.count == 2
    made.end_stretch()
    made.end_stretch()  # nothing more ends
    found = made.by_type["backtest_timeframe"]
    assert (found.durations.count, found.durations.total) == (3, pytest.approx(750.0))
    assert found.waits.total == pytest.approx(500.0)


def test_nothing_measured() -> None:
    made = Timings(KEY)
    made.end_stretch()
    made.drain(lambda event: pytest.fail(f"published {event}"))
    assert (dict(made.by_type), made.newest) == ({}, ())


@given(
    st.lists(
        st.tuples(st.sampled_from(("ask", "signal", "end", "drain")), st.integers(1, 50)),
        max_size=60,
    )
)
def test_however_often_it_is_drained_the_figures_are_the_same(steps: list[Any]) -> None:
    """Drained now and then or once at the end; both equal a stopwatch's list."""
    with pytest.MonkeyPatch.context() as patch:
        watch = Watch(patch)
        often, once, expected = Timings(KEY), Timings(KEY), list[tuple[str, float, float]]()
        open_since: float | None = None
        for kind, ticks in steps:
            if kind == "drain":
                often.drain()
                continue
            if kind == "ask":
                if open_since is not None:
                    expected.append(("backtest_timeframe", open_since, watch.now))
                open_since = watch.now
                for made in (often, once):
                    made.asked.append(watch.now)
            else:
                if open_since is not None:
                    expected.append(("backtest_timeframe", open_since, watch.now))
                open_since = None
                for made in (often, once):
                    made.end_stretch()
                if kind == "signal":
                    started = watch.now
                    watch.now += ticks / 1024
                    for made in (often, once):
                        made.note("backtest_signal", started)
                    expected.append(("backtest_signal", started, watch.now))
            watch.now += ticks / 1024
        for made in (often, once):
            for metric in ("backtest_timeframe", "backtest_signal"):
                durations = [
                    (end - start) * 1000 for kind, start, end in expected if kind == metric
                ]
                waits = [
                    (this[2] - before[2]) * 1000
                    for before, this in pairwise(expected)
                    if this[0] == metric
                ]
                timing = made.by_type.get(metric)
                assert (timing.durations.count if timing else 0) == len(durations)
                if timing:
                    assert timing.durations.total == pytest.approx(sum(durations))
                    assert timing.waits.count == len(waits)
                    assert timing.waits.total == pytest.approx(sum(waits))
        assert [e.duration for e in often.newest] == [e.duration for e in once.newest]


def test_lists_and_what_waits_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timings, "_MOST_ASKED", 1000)
    monkeypatch.setattr(timings, "_MOST_SPANS", 300)
    made = Timings(KEY)
    for _ in range(50):
        for _ in range(100):
            made.asked.append(time.monotonic())
        made.end_stretch()
        made.note("live_tick", time.monotonic())
        assert len(made.asked) <= 1101
        assert len(made._spans) <= 303
    assert len(made.newest) == NEWEST
    assert made.by_type["backtest_timeframe"].durations.count == 5000
    assert made.by_type["live_tick"].durations.count == 50
