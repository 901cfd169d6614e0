"""Portfolios: one clock for all members, limits that bind, and nothing that depends on order."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import (
    Backtest,
    EngineError,
    NotRegisteredError,
    Portfolio,
    RiskCheck,
    RunStateError,
    SchemaError,
    Signal,
    add_risk,
    get_candles,
    listen_done_backtest,
    listen_risk,
)
from engine.domain.settings import Settings
from engine.jobs import ENTRY, PortfolioJob
from engine.runs.workers import WorkerPool
from tests.golden.cases import SYMBOL as GOLDEN
from tests.golden.cases import case_ids, case_of, registered
from tests.runs.bed import MINUTE, RELAXED, SYMBOL, T0, Bed, bed, flat, long, minute_of, path
from tests.runs.test_fast_forward import GRID, Case, Plan, bars, cases, choices

BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine makes no example a failure."""


def portfolio(members: Any, **options: Any) -> Any:
    return Portfolio.run(members, exchange_name="memory", frame_name="frame", **options)


async def results(members: Any) -> list[Any]:
    return [result async for result in portfolio(members, include_cancelled=True)]


def planned(plans: Sequence[Plan | None], calls: list[int]) -> Any:
    """A strategy that wants at minute m what its plan ``m % len(plans)`` says."""

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        calls.append(minute_of(when))
        plan = plans[minute_of(when) % len(plans)]
        if plan is None:
            return None
        close = (await get_candles(symbol, "1m", 1))[-1].close
        sign = 1 if plan.position == "long" else -1
        entry = close if plan.entry is None else close + plan.entry * GRID
        return Signal(
            plan.position, entry + sign * plan.target * GRID, entry - sign * plan.stop * GRID,
            plan.minutes, price_open=None if plan.entry is None else entry,
        )  # fmt: skip

    return get_signal


# -- one member is a backtest --------------------------------------------------------------------


class Alone(NamedTuple):
    """Everything a backtest and a portfolio of one member must agree on."""

    results: list[Any]
    transitions: list[Any]
    errors: list[tuple[int | None, str]]
    calls: list[int]
    partials: list[Any]
    warnings: list[str]
    progress: Any


async def alone(case: Case, *, merged: bool, ticks: bool, partials: bool) -> Alone:
    calls: list[int] = []
    topics = ["error", "progress_backtest", *(("partial_profit", "partial_loss") * partials)]
    async with bed(
        case.rows, frame=case.frame, interval=case.interval, config=case.config, topics=topics
    ) as made:
        made.listen("signal", ticks=ticks)
        made.strategy(planned(case.plans, calls), interval=case.strategy_interval)
        found = await results([(SYMBOL, "asked")]) if merged else await made.results()
        await made.engine.bus.flush()
        execution: Any = made.engine.instances()[0].execution
        journal = execution.members[0].journal if merged else execution.journal
        heard = [*made.heard.get("partial_profit", ()), *made.heard.get("partial_loss", ())]
        heard.sort(key=lambda event: (event.timestamp, event.side, event.level))
        last = made.heard["progress_backtest"][-1]
        return Alone(
            found,
            made.heard["signal"],
            [(error.when, str(error)) for error in made.heard["error"]],
            calls,
            heard,
            journal.warnings,
            (last.key, last.processed_frames, last.total_frames, last.progress),
        )


@settings(BUSY, max_examples=40)
@given(cases(), st.booleans(), st.booleans())
def test_a_single_member_is_a_backtest_to_the_bit(case: Case, ticks: bool, partials: bool) -> None:
    plain = asyncio.run(alone(case, merged=False, ticks=ticks, partials=partials))
    merged = asyncio.run(alone(case, merged=True, ticks=ticks, partials=partials))
    assert merged == plain


