"""The read-only console's host: it follows the state file of a process that trades.

It owns nothing and changes nothing. Everything shown comes from the file, which the owner writes
before it tells anybody, so what is seen here is at most a second older than the owner's own screen.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from console import kept_walkers
from console.about import about
from console.deck import DeckState
from console.distant import DistantRuns
from console.kept_backtests import KIND, recalled
from console.logs import log_place
from console.memory import CLOCK_META, Memory
from console.notices import NOTICE_ACTIONS, Changed, EngineFailed, HostEvent, Notice
from console.settings import Project
from console.views import DeckSnapshot, FieldError, InstanceDetail, Quote, RunRequest
from engine.core.pricing import pnl
from engine.domain.changes import NumberedEvent, RunState
from engine.domain.errors import EngineError, RunStateError, StateError
from engine.domain.settings import Settings
from engine.domain.signals import Closed, Mode, RunKey, SignalRow
from engine.domain.snapshots import Reader, RunSnapshot
from engine.domain.time import MINUTE
from engine.runtime import open_reader

LOOK_SECONDS: Final = 0.5
"""How often the file is looked at; when nothing was written, a look takes microseconds."""

FOLLOWING: Final = "READ-ONLY"
"""What the header says while a process owns the file."""

UNREADABLE: Final = "READ-ONLY, CANNOT READ THE FILE"
"""What it says while the file cannot be read; it is tried again."""

ALONE: Final = "READ-ONLY, NOT RUNNING"
"""What it says when nobody does: what is shown is where it ended."""

HALTED: Final = "halted"
"""What is said of a live run that is to go on when somebody owns the file again."""

_GOING_ON: Final = ("running", "stopping")
_T = TypeVar("_T")
_log = logging.getLogger("signaldeck.follower")


@dataclass(slots=True)
class _Tally:
    """What the trades of a run's present session come to."""

    session: int
    trades: list[Closed]
    since: int = 0


