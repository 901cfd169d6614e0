"""The frozen views that screens draw; `console.deck` makes them, nothing else does.

Instants are ms UTC, prices are floats in quote currency, percentages in percent units. A missing
value is None and is drawn as a dash.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from console.walker_views import WalkerView
from engine.domain.outcome import BacktestOutcome, BacktestStatistics, EquityPoint


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
        signal_id: the position's or waiting signal's id, "" when flat.
        since: instant at which the position opened (or the signal was scheduled).
        profit_level, loss_level: highest milestone reached, 0 to 100 in tens.
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
    signal_id: str = ""
    since: int | None = None
    profit_level: int = 0
    loss_level: int = 0


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One line of the signal feed; ``number`` grows by one per entry and never repeats.

    ``action`` is ``opened | closed | cancelled | scheduled | rejected | error``; ``detail`` is
    the close or cancel reason, the rejection's comment, or the error's first line.

    Attributes:
        entry, take_profit, stop_loss, minutes, note: the signal's own, where there is one.
        full: an error's whole text when it has more than one line, shortened where it is huge.
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
    entry: float | None = None
    take_profit: float | None = None
    stop_loss: float | None = None
    minutes: int | None = None
    note: str = ""
    full: str = ""


@dataclass(frozen=True, slots=True)
class MilestoneView:
    """A position reached ``level`` (10..100) percent of its way on one ``side``.

    ``side`` is ``profit`` (towards take-profit) or ``loss`` (towards stop-loss); ``number`` grows
    by one per milestone and never repeats.
    """

    number: int
    when: int
    symbol: str
    strategy_name: str
    exchange_name: str
    position: str
    side: str
    level: int
    price: float
    signal_id: str


@dataclass(frozen=True, slots=True)
class RejectionView:
    """Refusals of one risk profile for one reason, counted, with what was refused last.

    ``taken`` is the number of slots that were taken at the last refusal.
    """

    profile: str
    reason: str
    count: int
    when: int
    symbol: str
    strategy_name: str
    position: str
    price: float
    taken: int


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A risk profile and what it lets through now.

    Attributes:
        rules: the notes of its rules, in order; a rule without a note is named by its function.
        strategies: names of the strategies that need its agreement.
        active: live runs whose open positions hold its slots, by instance id.
        refusals: how often it refused since the console started.
        refused_at: fewest slots taken at any of those refusals; None without one.
    """

    name: str
    note: str = ""
    rules: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    refusals: int = 0
    refused_at: int | None = None


@dataclass(frozen=True, slots=True)
class MetricView:
    """One thing that is measured again and again.

    Attributes:
        unit: ``ms``, ``/s`` or ``MB``.
        count, mean: over everything since the console started.
        p50, p95, p99: over the kept samples, by nearest rank.
        last: the newest sample.
        recent: means of equal stretches of the kept samples, oldest first, for a sparkline.
    """

    name: str
    unit: str
    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    last: float
    recent: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record of the program's log; ``when`` is wall clock ms UTC.

    ``level`` is ``debug | info | warning | error``; ``message`` holds the traceback as further
    lines where there is one.
    """

    number: int
    when: int
    level: str
    logger: str
    message: str


@dataclass(frozen=True, slots=True)
class BarsView:
    """Closed bars of one interval, oldest first; ``opened`` are their open times, ms UTC."""

    interval: str
    opened: tuple[int, ...] = ()
    open: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    close: tuple[float, ...] = ()
    volume: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceDetail:
    """What there is to know of one live run beyond its `InstanceView`, asked for on demand.

    Attributes:
        settings: the settings it runs with, as texts.
        strategy_file, strategy_hash: where its strategy came from, and the file's SHA-256.
        session: how often it was started, from 1; ``started_at`` is this session's start.
        error: what ended it, or the newest error with its traceback; "" without one.
        statistics, equity: over the session from its start to now.
        report: the session as Markdown.
        missed: decisions that fell out: a tick took too long, or no process was there.
        problem: what of this could not be had and why, "" when all is there.
    """

    run_id: str
    bars: BarsView
    settings: tuple[tuple[str, str], ...] = ()
    strategy_file: str = ""
    strategy_hash: str = ""
    session: int = 1
    started_at: int | None = None
    error: str = ""
    statistics: BacktestStatistics | None = None
    equity: tuple[EquityPoint, ...] = ()
    report: str = ""
    missed: int = 0
    problem: str = ""


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
class OptimizerView:
    """One run of an optimizer, from its first source to a module that waits for review.

    Attributes:
        status: ``running | done | stopped | failed``.
        progress: 0 to 1, over the sources; the model is asked in between and at the end.
        path: the module once ``done``; nobody has executed it.
        written_by: the model that worded the strategies.
        strategies: (name, strategy in words), one per training range.
        checks: what was checked, one line each.
        error: the message when ``failed``.
    """

    run_id: str
    optimizer_name: str
    symbol: str
    status: str
    total_sources: int
    processed_sources: int = 0
    progress: float = 0.0
    started_at: int | None = None
    path: str = ""
    written_by: str = ""
    strategies: tuple[tuple[str, str], ...] = ()
    walker_name: str = ""
    checks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeHealth:
    """Newest bar of one exchange: ``newest_close`` is the instant its newest bar closed.

    Attributes:
        clock_offset: the exchange's clock minus ours, ms; None where it is not known.
        rate_limit_used: share of its rate limit in use, 0 to 1; None where it is not known.
    """

    exchange_name: str
    newest_close: int | None = None
    stale: bool = False
    clock_offset: int | None = None
    rate_limit_used: float | None = None


@dataclass(frozen=True, slots=True)
class HeaderView:
    """The header line.

    Attributes:
        badge: ``SIGNALS ONLY - no orders are sent``, in the demo ``SIMULATED x60``.
        now: the engine clock's time at ``heartbeat`` (monotonic seconds of that reading).
        speed: engine seconds per wall second (1 except in the demo).
        trouble: what is wrong with the state file, "" for nothing.
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
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class StrategyItem:
    """A strategy the New-run form offers; with ``error`` it is listed and cannot be chosen.

    ``risks`` are the risk profiles whose agreement it needs.
    """

    name: str
    interval: str = ""
    note: str = ""
    file: str = ""
    error: str = ""
    risks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExchangeItem:
    """An exchange the New-run form offers, with the symbols it can name (may be empty)."""

    name: str
    kind: str = ""
    symbols: tuple[str, ...] = ()
    history: tuple[int, int] | None = None
    live: bool = True


