from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from console.demo import DEMO_RUNS, demo_plan
from console.host import BEAT_SECONDS, EngineHost, HostPlan
from console.notices import Changed, EngineFailed, Notice
from console.run_requests import RequestError
from console.settings import ConfigError, Project
from engine.domain.errors import EngineError, RunStateError
from engine.reports.backtest import outcome_to_json
from tests.console.cli_bed import Run, strategy_file
from tests.console.host_bed import TIMEOUT, Watcher, live, past, running

FAST = 6_000.0
"""A simulated hour in 0.6 s."""

ALWAYS = 'return Signal("long", 1e6, 5e4, 30)'
WIDE = {"max_stoploss_distance_percent": 90.0}


def plan_with(folder: Path, speed: float = FAST, **engine: object) -> HostPlan:
    """The demo's market without its runs, with the strategies of a folder."""
    plan = demo_plan(speed=speed, live=False, strategies=str(folder), max_workers=1)
    project: Project = plan.project.model_copy(update={"engine": engine})
    return replace(plan, project=project)


def test_the_demo_trades() -> None:
    with running(demo_plan(speed=FAST)) as watch:
        shot = watch.host.snapshot
        assert [(v.symbol, v.strategy_name) for v in shot.instances] == list(DEMO_RUNS)
        assert shot.header.badge == "SIMULATED x6000" and shot.header.speed == FAST
        shot = watch.until(lambda s: any(v.trades for v in s.instances))
        assert {"opened", "closed"} <= {entry.action for entry in shot.feed}
        assert watch.host.live_count == len(DEMO_RUNS) and watch.host.failure == ""
        assert shot.header.exchanges[0].newest_close is not None
        assert {notice.entry.action for notice in watch.of(Notice)} <= {"opened", "closed"}


def test_the_catalog_offers_what_there_is_and_names_what_is_broken(tmp_path: Path) -> None:
    own = strategy_file(tmp_path, "own", "return None")
    (tmp_path / "typo.py").write_text("def f(:\n")
    with running(plan_with(tmp_path)) as watch:
        catalog = watch.until(lambda s: s.catalog.exchanges[0].symbols).catalog
        items = {item.name: item for item in catalog.strategies}
        shipped = {"breakout", "llm-signal", "rsi-reversion", "sma-cross"}
        assert set(items) == {"own", *shipped, "typo.py"}
        assert (items["own"].interval, items["own"].file) == ("1h", str(own))
        assert "typo.py:1: SyntaxError" in items["typo.py"].error and not items["own"].error
        (exchange,) = catalog.exchanges
        assert (exchange.name, exchange.kind, exchange.live) == ("simulated", "simulated", True)
        assert "BTCUSDT" in exchange.symbols
        assert "1m" in catalog.frame_intervals
        assert watch.host.symbols("simulated").result(TIMEOUT) == exchange.symbols


def test_a_live_run_is_started_drained_and_started_again(tmp_path: Path) -> None:
    strategy_file(tmp_path, "always", 'return Signal("long", 1e6, 5e4, 1_000_000)')
    wide = {**WIDE, "max_signal_lifetime_minutes": 1_000_000}
    with running(plan_with(tmp_path, **wide)) as watch:
        host = watch.host
        run_id = host.start_run(live("always")).result(TIMEOUT)
        assert [v.instance_id for v in host.snapshot.instances] == [run_id]
        assert host.snapshot.instances[0].status == "running"
        shot = watch.until(lambda s: s.instances[0].position == "long")
        assert shot.instances[0].pnl_percent is not None and shot.header.open == 1
        said = host.stop_run(run_id).result(TIMEOUT)
        assert "watched to its end" in said and "BTCUSDT" in said
        assert host.snapshot.instances[0].status == "stopping"
        host.close_run(run_id).result(TIMEOUT)
        shot = watch.until(lambda s: s.instances[0].status == "done")
        assert shot.instances[0].trades == 1, "the run ends with its position"
        assert host.live_count == 0
        with pytest.raises(RunStateError, match="not running"):
            host.stop_run(run_id).result(TIMEOUT)
        assert "started again" in host.start_again(run_id).result(TIMEOUT)
        view = host.snapshot.instances[0]
        assert (view.instance_id, view.status, view.trades) == (run_id, "running", 0)
        with pytest.raises(RunStateError, match="already running"):
            host.start_again(run_id).result(TIMEOUT)
        with pytest.raises(RunStateError, match="already running"):
            host.start_run(live("always")).result(TIMEOUT)
        with pytest.raises(RunStateError, match="does not exist"):
            host.stop_run("nobody").result(TIMEOUT)


