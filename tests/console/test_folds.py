from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.deck import DeckState
from console.folds import (
    MILESTONES,
    REASONS,
    SAMPLES,
    MeterFold,
    MilestoneFold,
    RiskFold,
    nearest_rank,
    stretches,
)
from console.logs import LONGEST, LogBuffer, log_path, log_place, open_log
from console.views import InstanceView, ProfileView
from engine.domain.errors import RunError
from engine.domain.events import InstanceChanged, Partial, Performance, RiskRejection
from engine.domain.signals import Mode, Opened, Position, RunKey, SignalRow

T0 = 1_700_000_040_000
KEY = RunKey(Mode.LIVE, "sim", "breakout", "BTCUSDT")
ROW = SignalRow(
    "s1", "BTCUSDT", "breakout", "sim", Position.LONG, 100.0, 102.0, 99.0, 60, T0, T0, False, "why"
)


def partial(level: int, side: str = "profit", backtest: bool = False) -> Partial:
    return Partial(
        side,
        KEY,
        "BTCUSDT",
        "breakout",
        "sim",
        ROW,
        100.0 + level / 50,
        level,
        backtest,
        T0,  # type: ignore[arg-type]
    )


def refusal(reason: str = "too many", taken: int = 3, profile: str = "calm") -> RiskRejection:
    return RiskRejection(KEY, profile, "BTCUSDT", "breakout", "sim", ROW, 100.0, taken, reason, T0)


def holding(state: DeckState) -> InstanceView:
    (view,) = state.snapshot(T0, 1.0).instances
    return view


def test_milestones_are_newest_first_numbered_and_bounded() -> None:
    fold = MilestoneFold()
    for _ in range(MILESTONES + 5):
        fold.add(partial(10))
    views = fold.views()
    assert len(views) == MILESTONES and views[0].number == MILESTONES + 5
    assert [v.number for v in views] == sorted((v.number for v in views), reverse=True)
    assert (views[0].side, views[0].level, views[0].signal_id) == ("profit", 10, "s1")


def test_a_position_remembers_the_highest_milestone_of_either_side() -> None:
    state = DeckState(badge="")
    state.apply(InstanceChanged("i1", KEY, "running", Mode.LIVE))
    state.apply(Opened(KEY, T0, 100.0, ROW))
    for level in (10, 20, 30):
        state.apply(partial(level))
    state.apply(partial(10, "loss"))
    state.apply(partial(20))
    view = holding(state)
    assert (view.profit_level, view.loss_level, view.signal_id) == (30, 10, "s1")
    assert view.since == T0
    state.apply(partial(90, backtest=True))
    assert holding(state).profit_level == 30, "a backtest's milestones are none of the deck's"
    before = state.snapshot(T0, 1.0).versions
    state.apply(partial(40))
    after = state.snapshot(T0, 1.0).versions
    assert (after.milestones, after.feed) == (before.milestones + 1, before.feed)
    other = replace(ROW, id="s2")
    state.apply(Opened(KEY, T0, 100.0, other))
    state.apply(partial(90))
    assert holding(state).profit_level == 40, "an earlier signal's milestone moves no ladder"


def test_refusals_are_counted_by_profile_and_reason() -> None:
    fold = RiskFold()
    for taken in (3, 3, 2):
        fold.refuse(refusal(taken=taken), "too many")
    fold.refuse(refusal("closed", 0), "closed")
    newest, first = fold.rejections()
    assert (newest.reason, newest.count, newest.taken) == ("closed", 1, 0)
    assert (first.reason, first.count, first.taken) == ("too many", 3, 2)
    fold.put_profiles([ProfileView("calm", strategies=("breakout", "other")), ProfileView("free")])
    calm, free = fold.profiles({"breakout": ["i1", "i2"], "alone": ["i3"]})
    assert (calm.active, calm.refusals, calm.refused_at) == (("i1", "i2"), 4, 0)
    assert (free.active, free.refusals, free.refused_at) == ((), 0, None)


def test_reasons_that_differ_every_time_do_not_pile_up() -> None:
    fold = RiskFold()
    for number in range(REASONS + 50):
        fold.refuse(refusal(), f"price {number}")
    views = fold.rejections()
    assert len(views) == REASONS and views[0].reason == f"price {REASONS + 49}"


def test_an_open_position_takes_its_profiles_slot_until_it_closes() -> None:
    state = DeckState(badge="")
    state.put_profiles([ProfileView("calm", strategies=("breakout",))])
    state.apply(InstanceChanged("i1", KEY, "running", Mode.LIVE))
    state.apply(Opened(KEY, T0, 100.0, ROW))
    (profile,) = state.snapshot(T0, 1.0).profiles
    assert profile.active == ("i1",)
    state.apply(refusal())
    shot = state.snapshot(T0, 1.0)
    assert shot.profiles[0].refusals == 1 and shot.rejections[0].count == 1
    state.apply(InstanceChanged("i1", KEY, "done", Mode.LIVE))
    assert state.snapshot(T0, 1.0).profiles[0].active == ()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.floats(0, 100))
