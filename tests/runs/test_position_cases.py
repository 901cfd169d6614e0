"""Waiting signals and open positions in a backtest, case by case (conformance 16.G, 16.H).

Under ``exit_trigger="touch"``. The bar opened at minute i acts at minute i + 1, when it closes, so
that every minute is one later than in an engine that looks into bars which are still open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from engine import Backtest, Signal
from tests.runs.bed import SYMBOL, Row, bar, bed, flat, minute_of

BASE = 42_000.0
TRANSITIONS = ("scheduled", "opened", "closed", "cancelled")


@dataclass
class Told:
    """What a backtest did.

    Attributes:
        events: (action, minute) of every transition.
        results: closed and cancelled results.
        called: names of the callbacks of a signal's life, in order.
    """

    events: list[tuple[str, int]]
    results: list[Any]
    called: list[str] = field(default_factory=list[str])
    statistics: Any = None

    @property
    def reasons(self) -> list[str]:
        return [str(getattr(r, "close_reason", None) or r.cancel_reason) for r in self.results]

    @property
    def booked(self) -> list[float]:
        return [r.current_price for r in self.results]


def band(
    start: int, stop: int, price: float, up: float = 1, down: float | None = None
) -> list[Row]:
    """Bars that open and close at a price and reach ``up`` above and ``down`` below it."""
    low = price - (up if down is None else down)
    return [bar(minute, price, high=price + up, low=low) for minute in range(start, stop)]


def mirrored(rows: Sequence[Row], about: float) -> list[Row]:
    """The rows upside down."""
    return [[r[0], *(2 * about - p for p in (r[1], r[3], r[2], r[4])), r[5]] for r in rows]


async def told(rows: Sequence[Row], *signals: Signal, frame: int = 200, **config: Any) -> Told:
    """The backtest that hands out the signals one after the other, whenever it is asked.

    Once in leaps and once followed tick by tick, which changes nothing.
    """
    made, again = [
        await _told(rows, signals, frame, config, ticks=ticks) for ticks in (False, True)
    ]
    assert made == again
    return made


async def _told(
    rows: Sequence[Row], signals: Sequence[Signal], frame: int, config: dict[str, Any], ticks: bool
) -> Told:
    left, called = list(signals), list[str]()
    names = ("on_schedule", "on_open", "on_close", "on_cancel")
    settings = {"exit_trigger": "touch", "max_stoploss_distance_percent": 100.0, **config}
    async with bed(rows, frame=(0, frame), config=settings, ticks=ticks) as made:

        def get_signal(symbol: str, when: datetime) -> Signal | None:
            return left.pop(0) if left else None

        made.strategy(get_signal, callbacks={n: lambda *_, n=n: called.append(n) for n in names})
        results = await made.results()
        assert made.errors() == []
        statistics = await Backtest.get_data(SYMBOL, "asked")
        events = [(action, minute) for action, minute in made.actions() if action in TRANSITIONS]
        assert ticks or len(events) == len(made.heard["signal"])
        return Told(events, results, called, statistics)


def bought(
    entry: float | None, tp: float, sl: float, minutes: int = 600, position: str = "long"
) -> Signal:
    return Signal(position, tp, sl, minutes, price_open=entry)


async def both(rows: Sequence[Row], signal: Signal, about: float, **config: Any) -> list[Told]:
    """A long, and its short over the mirrored rows: the same happens at the same minutes."""
    mirror = [signal.price_open, signal.price_take_profit, signal.price_stop_loss]
    entry, tp, sl = (None if price is None else 2 * about - price for price in mirror)
    assert tp is not None and sl is not None
    short = bought(entry, tp, sl, signal.minute_estimated_time, "short")
    found = [
        await told(rows, signal, **config), await told(mirrored(rows, about), short, **config)
    ]  # fmt: skip
    assert found[0].events == found[1].events
    assert found[0].reasons == found[1].reasons
    assert [2 * about - price for price in found[0].booked] == found[1].booked
    return found


# -- waiting -----------------------------------------------------------------------------------


async def test_79_to_81_and_91_an_entry_that_is_reached() -> None:
    """Passed, touched to the cent, or jumped over by a gap: open at the price asked for."""
    start = band(-10, 5, 43_000)
    for words, bars in {
        "low 41900": [bar(5, 42_500, low=41_900), *band(6, 20, 42_500)],
        "low exactly the entry": [bar(5, 42_500, low=BASE), *band(6, 20, 42_500)],
    }.items():
        for one in await both([*start, *bars], bought(BASE, 42_600, 41_000, 10), BASE):
            assert one.events == [("scheduled", 0), ("opened", 6), ("closed", 16)], words
            assert one.called == ["on_schedule", "on_open", "on_close"], words
            row = one.results[0].signal
            assert (minute_of(row.scheduled_at), minute_of(row.pending_at)) == (0, 6), words
            assert row.price_open == BASE, words
    gap = [*band(-10, 5, 45_000), *band(5, 20, 42_000)]
    for one in await both(gap, bought(43_000, 46_000, 40_000, 10), 43_000):
        assert one.events == [("scheduled", 0), ("opened", 6), ("closed", 16)]
        assert one.results[0].signal.price_open == 43_000


async def test_82_a_gap_beyond_the_stop_cancels_and_never_opens() -> None:
    rows = [*band(-10, 5, 45_000), *band(5, 20, 39_000)]
    for one in await both(rows, bought(BASE, 46_000, 40_000), BASE):
        assert one.events == [("scheduled", 0), ("cancelled", 6)]
        assert one.reasons == ["stop_loss"]
        assert one.called == ["on_schedule", "on_cancel"]


async def test_83_one_bar_through_entry_and_stop_opens_and_stops_at_once() -> None:
    rows = [*band(-10, 5, 43_000), bar(5, 42_500, open=42_900, low=39_900), *band(6, 20, 42_500)]
    for one in await both(rows, bought(BASE, 44_000, 40_000), BASE):
        assert one.events == [("scheduled", 0), ("opened", 6), ("closed", 6)]
        assert (one.reasons, one.statistics.swept_entries) == (["stop_loss"], 1)
        row = one.results[0].signal
        assert row.price_open == BASE and abs(one.booked[0] - BASE) == 2_000


async def test_84_a_steady_decline_opens_and_later_stops() -> None:
    """200 a minute from 42000: the entry at 41000 is met at minute 6, the stop at 40000 at 11."""
    rows = [*band(-10, 0, BASE), *[bar(i, BASE - 200 * i) for i in range(60)]]
    for one in await both(rows, bought(41_000, 43_000, 40_000), 41_000):
        assert one.events == [("scheduled", 0), ("opened", 6), ("closed", 11)]
        assert one.reasons == ["stop_loss"]
        assert abs(one.booked[0] - 41_000) == 1_000
        assert one.results[0].pnl.pnl_percentage < 0


@pytest.mark.parametrize("patience", [120, 1])
async def test_85_and_86_what_is_never_reached_is_cancelled_on_time(patience: int) -> None:
    """By ``schedule_await_minutes`` alone, however long the position would be held."""
    for minutes in (10, 600):
        one = await told(
            flat(-10, 200), bought(95, 110, 90, minutes), frame=0,
            schedule_await_minutes=patience,
        )  # fmt: skip
        assert one.events == [("scheduled", 0), ("cancelled", patience)]
        assert (one.reasons, one.called) == (["timeout"], ["on_schedule", "on_cancel"])
        [result] = one.results
        assert result.close_timestamp - result.signal.scheduled_at == patience * 60_000


async def test_87_a_target_reached_soon_after_the_entry_is_taken() -> None:
    """Defect D1: no bar after the activation goes unseen."""
    rows = [*band(-10, 6, 100), *band(6, 8, 95), bar(8, 95, high=120, low=94), *band(9, 60, 95)]
    one = await told(rows, bought(95, 105, 90, 20))
    assert one.events == [("scheduled", 0), ("opened", 7), ("closed", 9)]
    assert (one.reasons, one.booked) == (["take_profit"], [105])


async def test_88_the_sequence_of_two_signals() -> None:
    """The first opens at once, as the market stands at its entry before the first minute."""
    plan = [(0, 7, 500), (7, 8, 0), (8, 10, 1000), (10, 15, 200), (15, 20, 500), (20, 80, 200),
            (80, 95, 0), (95, 105, 200), (105, 120, 1100), (120, 260, 0)]  # fmt: skip
    rows = band(-10, 0, BASE, 100)
    for start, stop, above in plan:
        rows += band(start, stop, BASE + above, 50 if start == 80 else 100)
    signal = bought(BASE, 43_000, 41_000, 60)
    one = await told(rows, signal, signal)
    assert one.events == [
        ("opened", 0), ("closed", 9), ("scheduled", 9), ("opened", 81), ("closed", 106),
    ]  # fmt: skip
    assert (one.reasons, one.booked) == (["take_profit"] * 2, [43_000] * 2)


async def test_89_longs_and_shorts_in_turn() -> None:
    up, down = 500, -500
    plan = [(5, up), (10, down), (15, up), (25, down), (30, up), (35, down), (45, up), (50, down),
            (55, -1500), (65, down), (70, up), (75, 1500), (85, 0)]  # fmt: skip
    rows = band(-10, 5, BASE, 100, 50)
    for (start, above), (stop, _) in zip(plan, [*plan[1:], (160, 0)], strict=True):
        rows += band(start, stop, BASE + above, 100)
    odd = bought(BASE - 500, BASE + 500, BASE - 1500, 60)
    even = bought(BASE + 500, BASE - 500, BASE + 1500, 60, "short")
    one = await told(rows, *[odd, even] * 4)
    assert one.events == [
        ("scheduled", 0), ("opened", 11), ("closed", 16),
        ("opened", 16), ("closed", 26), ("opened", 26), ("closed", 31),
        ("opened", 31), ("closed", 36), ("opened", 36), ("closed", 46),
        ("opened", 46), ("closed", 51), ("opened", 51), ("closed", 56),
        ("scheduled", 56), ("opened", 71), ("closed", 76),
    ]  # fmt: skip
    assert one.reasons == ["take_profit"] * 6 + ["stop_loss"] * 2
    assert one.booked == [42_500, 41_500] * 3 + [40_500, 43_500]


async def test_90_a_position_that_waited_expires_after_its_own_minutes() -> None:
    rows = [*flat(-10, 2), bar(2, 100, low=95), *flat(3, 60)]
    one = await told(rows, bought(95, 110, 90, 10), frame=0)
    assert one.events == [("scheduled", 0), ("opened", 3), ("closed", 13)]
    assert one.reasons == ["time_expired"]


# -- open --------------------------------------------------------------------------------------


async def test_93_and_98_levels_are_booked_exactly_and_a_crash_is_booked_where_it_opened() -> None:
    bars = {
        "target touched": (bar(3, BASE, high=43_000), "take_profit", 43_000),
        "beyond the target": (bar(3, 43_500, high=43_600), "take_profit", 43_000),
        "stop touched": (bar(3, BASE, low=39_900), "stop_loss", 39_900),
        "beyond the stop": (bar(3, 39_000, open=BASE), "stop_loss", 39_900),
        "crash within the bar": (bar(3, BASE * 0.7, open=BASE), "stop_loss", 39_900),
        "crash between bars": (bar(3, BASE * 0.7), "stop_loss", BASE * 0.7),
    }
    for words, (third, reason, price) in bars.items():
        rows = [*band(-10, 3, BASE), third, *band(4, 60, BASE)]
        long, short = await both(rows, bought(None, 43_000, 39_900, 30), BASE, frame=0)
        assert long.events == [("opened", 0), ("closed", 4)], words
        assert (long.reasons, long.booked) == ([reason], [price]), words
        assert (long.results[0].pnl.pnl_percentage > 0) is (reason == "take_profit"), words
        assert short.statistics.ambiguous_bars == 0, words


async def test_94_a_bar_through_both_levels_is_a_stop_unless_set_otherwise() -> None:
    rows = [*band(-10, 3, BASE), bar(3, BASE, high=43_500, low=40_500), *band(4, 60, BASE)]
    signal = bought(None, 43_000, 41_000, 30)
    for choice, level in (("stop_loss", 41_000), ("take_profit", 43_000)):
        long, _ = await both(rows, signal, BASE, frame=0, ambiguous_bar=choice)
        assert long.events == [("opened", 0), ("closed", 4)]
        assert (long.reasons, long.booked) == ([choice], [level])
        assert long.statistics.ambiguous_bars == 1


@pytest.mark.parametrize("trigger", ["touch", "vwap"])
async def test_95_to_97_a_position_is_held_for_exactly_its_minutes(trigger: str) -> None:
    for minutes in (5, 10, 1440):
        one = await told(
            flat(-10, 1500), bought(None, 110, 90, minutes), frame=0, exit_trigger=trigger
        )
        assert one.events == [("opened", 0), ("closed", minutes)]
        assert (one.reasons, one.booked) == (["time_expired"], [100])
    # What waited is held from its opening on, not from the minute it was asked for.
    waited = [*flat(-10, 60), *flat(60, 1600, 95)]
    one = await told(waited, bought(95, 110, 80, 1440), frame=0, exit_trigger=trigger)
    opened = one.events[1][1]
    assert one.events == [("scheduled", 0), ("opened", opened), ("closed", opened + 1440)]
    assert opened == (61 if trigger == "touch" else 65)


async def test_99_the_bar_that_closes_at_the_opening_settles_nothing() -> None:
    rows = [*flat(-10, -1), bar(-1, 100, high=120, low=80), *flat(0, 60)]
    one = await told(rows, bought(None, 110, 90, 9), frame=0)
    assert one.events == [("opened", 0), ("closed", 9)]
    assert one.reasons == ["time_expired"]


async def test_100_data_that_ends_early_is_no_expiry() -> None:
    one = await told(flat(-10, 30), bought(None, 110, 90, 200))
    assert one.events == [("opened", 0), ("closed", 30)]
    assert one.reasons == ["end_of_data"]
