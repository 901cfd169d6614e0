"""A console on a state file: what ran goes on at the next start, and commands are journaled."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from console.demo import DEMO_START, demo_plan
from console.host import EngineHost, HostPlan
from engine.domain.errors import RunStateError, StateError
from engine.runtime import open_reader
from tests.console.cli_bed import strategy_file
from tests.console.host_bed import TIMEOUT, live, past, running

FAST = 6_000.0
SLOW = 60.0
LONG = 'return Signal("long", 1e6, 5e4, 600)'
WAITS = 'return Signal("short", 1e4, 3e5, 600, price_open=2e5)'
WIDE = {"max_stoploss_distance_percent": 90.0, "max_signal_lifetime_minutes": 1_000_000}


def plan_on(folder: Path, speed: float = SLOW) -> HostPlan:
    """The demo's market without its runs, on a state file in the folder."""
    plan = demo_plan(
        state=str(folder / "state.db"), speed=speed, live=False, strategies=str(folder),
        max_workers=1,
    )  # fmt: skip
    return replace(plan, project=plan.project.model_copy(update={"engine": WIDE}))


def commands(folder: Path) -> list[tuple[str, str, str]]:
    with open_reader(folder / "state.db") as reader:
        noted = reader.snapshot().commands
    return [(one.origin, one.command, one.result) for one in noted]


def test_a_restart_brings_everything_back(tmp_path: Path) -> None:
    strategy_file(tmp_path, "holds", LONG)
    strategy_file(tmp_path, "waits", WAITS)
    with running(plan_on(tmp_path)) as watch:
        first = watch.host.start_run(live("holds")).result(TIMEOUT)
        watch.host.start_run(live("waits", "ETHUSDT")).result(TIMEOUT)
        watch.host.start_run(past("holds")).result(TIMEOUT)
        before = watch.until(
            lambda s: s.header.open == 1 and s.header.scheduled == 1
            and s.backtests[0].status == "done"
        )  # fmt: skip
        assert watch.host.restored == ""
        assert watch.host.memory.recall("form") is None
        watch.host.memory.remember("form", {"kind": "live"})
        watch.host.memory.remember("form", {"kind": "walker"})
    with running(plan_on(tmp_path)) as watch:
        host = watch.host
        assert host.memory.recall("form") == {"kind": "walker"}
        assert host.restored == "2 live runs restored, 1 open position"
        shot = host.snapshot
        assert [(v.strategy_name, v.status, v.position) for v in shot.instances] == [
            ("holds", "running", "long"), ("waits", "running", "short waiting")
        ]  # fmt: skip
        assert shot.instances[0].instance_id != first, "ids are of a process"
        assert shot.instances[0].entry == before.instances[0].entry
        assert {entry.signal_id for entry in shot.feed} == {e.signal_id for e in before.feed}
        assert shot.header.now >= before.header.now > DEMO_START, "time did not go back"
        shot = watch.until(lambda s: s.backtests and s.instances[0].last_tick)
        assert shot.backtests[0].outcome == before.backtests[0].outcome
        assert shot.backtests[0].run_id == "backtest-1"
        assert host.start_run(past("holds")).result(TIMEOUT) == "backtest-2"


