"""Fixed sample data and a host that serves it, so that screens and widgets run without an engine.

``python -m screens.widgets.NAME`` draws from here, and so do the snapshot tests: the same figures
at the same instant, every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from console.about import About
from console.memory import Memory
from console.notices import Changed, HostEvent, Notice
from console.views import (
    BacktestView,
    Catalog,
    DeckSnapshot,
    ExchangeHealth,
    ExchangeItem,
    FeedEntry,
    FieldError,
    HeaderView,
    InstanceDetail,
    InstanceView,
    Quote,
    RunRequest,
    StrategyItem,
    Versions,
    WalkerItem,
)
from engine.domain.errors import EngineError, RunStateError
from engine.domain.settings import Settings
from screens.sample_desk import METRICS, MILESTONES, NOW, PROFILES, REJECTIONS, bars, log
from screens.sample_outcome import outcome, session_report
from screens.sample_walkers import OPTIMIZERS, walkers

HEARTBEAT: Final = 1000.0
"""Monotonic seconds of the sample's last heartbeat."""

_MINUTE: Final = 60_000
_DAY: Final = 86_400_000
_JANUARY: Final = 1_704_067_200_000
_T = TypeVar("_T")


def frozen_clock() -> float:
    """A monotonic clock that stands still 0.2 s after the sample's heartbeat."""
    return HEARTBEAT + 0.2


INSTANCES: Final = (
    InstanceView(
        "live-1", "live", "BTCUSDT", "sma-cross", "simulated", "running",
        position="long", entry=43_210.5, take_profit=43_642.6, stop_loss=42_778.4,
        last_price=43_391.07, pnl_percent=0.21, path=41.8, expires_at=NOW + 131 * _MINUTE,
        last_tick=NOW - 5_000, trades=14, wins=9, total_pnl=4.62, signal_id="signal-50",
        since=NOW - 70 * _MINUTE, profit_level=40, loss_level=10,
    ),
    InstanceView(
        "live-2", "live", "ETHUSDT", "breakout", "simulated", "running",
        position="short", entry=2_301.2, take_profit=2_278.19, stop_loss=2_324.21,
        last_price=2_314.86, pnl_percent=-0.99, path=-59.4, expires_at=NOW + 44 * _MINUTE,
        last_tick=NOW - 5_000, trades=8, wins=3, total_pnl=-1.17, signal_id="signal-56",
        since=NOW - 28 * _MINUTE, profit_level=10, loss_level=50,
    ),
    InstanceView(
        "live-3", "live", "SOLUSDT", "breakout", "simulated", "running",
        position="long waiting", entry=98.4, take_profit=99.6, stop_loss=97.2,
        last_price=98.93, expires_at=NOW + 97 * _MINUTE, last_tick=NOW - 5_000,
        trades=3, wins=2, total_pnl=0.84, signal_id="signal-57", since=NOW - 21 * _MINUTE,
    ),
    InstanceView(
        "live-4", "live", "XRPUSDT", "rsi-reversion", "simulated", "running",
        last_price=0.61284, last_tick=NOW - 5_000, trades=21, wins=13, total_pnl=2.05,
    ),
    InstanceView(
        "live-5", "live", "ADAUSDT", "rsi-reversion", "simulated", "stopping",
        position="long", entry=0.5913, take_profit=0.5972, stop_loss=0.5854,
        last_price=0.5966, pnl_percent=0.5, path=89.8, expires_at=NOW + 12 * _MINUTE,
        last_tick=NOW - 5_000, trades=5, wins=4, total_pnl=1.93, signal_id="signal-51",
        since=NOW - 63 * _MINUTE, profit_level=80,
    ),
    InstanceView(
        "live-6", "live", "BTCUSDT", "[red]均线[/] cross", "papier", "running", ("stale",),
        last_price=43_377.0, last_tick=NOW - 260_000, trades=2, wins=0, total_pnl=-0.8,
    ),
    InstanceView(
        "live-7", "live", "DOGEUSDT", "momentum-v2", "papier", "failed",
        last_price=0.08231, last_tick=NOW - 3_900_000, errors=3,
        last_error="momentum-v2: KeyError: 'rsi' (momentum_v2.py:41)",
    ),
    InstanceView(
        "live-8", "live", "LTCUSDT", "sma-cross", "simulated", "done",
        last_price=71.42, last_tick=NOW - 7_500_000, trades=11, wins=6, total_pnl=0.37,
    ),
)  # fmt: skip
"""Live runs in every state an operator can meet."""

