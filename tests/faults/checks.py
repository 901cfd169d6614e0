"""What must hold of twenty runs on an exchange in trouble; each check lists what does not.

Nothing here looks into the engine: bars come from the market itself, requests from the server's
log, failures from what the exchange's adapter raised.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from engine import Engine, Signal, add_exchange, add_frame
from engine.domain.bars import Candle
from engine.domain.time import MINUTE, from_ms, to_ms
from tests.faults.simulation import (
    EXCHANGE,
    SAMPLED_AT,
    SETTINGS,
    SYMBOLS,
    Call,
    Instance,
    Observed,
    market_seen,
    register_strategies,
)
from tests.faults.strategies import STRATEGIES, Strategy
from tests.faults.troubled import Trouble
from tests.servers.bars import shown

DAY = 1440 * MINUTE
_EVERY = {name: 5 if interval == "5m" else 1 for name, (interval, _) in STRATEGIES.items()}
HARMLESS = ("duplicates", "unsorted")
"""Faults that cost nothing at all."""

_FAILED = re.compile(r"exchange 'binance', (\w+) 1m: (.+): ([^:]+); the next tick asks again .+")


def problems(seen: Observed, backtested: Mapping[Instance, Sequence[Any]]) -> list[str]:
    """Everything that is wrong; empty when all is well."""
    return [
        *crashes(seen),
        *wrong_bars(seen),
        *wrong_trades(seen, backtested),
        *missed_decisions(seen),
        *unsettled(seen),
        *slow_recoveries(seen),
        *unclear_errors(seen),
        *wrong_statuses(seen),
        *idle_requests(seen),
    ]


def in_time(seen: Observed, symbol: str) -> set[int]:
    """Minutes whose bar, the one that closes as they begin, was here before their last moment."""
    calls = sorted((c.ended, c.brought) for c in seen.calls if c.symbol == symbol and c.brought)
    found: set[int] = set()
    newest = at = 0
    for minute in range(seen.plan.start, seen.plan.end + 1, MINUTE):
        while at < len(calls) and calls[at][0] <= minute + SAMPLED_AT:
            newest = max(newest, calls[at][1])
            at += 1
        if newest >= minute:
            found.add(minute)
    return found


def _at(seen: Observed, instant: int) -> str:
    return f"{from_ms(instant):%d %H:%M:%S} ({(instant - seen.plan.start) / MINUTE:.2f})"


# -- no crash ----------------------------------------------------------------------------------


def crashes(seen: Observed) -> list[str]:
    """Runs that ended, and failures that nobody handled."""
    ended = {name for sample in seen.samples for name in sample.ended}
    return [*(f"{name} ended" for name in sorted(ended)), *seen.unhandled]


# -- the right bars ----------------------------------------------------------------------------


def wrong_bars(seen: Observed) -> list[str]:
    """Bars the engine went by that are not those of the market, holes filled."""
    found: list[str] = []
    for symbol in SYMBOLS:
        expected = {bar.timestamp: bar for bar in market_bars(seen, symbol)}
        bars = seen.bars[symbol]
        if not bars or bars[-1].timestamp + MINUTE < seen.plan.end - 30 * MINUTE:
            found.append(f"{symbol}: {len(bars)} bars, the last ones are missing")
        for bar in bars:
            if bar != expected.get(bar.timestamp):
                found.append(f"{symbol} {_at(seen, bar.timestamp)}: {bar} is not the market's")
    return found[:20]


def market_bars(seen: Observed, symbol: str) -> list[Candle]:
    """The market's minutes over the simulated time, holes filled."""
    plan, filled = seen.plan, list[Candle]()
    since = plan.start - 60 * MINUTE
    count = (plan.end - since) // MINUTE
    for bar in market_seen(seen).get_candles(symbol, "1m", from_ms(since), count):
        while filled and filled[-1].timestamp + MINUTE < bar.timestamp:
            stamp, last = filled[-1].timestamp + MINUTE, filled[-1].close
            filled.append(Candle(stamp, last, last, last, last, 0.0))
        filled.append(bar)
    return [bar for bar in filled if bar.timestamp >= plan.start]


