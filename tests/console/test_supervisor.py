from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from console.host import EngineHost
from console.supervisor import supervise
from tests.console.cli_bed import strategy_file
from tests.console.host_bed import TIMEOUT, Watcher, live
from tests.console.test_host import ALWAYS, WIDE, plan_with


class Interface:
    """An interface of one function instead of screens."""

    def __init__(self, work: Callable[[], int]) -> None:
        self.return_code: int | None = None
        self.left = False
        self._work = work

    def run(self) -> None:
        self.return_code = self._work()

    def exit(self) -> None:
        self.left = True


@pytest.fixture
def trading(tmp_path: Path) -> EngineHost:
    """A host with one live run that holds a position."""
    strategy_file(tmp_path, "always", ALWAYS)
    host = EngineHost(plan_with(tmp_path, **WIDE))
    watch = Watcher(host)
    host.start()
    host.start_run(live("always")).result(TIMEOUT)
    watch.until(lambda shot: shot.header.open)
    return host


def test_a_proper_end_is_quiet(trading: EngineHost, capsys: pytest.CaptureFixture[str]) -> None:
    def leave() -> int:
        trading.begin_shutdown(drain=False)
        return 0

    assert supervise(trading, Interface(leave), drain_after_crash=True) == 0
    assert trading.join(0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("raising", [True, False])
def test_live_runs_are_drained_after_a_crash_of_the_interface(
    trading: EngineHost, capsys: pytest.CaptureFixture[str], raising: bool
) -> None:
    def crash() -> int:
        if raising:
            raise RuntimeError("no such widget")
        return 1

    assert supervise(trading, Interface(crash), drain_after_crash=True) == 1
    said = capsys.readouterr().err
    assert "the interface crashed" in said and "draining 1 live run" in said
    assert ("no such widget" in said) is raising
    view = trading.snapshot.instances[0]
    assert (view.status, view.position) == ("done", "")


def test_the_demo_is_not_drained(trading: EngineHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert supervise(trading, Interface(lambda: 1), drain_after_crash=False) == 1
    assert "draining" not in capsys.readouterr().err


def test_a_request_to_terminate_leaves_the_interface_in_good_order(trading: EngineHost) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def work() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    interface = Interface(work)
    assert supervise(trading, interface, drain_after_crash=True) == 0
    assert interface.left
    assert signal.getsignal(signal.SIGTERM) is before
