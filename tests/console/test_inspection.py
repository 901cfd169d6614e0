"""What screens ask a running host for, on the demo's market."""

from __future__ import annotations

import logging

from console.demo import demo_plan
from engine.domain.errors import RunStateError
from tests.console.host_bed import TIMEOUT, running

FAST = 1_200.0


def test_a_running_host_tells_everything_about_a_run_and_about_itself() -> None:
    logging.getLogger("signaldeck").setLevel(logging.INFO)
    with running(demo_plan(speed=FAST, max_workers=1)) as watch:
        shot = watch.until(
            lambda s: s.milestones and any(v.trades for v in s.instances) and len(s.metrics) > 4
        )
        view = next(view for view in shot.instances if view.trades)
        detail = watch.host.instance_detail(view.instance_id, "1m").result(TIMEOUT)
        assert detail.problem == "" and len(detail.bars.opened) == 240
        steps = {b - a for a, b in zip(detail.bars.opened, detail.bars.opened[1:], strict=False)}
        assert steps == {60_000}
        assert all(
            low <= min(a, b) and max(a, b) <= high
            for a, high, low, b in zip(
                detail.bars.open, detail.bars.high, detail.bars.low, detail.bars.close, strict=True
            )
        )
        assert detail.statistics is not None and detail.statistics.total_trades >= view.trades
        assert f"Live Trading Report: {view.strategy_name}" in detail.report
        assert dict(detail.settings)["exit_trigger"] == "vwap"
        assert detail.strategy_file.endswith(".py") and len(detail.strategy_hash) == 64
        assert detail.session == 1 and detail.started_at is not None
        hours = watch.host.instance_detail(view.instance_id, "1h").result(TIMEOUT).bars
        assert hours.interval == "1h" and len(hours.opened) == 240
        assert {b - a for a, b in zip(hours.opened, hours.opened[1:], strict=False)} == {3_600_000}

        names = {metric.name for metric in shot.metrics}
        assert {"live_tick", "engine_lag", "events", "events_dropped"} <= names
        newest = shot.milestones[0]
        assert newest.level in range(10, 101, 10) and newest.side in ("profit", "loss")
        told = [line for line in shot.log if line.logger == "signaldeck.signals"]
        assert told and any("opened" in line.message for line in told)
        assert shot.log_file.endswith("signaldeck.log")
        try:
            watch.host.instance_detail("gone", "1m").result(TIMEOUT)
        except RunStateError as error:
            assert "'gone' does not exist" in str(error)
        else:
            raise AssertionError("a run that does not exist was described")
