"""The rules of trading once more, as the contract states them and without the engine's code.

Whoever checks the engine must not ask it: these few functions walk the exchange's bars one minute
at a time and say what has to become of a position or of a scheduled signal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

MINUTE: Final = 60_000
WINDOW: Final = 5

Bar: TypeAlias = tuple[int, float, float, float, float, float]
"""Open time in ms UTC, open, high, low, close, volume."""


class Tape:
    """The minutes of one symbol, missing ones filled with flat bars at the previous close."""

    def __init__(self, rows: list[Bar]) -> None:
        self.bars: list[Bar] = []
        self.real: list[bool] = []
        for row in rows:
            while self.bars and self.bars[-1][0] + MINUTE < row[0]:
                before, close = self.bars[-1][0], self.bars[-1][4]
                self.bars.append((before + MINUTE, close, close, close, close, 0.0))
                self.real.append(False)
            self.bars.append(row)
            self.real.append(True)
        self._first = self.bars[0][0]

    def _index(self, instant: int) -> int:
        return (instant - self._first) // MINUTE - 1

    def bar(self, instant: int) -> Bar:
        """The bar that closes at an instant."""
        return self.bars[self._index(instant)]

    def is_real(self, instant: int) -> bool:
        """Whether the exchange has a bar that closes at an instant."""
        return self.real[self._index(instant)]

    def newest_real(self, instant: int) -> int:
        """The close of the newest bar that the exchange has at an instant."""
        index = self._index(instant // MINUTE * MINUTE)
        while not self.real[index]:
            index -= 1
        return self.bars[index][0] + MINUTE

    def vwap(self, instant: int) -> float:
        """The price the engine watches."""
        index = self._index(instant)
        value = weight = closes = 0.0
        window = self.bars[max(0, index - WINDOW + 1) : index + 1]
        for _, _, high, low, close, volume in window:
            value += (high + low + close) / 3 * volume
            weight += volume
            closes += close
        return value / weight if weight else closes / len(window)


@dataclass(frozen=True, slots=True)
class Rules:
    """What settings decide: the trigger, the booked price, and a scheduled signal's patience."""

    trigger: Literal["vwap", "touch"] = "vwap"
    fill: Literal["close", "vwap"] = "close"
    patience: int = 6
    slippage: float = 0.1
    fee: float = 0.1

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Rules:
        """The rules of an engine's settings."""
        return cls(
            settings.get("exit_trigger", "vwap"),
            settings.get("fill_price", "close"),
            settings["schedule_await_minutes"],
        )

    def market(self, tape: Tape, instant: int) -> float:
        """The price at which is booked what trades at market."""
        return tape.bar(instant)[4] if self.fill == "close" else tape.vwap(instant)


@dataclass(frozen=True, slots=True)
class Terms:
    """A signal: prices are absolute, ``entry`` is what is waited for or was booked."""

    position: str
    entry: float
    target: float
    stop: float
    minutes: int

    @property
    def long(self) -> bool:
        """Whether it gains when the price rises."""
        return self.position == "long"


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to it, when (ms UTC), why, and at which price."""

    at: int
    what: Literal["closed", "opened", "cancelled", "swept"]
    reason: str
    price: float


Milestone: TypeAlias = tuple[int, str, int]
"""Instant, side, level."""


def position_fate(
    terms: Terms, opened: int, until: int, tape: Tape, rules: Rules
) -> tuple[list[Milestone], Fate | None]:
    """What becomes of a position up to an instant: its milestones, and its end if there is one."""
    milestones: list[Milestone] = []
    reached = {"profit": 0, "loss": 0}
    for instant in range(opened + MINUTE, until + MINUTE, MINUTE):
        end = _exit(terms, instant, tape, rules)
        if end is None and instant - opened >= terms.minutes * MINUTE:
            end = Fate(instant, "closed", "time_expired", rules.market(tape, instant))
        if end is not None:
            return milestones, end
        for side, level in _levels(terms, tape.vwap(instant), reached):
            reached[side] = level
            milestones.append((instant, side, level))
    return milestones, None


def scheduled_fate(terms: Terms, since: int, until: int, tape: Tape, rules: Rules) -> Fate | None:
    """What becomes of a scheduled signal up to an instant; risk may still refuse to open it."""
    for instant in range(since + MINUTE, until + MINUTE, MINUTE):
        market = rules.market(tape, instant)
        what = _entry(terms, instant, market, tape, rules)
        if what is not None:
            return what
        if instant - since >= rules.patience * MINUTE:
            return Fate(instant, "cancelled", "timeout", market)
    return None


def refused_at_once(
    terms: Terms, instant: int, tape: Tape, rules: Rules, *, scheduled: bool
) -> bool:
    """Whether a signal's levels are worthless at the instant it is given."""
    if scheduled:
        return False
    watched = [rules.market(tape, instant)]
    if rules.trigger == "vwap":
        watched.append(tape.vwap(instant))
    return any(
        price <= terms.stop or price >= terms.target
        if terms.long
        else price >= terms.stop or price <= terms.target
        for price in watched
    )


