"""``signaldeck live``: live runs without a screen, until a signal ends the process.

Everything the state file holds goes on, and the runs named on the command line are started. What
happens is told line by line on stderr, and with ``--json`` event by event on stdout. How the
command ends is decided beforehand, because whoever sends SIGTERM to a service answers no questions.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, TextIO, TypeAlias, get_args

from console.discovery import Workshop, equip
from console.event_lines import event_json, event_line, note_of, price_text
from console.logs import open_log
from console.outcomes import FAILED, UsageProblem, say
from console.run_requests import RequestError, check_request
from console.settings import Project
from console.streams import LineWriter
from console.views import RunRequest
from engine import Engine
from engine.domain.errors import EngineError, RunError
from engine.domain.events import DataStatus, InstanceChanged
from engine.domain.signals import OpenPosition
from engine.domain.time import minute_text
from engine.runs.instance import Instance
from engine.runs.live import LiveExecution

OnExit: TypeAlias = Literal["detach", "drain", "close"]
ON_EXIT: Final[tuple[str, ...]] = get_args(OnExit)
"""What becomes of the runs of this command when it is asked to end."""

ORIGIN: Final = "cli"
"""Where this command's orders come from, as the journal says."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EVENTS: Final = ("signal_live", "partial_profit", "partial_loss", "risk", "error", "exit")
FLUSH_SECONDS: Final = 2.0
"""How long listeners, and readers of the lines, may take over the last events."""

