from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from console import supervisor
from console.host import EngineHost
from console.preferences import ConsoleSection
from console.supervisor import DEMO_CONSOLE, OpenInterface, supervise
from console.trouble import Trouble, noted
from tests.console.cli_bed import strategy_file
from tests.console.host_bed import TIMEOUT, Watcher, live
from tests.console.test_host import ALWAYS, WIDE, plan_with


class Interface:
    """An interface of one function instead of screens."""

    def __init__(self, work: Callable[[], Trouble | None], went_on: bool = False) -> None:
        self.trouble: Trouble | None = None
        self.went_on = went_on
        self.left = False
        self._work = work

    def run(self) -> None:
        self.trouble = self._work()

    def exit(self) -> None:
        self.left = True


def showing(interfaces: Sequence[Interface], told: list[Trouble | None]) -> OpenInterface:
    """Opens one interface after the other."""
    left = iter(interfaces)

    def open_next(trouble: Trouble | None) -> Interface:
        told.append(trouble)
        return next(left)

    return open_next


def crash(text: str = "no such widget", raising: bool = False) -> Trouble:
    if raising:
        raise RuntimeError(text)
    return noted(RuntimeError(text), "Deck")


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
    def leave() -> None:
        trading.begin_shutdown(drain=False)

    assert supervise(trading, showing([Interface(leave)], []), ConsoleSection()) == 0
    assert trading.join(0)
    assert capsys.readouterr().err == ""


def test_a_failed_interface_is_followed_by_one_that_tells_of_it(
    trading: EngineHost, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Trouble | None] = []
    alive: list[int] = []

    def leave() -> None:
        alive.append(trading.live_count)

    # One that failed anew after the operator had gone on is followed by another.
    shown = [Interface(crash), Interface(crash, went_on=True), Interface(leave)]
    assert supervise(trading, showing(shown, told), ConsoleSection()) == 0
    assert told[0] is None and told[1] == told[2] and told[1] is not None
    assert told[1].error == "RuntimeError: no such widget" and told[1].where == "Deck"
    assert alive == [1] and capsys.readouterr().err == ""


@pytest.mark.parametrize("raising", [True, False])
def test_live_runs_are_drained_when_no_interface_can_be_shown(
    trading: EngineHost, capsys: pytest.CaptureFixture[str], raising: bool
) -> None:
    shown = [Interface(lambda: crash(raising=raising)) for _ in range(2)]
    assert supervise(trading, showing(shown, []), ConsoleSection()) == 1
    said = capsys.readouterr().err
    assert "the interface crashed" in said and "draining 1 live run" in said
    assert "no such widget; reference" in said and "Traceback" not in said
    view = trading.snapshot.instances[0]
    assert (view.status, view.position) == ("done", "")


def test_the_demo_is_not_drained(trading: EngineHost, capsys: pytest.CaptureFixture[str]) -> None:
    shown = [Interface(crash), Interface(crash)]
    assert supervise(trading, showing(shown, []), DEMO_CONSOLE) == 1
    assert "draining" not in capsys.readouterr().err


def test_a_request_to_terminate_leaves_the_interface_in_good_order(trading: EngineHost) -> None:
    before = signal.getsignal(signal.SIGTERM)
    interface = Interface(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert supervise(trading, showing([interface], []), ConsoleSection()) == 0
    assert interface.left
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_a_terminal_runs_drain_where_that_is_configured(
    trading: EngineHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "release_terminal", lambda: None)
    interface = Interface(lambda: os.kill(os.getpid(), signal.SIGHUP))
    console = ConsoleSection(on_terminal_loss="drain")
    assert supervise(trading, showing([interface], []), console) == 0
    assert interface.left
    assert "the terminal is gone: 1 live run(s) are drained without it" in caplog.text
    view = trading.snapshot.instances[0]
    assert (view.status, view.position) == ("done", "")
