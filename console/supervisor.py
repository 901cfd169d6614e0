"""Opens engine and interface, and stays responsible when one of them fails.

Live runs must never end unnoticed. When the interface fails, another one opens on the same engine
and says so; when it cannot, or when the terminal is gone, the runs go on or drain as configured;
when the engine fails, the interface is told and the exit status says so.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final, Protocol, TypeAlias

from console.collector import set_aside_what_stays
from console.demo import DEMO_BADGE, DEMO_STATE, demo_plan
from console.follower import FollowingHost
from console.host import BADGE, EngineHost, HostPlan
from console.logs import log_path, open_log
from console.outcomes import FAILED, UsageProblem, say
from console.preferences import ConsoleSection, Unattended
from console.settings import ConfigError, Project
from console.terminal import HangUpWatch, release_terminal
from console.trouble import Trouble, noted
from engine.runs.workers import WorkerPool

JOIN_SECONDS = 5.0
"""How long the engine may take to close before the process ends without it."""

DEMO_CONSOLE: Final = ConsoleSection(on_terminal_loss="quit", on_crash="quit")
"""Nothing of the demo is worth waiting for: its positions are those of a simulated market."""

_log = logging.getLogger("signaldeck.supervisor")

Host: TypeAlias = EngineHost | FollowingHost


class Interface(Protocol):
    """What the supervisor needs of the app.

    Attributes:
        trouble: what ended it, None after a proper end.
        went_on: whether the operator left what told of the trouble before.
    """

    trouble: Trouble | None
    went_on: bool

    def run(self) -> object:
        """Show the interface until the operator leaves it, or until it fails."""
        ...

    def exit(self) -> None:
        """Leave as soon as possible."""
        ...


OpenInterface: TypeAlias = Callable[[Trouble | None], Interface]
"""Makes an interface; given a trouble, one that begins by telling of it."""


def open_console(project: Project, *, start_clean_if_damaged: bool = False) -> int:
    """Open the console on a project; returns the exit status."""
    plan = HostPlan(project, state=project.state, start_clean_if_damaged=start_clean_if_damaged)
    return _open(lambda: EngineHost(plan), project)


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
    return _open(lambda: EngineHost(plan), None)


def follow_console(project: Project) -> int:
    """Open the read-only console on a project's state file; returns the exit status."""
    return _open(lambda: FollowingHost(project.state, BADGE, project), project)


def follow_demo(state: str | None = None) -> int:
    """Open the read-only console on a demo's state file; returns the exit status."""
    path = state or DEMO_STATE
    market = demo_plan(state=path, live=False).project
    return _open(lambda: FollowingHost(path, DEMO_BADGE, market), None)


def supervise(
    host: Host,
    open_interface: OpenInterface,
    console: ConsoleSection,
    *,
    join: float = JOIN_SECONDS,
    again: bool = True,
) -> int:
    """Run interfaces on a started host, then see the engine to its end.

    Args:
        host: started.
        open_interface: makes what is shown.
        console: what becomes of live runs that nobody looks at.
        join: seconds that the engine may take to end.
        again: show another interface after one that failed; what draws in a browser ends with the
            first one, and the page offers the next.

    Returns:
        The exit status: `FAILED` when interface or engine failed.
    """
    watch = _Ending()
    with watch.listening():
        trouble = _show(host, open_interface, watch, again=again)
        host.set_listener(None)
        status = 0
        if watch.lost:
            _without_terminal(host, console.on_terminal_loss, watch)
        elif trouble is not None:
            status = FAILED
            say(
                f"signaldeck: the interface crashed: {trouble.error}; reference "
                f"{trouble.reference} in {trouble.log}"
            )
            _see_to_the_end(host, console.on_crash, watch)
    return _closed(host, join) or status


def _show(
    host: Host, open_interface: OpenInterface, watch: _Ending, *, again: bool
) -> Trouble | None:
    """Show interfaces until one ends properly (None), or until none can be shown."""
    trouble: Trouble | None = None
    while True:
        interface = open_interface(trouble)
        watch.leave = interface.exit
        told = trouble
        try:
            interface.run()
            trouble = interface.trouble
        except KeyboardInterrupt:
            trouble = None
        except Exception as error:
            trouble = noted(error)
        watch.leave = None
        watch.look()
        if trouble is None or watch.asked or watch.lost:
            return None
        if not again or (told is not None and not interface.went_on):
            return trouble
        host.set_listener(None)


