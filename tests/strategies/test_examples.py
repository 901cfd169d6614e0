"""The shipped strategies: they load, trade both ways on the simulated market, and never err."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import strategies
from engine import Backtest, Cancelled, Closed, Engine, add_exchange, add_frame, listen_error
from engine.adapters.exchanges.files import FilesExchange
from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.ports import Exchange
from engine.domain.signals import TickResult
from engine.domain.time import from_ms, parse_instant

FOLDER = Path(strategies.__file__).parent
FILES = {
    "sma-cross": "sma_cross.py",
    "breakout": "breakout.py",
    "rsi-reversion": "rsi_reversion.py",
}
REAL = Path(__file__).parents[3] / "shared/data/BTCUSDT-1m-2022-01.csv.gz"


async def functions(file: str) -> SimpleNamespace:
    async with Engine():
        return SimpleNamespace(**runpy.run_path(str(FOLDER / file)))


async def trades(
    name: str, market: Exchange, symbol: str, start: str, end: str
) -> tuple[list[TickResult], list[str]]:
    """Closed and cancelled results of a backtest, and the errors it reported."""
    errors: list[str] = []
    async with Engine() as engine:
        loaded = engine.load_file(FOLDER / FILES[name])
        assert loaded.error == ""
        assert loaded.names("strategy") == (name,)
        listen_error(lambda error: errors.append(str(error)))
        add_exchange(exchange_name="market", get_candles=market.get_candles, intervals=("1m",))
        add_frame(
            frame_name="frame",
            interval="1m",
            start_date=from_ms(parse_instant(start)),
            end_date=from_ms(parse_instant(end)),
        )
        run = Backtest.run(
            symbol,
            strategy_name=name,
            exchange_name="market",
            frame_name="frame",
            include_cancelled=True,
        )
        results = [result async for result in run]
        await engine.bus.close()
    return results, errors


@pytest.mark.parametrize("file", FILES.values())
def test_short_enough_to_read(file: str) -> None:
    text = (FOLDER / file).read_text()
    assert len(text.splitlines()) < 60
    assert "import engine." not in text
    assert "from engine." not in text.replace("from engine.sync", "")


@pytest.mark.parametrize("name", FILES)
async def test_trades_both_ways_on_the_simulated_market(name: str) -> None:
    results, errors = await trades(name, SimulatedExchange(), "ETHUSDT", "2023-03-01", "2023-03-08")
    closed = [result for result in results if isinstance(result, Closed)]
    assert errors == []
    assert 30 < len(closed) < 120
    assert {result.signal.position for result in closed} == {"long", "short"}
    reasons = {result.close_reason for result in closed}
    assert reasons >= {"take_profit", "stop_loss", "time_expired"}


async def test_breakout_waits_for_its_entry() -> None:
    results, _ = await trades(
        "breakout", SimulatedExchange(), "XRPUSDT", "2023-03-01", "2023-03-05"
    )
    closed = [result for result in results if isinstance(result, Closed)]
    assert closed
    assert all(result.signal.pending_at > result.signal.scheduled_at for result in closed)
    assert any(isinstance(result, Cancelled) for result in results)


@pytest.mark.skipif(not REAL.exists(), reason="the shared market data is not here")
@pytest.mark.parametrize("name", FILES)
async def test_trades_on_a_real_month(name: str) -> None:
    results, errors = await trades(
        name, FilesExchange([REAL]), "BTCUSDT", "2022-01-02", "2022-01-31"
    )
    assert errors == []
    assert 150 < sum(isinstance(result, Closed) for result in results) < 500


@pytest.mark.parametrize("name", FILES)
async def test_silent_while_history_is_short(name: str) -> None:
    # 2020-01-01 is where the simulated market begins.
    results, errors = await trades(
        name, SimulatedExchange(), "DOGEUSDT", "2020-01-01T00:01", "2020-01-01T05:00"
    )
    assert (results, errors) == ([], [])


async def test_relative_strength() -> None:
    rsi = (await functions("rsi_reversion.py")).rsi
    assert rsi(np.array([1.0, 2.0, 3.0])) == 100
    assert rsi(np.array([3.0, 2.0, 1.0])) == 0
    assert rsi(np.array([5.0, 5.0, 5.0])) == 50
    assert rsi(np.array([10.0, 13.0, 12.0])) == pytest.approx(75)


async def test_spread_of_the_averages() -> None:
    spread = (await functions("sma_cross.py")).spread
    assert spread(np.array([9.0, 1.0, 2.0, 3.0, 6.0]), 2, 4) == pytest.approx(4.5 - 3.0)
