"""The table of triggers, row by row, for longs and for mirrored shorts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.lifecycle import (
    BarClose,
    Cancel,
    EntryReached,
    Exit,
    Progress,
    Waiting,
    activated,
    advanced,
    settle_position,
    settle_scheduled,
)
from engine.domain.settings import Settings
from engine.domain.signals import (
    CancelReason,
    CloseReason,
    OpenPosition,
    Position,
    ScheduledSignal,
    SignalRow,
)

MINUTE = 60_000
AT = 500 * MINUTE
TP, SL, EXPIRED = CloseReason.TAKE_PROFIT, CloseReason.STOP_LOSS, CloseReason.TIME_EXPIRED
SIDES = pytest.mark.parametrize("side", [Position.LONG, Position.SHORT])


def price(side: Position, value: float) -> float:
    """Prices are written for a long around 100; a short sees them mirrored."""
    return value if side is Position.LONG else 200 - value


def row(side: Position, minutes: int = 60) -> SignalRow:
    entry, target, stop = (price(side, value) for value in (100, 110, 90))
    return SignalRow("id", "S", "s", "x", side, entry, target, stop, minutes, AT, AT, True)


def bar(
    side: Position,
    *,
    open: float = 100,
    best: float = 100,
    worst: float = 100,
    vwap: float = 100,
    market: float = 100,
    after: int = 1,
) -> BarClose:
    """A bar ``after`` minutes after the signal; ``best`` is the extreme on the target's side."""
    high, low = (best, worst) if side is Position.LONG else (200 - worst, 200 - best)
    return BarClose(
        AT + after * MINUTE, price(side, open), high, low, price(side, market), price(side, vwap),
        price(side, market),
    )  # fmt: skip


def choice(trigger: str, **changes: object) -> Settings:
    return Settings().updated({"exit_trigger": trigger, **changes})


@SIDES
@pytest.mark.parametrize(
    ("vwap", "market", "reason", "booked"),
    [
        (110, 108, TP, 108),  # equality hits; the market is worse than the level
        (111, 115, TP, 110),  # the level is worse than the market
        (90, 92, SL, 90),
        (89, 85, SL, 85),
    ],
)
def test_vwap_exits_book_the_worse_of_level_and_market(
    side: Position, vwap: float, market: float, reason: CloseReason, booked: float
) -> None:
    held = OpenPosition(row(side))
    outcome = settle_position(held, bar(side, vwap=vwap, market=market), choice("vwap"))
    assert outcome == Exit(reason, price(side, booked))


@SIDES
def test_vwap_ignores_what_only_the_bar_touched(side: Position) -> None:
    held = OpenPosition(row(side))
    outcome = settle_position(held, bar(side, best=150, worst=50), choice("vwap"))
    assert outcome == Progress(0.0, 0.0)


@SIDES
@pytest.mark.parametrize(
    ("opened", "best", "worst", "reason", "booked", "ambiguous"),
    [
        (100, 110, 95, TP, 110, False),
        (115, 120, 95, TP, 110, False),  # a gap beyond the target books the level
        (100, 105, 90, SL, 90, False),
        (85, 95, 80, SL, 85, False),  # a gap beyond the stop books the open
        (100, 110, 90, SL, 90, True),
        (110, 112, 85, TP, 110, False),  # opened at the target
        (90, 115, 85, SL, 90, False),  # opened at the stop
    ],
)
def test_touch_exits(
    side: Position,
    opened: float,
    best: float,
    worst: float,
    reason: CloseReason,
    booked: float,
    ambiguous: bool,
) -> None:
    held = OpenPosition(row(side))
    bar_ = bar(side, open=opened, best=best, worst=worst)
    assert settle_position(held, bar_, choice("touch")) == Exit(
        reason, price(side, booked), ambiguous
    )


@SIDES
def test_an_ambiguous_bar_may_be_set_to_win(side: Position) -> None:
    held = OpenPosition(row(side))
    both = bar(side, best=110, worst=90)
    favoured = choice("touch", ambiguous_bar="take_profit")
    assert settle_position(held, both, favoured) == Exit(TP, price(side, 110), True)
    opened_at_stop = bar(side, open=90, best=110, worst=90)
    assert settle_position(held, opened_at_stop, favoured) == Exit(SL, price(side, 90), False)


@SIDES
@pytest.mark.parametrize("trigger", ["vwap", "touch"])
def test_expiry_is_at_market_and_levels_come_first(side: Position, trigger: str) -> None:
    held = OpenPosition(row(side, minutes=3))
    late = bar(side, market=104, vwap=103, best=104, after=3)
    assert settle_position(held, late, choice(trigger)) == Exit(EXPIRED, price(side, 104))
    hit = bar(side, market=111, vwap=111, best=111, after=3)
    assert settle_position(held, hit, choice(trigger)) == Exit(TP, price(side, 110))
    early = bar(side, market=104, vwap=103, best=104, after=2)
    assert isinstance(settle_position(held, early, choice(trigger)), Progress)
    overdue = bar(side, market=104, vwap=103, best=104, after=9)
    assert settle_position(held, overdue, choice(trigger)) == Exit(EXPIRED, price(side, 104))