class _Ending:
    """What ended the interface from outside.

    Attributes:
        asked: SIGTERM (or an interrupt) asked the process to end.
        lost: the terminal is gone.
        leave: leaves the interface that is shown.
    """

    def __init__(self) -> None:
        self.asked = False
        self.lost = False
        self.leave: Callable[[], None] | None = None
        self._terminal = HangUpWatch(sys.__stdin__.fileno() if sys.__stdin__ else 0)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take note of SIGTERM and SIGHUP meanwhile, and of a terminal that goes without one."""
        numbers = (signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            with self._terminal:
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def look(self) -> None:
        """An interface that ended may have lost its terminal a moment before that is told."""
        if not self.lost and self._terminal.hung_up:
            self._lose()

    def _lose(self) -> None:
        self.lost = True
        release_terminal()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            self.asked = True
        elif not self.lost:
            self._lose()
        if self.leave is not None:
            self.leave()


def _open(make: Callable[[], Host], project: Project | None) -> int:
    """Open a host and interfaces for it; without a project they are the demo's."""
    served = "TEXTUAL_DRIVER" in os.environ  # The screen is somewhere else, as in a browser.
    if not (served or (sys.stdin.isatty() and sys.stdout.isatty())):
        raise UsageProblem(
            "the console needs a terminal: run it in one, or use a command (see --help)"
        )
    if not served:
        # Some programs leave the size of their own terminal there; ours knows its size, and tells
        # when it changes.
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)
    # Textual draws at its next frame: with short ones a key shows 8 ms sooner, at no cost while
    # nothing moves. It reads this when it is loaded.
    os.environ.setdefault("TEXTUAL_FPS", "120")
    # Screens and keys need Textual, which no other command has to load.
    from console.interface import make_app, project_problems

    keys: Mapping[str, str] = project.keys if project else {}
    console = project.console if project else DEMO_CONSOLE
    if project is not None and (problems := project_problems(project)):
        raise ConfigError("\n".join(problems))
    if problem := open_log():
        say(f"signaldeck: no log: {problem}")
    threading.excepthook = _note_thread
    if not served:  # Whoever watches in a browser starts nothing.
        # Before any thread and before the interface takes the terminal.
        WorkerPool.start_forkserver()
    host = make()
    host.start()
    set_aside_what_stays()
    show = partial(make_app, host, keys, console)
    return supervise(host, show, console, again=not served)


def _without_terminal(host: Host, then: Unattended, watch: _Ending) -> None:
    """The terminal is gone: nobody reads what is said, so the log has it."""
    pid, runs = os.getpid(), host.live_count
    if not runs or then == "quit":
        _log.warning("the terminal is gone: quitting; %d live run(s) go on at the next start", runs)
        return
    how = "go on" if then == "continue" else "are drained"
    _log.warning(
        "the terminal is gone: %d live run(s) %s without it, in process %d; signaldeck --read-only "
        "shows them; kill %d keeps what is held for the next start and ends it",
        runs, how, pid, pid,
    )  # fmt: skip
    _see_to_the_end(host, then, watch)
    _log.warning("process %d ends; %d live run(s) go on at the next start", pid, host.live_count)


def _see_to_the_end(host: Host, then: Unattended, watch: _Ending) -> None:
    """Let live runs go on or drain until they, or the process, are to end."""
    if then == "quit" or not host.live_count or watch.asked:
        return
    try:
        if then == "drain":
            _drain(host, watch)
        else:
            say(f"signaldeck: {host.live_count} live run(s) go on; press Ctrl-C to end")
            while not (host.join(1.0) or watch.asked):
                continue
    except KeyboardInterrupt:
        say("signaldeck: cut short; open positions are not watched any more")


def _drain(host: Host, watch: _Ending) -> None:
    """Wait for open positions to close, saying how many are left."""
    say(f"signaldeck: draining {host.live_count} live run(s); press Ctrl-C to end them at once")
    closed, left = host.begin_shutdown(drain=True), -1
    while not (closed.done() or watch.asked):
        header = host.snapshot.header
        if header.open != left:
            left = header.open
            say(f"signaldeck: {left} open position(s) left")
        try:
            closed.result(timeout=1.0)
        except FutureTimeoutError:
            continue


def _closed(host: Host, join: float) -> int:
    """Close the engine; `FAILED` when it failed, or does not end."""
    host.begin_shutdown(drain=False)
    ended = host.join(join)
    status = 0
    if host.failure:
        say(f"signaldeck: the engine failed: {host.failure}; details are in {log_path()}")
        status = FAILED
    if not ended:
        say("signaldeck: a strategy did not return in time and is left behind")
        _leave(FAILED)
    return status


def _note_thread(failed: threading.ExceptHookArgs) -> None:
    """A thread of a library has failed: the traceback is for the log, not for the terminal."""
    if failed.exc_value is not None:
        noted(failed.exc_value, failed.thread.name if failed.thread else "")


def _leave(status: int) -> None:
    """End the process although a thread of a strategy still runs: exiting would wait for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