def test_a_request_is_checked_field_by_field(tmp_path: Path) -> None:
    with running(plan_with(tmp_path)) as watch:
        host = watch.host
        assert host.check(live("breakout")).result(TIMEOUT) == ()
        assert host.check(past("breakout")).result(TIMEOUT) == ()
        bad = past("brakeout", start="2025-07-09", end="2025-07-01", interval="7m")
        bad = replace(bad, symbol="GOLD")
        problems = {p.field: p.message for p in host.check(bad).result(TIMEOUT)}
        assert set(problems) == {"strategy_name", "symbol", "start", "interval"}
        assert "breakout" in problems["strategy_name"] and "BTCUSDT" in problems["symbol"]
        empty = replace(past("", start="", end=""), symbol="", exchange_name="")
        problems = {p.field for p in host.check(empty).result(TIMEOUT)}
        assert problems == {"strategy_name", "symbol", "exchange_name", "start", "end"}
        with pytest.raises(RequestError) as refused:
            host.start_run(bad).result(TIMEOUT)
        assert {p.field for p in refused.value.problems} == set(problems) ^ {
            "exchange_name", "end", "interval"
        }  # fmt: skip
        assert host.snapshot.backtests == ()


def test_a_backtest_shows_the_numbers_of_the_command(run: Run, tmp_path: Path) -> None:
    options = ("--symbol", "BTCUSDT", "--exchange", "simulated")
    frame = ("--from", "2025-07-02", "--to", "2025-07-03T23:59")
    command = json.loads(run("backtest", "sma-cross", *options, *frame, "--json").stdout)
    with running(plan_with(tmp_path)) as watch:
        run_id = watch.host.start_run(past("sma-cross")).result(TIMEOUT)
        view = watch.host.snapshot.backtests[0]
        assert (view.run_id, view.status in ("queued", "running")) == (run_id, True)
        shot = watch.until(lambda s: s.backtests[0].status == "done")
        view = shot.backtests[0]
        assert view.outcome is not None and view.progress == 1.0
        assert view.trades == len(view.outcome.trades) > 0
        assert view.candles_per_second and view.eta_seconds is None
        shown = json.loads(json.dumps(outcome_to_json(view.outcome)))
        assert shown == command
        assert "backtest-2" in watch.host.start_again(run_id).result(TIMEOUT)
        shot = watch.until(lambda s: s.backtests[0].status == "done")
        assert [v.run_id for v in shot.backtests] == ["backtest-2", "backtest-1"]
        with pytest.raises(RunStateError, match="already ended"):
            watch.host.stop_run(run_id).result(TIMEOUT)


def test_a_backtest_is_stopped_in_the_middle(tmp_path: Path) -> None:
    with running(plan_with(tmp_path)) as watch:
        long = past("rsi-reversion", start="2021-01-01", end="2025-01-01")
        run_id = watch.host.start_run(long).result(TIMEOUT)
        watch.until(lambda s: s.backtests[0].progress > 0)
        assert watch.host.backtest_count == 1
        assert "stopping" in watch.host.stop_run(run_id).result(TIMEOUT)
        shot = watch.until(lambda s: s.backtests[0].status == "stopped")
        outcome = shot.backtests[0].outcome
        assert outcome is not None and outcome.stopped
        assert watch.host.backtest_count == 0


def test_a_backtest_that_fails_says_why_and_harms_nothing(tmp_path: Path) -> None:
    strategy_file(tmp_path, "dies", "__import__('os')._exit(3)")
    with running(plan_with(tmp_path)) as watch:
        watch.host.start_run(past("dies"))
        watch.host.start_run(past("breakout"))
        ended = ("done", "failed")
        shot = watch.until(
            lambda s: len(s.backtests) == 2 and all(v.status in ended for v in s.backtests)
        )
        good, bad = shot.backtests
        assert (bad.status, good.status) == ("failed", "done")
        assert bad.error and watch.host.failure == ""


def test_a_strategy_that_does_not_come_back_is_shown_stuck_and_left_behind(
    tmp_path: Path,
) -> None:
    strategy_file(tmp_path, "asleep", "threading.Event().wait()", "def")
    with running(plan_with(tmp_path, max_signal_generation_seconds=1)) as watch:
        watch.host.start_run(live("asleep")).result(TIMEOUT)
        watch.until(lambda s: s.instances and "stuck" in s.instances[0].flags)
        shot = watch.until(lambda s: s.header.errors)
        assert "asleep" in shot.feed[0].detail and "stuck" in shot.instances[0].flags


