"""``signaldeck serve``: the read-only console in browsers.

Loopback only unless told, because what is shown is somebody's trading and the connection is plain
HTTP; from another machine an ssh tunnel leads here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from console.demo import is_demo
from console.outcomes import UsageProblem, say
from console.settings import Project
from engine.runtime import open_reader

if TYPE_CHECKING:
    from console.web.server import Served

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""Names of this machine that no other one answers to."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line says.

    Attributes:
        port: 0 takes any free one.
        bind: address to listen at.
        names: other host names under which browsers may reach it.
        sessions: how many views at a time.
        config: ``--config``, for the viewers.
    """

    port: int = 8321
    bind: str = "127.0.0.1"
    names: Sequence[str] = ()
    sessions: int = 4
    config: Path | None = None


def run_serve(project: Project, options: ServeOptions) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP; returns the exit status.

    Raises:
        UsageProblem: nothing can be served like this.
        StateError: there is no state file, or it cannot be read.
    """
    missing = [name for name in ("aiohttp", "textual_serve") if find_spec(name) is None]
    if missing:
        raise UsageProblem(
            f"serve needs {' and '.join(missing)}, which the base installation leaves out: "
            "pip install 'signaldeck[web]'"
        )
    if project.state == ":memory:":
        raise UsageProblem("there is nothing to follow in :memory:: give --state FILE")
    open_reader(project.state).close()
    served = _served(project, options)
    return asyncio.run(_serve(served, options))


def viewer_command(project: Project, config: Path | None) -> tuple[str, ...]:
    """What starts a viewer: this program, read-only, on the same state file."""
    program = (sys.executable, "-m", "console")
    if is_demo(project.state):
        return (*program, "demo", "--read-only", "--state", project.state)
    given = ("--config", str(config.absolute())) if config is not None else ()
    return (*program, "--read-only", "--state", project.state, *given)


def _served(project: Project, options: ServeOptions) -> Served:
    # aiohttp is loaded by this command alone.
    from console.web.server import Served

    found = find_spec("textual_serve")
    assert found is not None and found.origin is not None
    outside = not _is_loopback(options.bind)
    names = {*LOOPBACK, options.bind.lower(), *(name.lower() for name in options.names)}
    return Served(
        command=viewer_command(project, options.config),
        state=Path(project.state).name,
        statics=Path(found.origin).parent / "static",
        token=secrets.token_urlsafe(24),
        names=names | ({socket.gethostname().lower()} if outside else set()),
        any_address=outside,
        sessions=options.sessions,
    )


async def _serve(served: Served, options: ServeOptions) -> int:
    from aiohttp import web

    from console.web.server import ConsoleServer

    server = ConsoleServer(served, lambda text: say(f"signaldeck: {text}"))
    # Requests are not logged: the first one of a page carries the token.
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=15.0)
    await runner.setup()
    try:
        await _listen(web.TCPSite(runner, options.bind, options.port), options)
        port = runner.addresses[0][1]
        shown = "localhost" if options.bind in LOOPBACK[:2] else options.bind
        host = f"[{shown}]" if ":" in shown else shown
        print(f"http://{host}:{port}/?token={served.token}", flush=True)
        say(f"signaldeck: {served.state} in up to {served.sessions} browser tabs; Ctrl-C ends it")
        if not _is_loopback(options.bind):
            say(
                "signaldeck: the connection is not encrypted: whoever can listen on the network "
                "can read the token and everything that is shown"
            )
        await _until_told()
    finally:
        await runner.cleanup()
    return 0


async def _listen(site: object, options: ServeOptions) -> None:
    from aiohttp import web

    assert isinstance(site, web.TCPSite)
    try:
        await site.start()
    except socket.gaierror as error:
        raise UsageProblem(
            f"--bind {options.bind}: {error.strerror}: give an address of this machine"
        ) from None
    except OSError as error:
        where = f"port {options.port} of {options.bind}"
        if error.errno == errno.EADDRINUSE:
            raise UsageProblem(
                f"{where} is taken by another program: give --port another one, or 0 for any"
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageProblem(
                f"--bind {options.bind} is no address of this machine: leave it out for loopback"
            ) from None
        raise UsageProblem(f"{where} cannot be opened: {error.strerror}") from None


async def _until_told() -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, told.set)
    await told.wait()


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ip_address(address).is_loopback
    return False