@SIDES
@pytest.mark.parametrize("trigger", ["vwap", "touch"])
def test_a_bar_that_opened_earlier_does_nothing(side: Position, trigger: str) -> None:
    wild = bar(side, vwap=80, market=80, best=150, worst=50, after=0)
    assert settle_position(OpenPosition(row(side)), wild, choice(trigger)) is None
    assert settle_scheduled(ScheduledSignal(row(side)), wild, choice(trigger)) is None


@SIDES
@pytest.mark.parametrize(
    ("vwap", "market", "expected"),
    [
        (100, 101, 101),  # equality enters; buying dearer than wanted is what the market pays
        (99, 97, 100),
    ],
)
def test_vwap_entry_books_the_worse_of_wanted_and_market(
    side: Position, vwap: float, market: float, expected: float
) -> None:
    outcome = settle_scheduled(
        ScheduledSignal(row(side)), bar(side, vwap=vwap, market=market), choice("vwap")
    )
    assert outcome == EntryReached(price(side, expected))


@SIDES
def test_vwap_at_the_stop_cancels(side: Position) -> None:
    outcome = settle_scheduled(
        ScheduledSignal(row(side)), bar(side, vwap=90, market=95), choice("vwap")
    )
    assert outcome == Cancel(CancelReason.STOP_LOSS)


@SIDES
def test_touch_entries(side: Position) -> None:
    held, touch = ScheduledSignal(row(side)), choice("touch")
    entry = price(side, 100)
    assert settle_scheduled(held, bar(side, open=105, worst=100), touch) == EntryReached(entry)
    assert settle_scheduled(held, bar(side, open=95, worst=94), touch) == EntryReached(entry)
    swept = settle_scheduled(held, bar(side, open=105, worst=90), touch)
    assert swept == EntryReached(entry, stop=price(side, 90))
    for opened in (90, 85):
        gap = bar(side, open=opened, worst=80)
        assert settle_scheduled(held, gap, touch) == Cancel(CancelReason.STOP_LOSS)


@SIDES
@pytest.mark.parametrize("trigger", ["vwap", "touch"])
def test_waiting_ends_on_time_and_entry_comes_first(side: Position, trigger: str) -> None:
    held, patience = ScheduledSignal(row(side)), choice(trigger, schedule_await_minutes=2)
    away = {"open": 105.0, "best": 106.0, "worst": 104.0, "vwap": 105.0, "market": 105.0}
    assert settle_scheduled(held, bar(side, **away, after=1), patience) == Waiting()
    over = settle_scheduled(held, bar(side, **away, after=2), patience)
    assert over == Cancel(CancelReason.TIMEOUT)
    there = bar(side, open=105, worst=100, vwap=100, market=100, after=2)
    assert isinstance(settle_scheduled(held, there, patience), EntryReached)


@SIDES
def test_activation_keeps_the_signal_and_books_the_price(side: Position) -> None:
    position = activated(ScheduledSignal(row(side)), 101.0, AT + 7 * MINUTE)
    assert position.row.price_open == 101.0
    assert position.row.scheduled_at == AT
    assert position.row.pending_at == AT + 7 * MINUTE
    assert not position.row.is_scheduled
    assert position.row.id == "id"


@SIDES
def test_milestones_come_in_order_and_once(side: Position) -> None:
    held = OpenPosition(row(side))
    seen = []
    for after, vwap in enumerate((102, 103.5, 101, 103.5, 99, 95, 109, 96.5), start=1):
        outcome = settle_position(held, bar(side, vwap=vwap, after=after), choice("vwap"))
        assert isinstance(outcome, Progress)
        seen.append([(one, level) for one, level in outcome.reached])
        held = advanced(held, outcome.reached)
    assert seen[:3] == [[("profit", 10), ("profit", 20)], [("profit", 30)], []]
    assert seen[3:5] == [[], [("loss", 10)]]
    assert seen[5] == [("loss", 20), ("loss", 30), ("loss", 40), ("loss", 50)]
    assert seen[6] == [("profit", level) for level in range(40, 91, 10)]
    assert seen[7] == []


@SIDES
def test_progress_is_in_percent_of_the_path(side: Position) -> None:
    held = OpenPosition(row(side))

    def made(vwap: float) -> tuple[float, float]:
        outcome = settle_position(held, bar(side, vwap=vwap), choice("touch"))
        assert isinstance(outcome, Progress)
        return outcome.percent_tp, outcome.percent_sl

    assert made(105) == (50, 0)
    assert made(92.5) == (0, 75)
    assert made(100) == (0, 0)
    assert made(130) == (100, 0), "watched beyond the target while no bar touched it"


@given(
    st.sampled_from((Position.LONG, Position.SHORT)),
    st.floats(50, 150), st.floats(50, 150), st.integers(1, 100),
)  # fmt: skip
def test_under_vwap_nothing_books_better_than_the_market(
    side: Position, vwap: float, market: float, after: int
) -> None:
    long = side is Position.LONG
    at = bar(side, vwap=vwap, market=market, after=after)
    out = settle_position(OpenPosition(row(side)), at, choice("vwap"))
    if isinstance(out, Exit):
        assert out.price <= at.market if long else out.price >= at.market
    entered = settle_scheduled(ScheduledSignal(row(side)), at, choice("vwap"))
    if isinstance(entered, EntryReached):
        assert entered.price >= at.market if long else entered.price <= at.market
