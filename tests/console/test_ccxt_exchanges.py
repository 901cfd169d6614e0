"""Exchanges of ccxt by name: configured ones and bare ids, in commands, workers and the console."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from console.demo import demo_plan
from console.settings import ExchangeSection, load_project
from engine import AcceleratedClock, Engine, ExchangeSpec, NotRegisteredError, SimulatedClock
from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.events import ExchangeStatus
from engine.domain.time import MINUTE, parse_instant
from engine.services.clock import SystemClock
from tests.console.cli_bed import environment, strategy_file
from tests.console.host_bed import TIMEOUT, Watcher, live
from tests.console.warm import WarmCommand
from tests.servers.exchange import ExchangeServer

NOON = parse_instant("2025-07-02T12:00")


def configured(work: Path, url: str) -> None:
    (work / "signaldeck.toml").write_text(
        f'[exchanges.local]\nkind = "ccxt"\nid = "binance"\nurls = "{url}"\n', encoding="utf-8"
    )


Signaldeck: TypeAlias = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def signaldeck(tmp_path: Path, warm: WarmCommand) -> Signaldeck:
    """Run the command with a cache of the test's own, while the test's loop serves."""
    told = {**environment(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "c")}

    async def call(*arguments: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(warm.run, arguments, tmp_path, told, TIMEOUT)
        return done.returncode, done.stdout, done.stderr

    return call


async def test_a_backtest_on_ccxt_is_cached_between_processes(
    tmp_path: Path, signaldeck: Signaldeck
) -> None:
    span = ("--from", "2025-07-02", "--to", "2025-07-02T18:00", "--json")
    async with ExchangeServer(SimulatedExchange(1), SystemClock().now) as server:
        configured(tmp_path, server.url)
        outcomes: list[Any] = []
        run = ("backtest", "sma-cross", "--symbol", "BTC/USDT", "--exchange", "local", *span)
        for _ in range(2):
            code, out, err = await signaldeck(*run)
            assert code == 0, err
            outcomes.append(json.loads(out))
            asked = server.count()
            server.requests.clear()
        first, second = outcomes
        assert first["trades"] == second["trades"] and first["trades"]
        assert first["run"]["data_hash"] == second["run"]["data_hash"]
        assert asked <= 12 and not [r for r in server.requests if r.endpoint == "klines"]
    code, out, err = await signaldeck(
        "backtest", "sma-cross", "--symbol", "BTCUSDT", "--exchange", "simulated", *span
    )
    assert code == 0, err
    plain = [(t["pending_at"], t["pnl_percentage"]) for t in json.loads(out)["trades"]]
    assert plain == [(t["pending_at"], t["pnl_percentage"]) for t in first["trades"]]


async def test_history_is_downloaded_by_name(tmp_path: Path, signaldeck: Signaldeck) -> None:
    async with ExchangeServer(SimulatedExchange(1), SystemClock().now) as server:
        configured(tmp_path, server.url)
        code, out, err = await signaldeck(
            "data", "download", "--exchange", "local", "--symbol", "BTC/USDT",
            "--from", "2025-07-02", "--to", "2025-07-02T12:00",
        )  # fmt: skip
        assert code == 0 and "721" in out, err + out
    code, _, err = await signaldeck(
        "data", "download", "--exchange", "binanse", "--symbol", "BTC/USDT",
        "--from", "2025-07-02", "--to", "2025-07-02T12:00",
    )  # fmt: skip
    assert code == 2 and "exchange 'binanse' not found" in err and "an id of ccxt" in err


async def test_live_runs_measure_the_clock_of_their_exchange(tmp_path: Path) -> None:
    clock = SimulatedClock(NOON)
    async with (
        ExchangeServer(SimulatedExchange(1), clock.now, skew_ms=750) as server,
        Engine(clock=clock, cache=tmp_path) as engine,
    ):
        heard: list[ExchangeStatus] = []
        engine.bus.subscribe("exchange", heard.append)
        engine.open_exchange(ExchangeSpec("local", "ccxt", {"id": "binance", "urls": server.url}))
        engine.load_file(strategy_file(tmp_path, "quiet", "return None"))
        instance = engine.live("BTC/USDT", strategy_name="quiet", exchange_name="local")
        instance.start()
        await clock.sleep_until(NOON + 40 * MINUTE)
        assert [s.clock_offset for s in heard][-1] == 750
        assert heard[-1].rate_limit_used is not None
        assert 1 < server.count("time") <= 3, "measured now and then, not every minute"
        instance.stop()
        await instance.wait()


def test_an_id_of_ccxt_needs_no_configuration() -> None:
    engine = Engine()
    schema = engine.exchange("kraken", "Live")
    assert (schema.name, schema.note) == ("kraken", "ccxt") and "1m" in (schema.intervals or ())
    with pytest.raises(NotRegisteredError, match="kraaken"):
        engine.exchange("kraaken", "Live")


async def test_the_console_shows_offset_and_use_of_the_limit(tmp_path: Path) -> None:
    clock = AcceleratedClock(NOON, 1.0)
    async with ExchangeServer(SimulatedExchange(1), clock.now, skew_ms=4_000) as server:
        plan = demo_plan(live=False, strategies=str(tmp_path), max_workers=1)
        strategy_file(tmp_path, "quiet", "return None")
        section = ExchangeSection.model_validate(
            {"kind": "ccxt", "id": "binance", "urls": server.url}
        )
        project = plan.project.model_copy(update={"exchanges": {"local": section}})
        plan = replace(plan, project=project, make_clock=lambda: clock)

        def watch() -> None:
            from console.host import EngineHost

            host = EngineHost(plan)
            watcher = Watcher(host)
            host.start()
            try:
                request = replace(live("quiet", "BTC/USDT"), exchange_name="local")
                host.start_run(request).result(TIMEOUT)
                shot = watcher.until(
                    lambda s: s.header.exchanges and s.header.exchanges[0].clock_offset is not None
                )
                assert abs((shot.header.exchanges[0].clock_offset or 0) - 4_000) < 1_500
            finally:
                host.begin_shutdown(drain=False).result(TIMEOUT)
                assert host.join(TIMEOUT)

        await asyncio.to_thread(watch)


def test_the_kinds_of_exchanges_are_named(tmp_path: Path) -> None:
    file = tmp_path / "signaldeck.toml"
    file.write_text('[exchanges.x]\nkind = "cctx"\n', encoding="utf-8")
    with pytest.raises(Exception, match="use one of simulated, files, ccxt"):
        load_project(file)
