"""A portfolio: several backtests on one merged simulated clock, so that shared limits bind.

Separate backtests that run at the same time meet their shared risk profiles in whatever order the
event loop gives them turns. Here one clock goes from instant to instant, and at each of them first
every open position is settled, then every waiting signal, then every decision is made, each in
order of symbol and strategy name. So a slot that is freed at an instant can be taken at it, no
limit is exceeded at any instant, and the result depends on nothing but bars and strategies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from engine.core.frames import Frame
from engine.domain.outcome import BacktestOutcome
from engine.domain.portfolios import PortfolioOutcome
from engine.domain.schemas import FrameSchema
from engine.domain.signals import CancelReason, OpenPosition, RunKey, ScheduledSignal
from engine.domain.time import MINUTE
from engine.reports.heat import mean_equity
from engine.reports.statistics import backtest_statistics
from engine.runs.backtest import YIELD_SECONDS, BacktestExecution
from engine.runs.generation import Board
from engine.runs.outcome import outcome_of
from engine.runs.session import Session, Sink
from engine.services.bus import Bus
from engine.services.series import BarSeries

NEVER: Final = 1 << 62
"""What `Member.upcoming` answers at the end."""

_Held = OpenPosition | ScheduledSignal


class Member(BacktestExecution):
    """A backtest that its portfolio moves from one instant to the next.

    As long as no shared limit binds it makes the trades it would make by itself, to the bit.
    """

    _live: Session
    _series: BarSeries
    _cursor = 0
    # The next instant at which it may decide.
    _settled = 0
    # The instant up to which what is held has been settled.
    _plan: list[tuple[int, bool]]
    # Instants at which what is held acts; False where its data would have to go on.
    _over = False

    async def begin(self, sink: Sink | None, code: int) -> None:
        """Load the bars; nothing has happened yet.

        Args:
            sink: awaited with every transition.
            code: what the worker's board shows while this member's strategy is asked.

        Raises:
            EngineError: the data cannot be used.
        """
        self._yielded = time.monotonic()
        self._plan = []
        self._cursor = self._settled = self.frame.start
        self._live = await self._begin(sink)
        self._live.source.code = code
        self._over = not len(self.frame)
        if not self._over:
            self._series = await self._load()

    def upcoming(self, now: int) -> int:
        """The next instant at which something may happen; `NEVER` at the end.

        Args:
            now: the instant up to which everything has happened.
        """
        held = self._live.held
        if held is None:
            return NEVER if self._over or self.stopped else self._cursor
        if self.stopped and isinstance(held, ScheduledSignal):
            self._plan = [self._closing(self._series.closed(now))]
        elif not self._plan:
            self._plan = self._planned(held)
        return self._plan[0][0]

    async def settle(self, when: int, kind: type[_Held]) -> None:
        """Settle what is held, if it is of a kind, by the bar that closes at ``when``."""
        session = self._live
        if not isinstance(session.held, kind):
            return
        while isinstance(session.held, kind):
            if not self._plan:
                self._plan = self._planned(session.held)
            at, has_bar = self._plan[0]
            if at > when:
                return
            del self._plan[0]
            self._settled = at
            if has_bar:
                await self._settle_bar(at)
            elif not await self._goes_on(at):
                await self._end_of_data(session, self._series)
        if not session.is_holding:
            await self._freed(when)

    async def decide(self, when: int) -> None:
        """Ask the strategy, if ``when`` is an instant at which it is to be asked."""
        session = self._live
        if self._over or self.stopped or session.is_holding or self._cursor != when:
            return
        self._cursor = await self._flat(session, self._series, when, until=when)
        if session.is_holding:
            self._plan, self._settled = [], when
        elif self._cursor <= when or self._cursor > self.frame.end:
            self._over = True

    def tell(self, when: int) -> None:
        """Publish how far it is."""
        self.when = max(self.when, when)
        self._progress(self.frame.index(when))
        self._tell_timings()

    def end(self, began: float) -> None:
        """However the portfolio ended; harmless before `begin`."""
        if self.session is not None:
            self._end(self.session, began)

    def complete(self, began: float) -> None:
        """The portfolio has reached its end."""
        self._complete(began)

    def _planned(self, held: _Held) -> list[tuple[int, bool]]:
        session, series = self._live, self._series
        index = series.closed(self._settled)
        if index >= series.size or session.watched():
            return [self._closing(index)]
        plan: list[tuple[int, bool]] = []
        for at in self._next_bars(session, held, series, index):
            plan.append(self._closing(at))
            if at >= series.size:
                break
        return plan

    def _closing(self, index: int) -> tuple[int, bool]:
        """When a bar closes; the end of the data, and False, if it is not there."""
        series = self._series
        if index >= series.size:
            return series.end, False
        return series.first + (index + 1) * MINUTE, True

    async def _settle_bar(self, at: int) -> None:
        session, series = self._live, self._series
        bar = series.bar((at - series.first) // MINUTE - 1, market_is_vwap=self._at_vwap)
        if self.board is not None:
            self.board[1] = at
        before = type(session.held)
        await session.settle(bar)
        if self.stopped:
            await session.cancel_now(bar, CancelReason.STOPPED)
        if type(session.held) is not before:
            self._plan = []
        self.when = at

    async def _goes_on(self, when: int) -> bool:
        """Whether there are bars that close after ``when``; another member may have loaded them."""
        return when < self._series.end or await self._more(self._series)

    async def _freed(self, when: int) -> None:
        """Nothing is held any more: go on deciding, or end."""
        if self.stopped or not await self._goes_on(when):
            if not self.stopped:
                self._warn_beyond(when)
            self._over = True
            return
        self._cursor = self.frame.at_or_after(when)
        self._over = self._cursor > self.frame.end

    async def _breathe(self, when: int) -> None:
        # The portfolio gives way for all of its members.
        self._yielded = time.monotonic()


class PortfolioExecution:
    """One portfolio from start to end; an `engine.runs.instance.Execution`.

    Args:
        key: identity of the run.
        frame: what all members run over.
        members: in any order; they share one risk gate.
        bus: where events go.

    Attributes:
        members: in order of symbol and strategy name.
        when: the simulated instant reached.
        processed: how many of the frame's instants have been passed.
        board: integers another process reads, None in most runs; see `SignalSource`.
    """

    def __init__(
        self, *, key: RunKey, frame: FrameSchema, members: Sequence[Member], bus: Bus
    ) -> None:
        self.key = key
        self.interval = frame.interval
        self.frame = Frame.of(frame.start_date, frame.end_date, frame.interval)
        self.members = tuple(sorted(members, key=lambda m: (m.key.symbol, m.key.strategy_name)))
        self.when = self.frame.start
        self.processed = 0
        self.stopped = False
        self.elapsed_seconds = 0.0
        self.board: Board | None = None
        self._bus = bus
        self._yielded = 0.0

    @property
    def member_keys(self) -> tuple[RunKey, ...]:
        """Identities of the members, in their order."""
        return tuple(member.key for member in self.members)

    def stop(self) -> None:
        """No new signals in any member; what is open is followed to its close."""
        self.stopped = True
        for member in self.members:
            member.stop()

    def resume(self) -> bool:
        """A stopped portfolio has let instants pass undecided, so it is not taken up again."""
        return False

    async def run(self, sink: Sink | None) -> None:
        """Run to the end of the frame, of the data, or of what is held after a stop.

        Raises:
            EngineError: some member's data cannot be used.
        """
        began = self._yielded = time.monotonic()
        try:
            for code, member in enumerate(self.members, start=1):
                member.board = self.board
                await member.begin(sink, code)
            await self._loop()
        except BaseException:
            self.stop()  # whatever it was: what there is, is not the whole frame
            raise
        finally:
            self.elapsed_seconds = time.monotonic() - began
            for member in self.members:
                member.end(began)
        for member in self.members:
            member.complete(began)
        self.processed = len(self.frame)
        await self._bus.flush_signals()

    async def _loop(self) -> None:
        now = self.frame.start
        while True:
            found = [(member.upcoming(now), member) for member in self.members]
            now = min((at for at, _ in found), default=NEVER)
            if now == NEVER:
                return
            due = [member for at, member in found if at == now]
            for kind in (OpenPosition, ScheduledSignal):
                for member in due:
                    await member.settle(now, kind)
            for member in due:
                await member.decide(now)
                if time.monotonic() - self._yielded > YIELD_SECONDS:
                    await self._breathe(now)

    async def _breathe(self, when: int) -> None:
        self.when, self.processed = when, self.frame.index(when)
        for member in self.members:
            member.tell(when)
        await self._bus.flush_signals(backlog=0.5)
        await asyncio.sleep(0)
        self._yielded = time.monotonic()


def portfolio_outcome(
    execution: PortfolioExecution, origin: Callable[[str], tuple[str, str]]
) -> PortfolioOutcome:
    """The outcome of a finished, stopped or still running portfolio.

    Args:
        execution: the portfolio.
        origin: file and SHA-256 (hex) of a strategy by its name, "" for what was registered in
            code.
    """
    members = tuple(
        outcome_of(member, *origin(member.key.strategy_name)) for member in execution.members
    )
    trades = tuple(
        sorted(
            (trade for member in members for trade in member.trades),
            key=lambda trade: (trade.close_timestamp, trade.symbol, trade.strategy_name),
        )
    )
    equity = mean_equity([member.equity for member in members])
    frame = execution.frame
    statistics = backtest_statistics(trades, equity, frame_start=frame.start, frame_end=frame.end)
    return PortfolioOutcome(
        key=execution.key,
        frame_interval=execution.interval,
        frame_start=frame.start,
        frame_end=frame.end,
        members=members,
        trades=trades,
        statistics=replace(statistics, exposure=_mean_exposure(members)),
        equity=equity,
        stopped=execution.stopped,
        elapsed_seconds=execution.elapsed_seconds,
    )


def _mean_exposure(members: Sequence[BacktestOutcome]) -> float | None:
    shares = [member.statistics.exposure for member in members]
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None