@dataclass(frozen=True, slots=True)
class WalkerItem:
    """A registered walker, with what the New-run form fills in when it is chosen.

    ``start`` and ``end`` are the bounds of its frame as typed; "" where the frame is not known.
    """

    name: str
    note: str = ""
    exchange_name: str = ""
    symbols: tuple[str, ...] = ()
    metric: str = ""
    interval: str = ""
    start: str = ""
    end: str = ""


@dataclass(frozen=True, slots=True)
class Catalog:
    """What can be chosen when starting a run.

    Attributes:
        optimizers: (name, note) of the registered ones.
    """

    strategies: tuple[StrategyItem, ...] = ()
    exchanges: tuple[ExchangeItem, ...] = ()
    frame_intervals: tuple[str, ...] = ()
    walkers: tuple[WalkerItem, ...] = ()
    optimizers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Versions:
    """One counter per topic; a panel redraws when the counter of its topic moved."""

    instances: int = 0
    feed: int = 0
    backtests: int = 0
    walkers: int = 0
    optimizers: int = 0
    header: int = 0
    catalog: int = 0
    milestones: int = 0
    risk: int = 0
    metrics: int = 0
    log: int = 0


@dataclass(frozen=True, slots=True)
class DeckSnapshot:
    """Everything the screens draw, swapped in whole by the engine's thread.

    ``feed``, ``milestones`` and ``log`` are newest first and bounded; ``feed_total`` and
    ``log_total`` count every entry there ever was.
    """

    header: HeaderView
    versions: Versions = field(default_factory=Versions)
    instances: tuple[InstanceView, ...] = ()
    feed: tuple[FeedEntry, ...] = ()
    feed_total: int = 0
    backtests: tuple[BacktestView, ...] = ()
    walkers: tuple[WalkerView, ...] = ()
    optimizers: tuple[OptimizerView, ...] = ()
    catalog: Catalog = field(default_factory=Catalog)
    milestones: tuple[MilestoneView, ...] = ()
    profiles: tuple[ProfileView, ...] = ()
    rejections: tuple[RejectionView, ...] = ()
    metrics: tuple[MetricView, ...] = ()
    log: tuple[LogLine, ...] = ()
    log_total: int = 0
    log_file: str = ""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the New-run form submits; texts are as typed and validated by the host.

    Attributes:
        kind: ``live``, ``backtest``, ``walker`` or ``optimizer``.
        strategy_name: of a walker its name; "" or a new one where ``strategies`` are given. Of an
            optimizer its name.
        start, end: ISO dates or instants (UTC), both inclusive; not live. A registered walker's
            own frame when empty.
        interval: frame interval; not live.
        strategies: what a walker compares that is not registered.
        metric: what a walker ranks by; "" is its own.
        grid: parameters a walker tries (`console.typed_values.parse_grid`); "" is its own.
        settings: global settings that differ in this run (`console.typed_values.parse_settings`);
            not live.
    """

    kind: str
    strategy_name: str
    symbol: str
    exchange_name: str
    start: str = ""
    end: str = ""
    interval: str = "1m"
    strategies: tuple[str, ...] = ()
    metric: str = ""
    grid: str = ""
    settings: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """What closing a position now would book.

    Attributes:
        at: instant the price is of, ms UTC; ``now`` is when it was asked for.
        stale: newer bars are late.
        is_vwap: it is the VWAP, else the newest close.
    """

    price: float
    at: int
    now: int
    stale: bool
    is_vwap: bool


@dataclass(frozen=True, slots=True)
class FieldError:
    """A problem with one field of a `RunRequest`, in the engine's own words."""

    field: str
    message: str
