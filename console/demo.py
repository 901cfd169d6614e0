"""The demo: a simulated market at 60 times real speed with live runs already trading.

It starts at a fixed instant of a fixed market, not at today's date. So every demo shows the same
hours: what somebody reports can be looked up, pictures and tests show what everybody sees, and the
hours were chosen for signals of every kind, from the first second on.
"""

from __future__ import annotations

from typing import Final

from console.discovery import SHIPPED
from console.host import HostPlan
from console.settings import ExchangeSection, Project
from console.views import RunRequest
from engine.domain.time import parse_instant
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


def demo_plan(
    *,
    speed: float = DEMO_SPEED,
    live: bool = True,
    strategies: str | None = None,
    max_workers: int | None = None,
) -> HostPlan:
    """What the demo opens.

    Args:
        speed: simulated seconds per real second.
        live: start the live runs of `DEMO_RUNS`.
        strategies: a folder of strategy files beside the shipped ones.
        max_workers: worker processes for backtests.
    """
    # Constructed without the environment and files: the demo needs no configuration and takes none.
    project = Project.model_construct(
        state=":memory:",
        strategies=strategies or str(SHIPPED),
        engine={},
        exchanges={
            DEMO_EXCHANGE: ExchangeSection.model_validate({"kind": "simulated", "seed": DEMO_SEED})
        },
        keys={},
    )
    requests = tuple(
        RunRequest("live", strategy_name, symbol, DEMO_EXCHANGE)
        for symbol, strategy_name in (DEMO_RUNS if live else ())
    )
    return HostPlan(
        project=project,
        badge=f"SIMULATED x{speed:g}",
        make_clock=lambda: AcceleratedClock(DEMO_START, speed),
        live=requests,
        max_workers=max_workers,
    )