def test_percentiles_are_samples_and_ordered(samples: list[float], percent: float) -> None:
    ordered = sorted(samples)
    found = nearest_rank(ordered, percent)
    assert found in samples
    assert sum(value <= found for value in samples) * 100 >= percent * len(samples) * (1 - 1e-9)
    assert nearest_rank(ordered, 100) == max(samples) and nearest_rank(ordered, 0) == min(samples)


def test_percentiles_follow_the_nearest_rank() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert [nearest_rank(ordered, p) for p in (50, 95, 99)] == [50, 95, 99]


@given(st.lists(st.floats(0, 1e6), max_size=200), st.integers(1, 30))
def test_stretches_keep_order_and_level(samples: list[float], amount: int) -> None:
    found = stretches(samples, amount)
    assert len(found) == min(len(samples), amount)
    if samples:
        assert min(samples) * (1 - 1e-9) <= min(found) and max(found) <= max(samples) * (1 + 1e-9)


def test_measurements_count_everything_and_keep_the_newest() -> None:
    fold = MeterFold()
    for number in range(SAMPLES + 100):
        fold.add("tick", "ms", float(number))
    fold.add("memory", "MB", 5.0)
    tick, memory = fold.views()
    assert (tick.count, tick.last, tick.mean) == (SAMPLES + 100, SAMPLES + 99, (SAMPLES + 99) / 2)
    assert tick.p99 > tick.p95 > tick.p50 >= 100 and len(tick.recent) == 16
    assert (memory.unit, memory.p50, memory.recent) == ("MB", 5.0, (5.0,))


def test_measurements_are_shown_when_told_and_not_with_every_tick() -> None:
    state = DeckState(badge="")
    state.apply(Performance(1.0, None, "live_tick", 2.5, "breakout", "sim", "BTCUSDT", False))
    assert state.snapshot(T0, 1.0).metrics == () and state.applied == 1
    state.publish_metrics()
    (metric,) = state.snapshot(T0, 1.0).metrics
    assert (metric.name, metric.unit, metric.last) == ("live_tick", "ms", 2.5)


def test_an_error_keeps_its_whole_text_and_its_traceback_on_demand() -> None:
    state = DeckState(badge="")
    state.apply(InstanceChanged("i1", KEY, "running", Mode.LIVE))
    try:
        raise ValueError("first line\nsecond line")
    except ValueError as error:
        cause = error
    state.apply(
        RunError(
            cause, stage="validation", mode="live", symbol="BTCUSDT", strategy_name="breakout",
            exchange_name="sim", when=T0,
        )
    )  # fmt: skip
    (entry,) = state.snapshot(T0, 1.0).feed
    assert entry.detail == "validation: ValueError: first line"
    assert entry.full == "validation: ValueError: first line\nsecond line"
    whole = state.failure(KEY)
    assert "Traceback (most recent call last)" in whole and "raise ValueError" in whole
    assert state.failure(replace(KEY, symbol="X")) == ""


@pytest.fixture
def buffer() -> Iterator[LogBuffer]:
    logger = logging.getLogger("signaldeck")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.propagate = False  # pytest's own handler would choke on the broken record
    handler = LogBuffer(size=5)
    handler.open()
    yield handler
    handler.close()
    logger.setLevel(level)
    logger.propagate = True
    assert handler not in logger.handlers


def test_the_log_keeps_the_newest_lines_with_tracebacks(buffer: LogBuffer) -> None:
    log = logging.getLogger("signaldeck.run")
    log.debug("not kept")
    for number in range(6):
        log.info("line %d", number)
    try:
        raise KeyError("rsi")
    except KeyError:
        log.exception("failed")
    log.warning("%d of %d", 1)
    log.error("x" * (LONGEST + 5))
    lines = buffer.lines()
    assert buffer.total == 9 and [line.number for line in lines] == [9, 8, 7, 6, 5]
    assert [line.level for line in lines] == ["error", "warning", "error", "info", "info"]
    assert len(lines[0].message) == LONGEST
    assert "cannot be formatted" in lines[1].message
    assert (
        lines[2].message.startswith("failed\nTraceback") and "KeyError: 'rsi'" in lines[2].message
    )
    assert lines[4].logger == "signaldeck.run" and buffer.lines() is lines


def test_the_log_reaches_the_snapshot_only_when_it_moved() -> None:
    state = DeckState(badge="")
    before = state.snapshot(T0, 1.0).versions.log
    state.put_log((), 0, "/somewhere/signaldeck.log")
    assert state.snapshot(T0, 1.0).log_file == "/somewhere/signaldeck.log"
    state.put_log((), 0, "/somewhere/signaldeck.log")
    assert state.snapshot(T0, 1.0).versions.log == before + 1


def test_a_log_that_cannot_be_written_is_told_where_its_path_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("signaldeck")
    for name, value in (("handlers", []), ("propagate", True), ("level", logging.INFO)):
        monkeypatch.setattr(logger, name, value)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert log_place() == str(log_path())
    problem = open_log()
    assert problem.startswith(f"{log_path()} cannot be written: ")
    assert log_place() == f"none: {problem}"
