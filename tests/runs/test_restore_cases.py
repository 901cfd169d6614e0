"""Conformance cases 135 to 143 and 146: what a store holds is taken up where it was left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import Engine, Signal, SimulatedClock, add_exchange, add_risk, add_strategy
from engine.adapters.store.memory import MemoryStore
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import Change, HeldChanged, InstanceRecord, InstanceSaved, Reserved
from engine.domain.ports import Store
from engine.domain.signals import (
    Mode,
    OpenPosition,
    Position,
    RunKey,
    ScheduledSignal,
    SignalRow,
)
from tests.runs.bed import MINUTE, RELAXED, SYMBOL, T0, Row, flat, long, minute_of, serving
from tests.store.store_bed import rows_in

HALF_DAY = 720
RISEN = [*flat(-2 * HALF_DAY, -30, 43_000), *flat(-30, 30, 44_000)]
"""At 43000, and from half an hour before the engine starts at 44000."""


def key_of(name: str, exchange: str = "memory") -> RunKey:
    return RunKey(Mode.LIVE, exchange, name, SYMBOL)


def row_of(key: RunKey, at: int, position: str = "long", *, tp: float = 50_000,
           sl: float = 30_000, minutes: int = 100_000, entry: float = 43_000,
           waits: bool = False) -> SignalRow:  # fmt: skip
    """A row of a run as an earlier process stored it ``at`` minutes after T0."""
    when = T0 + at * MINUTE
    return SignalRow(
        f"{key.strategy_name}-1", key.symbol, key.strategy_name, key.exchange_name,
        Position(position), entry, tp, sl, minutes, when, when, waits, "kept **as is**",
    )  # fmt: skip


def stored(key: RunKey, row: SignalRow) -> list[Change]:
    """What the store holds of a run that was running."""
    held = ScheduledSignal(row) if row.is_scheduled else OpenPosition(row)
    record = InstanceRecord("running", RELAXED, (), "", "", 1, row.scheduled_at)
    return [InstanceSaved(key, record), HeldChanged(key, held)]


class Heard:
    """Transitions by strategy, and calls of callbacks by name and strategy."""

    def __init__(self, engine: Engine, clock: SimulatedClock) -> None:
        self.engine = engine
        self.clock = clock
        self.results: dict[str, list[Any]] = {}
        self.calls: dict[tuple[str, str], list[Any]] = {}
        self.errors: list[Any] = []
        engine.bus.subscribe("error", self.errors.append)
        engine.bus.subscribe("signal", self._note, transitions_only=True)

    def _note(self, result: Any) -> None:
        self.results.setdefault(result.strategy_name, []).append(result)

    def told(self, name: str, strategy: str) -> list[Any]:
        return self.calls.get((name, strategy), [])

    def strategy(self, name: str, get_signal: Any = None, **fields: Any) -> None:
        def noting(callback: str) -> Any:
            return lambda *given: self.calls.setdefault((callback, name), []).append(given)

        add_strategy(
            strategy_name=name, interval="1m", get_signal=get_signal or (lambda s, w: None),
            callbacks={n: noting(n) for n in ("on_restore", "on_active", "on_schedule")}, **fields,
        )  # fmt: skip

    def actions(self, name: str) -> list[tuple[str, int]]:
        return [(str(r.action), minute_of(r.when)) for r in self.results.get(name, ())]

    def run(self, name: str) -> Any:
        return self.engine.live(SYMBOL, strategy_name=name, exchange_name="memory")

    async def until(self, minute: int) -> None:
        await self.clock.sleep_until(T0 + minute * MINUTE + 30_000)
        await self.engine.bus.flush()


@asynccontextmanager
async def life(store: Store, rows: list[Row] = RISEN, now: int = 0) -> AsyncIterator[Heard]:
    """An engine over a store, at ``now`` minutes after T0; nothing is recovered yet."""
    clock = SimulatedClock(T0 + now * MINUTE)
    async with Engine(clock=clock, store=store) as engine:
        engine.configure({**RELAXED, "avg_price_candles_count": 1}, unsafe=True)
        function = serving(rows, clock)
        add_exchange(exchange_name="memory", get_candles=function, intervals=("1m",))
        with clock.working():
            yield Heard(engine, clock)


async def holding(rows: Iterable[tuple[RunKey, SignalRow]]) -> MemoryStore:
    store = MemoryStore()
    for key, row in rows:
        await store.commit(stored(key, row))
    return store


async def test_exits_that_came_while_nobody_was_there_are_taken_at_the_first_tick() -> None:
    """Cases 135, 136: settled exactly, each at the instant at which a live run had closed it."""
    rows = {
        "target": {"at": -60, "tp": 44_000},
        "stopped": {"at": -60, "position": "short", "tp": 30_000, "sl": 44_000},
        "below": {"at": -90, "position": "short", "tp": 43_500, "sl": 50_000, "entry": 45_000},
        "expired": {"at": -2, "minutes": 1},
    }
    keys = {name: key_of(name) for name in rows}
    store = await holding((keys[name], row_of(keys[name], **rows[name])) for name in rows)
    async with life(store) as heard:
        for name in rows:
            heard.strategy(name)
        await heard.engine.recover()
        await heard.until(0)
        ends = {
            name: (str(r.close_reason), minute_of(r.close_timestamp), r.current_price)
            for name, [r] in heard.results.items()
        }
        assert ends == {
            "target": ("take_profit", -29, 44_000),
            "stopped": ("stop_loss", -29, 44_000),
            "below": ("take_profit", -89, 43_500),
            "expired": ("time_expired", -1, 44_000),
        }
        assert heard.errors == []
    assert all(run.held is None for run in (await store.load()).runs.values())


async def test_what_was_held_is_told_and_followed_as_it_was_stored() -> None:
    """Cases 137, 140: `on_restore` once, `on_active` every tick; time goes on from the opening."""
    keys = {name: key_of(name) for name in ("open", "waits")}
    rows = {
        "open": row_of(keys["open"], -HALF_DAY, minutes=2 * HALF_DAY),
        "waits": row_of(keys["waits"], -20, entry=42_000, waits=True),
    }
    store = await holding((keys[name], rows[name]) for name in rows)
    rows_until_then = [*RISEN, *flat(30, HALF_DAY + 30, 44_000)]
    async with life(store, rows_until_then) as heard:
        for name in rows:
            heard.strategy(name)
        await heard.engine.recover()
        await heard.until(0)
        assert heard.results == {}
        for name, at, price in (("open", -HALF_DAY, 43_000), ("waits", -20, 44_000)):
            [(symbol, row, market, backtest)] = heard.told("on_restore", name)
            assert (symbol, row, market, backtest) == (SYMBOL, rows[name], price, False)
            assert minute_of(row.scheduled_at) == at
            active = heard.told("on_active", name)
            assert [row for _, row, *_ in active] == [rows[name]] * len(active)
            assert len(active) == -at, "every bar since is settled"
            assert heard.told("on_schedule", name) == [], "that was told by the process before"
        held = heard.run("waits").execution.session.held
        assert isinstance(held, ScheduledSignal) and held.row.is_scheduled
        assert (held.row.price_open, held.row.note) == (42_000, "kept **as is**")
        await heard.until(2)
        assert len(heard.told("on_restore", "open")) == 1
        assert len(heard.told("on_active", "open")) == HALF_DAY + 2
        assert heard.errors == []
    async with life(store, rows_until_then, HALF_DAY - 1) as heard:
        for name in rows:
            heard.strategy(name)
        await heard.engine.recover()
        await heard.until(HALF_DAY - 1)
        assert heard.actions("open") == [], "not before its own day is over"
        assert heard.actions("waits") == [("cancelled", 100)]
        await heard.until(HALF_DAY)
        assert heard.actions("open") == [("closed", HALF_DAY)]
        assert str(heard.results["open"][0].close_reason) == "time_expired"
        assert heard.errors == []


async def test_what_belongs_to_another_exchange_or_strategy_is_nobody_elses() -> None:
    """Case 138: a run takes up its own record whatever else the store holds; that stays there."""
    own, elsewhere, gone = key_of("asked"), key_of("asked", "elsewhere"), key_of("gone")
    rows = {
        own: row_of(own, -5, entry=42_000, waits=True),
        elsewhere: row_of(elsewhere, -60, tp=44_000),
        gone: row_of(gone, -60, tp=44_500),
    }
    store = await holding(rows.items())
    async with life(store) as heard:
        heard.strategy("asked")
        recovered = await heard.engine.recover()
        await heard.until(0)
        [(_, row, *_)] = heard.told("on_restore", "asked")
        assert row == rows[own]
        assert heard.results == {}, "no position of others was closed by this run"
        [problem] = recovered.problems
        assert "elsewhere" in problem
        flags = {one.key: (one.flags, one.status) for one in recovered.instances}
        assert flags == {
            own: ((), "running"),
            elsewhere: (("exchange missing",), "failed"),
            gone: (("strategy missing",), "stopping"),
        }
    assert {key: run.held.row for key, run in (await store.load()).runs.items() if run.held} == rows


async def test_an_empty_store_restores_nothing_and_a_signal_can_open() -> None:
    """Case 139."""
    async with life(MemoryStore()) as heard:
        heard.strategy("asked", lambda s, w: long(3, tp=50_000, sl=30_000))
        assert (await heard.engine.recover()).instances == ()
        heard.run("asked").start()
        await heard.until(1)
        assert heard.told("on_restore", "asked") == heard.told("on_schedule", "asked") == []
        assert heard.actions("asked") == [("opened", 0)]
        assert len(heard.told("on_active", "asked")) == 1


async def test_what_is_held_is_one_row_of_its_kind_until_it_ends(tmp_path: Path) -> None:
    """Cases 133, 141, 142, 143: as an independent eye sees the file, tick by tick."""
    path = tmp_path / "state.db"
    prices = [100, 100, 94, 94, 94, 94, 100, 100]
    rows = [*flat(-10, 0), *(r for m, p in enumerate(prices) for r in flat(m, m + 1, p))]

    def get_signal(symbol: str, when: Any) -> Signal | None:
        return Signal("long", 110, 80, 3, price_open=95) if minute_of(when) in (0, 7) else None

    def seen() -> list[tuple[Any, ...]]:
        columns = "kind, position, price_open, price_take_profit, price_stop_loss, minutes"
        names = "scheduled_at, pending_at, symbol, strategy, exchange"
        return rows_in(path, f"SELECT {columns}, {names} FROM held")

    names = (SYMBOL, "asked", "memory")
    async with life(SqliteStore(path), rows) as heard:
        heard.strategy("asked", get_signal)
        heard.run("asked").start()
        await heard.until(1)
        assert seen() == [("scheduled", "long", 95, 110, 80, 3, T0, T0, *names)]
        await heard.until(3)
        opened = T0 + 3 * MINUTE
        assert seen() == [("position", "long", 95, 110, 80, 3, T0, opened, *names)]
        await heard.until(6)
        assert heard.actions("asked") == [("scheduled", 0), ("opened", 3), ("closed", 6)]
        assert seen() == []
        await heard.until(7)
        assert [kind for kind, *_ in seen()] == ["scheduled"]
        heard.run("asked").stop()
        await heard.until(8)
        assert heard.actions("asked")[3:] == [("scheduled", 7), ("cancelled", 7)]
        assert str(heard.results["asked"][-1].cancel_reason) == "stopped"
        assert seen() == [], "a stop that cancels leaves nothing behind"


async def test_slots_of_a_profile_are_what_the_store_holds_of_it() -> None:
    """Case 146: over any store with the protocol; nothing of one profile is in another."""

    class Counting(MemoryStore):
        commits = 0

        async def commit(self, changes: Any) -> tuple[int, ...]:
            self.commits += 1
            return await super().commit(changes)

    store, keys = Counting(), [key_of("first"), key_of("second")]
    for key in keys:
        names = ("one", "two") if key == keys[0] else ("two",)
        position = OpenPosition(row_of(key, -5))
        saved, held = stored(key, position.row)
        assert isinstance(saved, InstanceSaved)
        record = replace(saved.record, risk_names=names)
        slots = [Reserved(name, key, position) for name in names]
        await store.commit([InstanceSaved(key, record), held, *slots, *slots])
    async with life(store) as heard:
        for name in ("one", "two", "three"):
            add_risk(risk_name=name, validations=[])
        heard.strategy("first", risk_list=("one", "two"))
        heard.strategy("second", risk_name="two")
        await heard.engine.recover()
        await heard.until(0)
        gate: Any = heard.engine.live_runs._live_gate()
        active = {name: gate.book.active(name) for name in ("one", "two", "three", "unknown")}
        held = {name: [(p.strategy_name, p.signal.id) for p in active[name]] for name in active}
        first, second = ("first", "first-1"), ("second", "second-1")
        assert held == {"one": [first], "two": [first, second], "three": [], "unknown": []}
        before = store.commits
        heard.run("first").stop()
        await heard.until(1)
        assert store.commits > before
