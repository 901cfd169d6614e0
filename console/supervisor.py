"""Opens engine and interface, and stays responsible when one of them fails.

Live runs must never end unnoticed: when the interface crashes, the supervisor says so on the
terminal and drains them; when the engine fails, the interface is told and the exit status says so.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeAlias

from console.demo import DEMO_BADGE, DEMO_STATE, demo_plan
from console.follower import FollowingHost
from console.host import BADGE, EngineHost, HostPlan
from console.logs import log_path, open_log
from console.outcomes import FAILED, UsageProblem, say
from console.settings import ConfigError, Project
from engine.runs.workers import WorkerPool

JOIN_SECONDS = 5.0
"""How long the engine may take to close before the process ends without it."""


Host: TypeAlias = EngineHost | FollowingHost


class Interface(Protocol):
    """What the supervisor needs of the app."""

    def run(self) -> object:
        """Show the interface until the operator leaves it."""
        ...

    @property
    def return_code(self) -> int | None:
        """0 or None after a proper end, anything else after a crash."""
        ...

    def exit(self) -> None:
        """Leave as soon as possible."""
        ...


def open_console(project: Project, *, start_clean_if_damaged: bool = False) -> int:
    """Open the console on a project; returns the exit status."""
    plan = HostPlan(project, state=project.state, start_clean_if_damaged=start_clean_if_damaged)
    return _open(lambda: EngineHost(plan), project.keys, drain_after_crash=True)


def open_demo(
    strategies: Path | None, state: str | None = None, *, start_clean_if_damaged: bool = False
) -> int:
    """Open the console on the simulated market; returns the exit status."""
    if strategies is not None and not strategies.is_dir():
        raise ConfigError(f"strategies folder {strategies} does not exist: check --strategies")
    plan = demo_plan(
        state=str(Path(state or DEMO_STATE).absolute()) if state != ":memory:" else state,
        strategies=str(strategies.absolute()) if strategies else None,
    )
    plan = replace(plan, start_clean_if_damaged=start_clean_if_damaged)
    # Nothing of the demo is worth waiting for: its positions are those of a simulated market.
    return _open(lambda: EngineHost(plan), {}, drain_after_crash=False)


def follow_console(project: Project) -> int:
    """Open the read-only console on a project's state file; returns the exit status."""
    return _open(lambda: FollowingHost(project.state, BADGE), project.keys, drain_after_crash=False)


def follow_demo(state: str | None = None) -> int:
    """Open the read-only console on a demo's state file; returns the exit status."""
    return _open(
        lambda: FollowingHost(state or DEMO_STATE, DEMO_BADGE), {}, drain_after_crash=False
    )


def supervise(
    host: Host, interface: Interface, *, drain_after_crash: bool, join: float = JOIN_SECONDS
) -> int:
    """Run the interface on a started host, then see the engine to its end.

    Returns:
        The exit status: `FAILED` when interface or engine failed.
    """
    status = 0
    previous = _on_termination(interface.exit)
    try:
        interface.run()
        crashed = bool(interface.return_code)
    except KeyboardInterrupt:
        crashed = False
    except Exception as error:
        say(f"signaldeck: the interface failed: {type(error).__name__}: {error}")
        crashed = True
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    host.set_listener(None)
    if crashed:
        status = FAILED
        say(f"signaldeck: the interface crashed; details are in {log_path()}")
        if drain_after_crash and host.live_count:
            _drain(host)
    host.begin_shutdown(drain=False)
    ended = host.join(join)
    if host.failure:
        say(f"signaldeck: the engine failed: {host.failure}; details are in {log_path()}")
        status = FAILED
    if not ended:
        say("signaldeck: a strategy did not return in time and is left behind")
        _leave(status or FAILED)
    return status


def _open(
    make: Callable[[], Host],
    keys: Mapping[str, str],
    *,
    drain_after_crash: bool,
) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageProblem(
            "the console needs a terminal: run it in one, or use a command (see --help)"
        )
    # Screens and keys need Textual, which no other command has to load.
    from console.app import SignaldeckApp
    from console.keymap import keymap_problems

    if problems := keymap_problems(keys):
        raise ConfigError("\n".join(f"[keys]: {problem}" for problem in problems))
    if problem := open_log():
        say(f"signaldeck: no log: {problem}")
    # Before any thread and before the interface takes the terminal.
    WorkerPool.start_forkserver()
    host = make()
    host.start()
    interface: Any = SignaldeckApp(host, keymap=keys)
    return supervise(host, interface, drain_after_crash=drain_after_crash)


def _drain(host: Host) -> None:
    """Wait for open positions to close, saying how many are left; Ctrl-C cuts it short."""
    say(f"signaldeck: draining {host.live_count} live run(s); press Ctrl-C to end them at once")
    closed, left = host.begin_shutdown(drain=True), -1
    try:
        while not closed.done():
            header = host.snapshot.header
            if header.open != left:
                left = header.open
                say(f"signaldeck: {left} open position(s) left")
            try:
                closed.result(timeout=1.0)
            except FutureTimeoutError:
                continue
    except KeyboardInterrupt:
        say("signaldeck: drain cut short; open positions are not watched any more")


def _on_termination(leave: Callable[[], None]) -> dict[signal.Signals, Any]:
    """Leave in good order when the terminal closes or the process is asked to end."""

    def handle(number: int, frame: FrameType | None) -> None:
        leave()

    return {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGHUP)}


def _leave(status: int) -> None:
    """End the process although a thread of a strategy still runs: exiting would wait for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
