"""Fast-forwarding equals stepping: whoever follows single ticks sees the same run as nobody."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, NamedTuple

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from engine import Signal, get_candles
from tests.runs.bed import MINUTE, T0, Bed, Row, bed, minute_of

BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine makes no example a failure."""

GRID = 0.5
"""Prices are multiples of this, so that bars meet levels exactly as often as they pass them."""


class Plan(NamedTuple):
    """What the strategy wants at some minute: distances from the last close, in grid steps."""

    position: str
    target: int
    stop: int
    minutes: int
    entry: int | None


class Case(NamedTuple):
    rows: list[Row]
    plans: list[Plan | None]
    frame: tuple[int, int]
    interval: str
    strategy_interval: str
    config: dict[str, Any]


@st.composite
def bars(draw: st.DrawFn) -> list[Row]:
    steps = draw(
        st.lists(
            st.tuples(
                st.integers(-2, 2), st.integers(-4, 4), st.integers(0, 3), st.integers(0, 3),
                st.sampled_from((0.0, 0.0, 1.0, 2.0, 7.0)), st.integers(0, 6),
            ),
            min_size=12, max_size=90,
        )
    )  # fmt: skip
    price, rows = 200, []
    for minute, (jump, move, up, down, volume, missing) in enumerate(steps):
        opened = max(100, price + jump)
        price = max(100, opened + move)
        if missing == 0 and minute:
            continue
        top, bottom = max(opened, price) + up, min(opened, price) - down
        stamp = T0 + minute * MINUTE
        rows.append([stamp, opened * GRID, top * GRID, bottom * GRID, price * GRID, volume])
    return rows


plans = st.one_of(
    st.none(),
    st.builds(
        Plan,
        st.sampled_from(("long", "short")),
        st.integers(1, 6),
        st.integers(1, 6),
        st.sampled_from((1, 2, 3, 5, 8, 30, 200)),
        st.one_of(st.none(), st.integers(-3, 3)),
    ),
)
choices = st.fixed_dictionaries(
    {
        "exit_trigger": st.sampled_from(("vwap", "touch")),
        "fill_price": st.sampled_from(("close", "vwap")),
        "ambiguous_bar": st.sampled_from(("stop_loss", "take_profit")),
        "avg_price_candles_count": st.sampled_from((1, 2, 5)),
        "schedule_await_minutes": st.sampled_from((1, 3, 20)),
    }
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rows = draw(bars())
    size = (int(rows[-1][0]) - T0) // MINUTE + 1
    start = draw(st.integers(0, min(8, size - 1)))
    end = draw(st.integers(start, size + 5))
    # A frame within a hole has a test of its own.
    assume(any(start <= (row[0] - T0) // MINUTE <= end for row in rows))
    return Case(
        rows,
        draw(st.lists(plans, min_size=1, max_size=7)),
        (start, end),
        draw(st.sampled_from(("1m", "1m", "3m", "5m"))),
        draw(st.sampled_from(("1m", "1m", "3m", "5m"))),
        draw(choices),
    )


class Run(NamedTuple):
    """Everything that two runs of a case must agree on."""

    results: list[Any]
    transitions: list[Any]
    errors: list[tuple[int | None, str]]
    calls: list[int]
    partials: list[Any]


async def run(case: Case, *, partials: bool, ticks: bool = False, callback: bool = False) -> Run:
    calls: list[int] = []

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        minute = minute_of(when)
        calls.append(minute)
        plan = case.plans[minute % len(case.plans)]
        if plan is None:
            return None
        close = (await get_candles(symbol, "1m", 1))[-1].close
        sign = 1 if plan.position == "long" else -1
        entry = close if plan.entry is None else close + plan.entry * GRID
        return Signal(
            plan.position, entry + sign * plan.target * GRID, entry - sign * plan.stop * GRID,
            plan.minutes, price_open=None if plan.entry is None else entry,
        )  # fmt: skip

    topics = ["error", *(("partial_profit", "partial_loss") if partials else ())]
    async with bed(
        case.rows, frame=case.frame, interval=case.interval, config=case.config, topics=topics
    ) as made:
        made.listen("signal", ticks=ticks)
        callbacks = {"on_tick": lambda *_: None} if callback else {}
        made.strategy(get_signal, interval=case.strategy_interval, callbacks=callbacks)
        results = await made.results()
    heard = [*made.heard.get("partial_profit", ()), *made.heard.get("partial_loss", ())]
    heard.sort(key=lambda event: (event.timestamp, event.side, event.level))
    return Run(
        results,
        [r for r in made.heard["signal"] if r.action not in ("idle", "active")],
        [(error.when, str(error)) for error in made.heard["error"]],
        calls,
        heard,
    )


@settings(BUSY, max_examples=120)
@given(cases())
def test_followed_tick_by_tick_or_not_a_run_is_the_same(case: Case) -> None:
    quiet = asyncio.run(run(case, partials=True))
    followed = asyncio.run(run(case, partials=True, ticks=True))
    assert quiet == followed
    called_back = asyncio.run(run(case, partials=True, callback=True))
    assert quiet == called_back


@settings(BUSY, max_examples=40)
@given(cases())
def test_listening_to_milestones_changes_nothing_else(case: Case) -> None:
    quiet = asyncio.run(run(case, partials=False))
    listened = asyncio.run(run(case, partials=True))
    assert quiet == listened._replace(partials=[])


@settings(BUSY, max_examples=40)
@given(cases())
def test_time_only_moves_forward_and_one_signal_is_held_at_a_time(case: Case) -> None:
    made = asyncio.run(run(case, partials=True, ticks=True))
    assert made.calls == sorted(set(made.calls))
    instants = [result.when for result in made.transitions]
    assert instants == sorted(instants)
    held = None
    for result in made.transitions:
        if result.action == "scheduled":
            assert held is None
            held = result.signal.id
        elif result.action == "opened":
            assert held in (None, result.signal.id)
            held = result.signal.id
        else:
            assert held == result.signal.id
            held = None
    assert held is None, "whatever was held is reported at the end of the data"


async def test_the_cases_reach_every_transition() -> None:
    """Not a property: one hand-made run in which ticks are really skipped when nobody follows."""
    from tests.runs.bed import flat

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        return Signal("long", 101.0, 99.0, 20) if minute_of(when) == 3 else None

    async def ticks_of(follow: bool) -> tuple[Bed, list[Any]]:
        async with bed(flat(-5, 60), topics=("error",)) as made:
            made.listen("signal", ticks=follow)
            made.strategy(get_signal)
            return made, await made.results()

    followed, first = await ticks_of(True)
    quiet, second = await ticks_of(False)
    assert first == second
    assert [minute_of(r.close_timestamp) for r in first] == [23]
    active = [r for r in followed.heard["signal"] if r.action == "active"]
    assert [minute_of(r.when) for r in active] == list(range(4, 23))
    assert [str(r.action) for r in quiet.heard["signal"]] == ["opened", "closed"]
