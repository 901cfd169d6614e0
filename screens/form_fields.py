"""Which kinds of run the New-run form starts, which fields each has, and what stands below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from console.views import Catalog, ExchangeItem
from screens.candidates import catalog_candidates, listed, symbols_note

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

FRAME: Final = ("start", "end")
"""Where a backtest begins and ends."""

_HINTS: Final = {
    "interval": "step of the frame",
    "metric": "more is better",
    "grid": "minutes=60,240 side=long,short",
    "settings": "percent_fee=0.05; empty as configured",
}


def exchange_of(catalog: Catalog, name: str) -> ExchangeItem | None:
    """The exchange of a name, if there is one."""
    return next((item for item in catalog.exchanges if item.name == name), None)


def field_hints(
    kind: str, values: Mapping[str, str], catalog: Catalog, symbols: Sequence[str]
) -> dict[str, str]:
    """What stands below each field of `LABELS` and the kind, with ids of keys in braces.

    Args:
        kind: one of `KINDS`.
        values: what the fields hold.
        catalog: what there is to choose from.
        symbols: those of the chosen exchange.
    """
    hints = {"kind": KINDS[kind], **_HINTS}
    for name in ("strategy_name", "exchange_name"):
        choices = catalog_candidates(name, kind, catalog)
        hints[name] = next((c.note for c in choices if c.name == values[name]), "")
    strategies = listed(values["strategy_name"])
    if kind == "walker" and len(strategies) > 1:
        hints["strategy_name"] = f"{len(strategies)} strategies, commas between them"
    if kind == "optimizer" and not catalog.optimizers:
        hints["strategy_name"] = "no strategy file registers one"
    hints["symbol"] = symbols_note(symbols, values["symbol"])
    hints["start"] = "UTC; {form.previous_choice}{form.next_choice} choose a frame"
    hints["end"] = "UTC, inclusive" if exchange_of(catalog, values["exchange_name"]) else ""
    return hints