@pytest.mark.parametrize("trigger", ["vwap", "touch"])
async def test_golden_cases_as_portfolios(trigger: str) -> None:
    from engine import Engine

    for case_id in case_ids()[:: 13 if trigger == "touch" else 14]:
        found: list[list[Any]] = []
        for merged in (False, True):
            async with Engine() as engine:
                with registered(case_of(case_id), engine, trigger):
                    options: Any = {"exchange_name": "golden", "frame_name": "case",
                                    "include_cancelled": True}  # fmt: skip
                    if merged:
                        run = Portfolio.run([(GOLDEN, "scripted")], **options)
                    else:
                        run = Backtest.run(GOLDEN, strategy_name="scripted", **options)
                    found.append([result async for result in run])
        assert found[0] == found[1], case_id


# -- several members ---------------------------------------------------------------------------


class Shared(NamedTuple):
    """Members on one or two symbols that share a limit."""

    rows: list[Any]
    plans: list[list[Plan | None]]
    intervals: list[str]
    limit: int
    config: dict[str, Any]


wants = st.one_of(
    st.none(),
    st.builds(
        Plan, st.sampled_from(("long", "short")), st.integers(1, 6), st.integers(1, 6),
        st.sampled_from((1, 2, 3, 5, 8, 30)), st.one_of(st.none(), st.integers(-3, 3)),
    ),
)  # fmt: skip
shared = st.builds(
    Shared,
    bars(),
    st.lists(st.lists(wants, min_size=1, max_size=5), min_size=2, max_size=4),
    st.lists(st.sampled_from(("1m", "3m", "5m")), min_size=4, max_size=4),
    st.integers(1, 2),
    choices,
)


def at_most(count: int) -> Callable[[RiskCheck], None]:
    def validate(check: RiskCheck) -> None:
        if check.active_position_count >= count:
            raise ValueError(f"{check.active_position_count} are open")

    return validate


async def together(case: Shared, order: Sequence[int], *, ticks: bool = False) -> Any:
    """All members under a limit; everything that must not depend on their order."""
    size = (int(case.rows[-1][0]) - T0) // MINUTE
    async with bed(
        case.rows, frame=(0, size), config=case.config, topics=("error", "risk")
    ) as made:
        made.listen("signal", ticks=ticks)
        add_risk(risk_name="limit", validations=[at_most(case.limit)])
        members = []
        for at in order:
            name, calls = f"member {at}", list[int]()
            made.strategy(
                planned(case.plans[at], calls), name, interval=case.intervals[at],
                risk_name="limit",
            )  # fmt: skip
            members.append((("ETHUSDT", SYMBOL)[at % 2], name))
        found = await results(members)
        await made.engine.bus.flush()
        assert made.errors() == [] or all("validation" in e.stage for e in made.heard["error"])
        data = await Portfolio.get_data(members)
        heard = [r for r in made.heard["signal"] if r.action not in ("idle", "active")]
        return found, heard, made.heard["risk"], data.equity, data.statistics


@settings(BUSY, max_examples=30)
@given(shared, st.randoms(use_true_random=False), st.booleans())
def test_the_limit_holds_at_every_instant_whatever_the_order(
    case: Shared, random: Any, ticks: bool
) -> None:
    order = list(range(len(case.plans)))
    first = asyncio.run(together(case, order))
    random.shuffle(order)
    assert asyncio.run(together(case, order, ticks=ticks)) == first
    _, heard, _, _, _ = first
    instants = [result.when for result in heard]
    assert instants == sorted(instants), "one clock: nothing goes back in time"
    held: set[str] = set()
    for result in heard:
        if result.action == "opened":
            held.add(result.strategy_name)
            assert len(held) <= case.limit
        elif result.action == "closed":
            held.remove(result.strategy_name)
    assert not held


async def three(made: Bed, hold: int = 3) -> None:
    add_risk(risk_name="one", validations=[at_most(1)])
    for name in ("c", "a", "b"):
        made.strategy(lambda s, w: long(hold), name, risk_name="one")


