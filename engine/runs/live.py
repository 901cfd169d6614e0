"""A live run: the clock's minutes drive the session, and missed bars are settled first."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from uuid import uuid4

from engine.core.validation import Prices
from engine.domain.bars import interval_ms
from engine.domain.events import DataStatus, Performance
from engine.domain.ports import Clock, Store
from engine.domain.schemas import StrategySchema
from engine.domain.settings import Settings
from engine.domain.signals import CancelReason, OpenPosition, RunKey, ScheduledSignal
from engine.domain.time import MINUTE
from engine.runs.session import Session, Sink
from engine.services.bus import Bus
from engine.services.journal import RunJournal
from engine.services.market import Market
from engine.services.risk import RiskGate

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
        risk: the gate shared by all live runs.
        bus: where events go.
        clock: what ``now`` is.
        store: makes transitions durable.
        instants: which whole minutes are decision instants.
        held: what an earlier process left behind.
        last_attempt: when an earlier process asked last, ms UTC.
        settled_until: up to where an earlier process settled, ms UTC; None starts at now.

    Attributes:
        stale: the newest bar is late.
        missed_decisions: minutes at which nothing was decided because a tick took too long.
    """

    def __init__(
        self,
        *,
        key: RunKey,
        strategy: StrategySchema,
        settings: Settings,
        market: Market,
        risk: RiskGate,
        bus: Bus,
        clock: Clock,
        store: Store,
        instants: Callable[[int], bool] = every_minute,
        held: ScheduledSignal | OpenPosition | None = None,
        last_attempt: int | None = None,
        settled_until: int | None = None,
    ) -> None:
        self.key = key
        self.settings = settings
        self.market = market
        self.journal = RunJournal()
        self.session: Session | None = None
        self.stopped = False
        self.stale = False
        self.missed_decisions = 0
        self.settled_until = settled_until
        self._strategy = strategy
        self._risk = risk
        self._bus = bus
        self._clock = clock
        self._store = store
        self._instants = instants
        self._held = held
        self._last_attempt = last_attempt
        self._gap = interval_ms(strategy.interval)
        self._at_vwap = settings.fill_price == "vwap"
        self._previous_tick: float | None = None

    def stop(self) -> None:
        """No new signals; a scheduled one is cancelled, an open position is watched to its end."""
        self.stopped = True

    def resume(self) -> None:
        """Take a stop back that has not ended the run yet."""
        self.stopped = False

    async def run(self, sink: Sink | None) -> None:
        """Tick every minute until stopped and flat."""
        session = Session(
            key=self.key, strategy=self._strategy, settings=self.settings, market=self.market,
            risk=self._risk, bus=self._bus, next_id=_uuid4, store=self._store, sink=sink,
        )  # fmt: skip
        session.held, session.last_attempt = self._held, self._last_attempt
        self.session = session
        self.journal = session.journal
        with self._clock.working():
            when = self._clock.now() // MINUTE * MINUTE
            if self.settled_until is None:
                self.settled_until = when
            while True:
                started = time.perf_counter()
                try:
                    await self.tick(session, when)
                except Exception as error:
                    session.report(error, "tick", when)
                self._measure(started)
                if self.stopped and session.held is None:
                    return
                # A tick that took longer than a minute goes on at the present one: its bars are
                # settled, the decisions in between are counted as missed.
                present = self._clock.now() // MINUTE * MINUTE
                following = max(when + MINUTE, present)
                self.missed_decisions += (following - when) // MINUTE - 1
                when = following
                await self._clock.sleep_until(when)

    async def tick(self, session: Session, when: int) -> None:
        """Settle every bar that closed up to ``when``, then decide at ``when``."""
        arrived = await self.market.advance(self.key.symbol, when)
        self._note_staleness(arrived, when)
        series = self.market.minutes(self.key.symbol)
        assert self.settled_until is not None
        index = series.closed(self.settled_until)
        newest = series.closed(when)
        while index < newest:
            bar = series.bar(index, market_is_vwap=self._at_vwap)
            await session.settle(bar)
            self.settled_until = bar.at
            index += 1
        if not newest:
            return
        bar = series.bar(newest - 1, market_is_vwap=self._at_vwap)
        if self.stopped:
            await session.cancel_now(bar, CancelReason.STOPPED)
            return
        if bar.at != when or session.held is not None:
            return
        last = session.last_attempt
        due = last is None or when - last >= self._gap
        usable = due and self._instants(when) and series.real[newest - 1]
        if usable and not session.source.stuck:
            await session.attempt(when, Prices(bar.market, bar.vwap))
            if self.stopped:
                await session.cancel_now(bar, CancelReason.STOPPED)
        else:
            await session.idle(when, bar.market)

    def _note_staleness(self, arrived: bool, when: int) -> None:
        if arrived is self.stale:
            self.stale = not arrived
            series = self.market.minutes(self.key.symbol)
            self._bus.publish(
                "data",
                DataStatus(self.key.exchange_name, self.key.symbol, self.stale, series.end, when),
            )

    def _measure(self, started: float) -> None:
        if not self._bus.wants("performance"):
            return
        key, now = self.key, time.time() * 1000
        self._bus.publish(
            "performance",
            Performance(
                now, self._previous_tick, "live_tick", (time.perf_counter() - started) * 1000,
                key.strategy_name, key.exchange_name, key.symbol, False,
            ),
        )  # fmt: skip
        self._previous_tick = now


def _uuid4(when: int) -> str:
    return str(uuid4())
