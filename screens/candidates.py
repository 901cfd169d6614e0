"""What can be chosen for each field of the New-run form, from the catalog and the engine's time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from console.views import Catalog, ExchangeItem, RunRequest, StrategyItem
from engine.domain.time import DAY
from engine.domain.walks import METRICS
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
            clean(_strategy_note(item)),
            clean(item.error),
            (("strategy_name", item.name),),
        )
        for item in items
    )


def _strategy_note(item: StrategyItem) -> str:
    risk = f"risk: {', '.join(item.risks)}" if item.risks else ""
    return " ".join(part for part in (item.interval, item.note, risk) if part)


def walker_candidates(catalog: Catalog) -> tuple[Candidate, ...]:
    """Registered walkers, which fill in what they are registered with; then the strategies."""
    walkers = tuple(
        Candidate(
            clean(item.name),
            clean(f"walker: {item.note}"),
            fills=_known(
                ("strategy_name", item.name),
                ("exchange_name", item.exchange_name),
                ("symbol", joined(item.symbols)),
                ("start", item.start),
                ("end", item.end),
                ("interval", item.interval),
                ("metric", item.metric),
            ),
        )
        for item in catalog.walkers
    )
    return (*walkers, *strategy_candidates(catalog))


def _known(*fills: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((field, value) for field, value in fills if value)


def optimizer_candidates(catalog: Catalog) -> tuple[Candidate, ...]:
    """Registered optimizers."""
    return tuple(
        Candidate(clean(name), clean(note), fills=(("strategy_name", name),))
        for name, note in catalog.optimizers
    )


def metric_candidates() -> tuple[Candidate, ...]:
    """What a walker can rank by."""
    return tuple(Candidate(name, fills=(("metric", name),)) for name in METRICS)


def listed(text: str) -> tuple[str, ...]:
    """The names in a text that separates them by commas; each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def joined(names: Iterable[str]) -> str:
    """Names as one types them into one field."""
    return ", ".join(names)


def last_part(text: str) -> tuple[str, str]:
    """What stands before the name that is being typed, and that name."""
    head, comma, tail = text.rpartition(",")
    return (f"{head}{comma} " if comma else ""), tail.strip()


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


def catalog_candidates(field: str, kind: str, catalog: Catalog) -> tuple[Candidate, ...]:
    """What the registries offer for a field; () for those that take what one types."""
    if field == "strategy_name":
        by_kind = {"walker": walker_candidates, "optimizer": optimizer_candidates}
        return by_kind.get(kind, strategy_candidates)(catalog)
    if field == "exchange_name":
        return exchange_candidates(catalog, kind)
    if field == "interval":
        return interval_candidates(catalog)
    return metric_candidates() if field == "metric" else ()


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


def first_match(candidates: Sequence[Candidate], typed: str) -> Candidate | None:
    """What a name typed in part is completed to; None where it is whole, or matches nothing."""
    if any(candidate.name.casefold() == typed.casefold() for candidate in candidates):
        return None
    return next((c for c in matching(candidates, typed) if not c.error), None)


def completed(
    candidates: Sequence[Candidate], field: str, typed: str, *, several: bool
) -> tuple[tuple[str, str], ...]:
    """What a field and others become when what was typed in part is completed; () where nothing is.

    Args:
        candidates: the choices of the field.
        field: its name.
        typed: what it holds.
        several: commas separate names in it, each of which is completed.
    """
    parts = listed(typed) if several else (typed,)
    found = [first_match(candidates, part) for part in parts]
    if not typed or not any(found):
        return ()
    if len(parts) == 1 and found[0] is not None:
        return found[0].fills
    taken = (
        part if match is None else dict(match.fills)[field]
        for part, match in zip(parts, found, strict=True)
    )
    return ((field, joined(taken)),)


def default_request(
    kind: str, catalog: Catalog, now: int, remembered: RunRequest | None
) -> RunRequest:
    """What the form opens with: the last run of this kind, else the first choice of everything."""
    if remembered is not None:
        return remembered
    strategies = [item.name for item in catalog.strategies if not item.error]
    strategy = strategies[0] if strategies else ""
    if kind == "walker":
        strategy = joined(strategies)
    elif kind == "optimizer":
        strategy = catalog.optimizers[0][0] if catalog.optimizers else ""
    usable = (item for item in catalog.exchanges if kind != "live" or item.live)
    exchange = next(usable, None)
    symbol = exchange.symbols[0] if exchange is not None and exchange.symbols else ""
    presets = date_presets(exchange.history if exchange else None, now)
    frame = dict(presets[0].fills) if presets else {}
    request = RunRequest(
        kind,
        strategy,
        symbol,
        exchange.name if exchange else "",
        frame.get("start", ""),
        frame.get("end", ""),
        "1m",
        metric=METRICS[0] if kind == "walker" else "",
    )
    if kind == "walker" and catalog.walkers:
        return replace(request, **dict(walker_candidates(catalog)[0].fills))
    return request


def form_values(request: RunRequest, fields: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """What the fields of the form hold where it says a request, as field and value pairs."""
    strategies = joined(request.strategies) or request.strategy_name
    values = asdict(request) | {"strategy_name": strategies}
    return tuple((name, values[name]) for name in fields)


def started_sentence(requests: Sequence[RunRequest]) -> str:
    """What was started, for the notification."""
    first = requests[0]
    kind = "live run" if first.kind == "live" else first.kind
    amount = kind if len(requests) == 1 else many(len(requests), kind)
    name = first.strategy_name or many(len(first.strategies), "strategy", "strategies")
    return clean(f"{amount} of {name} on {joined(request.symbol for request in requests)}")


def symbols_note(known: Sequence[str], typed: str) -> str:
    """How many symbols there are to choose from, and how many of them are chosen."""
    chosen = len(listed(typed))
    if not known:
        return many(chosen, "symbol") if chosen > 1 else ""
    return f"{chosen} of {many(len(known), 'symbol')}" if chosen > 1 else many(len(known), "symbol")
