"""Risk: one atomic step over all profiles, slots released again, refusals told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import RiskCheck, Signal, add_risk, get_date, get_mode
from engine.core.risk import RiskBook
from engine.domain.schemas import RiskSchema
from engine.domain.signals import Mode, OpenPosition, Position, RunKey, SignalRow
from engine.services.bus import Bus
from engine.services.registry import Registry
from engine.services.risk import RiskGate
from tests.runs.bed import MINUTE, SYMBOL, T0, Bed, bed, flat, long, minute_of, path

BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine makes no example a failure."""

BOTH = pytest.mark.parametrize("live", [False, True], ids=["backtest", "live"])


def at_most(count: int, rounds: int = 0) -> Callable[[RiskCheck], Any]:
    """A validation that refuses beyond ``count`` positions, after giving way ``rounds`` times."""

    async def validate(check: RiskCheck) -> None:
        seen = check.active_position_count
        for _ in range(rounds):
            await asyncio.sleep(0)
        if seen >= count:
            raise ValueError(f"{seen} are open")

    return validate


def book_of(made: Bed) -> RiskBook:
    """The book that all live runs share."""
    execution: Any = next(i.execution for i in made.engine.instances() if i.execution)
    return execution._risk.book


async def run(made: Bed, minutes: int = 20) -> None:
    if made.clock is None:
        await made.results()
    else:
        made.instance().start()
        await made.until(minutes)


@settings(BUSY, max_examples=25)
@given(
    st.integers(1, 3), st.integers(0, 3),
    st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from((("a",), ("b",), ("a", "b"), ("b", "a")))),
        min_size=2, max_size=8,
    ),
)  # fmt: skip
def test_a_limit_is_never_exceeded_however_many_runs_ask_at_once(
    limit: int, rounds: int, runs: list[tuple[int, tuple[str, ...]]]
) -> None:
    async def check() -> None:
        async with bed(live=True, topics=("error", "risk")) as made:
            made.listen("signal")
            for name in ("a", "b"):
                add_risk(risk_name=name, validations=[at_most(limit, rounds)])
            profiles = {}
            for number, (minutes, names) in enumerate(runs):
                name = f"run {number}"
                profiles[name] = names

                async def get_signal(s: str, w: datetime, minutes: int = minutes) -> Signal:
                    return long(minutes)

                made.strategy(get_signal, name, risk_list=names)
                made.instance(name).start()
            await made.until(12)
            assert made.errors() == []
            held = {"a": set(), "b": set()}
            most = {"a": 0, "b": 0}
            for result in made.heard["signal"]:
                for profile in profiles[result.strategy_name]:
                    slots: set[str] = held[profile]
                    if result.action == "opened":
                        assert result.strategy_name not in slots
                        slots.add(result.strategy_name)
                        assert len(slots) <= limit
                        most[profile] = max(most[profile], len(slots))
                    else:
                        slots.remove(result.strategy_name)
            for profile in ("a", "b"):
                holders = {p.strategy_name for p in book_of(made).active(profile)}
                assert holders == held[profile], "all or none, and nothing is left behind"
                asking = sum(profile in names for names in profiles.values())
                alone = all(len(names) == 1 for names in profiles.values())
                if alone:
                    assert most[profile] == min(limit, asking)

    asyncio.run(check())


@BOTH
async def test_all_profiles_are_asked_and_one_no_is_a_no(live: bool) -> None:
    asked: list[str] = []

    def profile(name: str, refuses: bool) -> None:
        def validate(check: RiskCheck) -> None:
            asked.append(name)
            if refuses:
                raise ValueError(f"{name} says no")

        add_risk(risk_name=name, validations=[{"validate": validate, "note": f"note of {name}"}])

    async with bed(live=live, frame=(0, 0)) as made:
        profile("one", refuses=False)
        profile("two", refuses=True)
        profile("three", refuses=True)
        made.strategy(lambda s, w: long(3), risk_name="three", risk_list=["one", "two"])
        await run(made, 0)
        assert asked == ["three", "one", "two"], "risk_name first, and nobody is left out"
        assert made.actions() == []
        assert made.errors() == [], "a refusal is no error"
        events = made.heard["risk"]
        assert [(e.risk_name, e.comment) for e in events] == [
            ("three", "note of three"), ("two", "note of two"),
        ]  # fmt: skip
        assert [str(e) for e in made.heard["validation"]] == ["three says no", "two says no"]
        [event, _] = events
        assert (event.symbol, event.strategy_name, event.exchange_name) == (
            SYMBOL, "asked", "memory",
        )  # fmt: skip
        assert (event.current_price, event.timestamp, event.active_position_count) == (100, T0, 0)
        assert event.pending_signal.position == "long"


