"""Which kinds of run the New-run form starts, and which fields each of them has."""

from __future__ import annotations

from typing import Final

KINDS: Final = {
    "live": "follows the market from now on",
    "backtest": "replays history",
    "walker": "compares strategies on history",
    "optimizer": "lets a model write strategies",
}
"""The kinds of run, and what each does."""

LABELS: Final = {
    "strategy_name": "Strategy", "exchange_name": "Exchange", "symbol": "Symbols",
    "start": "From", "end": "To", "interval": "Interval", "metric": "Ranked by", "grid": "Grid",
    "settings": "Settings",
}  # fmt: skip
"""Every field beside the kind, from top to bottom."""

STRATEGY_LABELS: Final = {"walker": "Strategies", "optimizer": "Optimizer"}
"""What the first field is called where it holds something else than one strategy."""

_HISTORY: Final = ("start", "end", "interval", "settings")
SHOWN: Final = {
    "live": ("strategy_name", "exchange_name", "symbol"),
    "backtest": ("strategy_name", "exchange_name", "symbol", *_HISTORY),
    "walker": ("strategy_name", "exchange_name", "symbol", "metric", "grid", *_HISTORY),
    "optimizer": ("strategy_name", "symbol"),
}
"""The fields each kind of run has."""

HINTS: Final = {
    "interval": "step of the frame",
    "metric": "more is better",
    "grid": "minutes=60,240 side=long,short",
    "settings": "percent_fee=0.05; empty as configured",
}
"""What stands below fields whose hint never changes."""
