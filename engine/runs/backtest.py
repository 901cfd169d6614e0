"""A backtest: history drives the session, as fast as its strategy answers.

While flat, the loop goes from one possible decision to the next; while something is held it jumps
to the first bar at which the lifecycle would act (`engine.core.exits`). Whenever somebody follows
single ticks it goes bar by bar instead, with the same results.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import nan
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from engine.core import exits
from engine.core.frames import Frame
from engine.core.validation import Prices
from engine.domain.bars import interval_ms
from engine.domain.errors import DataGapError, EngineError
from engine.domain.events import BacktestProgress
from engine.domain.outcome import BacktestStatistics, EquityPoint
from engine.domain.schemas import FrameSchema, StrategySchema
from engine.domain.settings import Settings
from engine.domain.signals import (
    CancelReason,
    CloseReason,
    OpenPosition,
    RunKey,
    ScheduledSignal,
)
from engine.domain.time import MINUTE, from_ms, minute_text
from engine.runs.generation import Board
from engine.runs.session import Session, Sink
from engine.services.bus import Bus
from engine.services.isolation import failure_of
from engine.services.journal import PartialTally, RunJournal
from engine.services.market import WARM_UP_MINUTES, Market
from engine.services.risk import RiskGate
from engine.services.series import BarSeries

YIELD_SECONDS: Final = 0.020
"""How long an inline backtest may keep the event loop to itself."""

_UNASKED: Final = 1000
"""Instants that ask nobody after which the loop is yielded to without a look at the clock."""

_NAMESPACE: Final = UUID("6f1c7a52-3f0b-4ad1-9d3f-5a1f0f3f7c11")


def first_asked(frame_start: int, settings: Settings) -> int:
    """From which instant on (ms UTC) a backtest asks for bars at its start."""
    return frame_start - (WARM_UP_MINUTES + settings.avg_price_candles_count) * MINUTE


class BarsUsed(NamedTuple):
    """What a report says of the bars: how many, how many of these filled, SHA-256 (hex)."""

    candles: int = 0
    filled: int = 0
    data_hash: str = ""


@dataclass(frozen=True, slots=True)
class Remains:
    """What stays of a finished backtest whose bars were let go.

    Attributes:
        figures: statistics and daily equity curve.
        bars: what they were.
        milestones: those of all positions.
    """

    figures: tuple[BacktestStatistics, tuple[EquityPoint, ...]]
    bars: BarsUsed
    milestones: PartialTally


class BacktestExecution:
    """One backtest from start to end.

    Attributes:
        journal: everything noted for reports so far.
        when: the simulated instant reached.
        processed: how many of the frame's instants have been passed.
        board: integers another process reads, None in most runs; see `SignalSource`.
        remains: stands in for the bars once they were let go.
    """

    def __init__(
        self,
        *,
        key: RunKey,
        strategy: StrategySchema,
        frame: FrameSchema,
        settings: Settings,
        market: Market,
        risk: RiskGate,
        bus: Bus,
        journal: RunJournal | None = None,
        told_frames: set[str] | None = None,
        resting: Callable[[BacktestExecution], Awaitable[None]] | None = None,
    ) -> None:
        self.key = key
        self.settings = settings
        self.frame = Frame.of(frame.start_date, frame.end_date, frame.interval)
        self.interval = frame.interval
        self._frame_callbacks = frame.callbacks
        self._told_frames = set[str]() if told_frames is None else told_frames
        self.market = market
        self.journal = journal or RunJournal(key)
        self.when = self.frame.start
        self.processed = 0
        self.stopped = False
        self.elapsed_seconds = 0.0
        self.session: Session | None = None
        self.board: Board | None = None
        self.remains: Remains | None = None
        self._resting = resting
        self._strategy = strategy
        self._risk = risk
        self._bus = bus
        self._gap = interval_ms(strategy.interval)
        self._ids = 0
        self._ending = False
        # Ids look like UUIDs and are the same whenever the same run is repeated.
        run = f"{key}|{self.frame.start}|{self.frame.end}"
        self._id_prefix = str(uuid5(_NAMESPACE, run))[:24]
        self._yielded = 0.0
        self._at_vwap = settings.fill_price == "vwap"

    def stop(self) -> None:
        """No new signals; what is open is followed to its close."""
        self.stopped = True

    def resume(self) -> bool:
        """Take a stop back; False when the run is ending already."""
        if self._ending:
            return False
        self.stopped = False
        return True

    async def run(self, sink: Sink | None) -> None:
        """Run to the end of the frame, of the data, or of what is held after a stop.

        Raises:
            EngineError: the data cannot be used.
        """
        began = self._yielded = time.monotonic()
        session = await self._begin(sink)
        try:
            if len(self.frame):
                series = await self._load()
                await self._loop(session, series)
        except BaseException:
            self.stopped = True  # whatever it was: what there is, is not the whole frame
            raise
        finally:
            self._end(session, began)
        self._complete(began)
        if self._resting is not None:
            await self._resting(self)
        await self._bus.flush_signals()

    async def _begin(self, sink: Sink | None) -> Session:
        session = Session(
            key=self.key, strategy=self._strategy, settings=self.settings, market=self.market,
            journal=self.journal, risk=self._risk, bus=self._bus, next_id=self._next_id, sink=sink,
            stopped=lambda: self.stopped,
        )  # fmt: skip
        self.session = session
        session.source.board = self.board
        if len(self.frame):
            self._progress(0)
            await self._tell_timeframe(session)
        return session

    def _end(self, session: Session, began: float) -> None:
        """However the run ended."""
        self._ending = True
        self.elapsed_seconds = time.monotonic() - began
        self._tell_timings()
        if session.is_holding:
            self._risk.book.release(self._strategy.risk_names, self.key)

    def _complete(self, began: float) -> None:
        """The run has reached its end."""
        self._progress(len(self.frame))
        self.journal.timings.note("backtest_total", began)
        self._tell_timings()

    async def _tell_timeframe(self, session: Session) -> None:
        callback, name = self._frame_callbacks.get("on_timeframe"), self.key.frame_name
        if callback is None or name in self._told_frames:
            return
        self._told_frames.add(name)
        frame = self.frame
        dates = [from_ms(at) for at in range(frame.start, frame.end + 1, frame.step)]
        start, end = from_ms(frame.start), from_ms(frame.end)
        error = await failure_of(callback, dates, start, end, self.interval)
        if error is not None:
            session.report(error, "callback", frame.start)

    # -- data ------------------------------------------------------------------------------------

    async def _load(self) -> BarSeries:
        frame = self.frame
        since = first_asked(frame.start, self.settings)
        series = await self.market.ensure(self.key.symbol, since, frame.end + MINUTE)
        while series.end <= frame.start and await self._more(series):
            pass  # the frame may begin inside a hole that is short enough to be filled
        if series.end <= frame.start or series.first > frame.end:
            raise EngineError(
                f"{self.key.symbol} on {self.key.exchange_name!r} has candles from "
                f"{minute_text(series.first)} to {minute_text(series.end)}, the frame asks for "
                f"{minute_text(frame.start)} to {minute_text(frame.end)}: choose dates inside"
            )
        return series

    async def _more(self, series: BarSeries) -> bool:
        """Load what follows the newest bar; False at the end of the data."""
        until = series.end + (self.settings.max_gap_minutes + 1) * MINUTE
        try:
            return await self.market.extend(self.key.symbol, until)
        except DataGapError as gap:
            if series.end <= self.frame.end:
                raise
            self.journal.warn(f"data ends at {minute_text(series.end)}: {gap}")
            return False

    # -- the loop --------------------------------------------------------------------------------

    async def _loop(self, session: Session, series: BarSeries) -> None:
        when, timings = self.frame.start, self.journal.timings
        while True:
            when = await self._flat(session, series, when)
            timings.end_stretch()
            if not session.is_holding:
                return
            accepted = time.monotonic()
            when = await self._held(session, series, when)
            timings.note("backtest_signal", accepted)
            if self.stopped or (when >= series.end and not await self._more(series)):
                if session.held is None and not self.stopped:
                    self._warn_beyond(when)
                return

    async def _flat(
        self, session: Session, series: BarSeries, when: int, until: int | None = None
    ) -> int:
        """Decide at every due instant from ``when`` on until something is held; that instant.

        With ``until`` given, not beyond it: then the next instant to go on at is returned.
        """
        frame, step = self.frame, self.frame.step
        end = frame.end if until is None else min(frame.end, until)
        source, gap, quiet = session.source, self._gap, not session.watched()
        ask, measure = source.ask, self.journal.timings.asked.append
        first, real, data_end = series.first, series.real.data, series.end
        unasked = 0
        due = when if session.last_attempt is None else session.last_attempt + gap
        when = frame.at_or_after(when)
        while when <= end:
            if self.stopped:
                return when
            if when >= data_end:
                if not await self._more(series):
                    self._warn_beyond(when)
                    return when
                first, real, data_end = series.first, series.real.data, series.end
            index = (when - first) // MINUTE - 1
            if when >= due and index >= 0 and real[index]:
                due = when + gap
                session.last_attempt = when
                try:
                    answer = ask(when)
                except BaseException as raised:
                    session.report_user(raised, "get_signal", when)
                    answer = None
                measure(source.asked_since)
                if answer is not None or not quiet:
                    # An answer that opens nothing and is followed by nobody needs no more work.
                    await session.decide(answer, when, self._prices(series, when))
                    if session.is_holding:
                        self.when = when
                        if self.stopped:  # by a callback or listener of what was just scheduled
                            bar = series.bar(series.closed(when) - 1, market_is_vwap=self._at_vwap)
                            await session.cancel_now(bar, CancelReason.STOPPED)
                        return when
                if series.first != first:  # the strategy asked for older history
                    first, real = series.first, series.real.data
            elif when < due and quiet:
                when = frame.at_or_after(due)
                continue
            else:
                await session.idle(when, self._prices(series, when).market)
                unasked += 1
            if source.asked_since - self._yielded > YIELD_SECONDS or unasked >= _UNASKED:
                await self._breathe(when)
                quiet, unasked = not session.watched(), 0
            when += step
        return when

    def _prices(self, series: BarSeries, when: int) -> Prices:
        index = series.closed(when) - 1
        if index < 0:
            return Prices(nan, nan)
        vwap = float(series.vwap[index])
        return Prices(vwap if self._at_vwap else float(series.columns.close[index]), vwap)

    async def _held(self, session: Session, series: BarSeries, when: int) -> int:
        """Follow what is held until nothing is; the instant at which that happened."""
        index = series.closed(when)
        while session.held is not None:
            if time.monotonic() - self._yielded > YIELD_SECONDS:
                await self._breathe(when)
            if index >= series.size and not await self._more(series):
                await self._end_of_data(session, series)
                return series.end
            # A strategy or callback may have loaded older history meanwhile.
            index = series.closed(when)
            if session.watched() or (self.stopped and isinstance(session.held, ScheduledSignal)):
                bars = [index]
            else:
                bars = self._next_bars(session, session.held, series, index)
            first = series.first
            for at in bars:
                if at >= series.size:
                    when = series.end
                    break
                bar = series.bar(at, market_is_vwap=self._at_vwap)
                when = bar.at
                if self.board is not None:
                    self.board[1] = when
                await session.settle(bar)
                if self.stopped:
                    await session.cancel_now(bar, CancelReason.STOPPED)
                if series.first != first:
                    break  # a callback loaded older history, so indexes have moved
            index = series.closed(when)
            self.when = when
        return when

    def _next_bars(
        self,
        session: Session,
        held: ScheduledSignal | OpenPosition,
        series: BarSeries,
        index: int,
    ) -> list[int]:
        """Bars at which something happens next: milestones on the way, then the decisive one."""
        prices, row, size = series.prices(), held.row, series.size
        if isinstance(held, ScheduledSignal):
            deadline = row.scheduled_at + self.settings.schedule_await_minutes * MINUTE
        else:
            deadline = row.pending_at + row.minute_estimated_time * MINUTE
        # The bar that closes at the deadline; an overdue one acts at the very next bar.
        last = max(index, (deadline - series.first) // MINUTE - 1)
        stop = min(last, size)
        if isinstance(held, ScheduledSignal):
            return [min(exits.first_activity(held, prices, index, stop, self.settings), last)]
        found = exits.first_exit(held, prices, index, stop, self.settings)
        if not session.follows_milestones():
            return [found]
        return [*exits.milestone_bars(held, series.vwap, index, found), found]

    async def _end_of_data(self, session: Session, series: BarSeries) -> None:
        bar = series.bar(series.size - 1, market_is_vwap=self._at_vwap)
        await session.close_now(bar, CloseReason.END_OF_DATA)
        await session.cancel_now(bar, CancelReason.END_OF_DATA)

    # -- pieces ----------------------------------------------------------------------------------

    async def _breathe(self, when: int) -> None:
        self.when = when
        self._progress(self.frame.index(when))
        self._tell_timings()
        await self._bus.flush_signals(backlog=0.5)
        await asyncio.sleep(0)
        self._yielded = time.monotonic()

    def _tell_timings(self) -> None:
        """Whoever listens hears how long things took since last time."""
        self.journal.timings.end_stretch()
        if self._bus.wants("performance"):
            self.journal.timings.drain(lambda event: self._bus.publish("performance", event))

    def _progress(self, processed: int) -> None:
        self.processed = processed
        if self._bus.wants("progress_backtest"):
            key, total = self.key, len(self.frame)
            fraction = processed / total if total else 1.0
            self._bus.publish(
                "progress_backtest",
                BacktestProgress(
                    key, key.symbol, key.strategy_name, key.exchange_name, key.frame_name,
                    processed, total, fraction, self.when,
                ),
            )  # fmt: skip

    def _warn_beyond(self, when: int) -> None:
        left = len(self.frame) - self.frame.index(when)
        if left > 0:
            self.journal.warn(
                f"data ends before the frame: {left} of {len(self.frame)} instants, from "
                f"{minute_text(when)} on, could not be decided"
            )

    def _next_id(self, when: int) -> str:
        self._ids += 1
        return f"{self._id_prefix}{self._ids:012x}"
