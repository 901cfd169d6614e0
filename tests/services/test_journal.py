"""Journals: counts over everything, lists of the newest, and a session that a restart divides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.changes import InstanceRecord, RunState
from engine.domain.events import Partial, RiskRejection
from engine.domain.signals import (
    Active,
    Cancelled,
    CancelReason,
    Closed,
    CloseReason,
    Mode,
    Opened,
    OpenPosition,
    PnL,
    Position,
    RunKey,
    Scheduled,
    ScheduledSignal,
    SignalRow,
)
from engine.domain.time import MINUTE
from engine.services.journal import LEAST_SHOWN, LIVE_SHOWN, SHOWN, Recorder, RunJournal

LIVE = RunKey(Mode.LIVE, "exchange", "strategy", "BTCUSDT")
TEST = RunKey(Mode.BACKTEST, "exchange", "strategy", "BTCUSDT", "frame")
T0 = 1_704_067_200_000


def at(minute: int) -> int:
    return T0 + minute * MINUTE


def row_of(name: str, scheduled: int, opened: int | None = None) -> SignalRow:
    pending = at(scheduled if opened is None else opened)
    return SignalRow(
        name, LIVE.symbol, LIVE.strategy_name, LIVE.exchange_name, Position.LONG, 100.0, 110.0,
        90.0, 60, at(scheduled), pending, opened is None,
    )  # fmt: skip


def closed(row: SignalRow, minute: int, percent: float = 1.0, key: RunKey = LIVE) -> Closed:
    money = PnL(percent, 100.0, 101.0, 100.1, 100.9)
    reason = CloseReason.TAKE_PROFIT
    return Closed(key, at(minute), 101.0, row, reason, at(minute), money)


def test_a_new_session_begins_with_nothing() -> None:
    recorder = Recorder()
    assert recorder.of(TEST) is None
    first = recorder.begin(TEST)
    first.note(closed(row_of("a", 0, 0), 3, key=TEST))
    first.note_refusals([refusal(1)])
    second = recorder.begin(TEST)
    assert recorder.of(TEST) is second and recorder.journals == {TEST: second}
    assert (len(second.trades), second.refusals.total, second.counts.total()) == (0, 0, 0)


def refusal(minute: int) -> RiskRejection:
    return RiskRejection(
        LIVE, "limit", LIVE.symbol, LIVE.strategy_name, LIVE.exchange_name, row_of("r", minute),
        100.0, 3, "full", at(minute),
    )  # fmt: skip


def milestone(minute: int, side: Any, level: int) -> Partial:
    return Partial(
        side, LIVE, LIVE.symbol, LIVE.strategy_name, LIVE.exchange_name, row_of("p", 0, 0), 101.0,
        level, False, at(minute),
    )  # fmt: skip


def test_counts_are_over_everything_and_lists_hold_the_newest() -> None:
    journal = RunJournal(LIVE)
    for minute in range(0, 3000, 3):
        row = row_of(f"s{minute}", minute, minute)
        journal.note(Opened(LIVE, at(minute), 100.0, row))
        journal.note(closed(row, minute + 1))
        journal.note_refusals([refusal(minute), refusal(minute)])
        journal.note_milestones([milestone(minute, "profit", 10), milestone(minute, "loss", 10)])
    assert journal.counts == {"opened": 1000, "closed": 1000}
    assert len(journal.all_trades()) == 1000
    assert (len(journal.trades), len(journal.events)) == (SHOWN, SHOWN)
    assert journal.trades[-1].signal.id == "s2997"
    assert (journal.refusals.total, journal.rejections) == (2000, 1000)
    assert dict(journal.refusals.by_symbol) == {"BTCUSDT": 2000}
    assert (journal.milestones.profit, journal.milestones.loss) == (1000, 1000)
    for events in (journal.refusals.events, journal.milestones.events):
        assert len(events) == SHOWN


def test_many_live_runs_share_the_places_in_lists_and_lose_no_count() -> None:
    recorder = Recorder()
    journals = [
        recorder.begin(replace(LIVE, symbol=f"S{n}"), at(0)) for n in range(LIVE_SHOWN // 50)
    ]
    for journal in (journals[0], journals[-1]):
        for minute in range(300):
            row = row_of(f"s{minute}", minute, minute)
            journal.note(closed(row, minute + 1))
            journal.note_milestones([milestone(minute, "profit", 10)])
        assert (len(journal.trades), len(journal.milestones.events)) == (50, 50)
        assert (len(journal.all_trades()), journal.milestones.profit) == (300, 300)
    for n in range(LIVE_SHOWN // 50):
        recorder.begin(replace(LIVE, symbol=f"T{n}"), at(0))
    assert len(journals[0].trades) == LEAST_SHOWN and len(journals[0].all_trades()) == 300
    assert journals[0].trades[-1].signal.id == "s299"
    tests = recorder.begin(TEST)
    assert isinstance(tests.trades, list)


def test_a_backtest_keeps_its_trades_whole_and_no_milestones() -> None:
    journal = RunJournal(TEST)
    made = [closed(row_of(f"s{n}", n, n), n + 1, key=TEST) for n in range(600)]
    for trade in made:
        journal.note(trade)
    journal.note_milestones([milestone(1, "profit", 10)])
    assert journal.all_trades() == tuple(made)
    assert journal.milestones.profit == 0


def test_what_goes_on_is_one_entry_brought_up_to_date() -> None:
    journal = RunJournal(LIVE)
    waiting, opened = row_of("a", 0), row_of("a", 0, 4)
    journal.note(Scheduled(LIVE, at(0), 100.0, waiting))
    for minute in (1, 2, 3):
        journal.note_active(Active(LIVE, at(minute), 100.0, waiting))
    journal.note(Opened(LIVE, at(4), 100.0, opened))
    for minute in (5, 6):
        journal.note_active(Active(LIVE, at(minute), 101.0, opened, 10.0))
    journal.note(closed(opened, 7))
    shown = [(str(event.action), (event.when - T0) // MINUTE) for event in journal.events]
    assert shown == [
        ("scheduled", 0), ("active", 3), ("opened", 4), ("active", 6), ("closed", 7)
    ]  # fmt: skip
    assert journal.counts == {"scheduled": 1, "active": 2, "opened": 1, "closed": 1}
    assert journal.counts.total() == len(journal.events)


def test_a_signal_that_opened_at_once_was_not_scheduled() -> None:
    journal = RunJournal(LIVE)
    journal.note(Opened(LIVE, at(0), 100.0, row_of("a", 0, 0)))
    assert (journal.schedule.opened, len(journal.schedule.events)) == (0, 0)


# -- a restart in the middle ---------------------------------------------------------------------


class Life:
    """A run as the engine would live it, told to a journal and to a store at the same time."""

    def __init__(self) -> None:
        self.journal = RunJournal(LIVE, T0)
        self.state = RunState(instance=InstanceRecord("running", {}, (), "", "", 1, T0))
        self.stored: list[Any] = []
        self.minute = 0

    def transition(self, result: Any, held: Any) -> None:
        self.journal.note(result)
        self.stored.append(result)
        self.state = replace(self.state, held=held)
        if isinstance(result, Closed):
            self.state = replace(self.state, trades=(*self.state.trades, result))
        elif isinstance(result, Cancelled):
            self.state = replace(self.state, cancelled=(*self.state.cancelled, result))

    def counted(self, event: Any, name: str) -> None:
        self.stored.append(event)
        counts = {**self.state.counts, name: self.state.counts.get(name, 0) + 1}
        self.state = replace(self.state, counts=counts)

    def goes_on(self, row: SignalRow, minutes: int) -> None:
        for _ in range(minutes):
            self.minute += 1
            self.journal.note_active(Active(LIVE, at(self.minute), 100.0, row))
        self.minute += 1

    def restart(self) -> None:
        self.journal = RunJournal(LIVE, T0)
        self.journal.restore(self.state, self.stored[-40:])

    def step(self, kind: str, minutes: int, restart: bool) -> None:
        """One thing a run does, and somewhere in the middle of it a restart."""
        start, name = self.minute, f"{kind}{self.minute}"
        if kind == "refused":
            event = replace(refusal(start), pending_signal=row_of(name, start))
            self.journal.note_refusals([event])
            self.counted(event, "risk")
            self.minute += 1
        elif kind == "scheduled":
            row = row_of(name, start)
            self.transition(Scheduled(LIVE, at(start), 100.0, row), ScheduledSignal(row))
            self.goes_on(row, minutes)
            if restart:
                self.restart()
            when = at(self.minute)
            end = Cancelled(LIVE, when, 100.0, row, CancelReason.TIMEOUT, when)
            self.transition(end, None)
        else:
            row = row_of(name, start, start)
            if kind == "activated":
                waiting = row_of(name, start)
                scheduled = Scheduled(LIVE, at(start), 100.0, waiting)
                self.transition(scheduled, ScheduledSignal(waiting))
                self.goes_on(waiting, minutes)
                row = row_of(name, start, self.minute)
            self.transition(Opened(LIVE, row.pending_at, 100.0, row), OpenPosition(row))
            event = milestone(self.minute, "profit", 10)
            self.journal.note_milestones([event])
            self.counted(event, "partial_profit")
            if restart:
                self.restart()
            self.goes_on(row, minutes)
            self.transition(closed(row, self.minute, minutes - 2.0), None)
        self.minute += 1


def figures(journal: RunJournal) -> dict[str, Any]:
    s = journal.schedule
    return {
        "counts": {name: count for name, count in journal.counts.items() if count},
        "schedule": (s.scheduled, s.opened, s.cancelled, s.minutes_to_open, s.minutes_to_cancel),
        "milestones": (journal.milestones.profit, journal.milestones.loss),
        "refusals": (journal.refusals.total, dict(journal.refusals.by_symbol), journal.rejections),
        "trades": journal.all_trades(),
    }


steps = st.lists(
    st.tuples(
        st.sampled_from(("opened", "scheduled", "activated", "refused")), st.integers(0, 4),
        st.booleans(),
    ),
    max_size=30,
)  # fmt: skip


@given(steps, st.booleans())
def test_a_session_divided_by_restarts_has_the_figures_of_an_undivided_one(
    plan: list[Any], at_the_end: bool
) -> None:
    whole, divided = Life(), Life()
    for kind, minutes, restart in plan:
        whole.step(kind, minutes, False)
        divided.step(kind, minutes, restart)
    if at_the_end:
        divided.restart()
    assert figures(divided.journal) == figures(whole.journal)
    ends = [e for e in whole.journal.events if isinstance(e, Closed | Cancelled)]
    assert [e for e in divided.journal.events if isinstance(e, Closed | Cancelled)] == ends


def test_a_restart_shows_nothing_of_the_session_before() -> None:
    state = RunState(instance=InstanceRecord("running", {}, (), "", "", 2, at(100)))
    old = row_of("old", 50, 50)
    stored = [
        Opened(LIVE, at(50), 100.0, old), closed(old, 60), refusal(61), milestone(55, "loss", 10),
        Opened(LIVE, at(100), 100.0, row_of("new", 100, 100)),
    ]  # fmt: skip
    journal = RunJournal(LIVE, at(100) + 30_000)
    journal.restore(state, stored)
    assert [event.signal.id for event in journal.events] == ["new"]
    assert (len(journal.refusals.events), len(journal.milestones.events)) == (0, 0)
    assert journal.all_trades() == ()
