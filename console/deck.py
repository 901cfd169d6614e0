"""The read model: engine events in, frozen views out.

Screens draw what is in a `DeckSnapshot` and know nothing of the engine. `DeckState` is a fold: it
takes one event after the other, needs no loop, clock or engine, and freezes only the rows that
changed since the last snapshot, so thousands of events a second cost a handful of new objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import fsum
from typing import Any, TypeAlias

from console.deck_rows import Row, first_line, is_about, path_of, position_text, since
from console.feed import FEED_SIZE, FULL_SIZE, Feed, Transition, key_of_error, refusal_text
from console.folds import MeterFold, MilestoneFold, RiskFold, Shelf
from console.views import (
    BacktestView,
    Catalog,
    DeckSnapshot,
    ExchangeHealth,
    FeedEntry,
    HeaderView,
    InstanceView,
    LogLine,
    OptimizerView,
    ProfileView,
    Versions,
)
from console.walker_views import WalkerView
from engine.domain.changes import ErrorNote, JournalEvent, RunState, Telemetry
from engine.domain.errors import RunError
from engine.domain.events import (
    DataStatus,
    ExchangeStatus,
    InstanceChanged,
    Partial,
    Performance,
    RiskRejection,
)
from engine.domain.signals import (
    Active,
    Cancelled,
    Closed,
    Idle,
    Mode,
    Opened,
    OpenPosition,
    RunKey,
    Scheduled,
    SignalRow,
)
from engine.domain.time import MINUTE

DeckEvent: TypeAlias = (
    Idle
    | Scheduled
    | Opened
    | Active
    | Closed
    | Cancelled
    | InstanceChanged
    | RiskRejection
    | RunError
    | DataStatus
    | ExchangeStatus
    | Partial
    | Performance
)
"""The engine events that `DeckState.apply` folds; anything else is ignored."""

Profit: TypeAlias = Callable[[SignalRow, float], float]
"""Percent a position would book if it closed at a price, costs included."""


class DeckState:
    """Everything the console shows, folded from events.

    Args:
        badge: the words the header always shows.
        speed: engine seconds per wall second.
        schedule_minutes: minutes a scheduled signal may wait for its entry.
        profit: how a position is marked to market; None leaves the PnL empty.
        feed_size: entries the feed keeps.

    Attributes:
        applied: events folded so far.
        trouble: what is wrong with the state file, "" for nothing.
    """

    def __init__(
        self,
        *,
        badge: str,
        speed: float = 1.0,
        schedule_minutes: int = 120,
        profit: Profit | None = None,
        feed_size: int = FEED_SIZE,
    ) -> None:
        self._badge = badge
        self._speed = speed
        self._schedule_ms = schedule_minutes * MINUTE
        self._profit = profit
        self._rows: dict[RunKey, Row] = {}
        self._feed = Feed(feed_size)
        self._backtests = Shelf[BacktestView]()
        self._walkers = Shelf[WalkerView]()
        self._optimizers = Shelf[OptimizerView]()
        self._catalog = Catalog()
        self._milestones = MilestoneFold()
        self._risk = RiskFold()
        self._meters = MeterFold()
        self._log: tuple[tuple[LogLine, ...], int, str] = ((), 0, "")
        self._newest: dict[str, int] = {}
        self._said: dict[str, ExchangeStatus] = {}
        self._stale: set[tuple[str, str]] = set()
        self._errors = 0
        self._versions = Versions()
        self._dirty: set[str] = {"header"}
        self.applied, self.trouble = 0, ""
        self._last = DeckSnapshot(header=HeaderView(badge=badge, now=0, heartbeat=0.0, speed=speed))
        self._apply: Mapping[type, Callable[[Any], FeedEntry | None]] = {
            Idle: self._idle,
            Scheduled: self._waiting,
            Opened: self._opened,
            Active: self._active,
            Closed: self._closed,
            Cancelled: self._cancelled,
            InstanceChanged: self._instance_changed,
            RiskRejection: self._rejected,
            RunError: self._failed,
            DataStatus: self._data_status,
            ExchangeStatus: self._exchange_status,
            Partial: self._milestone,
            Performance: lambda e: self._meters.add(e.metric_type, "ms", e.duration),
        }

    # -- input ---------------------------------------------------------------------------------

    def apply(self, event: object) -> FeedEntry | None:
        """Fold one event; answers the feed entry it made, None when it made none."""
        self.applied += 1
        handler = self._apply.get(type(event))
        return handler(event) if handler else None

    def restore(
        self, instance_id: str, key: RunKey, status: str, left: RunState, seen: Telemetry | None
    ) -> None:
        """Show a live run as an earlier process left it; its later events go on from there."""
        row = self._row(key, instance_id)
        row.status = status
        row.trades = len(left.trades)
        row.wins = sum(trade.pnl.pnl_percentage > 0 for trade in left.trades)
        row.total_pnl = fsum(trade.pnl.pnl_percentage for trade in left.trades)
        if left.instance is not None:
            row.last_error = first_line(left.instance.error)
        if seen is not None and seen.last_price is not None:
            row.last_price, row.last_tick = seen.last_price, seen.when
            self._newest[key.exchange_name] = max(
                seen.when, self._newest.get(key.exchange_name, seen.when)
            )
            self._dirty.add("header")
        row.clear_signal()  # It may be shown already, by whoever follows.
        self._dirty.add("risk")
        if left.held is not None:
            price = row.last_price
            self._hold(row, left.held.row, left.held.row.price_open if price is None else price)
            if seen is not None and seen.pnl_percent is not None:
                row.pnl_percent = seen.pnl_percent
            if isinstance(left.held, OpenPosition):
                row.path = path_of(left.held.row, price)
                row.profit_level, row.loss_level = left.held.profit_level, left.held.loss_level
        self._touch(row)

    def recall(self, event: JournalEvent) -> FeedEntry | None:
        """Put an event of an earlier process into the feed; the rows know of it already."""
        self._dirty.add("feed")
        match event:
            case Scheduled() | Opened() | Closed() | Cancelled():
                return self._feed.transition(event)
            case RiskRejection():
                return self._rejected(event)
            case ErrorNote():
                return self._feed.note(event)
            case Partial():
                self._milestones.add(event)
                self._dirty.add("milestones")
                return None

    def flag(self, key: RunKey, word: str, on: bool) -> None:
        """Show or remove a word (``stuck``) beside the status of a live run."""
        row = self._rows.get(key)
        if row is not None and (word in row.flags) is not on:
            flags = [*row.flags, word] if on else [w for w in row.flags if w != word]
            row.flags = tuple(sorted(flags))
            self._touch(row)

    def put_walker(self, view: WalkerView, *, older: bool = False) -> None:
        """Add a walker (one ``older`` than all others behind) or replace what is known of it."""
        self._walkers.put(view, older=older)
        self._dirty.add("walkers")

    def put_backtest(self, view: BacktestView, *, older: bool = False) -> None:
        """Add a backtest (one ``older`` than all others behind) or replace what is known of it."""
        self._backtests.put(view, older=older)
        self._dirty.add("backtests")

    def put_optimizer(self, view: OptimizerView) -> None:
        """Add an optimizer's run or replace what is known of it."""
        self._optimizers.put(view)
        self._dirty.add("optimizers")

    def backtest(self, run_id: str) -> BacktestView | None:
        """What is known of a backtest."""
        return self._backtests.get(run_id)

    def put_catalog(self, catalog: Catalog) -> None:
        """Replace what the New-run form offers."""
        self._catalog = catalog
        self._dirty.add("catalog")

    def put_profiles(self, profiles: Iterable[ProfileView]) -> None:
        """Replace the risk profiles; slots and refusals are folded into them."""
        self._risk.put_profiles(profiles)
        self._dirty.add("risk")

    def put_log(self, lines: tuple[LogLine, ...], total: int, path: str) -> None:
        """Replace the kept lines of the log, newest first; ``total`` counts all there ever were."""
        if (total, path) != self._log[1:]:
            self._log = (lines, total, path)
            self._dirty.add("log")

    def measure(self, name: str, unit: str, value: float) -> None:
        """Take a sample of something measured; `publish_metrics` shows it."""
        self._meters.add(name, unit, value)

    def publish_metrics(self) -> None:
        """Let the next snapshot hold the measurements; sorting them costs, so not every time."""
        self._dirty.add("metrics")

    def failure(self, key: RunKey) -> str:
        """The newest error of a run with its traceback, "" without one."""
        row = self._rows.get(key)
        error = None if row is None else row.failure
        return "" if error is None else f"{error.stage}: {error}\n{error.traceback}"[:FULL_SIZE]

    def levels(self, key: RunKey, profit: int, loss: int) -> None:
        """Milestones a position had reached before this console began to listen."""
        row = self._rows.get(key)
        if row is not None and (profit > row.profit_level or loss > row.loss_level):
            row.profit_level = max(profit, row.profit_level)
            row.loss_level = max(loss, row.loss_level)
            self._touch(row)

    # -- output --------------------------------------------------------------------------------

    @property
    def is_dirty(self) -> bool:
        """True when something changed since the last snapshot."""
        return bool(self._dirty)

    def snapshot(self, now: int, heartbeat: float) -> DeckSnapshot:
        """Freeze what changed and answer the whole.

        Args:
            now: the engine clock's time, ms UTC.
            heartbeat: monotonic seconds of that reading.
        """
        dirty, self._dirty = self._dirty, set()
        last = self._last
        counts = {topic: getattr(last.versions, topic) + 1 for topic in dirty | {"header"}}
        self._versions = replace(last.versions, **counts)
        self._last = DeckSnapshot(
            header=self._header(now, heartbeat),
            versions=self._versions,
            instances=self._instances() if "instances" in dirty else last.instances,
            feed=self._feed.entries() if "feed" in dirty else last.feed,
            feed_total=self._feed.total,
            walkers=self._walkers.views() if "walkers" in dirty else last.walkers,
            optimizers=self._optimizers.views() if "optimizers" in dirty else last.optimizers,
            backtests=self._backtests.views() if "backtests" in dirty else last.backtests,
            catalog=self._catalog,
            milestones=(self._milestones.views() if "milestones" in dirty else last.milestones),
            profiles=self._profiles() if "risk" in dirty else last.profiles,
            rejections=self._risk.rejections() if "risk" in dirty else last.rejections,
            metrics=self._meters.views() if "metrics" in dirty else last.metrics,
            log=self._log[0],
            log_total=self._log[1],
            log_file=self._log[2],
        )
        return self._last

    def _profiles(self) -> tuple[ProfileView, ...]:
        holders: dict[str, list[str]] = {}
        for key, row in self._rows.items():
            if row.signal is not None and not row.signal.is_scheduled:
                holders.setdefault(key.strategy_name, []).append(row.instance_id)
        return self._risk.profiles(holders)

    def _header(self, now: int, heartbeat: float) -> HeaderView:
        stale = {exchange for exchange, _ in self._stale}
        names = sorted({row.key.exchange_name for row in self._rows.values()})
        rows = self._rows.values()
        return HeaderView(
            badge=self._badge,
            now=now,
            heartbeat=heartbeat,
            speed=self._speed,
            exchanges=tuple(self._health(name, name in stale) for name in names),
            running=sum(row.status in ("running", "stopping") for row in rows),
            open=sum(row.signal is not None and not row.signal.is_scheduled for row in rows),
            scheduled=sum(row.signal is not None and row.signal.is_scheduled for row in rows),
            errors=self._errors,
            trouble=self.trouble,
        )

    def _health(self, name: str, stale: bool) -> ExchangeHealth:
        said = self._said.get(name)
        offset, used = (said.clock_offset, said.rate_limit_used) if said else (None, None)
        return ExchangeHealth(name, self._newest.get(name), stale, offset, used)

    def _instances(self) -> tuple[InstanceView, ...]:
        views: list[InstanceView] = []
        for row in self._rows.values():
            if row.view is None:
                row.view = self._freeze(row)
            views.append(row.view)
        return tuple(views)

    def _freeze(self, row: Row) -> InstanceView:
        signal = row.signal
        stale = (row.key.exchange_name, row.key.symbol) in self._stale
        return InstanceView(
            instance_id=row.instance_id,
            mode=str(row.key.mode),
            symbol=row.key.symbol,
            strategy_name=row.key.strategy_name,
            exchange_name=row.key.exchange_name,
            status=row.status,
            flags=("stale", *row.flags) if stale else row.flags,
            position=position_text(signal),
            entry=signal.price_open if signal else None,
            take_profit=signal.price_take_profit if signal else None,
            stop_loss=signal.price_stop_loss if signal else None,
            last_price=row.last_price,
            pnl_percent=row.pnl_percent,
            path=row.path,
            expires_at=self._expires_at(signal) if signal else None,
            last_tick=row.last_tick,
            trades=row.trades,
            wins=row.wins,
            total_pnl=row.total_pnl,
            errors=row.errors,
            last_error=row.last_error,
            signal_id=signal.id if signal else "",
            since=since(signal),
            profit_level=row.profit_level,
            loss_level=row.loss_level,
        )

    def _expires_at(self, signal: SignalRow) -> int:
        if signal.is_scheduled:
            return signal.scheduled_at + self._schedule_ms
        return signal.pending_at + signal.minute_estimated_time * MINUTE

    # -- tick results --------------------------------------------------------------------------

    def _idle(self, event: Idle) -> None:
        self._tick(event).clear_signal()

    def _waiting(self, event: Scheduled) -> FeedEntry:
        if not event.replayed:
            self._hold(self._tick(event), event.signal, event.current_price)
        return self._told(event)

    def _opened(self, event: Opened) -> FeedEntry:
        if not event.replayed:
            self._hold(self._tick(event), event.signal, event.current_price)
            self._dirty.add("risk")
        return self._told(event)

    def _active(self, event: Active) -> None:
        row = self._tick(event)
        self._hold(row, event.signal, event.current_price)
        if not event.signal.is_scheduled:
            row.path = event.percent_tp if event.percent_tp > 0 else -event.percent_sl

    def _closed(self, event: Closed) -> FeedEntry:
        if not event.replayed:
            row = self._tick(event)
            row.clear_signal()
            pnl = event.pnl.pnl_percentage
            row.trades += 1
            row.wins += pnl > 0
            row.total_pnl += pnl
            self._dirty.add("risk")
        return self._told(event)

    def _cancelled(self, event: Cancelled) -> FeedEntry:
        if not event.replayed:
            self._tick(event).clear_signal()
        return self._told(event)

    def _tick(self, event: Idle | Scheduled | Opened | Active | Closed | Cancelled) -> Row:
        row = self._row(event.key)
        row.last_price = event.current_price
        row.last_tick = event.when
        exchange = event.key.exchange_name
        if event.when > self._newest.get(exchange, -1):
            self._newest[exchange] = event.when
        self._touch(row)
        return row

    def _hold(self, row: Row, signal: SignalRow, price: float) -> None:
        row.signal = signal
        row.path = None if signal.is_scheduled else 0.0
        marked = self._profit is not None and not signal.is_scheduled
        row.pnl_percent = self._profit(signal, price) if marked and self._profit else None

    # -- other events --------------------------------------------------------------------------

    def _instance_changed(self, event: InstanceChanged) -> None:
        if event.mode is not Mode.LIVE:
            return
        row = self._row(event.key, event.instance_id)
        if event.status == "running" and row.status in ("done", "failed"):
            row.new_session()
        row.status = event.status
        if event.status in ("done", "failed"):
            row.clear_signal()
            self._dirty.add("risk")
        if event.error:
            row.last_error = first_line(event.error)
        self._touch(row)

    def _rejected(self, event: RiskRejection) -> FeedEntry:
        self._risk.refuse(event, refusal_text(event))
        self._dirty |= {"risk", "feed"}
        return self._feed.rejection(event)

    def _failed(self, error: RunError) -> FeedEntry:
        key = key_of_error(error)
        for row in self._rows.values():
            if is_about(key, row.key):
                row.errors += 1
                row.last_error = first_line(str(error))
                row.failure = error
                self._touch(row)
        self._errors += 1
        self._dirty.add("feed")
        when = error.when if error.when is not None else self._last.header.now
        return self._feed.error(key, error, when)

    def _data_status(self, event: DataStatus) -> None:
        late = (event.exchange_name, event.symbol)
        if event.stale is (late in self._stale):
            return
        if event.stale:
            self._stale.add(late)
        else:
            self._stale.discard(late)
        self._dirty.add("header")
        for row in self._rows.values():
            if (row.key.exchange_name, row.key.symbol) == late:
                self._touch(row)

    def _exchange_status(self, event: ExchangeStatus) -> None:
        self._said[event.exchange_name] = event
        self._dirty.add("header")

    def _milestone(self, event: Partial) -> None:
        if event.backtest:
            return
        self._milestones.add(event)
        self._dirty.add("milestones")
        row = self._rows.get(event.key)
        if row is not None and row.signal is not None and row.signal.id == event.data.id:
            on_profit = event.side == "profit"
            self.levels(event.key, event.level if on_profit else 0, 0 if on_profit else event.level)

    # -- helpers -------------------------------------------------------------------------------

    def _row(self, key: RunKey, instance_id: str = "") -> Row:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = Row(instance_id or str(key), key)
        elif instance_id:
            row.instance_id = instance_id
        return row

    def _touch(self, row: Row) -> None:
        row.view = None
        self._dirty.add("instances")

    def _told(self, event: Transition) -> FeedEntry:
        self._dirty.add("feed")
        return self._feed.transition(event)
