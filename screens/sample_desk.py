"""More fixed sample data: candles, milestones, risk, measurements, log, a ranking."""

from __future__ import annotations

from random import Random
from typing import Final

from console.views import (
    BarsView,
    LogLine,
    MetricView,
    MilestoneView,
    ProfileView,
    RejectionView,
)
from screens.widgets.candle_chart import Levels
from screens.widgets.ranking_table import Contender

NOW: Final = 1_709_634_245_000
"""The sample's present: 2024-03-05 10:24:05 UTC."""

_MINUTE: Final = 60_000
_LAST_BAR: Final = NOW - 65_000

LEVELS: Final = Levels(43_210.5, 43_642.6, 42_778.4, 43_391.07, NOW - 70 * _MINUTE)
"""Levels of the sample's first run."""


def bars(amount: int = 240, interval: str = "1m", last: float = 43_391.07) -> BarsView:
    """Bars that end at a price, the same ones every time."""
    random = Random(11)
    step = {"1m": 1, "5m": 5, "15m": 15, "1h": 60}.get(interval, 1)
    closes = [last]
    for _ in range(amount):
        closes.append(closes[-1] / (1 + random.gauss(0.00004, 0.0005) * step**0.5))
    closes.reverse()
    opens, ends = closes[:-1], closes[1:]
    highs = [
        max(a, b) * (1 + abs(random.gauss(0, 0.0003))) for a, b in zip(opens, ends, strict=True)
    ]
    lows = [
        min(a, b) * (1 - abs(random.gauss(0, 0.0003))) for a, b in zip(opens, ends, strict=True)
    ]
    volumes = [abs(random.gauss(8, 4)) * (1 + 3 * (random.random() < 0.05)) for _ in opens]
    first = _LAST_BAR - (amount - 1) * step * _MINUTE
    return BarsView(
        interval,
        tuple(first + at * step * _MINUTE for at in range(amount)),
        tuple(opens), tuple(highs), tuple(lows), tuple(ends), tuple(volumes),
    )  # fmt: skip


_MILESTONE_STEPS: Final = (
    (1, "profit", 40, 43_383.2, "BTCUSDT", "sma-cross", "long", "signal-50"),
    (3, "profit", 80, 0.596_05, "ADAUSDT", "rsi-reversion", "long", "signal-51"),
    (9, "loss", 50, 2_312.8, "ETHUSDT", "breakout", "short", "signal-56"),
    (12, "profit", 30, 43_340.1, "BTCUSDT", "sma-cross", "long", "signal-50"),
    (14, "profit", 70, 0.595_46, "ADAUSDT", "rsi-reversion", "long", "signal-51"),
    (22, "loss", 40, 2_310.4, "ETHUSDT", "breakout", "short", "signal-56"),
    (25, "profit", 10, 2_298.9, "ETHUSDT", "breakout", "short", "signal-56"),
    (27, "profit", 20, 43_296.9, "BTCUSDT", "sma-cross", "long", "signal-50"),
    (31, "loss", 10, 43_167.2, "BTCUSDT", "sma-cross", "long", "signal-50"),
    (44, "profit", 10, 43_253.8, "BTCUSDT", "sma-cross", "long", "signal-50"),
)

MILESTONES: Final = tuple(
    MilestoneView(
        len(_MILESTONE_STEPS) - at, NOW - 5_000 - ago * _MINUTE, symbol, strategy, "simulated",
        position, side, level, price, signal_id,
    )
    for at, (ago, side, level, price, symbol, strategy, position, signal_id) in enumerate(
        _MILESTONE_STEPS
    )
)  # fmt: skip
"""Milestones of the sample's open positions, newest first."""

PROFILES: Final = (
    ProfileView(
        "three-at-once", "", ("at most 3 positions at once", "one per symbol"),
        ("sma-cross", "breakout", "rsi-reversion"), ("live-1", "live-2", "live-5"), 42, 3,
    ),
    ProfileView("calm", "", ("no entry while volume is thin",), ("rsi-reversion",), ("live-5",)),
    ProfileView("[b]weekend[/b] 周末", "", ("closed on Sundays",), ("momentum-v2",), (), 6, 0),
)  # fmt: skip
"""Risk profiles with some slots taken."""

