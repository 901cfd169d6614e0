"""Live runs go on trading while the state file takes nothing more, and after it takes again.

Nothing is heard that was not committed; what happened meanwhile is settled by the next tick that
can be kept, with the prices and instants of its own bar.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from engine import Engine, Signal, add_risk
from engine.adapters.store.reader import StateReader
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import FinishedSaved
from engine.domain.errors import StateError
from tests.runs.bed import Bed, bed, flat, long, minute_of, path

PAGE = 4096
RUNS = ("a", "b", "c")
ROWS = path([100, 100, 100, 100, 100, 80, 80, 80, 80, 80, 80], before=10) + flat(11, 40, 80.0)
"""Watched by VWAP, the stop-loss at 90 is reached by the bar that closes at minute 8,
and milestones of the way there one minute earlier."""


class Room:
    """The free pages of a store that may not grow; another program's hands on the file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.blobs = 0

    async def fill(self, store: SqliteStore) -> str:
        """Take all pages there are, and say what the last refusal said."""
        size = 40 * PAGE
        refusal = ""
        while size > 8:
            self.blobs += 1
            try:
                await store.commit([FinishedSaved("backtest", str(self.blobs), 1, {}, b"x" * size)])
            except StateError as error:
                refusal, size = str(error), size // 2
        return refusal

    def free(self) -> None:
        connection = sqlite3.connect(self.file, timeout=10)
        with connection:
            connection.execute("DELETE FROM finished")
        connection.close()


@asynccontextmanager
async def trading(store: SqliteStore) -> AsyncIterator[Bed]:
    """Three runs with a shared limit that open at minute 1 and again whenever they are flat."""

    async def get_signal(symbol: str, when: datetime) -> Signal | None:
        return long(30, tp=200, sl=90 if minute_of(when) < 7 else 60) if minute_of(when) else None

    async with bed(ROWS, live=True, store=store) as made:
        add_risk(risk_name="r", validations=[])
        for name in RUNS:
            made.strategy(get_signal, name, risk_name="r")
            made.instance(name).start()
        yield made


async def test_live_runs_over_a_full_store(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    await emptied(file)
    pages = file.stat().st_size // PAGE
    store = SqliteStore(file, max_page_count=pages + 60)
    room = Room(file)
    async with trading(store) as made:
        await made.until(3)
        assert made.errors() == []
        assert made.actions() == [("opened", 1)] * 3
        assert "full: nothing was changed" in await room.fill(store)

        await made.until(9)
        assert made.actions() == [("opened", 1)] * 3, "nothing was heard that was not committed"
        held = held_by(made)
        assert all(held) and len(slots(made.engine)) == 3, "memory is as it was"
        errors = made.heard["error"]
        assert {error.stage for error in errors} == {"tick"}
        (text,) = {str(error) for error in errors}
        assert str(file) in text and "full" in text and "tried again" in text
        assert [minute_of(error.when) for error in errors] == [7], "told once by all"
        with StateReader(file) as reader:
            assert [run.held for run in reader.snapshot().runs] == held

        room.free()
        await made.until(11)
        # Closed at the instant and price of the bar that reached the level, then flat and asked.
        assert sorted(made.actions()[3:]) == [("closed", 8)] * 3 + [("opened", 10)] * 3
        closed = [result for result in made.heard["signal"] if result.action == "closed"]
        assert {result.current_price for result in closed} == {80.0}
        assert len(errors) == 1 and len(slots(made.engine)) == 3
        held = held_by(made)
        levels = len({partial.level for partial in made.heard["partial_loss"]})
        assert len(made.heard["partial_loss"]) == 3 * levels > 0

    # The errors are in the journal too, and the next start knows all that was heard.
    with StateReader(file) as reader:
        state = reader.load()
    kinds = Counter(type(entry.event).__name__ for entry in state.recent)
    assert kinds == {"Opened": 6, "Closed": 3, "ErrorNote": 9, "Partial": 3 * levels}
    assert [run.held for _, run in sorted(state.runs.items(), key=str)] == held
    assert (len(state.reservations), state.undelivered) == (3, ())


async def emptied(file: Path) -> None:
    store = SqliteStore(file)
    await store.open()
    await store.close()


def held_by(made: Bed) -> list[object]:
    executions: list[Any] = [made.instance(name).execution for name in RUNS]
    return [execution.session.held for execution in executions]


def slots(engine: Engine) -> tuple[object, ...]:
    gate: Any = engine.live_runs._live_gate()
    return tuple(gate.book.active("r"))
