"""What this console is, where its files are, and how it stands with the exchanges."""

from __future__ import annotations

from collections.abc import Iterator

from textual.geometry import Size

from console.views import ExchangeHealth
from screens.context import ScreenContext
from screens.detail import DetailDialog, Fact
from screens.text import many, short_span


def about_dialog(context: ScreenContext, theme: str, size: Size) -> DetailDialog:
    """Versions, files, engine and exchanges as they are now."""
    return DetailDialog("This console", tuple(_facts(context, theme, size)))


def _facts(context: ScreenContext, theme: str, size: Size) -> Iterator[Fact]:
    about, header = context.host.about, context.snapshot.header
    yield Fact("what it is", header.badge)
    yield Fact("state", about.state if about.keeps else f"{about.state} - nothing is kept")
    for name, path in about.files:
        yield Fact(name, path or "not used")
    runs = many(header.running, "run")
    positions = many(header.open, "open position")
    yield Fact("engine", f"heartbeat {short_span(context.silence())} ago, {runs}, {positions}")
    health = {item.exchange_name: item for item in header.exchanges}
    for exchange in context.snapshot.catalog.exchanges:
        state = _state(health.pop(exchange.name, None), context.now())
        symbols = f", {many(len(exchange.symbols), 'symbol')}" if exchange.symbols else ""
        yield Fact(exchange.name, f"{exchange.kind}{symbols}: {state}")
    for name, left in health.items():
        yield Fact(name, _state(left, context.now()))
    yield Fact("screen", f"{size.width}x{size.height}, theme {theme}")
    versions = [f"{name} {number}" for name, number in about.versions]
    lines = (", ".join(versions[at : at + 3]) for at in range(0, len(versions), 3))
    yield Fact("versions", "\n".join(lines))


def _state(health: ExchangeHealth | None, now: int) -> str:
    if health is None or health.newest_close is None:
        return "not in use"
    age = short_span((now - health.newest_close) / 1000)
    parts = [f"{'STALE, ' if health.stale else ''}newest bar {age} old"]
    if health.clock_offset is not None:
        parts.append(f"its clock {health.clock_offset:+,} ms")
    if health.rate_limit_used is not None:
        parts.append(f"{100 * health.rate_limit_used:.0f} % of its rate limit used")
    return ", ".join(parts)
