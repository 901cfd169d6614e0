"""Workload W1: a year of synthetic minutes, an SMA cross with a bracket, asked every minute.

Prints candles per CPU second through the real path (registry, context, ``get_candles``, bus,
report), beside a bare loop over plain lists that does only what the rules force any
implementation to do, measured in the same run. No figure is asserted: the ratio is the result.

Run with ``make bench``, or ``python -m tests.benchmarks.workloads --help``.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import resource
import time
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from engine import (
    Backtest,
    Candles,
    Engine,
    Signal,
    add_exchange,
    add_frame,
    add_strategy,
    get_candles,
)
from engine import sync as plain
from engine.domain.time import from_ms, to_ms

START = 1_704_067_200_000
MINUTE = 60_000
YEAR = 525_600
FAST, SLOW = 20, 50


class Measured(NamedTuple):
    """One run: CPU seconds, calls of the strategy, trades, and a hash of every trade."""

    name: str
    cpu: float
    calls: int
    trades: int
    digest: str


def synthetic(minutes: int, seed: int = 7) -> Candles:
    """A geometric random walk of one-minute bars, 0.06 % a minute, as `Candles`."""
    rng = np.random.default_rng(seed)
    close = 40_000 * np.exp(np.cumsum(rng.normal(0, 0.0006, minutes)))
    opened = np.concatenate([[40_000.0], close[:-1]])
    spread = np.abs(rng.normal(0, 0.0003, minutes)) * close
    high, low = np.maximum(opened, close) + spread, np.minimum(opened, close) - spread
    stamps = START + np.arange(minutes, dtype=np.int64) * MINUTE
    volume = rng.lognormal(2, 0.5, minutes)
    return Candles.from_columns(stamps, opened, high, low, close, volume)


def crossed(closes: list[float]) -> bool:
    """Whether SMA(20) crossed above SMA(50) with the last of 51 closes.

    Plain floats: for windows this short ``sum`` over a list takes a fifth of an array's time.
    """
    if sum(closes[-FAST:]) / FAST <= sum(closes[-SLOW:]) / SLOW:
        return False
    return sum(closes[-FAST - 1 : -1]) / FAST <= sum(closes[-SLOW - 1 : -1]) / SLOW


def bracket(price: float) -> Signal:
    """A long at market: TP +1 %, SL -1 %, at most 240 minutes."""
    return Signal("long", price * 1.01, price * 0.99, 240)


async def through_engine(candles: Candles, form: str, rows: str) -> Measured:
    """W1 through the public API; ``form`` is async or plain, ``rows`` arrays or lists."""
    calls = 0
    table = None if rows == "arrays" else [list(candle) for candle in candles]
    stamps = candles.timestamp

    async def asked(symbol: str, when: datetime) -> Signal | None:
        nonlocal calls
        calls += 1
        closes = (await get_candles(symbol, "1m", SLOW + 1)).close.tolist()
        if len(closes) <= SLOW or not crossed(closes):
            return None
        return bracket(closes[-1])

    def asked_plainly(symbol: str, when: datetime) -> Signal | None:
        nonlocal calls
        calls += 1
        closes = plain.get_candles(symbol, "1m", SLOW + 1).close.tolist()
        if len(closes) <= SLOW or not crossed(closes):
            return None
        return bracket(closes[-1])

    def bars(symbol: str, interval: str, since: datetime, limit: int) -> Any:
        start = int(stamps.searchsorted(to_ms(since)))
        return candles[start : start + limit] if table is None else table[start : start + limit]

    end = START + (len(candles) - 1) * MINUTE
    async with Engine():
        add_exchange(exchange_name="bench", get_candles=bars, intervals=["1m"])
        add_frame(
            frame_name="year", interval="1m", start_date=from_ms(START), end_date=from_ms(end)
        )
        function = asked if form == "async" else asked_plainly
        add_strategy(strategy_name="sma", interval="1m", get_signal=function)
        began = time.process_time()
        trades = [
            trade
            async for trade in Backtest.run(
                "BTCUSDT", strategy_name="sma", exchange_name="bench", frame_name="year"
            )
        ]
        report = await Backtest.get_report("BTCUSDT", "sma")
        cpu = time.process_time() - began
        assert report.startswith("# Backtest Report")
    digest = hashed(
        [(t.signal.pending_at, t.close_timestamp, t.pnl.pnl_percentage) for t in trades]
    )
    return Measured(f"engine, {form} strategy, {rows}", cpu, calls, len(trades), digest)


def bare_loop(candles: Candles) -> Measured:
    """The same rules hard-wired over plain lists: no engine, no events, no report."""
    opens = candles.open.tolist()
    highs, lows = candles.high.tolist(), candles.low.tolist()
    closes, volumes = candles.close.tolist(), candles.volume.tolist()
    n = len(opens)
    calls, trades, at = 0, [], 0
    began = time.process_time()
    weighted = [
        (h + lo + c) / 3 * v for h, lo, c, v in zip(highs, lows, closes, volumes, strict=True)
    ]
    while at < n - 1:  # bar `at` has just closed
        calls += 1
        entry = at
        if at >= SLOW and crossed(closes[at - SLOW : at + 1]):
            price = closes[at]
            target, stop, expiry = price * 1.01, price * 0.99, at + 240
            while True:
                at += 1
                value = weight = 0.0
                for j in range(at - 4, at + 1):
                    value += weighted[j]
                    weight += volumes[j]
                vwap, market = value / weight, closes[at]
                if vwap >= target:
                    booked = min(target, market)
                elif vwap <= stop:
                    booked = min(stop, market)
                elif at >= expiry or at == n - 1:
                    booked = market
                else:
                    continue
                break
            opened, closed = price * 1.001, booked * 0.999
            pnl = (closed - opened) / opened * 100 - 0.2
            trades.append((START + (entry + 1) * MINUTE, START + (at + 1) * MINUTE, pnl))
            continue
        at += 1
    cpu = time.process_time() - began
    return Measured("bare loop", cpu, calls, len(trades), hashed(trades))


def hashed(trades: list[tuple[int, int, float]]) -> str:
    """A short hash of every trade; a speed-up counts only when it stays the same."""
    return hashlib.sha256(json.dumps(trades).encode()).hexdigest()[:12]


def measure(minutes: int, rounds: int) -> list[Measured]:
    """Every variant ``rounds`` times in turn; the fastest of each."""
    candles = synthetic(minutes)
    best: dict[str, Measured] = {}
    for _ in range(rounds):
        for run in (
            lambda: bare_loop(candles),
            lambda: asyncio.run(through_engine(candles, "async", "arrays")),
            lambda: asyncio.run(through_engine(candles, "plain", "arrays")),
            lambda: asyncio.run(through_engine(candles, "async", "lists")),
        ):
            result = run()
            if result.name not in best or result.cpu < best[result.name].cpu:
                best[result.name] = result
    return list(best.values())


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=YEAR, help="candles in the series")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each variant")
    arguments = parser.parse_args()
    results = measure(arguments.minutes, arguments.rounds)
    bare = next(result for result in results if result.name == "bare loop")
    print(f"W1: {arguments.minutes:,} one-minute candles, best of {arguments.rounds}")
    print(f"{'':34}{'candles/CPU s':>15}{'CPU s':>8}{'ratio':>7}{'calls':>9}{'trades':>8}  hash")
    for result in results:
        rate, ratio = arguments.minutes / result.cpu, result.cpu / bare.cpu
        print(
            f"{result.name:34}{rate:>15,.0f}{result.cpu:>8.2f}{ratio:>7.2f}{result.calls:>9,}"
            f"{result.trades:>8,}  {result.digest}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process: {peak:,.0f} MiB; ratio is CPU time against the bare loop")


if __name__ == "__main__":
    main()
