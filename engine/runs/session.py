"""One run at its instants: settle bars, decide, and make transitions durable and public.

Backtest and live drive the same session; they differ in the clock, in where bars come from, and
in whether there is a store to commit to.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias

from engine.core import lifecycle
from engine.core.lifecycle import BarClose, Cancel, EntryReached, Exit, Progress, Waiting
from engine.core.pricing import pnl
from engine.core.validation import Prices, accept, as_signal
from engine.domain.changes import (
    AttemptMade,
    Change,
    HeldChanged,
    Journaled,
    Released,
    Reserved,
)
from engine.domain.errors import RunError, run_error
from engine.domain.events import Partial
from engine.domain.ports import Store
from engine.domain.schemas import StrategySchema
from engine.domain.settings import Settings
from engine.domain.signals import (
    Active,
    Cancelled,
    CancelReason,
    Closed,
    CloseReason,
    Idle,
    Mode,
    Opened,
    OpenPosition,
    RunKey,
    Scheduled,
    ScheduledSignal,
    SignalRow,
    TickResult,
)
from engine.runs.commits import committed
from engine.runs.error_notes import ErrorNotes
from engine.runs.generation import PENDING, SignalSource
from engine.services.bus import Bus
from engine.services.context import ExecutionContext, MarketWindow, Scope, execution
from engine.services.isolation import failure_of, is_cancelled, user_error
from engine.services.journal import RunJournal
from engine.services.risk import AGREED, RiskGate, Verdict

Sink: TypeAlias = Callable[[TickResult], Awaitable[None]]

_TICK_CALLBACKS = frozenset(
    ("on_tick", "on_active", "on_idle", "on_partial_profit", "on_partial_loss")
)
_log = logging.getLogger("signaldeck.run")


class Session:
    """State of one run, and everything that happens at one of its instants.

    Args:
        key: identity of the run.
        strategy: what is asked for signals.
        settings: the settings the run was started with.
        market: where data functions look.
        journal: where everything that happens is noted for reports.
        risk: the gate shared with other runs of the same mode.
        bus: where events go.
        next_id: makes a signal's id from the instant it was accepted at.
        store: makes changes durable before anybody hears of them; None in a backtest.
        stopped: whether a stop was asked for; nothing opens or is scheduled after one.
        sink: is awaited with every opened, closed, cancelled and scheduled result.
    """

    def __init__(
        self,
        *,
        key: RunKey,
        strategy: StrategySchema,
        settings: Settings,
        market: MarketWindow,
        journal: RunJournal,
        risk: RiskGate,
        bus: Bus,
        next_id: Callable[[int], str],
        store: Store | None = None,
        sink: Sink | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.key = key
        self.settings = settings
        self.journal = journal
        self.held: ScheduledSignal | OpenPosition | None = None
        self.last_attempt: int | None = None
        self._strategy = strategy
        self._risk = risk
        self._risk_names = strategy.risk_names
        self._bus = bus
        self._next_id = next_id
        self._store = store
        self._sink = sink
        self._stopped = stopped
        loop = asyncio.get_running_loop()
        self._scope = Scope(key, market, loop)
        self.notes = ErrorNotes(key) if store is not None else None
        self._topic = "signal_backtest" if key.mode is Mode.BACKTEST else "signal_live"
        self._backtest = key.mode is Mode.BACKTEST
        limit = settings.max_signal_generation_seconds
        self.source = SignalSource(strategy, key, market, limit, loop)

    # -- what is asked of a session ------------------------------------------------------------

    @property
    def is_holding(self) -> bool:
        """Whether a position is open or a signal is scheduled."""
        return self.held is not None

    def watched(self) -> bool:
        """Whether anybody follows single ticks, so that none may be skipped."""
        return (
            not _TICK_CALLBACKS.isdisjoint(self._strategy.callbacks)
            or self._bus.wants_ticks(self._topic)
            or self._bus.wants_ticks("signal")
        )

    def follows_milestones(self) -> bool:
        """Whether anybody listens to partial milestones."""
        return self._bus.wants("partial_profit") or self._bus.wants("partial_loss")

    async def settle(self, bar: BarClose) -> None:
        """Feed the bar that closed at ``bar.at`` to whatever is held."""
        held = self.held
        if isinstance(held, OpenPosition):
            outcome = lifecycle.settle_position(held, bar, self.settings)
            if isinstance(outcome, Exit):
                await self._close(held, bar, outcome)
            elif outcome is not None:
                await self._progress(held, bar, outcome)
        elif held is not None:
            waiting = lifecycle.settle_scheduled(held, bar, self.settings)
            if isinstance(waiting, Cancel):
                await self._cancel(held, bar, waiting.reason)
            elif isinstance(waiting, EntryReached):
                await self._activate(held, bar, waiting)
            elif isinstance(waiting, Waiting):
                await self._tick(Active(self.key, bar.at, bar.market, held.row), "on_active")

    def ask(self, when: int) -> object:
        """Ask the strategy at ``when``; the slot is used up whatever comes of it.

        Returns:
            Its answer, for `decide`; `PENDING` when `decide` has to wait for it.
        """
        self.last_attempt = when
        try:
            return self.source.ask(when)
        except BaseException as raised:
            self.report_user(raised, "get_signal", when)
            return None

    async def attempt(self, when: int, prices: Prices) -> None:
        """Ask the strategy at ``when`` and act on its answer.

        If the outcome cannot be made durable the slot is given back, with everything else.
        """
        before = self.last_attempt
        try:
            await self.decide(self.ask(when), when, prices)
        except BaseException:
            self.last_attempt = before
            raise

    async def decide(self, answer: object, when: int, prices: Prices) -> None:
        """Validate an answer, ask risk, and open or schedule; refusals leave the run flat."""
        if answer is PENDING:
            try:
                answer = await self.source.answer()
            except BaseException as raised:
                self.report_user(raised, "get_signal", when)
                answer = None
        attempt: list[Change] = [AttemptMade(self.key, when)]
        if is_cancelled():
            raise asyncio.CancelledError  # which the strategy swallowed
        if self._stopped():
            answer = None  # it came while the strategy was asked
        try:
            signal = as_signal(answer)
            row = None
            if signal is not None:
                row = accept(signal, self.key, when, prices, self.settings, self._next_id(when))
        except Exception as error:
            self.report(error, "validation", when)
            row = None
        if row is None:
            await self._durably(attempt)
            await self._tick(Idle(self.key, when, prices.market), "on_idle")
        elif row.is_scheduled:
            await self._schedule(row, when, prices.market, attempt)
        else:
            await self._open_at_market(row, when, prices.market, attempt)

    async def restored(self, row: SignalRow, when: int, market: float) -> None:
        """Tell the strategy what an earlier process left it, before any of it is settled."""
        with execution(self._context(when)):
            await self._call("on_restore", when, row, market)

    async def idle(self, when: int, market: float) -> None:
        """Nothing was held and nothing was asked at ``when``."""
        await self._tick(Idle(self.key, when, market), "on_idle")

    async def close_now(self, bar: BarClose, reason: CloseReason) -> None:
        """Close the open position at the bar's market price."""
        if isinstance(self.held, OpenPosition):
            await self._close(self.held, bar, Exit(reason, bar.market))

    async def cancel_now(self, bar: BarClose, reason: CancelReason) -> None:
        """Cancel the scheduled signal."""
        if isinstance(self.held, ScheduledSignal):
            await self._cancel(self.held, bar, reason)

    def report(self, error: Exception, stage: str, when: int | None, publish: bool = True) -> None:
        """Note one failure and publish it as an ``error`` event; the run goes on."""
        self.tell(run_error(error, self.key, stage=stage, when=when), publish=publish)

    def tell(self, event: RunError, *, publish: bool = True) -> None:
        """Note a failure, and publish it unless another run that met it already has."""
        self.journal.note_error(str(event))
        if self.notes is not None:
            self.notes.add(event.when or 0, event.stage, str(event))
        with nullcontext() if event.when is None else execution(self._context(event.when)):
            _log.info("%s: %s failed: %s", self.key, event.stage, event)
            if publish:
                self._bus.publish("error", event)

    def report_user(self, raised: BaseException, stage: str, when: int) -> None:
        """Publish what user code raised; our own cancellation and Ctrl-C travel on."""
        error = user_error(raised)
        if error is None:
            raise raised
        self.report(error, stage, when)

    # -- transitions ---------------------------------------------------------------------------

    async def _schedule(
        self, row: SignalRow, when: int, market: float, attempt: list[Change]
    ) -> None:
        verdict = await self._ask_risk(row, row.price_open, when, None)
        if not verdict or self._stopped():
            await self._refused(verdict, when, market, attempt)
            return
        held = ScheduledSignal(row)
        result = Scheduled(self.key, when, market, row)
        numbers = await self._durably(
            [*attempt, HeldChanged(self.key, held), Journaled(self.key, result)]
        )
        self.journal.note(result)
        self.held = held
        with execution(self._context(when)):
            await self._call("on_schedule", when, row, market)
        await self._announce(result, numbers)

    async def _open_at_market(
        self, row: SignalRow, when: int, market: float, attempt: list[Change]
    ) -> None:
        position = OpenPosition(row)
        verdict = await self._ask_risk(row, market, when, position)
        if not verdict or self._stopped():
            if verdict:
                self._release()
            await self._refused(verdict, when, market, attempt)
            return
        await self._open(position, when, attempt)

    async def _open(self, position: OpenPosition, when: int, extra: list[Change]) -> None:
        row = position.row
        result = Opened(self.key, when, row.price_open, row)
        numbers: tuple[int, ...] = ()
        if self._store is not None:
            changes = [*extra, *self._opening(position, result)]
            numbers = await self._durably(changes, on_failure=self._release)
        self.journal.note(result)
        self.held = position
        await self._announce_opened(result, numbers)

    async def _activate(self, held: ScheduledSignal, bar: BarClose, entry: EntryReached) -> None:
        position = lifecycle.activated(held, entry.price, bar.at)
        row = position.row
        if self._stopped():
            await self._cancel(held, bar, CancelReason.STOPPED)
            return
        verdict = await self._ask_risk(row, entry.price, bar.at, position)
        if not verdict:
            rejections = self._rejections(verdict)
            numbers = await self._cancel(held, bar, CancelReason.RISK, rejections)
            await self._tell_refusal(verdict, bar.at, numbers)
            return
        if entry.stop is None:
            await self._open(position, bar.at, [])
            return
        # Entry and stop within one bar are one transition: a crash must not fall between them.
        opened = Opened(self.key, bar.at, row.price_open, row)
        closed = self._closed(row, bar.at, Exit(CloseReason.STOP_LOSS, entry.stop), swept=True)
        changes = [
            Journaled(self.key, opened),
            Journaled(self.key, closed),
            HeldChanged(self.key, None),
        ]
        numbers = await self._durably(changes, on_failure=self._release)
        self.journal.note(opened)
        self.journal.note(closed)
        self.held = position
        await self._announce_opened(opened, numbers[:1])
        self._release()
        self.held = None
        await self._announce_closed(closed, numbers[1:])

    async def _close(self, held: OpenPosition, bar: BarClose, exit_: Exit) -> None:
        result = self._closed(held.row, bar.at, exit_)
        numbers: tuple[int, ...] = ()
        if self._store is not None:
            released = (Released(name, self.key) for name in self._risk_names)
            changes = [HeldChanged(self.key, None), *released, Journaled(self.key, result)]
            numbers = await self._durably(changes)
        self.journal.note(result)
        self._release()
        self.held = None
        await self._announce_closed(result, numbers)

    async def _cancel(
        self,
        held: ScheduledSignal,
        bar: BarClose,
        reason: CancelReason,
        more: Sequence[Change] = (),
    ) -> tuple[int, ...]:
        """Cancel, together with ``more``; the journal numbers of that."""
        result = Cancelled(self.key, bar.at, bar.market, held.row, reason, bar.at)
        numbers = await self._durably(
            [HeldChanged(self.key, None), Journaled(self.key, result), *more]
        )
        self.journal.note(result)
        self.held = None
        with execution(self._context(bar.at)):
            await self._call("on_cancel", bar.at, held.row, bar.market)
        await self._announce(result, numbers[:1])
        return numbers[1:]

    async def _progress(self, held: OpenPosition, bar: BarClose, made: Progress) -> None:
        row = held.row
        if made.reached:
            events = [self._partial(row, bar, side, level) for side, level in made.reached]
            position = lifecycle.advanced(held, made.reached)
            journaled = [Journaled(self.key, event) for event in events]
            numbers = await self._durably([HeldChanged(self.key, position), *journaled])
            self.journal.note_milestones(events)
            self.held = position
            with execution(self._context(bar.at)):
                for event in events:
                    self._bus.publish(f"partial_{event.side}", event)
            self._delivered(numbers)
        for name, percent in (
            ("on_partial_profit", made.percent_tp),
            ("on_partial_loss", made.percent_sl),
        ):
            if percent > 0 and name in self._strategy.callbacks:
                with execution(self._context(bar.at)):
                    await self._call(name, bar.at, row, bar.vwap, percent)
        active = Active(self.key, bar.at, bar.vwap, row, made.percent_tp, made.percent_sl)
        await self._tick(active, "on_active")

    # -- pieces --------------------------------------------------------------------------------

    def _context(self, when: int) -> ExecutionContext:
        return ExecutionContext(self._scope, when)

    async def _ask_risk(
        self, row: SignalRow, price: float, when: int, position: OpenPosition | None
    ) -> Verdict:
        if not self._risk_names:
            return AGREED
        with execution(self._context(when)):
            return await self._risk.check(self._risk_names, self.key, row, price, when, position)

    async def _refused(
        self, verdict: Verdict, when: int, market: float, attempt: list[Change]
    ) -> None:
        """A signal came to nothing: the attempt is kept, and nobody hears of it before that."""
        numbers = await self._durably([*attempt, *self._rejections(verdict)])
        if not verdict:
            await self._tell_refusal(verdict, when, numbers)
        await self._tick(Idle(self.key, when, market), "on_idle")

    def _rejections(self, verdict: Verdict) -> list[Change]:
        return [Journaled(self.key, refusal.event) for refusal in verdict.refusals]

    async def _tell_refusal(self, verdict: Verdict, when: int, numbers: tuple[int, ...]) -> None:
        self.journal.note_refusals(refusal.event for refusal in verdict.refusals)
        with execution(self._context(when)):
            await self._risk.tell(verdict)
        self._delivered(numbers)

    def _release(self) -> None:
        if self._risk_names:
            self._risk.book.release(self._risk_names, self.key)

    async def _durably(
        self, changes: Sequence[Change], on_failure: Callable[[], None] | None = None
    ) -> tuple[int, ...]:
        """Commit; the journal numbers of what must now be delivered."""
        store = self._store
        return () if store is None else await committed(store, changes, on_failure)

    def _delivered(self, numbers: tuple[int, ...]) -> None:
        if numbers and (store := self._store) is not None:
            self._bus.after_handled(lambda: store.delivered(numbers))

    def _opening(self, position: OpenPosition, result: Opened) -> list[Change]:
        return [
            HeldChanged(self.key, position),
            *(Reserved(name, self.key, position) for name in self._risk_names),
            Journaled(self.key, result),
        ]

    def _closed(self, row: SignalRow, at: int, exit_: Exit, *, swept: bool = False) -> Closed:
        earned = pnl(row.position, row.price_open, exit_.price, self.settings)
        return Closed(
            self.key, at, exit_.price, row, exit_.reason, at, earned, exit_.ambiguous, swept
        )

    def _partial(self, row: SignalRow, bar: BarClose, side: lifecycle.Side, level: int) -> Partial:
        key = self.key
        return Partial(
            side, key, key.symbol, key.strategy_name, key.exchange_name, row, bar.vwap, level,
            self._backtest, bar.at,
        )  # fmt: skip

    async def _announce_opened(self, result: Opened, numbers: tuple[int, ...]) -> None:
        if self._strategy.callbacks:
            with execution(self._context(result.when)):
                await self._call("on_write", result.when, result.signal)
                await self._call("on_open", result.when, result.signal, result.current_price)
        await self._announce(result, numbers)

    async def _announce_closed(self, result: Closed, numbers: tuple[int, ...]) -> None:
        if self._strategy.callbacks:
            with execution(self._context(result.when)):
                await self._call("on_close", result.when, result.signal, result.current_price)
                await self._call("on_write", result.when, None)
        await self._announce(result, numbers)

    async def _announce(self, result: TickResult, numbers: tuple[int, ...]) -> None:
        """Callbacks, events and the run's consumer hear of a transition, in this order."""
        if self._strategy.callbacks or self._bus.wants(self._topic) or self._bus.wants("signal"):
            with execution(self._context(result.when)):
                await self._call("on_tick", result.when, result)
                self._bus.publish_result(self._topic, result)
                self._bus.publish_result("signal", result)
        self._delivered(numbers)
        if self._backtest:
            await self._bus.flush_signals()
        if self._sink is not None:
            await self._sink(result)

    async def _tick(self, result: Idle | Active, callback: str) -> None:
        """Somebody may follow every tick; usually nobody does and this costs nothing."""
        if isinstance(result, Active) and not self._backtest:
            self.journal.note_active(result)
        if not self.watched():
            return
        with execution(self._context(result.when)):
            if isinstance(result, Idle):
                await self._call(callback, result.when, result.current_price)
            else:
                await self._call(callback, result.when, result.signal, result.current_price)
            await self._call("on_tick", result.when, result)
            self._bus.publish_result(self._topic, result)
            self._bus.publish_result("signal", result)

    async def _call(self, name: str, when: int, *arguments: Any) -> None:
        callback = self._strategy.callbacks.get(name)
        if callback is None:
            return
        limit = self.settings.max_signal_generation_seconds
        error = await failure_of(
            callback, self.key.symbol, *arguments, self._backtest, name=name, limit_seconds=limit
        )
        if error is not None:
            self.report(error, "callback", when)