_FEED_STEPS: Final = (
    ("opened", "BTCUSDT", "sma-cross", "long", 43_210.5, None, "fast over slow"),
    ("rejected", "XRPUSDT", "rsi-reversion", "long", 0.6101, None, "at most 3 positions at once"),
    ("closed", "SOLUSDT", "breakout", "long", 99.61, 0.82, "take_profit"),
    ("scheduled", "SOLUSDT", "breakout", "long", 98.4, None, "waits for the retest"),
    ("opened", "ETHUSDT", "breakout", "short", 2_301.2, None, ""),
    ("error", "DOGEUSDT", "momentum-v2", "", None, None, "get_signal: KeyError: 'rsi'"),
    ("cancelled", "ADAUSDT", "breakout", "long", 0.5888, None, "timeout"),
    ("closed", "XRPUSDT", "rsi-reversion", "short", 0.6152, -0.61, "stop_loss"),
    ("closed", "BTCUSDT", "[red]均线[/] cross", "long", 43_120.0, -0.2, "time_expired"),
    ("opened", "ADAUSDT", "rsi-reversion", "long", 0.5913, None, ""),
)


_INVALID: Final = (
    "validation: take profit 0.08214 is below the entry 0.08231 of a long: set it above, at least "
    "0.2 % away; minute_estimated_time is 0: must be at least 1"
)


def feed(amount: int = 60, newest: int = 60) -> tuple[FeedEntry, ...]:
    """The newest ``amount`` entries of a feed whose newest has that number, newest first."""
    entries: list[FeedEntry] = []
    for number in range(newest, newest - amount, -1):
        action, symbol, strategy, position, price, pnl, detail = _FEED_STEPS[-number % 10]
        sign = -1 if position == "short" else 1
        entry = price / (1 + sign * (pnl or 0.0) / 100) if price is not None else None
        # A position that closed was scheduled eleven entries before; an error may be a signal's.
        signal = number - 11 if symbol == "SOLUSDT" and action == "closed" else number
        detail = _INVALID if action == "error" and number % 20 == 5 else detail
        entries.append(
            FeedEntry(
                number,
                NOW - 5_000 - (60 - number) * 7 * _MINUTE,
                action,
                "live",
                symbol,
                strategy,
                "simulated",
                position,
                price,
                pnl,
                detail,
                f"signal-{signal}" if position else "",
                entry,
                None if entry is None else entry * (1 + sign * 0.01),
                None if entry is None else entry * (1 - sign * 0.01),
                240 if position else None,
            )
        )
    return tuple(entries)


def _backtest(run_id: str, status: str, **fields: object) -> BacktestView:
    base = BacktestView(
        run_id, "sma-cross", "BTCUSDT", "simulated", "1m", _JANUARY, _JANUARY + 30 * _DAY, status
    )
    return replace(base, **fields)


def backtests() -> tuple[BacktestView, ...]:
    """Backtests in every state, newest first."""
    return (
        _backtest("bt-9", "queued", strategy_name="rsi-reversion", symbol="SOLUSDT"),
        _backtest(
            "bt-8", "running", strategy_name="breakout", symbol="ETHUSDT", progress=0.634,
            when=_JANUARY + 19 * _DAY, trades=61, candles_per_second=412_000.0, eta_seconds=38.0,
        ),
        _backtest(
            "bt-7", "running", progress=0.082, when=_JANUARY + 2 * _DAY, trades=7,
            candles_per_second=388_400.0, eta_seconds=214.0,
        ),
        _backtest("bt-6", "done", progress=1.0, trades=97, outcome=outcome(7)),
        _backtest(
            "bt-5", "done", strategy_name="breakout", symbol="ETHUSDT", progress=1.0, trades=88,
            outcome=outcome(3),
        ),
        _backtest(
            "bt-4", "stopped", strategy_name="rsi-reversion", progress=0.4, trades=40,
            outcome=replace(outcome(11, days=12), stopped=True),
        ),
        _backtest(
            "bt-3", "failed", strategy_name="momentum-v2", symbol="DOGEUSDT", progress=0.1,
            error="momentum-v2: get_signal took longer than 180 s at 2024-01-04 02:11 UTC",
        ),
    )  # fmt: skip


CATALOG: Final = Catalog(
    strategies=(
        StrategyItem("sma-cross", "1m", "moving averages with a bracket", "sma_cross.py"),
        StrategyItem("breakout", "5m", "waits for the retest of a range", "breakout.py"),
        StrategyItem("rsi-reversion", "15m", "long and short, back to the mean", "rsi.py"),
        StrategyItem("typo.py", file="typo.py", error="typo.py:12: SyntaxError: invalid syntax"),
    ),
    exchanges=(
        ExchangeItem(
            "simulated", "simulated", ("ADAUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"),
            (_JANUARY - 365 * _DAY, NOW),
        ),
        ExchangeItem("january", "files", ("BTCUSDT",), (_JANUARY, _JANUARY + 31 * _DAY), False),
    ),
    frame_intervals=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h"),
    walkers=(
        WalkerItem(
            "sma-grid", "9 windows of sma-cross", "simulated", ("BTCUSDT", "ETHUSDT"),
            "sharpe_ratio", "5m", "2024-01-01", "2024-01-31",
        ),
    ),
    optimizers=(("trend", "learns from hourly candles"),),
)  # fmt: skip
"""What the sample's New-run form offers."""