@BOTH
async def test_validations_run_in_order_until_one_refuses(live: bool) -> None:
    asked: list[int] = []

    def rule(number: int, refuses: bool = False) -> Callable[[RiskCheck], None]:
        def validate(check: RiskCheck) -> None:
            asked.append(number)
            if refuses:
                raise ValueError("no")

        return validate

    async with bed(live=live, frame=(0, 0)) as made:
        add_risk(risk_name="r", validations=[rule(1), rule(2, refuses=True), rule(3)])
        made.strategy(lambda s, w: long(3), risk_name="r")
        await run(made, 0)
        assert asked == [1, 2]
        assert made.heard["risk"][0].comment == "N/A"


@BOTH
async def test_what_a_validation_sees(live: bool) -> None:
    checks: list[RiskCheck] = []
    moments: list[tuple[int, str]] = []

    def validate(check: RiskCheck) -> None:
        checks.append(check)
        moments.append((minute_of(get_date()), get_mode()))

    async with bed(path([100, 101, 102, 103, 104, 105, 106]), live=live, frame=(0, 6)) as made:
        add_risk(risk_name="r", validations=[validate])
        made.strategy(lambda s, w: long(3, tp=200), risk_name="r")
        await run(made, 6)
    # A bar opened at minute m closes at m + 1: market at minute 3 is the close of bar 2.
    assert [(minute_of(c.timestamp), c.current_price) for c in checks][:2] == [(0, 100), (3, 102)]
    assert moments[:2] == [(0, "live" if live else "backtest"), (3, "live" if live else "backtest")]
    first = checks[0]
    assert (first.symbol, first.strategy_name, first.exchange_name) == (SYMBOL, "asked", "memory")
    assert first.pending_signal.price_open == 100
    assert first.active_positions == ()
    assert first.active_position_count == 0


async def test_active_positions_carry_the_row_and_its_opening() -> None:
    seen: list[Any] = []

    async with bed(live=True) as made:
        add_risk(risk_name="r", validations=[lambda check: seen.append(check.active_positions)])
        for name in ("first", "second"):
            made.strategy(lambda s, w: long(9), name, risk_name="r")
            made.instance(name).start()
            await made.until(1 if name == "first" else 2)
    assert seen[0] == ()
    [active] = seen[1]
    assert (active.strategy_name, active.symbol, active.exchange_name) == (
        "first", SYMBOL, "memory",
    )  # fmt: skip
    assert active.open_timestamp == T0
    assert active.signal.price_open == 100


@BOTH
async def test_callbacks_of_a_profile(live: bool) -> None:
    calls: list[tuple[str, str, int]] = []

    def noting(name: str) -> Any:
        async def callback(symbol: str, check: RiskCheck) -> None:
            await asyncio.sleep(0)
            calls.append((name, symbol, minute_of(check.timestamp)))
            raise ValueError("a failing callback changes nothing")

        return callback

    def validate(check: RiskCheck) -> None:
        if minute_of(check.timestamp) % 2:
            raise ValueError("odd")

    async with bed(live=live, frame=(0, 3)) as made:
        add_risk(risk_name="r", validations=[validate], callbacks={
            "on_allowed": noting("allowed"), "on_rejected": noting("rejected"),
        })  # fmt: skip
        made.strategy(lambda s, w: long(1), risk_name="r")
        await run(made, 3)
        assert calls == [("allowed", SYMBOL, 0), ("rejected", SYMBOL, 1), ("allowed", SYMBOL, 2),
                         ("rejected", SYMBOL, 3)]  # fmt: skip
        assert made.actions()[:3] == [("opened", 0), ("closed", 1), ("opened", 2)]
        assert len(made.errors()) == 4
        assert {error.stage for error in made.heard["error"]} == {"callback"}


@BOTH
async def test_a_refused_attempt_uses_its_slot_up(live: bool) -> None:
    asked: list[int] = []

    async def get_signal(symbol: str, when: datetime) -> Signal:
        asked.append(minute_of(when))
        return long(3)

    def refuse(check: RiskCheck) -> None:
        raise ValueError("never")

    async with bed(live=live, frame=(0, 7)) as made:
        add_risk(risk_name="r", validations=[refuse])
        made.strategy(get_signal, interval="5m", risk_name="r")
        await run(made, 7)
        assert asked == [0, 5]
        assert len(made.heard["risk"]) == 2
        execution: Any = made.instance().execution
        assert execution.journal.rejections == 2