# -- no missed exit ----------------------------------------------------------------------------


async def backtests(seen: Observed) -> dict[Instance, list[Any]]:
    """Transitions of backtests over the served bars, asked at the instants live was asked at."""
    plan, found = seen.plan, defaultdict[Instance, list[Any]](list)
    market = market_seen(seen)

    def get_candles(symbol: str, interval: str, since: datetime, limit: int) -> list[Candle]:
        return shown(market, symbol, interval, plan.end + 2 * DAY, to_ms(since), None, limit)

    def gated(name: str, ask: Strategy) -> Strategy:
        async def get_signal(symbol: str, when: datetime) -> Signal | None:
            asked = to_ms(when) in seen.asked[name, symbol]
            return await ask(symbol, when) if asked else None

        return get_signal

    def transition(result: Any) -> None:
        found[result.key.strategy_name, result.key.symbol].append(result)

    async with Engine(config={**SETTINGS, **plan.settings}) as engine:
        add_exchange(exchange_name=EXCHANGE, get_candles=get_candles, intervals=("1m", "15m"))
        start, end = from_ms(plan.start), from_ms(plan.end)
        add_frame(frame_name="live", interval="1m", start_date=start, end_date=end)
        register_strategies(gated, "1m")
        engine.bus.subscribe("signal", transition, transitions_only=True, maxsize=1_000_000)
        for symbol in SYMBOLS:
            for name in STRATEGIES:
                instance = engine.backtest(
                    symbol, strategy_name=name, exchange_name=EXCHANGE, frame_name="live"
                )
                instance.start()
                await instance.wait()
                await engine.bus.flush()
    return found


def fields_of(result: Any) -> tuple[Any, ...]:
    """Everything about a transition but the signal's id."""
    row = result.signal
    reason = getattr(result, "close_reason", getattr(result, "cancel_reason", ""))
    profit = getattr(result, "pnl", None)
    return (
        str(result.action), result.when, result.current_price, str(row.position), row.price_open,
        row.price_take_profit, row.price_stop_loss, row.minute_estimated_time, str(reason),
        profit.pnl_percentage if profit is not None else None,
    )  # fmt: skip


def wrong_trades(seen: Observed, backtested: Mapping[Instance, Sequence[Any]]) -> list[str]:
    """Transitions of live runs that are not those of the backtests, to the bit."""
    found: list[str] = []
    for symbol in SYMBOLS:
        for name in STRATEGIES:
            live = [fields_of(r) for r in seen.transitions[name, symbol] if r.when <= seen.plan.end]
            past = [fields_of(r) for r in backtested[name, symbol] if r.when <= seen.plan.end]
            for mine, theirs in zip(live, past, strict=False):
                if mine != theirs:
                    at = _at(seen, mine[1])
                    found.append(f"{name} {symbol} {at}: live {mine}, backtest {theirs}")
                    break
            if len(live) != len(past):
                found.append(f"{name} {symbol}: {len(live)} transitions, backtest {len(past)}")
    return found


def missed_decisions(seen: Observed) -> list[str]:
    """Minutes whose bar was there in time, and a flat run whose turn it was, that was not asked."""
    found: list[str] = []
    for symbol in SYMBOLS:
        good = in_time(seen, symbol) & {stamp + MINUTE for stamp in seen.real[symbol]}
        for name, every in _EVERY.items():
            busy = _busy(seen, (name, symbol))
            tried = sorted(seen.asked[name, symbol] | seen.refused[name, symbol])
            for when in good - busy - set(tried):
                before = bisect_left(tried, when)
                due = not before or when - tried[before - 1] >= every * MINUTE
                if due and not (name == "quarter" and _asking(seen, symbol, when)):
                    found.append(f"{name} {symbol} {_at(seen, when)}: was not asked")
    return found


