"""The read model: engine events in, frozen views out.

Screens draw what is in a `DeckSnapshot` and know nothing of the engine. `DeckState` is a fold: it
takes one event after the other, needs no loop, clock or engine, and freezes only the rows that
changed since the last snapshot, so thousands of events a second cost a handful of new objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from console.views import (
    BacktestView,
    Catalog,
    DeckSnapshot,
    ExchangeHealth,
    FeedEntry,
    HeaderView,
    InstanceView,
    Versions,
)
from engine.domain.errors import RunError
from engine.domain.events import DataStatus, InstanceChanged, RiskRejection
from engine.domain.signals import (
    Active,
    Cancelled,
    Closed,
    Idle,
    Mode,
    Opened,
    RunKey,
    Scheduled,
    SignalRow,
)
from engine.domain.time import MINUTE

FEED_SIZE = 2_000
"""Entries the signal feed keeps; older ones are counted and dropped."""

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
)
"""The engine events that `DeckState.apply` folds; anything else is ignored."""

Profit: TypeAlias = Callable[[SignalRow, float], float]
"""Percent a position would book if it closed at a price, costs included."""


@dataclass(slots=True)
class _Row:
    """The mutable twin of one `InstanceView`; ``view`` is None while it differs from the rest."""

    instance_id: str
    key: RunKey
    status: str = "idle"
    flags: tuple[str, ...] = ()
    signal: SignalRow | None = None
    last_price: float | None = None
    pnl_percent: float | None = None
    path: float | None = None
    last_tick: int | None = None
    trades: int = 0
    wins: int = 0
    total_pnl: float = 0.0
    errors: int = 0
    last_error: str = ""
    view: InstanceView | None = None

    def clear_signal(self) -> None:
        """Forget the position or waiting signal."""
        self.signal = self.pnl_percent = self.path = None

    def new_session(self) -> None:
        """Restart what is counted per session."""
        self.clear_signal()
        self.trades = self.wins = self.errors = 0
        self.total_pnl = 0.0
        self.last_error = ""


class DeckState:
    """Everything the console shows, folded from events.

    Args:
        badge: the words the header always shows.
        speed: engine seconds per wall second.
        schedule_minutes: minutes a scheduled signal may wait for its entry.
        profit: how a position is marked to market; None leaves the PnL empty.
        feed_size: entries the feed keeps.
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
        self._rows: dict[RunKey, _Row] = {}
        self._feed: deque[FeedEntry] = deque(maxlen=feed_size)
        self._feed_total = 0
        self._backtests: dict[str, BacktestView] = {}
        self._catalog = Catalog()
        self._newest: dict[str, int] = {}
        self._stale: set[tuple[str, str]] = set()
        self._errors = 0
        self._versions = Versions()
        self._dirty: set[str] = {"header"}
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
        }

    # -- input ---------------------------------------------------------------------------------

    def apply(self, event: object) -> FeedEntry | None:
        """Fold one event; answers the feed entry it made, None when it made none."""
        handler = self._apply.get(type(event))
        return handler(event) if handler else None

    def flag(self, key: RunKey, word: str, on: bool) -> None:
        """Show or remove a word (``stuck``) beside the status of a live run."""
        row = self._rows.get(key)
        if row is not None and (word in row.flags) is not on:
            flags = [*row.flags, word] if on else [w for w in row.flags if w != word]
            row.flags = tuple(sorted(flags))
            self._touch(row)

    def put_backtest(self, view: BacktestView) -> None:
        """Add a backtest or replace what is known of it."""
        self._backtests[view.run_id] = view
        self._dirty.add("backtests")

    def backtest(self, run_id: str) -> BacktestView | None:
        """What is known of a backtest."""
        return self._backtests.get(run_id)

    def put_catalog(self, catalog: Catalog) -> None:
        """Replace what the New-run form offers."""
        self._catalog = catalog
        self._dirty.add("catalog")

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
            feed=tuple(self._feed) if "feed" in dirty else last.feed,
            feed_total=self._feed_total,
            backtests=(
                tuple(reversed(self._backtests.values()))
                if "backtests" in dirty
                else last.backtests
            ),
            catalog=self._catalog,
        )
        return self._last

    def _header(self, now: int, heartbeat: float) -> HeaderView:
        stale = {exchange for exchange, _ in self._stale}
        names = sorted({row.key.exchange_name for row in self._rows.values()})
        rows = self._rows.values()
        return HeaderView(
            badge=self._badge,
            now=now,
            heartbeat=heartbeat,
            speed=self._speed,
            exchanges=tuple(
                ExchangeHealth(name, self._newest.get(name), name in stale) for name in names
            ),
            running=sum(row.status in ("running", "stopping") for row in rows),
            open=sum(row.signal is not None and not row.signal.is_scheduled for row in rows),
            scheduled=sum(row.signal is not None and row.signal.is_scheduled for row in rows),
            errors=self._errors,
        )

    def _instances(self) -> tuple[InstanceView, ...]:
        views: list[InstanceView] = []
        for row in self._rows.values():
            if row.view is None:
                row.view = self._freeze(row)
            views.append(row.view)
        return tuple(views)

    def _freeze(self, row: _Row) -> InstanceView:
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
            position=_position_text(signal),
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
        )

    def _expires_at(self, signal: SignalRow) -> int:
        if signal.is_scheduled:
            return signal.scheduled_at + self._schedule_ms
        return signal.pending_at + signal.minute_estimated_time * MINUTE

    # -- tick results --------------------------------------------------------------------------

    def _idle(self, event: Idle) -> None:
        self._tick(event).clear_signal()

    def _waiting(self, event: Scheduled) -> FeedEntry:
        self._hold(self._tick(event), event.signal, event.current_price)
        return self._signal_entry(event, "scheduled", price=event.signal.price_open)

    def _opened(self, event: Opened) -> FeedEntry:
        self._hold(self._tick(event), event.signal, event.current_price)
        return self._signal_entry(event, "opened", price=event.current_price)

    def _active(self, event: Active) -> None:
        row = self._tick(event)
        self._hold(row, event.signal, event.current_price)
        if not event.signal.is_scheduled:
            row.path = event.percent_tp if event.percent_tp > 0 else -event.percent_sl

    def _closed(self, event: Closed) -> FeedEntry:
        row = self._tick(event)
        row.clear_signal()
        pnl = event.pnl.pnl_percentage
        row.trades += 1
        row.wins += pnl > 0
        row.total_pnl += pnl
        return self._signal_entry(
            event, "closed", price=event.current_price, pnl=pnl, detail=str(event.close_reason)
        )

    def _cancelled(self, event: Cancelled) -> FeedEntry:
        self._tick(event).clear_signal()
        return self._signal_entry(
            event, "cancelled", price=event.current_price, detail=str(event.cancel_reason)
        )

    def _tick(self, event: Idle | Scheduled | Opened | Active | Closed | Cancelled) -> _Row:
        row = self._row(event.key)
        row.last_price = event.current_price
        row.last_tick = event.when
        exchange = event.key.exchange_name
        if event.when > self._newest.get(exchange, -1):
            self._newest[exchange] = event.when
        self._touch(row)
        return row

    def _hold(self, row: _Row, signal: SignalRow, price: float) -> None:
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
        if event.error:
            row.last_error = _first_line(event.error)
        self._touch(row)

    def _rejected(self, event: RiskRejection) -> FeedEntry | None:
        signal = event.pending_signal
        said = event.comment if event.comment not in ("", "N/A") else ""
        return self._entry(
            event.key,
            when=event.timestamp,
            action="rejected",
            position=str(signal.position),
            price=event.current_price,
            detail=said or f"refused by risk profile {event.risk_name}",
            signal_id=signal.id,
        )

    def _failed(self, error: RunError) -> FeedEntry:
        key = RunKey(
            Mode(error.mode or Mode.LIVE),
            error.exchange_name,
            error.strategy_name,
            error.symbol,
            error.frame_name,
        )
        text = _first_line(str(error))
        row = self._rows.get(key)
        if row is not None:
            row.errors += 1
            row.last_error = text
            self._touch(row)
        self._errors += 1
        when = error.when if error.when is not None else self._last.header.now
        return self._entry(key, when=when, action="error", detail=f"{error.stage}: {text}")

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

    # -- helpers -------------------------------------------------------------------------------

    def _row(self, key: RunKey, instance_id: str = "") -> _Row:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row(instance_id or str(key), key)
        elif instance_id:
            row.instance_id = instance_id
        return row

    def _touch(self, row: _Row) -> None:
        row.view = None
        self._dirty.add("instances")

    def _signal_entry(
        self,
        event: Scheduled | Opened | Closed | Cancelled,
        action: str,
        *,
        price: float,
        pnl: float | None = None,
        detail: str = "",
    ) -> FeedEntry:
        return self._entry(
            event.key,
            when=event.when,
            action=action,
            position=str(event.signal.position),
            price=price,
            pnl_percent=pnl,
            detail=detail or _first_line(event.signal.note),
            signal_id=event.signal.id,
        )

    def _entry(self, key: RunKey, *, when: int, action: str, **fields: Any) -> FeedEntry:
        self._feed_total += 1
        entry = FeedEntry(
            number=self._feed_total,
            when=when,
            action=action,
            mode=str(key.mode),
            symbol=key.symbol,
            strategy_name=key.strategy_name,
            exchange_name=key.exchange_name,
            **fields,
        )
        self._feed.appendleft(entry)
        self._dirty.add("feed")
        return entry


def _position_text(signal: SignalRow | None) -> str:
    if signal is None:
        return ""
    return f"{signal.position} waiting" if signal.is_scheduled else str(signal.position)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""