class FollowingHost:
    """Shows a state file; every command is refused.

    Args:
        state: the file.
        badge: what the header always says.
        project: configuration of the owner's project, which says where bars come from.
    """

    read_only = True
    restored = ""

    def __init__(self, state: str | Path, badge: str, project: Project | None = None) -> None:
        self.path: Final = Path(state)
        self.memory = Memory()
        self.about = about(str(self.path.absolute()), project)
        self._distant = DistantRuns(project, lambda: self._newest)
        self._notify: Callable[[HostEvent], None] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="signaldeck-follower", daemon=True)
        self._ready: Future[None] = Future()
        self._closed: Future[None] = Future()
        self._failure = ""
        self._badge = badge
        self._deck = _new_deck(badge)
        self._runs: dict[RunKey, RunSnapshot] = {}
        self._tallies: dict[RunKey, _Tally] = {}
        self._number = 0
        self._finished = 0
        self._listed: set[str] = set()
        self._heard_at = 0.0
        self._newest = 0
        self._simulated: int | None = None
        self._snapshot = self._deck.snapshot(0, time.monotonic())

    # -- the interface's side ------------------------------------------------------------------

    @property
    def snapshot(self) -> DeckSnapshot:
        """The newest frozen view of everything."""
        return self._snapshot

    @property
    def failure(self) -> str:
        """What ended the following, "" while it goes on."""
        return self._failure

    @property
    def live_count(self) -> int:
        """None of the runs is this process's."""
        return 0

    def set_listener(self, notify: Callable[[HostEvent], None] | None) -> None:
        """Call ``notify`` from the follower's thread when something has changed."""
        self._notify = notify

    def start(self) -> None:
        """Open the file; returns when its content is there to be drawn.

        Raises:
            EngineError: there is no such file, or it cannot be read.
        """
        self._thread.start()
        self._ready.result()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the follower's thread; True when it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def begin_shutdown(self, *, drain: bool) -> Future[None]:
        """Stop following; the owner of the file goes on."""
        self._ending.set()
        if self._thread.ident is None and not self._closed.done():
            self._closed.set_result(None)
        waiter: Future[None] = Future()

        def release(_: Future[None]) -> None:
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(None)

        self._closed.add_done_callback(release)
        return waiter

    def start_run(self, request: RunRequest) -> Future[str]:
        """Refused."""
        return self._refused()

    def check(self, request: RunRequest) -> Future[tuple[FieldError, ...]]:
        """Refused."""
        return self._refused()

    def stop_run(self, run_id: str) -> Future[str]:
        """Refused."""
        return self._refused()

    def start_again(self, run_id: str) -> Future[str]:
        """Refused."""
        return self._refused()

    def close_run(self, run_id: str) -> Future[str]:
        """Refused."""
        return self._refused()

    def cancel_run(self, run_id: str) -> Future[str]:
        """Refused."""
        return self._refused()

    def stop_runs(self, run_ids: Sequence[str]) -> Future[str]:
        """Refused."""
        return self._refused()

    def close_runs(self, run_ids: Sequence[str]) -> Future[str]:
        """Refused."""
        return self._refused()

    def quote(self, run_id: str) -> Future[Quote]:
        """Refused."""
        return self._refused()

    def instance_detail(self, run_id: str, interval: str) -> Future[InstanceDetail]:
        """What the file knows of a run, with bars from its exchange."""
        for key, run in tuple(self._runs.items()):
            if str(key) == run_id:
                trades = tuple(self._tallies[key].trades)
                return self._distant.detail(run_id, key, run.instance, trades, interval)
        future: Future[InstanceDetail] = Future()
        future.set_exception(RunStateError(f"run {run_id!r} is not in {self.path.name} any more"))
        return future

    def skip_strategy(self, run_id: str, strategy_name: str) -> Future[str]:
        """Refused."""
        return self._refused()

    def symbols(self, exchange_name: str) -> Future[tuple[str, ...]]:
        """Not known here."""
        future: Future[tuple[str, ...]] = Future()
        future.set_result(())
        return future

    def _refused(self) -> Future[_T]:
        future: Future[_T] = Future()
        future.set_exception(
            RunStateError(
                f"read-only: this console only follows {self.path.name}; act where it runs"
            )
        )
        return future

    # -- the follower's thread -----------------------------------------------------------------

    def _run(self) -> None:
        try:
            with open_reader(self.path) as reader:
                self._begin(reader)
                self._ready.set_result(None)
                self._follow(reader)
            while not self._ending.is_set():
                self._try_again()
        except Exception as error:
            self._failed(error)
        finally:
            self._distant.close()
            self._closed.set_result(None)

    def _follow(self, reader: Reader) -> None:
        """Look again and again, until the end or until the file cannot be read any more."""
        try:
            while not self._ending.wait(LOOK_SECONDS):
                self._look(reader)
        except StateError as error:
            _log.warning("%s", error)

    def _try_again(self) -> None:
        """The file is being replaced, or out of reach for a moment."""
        try:
            with open_reader(self.path) as reader:
                self._begin_anew(reader)
                self._follow(reader)
        except StateError as error:
            _log.warning("%s", error)
        if not self._ending.wait(LOOK_SECONDS):
            self._badge_with(UNREADABLE, self._heard_at)

    def _failed(self, error: Exception) -> None:
        _log.error("following %s failed", self.path, exc_info=error)
        text = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
        self._failure = text
        if not self._ready.done():
            self._ready.set_exception(
                error if isinstance(error, EngineError) else EngineError(text)
            )
        self._tell(EngineFailed(text))

    def _begin(self, reader: Reader) -> None:
        reader.changed()
        state = reader.load()
        for key, run in state.runs.items():
            session = run.instance.session if run.instance is not None else 0
            self._tallies[key] = _Tally(session, [*run.trades])
        for entry in state.recent:
            self._hear(entry)
        for entry in state.quarantined:
            _log.warning("%s: a row cannot be read: %s", entry.table, entry.error)
        self._show(reader)

    def _begin_anew(self, reader: Reader) -> None:
        self._deck = _new_deck(self._badge)
        self._runs, self._tallies, self._listed = {}, {}, set()
        self._number = self._finished = 0
        self._begin(reader)

    def _look(self, reader: Reader) -> None:
        if reader.changed():
            self._show(reader)
        else:
            self._publish(reader)

    def _show(self, reader: Reader) -> None:
        """Show what the file holds now: which sessions there are, what happened, where they stand.

        In this order, because a trade belongs to the session that its run is in.
        """
        entries = reader.events(self._number)
        found = reader.snapshot(journal=1, commands=0)
        kept = found.meta.get(CLOCK_META, "")
        self._simulated = int(kept) if kept.isdecimal() else None
        runs = [run for run in found.runs if run.key.mode is Mode.LIVE]
        if found.last_number < self._number or not {run.key for run in runs} >= set(self._runs):
            self._begin_anew(reader)  # another file has taken its place
            return
        runs.sort(key=lambda run: run.instance.started_at if run.instance else 0)
        for run in runs:
            session = run.instance.session if run.instance is not None else 0
            tally = self._tallies.get(run.key)
            if tally is None or tally.session != session:
                begun = run.instance.started_at if run.instance is not None else 0
                self._tallies[run.key] = _Tally(session, [], begun // MINUTE * MINUTE)
        notices = [self._hear(entry, count=True) for entry in entries]
        traded = {entry.key for entry in entries if isinstance(entry.event, Closed)}
        for run in runs:
            if run != self._runs.get(run.key) or run.key in traded:
                self._show_run(run)
                self._runs[run.key] = run
        if found.counts["finished"] != self._finished:
            self._finished = found.counts["finished"]
            self._show_finished(reader)
        self._heard_at = time.monotonic()
        self._publish(reader)
        for notice in notices:
            if notice is not None:
                self._tell(notice)

    def _hear(self, entry: NumberedEvent, *, count: bool = False) -> Notice | None:
        self._number = max(self._number, entry.number)
        if entry.key.mode is not Mode.LIVE:
            return None
        tally = self._tallies.get(entry.key)
        trade = entry.event if count and isinstance(entry.event, Closed) else None
        # One that a session before this one opened and closed is not this one's.
        if trade and tally is not None and trade.signal.scheduled_at >= tally.since:
            tally.trades.append(trade)
        line = self._deck.recall(entry.event)
        return Notice(line) if line is not None and line.action in NOTICE_ACTIONS else None

    def _show_run(self, run: RunSnapshot) -> None:
        status = run.instance.status if run.instance is not None else "running"
        trades = tuple(self._tallies[run.key].trades)
        left = RunState(held=run.held, instance=run.instance, trades=trades)
        self._deck.restore(str(run.key), run.key, status, left, run.telemetry)

    def _show_finished(self, reader: Reader) -> None:
        for saved in reader.finished():
            if saved.run_id in self._listed:
                continue
            self._listed.add(saved.run_id)
            try:
                if saved.kind == KIND:
                    self._deck.put_backtest(recalled(saved, (saved.when, saved.when))[1])
                elif saved.kind == kept_walkers.KIND:
                    self._deck.put_walker(kept_walkers.recalled(saved)[1])
            except EngineError as error:
                _log.warning("%s", error)

    def _publish(self, reader: Reader) -> None:
        owner = reader.owner()
        alive = owner is not None and owner.alive
        silence = 0.0 if alive else _seconds_since_written(self.path)
        self._newest = self._owners_time(silence)
        for key, run in self._runs.items():
            goes_on = run.instance is None or run.instance.status in _GOING_ON
            self._deck.flag(key, HALTED, goes_on and not alive)
        self._badge_with(FOLLOWING if alive else ALONE, time.monotonic() - silence)

    def _owners_time(self, silence: float) -> int:
        """The time of the owner when it was heard last; a simulated one is in the file."""
        if self._simulated is None:
            return int((time.time() - silence) * 1000)
        beats = [run.telemetry.heartbeat for run in self._runs.values() if run.telemetry]
        return max([self._simulated, *beats])

    def _badge_with(self, words: str, heartbeat: float) -> None:
        shot = self._deck.snapshot(self._newest, heartbeat)
        badge = f"{words}  {self._badge}"
        self._snapshot = replace(shot, header=replace(shot.header, badge=badge))
        self._tell(Changed(self._snapshot.versions))

    def _tell(self, event: HostEvent) -> None:
        notify = self._notify
        if notify is not None:
            try:
                notify(event)
            except Exception:
                _log.exception("the interface's listener failed")


def _new_deck(badge: str) -> DeckState:
    deck = DeckState(badge=badge, profit=_profit)
    # Lines of a log are in no state file; where they are can be told.
    deck.put_log((), 0, log_place())
    return deck


def _seconds_since_written(path: Path) -> float:
    """Seconds since a state file was written; its newest rows may be in the log beside it.

    An empty log is not by its owner: SQLite makes one for whoever reads.
    """
    stamps: list[float] = []
    for file in (path, path.with_name(f"{path.name}-wal")):
        with suppress(OSError):
            found = file.stat()
            if found.st_size:
                stamps.append(found.st_mtime)
    return max(0.0, time.time() - max(stamps, default=0.0))


def _profit(row: SignalRow, price: float) -> float:
    return pnl(row.position, row.price_open, price, Settings()).pnl_percentage