def _busy(seen: Observed, instance: Instance) -> set[int]:
    """Minutes at which something was held before and after settling."""
    busy: set[int] = set()
    since = None
    for result in seen.transitions[instance]:
        if str(result.action) in ("closed", "cancelled"):
            busy.update(range((since or result.when) + MINUTE, result.when, MINUTE))
            since = None
        elif since is None:
            since = result.when
    if since is not None:
        busy.update(range(since + MINUTE, seen.plan.end + 1, MINUTE))
    return busy


def _asking(seen: Observed, symbol: str, when: int) -> bool:
    """Whether a strategy of the symbol waited for its own candles around a minute."""
    return any(
        call.symbol == symbol and call.interval != "1m"
        and call.began < when + MINUTE and call.ended >= when and call.ended > call.began
        for call in seen.calls
    )  # fmt: skip


def unsettled(seen: Observed) -> list[str]:
    """Bars that had been served and were not settled by every run at the end of the minute.

    While the newest bar is still waited for, what came before it may wait for one minute more.
    """
    found: list[str] = []
    before: Mapping[str, int] = {}
    for sample in seen.samples:
        for (name, symbol), until in sample.settled.items():
            served = sample.served.get(symbol, 0)
            served = sample.minute if served >= sample.minute else before.get(symbol, 0)
            if until < served and not (name == "quarter" and _asking(seen, symbol, sample.minute)):
                found.append(
                    f"{name} {symbol} {_at(seen, sample.minute)}: settled {_at(seen, until)}"
                )
    return found


# -- recovery ----------------------------------------------------------------------------------


