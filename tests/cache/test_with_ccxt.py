"""The cache around the real ccxt client, which talks to a faulty exchange on loopback."""

from __future__ import annotations

from pathlib import Path

from engine.adapters.cache.candle_cache import CandleCache
from engine.adapters.cache.sidecar import CandleKey
from engine.domain.bars import Candles
from engine.domain.errors import EngineError
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings
from engine.domain.time import DAY, MINUTE, from_ms
from engine.history import Download, cached, download
from tests.adapters.ccxt_bed import NOON, Bed, bed
from tests.servers.faults import FaultScript

KEY = CandleKey("binance", "LTC/USDT", "1m")
SINCE, COUNT = NOON - 3 * DAY, 4000
SPAN = (SINCE, SINCE + COUNT * MINUTE)


def schema(made: Bed) -> ExchangeSchema:
    return ExchangeSchema(
        exchange_name="binance", get_candles=made.open().get_candles, intervals=("1m",)
    )


async def fetch(made: Bed, root: Path) -> Download:
    reports: list[Download] = []
    done = await download(
        schema(made), root, KEY, SPAN, Settings(), made.clock, report=reports.append
    )
    cursors = [report.cursor for report in reports]
    assert cursors == sorted(cursors) and cursors[-1] == SPAN[1]
    return done


def truth(made: Bed) -> Candles:
    bars = made.truth(SINCE, COUNT, "LTCUSDT")
    return Candles(bars.columns())[: int((bars.timestamp < SPAN[1]).sum())]


def kept(root: Path) -> Candles:
    stored = CandleCache(root).load(KEY)
    assert stored is not None
    inside = stored.candles.timestamp < SPAN[1]
    return stored.candles[: int(inside.sum())]


async def test_a_download_through_ccxt_is_the_market_and_is_asked_for_once(tmp_path: Path) -> None:
    async with bed() as made:
        done = await fetch(made, tmp_path)
        assert kept(tmp_path) == truth(made) and done.rows == len(truth(made))
        assert done.missing == COUNT - done.rows > 0 and done.gaps == ()
        asked = len(made.instants())
        assert (await fetch(made, tmp_path)).fetched == 0
        assert len(made.instants()) == asked


async def test_a_faulty_exchange_spoils_nothing_that_is_kept(tmp_path: Path) -> None:
    for seed in range(3):
        root = tmp_path / str(seed)
        async with bed() as made:
            made.server.script = FaultScript(chance=0.6, seed=seed)
            attempts = 0
            while True:
                attempts += 1
                try:
                    await fetch(made, root)
                except EngineError:
                    assert attempts < 50
                    await made.clock.sleep_until(made.clock.now() + DAY // 48)
                    continue
                break
            assert made.server.requests
            # An answer without rows looks like the end of history: it is asked again in the end.
            made.server.script = FaultScript()
            await fetch(made, root)
            assert kept(root) == truth(made)


async def test_without_a_connection_the_stored_history_is_served(tmp_path: Path) -> None:
    async with bed() as made:
        await fetch(made, tmp_path)
        expected = truth(made)
    async with bed() as made:
        await made.server.close()
        exchange = cached(made.open(), "binance", tmp_path, Settings(), made.clock)
        rows = await exchange.get_candles(KEY.symbol, "1m", from_ms(SINCE), 1000)
        assert rows == expected[:1000]
