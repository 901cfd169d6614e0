"""The read-only console: it follows a state file beside its owner, after it, and without it."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from console.follower import ALONE, FOLLOWING, HALTED, UNREADABLE, FollowingHost
from console.notices import Notice
from console.settings import Project
from engine.domain.errors import RunStateError, StateError
from tests.console.cli_bed import strategy_file
from tests.console.host_bed import TIMEOUT, Watcher, live, past, running
from tests.console.test_host_restore import LONG, plan_on


def followed(folder: Path, project: Project | None = None) -> Watcher:
    host = FollowingHost(folder / "state.db", "SIGNALS ONLY", project)
    watcher = Watcher(host)
    host.start()
    return watcher


def ended(watcher: Watcher) -> bool:
    watcher.host.begin_shutdown(drain=False).result(TIMEOUT)
    return watcher.host.join(TIMEOUT)


def test_it_shows_what_the_owner_does_and_what_it_left(tmp_path: Path) -> None:
    strategy_file(tmp_path, "holds", LONG)
    with running(plan_on(tmp_path)) as owner:
        run_id = owner.host.start_run(live("holds")).result(TIMEOUT)
        owner.host.start_run(past("holds")).result(TIMEOUT)
        own = owner.until(lambda s: s.header.open == 1 and s.backtests[0].status == "done")
        watcher = followed(tmp_path, plan_on(tmp_path).project)
        shot = watcher.until(lambda s: s.instances and s.instances[0].position == "long")
        assert shot.header.badge == f"{FOLLOWING}  SIGNALS ONLY"
        view, seen = own.instances[0], shot.instances[0]
        assert (seen.entry, seen.strategy_name) == (view.entry, view.strategy_name)
        assert [e.signal_id for e in shot.feed] == [e.signal_id for e in own.feed]
        watcher.until(lambda s: s.backtests and s.backtests[0].outcome is not None)
        owner.host.stop_run(run_id).result(TIMEOUT)
        owner.host.close_run(run_id).result(TIMEOUT)
        shot = watcher.until(lambda s: s.instances[0].trades == 1)
        assert shot.feed[0].action == "closed"
        assert shot.instances[0].position == "" and shot.header.open == 0
        watcher.until(lambda _: "closed" in {n.entry.action for n in watcher.of(Notice)})
        watcher.until(lambda s: s.header.exchanges[0].newest_close is not None)
        following: Any = watcher.host
        told = following.instance_detail(shot.instances[0].instance_id, "5m").result(TIMEOUT)
        true = owner.host.instance_detail(run_id, "5m").result(TIMEOUT)
        # The owner may have lived through another bar between the two questions.
        bars = dict(zip(true.bars.opened, true.bars.close, strict=True))
        said = (told.bars.opened, told.bars.close)
        same = [bars.get(at) == close for at, close in zip(*said, strict=True)]
        assert told.problem == "" and len(same) > 200 and all(same[1:])
        assert told.strategy_hash == true.strategy_hash and told.settings == true.settings
        assert told.statistics is not None and told.statistics.total_trades == 1
    shot = watcher.until(lambda s: s.header.badge.startswith(ALONE))
    assert not shot.instances[0].flags, "it has ended"
    with running(plan_on(tmp_path)):
        watcher.until(lambda s: not s.header.badge.startswith(ALONE))
    assert ended(watcher)


def test_a_file_that_takes_the_place_of_another_is_shown_instead(tmp_path: Path) -> None:
    strategy_file(tmp_path, "holds", LONG)
    with running(plan_on(tmp_path)) as owner:
        owner.host.start_run(live("holds")).result(TIMEOUT)
        owner.until(lambda s: s.header.open == 1)
    hour_ago = time.time() - 3600
    for part in tmp_path.glob("state.db*"):
        os.utime(part, (hour_ago, hour_ago))
    watcher = followed(tmp_path)
    shot = watcher.until(lambda s: s.instances and s.header.open == 1)
    assert time.monotonic() - shot.header.heartbeat > 3500, "nobody keeps it alive"
    assert shot.instances[0].flags == (HALTED,)
    with running(plan_on(tmp_path)):
        watcher.until(lambda s: not s.instances[0].flags)
    for part in tmp_path.glob("state.db*"):
        if not part.name.endswith(".lock"):
            part.unlink()
    watcher.until(lambda s: s.header.badge.startswith(UNREADABLE))
    with running(plan_on(tmp_path)):
        watcher.until(lambda s: s.header.badge.startswith(FOLLOWING) and not s.instances)
    assert ended(watcher) and watcher.host.failure == ""


def test_nothing_can_be_commanded(tmp_path: Path) -> None:
    strategy_file(tmp_path, "holds", LONG)
    with running(plan_on(tmp_path)):
        watcher = followed(tmp_path)
        host: Any = watcher.host
        refused: list[Future[Any]] = [
            host.start_run(live("holds")), host.check(live("holds")), host.stop_run("1"),
            host.start_again("1"), host.close_run("1"), host.cancel_run("1"), host.quote("1"),
            host.stop_runs(["1"]), host.close_runs(["1"]),
        ]  # fmt: skip
        for future in refused:
            with pytest.raises(RunStateError, match=r"this console only follows state\.db"):
                future.result(0)
        assert host.symbols("simulated").result(0) == () and host.read_only
        assert ended(watcher)


def test_a_missing_or_damaged_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="does not exist"):
        FollowingHost(tmp_path / "state.db", "").start()
    (tmp_path / "state.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8_000)
    with pytest.raises(StateError, match="damaged"):
        FollowingHost(tmp_path / "state.db", "").start()
    never = FollowingHost(tmp_path / "state.db", "")
    never.begin_shutdown(drain=False).result(0)