async def test_one_slot_for_three_goes_to_the_first_in_order_and_is_free_when_it_closes() -> None:
    async with bed(frame=(0, 12)) as made:
        await three(made)
        refused: list[Any] = []
        listen_risk(refused.append)
        orders = itertools.permutations([(SYMBOL, "a"), (SYMBOL, "b"), (SYMBOL, "c")])
        found = [await results(order) for order in orders]
        await made.engine.bus.flush()
    assert all(other == found[0] for other in found)
    spans = [(r.strategy_name, minute_of(r.signal.pending_at), minute_of(r.when)) for r in found[0]]
    # At minute 3 the slot is freed before anybody is asked, and "a" is asked first again.
    assert spans == [("a", start, start + 3) for start in range(0, 13, 3)]
    assert {event.strategy_name for event in refused} == {"b", "c"}


async def test_separate_backtests_would_all_have_opened() -> None:
    async with bed(frame=(0, 4)) as made:
        await three(made)
        opened = [await made.results(name) for name in "abc"]
        assert [len(trades) for trades in opened] == [2, 2, 2]
        assert len(await results([(SYMBOL, name) for name in "abc"])) == 2


async def test_a_slot_freed_at_an_instant_is_taken_at_it_by_a_waiting_signal() -> None:
    """Positions are settled before waiting signals, those before decisions."""
    rows = path([100] * 5 + [95] * 20)

    def waits(symbol: str, when: datetime) -> Signal | None:
        return long(4, entry=96, sl=50) if minute_of(when) == 0 else None

    def holds(symbol: str, when: datetime) -> Signal | None:
        return long(6, tp=200, sl=50) if minute_of(when) == 0 else None

    def late(symbol: str, when: datetime) -> Signal | None:
        return long(2, tp=200, sl=50) if minute_of(when) >= 6 else None

    async with bed(rows, frame=(0, 20), config={"avg_price_candles_count": 1}) as made:
        add_risk(risk_name="one", validations=[at_most(1)])
        # In order of names the waiting one comes first and the latecomer before both.
        made.strategy(waits, "b waits", risk_name="one")
        made.strategy(holds, "c holds", risk_name="one")
        made.strategy(late, "a late", risk_name="one")
        found = await results([(SYMBOL, "b waits"), (SYMBOL, "c holds"), (SYMBOL, "a late")])
        spans = [
            (r.strategy_name, minute_of(r.signal.pending_at), minute_of(r.when)) for r in found
        ]
    assert spans[:3] == [("c holds", 0, 6), ("b waits", 6, 10), ("a late", 10, 12)]


async def test_results_come_in_the_order_of_the_clock_with_totals_of_all_members() -> None:
    async with bed(frame=(0, 3 * 1440), rows=flat(-10, 3 * 1440 + 60)) as made:
        made.strategy(lambda s, w: long(50), "fifty")
        made.strategy(lambda s, w: long(700), "long")
        members = [("ETHUSDT", "fifty"), (SYMBOL, "long"), (SYMBOL, "fifty")]
        done: list[Any] = []
        listen_done_backtest(done.append)
        found = await results(members)
        await made.engine.bus.flush()
        assert [r.when for r in found] == sorted(r.when for r in found)
        assert [(d.symbol, d.strategy_name) for d in done] == sorted(members)
        assert {d.backtest for d in done} == {True}
        data = await Portfolio.get_data(reversed(members))
        assert [(m.key.symbol, m.key.strategy_name) for m in data.members] == sorted(members)
        assert list(data.trades) == sorted(
            found, key=lambda r: (r.when, r.symbol, r.strategy_name)
        ) and data.statistics.total_trades == len(found)
        for points in zip(data.equity, *(m.equity for m in data.members), strict=True):
            total, *each = points
            assert total.timestamp == each[0].timestamp
            assert total.equity == pytest.approx(sum(p.equity for p in each) / 3, rel=1e-15)
        assert data.statistics.total_return == pytest.approx((data.equity[-1].equity - 1) * 100)
        assert data.statistics.exposure == pytest.approx(
            sum(m.statistics.exposure or 0 for m in data.members) / 3
        )
        for member in data.members:
            run = Backtest.run(
                member.key.symbol, strategy_name=member.key.strategy_name,
                exchange_name="memory", frame_name="frame",
            )  # fmt: skip
            assert [r async for r in run] == list(member.trades), "no limit binds: as if alone"


