"""Conformance cases 147 to 158 as far as `test_risk` has not got them: limits, filters, sharing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from engine import Risk, RiskCheck, add_risk, listen_risk, listen_risk_once
from engine.domain.schemas import RiskSchema
from engine.domain.signals import Mode, OpenPosition, Position, RunKey, SignalRow
from engine.services.bus import Bus
from engine.services.registry import Registry
from engine.services.risk import RiskGate
from tests.runs.bed import SYMBOL, T0, Bed, bed, long, path
from tests.runs.test_risk import at_most


def gate_of(*schemas: RiskSchema) -> tuple[RiskGate, Bus]:
    profiles: Registry[RiskSchema] = Registry("risk")
    for schema in schemas:
        profiles.add(schema)
    bus = Bus()
    return RiskGate(profiles, bus, 5), bus


def holder(strategy: str, symbol: str) -> tuple[RunKey, OpenPosition]:
    key = RunKey(Mode.LIVE, "x", strategy, symbol)
    row = SignalRow("i", symbol, strategy, "x", Position.LONG, 1, 2, 0.5, 9, T0, T0, False)
    return key, OpenPosition(row)


async def asked(gate: RiskGate, key: RunKey, *names: str, price: float = 1.0) -> bool:
    verdict = await gate.check(names, key, holder("s", key.symbol)[1].row, price, T0)
    await gate.tell(verdict)
    return bool(verdict)


def symbols(*names: str) -> list[tuple[RunKey, OpenPosition]]:
    return [holder("s", name) for name in names]


async def test_the_fourth_of_three_is_refused_and_the_third_of_five_is_not() -> None:
    """Case 147, and 148: a position is counted from `reserve` to `release`."""
    calls: list[tuple[str, str, int]] = []

    def noting(name: str) -> Any:
        return lambda symbol, check: calls.append((name, symbol, check.active_position_count))

    callbacks = {"on_allowed": noting("allowed"), "on_rejected": noting("rejected")}
    gate, _ = gate_of(
        RiskSchema(risk_name="three", validations=(at_most(3),), callbacks=callbacks),
        RiskSchema(risk_name="five", validations=(at_most(5),), callbacks=callbacks),
    )
    for key, position in symbols("A", "B", "C"):
        gate.book.reserve(("three",), key, position)
    for key, position in symbols("A", "B"):
        gate.book.reserve(("five",), key, position)
    newcomer = holder("s", "D")[0]
    assert not await asked(gate, newcomer, "three")
    assert await asked(gate, newcomer, "five")
    assert calls == [("rejected", "D", 3), ("allowed", "D", 2)]
    gate.book.release(("three",), holder("s", "B")[0])
    assert len(gate.book.active("three")) == 2 and len(gate.book.active("five")) == 2
    assert await asked(gate, newcomer, "three")
    # The same symbol of another strategy is another position.
    gate.book.reserve(("three",), *holder("t", "A"))
    assert len(gate.book.active("three")) == 3


async def test_bare_functions_objects_and_no_validations() -> None:
    """Cases 149 and 150."""

    def no(check: RiskCheck) -> None:
        raise ValueError("no")

    gate, bus = gate_of(
        RiskSchema(risk_name="bare", validations=(no,)),  # type: ignore[arg-type]
        RiskSchema(risk_name="object", validations=({"validate": no, "note": "why"},)),  # type: ignore[arg-type]
        RiskSchema(risk_name="empty"),
    )
    heard: list[Any] = []
    bus.subscribe("risk", heard.append)
    key = holder("s", "A")[0]
    assert [await asked(gate, key, name) for name in ("bare", "object", "empty")] == [
        False, False, True
    ]  # fmt: skip
    await bus.flush()
    assert [(e.risk_name, e.comment) for e in heard] == [("bare", "N/A"), ("object", "why")]


async def test_filters_of_symbol_price_and_time() -> None:
    """Case 152."""

    def no_bitcoin(check: RiskCheck) -> None:
        if check.symbol.startswith("BTC"):
            raise ValueError("not this one")

    def not_dear(check: RiskCheck) -> None:
        if check.current_price > 103:
            raise ValueError("too dear")

    def not_early(check: RiskCheck) -> None:
        if datetime.fromtimestamp(check.timestamp / 1000, UTC).minute < 4:
            raise ValueError("too early")

    async with bed(path([100.0 + n for n in range(12)]), frame=(0, 9)) as made:
        for name, rule in (("s", no_bitcoin), ("p", not_dear), ("t", not_early)):
            add_risk(risk_name=name, validations=[rule])
            made.strategy(lambda s, w: long(1, tp=300), name=f"by {name}", risk_name=name)
        assert await made.results("by s", "BTCUSDT") == []
        assert len(await made.results("by s", "ETHUSDT")) == 10
        cheap = [result.signal.price_open for result in await made.results("by p")]
        assert cheap == [100, 100, 101, 102, 103]
        [first, *_] = await made.results("by t")
        assert first.signal.pending_at == T0 + 4 * 60_000
        allowed = [e for e in made.heard["risk"] if e.symbol == "ETHUSDT"]
        assert allowed == [], "an allowed signal makes no event"


async def test_a_profile_that_always_refuses_opens_nothing() -> None:
    """Case 153."""
    calls: list[str] = []
    async with bed(frame=(0, 9)) as made:
        callbacks = {
            "on_allowed": lambda *_: calls.append("allowed"),
            "on_rejected": lambda *_: calls.append("rejected"),
        }
        add_risk(risk_name="r", validations=[lambda check: 1 / 0], callbacks=callbacks)
        made.strategy(lambda s, w: long(1), risk_name="r")
        assert await made.results() == []
        assert calls == ["rejected"] * 10
        assert made.actions() == []


async def test_once_listeners_filter_by_symbol_and_fire_independently() -> None:
    """Cases 154 and 155."""
    once: dict[str, list[Any]] = {"BTCUSDT": [], "ETHUSDT": []}
    every: list[Any] = []
    async with bed(frame=(0, 5)) as made:
        for symbol, heard in once.items():
            listen_risk_once(lambda event, symbol=symbol: event.symbol == symbol, heard.append)
        listen_risk(every.append)
        rules = [{"validate": lambda check: 1 / 0, "note": "enough"}]
        add_risk(risk_name="r", validations=rules)
        made.strategy(lambda s, w: long(1), risk_name="r")
        for symbol in ("ETHUSDT", "BTCUSDT"):
            await made.results(symbol=symbol)
        assert len(every) == 12
        for symbol, heard in once.items():
            [event] = heard
            assert (event.symbol, event.strategy_name, event.comment) == (symbol, "asked", "enough")
            assert event.current_price == 100.0 and event.timestamp == T0
            assert event.pending_signal.position == "long"
            data = await Risk.get_data(symbol, "asked")
            # Case 156.
            total = data.total_rejections
            assert total == len(data.event_list) == 6
            assert total == sum(data.by_symbol.values()) == sum(data.by_strategy.values())
            report = await Risk.get_report(symbol, "asked")
            assert report.startswith(f"# Risk Rejection Report: {symbol}:asked\n")
            for words in (
                "| Symbol |", "| Reason |", "**Total rejections:** 6", "## Rejections by Symbol",
                "## Rejections by Strategy",
            ):  # fmt: skip
                assert words in report


async def test_a_list_of_profiles_is_an_and() -> None:
    """Case 157: one profile blocks BTC, so ETH alone is traded."""
    consulted: list[tuple[str, str]] = []

    def profile(name: str, blocked: str = "") -> None:
        def rule(check: RiskCheck) -> None:
            consulted.append((name, check.symbol))
            if check.symbol == blocked:
                raise ValueError("blocked")

        add_risk(risk_name=name, validations=[rule])

    async with bed(frame=(0, 0)) as made:
        profile("a")
        profile("b", blocked="BTCUSDT")
        profile("c")
        made.strategy(lambda s, w: long(1), risk_name="c", risk_list=["a", "b"])
        assert await made.results(symbol="BTCUSDT") == []
        assert len(await made.results(symbol="ETHUSDT")) == 1
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert sorted(name for name, each in consulted if each == symbol) == ["a", "b", "c"]


async def test_strategies_that_share_a_profile_see_the_same_counts() -> None:
    """Case 158: limit 1 over three live strategies started together."""
    seen: list[tuple[str, int]] = []

    async def counting(check: RiskCheck) -> None:
        await asyncio.sleep(0)
        seen.append((check.strategy_name, check.active_position_count))
        if check.active_position_count >= 1:
            raise ValueError("one at a time")

    async with bed(live=True, topics=("error",)) as made:
        made.listen("signal")
        add_risk(risk_name="r", validations=[counting])
        for name in ("one", "two", "three"):
            made.strategy(lambda s, w: long(50), name, risk_name="r")
            made.instance(name).start()
        await made.until(3)
        assert [str(r.action) for r in made.heard["signal"]] == ["opened"]
        assert sorted(count for _, count in seen[:3]) == [0, 1, 1]
        assert {count for _, count in seen[3:]} == {1}
        refused = [name for name in ("one", "two", "three")
                   if (await Risk.get_data(SYMBOL, name)).total_rejections]  # fmt: skip
        assert len(refused) == 2


@pytest.mark.parametrize("live", [False, True], ids=["backtest", "live"])
async def test_refusals_carry_the_run_s_own_time(live: bool) -> None:
    """Defect D19: simulated time, not the wall's, in events and in what validations see."""

    def refuse(check: RiskCheck) -> None:
        raise ValueError("no")

    async with bed(live=live, frame=(0, 2)) as made:
        add_risk(risk_name="r", validations=[refuse])
        made.strategy(lambda s, w: long(1), risk_name="r")
        await _run(made)
        assert [e.timestamp for e in made.heard["risk"]] == [T0, T0 + 60_000, T0 + 120_000]


async def _run(made: Bed) -> None:
    if made.clock is None:
        await made.results()
    else:
        made.instance().start()
        await made.until(2)