def test_close_and_cancel_act_at_once_and_are_journaled(tmp_path: Path) -> None:
    strategy_file(tmp_path, "holds", LONG)
    strategy_file(tmp_path, "waits", WAITS)
    with running(plan_on(tmp_path)) as watch:
        host = watch.host
        holds = host.start_run(live("holds")).result(TIMEOUT)
        waits = host.start_run(live("waits", "ETHUSDT")).result(TIMEOUT)
        watch.until(lambda s: s.header.open == 1 and s.header.scheduled == 1)
        quote = host.quote(holds).result(TIMEOUT)
        assert quote.price > 0 and quote.at <= quote.now and not quote.stale
        assert "nothing done: nothing is scheduled" in host.cancel_run(holds).result(TIMEOUT)
        assert "closed at" in host.close_run(holds).result(TIMEOUT)
        assert "cancelled with the market" in host.cancel_run(waits).result(TIMEOUT)
        shot = watch.until(lambda s: {"closed", "cancelled"} <= {e.action for e in s.feed})
        assert [e.detail for e in shot.feed if e.action in ("closed", "cancelled")] == [
            "operator", "operator"
        ]  # fmt: skip
        assert "stop: 2 of 2 done" in host.stop_runs([holds, waits]).result(TIMEOUT)
        with pytest.raises(RunStateError, match="not running"):
            watch.until(lambda s: all(v.status == "done" for v in s.instances))
            host.close_runs([holds, waits]).result(TIMEOUT)
        with pytest.raises(RunStateError, match="does not exist"):
            host.quote("nobody").result(TIMEOUT)
    said = commands(tmp_path)
    assert {origin for origin, _, _ in said} == {"console"}
    assert [command for _, command, _ in said] == [
        "start", "start", "cancel", "close", "cancel", "stop", "stop", "close", "close"
    ]  # fmt: skip
    assert said[-1][2].startswith("refused: ")


def test_a_drained_run_stays_ended_and_a_missing_strategy_drains(tmp_path: Path) -> None:
    gone = strategy_file(tmp_path, "holds", LONG)
    strategy_file(tmp_path, "ends", "return None")
    with running(plan_on(tmp_path)) as watch:
        watch.host.start_run(live("holds")).result(TIMEOUT)
        ends = watch.host.start_run(live("ends")).result(TIMEOUT)
        watch.until(lambda s: s.header.open == 1)
        watch.host.stop_run(ends).result(TIMEOUT)
        watch.until(lambda s: s.instances[1].status == "done")
    gone.unlink()
    with running(plan_on(tmp_path)) as watch:
        held, ended = watch.until(lambda s: s.instances[0].flags).instances
        assert (held.status, held.position) == ("stopping", "long")
        assert held.flags == ("strategy missing",)
        assert (ended.status, ended.strategy_name) == ("done", "ends")


def test_a_run_whose_exchange_is_missing_is_shown_and_goes_on_when_it_is_back(
    tmp_path: Path,
) -> None:
    strategy_file(tmp_path, "holds", LONG)
    plan = plan_on(tmp_path)
    section = plan.project.exchanges["simulated"]
    here = replace(plan, project=plan.project.model_copy(update={"exchanges": {"mine": section}}))
    with running(here) as watch:
        request = replace(live("holds"), exchange_name="mine")
        watch.host.start_run(request).result(TIMEOUT)
        watch.until(lambda s: s.header.open == 1)
    with running(plan) as watch:
        shot = watch.until(lambda s: s.instances and s.instances[0].flags and s.header.errors)
        view = shot.instances[0]
        assert (view.status, view.position) == ("failed", "long")
        assert view.flags == ("exchange missing",) and "'mine' not found" in shot.feed[0].detail
    with running(here) as watch:
        shot = watch.until(lambda s: s.instances and s.instances[0].last_tick)
        assert (shot.instances[0].status, shot.instances[0].position) == ("running", "long")


def test_a_second_console_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    owner = rf"in use: process {os.getpid()} .* owns it since"
    with running(plan_on(tmp_path)), pytest.raises(StateError, match=owner):
        EngineHost(plan_on(tmp_path)).start()
    with running(plan_on(tmp_path)):
        pass


def test_a_damaged_state_is_kept_and_replaced_only_with_consent(tmp_path: Path) -> None:
    with running(plan_on(tmp_path)):
        pass
    file = tmp_path / "state.db"
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 8_000)
    with pytest.raises(StateError, match=r"damaged.*--start-clean-if-damaged"):
        EngineHost(plan_on(tmp_path)).start()
    damaged = file.read_bytes()
    plan = replace(plan_on(tmp_path), start_clean_if_damaged=True)
    with running(plan) as watch:
        shot = watch.until(lambda s: s.header.errors == 1)
        assert "damaged and is kept as" in shot.feed[0].detail
    kept = list(tmp_path.glob("state.db.damaged-*"))
    assert [one.read_bytes() for one in kept] == [damaged]