async def test_a_stop_lets_positions_close_and_nothing_open() -> None:
    async with bed(frame=(0, 40)) as made:
        made.strategy(lambda s, w: long(3), "short")
        made.strategy(lambda s, w: long(9), "long")
        made.strategy(lambda s, w: long(3, entry=95), "waits")
        members = [(SYMBOL, name) for name in ("long", "short", "waits")]
        stopped: list[Any] = []

        async def stop(result: Any) -> None:
            if result.action == "closed" and not stopped:
                stopped.append(result)
                await Portfolio.stop(members)

        made.engine.bus.subscribe("signal", stop, transitions_only=True)
        found = await results(members)
        await made.engine.bus.flush()
        facts = [(r.strategy_name, str(r.action), minute_of(r.when)) for r in found]
        assert facts == [("short", "closed", 3), ("waits", "cancelled", 4), ("long", "closed", 9)]
        assert found[1].cancel_reason == "stopped"
        data = await Portfolio.get_data(members)
        assert data.stopped and all(member.stopped for member in data.members)
        assert len(made.heard["done_backtest"]) == 3
        (listed,) = await Portfolio.list()
        assert listed["status"] == "done" and listed["symbol"] == SYMBOL
        assert len(await results(members)) > 3, "a new run starts anew"


async def test_in_the_background_and_a_consumer_that_leaves() -> None:
    async with bed(frame=(0, 40)) as made:
        made.strategy(lambda s, w: long(3), "short")
        members = [(SYMBOL, "short"), ("ETHUSDT", "short")]
        stop = Portfolio.background(members, exchange_name="memory", frame_name="frame")
        assert (await Portfolio.list())[0]["status"] == "running"
        with pytest.raises(RunStateError, match="already running"):
            await results(members)
        instance = made.engine.instances()[0]
        await instance.wait()
        assert instance.is_done and len((await Portfolio.get_data(members)).trades) == 28
        stop()
        run = portfolio(members)
        first = await anext(run)
        await run.aclose()
        assert first.when == T0 + 3 * MINUTE
        data = await Portfolio.get_data(members)
        assert 1 <= len(data.trades) <= 2, "it went no further than its consumer"
        assert data.stopped and all(member.stopped for member in data.members)
        assert all(not m._risk.book.active("one") for m in instance.execution.members)  # type: ignore[union-attr]


async def test_what_cannot_be_run_is_said_at_once() -> None:
    async with bed() as made:
        made.strategy(lambda s, w: None, "fine")
        made.strategy(lambda s, w: None, "risky", risk_name="nowhere")
        for members, kind, words in (
            ([], SchemaError, "no members"),
            ([(SYMBOL, "fine"), (SYMBOL, "fine")], SchemaError, "BTCUSDT fine more than once"),
            ([SYMBOL], SchemaError, "'BTCUSDT' is no pair"),
            ([(SYMBOL, "")], SchemaError, "is no pair"),
            ([(SYMBOL, "gone")], NotRegisteredError, "strategy 'gone' not found"),
            ([(SYMBOL, "risky")], NotRegisteredError, "risk 'nowhere' not found"),
        ):
            with pytest.raises(kind, match=words):
                portfolio(members)
        with pytest.raises(NotRegisteredError, match="frame 'gone' not found"):
            Portfolio.run([(SYMBOL, "fine")], exchange_name="memory", frame_name="gone")
        with pytest.raises(NotRegisteredError, match="exchange 'gone' not found"):
            Portfolio.run([(SYMBOL, "fine")], exchange_name="gone", frame_name="frame")
        with pytest.raises(NotRegisteredError, match="has been started"):
            await Portfolio.get_data([(SYMBOL, "fine")])