def test_a_refusal_by_risk_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "refused.py").write_text(
        "from engine import Signal, add_risk, add_strategy\n"
        "def never(check):\n"
        "    raise ValueError('never')\n"
        'add_risk(risk_name="closed", validations=[{"validate": never, "note": "closed today"}])\n'
        '@add_strategy(strategy_name="refused", interval="1m", risk_name="closed")\n'
        "def refused(symbol, when):\n"
        f"    {ALWAYS}\n"
    )
    with running(plan_with(tmp_path, **WIDE)) as watch:
        watch.host.start_run(live("refused")).result(TIMEOUT)
        shot = watch.until(lambda s: s.feed_total)
        assert {(entry.action, entry.detail) for entry in shot.feed} == {
            ("rejected", "closed today")
        }
        assert shot.header.errors == 0
        watch.host.start_run(past("refused")).result(TIMEOUT)
        done = watch.until(lambda s: s.backtests[0].status == "done").backtests[0].outcome
        assert done is not None and done.counts.rejections > 0 and done.counts.errors == 0


def test_events_come_at_most_five_times_a_second_and_alive_at_least_once(tmp_path: Path) -> None:
    with running(demo_plan(speed=FAST)) as watch:
        first = len(watch.events)
        watch.until(lambda s: s.versions.header > 12)
        stamps = [when for when, event in watch.events[first:] if isinstance(event, Changed)]
        gaps = [late - early for early, late in pairwise(stamps)]
        # The loop's clock may round a sleep down by its resolution, never by more.
        assert gaps and min(gaps) > BEAT_SECONDS * 0.95
    with running(plan_with(tmp_path)) as watch:
        before = watch.host.snapshot.header
        after = watch.until(lambda s: s.versions.header > 3).header
        assert after.heartbeat > before.heartbeat and after.now > before.now


def test_a_failing_listener_does_not_hurt_the_engine(tmp_path: Path) -> None:
    def fail(event: object) -> None:
        raise RuntimeError("interface bug")

    with running(plan_with(tmp_path)) as watch:
        watch.host.set_listener(fail)
        run_id = watch.host.start_run(live("breakout")).result(TIMEOUT)
        again = Watcher(watch.host)
        again.until(lambda s: s.instances[0].last_tick is not None)
        assert watch.host.failure == "" and watch.host.snapshot.instances[0].instance_id == run_id


def test_quitting_refuses_commands_and_drains_if_asked(tmp_path: Path) -> None:
    strategy_file(tmp_path, "always", ALWAYS)
    with running(plan_with(tmp_path, **WIDE)) as watch:
        host = watch.host
        host.start_run(live("always")).result(TIMEOUT)
        watch.until(lambda s: s.header.open)
        closed = host.begin_shutdown(drain=True)
        with pytest.raises(RunStateError, match="quitting"):
            host.start_run(live("breakout")).result(TIMEOUT)
        closed.result(TIMEOUT)
        view = host.snapshot.instances[0]
        assert (view.status, view.position, view.trades > 0) == ("done", "", True)


def test_a_drain_can_be_cut_short(tmp_path: Path) -> None:
    strategy_file(tmp_path, "always", ALWAYS)
    with running(plan_with(tmp_path, speed=60.0, **WIDE)) as watch:
        watch.host.start_run(live("always")).result(TIMEOUT)
        watch.until(lambda s: s.header.open)
        closed = watch.host.begin_shutdown(drain=True)
        watch.until(lambda s: s.instances[0].status == "stopping")
        assert not closed.done()
        watch.host.begin_shutdown(drain=False)
        closed.result(TIMEOUT)
        assert watch.host.join(TIMEOUT)


def test_an_engine_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, percent_fee=-1.0)
    host = EngineHost(plan)
    watch = Watcher(host)
    with pytest.raises(EngineError, match="percent_fee"):
        host.start()
    assert host.join(TIMEOUT)
    assert [event.message for event in watch.of(EngineFailed)] == [host.failure]
    with pytest.raises(RunStateError, match=r"engine has failed.*\n.*percent_fee"):
        host.start_run(live("breakout")).result(TIMEOUT)
    odd = plan.project.exchanges["simulated"].model_copy(update={"kind": "odd"})
    project = plan.project.model_copy(update={"engine": {}, "exchanges": {"x": odd}})
    with pytest.raises(ConfigError, match=r"\[exchanges.x\].*odd"):
        EngineHost(replace(plan, project=project)).start()


def test_a_host_that_was_never_started_closes_at_once() -> None:
    host = EngineHost(demo_plan())
    assert host.snapshot.instances == ()
    host.begin_shutdown(drain=True).result(0)
    host.begin_shutdown(drain=False).result(0)
    with pytest.raises(RunStateError):
        host.start_run(live("breakout")).result(0)
