"""What the tests of the installed command share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.time import DAY, from_ms, parse_instant

COMMAND = Path(sys.executable).with_name("signaldeck")
FIRST = parse_instant("2025-07-01")
DAYS = 4

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


def environment(home: Path) -> dict[str, str]:
    """The test's environment without configuration of the machine it runs on."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SIGNALDECK_", "PYTHON", "XDG_", "PYTEST"))
        and name not in ("COLUMNS", "LINES")  # readline puts them there in test workers
    }
    return {**kept, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "NO_COLOR": "1"}


def csv_rows() -> list[str]:
    """A header and four days of minutes of the simulated market."""
    bars = SimulatedExchange(seed=1).get_candles("BTCUSDT", "1m", from_ms(FIRST), DAYS * 1440)
    assert len(bars) == DAYS * 1440 and int(bars.timestamp[-1]) < FIRST + DAYS * DAY
    return ["timestamp,open,high,low,close,volume", *(",".join(map(repr, bar)) for bar in bars)]


def strategy_file(folder: Path, name: str, body: str, head: str = "async def") -> Path:
    """Write a strategy ``name`` whose function has the given (one-line) body."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(
        "import asyncio, threading\n"
        "from engine import Signal, add_strategy\n"
        f'@add_strategy(strategy_name="{name}", interval="1h")\n'
        f"{head} {name}(symbol, when):\n"
        f"    {body}\n",
        encoding="utf-8",
    )
    return path
