"""A live run: the clock's minutes drive the session, and missed bars are settled first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal
from uuid import uuid4

from engine.core.lifecycle import BarClose
from engine.core.pricing import pnl
from engine.core.validation import Prices
from engine.domain.bars import interval_ms
from engine.domain.changes import (
    Change,
    InstanceRecord,
    InstanceSaved,
    Released,
    Reserved,
    RunState,
    Settled,
    Telemetry,
)
from engine.domain.errors import ExchangeError, RunError, RunStateError, StateError
from engine.domain.events import DataStatus
from engine.domain.ports import Clock, Store
from engine.domain.schemas import StrategySchema
from engine.domain.settings import Settings
from engine.domain.signals import (
    CancelReason,
    CloseReason,
    OpenPosition,
    RunKey,
    ScheduledSignal,
)
from engine.domain.time import MINUTE
from engine.runs.error_notes import StoreTrouble
from engine.runs.session import Session, Sink
from engine.services.bus import Bus
from engine.services.journal import RunJournal
from engine.services.market import Market
from engine.services.risk import RiskGate
from engine.services.series import BarSeries

_SETTLED_EVERY: Final = 30 * MINUTE
"""While something is held, how far it was watched is kept this often: a process that takes over
loads bars from there on, and settling some of them again changes nothing."""

_log = logging.getLogger("signaldeck.live")


def every_minute(when: int) -> bool:
    """The live frame: every whole minute is an instant."""
    return True


class LiveExecution:
    """One live session from start to its end.

    Args:
        key: identity of the run.
        strategy: what is asked for signals.
        settings: the settings it runs with.
        market: bars of its exchange, shared with the exchange's other live runs.
        journal: where everything that happens is noted for reports.
        risk: the gate shared by all live runs.
        bus: where events go.
        clock: what ``now`` is.
        store: makes transitions durable.
        trouble: which failures of the store are news, for all runs that share it.
        record: how the run is kept in the store; its status is kept up to date.
        instants: which whole minutes are decision instants.
        resumed: what an earlier process left behind; None starts flat and now.
        seen_until: the last minute at which that process was there, ms UTC; None if unknown.

    Attributes:
        stale: the newest bar is late.
        filled: minutes without a bar that were settled at the price before them.
        last_price: market price at the newest bar, None before the first.
        missed_decisions: minutes at which nothing was decided because a tick took too long, or
            because no process was there.
    """

    def __init__(
        self,
        *,
        key: RunKey,
        strategy: StrategySchema,
        settings: Settings,
        market: Market,
        journal: RunJournal,
        risk: RiskGate,
        bus: Bus,
        clock: Clock,
        store: Store,
        trouble: StoreTrouble,
        record: InstanceRecord,
        instants: Callable[[int], bool] = every_minute,
        resumed: RunState | None = None,
        seen_until: int | None = None,
    ) -> None:
        self.key = key
        self.settings = settings
        self.market = market
        self.journal = journal
        self.session: Session | None = None
        self.stopped = False
        self.stale = False
        self.filled = 0
        self.last_price: float | None = None
        self.missed_decisions = 0
        self.settled_until: int | None = None
        self.record = record
        self._resumed = resumed
        self._is_told = resumed is None or resumed.held is None
        self._seen_until = seen_until
        self._saved = resumed is not None
        self._moved: tuple[Change, ...] = ()
        self._commands: list[tuple[str, asyncio.Future[str]]] = []
        self._nap: asyncio.Task[None] | None = None
        self._alarm: asyncio.Future[None] | None = None
        self._woken = False
        self._obeyed_at: int | None = None
        self._ending = False
        self._strategy = strategy
        self._risk = risk
        self._bus = bus
        self._clock = clock
        self._store = store
        self._trouble = trouble
        self._instants = instants
        self._gap = interval_ms(strategy.interval)
        self._at_vwap = settings.fill_price == "vwap"
        self._kept_until = 0

    def stop(self) -> None:
        """No new signals; a scheduled one is cancelled, an open position is watched to its end."""
        self.stopped = True
        self._note("stopping")

    def resume(self) -> bool:
        """Take a stop back; False when the run is ending already."""
        if self._ending:
            return False
        self.stopped = False
        self._note("running")
        return True

    def operate(self, command: Literal["close", "cancel"]) -> asyncio.Future[str]:
        """Close the position, or cancel the scheduled signal, at an extra instant right away.

        The extra instant is settled first and nothing is decided at it.

        Returns:
            A future of one sentence that says what happened.
        """
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._commands.append((command, future))
        self._wake()
        return future

    def left_behind(self) -> RunState | None:
        """What a session that was cancelled still holds; None when it holds nothing."""
        session = self.session
        if session is None or session.held is None:
            return None
        return RunState(
            held=session.held,
            last_attempt=session.last_attempt,
            settled_until=self.settled_until,
            instance=self.record,
        )

    async def run(self, sink: Sink | None) -> None:
        """Tick every minute until stopped and flat."""
        session = Session(
            key=self.key, strategy=self._strategy, settings=self.settings, market=self.market,
            journal=self.journal, risk=self._risk, bus=self._bus, next_id=_uuid4,
            store=self._store, sink=sink, stopped=lambda: self.stopped,
        )  # fmt: skip
        self.session = session
        self.journal.ended_at = None
        try:
            await self._loop(session)
        finally:
            self._ending = True
            self.journal.ended_at = self._clock.now() // MINUTE * MINUTE
            for _, future in self._take_commands():
                future.set_result("nothing done: the run has ended")

    async def _loop(self, session: Session) -> None:
        with self._clock.working():
            when = self._clock.now() // MINUTE * MINUTE
            self.settled_until = when
            if self._resumed is not None:
                self._restore(session, self._resumed, when)
                self._resumed = None  # the journal has its trades, in fewer bytes
            last = when - MINUTE
            while True:
                await self._instant(session, when, extra=when == last)
                if self.stopped and session.held is None:
                    self._ending = True
                    break
                last = when
                if await self._sleep(when + MINUTE):
                    when = max(when, self._clock.now() // MINUTE * MINUTE)
                    continue
                # A tick that took longer than a minute goes on at the present one: its bars are
                # settled, the decisions in between are counted as missed.
                when = max(when + MINUTE, self._clock.now() // MINUTE * MINUTE)
                self.missed_decisions += (when - last) // MINUTE - 1
            await self._finish(session)

    async def tick(self, session: Session, when: int, *, extra: bool = False) -> None:
        """Settle every bar that closed up to ``when``, obey the operator, then decide.

        At an ``extra`` instant, which is in the middle of a minute, no bar is waited for and
        nothing is decided.
        """
        if not self._saved:
            record = self.record
            await self._store.commit([InstanceSaved(self.key, record), *self._moved])
            self._moved = ()
            self._saved = self.record is record  # a stop may have come meanwhile
        if not extra and not await self._arrival(session, when):
            return
        series = self.market.known(self.key.symbol)
        newest = 0 if series is None else await self._settle(session, series, when)
        if series is None or not newest:
            await self._obey(session, when, None)
            return
        bar = series.bar(newest - 1, market_is_vwap=self._at_vwap)
        is_real = bool(series.real[newest - 1])
        self.last_price = bar.market
        if await self._obey(session, when, bar._replace(at=when)) or extra:
            if self.stopped:
                await session.cancel_now(bar._replace(at=when), CancelReason.STOPPED)
            return
        if self.stopped:
            await session.cancel_now(bar, CancelReason.STOPPED)
            return
        if bar.at != when or self._obeyed_at == when or session.held is not None:
            return
        if self.stale:
            self.missed_decisions += 1  # the bar came when its minute was over
            return
        last = session.last_attempt
        due = last is None or when - last >= self._gap
        usable = due and self._instants(when) and is_real
        if usable and not session.source.stuck:
            await session.attempt(when, Prices(bar.market, bar.vwap))
            if self.stopped:
                await session.cancel_now(bar, CancelReason.STOPPED)
        else:
            await session.idle(when, bar.market)

    async def _arrival(self, session: Session, when: int) -> bool:
        """Wait for the bar closing at ``when``; operators are obeyed meanwhile.

        A failure is reported here: what had arrived before is settled all the same.

        Returns:
            False when the run is over.
        """
        loop = asyncio.get_running_loop()
        while not (self.stopped and session.held is None):
            alarm = self._alarm = loop.create_future()
            if self._woken:
                alarm.set_result(None)
            try:
                arrived = await self.market.feed.advance(
                    self.key.symbol, when, self.settled_until, alarm
                )
            except Exception as error:
                self._note_staleness(False, when)
                self._report_silence(session, error, when)
                return True
            finally:
                self._alarm = None
            if arrived is not None:
                self._note_staleness(arrived, when)
                return True
            self._woken = False
            now = self._clock.now() // MINUTE * MINUTE
            await self._instant(session, max(when, now), extra=True)
        return False

    def _report_silence(self, session: Session, error: Exception, when: int) -> None:
        """The exchange failed: one event, however many runs have waited for the same bar."""
        told = ExchangeError(
            f"{error}; the next tick asks again and settles every bar that was missed"
        )
        told.__cause__ = error
        key = self.key
        event = RunError(
            told, stage="exchange", mode=key.mode, symbol=key.symbol, when=when,
            exchange_name=key.exchange_name,
        )  # fmt: skip
        session.tell(event, publish=self.market.feed.is_news(key.symbol, error))

    async def _instant(self, session: Session, when: int, *, extra: bool) -> None:
        started = time.monotonic()
        try:
            await self.tick(session, when, extra=extra)
        except Exception as error:
            is_news = not isinstance(error, StateError) or self._trouble.is_news(error, when)
            session.report(error, "tick", when, is_news)
            for _, future in self._take_commands():
                future.set_exception(error)
        await self._record(session, when)
        self._measure(started)

    async def _record(self, session: Session, when: int) -> None:
        """Keep what no transition carries: errors, where the run stands, how far it has settled."""
        assert session.notes is not None
        held, until = session.held, self.settled_until
        more: list[Change] = []
        if held is not None and until is not None and until - self._kept_until >= _SETTLED_EVERY:
            more.append(Settled(self.key, until))
        if await session.notes.keep(self._store, more) and more and until is not None:
            self._kept_until = until
        price, profit = self.last_price, None
        if price is not None and isinstance(held, OpenPosition):
            row = held.row
            profit = pnl(row.position, row.price_open, price, self.settings).pnl_percentage
        self._store.telemetry([Telemetry(self.key, when, price, profit, self._clock.now())])

    async def _settle(self, session: Session, series: BarSeries, when: int) -> int:
        """Feed what closed since the last settled instant; how many bars have closed by now."""
        assert self.settled_until is not None
        seen = series.closed(self.settled_until)
        known = series.size > 0 and (seen > 0 or series.at_start)
        if known and not self._is_told and session.held is not None:
            # At the last instant that was settled: what is settled next comes after it.
            market = series.bar(max(seen - 1, 0), market_is_vwap=self._at_vwap).market
            self._is_told = True
            await session.restored(session.held.row, self.settled_until, market)
        # Counted anew for every bar: while one is settled, other runs may drop old bars.
        while (index := series.closed(self.settled_until)) < series.closed(when):
            if self.settled_until < series.first and not series.at_start:
                return 0  # dropped meanwhile: the next tick has them loaded again
            bar, is_real = series.bar(index, market_is_vwap=self._at_vwap), series.real[index]
            await session.settle(bar)
            self.settled_until = bar.at
            self.filled += not is_real
        return series.closed(when)

    async def _obey(self, session: Session, when: int, bar: BarClose | None) -> bool:
        """Carry out the operator's commands at ``when``; whether there were any.

        Args:
            session: the session.
            when: the instant, ms UTC.
            bar: the newest one, whose price is booked; None while none was ever seen.
        """
        commands = self._take_commands()
        for command, future in commands:
            self._obeyed_at = when
            try:
                result = await self._obeyed(session, command, bar)
            except Exception as error:
                if not isinstance(error, RunStateError):
                    session.report(error, "tick", when)
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():  # who asked may have stopped waiting
                    future.set_result(result)
        return bool(commands)

    async def _obeyed(self, session: Session, command: str, bar: BarClose | None) -> str:
        held = session.held
        wanted = OpenPosition if command == "close" else ScheduledSignal
        if not isinstance(held, wanted):
            what = "no position is open" if command == "close" else "nothing is scheduled"
            return f"nothing done: {what}"
        if bar is None:
            raise RunStateError(
                f"{self.key}: no candle has been seen since the start, so there is no price to "
                f"{command} at: try again when the exchange answers"
            )
        if command == "close":
            await session.close_now(bar, CloseReason.OPERATOR)
            return f"closed at {bar.market:g}"
        await session.cancel_now(bar, CancelReason.OPERATOR)
        return f"cancelled with the market at {bar.market:g}"

    def _take_commands(self) -> list[tuple[str, asyncio.Future[str]]]:
        commands, self._commands = self._commands, []
        return [(command, future) for command, future in commands if not future.done()]

    def _restore(self, session: Session, left: RunState, when: int) -> None:
        session.held, session.last_attempt = left.held, left.last_attempt
        began = self.record.started_at // MINUTE * MINUTE
        if left.last_attempt is not None and left.last_attempt < began:
            session.last_attempt = None  # the session before made it; a new one asks at once
        self._obeyed_at = _operated_at(left)
        if left.held is not None:
            row = left.held.row
            began = row.scheduled_at if row.is_scheduled else row.pending_at
            # Settling bars again changes nothing; leaving one out could miss an exit.
            # What is kept may be where a session before this one ended, weeks ago.
            self.settled_until = max(began, left.settled_until or 0)
            self._kept_until = self.settled_until
        self._move_slots(left)
        if self._seen_until is not None and not self.stopped:
            self.missed_decisions = max(0, (when - self._seen_until) // MINUTE - 1)

    def _move_slots(self, left: RunState) -> None:
        """Hold the slots of the profiles that the strategy names now, and no others."""
        before, present = self.record.risk_names, self._strategy.risk_names
        if before == present:
            return
        self.record = replace(self.record, risk_names=present)
        self._saved = False
        if isinstance(held := left.held, OpenPosition):
            self._moved = (
                *(Released(name, self.key) for name in before if name not in present),
                *(Reserved(name, self.key, held) for name in present if name not in before),
            )

    async def _finish(self, session: Session) -> None:
        self.record = replace(self.record, status="done")
        ended = Settled(self.key, self._clock.now() // MINUTE * MINUTE)
        while True:
            try:
                await self._store.commit([InstanceSaved(self.key, self.record), ended])
                return
            except Exception as error:
                session.report(error, "tick", None)
                await self._clock.sleep_until(self._clock.now() + MINUTE)

    def _note(self, status: str) -> None:
        if self.record.status != status:
            self.record = replace(self.record, status=status)
            self._saved = False
        self._wake()

    async def _sleep(self, until: int) -> bool:
        """Sleep until an instant; True when woken earlier."""
        if not self._woken:
            self._nap = asyncio.get_running_loop().create_task(self._clock.sleep_until(until))
            try:
                with self._clock.waiting():
                    await self._nap
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not self._woken or (task is not None and task.cancelling()):
                    raise
            finally:
                self._nap.cancel()
                self._nap = None
        woken, self._woken = self._woken, False
        return woken

    def _wake(self) -> None:
        self._woken = True
        if self._nap is not None:
            self._nap.cancel()
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)

    def _note_staleness(self, arrived: bool, when: int) -> None:
        self.stale = not arrived
        key = self.key
        if self.market.feed.note(key.symbol, when, stale=self.stale):
            newest = self.market.newest_close(key.symbol)
            self._bus.publish(
                "data", DataStatus(key.exchange_name, key.symbol, self.stale, newest, when)
            )

    def _measure(self, started: float) -> None:
        timings = self.journal.timings
        timings.note("live_tick", started)
        if self._bus.wants("performance"):
            timings.drain(lambda event: self._bus.publish("performance", event))


def _operated_at(left: RunState) -> int | None:
    """The last instant at which an operator ended something: nothing is decided at it."""
    closed = (t.close_timestamp for t in left.trades if t.close_reason is CloseReason.OPERATOR)
    cancelled = (
        c.close_timestamp for c in left.cancelled if c.cancel_reason is CancelReason.OPERATOR
    )
    return max((*closed, *cancelled), default=None)


def _uuid4(when: int) -> str:
    return str(uuid4())