_FIRST: Final = Versions(**{name.name: 1 for name in fields(Versions)})


def snapshot() -> DeckSnapshot:
    """A console in full swing."""
    header = HeaderView(
        "SIGNALS ONLY - no orders are sent", NOW, HEARTBEAT, 1.0,
        (ExchangeHealth("papier", NOW - 245_000, True), ExchangeHealth("simulated", NOW - 5_000)),
        running=6, open=3, scheduled=1, errors=3,
    )  # fmt: skip
    return DeckSnapshot(
        header, _FIRST, INSTANCES, feed(), 60, backtests(), walkers(), OPTIMIZERS,
        catalog=CATALOG, milestones=MILESTONES, profiles=PROFILES, rejections=REJECTIONS,
        metrics=METRICS, log=log(), log_total=40,
        log_file="/home/operator/.local/state/signaldeck/log/signaldeck.log",
    )  # fmt: skip


def empty_snapshot() -> DeckSnapshot:
    """A console nobody has started anything in."""
    header = HeaderView("SIGNALS ONLY - no orders are sent", NOW, HEARTBEAT)
    return DeckSnapshot(header, _FIRST, catalog=CATALOG)


def instance_detail(view: InstanceView, interval: str = "1m") -> InstanceDetail:
    """What is asked for when a run is opened."""
    result = outcome(7)
    last = view.last_price or 100.0
    return InstanceDetail(
        view.instance_id,
        bars(interval=interval, last=last),
        tuple((name, str(value)) for name, value in Settings().model_dump().items()),
        f"strategies/{view.strategy_name.replace('-', '_')}.py",
        "3f9a61c08d5e7b24" * 4,
        2,
        NOW - 3 * _DAY,
        f"{view.last_error}\nTraceback (most recent call last):" if view.last_error else "",
        result.statistics,
        result.equity,
        session_report(view.strategy_name) if view.trades else "",
    )


