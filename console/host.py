"""The engine's own thread: commands go down as coroutines, frozen snapshots come up.

Interface and engine share one process and nothing else: neither a slow repaint nor a blocking
strategy can freeze the other. Everything in `EngineHost` that is not a public method runs on the
engine's loop.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from console.about import about
from console.catalog import catalog_of, complete_catalog, symbols_of
from console.deck import DeckState
from console.discovery import Workshop, equip
from console.inspection import inspect, profiles_of
from console.live_desk import LiveDesk
from console.logs import LogBuffer, log_place, note_entry
from console.memory import CLOCK_META, Memory
from console.notices import NOTICE_ACTIONS, Changed, EngineFailed, HostEvent, Notice
from console.run_requests import RequestError, check_request
from console.settings import Project
from console.views import (
    Catalog,
    DeckSnapshot,
    FeedEntry,
    FieldError,
    InstanceDetail,
    Quote,
    RunRequest,
)
from console.vitals import watch
from console.workbench import KINDS, Workbench
from engine import Engine
from engine.core.pricing import pnl
from engine.domain.changes import MetaSaved
from engine.domain.errors import EngineError, RunError, RunStateError
from engine.domain.ports import Clock

BEAT_SECONDS = 0.25
"""Least time between two snapshots: at most 4 a second.

Each has all that moves drawn again, 20 ms of a core on a wall monitor, and no eye reads faster.
"""

HEARTBEAT_SECONDS = 1.0
"""Most time between two snapshots: the header shows that the engine is alive."""

NOTICES_PER_BEAT = 20
"""Notices handed on with one snapshot; a flood is in the feed anyway."""

FLUSH_SECONDS = 2.0
"""How long listeners may take over the last events of a drain."""

SWITCH_INTERVAL = 0.0005
"""Seconds a thread may keep the interpreter: short, so that a busy engine leaves keys alone."""

BADGE = "SIGNALS ONLY - no orders are sent"
"""What the header says outside of the demo."""

CLOCK_SECONDS = 5.0
"""How often a simulated clock's time is kept; what runs have settled moves it on as well."""