async def test_a_member_without_data_fails_the_portfolio_and_frees_its_slots() -> None:
    def get_candles(symbol: str, interval: str, since: Any, limit: int) -> Any:
        first = int(since.timestamp() * 1000)
        return [r for r in flat(-10, 90) if r[0] >= first][:limit] if symbol == SYMBOL else []

    async with bed(get_candles=get_candles) as made:
        made.strategy(lambda s, w: long(3), "fine")
        with pytest.raises(EngineError, match="NOTHING"):
            await results([(SYMBOL, "fine"), ("NOTHING", "fine")])
        (listed,) = await Portfolio.list()
        assert listed["status"] == "failed"


async def test_the_report_and_its_file(tmp_path: Path) -> None:
    async with bed(frame=(0, 12)) as made:
        await three(made)
        members = [(SYMBOL, name) for name in "abc"]
        await results(members)
        text = await Portfolio.get_report(members)
        assert text.startswith(f"# Portfolio Report: {SYMBOL}:a+{SYMBOL}:b+{SYMBOL}:c\n")
        for line in ("## Totals", "## Members", "## Trades", f"| {SYMBOL} | b | 0 | "):
            assert f"\n{line}" in text, line
        assert text.count("| time_expired |") == 5
        target = await Portfolio.dump(members, tmp_path)
        assert target.parent == tmp_path and target.read_text(encoding="utf-8") == text
        many = [(f"{SYMBOL}{number}", "a") for number in range(30)]
        await results(many)
        assert (await Portfolio.dump(many, tmp_path)).name.startswith("30-members-")


FILE = """
from engine import Signal, add_exchange, add_risk, add_strategy

START, MINUTE = {start}, 60_000

def get_candles(symbol, interval, since, limit):
    first = max(int(since.timestamp() * 1000), START - 20 * MINUTE)
    stamps = range(first, min(first + limit * MINUTE, START + 400 * MINUTE), MINUTE)
    return [[at, p, p + 1, p - 1, p, 1.0] for at in stamps for p in [100 + at // MINUTE % 7]]

add_exchange(exchange_name="memory", get_candles=get_candles, intervals=["1m"])

def one(check):
    if check.active_position_count:
        raise ValueError("taken")

add_risk(risk_name="one", validations=[one])
def odd(minutes):
    def get_signal(symbol, when):
        return Signal("long", 150, 50, minutes) if when.minute % 2 else None
    return get_signal

for number, name in enumerate("abc"):
    function = odd(3 + 2 * number)
    add_strategy(strategy_name=name, interval="1m", risk_name="one", get_signal=function)
"""


async def test_the_same_in_worker_processes_however_many(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE.format(start=T0), encoding="utf-8")
    members = [(symbol, name) for name in "cab" for symbol in (SYMBOL, "ETHUSDT")]
    relaxed = Settings().updated(RELAXED, unsafe=True)

    def job(order: Sequence[tuple[str, str]]) -> PortfolioJob:
        return PortfolioJob(
            members=tuple(order), strategy_files=(str(file),), exchange_name="memory",
            exchange=None, frame_interval="1m", frame_start=T0, frame_end=T0 + 300 * MINUTE,
            settings=relaxed.model_dump(), frame_name="frame",
        )  # fmt: skip

    WorkerPool.start_forkserver()
    found = []
    for workers in (1, 3):
        pool = WorkerPool(ENTRY, workers)
        try:
            async with asyncio.timeout(60):
                runs = [pool.submit(job(order), lambda _: None)
                        for order in (members, members[::-1])]  # fmt: skip
                found += [await run.result() for run in runs]
        finally:
            await pool.close()
    from engine import Engine

    async with Engine() as engine:
        engine.configure(RELAXED, unsafe=True)
        engine.load_file(file)
        from engine import add_frame
        from engine.domain.time import from_ms

        add_frame(frame_name="frame", interval="1m", start_date=from_ms(T0),
                  end_date=from_ms(T0 + 300 * MINUTE))  # fmt: skip
        here = await results(members)
    assert len(here) > 50
    for outcome in found:
        assert [(t.when, t.symbol, t.strategy_name, t.signal.id) for t in outcome.trades] == sorted(
            (t.when, t.symbol, t.strategy_name, t.signal.id) for t in here
        )
        assert outcome.members[0].strategy_file == str(file)
