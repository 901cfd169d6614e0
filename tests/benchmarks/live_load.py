"""Workload L1: a thousand live runs on fifty symbols, for minutes or for a simulated week.

Every run asks for its 20 newest candles each minute and signals now and then, on the simulated
market, with the real store on a file. Prints the CPU time of one tick of all of them, beside that
of a bare loop which only makes the same fifty bars and counts to a thousand, and the process's
memory hour by hour. No figure is asserted.

Run with ``make bench-live``, or ``python -m tests.benchmarks.live_load --help``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from engine import Engine, Signal, SimulatedClock, add_risk, add_strategy, get_candles
from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.schemas import ExchangeSchema
from engine.domain.time import MINUTE, from_ms, parse_instant, to_ms

START = parse_instant("2025-07-02T00:00")


def resident_mib() -> float:
    """Memory of this process that is in RAM now, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


class Market:
    """The simulated market under fifty names; each asks the generator under its own seed."""

    def __init__(self, symbols: int, clock: SimulatedClock) -> None:
        self.names = tuple(f"S{n:02d}USDT" for n in range(symbols))
        self._markets = {
            name: SimulatedExchange(seed, now=clock.now) for seed, name in enumerate(self.names)
        }

    def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Any:
        return self._markets[symbol].get_candles("BTCUSDT", interval, since, limit)


def register(engine: Engine, market: Market, strategies: int) -> None:
    """Twenty strategies that differ in when they signal; all share a risk profile."""
    engine.exchanges.add(
        ExchangeSchema(
            exchange_name="market", get_candles=market.get_candles, get_symbols=lambda: market.names
        )
    )
    add_risk(risk_name="wide", validations=[lambda check: None])
    for number in range(strategies):

        async def ask(symbol: str, when: datetime, number: int = number) -> Signal | None:
            bars = await get_candles(symbol, "1m", 20)
            if (to_ms(when) // MINUTE + number * 7) % 97:
                return None
            price = float(bars.close[-1])
            side = "long" if bars.close[-1] > bars.close[0] else "short"
            far = 0.006 if side == "long" else -0.006
            return Signal(side, price * (1 + far), price * (1 - far), 45)

        add_strategy(
            strategy_name=f"strategy-{number:02d}", interval="1m", get_signal=ask, risk_name="wide"
        )


def bare_tick_seconds(market: Market, runs: int) -> float:
    """CPU of making fifty bars and touching a thousand things, once a minute; median of 20."""
    taken: list[float] = []
    for minute in range(20):
        since = from_ms(START + minute * MINUTE)
        before = time.process_time()
        for name in market.names:
            market.get_candles(name, "1m", since, 1)
        sum(at % 7 for at in range(runs))
        taken.append(time.process_time() - before)
    return statistics.median(taken)


async def measure(runs: int, symbols: int, minutes: int, state: str) -> dict[str, Any]:
    """Run the load; CPU per tick after the first, memory, and what was traded."""
    clock = SimulatedClock(START)
    market = Market(symbols, clock)
    bare = bare_tick_seconds(market, runs)
    async with Engine(state=state, clock=clock) as engine:
        engine.configure({"max_stoploss_distance_percent": 90.0})
        counts: dict[str, int] = {}

        def count(result: Any) -> None:
            counts[str(result.action)] = counts.get(str(result.action), 0) + 1

        def failed(error: Any) -> None:
            counts["error"] = counts.get("error", 0) + 1
            print(f"error: {error}")

        register(engine, market, max(1, runs // symbols))
        engine.bus.subscribe("signal_live", count, transitions_only=True)
        engine.bus.subscribe("error", failed)
        for number in range(runs):
            engine.live(
                market.names[number % symbols],
                strategy_name=f"strategy-{number // symbols:02d}",
                exchange_name="market",
            ).start()
        ticks: list[float] = []
        memory: list[float] = []
        with clock.working():
            for minute in range(1, minutes + 1):
                before = time.process_time()
                await clock.sleep_until(START + minute * MINUTE - 1)
                ticks.append(time.process_time() - before)
                if minute % 60 == 0:
                    gc.collect()
                    memory.append(resident_mib())
    steady = ticks[1:] or ticks
    return {
        "runs": runs, "symbols": symbols, "minutes": minutes,
        "tick_cpu_ms": {
            "first": round(ticks[0] * 1000, 1),
            "median": round(statistics.median(steady) * 1000, 1),
            "worst": round(max(steady) * 1000, 1),
        },
        "bare_tick_cpu_ms": round(bare * 1000, 2),
        "ratio": round(statistics.median(steady) / bare, 1),
        "memory_mib_by_hour": [round(value, 1) for value in memory],
        "events": counts,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--memory", action="store_true", help="keep state in memory, not in a file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = ":memory:" if options.memory else str(Path(folder) / "state.db")
        found = asyncio.run(measure(options.runs, options.symbols, options.minutes, state))
        if not options.memory:
            found["state_file_mib"] = round(Path(state).stat().st_size / 2**20, 1)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
