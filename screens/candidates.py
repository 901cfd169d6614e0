"""What can be chosen for each field of the New-run form, from the catalog and the engine's time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from console.views import Catalog, ExchangeItem, RunRequest
from engine.domain.time import DAY
from screens.text import clean, day, instant_input, many

PRESET_DAYS: Final = (7, 30, 90)
"""Lengths of the date presets."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One choice.

    Attributes:
        name: what is listed.
        note: what is said about it.
        error: why it cannot be chosen; "" when it can.
        fills: field and value pairs that choosing it writes into the form.
    """

    name: str
    note: str = ""
    error: str = ""
    fills: tuple[tuple[str, str], ...] = ()


def strategy_candidates(catalog: Catalog) -> tuple[Candidate, ...]:
    """Strategies by name; broken files last, with what is wrong with them."""
    items = sorted(catalog.strategies, key=lambda item: (bool(item.error), item.name))
    return tuple(
        Candidate(
            clean(item.name),
            clean(" ".join(part for part in (item.interval, item.note) if part)),
            clean(item.error),
            (("strategy_name", item.name),),
        )
        for item in items
    )


def exchange_candidates(catalog: Catalog, kind: str) -> tuple[Candidate, ...]:
    """Exchanges; for a live run those with recorded bars only cannot be chosen."""
    return tuple(
        Candidate(
            clean(item.name),
            clean(_exchange_note(item)),
            "recorded bars only" if kind == "live" and not item.live else "",
            (("exchange_name", item.name),),
        )
        for item in catalog.exchanges
    )


def _exchange_note(item: ExchangeItem) -> str:
    kind = item.kind if item.kind != item.name else ""
    if item.history is None:
        return kind
    history = f"{day(item.history[0])} to {day(item.history[1])}"
    return f"{kind}  {history}" if kind else history


def symbol_candidates(symbols: Iterable[str]) -> tuple[Candidate, ...]:
    """Symbols in the exchange's order."""
    return tuple(Candidate(clean(symbol), fills=(("symbol", symbol),)) for symbol in symbols)


def interval_candidates(catalog: Catalog) -> tuple[Candidate, ...]:
    """Frame intervals, shortest first."""
    return tuple(Candidate(name, fills=(("interval", name),)) for name in catalog.frame_intervals)


def date_presets(history: tuple[int, int] | None, now: int) -> tuple[Candidate, ...]:
    """Frames that end with the history where it is known, else today at midnight.

    Args:
        history: first and last instant, ms UTC, or None when unknown.
        now: the engine's time, ms UTC.
    """
    end = now - now % DAY
    first = None
    if history is not None:
        first, end = history[0], min(history[1], now) if history[1] < end else end
    presets: list[Candidate] = []
    for days in PRESET_DAYS:
        start = end - days * DAY
        if first is not None and start < first:
            continue
        presets.append(_preset(f"last {days} days", start, end))
    if first is not None:
        presets.append(_preset("whole history", first, end))
    return tuple(presets)


def _preset(name: str, start: int, end: int) -> Candidate:
    fills = (("start", instant_input(start)), ("end", instant_input(end)))
    return Candidate(name, f"{day(start)} to {day(end)}", fills=fills)


def matching(candidates: Sequence[Candidate], typed: str) -> tuple[Candidate, ...]:
    """Those whose name holds what was typed; all of them when it is one of the names exactly."""
    wanted = typed.strip().casefold()
    if any(candidate.name.casefold() == wanted for candidate in candidates):
        return tuple(candidates)
    return tuple(c for c in candidates if wanted in c.name.casefold())


def default_request(
    kind: str, catalog: Catalog, now: int, remembered: RunRequest | None
) -> RunRequest:
    """What the form opens with: the last run of this kind, else the first choice of everything."""
    if remembered is not None:
        return remembered
    strategy = next((s.name for s in catalog.strategies if not s.error), "")
    usable = (item for item in catalog.exchanges if kind == "backtest" or item.live)
    exchange = next(usable, None)
    symbol = exchange.symbols[0] if exchange is not None and exchange.symbols else ""
    presets = date_presets(exchange.history if exchange else None, now)
    frame = dict(presets[0].fills) if presets else {}
    return RunRequest(
        kind,
        strategy,
        symbol,
        exchange.name if exchange else "",
        frame.get("start", ""),
        frame.get("end", ""),
        "1m",
    )


def started_sentence(request: RunRequest) -> str:
    """What was started, for the notification."""
    kind = "live run" if request.kind == "live" else "backtest"
    return f"{kind} of {clean(request.strategy_name)} on {clean(request.symbol)}"


def choices_note(candidates: Sequence[Candidate], what: str) -> str:
    """How many there are to choose from."""
    return many(sum(not candidate.error for candidate in candidates), what)