@BOTH
async def test_a_scheduled_signal_is_checked_now_and_takes_its_slot_when_it_activates(
    live: bool,
) -> None:
    checks: list[tuple[int, float, int]] = []

    def validate(check: RiskCheck) -> None:
        checks.append(
            (minute_of(check.timestamp), check.current_price, check.active_position_count)
        )

    rows = path([100, 100, 94, 94, 94, 100, 100, 100])
    touch = {"exit_trigger": "touch"}
    async with bed(rows, live=live, frame=(0, 0), config=touch) as made:
        made.engine.live_runs.instants = lambda when: when == T0
        add_risk(risk_name="r", validations=[validate])
        made.strategy(lambda s, w: long(3, entry=95, sl=80), risk_name="r")
        await run(made, 8)
        assert made.actions() == [("scheduled", 0), ("opened", 3), ("closed", 6)]
        assert checks == [(0, 95, 0), (3, 95, 0)]


@BOTH
@pytest.mark.parametrize("swept", [False, True])
async def test_a_refusal_at_activation_cancels(live: bool, swept: bool) -> None:
    def validate(check: RiskCheck) -> None:
        if minute_of(check.timestamp) > 0:
            raise ValueError("not any more")

    rows = path([100, 100, 94, 94, 94, 100, 100, 100])
    if swept:  # the bar reaches entry and stop-loss, and opened beyond neither
        rows[12][1:5] = [100, 100, 70, 94]
    touch = {"exit_trigger": "touch"}
    async with bed(rows, live=live, frame=(0, 0), config=touch) as made:
        made.engine.live_runs.instants = lambda when: when == T0
        add_risk(risk_name="r", validations=[{"validate": validate, "note": "late"}])
        made.strategy(lambda s, w: long(3, entry=95, sl=80), risk_name="r")
        await run(made, 8)
        assert made.actions() == [("scheduled", 0), ("cancelled", 3)]
        [result] = [r for r in made.heard["signal"] if r.action == "cancelled"]
        assert str(result.cancel_reason) == "risk"
        [event] = made.heard["risk"]
        assert (event.comment, minute_of(event.timestamp)) == ("late", 3)
        assert made.errors() == []


async def test_a_swept_entry_leaves_no_slot_taken() -> None:
    rows = path([100, 100, 94, 94, 94, 100, 100, 100])
    rows[12][1:5] = [100, 100, 70, 94]
    async with bed(rows, live=True, config={"exit_trigger": "touch"}) as made:
        made.engine.live_runs.instants = lambda when: when == T0
        add_risk(risk_name="r", validations=[at_most(1)])
        made.strategy(lambda s, w: long(3, entry=95, sl=80), risk_name="r")
        await run(made, 8)
        assert made.actions() == [("scheduled", 0), ("opened", 3), ("closed", 3)]
        assert book_of(made).active("r") == ()


async def test_slots_are_free_after_a_close_a_stop_and_a_cancelled_run() -> None:
    async with bed(live=True) as made:
        add_risk(risk_name="r", validations=[at_most(1)])
        for name in ("first", "second"):
            made.strategy(lambda s, w: long(3), name, risk_name="r")
            made.instance(name).start()
        await made.until(2)
        first = next(r.strategy_name for r in made.heard["signal"])
        made.instance(first).stop()
        await made.until(4)
        assert made.instance(first).status == "done"
        [held] = book_of(made).active("r")
        assert held.strategy_name != first


async def test_backtests_share_no_limits_with_live_runs_or_each_other() -> None:
    async with bed(live=True, rows=None, frame=(-9, -5)) as made:
        add_risk(risk_name="r", validations=[at_most(1)])
        made.strategy(lambda s, w: long(2), risk_name="r")
        made.instance().start()
        await made.until(0)
        assert made.actions() == [("opened", 0)]
        found = await asyncio.gather(*(made.results(symbol=s) for s in ("A", "B")))
        assert [len(results) for results in found] == [3, 3]
        assert made.heard["risk"] == []


