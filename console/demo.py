"""The demo: a simulated market at 60 times real speed with live runs already trading.

Its state file holds the market's seed and the simulated clock, so it goes on where it ended, or
where it was killed. A new one starts at a fixed instant of a fixed market, not at today's date. So
every demo shows the same hours: what somebody reports can be looked up, pictures and tests show
what everybody sees, and the hours were chosen for signals of every kind, from the first second on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from console.discovery import SHIPPED
from console.host import HostPlan
from console.memory import CLOCK_META
from console.settings import ExchangeSection, Project
from console.views import RunRequest
from engine.domain.changes import when_of
from engine.domain.errors import EngineError
from engine.domain.time import parse_instant
from engine.runtime import open_reader
from engine.services.clock import AcceleratedClock

DEMO_SEED: Final = 1
"""Seed of the demo's market."""

DEMO_START: Final = parse_instant("2025-07-03T09:00")
"""Instant at which the demo's clock starts, ms UTC."""

DEMO_SPEED: Final = 60.0
"""Simulated seconds per real second: a minute's bar closes every second."""

DEMO_RUNS: Final = (
    ("BTCUSDT", "sma-cross"),
    ("ETHUSDT", "sma-cross"),
    ("BTCUSDT", "breakout"),
    ("SOLUSDT", "breakout"),
    ("BNBUSDT", "breakout"),
    ("ETHUSDT", "rsi-reversion"),
    ("SOLUSDT", "rsi-reversion"),
    ("XRPUSDT", "rsi-reversion"),
)
"""Symbol and strategy of the live runs that the demo starts with."""

DEMO_EXCHANGE: Final = "simulated"
"""Name of the demo's exchange."""


DEMO_STATE: Final = "demo-state.db"
"""The demo's state file, in the working directory."""

DEMO_BADGE: Final = "SIMULATED"
"""What the demo's header always says, with the speed behind it."""

_SEED_META: Final = "seed"


def demo_plan(
    *,
    state: str = ":memory:",
    speed: float = DEMO_SPEED,
    live: bool = True,
    strategies: str | None = None,
    max_workers: int | None = None,
) -> HostPlan:
    """What the demo opens.

    Args:
        state: its state file, or ``:memory:``.
        speed: simulated seconds per real second.
        live: start the live runs of `DEMO_RUNS`.
        strategies: a folder of strategy files beside the shipped ones.
        max_workers: worker processes for backtests.
    """
    seed, _ = _left_behind(state)
    # Constructed without the environment and files: the demo needs no configuration and takes none.
    project = Project.model_construct(
        state=state,
        strategies=strategies or str(SHIPPED),
        engine={},
        exchanges={
            DEMO_EXCHANGE: ExchangeSection.model_validate({"kind": "simulated", "seed": seed})
        },
        keys={},
        cache="",
    )
    requests = tuple(
        RunRequest("live", strategy_name, symbol, DEMO_EXCHANGE)
        for symbol, strategy_name in (DEMO_RUNS if live else ())
    )
    return HostPlan(
        project=project,
        state=state,
        badge=f"{DEMO_BADGE} x{speed:g}",
        # Read again when the clock is made: an owner that was still closing has moved it on.
        make_clock=lambda: AcceleratedClock(_left_behind(state)[1], speed),
        keeps_clock=True,
        meta=((_SEED_META, str(seed)),),
        live=requests,
        max_workers=max_workers,
    )


def is_demo(state: str | Path) -> bool:
    """Whether a state file is that of a demo; False also when it cannot be read."""
    try:
        with open_reader(state) as reader:
            return _SEED_META in reader.snapshot(journal=1, commands=1).meta
    except EngineError:
        return False


def _left_behind(state: str) -> tuple[int, int]:
    """Seed and clock of an earlier demo, else the first ones.

    The clock is the latest instant anything in the file knows of, so time never goes back.
    """
    if state == ":memory:" or not Path(state).exists():
        return DEMO_SEED, DEMO_START
    try:
        with open_reader(state) as reader:
            left = reader.snapshot(journal=1, commands=1)
        known = [int(left.meta.get(CLOCK_META, DEMO_START))]
        seed = int(left.meta.get(_SEED_META, DEMO_SEED))
    except (EngineError, ValueError):
        return DEMO_SEED, DEMO_START  # opening the file for good says what is wrong with it
    known += [at for entry in left.journal if (at := when_of(entry.event))]
    known += [command.when for command in left.commands]
    for run in left.runs:
        if run.instance is not None:
            known.append(run.instance.started_at)
        known += [at for at in (run.last_attempt, run.settled_until) if at is not None]
        if run.telemetry is not None:
            known.append(run.telemetry.heartbeat)
    return seed, max(known)
