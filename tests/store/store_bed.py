"""Values for stores: runs, transitions, whole states, and hypothesis strategies for all of them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from engine.domain.changes import (
    AttemptMade,
    Change,
    CommandNoted,
    ErrorNote,
    FinishedSaved,
    HeldChanged,
    InstanceForgotten,
    InstanceRecord,
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
from engine.domain.events import Partial, RiskRejection
from engine.domain.signals import (
    Cancelled,
    CancelReason,
    Closed,
    CloseReason,
    Mode,
    Opened,
    OpenPosition,
    PnL,
    Position,
    RunKey,
    Scheduled,
    ScheduledSignal,
    SignalRow,
)

T0 = 1_704_067_200_000
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where files live that no test of power loss looks at: their disk costs nothing."""


def key_of(number: int = 0, mode: Mode = Mode.LIVE) -> RunKey:
    return RunKey(mode, "exchange", "strategy", f"S{number}USDT")


def row_of(key: RunKey, at: int = 0, *, scheduled: bool = False) -> SignalRow:
    when = T0 + at
    return SignalRow(
        f"{key.symbol}-{at}", key.symbol, key.strategy_name, key.exchange_name, Position.LONG,
        100.1, 110.3, 90.7, 60, when, when, scheduled, "because",
    )  # fmt: skip


def opening(key: RunKey, at: int = 0) -> list[Change]:
    """What a session commits when a position opens."""
    row = row_of(key, at)
    position = OpenPosition(row)
    return [
        AttemptMade(key, T0 + at),
        HeldChanged(key, position),
        Reserved("limit", key, position),
        Journaled(key, Opened(key, T0 + at, 100.1, row)),
    ]


def closed_event(key: RunKey, at: int) -> Closed:
    pnl = PnL(-1.25, 100.1, 99.0, 100.2, 98.9)
    row = row_of(key, at)
    return Closed(key, T0 + at, 99.0, row, CloseReason.STOP_LOSS, T0 + at, pnl)


def closing(key: RunKey, at: int = 0) -> list[Change]:
    """What a session commits when a position closes."""
    return [
        HeldChanged(key, None),
        Released("limit", key),
        Journaled(key, closed_event(key, at)),
    ]


def cancelled_event(key: RunKey, at: int) -> Cancelled:
    row = row_of(key, at, scheduled=True)
    return Cancelled(key, T0 + at, 99.0, row, CancelReason.TIMEOUT, T0 + at)


def record_of(session: int = 1, status: str = "running") -> InstanceRecord:
    settings = {"fee_percent": 0.1, "exit_trigger": "vwap", "list": [1, 2.5, None]}
    return InstanceRecord(status, settings, ("limit",), "s.py", "abc", session, T0)


def normal(state: StoredState) -> StoredState:
    """Without runs of which nothing is known: a store may or may not mention them."""
    runs = {key: run for key, run in state.runs.items() if run != RunState()}
    return replace(state, runs=runs)


def rows_in(path: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What an independent eye sees in a state file."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def tampered(path: Path, statements: Iterable[tuple[str, Sequence[Any]]]) -> None:
    """Change a state file behind everybody's back."""
    connection = sqlite3.connect(path)
    try:
        for sql, parameters in statements:
            assert connection.execute(sql, parameters).rowcount == 1
        connection.commit()
    finally:
        connection.close()


# -- hypothesis --------------------------------------------------------------------------------

FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    (-0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 2.0**53 + 1, 1e22, 123456789.0)
)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(max_size=12) | st.sampled_from(("", "a\x00b", "'\"", "🚀", "null", "\u2028"))
NAMES = st.sampled_from(("a", "b", "ü", "with space"))

keys = st.builds(RunKey, st.just(Mode.LIVE), NAMES, NAMES, TEXTS, st.just(""))
signal_rows = st.builds(
    SignalRow, TEXTS, TEXTS, NAMES, NAMES, st.sampled_from(Position), FLOATS, FLOATS, FLOATS,
    st.integers(), INTEGERS, INTEGERS, st.booleans(), TEXTS,
)  # fmt: skip
scheduled_signals = st.builds(ScheduledSignal, signal_rows)
open_positions = st.builds(OpenPosition, signal_rows, INTEGERS, INTEGERS)
pnls = st.builds(PnL, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS)


def events_of(key: RunKey) -> st.SearchStrategy[Any]:
    """Every kind of journal entry of one run, and some whose own key is another's."""
    own = st.just(key) | keys
    base = (own, INTEGERS, FLOATS, signal_rows)
    return st.one_of(
        st.builds(Scheduled, *base, st.booleans()),
        st.builds(Opened, *base, st.booleans()),
        st.builds(
            Closed, *base, st.sampled_from(CloseReason), INTEGERS, pnls,
            st.booleans(), st.booleans(), st.booleans(),
        ),
        st.builds(
            Cancelled, *base, st.sampled_from(CancelReason), INTEGERS, st.none(), st.booleans()
        ),
        st.builds(
            Partial, st.sampled_from(("profit", "loss")), own, TEXTS, NAMES, NAMES, signal_rows,
            FLOATS, INTEGERS, st.booleans(), INTEGERS,
        ),
        st.builds(
            RiskRejection, own, TEXTS, TEXTS, NAMES, NAMES, signal_rows, FLOATS, INTEGERS,
            TEXTS, INTEGERS,
        ),
        st.builds(ErrorNote, own, INTEGERS, TEXTS, TEXTS),
    )  # fmt: skip


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
records = st.builds(
    InstanceRecord, TEXTS, st.dictionaries(TEXTS, json_values, max_size=3),
    st.lists(TEXTS, max_size=2).map(tuple), TEXTS, TEXTS, st.integers(0, 3), INTEGERS, TEXTS,
)  # fmt: skip


def changes_of(key: RunKey) -> st.SearchStrategy[Any]:
    """Every kind of change, of one run where it has one."""
    run = st.just(key)
    return st.one_of(
        st.builds(HeldChanged, run, st.none() | scheduled_signals | open_positions),
        st.builds(AttemptMade, run, INTEGERS),
        st.builds(Settled, run, INTEGERS),
        st.builds(Reserved, NAMES, run, open_positions),
        st.builds(Released, NAMES, run),
        st.builds(Journaled, run, events_of(key), st.booleans()),
        st.builds(InstanceSaved, run, records),
        st.builds(InstanceForgotten, run),
        st.builds(CommandNoted, INTEGERS, TEXTS, TEXTS, TEXTS, TEXTS),
        st.builds(
            FinishedSaved, TEXTS, NAMES, INTEGERS,
            st.dictionaries(TEXTS, json_values, max_size=2), st.binary(max_size=20),
        ),
        st.builds(MetaSaved, NAMES, TEXTS),
    )  # fmt: skip


telemetry_rows = st.builds(
    Telemetry, st.integers(0, 2).map(key_of), INTEGERS, st.none() | FLOATS, st.none() | FLOATS,
    INTEGERS,
)  # fmt: skip
# Made once: a strategy made for every draw costs fifty times what it draws.
commits = st.lists(st.one_of(*(changes_of(key_of(run)) for run in range(3))), max_size=6)