def profit(terms: Terms, price: float, rules: Rules) -> float:
    """Percent earned by closing at a price, costs included."""
    slip = rules.slippage / 100
    if terms.long:
        opened, closed = terms.entry * (1 + slip), price * (1 - slip)
        gain = closed - opened
    else:
        opened, closed = terms.entry * (1 - slip), price * (1 + slip)
        gain = opened - closed
    return gain / opened * 100 - 2 * rules.fee


def _exit(terms: Terms, instant: int, tape: Tape, rules: Rules) -> Fate | None:
    _, open_, high, low, _, _ = tape.bar(instant)
    market = rules.market(tape, instant)
    # The worse price of a sale is the lower one, of a purchase the higher.
    worse = min if terms.long else max
    if rules.trigger == "vwap":
        watched = tape.vwap(instant)
        if watched >= terms.target if terms.long else watched <= terms.target:
            return Fate(instant, "closed", "take_profit", worse(terms.target, market))
        if watched <= terms.stop if terms.long else watched >= terms.stop:
            return Fate(instant, "closed", "stop_loss", worse(terms.stop, market))
        return None
    gained = high >= terms.target if terms.long else low <= terms.target
    lost = low <= terms.stop if terms.long else high >= terms.stop
    if gained and lost:
        # It opened at or beyond one of them, else the loss is assumed.
        gained = open_ >= terms.target if terms.long else open_ <= terms.target
    if gained:
        return Fate(instant, "closed", "take_profit", terms.target)
    if lost:
        return Fate(instant, "closed", "stop_loss", worse(terms.stop, open_))
    return None


def _entry(terms: Terms, instant: int, market: float, tape: Tape, rules: Rules) -> Fate | None:
    _, open_, high, low, _, _ = tape.bar(instant)
    if rules.trigger == "vwap":
        watched = tape.vwap(instant)
        if watched <= terms.stop if terms.long else watched >= terms.stop:
            return Fate(instant, "cancelled", "stop_loss", market)
        if watched <= terms.entry if terms.long else watched >= terms.entry:
            price = max(terms.entry, market) if terms.long else min(terms.entry, market)
            return Fate(instant, "opened", "", price)
        return None
    extreme = low if terms.long else high
    if extreme <= terms.stop if terms.long else extreme >= terms.stop:
        if open_ <= terms.stop if terms.long else open_ >= terms.stop:
            return Fate(instant, "cancelled", "stop_loss", market)
        return Fate(instant, "swept", "", terms.entry)
    if extreme <= terms.entry if terms.long else extreme >= terms.entry:
        return Fate(instant, "opened", "", terms.entry)
    return None


def _levels(terms: Terms, price: float, reached: dict[str, int]) -> Iterator[tuple[str, int]]:
    gain = price - terms.entry if terms.long else terms.entry - price
    side = "profit" if gain > 0 else "loss"
    path = abs((terms.target if gain > 0 else terms.stop) - terms.entry)
    if gain == 0:
        return
    percent = min(100.0, abs(gain) / path * 100) if path else 100.0
    for level in range(reached[side] + 10, 101, 10):
        if percent >= level:
            yield side, level