async def test_a_validation_that_hangs_refuses_and_holds_nobody_up_for_good() -> None:
    async def hangs(check: RiskCheck) -> None:
        if check.symbol == "A":
            await asyncio.Event().wait()

    profiles: Registry[RiskSchema] = Registry("risk")
    profiles.add(RiskSchema(risk_name="r", validations=(hangs,)))  # type: ignore[arg-type]
    gate = RiskGate(profiles, Bus(), 0)

    async def ask(symbol: str) -> Any:
        key, position = holder(symbol)
        return await gate.check(("r",), key, position.row, 1.0, T0, position)

    refused, agreed = await asyncio.gather(ask("A"), ask("B"))
    assert (bool(refused), bool(agreed)) == (False, True)
    assert [p.symbol for p in gate.book.active("r")] == ["B"]


def holder(symbol: str) -> tuple[RunKey, OpenPosition]:
    key = RunKey(Mode.LIVE, "x", "s", symbol)
    row = SignalRow("i", symbol, "s", "x", Position.LONG, 1, 2, 0.5, 9, T0, T0 + MINUTE, False)
    return key, OpenPosition(row)


def test_the_book() -> None:
    book = RiskBook()
    for symbol in ("A", "B", "C"):
        book.reserve(("one", "two"), *holder(symbol))
    assert [p.symbol for p in book.active("one")] == ["A", "B", "C"]
    book.release(("one",), holder("B")[0])
    book.release(("one",), holder("B")[0])
    assert [p.symbol for p in book.active("one")] == ["A", "C"]
    assert len(book.active("two")) == 3
    assert book.active("three") == ()
    book.reserve(("one",), *holder("A"))
    assert len(book.active("one")) == 2, "a run holds one slot of a profile"
    other = RiskBook()
    other.restore({("one", holder("A")[0]): holder("A")[1]})
    assert [p.open_timestamp for p in other.active("one")] == [T0 + MINUTE]


async def test_a_callback_that_never_returns_does_not_hold_up_the_gate() -> None:
    profiles: Registry[RiskSchema] = Registry("risk")

    async def on_allowed(symbol: str, check: RiskCheck) -> None:
        await asyncio.Event().wait()

    profiles.add(RiskSchema(risk_name="a", validations=[], callbacks={"on_allowed": on_allowed}))
    bus, errors = Bus(), list[Any]()
    bus.subscribe("error", errors.append)
    gate = RiskGate(profiles, bus, 0.01)
    key, position = holder(SYMBOL)
    for _ in range(2):
        assert await gate.check(("a",), key, position.row, 100.0, T0, position)
    await bus.flush()
    assert [error.stage for error in errors] == ["callback"] * 2


async def test_what_takes_too_long_is_named_with_its_limit() -> None:
    async def hangs(*_: Any) -> None:
        await asyncio.Event().wait()

    profiles: Registry[RiskSchema] = Registry("risk")
    profiles.add(RiskSchema(risk_name="slow", validations=[hangs]))
    profiles.add(RiskSchema(risk_name="told", validations=[], callbacks={"on_allowed": hangs}))
    bus, heard = Bus(), list[str]()
    bus.subscribe("error", lambda error: heard.append(str(error)))
    gate = RiskGate(profiles, bus, 0.01)
    key, position = holder(SYMBOL)
    verdict = await gate.check(("told", "slow"), key, position.row, 100.0, T0)
    await bus.flush()
    refused = [str(refusal.error) for refusal in verdict.refusals]
    late = "did not return within 0.01 s (max_signal_generation_seconds) and was cancelled"
    assert len(refused) == 1 and f"a validation of risk profile 'slow' {late}" in refused[0]
    assert len(heard) == 1 and f"on_allowed of risk profile 'told' {late}" in heard[0]


async def test_a_profile_that_is_gone_refuses() -> None:
    def until(minute: int) -> Any:
        return lambda s, w: long(30, entry=95) if minute_of(w) < minute else None

    rows = flat(-10, 5) + flat(5, 20, 94.0)
    async with bed(rows, live=True) as made:
        add_risk(risk_name="a", validations=[])
        made.strategy(until(1), risk_name="a")
        made.instance().start()
        await made.until(2)
        assert made.actions() == [("scheduled", 0)]
        made.engine.risks.remove("a")
        await made.until(15)
        assert made.actions() == [("scheduled", 0), ("cancelled", 10)]
        assert made.heard["signal"][-1].cancel_reason == "risk" and made.errors() == []
        (event,) = made.heard["risk"]
        assert "'a' is not registered any more" in event.comment