_LINE: Final = 400
"""Columns of a told line; a terminal wraps it."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """The options of the command, as typed."""

    strategy: str
    symbols: tuple[str, ...]
    exchange: str
    on_exit: str
    json: bool
    start_clean_if_damaged: bool = False
    read_only: bool = False


def run_live(project: Project, options: LiveOptions) -> int:
    """Run until a signal comes, or until every run of the command has ended.

    Returns:
        The exit status: `FAILED` when a run failed, or when it could not be ended as asked for.

    Raises:
        UsageProblem, RequestError: the options cannot be used.
        EngineError: the state cannot be used, or a run cannot be started.
    """
    if options.on_exit not in ON_EXIT:
        raise UsageProblem(f"--on-exit {options.on_exit!r}: use one of {', '.join(ON_EXIT)}")
    if project.state == ":memory:":
        raise UsageProblem("a live run has to remember what it holds: name a file with --state")
    if options.read_only:
        raise UsageProblem("a live run writes its state: leave out --read-only")
    if problem := open_log():
        say(f"signaldeck: no log: {problem}")
    stdout = sys.stdout
    # What strategies print belongs to the narration: stdout is this command's events.
    with redirect_stdout(sys.stderr):
        return asyncio.run(_main(project, options, stdout))


async def _main(project: Project, options: LiveOptions, stdout: TextIO) -> int:
    engine = Engine(
        state=project.state,
        config=project.engine,
        cache=project.cache,
        start_clean_if_damaged=options.start_clean_if_damaged,
    )
    try:
        # What was typed is looked at before the state is touched.
        requests = await _checked(engine, equip(engine, project), options)
        await engine.open()
        return await Headless(engine, project.state, options, stdout).run(requests)
    finally:
        await engine.close()


async def _checked(
    engine: Engine, workshop: Workshop, options: LiveOptions
) -> tuple[RunRequest, ...]:
    symbols = dict.fromkeys(options.symbols)
    requests = tuple(
        RunRequest("live", options.strategy, symbol, options.exchange) for symbol in symbols
    )
    problems = [
        problem
        for request in requests
        for problem in await check_request(engine, workshop, request)
    ]
    if problems:
        raise RequestError({problem.message: problem for problem in problems}.values())
    for file in workshop.broken:
        say(f"note: broken strategy file left out: {file.error}")
    return requests


class Headless:
    """The live runs of one process, told on its streams.

    Args:
        engine: open, with everything registered.
        state: the state file, for messages.
        options: the command's.
        stdout: gets the events with ``--json``; None is standard output.
    """

    def __init__(
        self, engine: Engine, state: str, options: LiveOptions, stdout: TextIO | None = None
    ) -> None:
        self._engine = engine
        self._state = state
        self._options = options
        self._asked = asyncio.Event()
        self._asked_again = asyncio.Event()
        self._runs: tuple[Instance, ...] = ()
        self._over = False
        self._told = LineWriter(sys.stderr.fileno())
        self._narrate = self._told.put
        gone = "signaldeck: nobody reads stdout any more; the runs go on"
        self._events = (
            LineWriter((stdout or sys.stdout).fileno(), lambda: self._narrate(gone))
            if options.json
            else None
        )

    async def run(self, requests: Sequence[RunRequest]) -> int:
        """Recover, start, follow, and end as the options say; the exit status."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        try:
            self._listen()
            await self._recover()
            self._runs = tuple([await self._started(request) for request in requests])
            if await self._until_asked():
                return await self._end()
            failed = [instance for instance in self._runs if instance.status == "failed"]
            for instance in failed:
                self._narrate(f"signaldeck: {instance.key} failed: {instance.error}")
            return FAILED if failed else 0
        finally:
            # A listener in a strategy file that never returns must not keep the process.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._engine.bus.flush(), FLUSH_SECONDS)
            self._over = True
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
            if self._events is not None:
                self._events.close(FLUSH_SECONDS)
            self._told.close(FLUSH_SECONDS)

    # -- beginning -----------------------------------------------------------------------------

    def _listen(self) -> None:
        bus = self._engine.bus
        for topic in _EVENTS:
            bus.subscribe(topic, self._tell, transitions_only=topic == "signal_live")
        bus.subscribe("instance", self._tell_status)
        bus.subscribe("data", self._tell_data)

    async def _recover(self) -> None:
        recovered = await self._engine.recover()
        for instance in recovered.instances:
            held = recovered.state.runs[instance.key].held
            flags = f" ({', '.join(instance.flags)})" if instance.flags else ""
            if held is not None or instance.is_running:
                self._narrate(f"restored: {instance.key}{flags}: {_held_text(held)}")
        if recovered.replayed:
            self._narrate(
                f"restored: {recovered.replayed} event(s) of an earlier process are told now"
            )

    async def _started(self, request: RunRequest) -> Instance:
        instance = self._engine.live(
            request.symbol,
            strategy_name=request.strategy_name,
            exchange_name=request.exchange_name,
        )
        if instance.status == "running":
            self._narrate(f"{instance.key}: goes on")
        else:
            said = await self._engine.live_runs.operate(instance, "start", ORIGIN)
            self._narrate(f"{instance.key}: {said}")
        return instance

    async def _until_asked(self) -> bool:
        """Wait; True when a signal came, False when every run has ended by itself."""
        ended = asyncio.gather(*(instance.wait() for instance in self._runs))
        asked = asyncio.ensure_future(self._asked.wait())
        await asyncio.wait((ended, asked), return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, asked):
            task.cancel()
        await asyncio.gather(ended, asked, return_exceptions=True)
        return self._asked.is_set()

    # -- ending --------------------------------------------------------------------------------

    def _on_signal(self) -> None:
        (self._asked_again if self._asked.is_set() else self._asked).set()

    async def _end(self) -> int:
        status = 0
        if self._options.on_exit != "detach":
            status = await self._stopped()
        for instance in self._engine.instances():
            execution = instance.execution
            if instance.is_running and isinstance(execution, LiveExecution) and execution.session:
                held = execution.session.held
                self._narrate(
                    f"detached: {instance.key}: {_held_text(held)}; it is in {self._state}"
                )
        return status

    async def _stopped(self) -> int:
        """Stop the command's runs and wait for their end, or for the second signal."""
        stopping = [instance for instance in self._runs if instance.is_running]
        orders = asyncio.ensure_future(self._order_all(stopping))
        again = asyncio.ensure_future(self._asked_again.wait())
        await asyncio.wait((orders, again), return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if orders.done():
            return orders.result()
        orders.cancel()
        await asyncio.wait((orders,))
        self._narrate("signaldeck: ended by a second signal; what is held was not waited for")
        return FAILED

    async def _order_all(self, instances: Sequence[Instance]) -> int:
        statuses = await asyncio.gather(*map(self._order, instances))
        return max(statuses, default=0)

    async def _order(self, instance: Instance) -> int:
        """Stop a run, close its position if that was asked for, and wait until it has ended."""
        status = 0
        # Stopped first: between a close and a stop it could open another position.
        commands: tuple[Literal["stop", "close"], ...] = ("stop", "close")
        for command in commands[: 2 if self._options.on_exit == "close" else 1]:
            if not instance.is_running:
                break
            try:
                said = await self._engine.live_runs.operate(instance, command, ORIGIN)
            except EngineError as error:
                status = FAILED
                said = f"cannot {command}: {error}"
            self._narrate(f"{instance.key}: {said}")
        if instance.is_running:
            self._narrate(f"{instance.key}: waiting for its end; a second signal detaches")
        await instance.wait()
        return FAILED if instance.status == "failed" else status

    # -- telling -------------------------------------------------------------------------------

    def _tell(self, event: Any) -> None:
        if isinstance(event, Exception):
            error = event if isinstance(event, RunError) else RunError(event, stage="engine")
            event = note_of(error, self._engine.clock.now())
        self._narrate(event_line(event, _LINE))
        if self._events is not None:
            self._events.put(json.dumps(event_json(event)))

    def _tell_status(self, event: InstanceChanged) -> None:
        if not self._over:  # Closing the engine ends sessions, but not what they were about.
            error = f": {event.error}" if event.error else ""
            self._narrate(f"{event.key}: {event.status}{error}")

    def _tell_data(self, event: DataStatus) -> None:
        newest = minute_text(event.newest_close) if event.newest_close else "none yet"
        what = "data is late" if event.stale else "data is back"
        self._narrate(f"{event.exchange_name} {event.symbol}: {what}, newest bar {newest}")


def _held_text(held: Any) -> str:
    if held is None:
        return "flat"
    what = "open" if isinstance(held, OpenPosition) else "waiting"
    return f"{held.row.position} {what} at {price_text(held.row.price_open)}"
