"""The frozen views that screens draw; `console.deck` makes them, nothing else does.

Instants are ms UTC, prices are floats in quote currency, percentages in percent units. A missing
value is None and is drawn as a dash.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.domain.outcome import BacktestOutcome


@dataclass(frozen=True, slots=True)
class InstanceView:
    """One live run as the Deck shows it.

    Attributes:
        status: ``idle | running | stopping | done | failed``; ``stopping`` is shown as
            ``draining``.
        flags: words to show beside the status (``stale``, ``stuck``).
        position: ``long``, ``short``, ``long waiting``, ``short waiting`` or "" when flat.
        path: where VWAP stands between stop-loss (-100) and take-profit (+100); 0 is the entry.
        expires_at: instant at which the position (or the waiting signal) times out.
    """

    instance_id: str
    mode: str
    symbol: str
    strategy_name: str
    exchange_name: str
    status: str
    flags: tuple[str, ...] = ()
    position: str = ""
    entry: float | None = None
    take_profit: float | None = None
    stop_loss: float | None = None
    last_price: float | None = None
    pnl_percent: float | None = None
    path: float | None = None
    expires_at: int | None = None
    last_tick: int | None = None
    trades: int = 0
    wins: int = 0
    total_pnl: float = 0.0
    errors: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One line of the signal feed; ``number`` grows by one per entry and never repeats.

    ``action`` is ``opened | closed | cancelled | scheduled | rejected | error``; ``detail`` is
    the close or cancel reason, the rejection's comment, or the error's first line.
    """

    number: int
    when: int
    action: str
    mode: str
    symbol: str
    strategy_name: str
    exchange_name: str
    position: str = ""
    price: float | None = None
    pnl_percent: float | None = None
    detail: str = ""
    signal_id: str = ""


@dataclass(frozen=True, slots=True)
class BacktestView:
    """One backtest, from queued to finished.

    Attributes:
        status: ``queued | running | stopping | done | stopped | failed``.
        progress: 0 to 1; ``when`` is the simulated instant reached.
        candles_per_second, eta_seconds: None until known.
        outcome: the whole result once ``done`` or ``stopped``.
        error: the message when ``failed``.
    """

    run_id: str
    strategy_name: str
    symbol: str
    exchange_name: str
    frame_interval: str
    frame_start: int
    frame_end: int
    status: str
    progress: float = 0.0
    when: int | None = None
    trades: int = 0
    candles_per_second: float | None = None
    eta_seconds: float | None = None
    started_at: int | None = None
    outcome: BacktestOutcome | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeHealth:
    """Newest bar of one exchange: ``newest_close`` is the instant its newest bar closed."""

    exchange_name: str
    newest_close: int | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class HeaderView:
    """The header line.

    Attributes:
        badge: ``SIGNALS ONLY - no orders are sent``, in the demo ``SIMULATED x60``.
        now: the engine clock's time at ``heartbeat`` (monotonic seconds of that reading).
        speed: engine seconds per wall second (1 except in the demo).
    """

    badge: str
    now: int
    heartbeat: float
    speed: float = 1.0
    exchanges: tuple[ExchangeHealth, ...] = ()
    running: int = 0
    open: int = 0
    scheduled: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class StrategyItem:
    """A strategy the New-run form offers; with ``error`` it is listed and cannot be chosen."""

    name: str
    interval: str = ""
    note: str = ""
    file: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeItem:
    """An exchange the New-run form offers, with the symbols it can name (may be empty)."""

    name: str
    kind: str = ""
    symbols: tuple[str, ...] = ()
    history: tuple[int, int] | None = None
    live: bool = True


@dataclass(frozen=True, slots=True)
class Catalog:
    """What can be chosen when starting a run."""

    strategies: tuple[StrategyItem, ...] = ()
    exchanges: tuple[ExchangeItem, ...] = ()
    frame_intervals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Versions:
    """One counter per topic; a panel redraws when the counter of its topic moved."""

    instances: int = 0
    feed: int = 0
    backtests: int = 0
    header: int = 0
    catalog: int = 0


@dataclass(frozen=True, slots=True)
class DeckSnapshot:
    """Everything the screens draw, swapped in whole by the engine's thread.

    ``feed`` is newest first and bounded; ``feed_total`` counts every entry there ever was.
    """

    header: HeaderView
    versions: Versions = field(default_factory=Versions)
    instances: tuple[InstanceView, ...] = ()
    feed: tuple[FeedEntry, ...] = ()
    feed_total: int = 0
    backtests: tuple[BacktestView, ...] = ()
    catalog: Catalog = field(default_factory=Catalog)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the New-run form submits; texts are as typed and validated by the host.

    Attributes:
        kind: ``live`` or ``backtest``.
        start, end: ISO dates or instants (UTC), both inclusive; backtests only.
        interval: frame interval; backtests only.
    """

    kind: str
    strategy_name: str
    symbol: str
    exchange_name: str
    start: str = ""
    end: str = ""
    interval: str = "1m"


@dataclass(frozen=True, slots=True)
class FieldError:
    """A problem with one field of a `RunRequest`, in the engine's own words."""

    field: str
    message: str