T = TypeVar("T")
# Not "validation": whatever a risk rule raises is its refusal, and comes as "risk" too.
_TOPICS = (
    "signal_live", "instance", "risk", "data", "exchange", "error", "exit", "partial_profit",
    "partial_loss", "performance",
)  # fmt: skip
_log = logging.getLogger("signaldeck.host")


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What to open and what to start.

    Attributes:
        project: configuration: settings, exchanges, strategies.
        state: state file, or ``:memory:``.
        start_clean_if_damaged: the operator's consent to set a damaged state file aside.
        badge: what the header always says.
        make_clock: called on the engine's thread; None takes the wall clock.
        keeps_clock: the clock is a simulated one: its time is kept in the state file.
        meta: named values for the state file.
        live: live runs started with the engine, unless the state holds some.
        max_workers: worker processes for backtests; None lets the pool choose.
    """

    project: Project
    state: str = ":memory:"
    badge: str = BADGE
    start_clean_if_damaged: bool = False
    make_clock: Callable[[], Clock] | None = None
    keeps_clock: bool = False
    meta: tuple[tuple[str, str], ...] = ()
    live: tuple[RunRequest, ...] = ()
    max_workers: int | None = None


class EngineHost:
    """An engine in a thread of its own; see `HostPlan` for what it opens.

    Every command answers a `concurrent.futures.Future` that fails with an `EngineError` whose text
    is made for the operator.
    """

    def __init__(self, plan: HostPlan) -> None:
        self._plan = plan
        self.memory = Memory()
        self.about = about(plan.state, plan.project)
        self._notify: Callable[[HostEvent], None] | None = None
        self._thread = threading.Thread(target=self._run, name="signaldeck-engine", daemon=True)
        self._ready: Future[None] = Future()
        self._closed: Future[None] = Future()
        self._closing = False
        self._failure = ""
        self._notices: deque[FeedEntry] = deque(maxlen=NOTICES_PER_BEAT)
        self._deck = DeckState(badge=plan.badge)
        self._log = LogBuffer()
        self._log_file = log_place()
        self._snapshot = self._deck.snapshot(0, time.monotonic())
        # Made on the engine's loop, before `_ready` is set.
        self._loop: asyncio.AbstractEventLoop
        self._engine: Engine
        self._workshop: Workshop
        self._desk: Workbench
        self._live: LiveDesk
        self._restored = ""
        self._dirty: asyncio.Event
        self._end: asyncio.Event

    # -- the interface's side ------------------------------------------------------------------

    @property
    def snapshot(self) -> DeckSnapshot:
        """The newest frozen view of everything."""
        return self._snapshot

    @property
    def failure(self) -> str:
        """What ended the engine's thread, "" while it is healthy."""
        return self._failure

    @property
    def read_only(self) -> bool:
        """It commands its engine."""
        return False

    @property
    def restored(self) -> str:
        """What start-up brought back, one line; "" when there was nothing."""
        return self._restored

    @property
    def live_count(self) -> int:
        """Live runs that are running or draining."""
        return self._snapshot.header.running

    @property
    def backtest_count(self) -> int:
        """Backtests that are queued or running."""
        ended = ("done", "stopped", "failed")
        return sum(view.status not in ended for view in self._snapshot.backtests)

    def set_listener(self, notify: Callable[[HostEvent], None] | None) -> None:
        """Call ``notify`` from the engine's thread, at most `1 / BEAT_SECONDS` times a second."""
        self._notify = notify

    def start(self) -> None:
        """Open the engine; returns when strategies are loaded and the planned runs started.

        Raises:
            EngineError: the engine could not be opened.
        """
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._log.open()
        self._thread.start()
        self._ready.result()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the engine's thread; True when it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def start_run(self, request: RunRequest) -> Future[str]:
        """Start a live run, a backtest or a walker and answer its run id."""
        return self._command(lambda: self._start_run(request))

    def check(self, request: RunRequest) -> Future[tuple[FieldError, ...]]:
        """What keeps a request from being started; () when nothing does."""
        return self._command(lambda: check_request(self._engine, self._workshop, request))

    def stop_run(self, run_id: str) -> Future[str]:
        """Stop a run gracefully; answers a sentence that says what happens now."""
        return self._command(lambda: self._stop_run(run_id))

    def start_again(self, run_id: str) -> Future[str]:
        """Start a live run again, or the same backtest or walker as a new one; says so."""
        return self._command(lambda: self._start_again(run_id))

    def close_run(self, run_id: str) -> Future[str]:
        """Close a live run's position at market now; answers a sentence."""
        return self._command(lambda: self._live.command(run_id, "close"))

    def cancel_run(self, run_id: str) -> Future[str]:
        """Cancel a live run's scheduled signal; answers a sentence."""
        return self._command(lambda: self._live.command(run_id, "cancel"))

    def stop_runs(self, run_ids: Sequence[str]) -> Future[str]:
        """Stop several live runs gracefully; answers a sentence."""
        return self._command(lambda: self._live.commands(run_ids, "stop"))

    def close_runs(self, run_ids: Sequence[str]) -> Future[str]:
        """Close several live runs' positions at market now; answers a sentence."""
        return self._command(lambda: self._live.commands(run_ids, "close"))

    def quote(self, run_id: str) -> Future[Quote]:
        """The price that closing a live run's position now would book."""
        return self._command(lambda: self._live.quote(run_id))

    def instance_detail(self, run_id: str, interval: str) -> Future[InstanceDetail]:
        """What there is to know of one live run, with bars of that interval."""
        return self._command(lambda: self._inspect(run_id, interval))

    def skip_strategy(self, run_id: str, strategy_name: str) -> Future[str]:
        """Leave one strategy of a walker out; the others go on."""
        return self._command(lambda: self._at_desk(lambda d: d.skip(run_id, strategy_name)))

    def symbols(self, exchange_name: str) -> Future[tuple[str, ...]]:
        """Symbols of an exchange; () when it cannot tell."""
        return self._command(lambda: symbols_of(self._engine, self._workshop, exchange_name))

    def begin_shutdown(self, *, drain: bool) -> Future[None]:
        """Refuse commands from now on and close the engine.

        Args:
            drain: stop live runs and wait until their positions have closed; a second call without
                it cuts that short.

        Returns:
            A future that is done when the engine is closed.
        """
        self._closing = True
        if self._thread.ident is None:
            if not self._closed.done():
                self._closed.set_result(None)
        elif self._ready.done() and not self._ready.exception():
            # A loop that has ended meanwhile has nothing left to close.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._begin_end, drain)
        # One future each: a caller that stops waiting cancels its own and nobody else's.
        waiter: Future[None] = Future()
        self._closed.add_done_callback(lambda _: _release(waiter))
        return waiter

    def _command(self, make: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        refusal = ""
        if self._failure:
            refusal = f"the engine has failed: {self._failure}"
        elif self._closing or not self._thread.is_alive():
            refusal = "signaldeck is quitting: no command is taken any more"
        if not refusal:
            coroutine = make()
            try:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            except RuntimeError:
                coroutine.close()
                refusal = "the engine has ended: no command is taken any more"
        refused: Future[T] = Future()
        refused.set_exception(RunStateError(refusal))
        return refused

    # -- the engine's side ---------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._failed(error)
        finally:
            self._log.close()
            self._closed.set_result(None)

    def _failed(self, error: BaseException) -> None:
        _log.error("the engine's thread failed", exc_info=error)
        text = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
        self._failure = text
        if not self._ready.done():
            wrapped = error if isinstance(error, EngineError) else EngineError(text)
            self._ready.set_exception(wrapped)
        self._tell(EngineFailed(text))

    async def _main(self) -> None:
        plan = self._plan
        self._loop = asyncio.get_running_loop()
        self._dirty, self._end = asyncio.Event(), asyncio.Event()
        engine = Engine(
            state=plan.state,
            config=plan.project.engine,
            clock=plan.make_clock() if plan.make_clock else None,
            cache=plan.project.cache or None,
            start_clean_if_damaged=plan.start_clean_if_damaged,
        )
        async with engine:
            self._engine = engine
            self._workshop = equip(engine, plan.project)
            self._prepare_deck(engine)
            self._desk = Workbench(
                engine, self._workshop, self._deck, self._dirty.set, plan.max_workers
            )
            self._live = LiveDesk(engine, self._deck, self._publish)
            catalog = catalog_of(engine, self._workshop)
            self._put_catalog(catalog)
            background = [
                asyncio.create_task(self._beat(), name="beat"),
                asyncio.create_task(watch(self._deck, engine.bus, engine.store), name="vitals"),
                asyncio.create_task(
                    complete_catalog(catalog, engine, self._workshop, self._put_catalog),
                    name="symbols",
                ),
            ]
            try:
                await self._begin(background)
                self._ready.set_result(None)
                await self._end.wait()
            finally:
                for task in background:
                    task.cancel()
                await self._desk.close()
                await self.memory.flush(engine.store.commit)
                with suppress(EngineError):
                    await self._keep_clock()
        self._publish()

    async def _begin(self, background: list[asyncio.Task[None]]) -> None:
        """Restore what ran, or start what the plan says."""
        restored = await self._live.restore()
        if restored.sentence:
            _log.info("%s", restored.sentence)
        self._restored = restored.sentence
        self.memory.restore(restored.meta)
        keeping = self.memory.keep(self._engine.store.commit)
        background.append(asyncio.create_task(keeping, name="memory"))
        background.append(
            asyncio.create_task(self._desk.recall(restored.finished), name="finished runs")
        )
        if self._plan.meta:
            await self._engine.store.commit([MetaSaved(*item) for item in self._plan.meta])
        if not restored.runs:
            for request in self._plan.live:
                await self._start_run(request)
        if self._plan.keeps_clock:
            await self._keep_clock()
            background.append(asyncio.create_task(self._keep_clock_going(), name="clock"))
        self._publish()

    async def _keep_clock(self) -> None:
        if self._plan.keeps_clock:
            now = str(self._engine.clock.now())
            await self._engine.store.commit([MetaSaved(CLOCK_META, now)])

    async def _keep_clock_going(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            with suppress(EngineError):
                await self._keep_clock()

    def _prepare_deck(self, engine: Engine) -> None:
        settings = engine.settings
        self._deck = DeckState(
            badge=self._plan.badge,
            speed=engine.clock.speed,
            schedule_minutes=settings.schedule_await_minutes,
            profit=lambda row, price: (
                pnl(row.position, row.price_open, price, settings).pnl_percentage
            ),
        )
        self._deck.put_profiles(profiles_of(engine))
        for topic in _TOPICS:
            engine.bus.subscribe(topic, self._on_event)

    def _put_catalog(self, catalog: Catalog) -> None:
        self._deck.put_catalog(catalog)
        self._dirty.set()

    def _on_event(self, event: object) -> None:
        if isinstance(event, Exception) and not isinstance(event, RunError):
            event = RunError(event, stage="engine")
        entry = self._deck.apply(event)
        if entry is not None:
            note_entry(entry)
            if entry.action in NOTICE_ACTIONS:
                self._notices.append(entry)
        self._dirty.set()

    async def _beat(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._dirty.wait(), HEARTBEAT_SECONDS)
            self._dirty.clear()
            try:
                self._publish()
            except Exception:
                # Runs go on without being drawn; the header shows a late heartbeat meanwhile.
                _log.exception("no snapshot could be made")
            await asyncio.sleep(BEAT_SECONDS)

    def _publish(self) -> None:
        self._live.flag_words()
        self._deck.put_log(self._log.lines(), self._log.total, self._log_file)
        self._snapshot = self._deck.snapshot(self._engine.clock.now(), time.monotonic())
        self._tell(Changed(self._snapshot.versions))
        while self._notices:
            self._tell(Notice(self._notices.popleft()))

    def _tell(self, event: HostEvent) -> None:
        notify = self._notify
        if notify is not None:
            try:
                notify(event)
            except Exception:
                _log.exception("the interface's listener failed")

    # -- commands, on the engine's loop ----------------------------------------------------------

    async def _start_run(self, request: RunRequest) -> str:
        problems = await check_request(self._engine, self._workshop, request)
        if problems:
            raise RequestError(problems)
        if request.kind in KINDS:
            run_id = self._desk.start(request)
            self._publish()
            return run_id
        return await self._live.start(request)

    async def _inspect(self, run_id: str, interval: str) -> InstanceDetail:
        instance = self._live.instance(run_id)
        return await inspect(self._engine, instance, interval, self._deck.failure(instance.key))

    async def _at_desk(self, act: Callable[[Workbench], str]) -> str:
        said = act(self._desk)
        self._publish()
        return said

    async def _stop_run(self, run_id: str) -> str:
        if self._desk.knows(run_id):
            return await self._at_desk(lambda desk: desk.stop(run_id))
        return await self._live.command(run_id, "stop")

    async def _start_again(self, run_id: str) -> str:
        if self._desk.knows(run_id):
            return f"{await self._start_run(self._desk.request_of(run_id))} is started"
        return await self._live.command(run_id, "start")

    # -- the end -----------------------------------------------------------------------------------

    def _begin_end(self, drain: bool) -> None:
        if not drain:
            self._end.set()
        elif not any(task.get_name() == "drain" for task in asyncio.all_tasks()):
            self._loop.create_task(self._drain(), name="drain")

    async def _drain(self) -> None:
        running = self._live.running()
        for instance in running:
            if instance.status == "running":
                try:
                    await self._live.command(instance.id, "stop")
                except EngineError as error:
                    _log.warning("%s: %s", instance.key, error)
                    instance.stop()
        await asyncio.gather(*(instance.wait() for instance in running), return_exceptions=True)
        # The last closes are still on their way to the snapshot; a stuck listener must not hold up.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._engine.bus.flush(), FLUSH_SECONDS)
        self._end.set()


def _release(waiter: Future[None]) -> None:
    if waiter.set_running_or_notify_cancel():
        waiter.set_result(None)