class SampleHost:
    """Serves a snapshot and answers commands at once; ``commands`` keeps what was asked."""

    def __init__(self, start: DeckSnapshot | None = None) -> None:
        self._snapshot = start or snapshot()
        self._notify: Callable[[HostEvent], None] | None = None
        self.memory = Memory()
        versions = (("signaldeck", "1.0.0"), ("Python", "3.11.9"), ("textual", "8.2.8"))
        self.about = About("/home/deck/state.db", (("log", "/home/deck/signaldeck.log"),), versions)
        self.commands: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.refusal = ""
        self.only_shows = False
        self.shutdown: Future[None] = Future()

    @property
    def snapshot(self) -> DeckSnapshot:
        """What there is to draw."""
        return self._snapshot

    @property
    def read_only(self) -> bool:
        """Commands are taken."""
        return self.only_shows

    @property
    def restored(self) -> str:
        """Nothing was."""
        return ""

    def set_listener(self, notify: Callable[[HostEvent], None] | None) -> None:
        """Tell ``notify`` of every `swap`."""
        self._notify = notify

    def swap(self, new: DeckSnapshot, *topics: str, notice: FeedEntry | None = None) -> None:
        """Replace the snapshot, count up the topics that changed, tell the listener."""
        counts = {topic: getattr(self._snapshot.versions, topic) + 1 for topic in topics}
        versions = replace(self._snapshot.versions, **counts)
        self._snapshot = replace(new, versions=versions)
        if self._notify is not None:
            self._notify(Changed(versions))
            if notice is not None:
                self._notify(Notice(notice))

    def check(self, request: RunRequest) -> Future[tuple[FieldError, ...]]:
        """Refuse what the catalog does not hold."""
        catalog = self._snapshot.catalog
        known = {item.name for item in catalog.strategies if not item.error}
        if request.kind == "walker" and not request.strategies:
            known = {item.name for item in catalog.walkers}
        elif request.kind == "optimizer":
            known = {name for name, _ in catalog.optimizers}
        found: list[FieldError] = []
        for name in request.strategies or (request.strategy_name,):
            if name not in known:
                text = f"strategy {name!r} is not registered: use one of "
                found.append(FieldError("strategy_name", text + ", ".join(sorted(known))))
        if not request.symbol:
            found.append(FieldError("symbol", "no symbol is given: type one, for example BTCUSDT"))
        if request.start > request.end:
            text = f"start {request.start} is after end {request.end}: exchange them"
            found.append(FieldError("start", text))
        return _done(tuple(found))

    def start_run(self, request: RunRequest) -> Future[str]:
        """Show the run at once, as the engine does."""
        if self.refusal:
            return _failed(RunStateError(self.refusal))
        name = request.strategy_name or "+".join(request.strategies)
        self.commands.append(f"start {request.kind} {name} {request.symbol}")
        if request.kind == "walker":
            walker = replace(walkers()[0], run_id="walker-new", symbol=request.symbol)
            self.swap(replace(self._snapshot, walkers=(walker, *self._snapshot.walkers)), "walkers")
            return _done("walker-new")
        if request.kind == "optimizer":
            run = replace(OPTIMIZERS[0], run_id="optimizer-new", symbol=request.symbol)
            runs = (run, *self._snapshot.optimizers)
            self.swap(replace(self._snapshot, optimizers=runs), "optimizers")
            return _done("optimizer-new")
        if request.kind == "backtest":
            view = _backtest(
                "bt-new", "queued", strategy_name=request.strategy_name, symbol=request.symbol
            )
            tests = (view, *self._snapshot.backtests)
            self.swap(replace(self._snapshot, backtests=tests), "backtests")
            return _done("bt-new")
        live = InstanceView(
            "live-new", "live", request.symbol, request.strategy_name, request.exchange_name,
            "running",
        )  # fmt: skip
        instances = (*self._snapshot.instances, live)
        self.swap(replace(self._snapshot, instances=instances), "instances")
        return _done("live-new")

    def stop_run(self, run_id: str) -> Future[str]:
        """Take note of it."""
        return self._answer(f"stop {run_id}", f"{run_id}: draining, nothing new is opened")

    def start_again(self, run_id: str) -> Future[str]:
        """Take note of it."""
        return self._answer(f"again {run_id}", f"{run_id} is started again")

    def close_run(self, run_id: str) -> Future[str]:
        """Take note of it."""
        return self._answer(f"close {run_id}", f"{run_id}: closed at 61,234.5")

    def cancel_run(self, run_id: str) -> Future[str]:
        """Take note of it."""
        return self._answer(f"cancel {run_id}", f"{run_id}: cancelled")

    def stop_runs(self, run_ids: Sequence[str]) -> Future[str]:
        """Take note of it."""
        return self._answer(f"stop {' '.join(run_ids)}", f"stop: {len(run_ids)} done")

    def close_runs(self, run_ids: Sequence[str]) -> Future[str]:
        """Take note of it."""
        return self._answer(f"close {' '.join(run_ids)}", f"close: {len(run_ids)} done")

    def quote(self, run_id: str) -> Future[Quote]:
        """A price of a moment ago, an old one where the data is stale."""
        view = next(item for item in self._snapshot.instances if item.instance_id == run_id)
        stale = "stale" in view.flags
        at = NOW - (240_000 if stale else 5_000)
        return _done(Quote(view.last_price or 0.0, at, NOW, stale, False))

    def instance_detail(self, run_id: str, interval: str) -> Future[InstanceDetail]:
        """Candles that end at the run's last price, and the figures of a sample outcome."""
        if self.refusal:
            return _failed(RunStateError(self.refusal))
        self.asked.append((run_id, interval))
        view = next(v for v in self._snapshot.instances if v.instance_id == run_id)
        return _done(instance_detail(view, interval))

    def skip_strategy(self, run_id: str, strategy_name: str) -> Future[str]:
        """Take note of it."""
        return self._answer(f"skip {run_id} {strategy_name}", f"{strategy_name} is skipped")

    def symbols(self, exchange_name: str) -> Future[tuple[str, ...]]:
        """The symbols of the catalog."""
        named = (e.symbols for e in self._snapshot.catalog.exchanges if e.name == exchange_name)
        return _done(next(named, ()))

    def begin_shutdown(self, *, drain: bool) -> Future[None]:
        """Take note; a drain ends when the test says so through ``shutdown``."""
        self.commands.append(f"shutdown drain={drain}")
        if not drain and not self.shutdown.done():
            self.shutdown.set_result(None)
        return self.shutdown

    def _answer(self, command: str, answer: str) -> Future[str]:
        if self.refusal:
            return _failed(RunStateError(self.refusal))
        self.commands.append(command)
        return _done(answer)


def _done(value: _T) -> Future[_T]:
    future: Future[_T] = Future()
    future.set_result(value)
    return future


def _failed(error: EngineError) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future