def recoveries(seen: Observed) -> list[tuple[str, Trouble | None, int]]:
    """Symbol, last trouble and ticks it took from its end until the data was there again.

    Minutes without a bar are no ticks that anything could have come at.
    """
    found: list[tuple[str, Trouble | None, int]] = []
    for symbol in SYMBOLS:
        real = {stamp + MINUTE for stamp in seen.real[symbol]}
        mine = [
            trouble
            for trouble in seen.troubles
            if (trouble.for_all or trouble.symbol == symbol) and trouble.name not in HARMLESS
        ]
        for stamp, at in seen.plan.withheld.get(symbol, {}).items():
            mine.append(Trouble(stamp + MINUTE, at, "withheld", symbol, "klines", False))
        mine.sort(key=lambda trouble: trouble.until)
        ends = [trouble.until for trouble in mine]
        late, good = False, in_time(seen, symbol)
        for minute in range(seen.plan.start, seen.plan.end + 1, MINUTE):
            if minute not in good:
                late = late or minute in real
                continue
            if late:
                last = bisect_right(ends, minute + SAMPLED_AT) - 1
                trouble = mine[last] if last >= 0 else None
                end = trouble.until if trouble is not None else seen.plan.start
                after = range(end // MINUTE * MINUTE + MINUTE, minute + MINUTE, MINUTE)
                found.append((symbol, trouble, sum(tick in real for tick in after)))
            late = False
    return found


def slow_recoveries(seen: Observed) -> list[str]:
    """Data that took more than one tick to be there again."""
    return [
        f"{symbol}: {ticks} ticks after {trouble and (trouble.name, _at(seen, trouble.until))}"
        for symbol, trouble, ticks in recoveries(seen)
        if ticks > 1
    ]


# -- errors ------------------------------------------------------------------------------------


def failed_calls(seen: Observed) -> list[Call]:
    """Requests that failed for good, after all tries."""
    return [call for call in seen.calls if call.error]


def unclear_errors(seen: Observed) -> list[str]:
    """Failures without exactly one event, and events that do not say what an operator must know."""
    found: list[str] = []
    failures = Counter((call.symbol, call.error) for call in failed_calls(seen))
    for event in seen.errors:
        text = str(event)
        if event.stage == "validation":
            continue  # what strategies answer has nothing to do with the exchange
        if event.stage == "exchange":
            said = _FAILED.fullmatch(text)
            if said is None or said[1] != event.symbol or len(said[3]) < 20:
                found.append(f"unclear: {text}")
            key = event.symbol, str(event.cause.__cause__)
        else:
            key = event.symbol, str(event.cause)
        failures[key] -= 1
        if event.when is None or event.exchange_name != EXCHANGE:
            found.append(f"says not where: {text}")
    found += [f"{count} events too few: {key}" for key, count in failures.items() if count > 0]
    found += [f"{-count} events too many: {key}" for key, count in failures.items() if count < 0]
    return found


# -- late data ---------------------------------------------------------------------------------


def wrong_statuses(seen: Observed) -> list[str]:
    """Words about late data that are not true, missing, repeated, or not taken back."""
    found: list[str] = []
    for symbol in SYMBOLS:
        said = [status for status in seen.statuses if status.symbol == symbol]
        late = late_minutes(seen, symbol)
        # A run that begins its tick later may get what others have failed to get in that minute.
        failed = {call.ended // MINUTE for call in failed_calls(seen) if call.symbol == symbol}
        found += [
            f"{symbol} {_at(seen, status.when)}: {'late' if status.stale else 'here'} is not true"
            for status in said
            if status.stale is not (status.when in late)
            and not (status.stale and status.when // MINUTE in failed)
        ]
        if [status.stale for status in said] != [n % 2 == 0 for n in range(len(said))]:
            found.append(f"{symbol}: late and here do not alternate")
        if said and said[-1].stale and seen.plan.end not in late:
            found.append(f"{symbol}: is still said to be late")
        starts = [status.when for status in said if status.stale]
        # Of the last minute it will be said when it is over.
        first = {m for m in late if m - MINUTE not in late and m < seen.plan.end}
        for minute in first - set(starts):
            found.append(f"{symbol} {_at(seen, minute)}: nobody said that it is late")
    return found


def late_minutes(seen: Observed, symbol: str) -> set[int]:
    """Minutes that began before their bar, the one closing then, was here."""
    minutes = range(seen.plan.start, seen.plan.end + 1, MINUTE)
    found = set(minutes) - in_time(seen, symbol)
    # The last question of a minute is asked at its very end.
    mine = (call for call in seen.calls if call.symbol == symbol)
    return found - {c.until for c in mine if c.brought == c.until == c.ended - MINUTE}


# -- quiet times -------------------------------------------------------------------------------


def quiet_minutes(seen: Observed, symbol: str) -> list[int]:
    """Minutes in which nothing was wrong with a symbol, nor in the two before."""
    troubled = {
        minute
        for trouble in seen.troubles
        for minute in range(trouble.when // MINUTE - 1, trouble.until // MINUTE + 3)
    }
    good = in_time(seen, symbol)
    return [
        minute
        for minute in range(seen.plan.start + 3 * MINUTE, seen.plan.end + 1, MINUTE)
        if minute // MINUTE not in troubled
        and good.issuperset(range(minute - 2 * MINUTE, minute + 1, MINUTE))
    ]


def idle_requests(seen: Observed) -> list[str]:
    """Quiet minutes in which a symbol was not asked for exactly once, an interval at most once."""
    asked: Counter[tuple[str, str, int]] = Counter()
    for question in seen.questions:
        asked[question.symbol, question.interval, question.when // MINUTE] += 1
    found: list[str] = []
    for symbol in SYMBOLS:
        for minute in quiet_minutes(seen, symbol):
            count = asked[symbol, "1m", minute // MINUTE]
            if count != 1:
                found.append(f"{symbol} {_at(seen, minute)}: {count} requests for one minute")
            if asked[symbol, "15m", minute // MINUTE] > 1:
                found.append(f"{symbol} {_at(seen, minute)}: 15m asked for more than once")
    return found
