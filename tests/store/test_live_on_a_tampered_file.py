"""A start over rows of nonsense: each is named to the operator, and everything else goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from engine import Engine, Signal, SimulatedClock, add_exchange, add_risk, add_strategy
from engine.adapters.store.sqlite import SqliteStore
from engine.runs.instance import Instance
from tests.runs.bed import MINUTE, RELAXED, SYMBOL, T0, flat, long, minute_of, serving
from tests.store.store_bed import rows_in, tampered

RUNS = ("a", "b", "c")


async def get_signal(symbol: str, when: datetime) -> Signal | None:
    return long(5) if minute_of(when) == 1 else None


@asynccontextmanager
async def trading(path: Path, clock: SimulatedClock) -> AsyncIterator[tuple[Engine, list[Any]]]:
    """Three strategies with a shared limit, everything restored; and what was heard of errors."""
    async with Engine(clock=clock, store=SqliteStore(path)) as engine:
        engine.configure(RELAXED, unsafe=True)
        add_exchange(
            exchange_name="memory", intervals=("1m",), get_candles=serving(flat(-10, 60), clock)
        )
        add_risk(risk_name="limit", validations=[])
        for name in RUNS:
            add_strategy(
                strategy_name=name, interval="1m", get_signal=get_signal, risk_name="limit"
            )
        errors: list[Any] = []
        engine.bus.subscribe("error", errors.append)
        with clock.working():
            await engine.recover()
            yield engine, errors


def live(engine: Engine, name: str) -> Instance:
    return engine.live(SYMBOL, strategy_name=name, exchange_name="memory")


async def test_the_others_go_on(tmp_path: Path) -> None:
    path, clock = tmp_path / "state.db", SimulatedClock(T0)
    async with trading(path, clock) as (engine, errors):
        for name in RUNS:
            live(engine, name).start()
        await clock.sleep_until(T0 + 3 * MINUTE + 1)
    assert errors == []
    assert rows_in(path, "SELECT count(*) FROM held") == [(3,)]
    # Of the first what it holds, of the second how it was started, of the third its risk slot.
    tampered(path, [
        ("UPDATE held SET payload = '{' WHERE strategy = 'a'", ()),
        ("UPDATE instance SET payload = '[]' WHERE strategy = 'b'", ()),
        ("UPDATE reservation SET position = 'sideways' WHERE strategy = 'c'", ()),
    ])  # fmt: skip

    async with trading(path, clock) as (engine, errors):
        a, b, c = (live(engine, name) for name in RUNS)
        executions: list[Any] = [instance.execution for instance in (a, b, c)]
        await clock.sleep_until(T0 + 4 * MINUTE + 1)
        await engine.bus.flush()
        assert [error.stage for error in errors] == ["recovery"] * 3
        assert [str(error).split(":")[0] for error in errors] == ["held", "instance", "reservation"]
        assert [one.session.held is not None for one in executions] == [False, True, True]
        assert (a.status, b.status, c.status) == ("running", "stopping", "running")
        # Whose position is watched still takes its slot.
        gate: Any = engine.live_runs._live_gate()
        holders = {position.strategy_name for position in gate.book.active("limit")}
        assert holders == {"b", "c"}
        await clock.sleep_until(T0 + 8 * MINUTE)
        closed = {one.key.strategy_name: len(one.journal.trades) for one in executions}
        assert closed == {"a": 0, "b": 1, "c": 1}
        assert (b.status, c.status) == ("done", "running")

    assert rows_in(path, "SELECT source FROM quarantine ORDER BY source") == [
        ("held",), ("instance",), ("reservation",)
    ]  # fmt: skip
    async with trading(path, clock) as (engine, errors):
        await engine.bus.flush()
        assert errors == [], "it is said once"


async def test_settings_of_another_version_hold_nobody_up(tmp_path: Path) -> None:
    path, clock = tmp_path / "state.db", SimulatedClock(T0)
    async with trading(path, clock) as (engine, errors):
        for name in RUNS:
            live(engine, name).start()
        await clock.sleep_until(T0 + 3 * MINUTE + 1)
    old = "json_set(payload, '$.settings.percent_fee', 0.25, '$.settings.odd_setting', 1)"
    bad = "json_set(payload, '$.settings.percent_fee', 'much')"
    tampered(path, [
        (f"UPDATE instance SET payload = {old} WHERE strategy = 'a'", ()),
        (f"UPDATE instance SET payload = {bad} WHERE strategy = 'b'", ()),
    ])  # fmt: skip
    async with trading(path, clock) as (engine, errors):
        executions: list[Any] = [live(engine, name).execution for name in RUNS]
        await engine.bus.flush()
        assert [one.settings.percent_fee for one in executions] == [0.25, 0.1, 0.1]
        first, second = (str(error) for error in errors)
        assert "settings this version does not know: odd_setting" in first
        assert "settings that cannot be used" in second and "percent_fee" in second
        await clock.sleep_until(T0 + 8 * MINUTE)
        assert [len(one.journal.trades) for one in executions] == [1, 1, 1]
