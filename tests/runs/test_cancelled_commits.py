"""A session that is cancelled while the file is being written: the next one goes on from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, Signal, SimulatedClock, add_exchange, add_risk, add_strategy
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import Change, HeldChanged
from engine.runs.instance import Instance
from tests.runs.bed import MINUTE, RELAXED, SYMBOL, T0, flat, long, minute_of, serving
from tests.store.store_bed import rows_in


class Interrupted(SqliteStore):
    """Cancels a run once, while the commit that begins or ends what it holds is carried out."""

    run: Instance | None = None
    at_end = False

    async def commit(self, changes: Sequence[Change]) -> tuple[int, ...]:
        moved = [change for change in changes if isinstance(change, HeldChanged)]
        if self.run is not None and moved and (moved[0].held is None) is self.at_end:
            assert self.run.task is not None
            asyncio.get_running_loop().call_soon(self.run.task.cancel)
            self.run = None
        return await super().commit(changes)


async def get_signal(symbol: str, when: datetime) -> Signal | None:
    return long(5) if minute_of(when) == 1 else None


@asynccontextmanager
async def trading(
    store: SqliteStore, clock: SimulatedClock, risk_names: Sequence[str] = ("old",)
) -> AsyncIterator[tuple[Engine, Instance]]:
    async with Engine(clock=clock, store=store) as engine:
        engine.configure(RELAXED, unsafe=True)
        add_exchange(
            exchange_name="memory", intervals=("1m",), get_candles=serving(flat(-10, 60), clock)
        )
        for name in ("old", "both", "new"):
            add_risk(risk_name=name, validations=[])
        add_strategy(
            strategy_name="a", interval="1m", get_signal=get_signal, risk_list=[*risk_names]
        )
        with clock.working():
            await engine.recover()
            yield engine, engine.live(SYMBOL, strategy_name="a", exchange_name="memory")


def slots(engine: Engine) -> dict[str, int]:
    gate: Any = engine.live_runs._live_gate()
    return {name: len(gate.book.active(name)) for name in ("old", "both", "new")}


@pytest.mark.parametrize("at_end", [False, True], ids=["opening", "closing"])
async def test_memory_follows_the_file(tmp_path: Path, at_end: bool) -> None:
    path, clock = tmp_path / "state.db", SimulatedClock(T0)
    store = Interrupted(path)
    async with trading(store, clock) as (engine, run):
        store.run, store.at_end = run, at_end
        run.start()
        await clock.sleep_until(T0 + (8 if at_end else 3) * MINUTE + 1)
        assert run.is_cancelled
        held: Any = run.execution
        assert rows_in(path, "SELECT count(*) FROM held") == [(int(not at_end),)]
        assert held.session.is_holding is not at_end
        assert slots(engine)["old"] == int(not at_end)
        run.start()
        await clock.sleep_until(T0 + 20 * MINUTE + 1)
        assert slots(engine)["old"] == 0
    assert rows_in(path, "SELECT kind FROM journal") == [("opened",), ("closed",)]
    assert rows_in(path, "SELECT count(*) FROM held") == [(0,)]
    assert rows_in(path, "SELECT count(*) FROM reservation") == [(0,)]


async def test_a_strategy_with_other_risk_profiles_takes_the_position_with_it(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "state.db", SimulatedClock(T0)
    async with trading(SqliteStore(path), clock, ("old", "both")) as (engine, run):
        run.start()
        await clock.sleep_until(T0 + 2 * MINUTE + 1)
        assert slots(engine) == {"old": 1, "both": 1, "new": 0}
    async with trading(SqliteStore(path), clock, ("both", "new")) as (engine, _):
        await clock.sleep_until(T0 + 3 * MINUTE + 1)
        assert slots(engine) == {"old": 0, "both": 1, "new": 1}
        stored = rows_in(path, "SELECT risk FROM reservation ORDER BY risk")
        assert stored == [("both",), ("new",)]
        await clock.sleep_until(T0 + 20 * MINUTE + 1)
        assert slots(engine) == {"old": 0, "both": 0, "new": 0}
    assert rows_in(path, "SELECT count(*) FROM reservation") == [(0,)]
