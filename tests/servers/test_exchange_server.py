"""The exchange server itself: what it shows at an instant, and that it misbehaves to order."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.bars import Candle
from engine.domain.time import MINUTE, from_ms, iso, parse_instant
from tests.servers.bars import HeldBars, merged, shown
from tests.servers.faults import DROP, EVERY_KIND, HTML, FaultScript, status

NOON = parse_instant("2024-03-01T12:00")
MARKET = SimulatedExchange(1)


def see(now: int, start: int | None = None, limit: int = 500, interval: str = "1m") -> list[Candle]:
    return shown(MARKET, "BTCUSDT", interval, now, start, None, limit)


def truth(start: int, count: int) -> list[Candle]:
    return list(MARKET.get_candles("BTCUSDT", "1m", from_ms(start), count))


def test_closed_bars_are_final_and_the_future_is_hidden() -> None:
    bars = see(NOON + 30_000, NOON - 5 * MINUTE)
    assert bars[:5] == truth(NOON - 5 * MINUTE, 5)
    assert len(bars) == 6


def test_a_bar_forms() -> None:
    final = truth(NOON, 1)[0]
    first, half, late = (see(NOON + ms, NOON)[0] for ms in (0, 40_000, 59_999))
    assert first == Candle(NOON, final.open, final.open, final.open, final.open, 0.0)
    assert 0 < half.volume < late.volume <= final.volume
    for bar in (first, half, late):
        assert final.low <= bar.low <= min(bar.open, bar.close)
        assert final.high >= bar.high >= max(bar.open, bar.close)
    assert half != final
    assert see(NOON + MINUTE, NOON)[0] == final


def test_without_a_start_the_newest_bars_come() -> None:
    bars = see(NOON + 1, limit=3)
    assert [bar.timestamp for bar in bars] == [NOON - 2 * MINUTE, NOON - MINUTE, NOON]


def test_a_start_within_a_bar_means_the_next_one() -> None:
    assert see(NOON, NOON - 5 * MINUTE + 1)[0].timestamp == NOON - 4 * MINUTE


def test_higher_intervals_form_as_well() -> None:
    bars = see(NOON + 7 * MINUTE, NOON - 30 * MINUTE, interval="15m")
    assert [bar.timestamp for bar in bars] == [NOON - 30 * MINUTE, NOON - 15 * MINUTE, NOON]
    assert bars[2].volume == pytest.approx(sum(bar.volume for bar in truth(NOON, 7)), rel=1e-9)
    assert merged(truth(NOON, 15), 15)[0] != bars[2]


def test_scripts_are_repeatable_and_of_the_chance_they_name() -> None:
    script = FaultScript(chance=0.3, seed=5)
    faults = [script.pick("klines", n, NOON) for n in range(1, 2001)]
    assert faults == [script.pick("klines", n, NOON) for n in range(1, 2001)]
    assert faults != [FaultScript(chance=0.3, seed=6).pick("klines", n, NOON) for n in range(2000)]
    assert 500 < sum(fault is not None for fault in faults) < 700
    assert set(faults) == {None, *EVERY_KIND}
    assert script.pick("exchangeInfo", 1, NOON) is None


def test_scripts_by_number_and_by_time() -> None:
    script = FaultScript(at={3: DROP}, between=[(NOON, NOON + MINUTE, HTML)])
    assert script.pick("klines", 3, NOON) == DROP
    assert script.pick("klines", 4, NOON) == HTML
    assert script.pick("klines", 4, NOON + MINUTE) is None


def test_scripts_can_be_sent() -> None:
    fields = {
        "at": {"2": {"kind": "status", "status": 429, "retry_after": "3"}},
        "between": [[1, 2, {"kind": "html"}]],
        "mixture": [{"kind": "drop"}],
        "chance": 0.5,
        "endpoints": ["klines", "time"],
    }
    script = FaultScript.from_json(json.loads(json.dumps(fields)))
    assert script.at == {2: status(429, 3)}
    assert script.pick("time", 1, 1) == HTML
    assert script.mixture == [DROP]


class Process:
    """The server as a process; asked with plain HTTP."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.servers.exchange", *arguments]
        self.popen = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.popen.stdout is not None
        self.url = f"http://127.0.0.1:{self.popen.stdout.readline().strip()}"

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self.popen.terminate()
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        assert self.popen.wait(10) == 0

    def ask(self, path: str, **wishes: Any) -> Any:
        data = json.dumps(wishes).encode() if wishes else None
        with urllib.request.urlopen(f"{self.url}{path}", data, timeout=20) as answer:
            return json.load(answer)


def test_a_server_of_its_own_process(tmp_path: Path) -> None:
    lines = ["timestamp,open,high,low,close,volume"]
    lines += [f"{NOON + i * MINUTE},1,2,0.5,1.5,{i + 1}" for i in range(100)]
    path = tmp_path / "TINYUSDT-1m-2024.csv"
    path.write_text("\n".join(lines))
    with Process("--csv", str(path), "--start", iso(NOON), "--speed", "0") as server:
        assert server.ask("/api/v3/time") == {"serverTime": NOON}
        server.ask("/control", now=NOON + 90_000, skew_ms=1000)
        assert server.ask("/api/v3/time") == {"serverTime": NOON + 91_000}
        [listed] = server.ask("/api/v3/exchangeInfo")["symbols"]
        assert (listed["baseAsset"], listed["quoteAsset"]) == ("TINY", "USDT")
        rows = server.ask("/api/v3/klines?symbol=TINYUSDT&interval=1m")
        assert [row[0] for row in rows] == [NOON, NOON + MINUTE]
        assert rows[0][1:7] == ["1.0", "2.0", "0.5", "1.5", "1.0", NOON + MINUTE - 1]
        server.ask("/control", script={"at": {"2": {"kind": "status", "status": 503}}})
        with pytest.raises(urllib.error.HTTPError, match="503"):
            server.ask("/api/v3/klines?symbol=TINYUSDT&interval=1m")
        log = server.ask("/control/requests")
        assert [(s["endpoint"], s["fault"]) for s in log][-2:] == [
            ("klines", ""),
            ("klines", "status"),
        ]
        with pytest.raises(urllib.error.HTTPError, match="400"):
            server.ask("/api/v3/klines?symbol=NOPE&interval=1m")


def test_given_bars_are_served_as_they_are() -> None:
    bars = MARKET.get_candles("BTCUSDT", "1m", from_ms(NOON), 50)
    held = HeldBars({"XUSDT": bars})
    seen = shown(held, "XUSDT", "1m", NOON + 50 * MINUTE, NOON, None, 1000)
    assert seen == list(bars)
    assert held.format_price("XUSDT", 1.0) == "1.00"