REJECTIONS: Final = (
    RejectionView(
        "three-at-once", "at most 3 positions at once", 40, NOW - 7 * _MINUTE, "XRPUSDT",
        "rsi-reversion", "long", 0.6101, 3,
    ),
    RejectionView(
        "[b]weekend[/b] 周末", "closed on Sundays", 6, NOW - 2 * 1440 * _MINUTE, "DOGEUSDT",
        "momentum-v2", "short", 0.0822, 0,
    ),
    RejectionView(
        "three-at-once", "BTCUSDT is held already by sma-cross, one position per symbol is allowed",
        2, NOW - 190 * _MINUTE, "BTCUSDT", "breakout", "long", 43_120.0, 2,
    ),
)  # fmt: skip
"""Refusals, the most recent first."""


def _metric(name: str, unit: str, count: int, mean: float, spread: float, seed: int) -> MetricView:
    random = Random(seed)
    recent = tuple(max(mean / 20, random.gauss(mean, spread)) for _ in range(16))
    return MetricView(
        name,
        unit,
        count,
        mean,
        mean * 0.9,
        mean + 2 * spread,
        mean + 4 * spread,
        recent[-1],
        recent,
    )


METRICS: Final = (
    _metric("live_tick", "ms", 18_422, 1.84, 0.6, 1),
    _metric("engine_lag", "ms", 7_310, 0.42, 0.5, 2),
    _metric("store_commit", "ms", 2_208, 0.71, 0.3, 3),
    _metric("snapshot", "ms", 36_115, 0.09, 0.02, 4),
    _metric("events", "/s", 7_310, 24.6, 6.0, 5),
    _metric("memory", "MB", 7_310, 182.4, 0.4, 6),
    MetricView("events_dropped", "", 7_310, 0.0, 0.0, 0.0, 0.0, 0.0, (0.0,) * 16),
)
"""Measurements of the sample's engine."""

_LOG_STEPS: Final = (
    ("info", "signaldeck.run", "live sma-cross BTCUSDT @ simulated: opened long at 43,210.50"),
    ("warning", "signaldeck.market", "papier BTCUSDT 1m: attempt 1 failed: TimeoutError"),
    (
        "error", "signaldeck.run",
        "live momentum-v2 DOGEUSDT @ papier: get_signal failed: KeyError: 'rsi'\n"
        'Traceback (most recent call last):\n  File "momentum_v2.py", line 41, in get_signal\n'
        "    return frame['rsi']\nKeyError: 'rsi'",
    ),
    ("info", "signaldeck.host", "3 live runs restored, 1 open position"),
    ("debug", "signaldeck.bus", "listener of data caught up"),
    ("info", "signaldeck.market", "papier: 5m is resampled from 1m ([red]均线[/] is no interval)"),
)  # fmt: skip


def log(amount: int = 40) -> tuple[LogLine, ...]:
    """The newest lines of the log, newest first."""
    return tuple(
        LogLine(amount - at, NOW - 4_000 - at * 41_000, *_LOG_STEPS[at % len(_LOG_STEPS)])
        for at in range(amount)
    )


CONTENDERS: Final = (
    Contender(
        "sma-cross", "done",
        {"sharpe_ratio": 0.031, "total_return": 1.4, "win_rate": 56.2, "max_drawdown": 4.41,
         "profit_factor": 1.01, "total_pnl": 1.6},
        89,
    ),
    Contender(
        "breakout", "done",
        {"sharpe_ratio": 0.112, "total_return": 6.9, "win_rate": 49.4, "max_drawdown": 3.02,
         "profit_factor": 1.31, "total_pnl": 7.1},
        61,
    ),
    Contender(
        "[red]均线[/] cross", "done",
        {"sharpe_ratio": -0.08, "total_return": -3.2, "win_rate": 38.0, "max_drawdown": 7.9,
         "profit_factor": 0.84, "total_pnl": -3.1},
        50,
    ),
    Contender("rsi-reversion", "running", {}, 17, 0.41),
    Contender("momentum-v2", "failed", {}, None, error="KeyError: 'rsi' (momentum_v2.py:41)"),
    Contender("grid 20/50", "waiting", {}),
)  # fmt: skip
"""Strategies of a walk, in every state."""
