"""What every store promises, tried on all of them; a file is opened anew before it is believed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.adapters.store import limits
from engine.adapters.store.limits import FINISHED_KEPT, RECENT_KEPT
from engine.adapters.store.memory import MemoryStore
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import (
    AttemptMade,
    Change,
    CommandNoted,
    ErrorNote,
    FinishedSaved,
    HeldChanged,
    InstanceForgotten,
    InstanceSaved,
    Journaled,
    MetaSaved,
    Released,
    Reserved,
    RunState,
    Settled,
    StoredState,
    Telemetry,
)
from engine.domain.errors import StateError
from engine.domain.events import Partial, RiskRejection
from engine.domain.ports import Store
from engine.domain.signals import Mode, Opened, OpenPosition, RunKey, ScheduledSignal
from tests.store.store_bed import (
    MEMORY,
    T0,
    cancelled_event,
    closed_event,
    closing,
    commits,
    key_of,
    normal,
    opening,
    record_of,
    row_of,
    rows_in,
    telemetry_rows,
)


class Bed(Protocol):
    """A store, and the same store after its process is gone and another one came."""

    store: Store

    async def again(self) -> StoredState: ...


@dataclass
class MemoryBed:
    store: Store

    async def again(self) -> StoredState:
        return normal(await self.store.load())


@dataclass
class FileBed:
    store: Store
    path: Path

    async def again(self) -> StoredState:
        await self.store.close()
        self.store = SqliteStore(self.path)
        await self.store.open()
        return normal(await self.store.load())


@asynccontextmanager
async def bed_of(kind: str, directory: Path) -> AsyncIterator[Bed]:
    path = directory / "state.db"
    bed = MemoryBed(MemoryStore()) if kind == "memory" else FileBed(SqliteStore(path), path)
    await bed.store.open()
    try:
        yield bed
    finally:
        await bed.store.close()


@pytest.fixture(params=["memory", "sqlite"])
async def bed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bed]:
    async with bed_of(request.param, tmp_path) as made:
        yield made


def run_in(state: StoredState, key: RunKey) -> RunState:
    return state.runs.get(key, RunState())


async def test_a_new_store_is_empty(bed: Bed) -> None:
    assert await bed.store.load() == StoredState()
    assert await bed.again() == StoredState()


async def test_an_open_position_is_kept_with_all_that_belongs_to_it(bed: Bed) -> None:
    key = key_of()
    changes = opening(key)
    (number,) = await bed.store.commit([*changes, Settled(key, T0 + 5)])
    state = await bed.again()
    position = OpenPosition(row_of(key))
    assert run_in(state, key) == RunState(held=position, last_attempt=T0, settled_until=T0 + 5)
    assert state.reservations == {("limit", key): position}
    (entry,) = state.recent
    assert (entry.number, entry.key) == (number, key)
    assert isinstance(entry.event, Opened)
    assert state.undelivered == state.recent


async def test_a_closed_position_leaves_its_trade(bed: Bed) -> None:
    key = key_of()
    await bed.store.commit(opening(key))
    await bed.store.commit(closing(key, 60_000))
    state = await bed.again()
    run = run_in(state, key)
    assert (run.held, run.trades) == (None, (closed_event(key, 60_000),))
    assert state.reservations == {}


async def test_milestones_replace_the_position(bed: Bed) -> None:
    key = key_of()
    await bed.store.commit([HeldChanged(key, ScheduledSignal(row_of(key, scheduled=True)))])
    first = OpenPosition(row_of(key))
    later = replace(first, profit_level=30, loss_level=10)
    await bed.store.commit([HeldChanged(key, first)])
    await bed.store.commit([HeldChanged(key, later)])
    assert run_in(await bed.again(), key).held == later


async def test_changes_are_applied_in_order(bed: Bed) -> None:
    key = key_of()
    position = OpenPosition(row_of(key))
    await bed.store.commit(
        [
            HeldChanged(key, position), Reserved("limit", key, position), AttemptMade(key, 2),
            HeldChanged(key, None), Released("limit", key), AttemptMade(key, 1),
        ]
    )  # fmt: skip
    state = await bed.again()
    assert run_in(state, key) == RunState(last_attempt=1)
    assert state.reservations == {}


async def test_keys_share_nothing(bed: Bed) -> None:
    base = key_of()
    keys = [
        base, replace(base, symbol="X"), replace(base, exchange_name="X"),
        replace(base, strategy_name="X"), replace(base, frame_name="X"),
    ]  # fmt: skip
    for at, key in enumerate(keys):
        await bed.store.commit([*opening(key, at), InstanceSaved(key, record_of(at + 1))])
    await bed.store.commit(closing(keys[2], 7))
    state = await bed.again()
    for at, key in enumerate(keys):
        run = run_in(state, key)
        assert run.last_attempt == T0 + at
        assert (run.held is None) == (at == 2)
        assert (("limit", key) in state.reservations) == (at != 2)
        assert run.instance is not None and run.instance.session == at + 1


async def test_journal_numbers_grow_also_over_restarts(bed: Bed) -> None:
    key = key_of()
    numbers: list[int] = []
    for round_ in range(3):
        notes = [Journaled(key, ErrorNote(key, at, "tick", "x")) for at in range(round_ + 1)]
        numbers += await bed.store.commit(notes)
        await bed.again()
    assert numbers == sorted(set(numbers)) and len(numbers) == 6
    assert [entry.number for entry in (await bed.again()).recent] == numbers


async def test_delivered_events_are_not_handed_out_again(bed: Bed) -> None:
    key = key_of()
    note = ErrorNote(key, 1, "tick", "x")
    numbers = await bed.store.commit(
        [Journaled(key, note), Journaled(key, note), Journaled(key, note, deliver=False)]
    )
    bed.store.delivered(numbers[:1])
    live = await bed.store.load()
    assert [entry.number for entry in live.undelivered] == [numbers[1]]
    state = await bed.again()
    assert [entry.number for entry in state.undelivered] == [numbers[1]]
    assert len(state.recent) == 3


async def test_a_new_session_begins_without_trades(bed: Bed) -> None:
    key = key_of()
    await bed.store.commit([InstanceSaved(key, record_of(1))])
    await bed.store.commit(closing(key, 1))
    await bed.store.commit([Journaled(key, cancelled_event(key, 2))])
    await bed.store.commit([InstanceSaved(key, record_of(1, "stopping"))])
    run = run_in(await bed.again(), key)
    assert (len(run.trades), len(run.cancelled)) == (1, 1)
    # The last trade of one session and the start of the next in one transaction.
    await bed.store.commit([*closing(key, 3), InstanceSaved(key, record_of(2)), *closing(key, 4)])
    run = run_in(await bed.again(), key)
    assert (run.trades, run.cancelled) == ((closed_event(key, 4),), ())
    assert run.instance == record_of(2)
    assert len((await bed.again()).recent) == 4


async def test_milestones_and_refusals_are_counted_per_session(bed: Bed) -> None:
    key, other = key_of(0), key_of(1)
    signal = row_of(key)
    names = (key.symbol, key.strategy_name, key.exchange_name, signal)
    reached = [
        Partial(side, key, *names, 1.0, level, False, T0)
        for side, level in (("profit", 10), ("profit", 20), ("loss", 10))
    ]
    refused = RiskRejection(key, "limit", *names, 1.0, 3, "full", T0)
    await bed.store.commit([InstanceSaved(key, record_of(1)), InstanceSaved(other, record_of(1))])
    await bed.store.commit([Journaled(key, event) for event in (*reached, refused)])
    await bed.store.commit([Journaled(other, reached[2], deliver=False)])
    state = await bed.again()
    assert run_in(state, key).counts == {"partial_profit": 2, "partial_loss": 1, "risk": 1}
    assert run_in(state, other).counts == {"partial_loss": 1}
    await bed.store.commit([InstanceSaved(key, record_of(2)), Journaled(key, refused)])
    state = await bed.again()
    assert run_in(state, key).counts == {"risk": 1}
    assert run_in(state, other).counts == {"partial_loss": 1}


async def test_sessions_within_one_commit(bed: Bed) -> None:
    key = key_of()
    await bed.store.commit([InstanceSaved(key, record_of(3)), *closing(key, 1)])
    await bed.store.commit(
        [
            *closing(key, 2), InstanceSaved(key, record_of(4)),
            *closing(key, 3), InstanceSaved(key, record_of(4, "stopping")),
            *closing(key, 4),
        ]
    )  # fmt: skip
    run = run_in(await bed.again(), key)
    assert run.trades == (closed_event(key, 3), closed_event(key, 4))
    assert run.instance == record_of(4, "stopping")
    # Any other number is another session, also a lower one.
    await bed.store.commit([InstanceSaved(key, record_of(1)), *closing(key, 5)])
    assert run_in(await bed.again(), key).trades == (closed_event(key, 5),)


async def test_a_forgotten_run_leaves_its_journal_alone(bed: Bed) -> None:
    key, other = key_of(0), key_of(1)
    for one in (key, other):
        await bed.store.commit([InstanceSaved(one, record_of()), Settled(one, 5)])
        await bed.store.commit(closing(one, 1))
    await bed.store.commit([InstanceForgotten(key)])
    state = await bed.again()
    assert run_in(state, key) == RunState()
    assert len(run_in(state, other).trades) == 1
    assert len(state.recent) == 2
    # Its first session again has none of the trades of the session before it was forgotten.
    await bed.store.commit([InstanceSaved(key, record_of(1)), *closing(key, 9)])
    assert run_in(await bed.again(), key).trades == (closed_event(key, 9),)


async def test_a_run_forgotten_and_begun_again_in_one_commit(bed: Bed) -> None:
    key = key_of()
    await bed.store.commit([*opening(key), InstanceSaved(key, record_of(4))])
    await bed.store.commit(
        [AttemptMade(key, 7), InstanceForgotten(key), Settled(key, 8), AttemptMade(key_of(1), 9)]
    )
    state = await bed.again()
    assert run_in(state, key) == RunState(settled_until=8)
    assert run_in(state, key_of(1)) == RunState(last_attempt=9)


async def test_where_runs_stood_is_kept_until_they_are_forgotten(bed: Bed) -> None:
    first, other = (Telemetry(key_of(run), T0, 101.5, None, T0) for run in (0, 1))
    newest = replace(first, last_price=None, pnl_percent=-0.25, heartbeat=T0 + 1)
    bed.store.telemetry([first, other])
    bed.store.telemetry([newest])
    assert (await bed.store.load()).telemetry == {first.key: newest, other.key: other}
    assert (await bed.again()).telemetry == {first.key: newest, other.key: other}
    bed.store.telemetry([newest])
    await bed.store.commit([InstanceForgotten(first.key)])
    assert (await bed.again()).telemetry == {other.key: other}


async def test_commands_finished_runs_and_meta_are_kept(bed: Bed) -> None:
    finished = [
        FinishedSaved("backtest", f"r{n}", T0 + n, {"trades": n, "list": [1.5, None]}, b"\x00" * n)
        for n in range(FINISHED_KEPT + 3)
    ]
    await bed.store.commit([CommandNoted(T0, "console", "close", "run", "refused")])
    await bed.store.commit(finished)
    newer = replace(finished[-2], when=T0 - 1)
    await bed.store.commit([newer, MetaSaved("seed", "1"), MetaSaved("seed", "2")])
    state = await bed.again()
    assert state.finished == (*finished[3:-2], finished[-1], newer)
    assert state.meta == {"seed": "2"}
    if isinstance(bed, FileBed):
        ((kept,),) = rows_in(bed.path, "SELECT count(*) FROM finished")
        assert kept == FINISHED_KEPT, "older ones do not fill the file"


async def test_finished_runs_are_handed_out_by_weight_too(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FINISHED_BYTES", 1000)
    heavy = [FinishedSaved("backtest", name, T0, {}, b"x" * 400) for name in "abc"]
    await bed.store.commit([*heavy[:2], FinishedSaved("backtest", "light", T0, {}, b""), heavy[2]])
    assert [run.run_id for run in (await bed.again()).finished] == ["b", "light", "c"]
    heaviest = FinishedSaved("backtest", "d", T0, {}, b"x" * 1001)
    await bed.store.commit([heaviest])
    assert (await bed.again()).finished == (heaviest,)


async def test_a_run_that_finishes_again_is_the_newest(bed: Bed) -> None:
    a, b = (FinishedSaved("backtest", name, T0, {}, b"") for name in "ab")
    again = replace(a, kind="walker")
    await bed.store.commit([a, b, again])
    assert (await bed.again()).finished == (b, again)


async def test_lists_of_events_are_bounded(bed: Bed) -> None:
    key = key_of()
    notes = [
        Journaled(key, ErrorNote(key, at, "tick", "x"), deliver=False)
        for at in range(RECENT_KEPT + 10)
    ]
    numbers = await bed.store.commit(notes)
    state = await bed.again()
    assert [entry.number for entry in state.recent] == list(numbers[10:])


BACKTEST = key_of(0, Mode.BACKTEST)
LIVE_ONLY: list[Change] = [
    *opening(BACKTEST), *closing(BACKTEST), Settled(BACKTEST, 1),
    InstanceSaved(BACKTEST, record_of()), InstanceForgotten(BACKTEST),
]  # fmt: skip


@pytest.mark.parametrize("change", LIVE_ONLY, ids=lambda change: type(change).__name__)
async def test_backtests_write_no_live_state(bed: Bed, change: Change) -> None:
    with pytest.raises(StateError, match="backtest"):
        await bed.store.commit([*opening(key_of()), change])
    with pytest.raises(StateError, match="backtest"):
        bed.store.telemetry([Telemetry(BACKTEST, 1, 1.0, 1.0, 1)])
    assert await bed.again() == StoredState()


async def test_an_empty_commit_is_nothing(bed: Bed) -> None:
    assert await bed.store.commit([]) == ()
    assert await bed.again() == StoredState()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(commits, max_size=8), st.booleans(), st.lists(st.integers(1, 20), max_size=4),
    st.lists(telemetry_rows, max_size=4), st.lists(telemetry_rows, max_size=4),
)  # fmt: skip
def test_file_and_memory_are_indistinguishable(
    batches: list[list[Change]],
    at_once: bool,
    delivered: list[int],
    before: list[Telemetry],
    after: list[Telemetry],
) -> None:
    """Any commits, one after another or all waiting together, leave the same in both."""

    async def left_by(kind: str, directory: Path) -> tuple[Any, StoredState]:
        async with bed_of(kind, directory) as bed:
            bed.store.telemetry(before)
            if at_once:
                numbers = list(await asyncio.gather(*map(bed.store.commit, batches)))
            else:
                numbers = [await bed.store.commit(batch) for batch in batches]
            bed.store.delivered(delivered)
            bed.store.telemetry(after)
            return numbers, await bed.again()

    async def both() -> tuple[Any, Any]:
        with tempfile.TemporaryDirectory(dir=MEMORY) as name:
            return await left_by("memory", Path(name)), await left_by("sqlite", Path(name))

    remembered, read = asyncio.run(both())
    assert read == remembered
