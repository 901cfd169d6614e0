"""Each fault alone: a hiccup that nobody notices, then an outage of two and a half minutes.

One run of three hours serves all tests here: every fault has its own eight minutes, and the clock
of the exchange is wrong in the last two hours. Every run of the engine is watched in all of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.domain.errors import ExchangeError, RunError
from engine.domain.time import MINUTE, parse_instant
from tests.faults import checks
from tests.faults.simulation import EXCHANGE, SYMBOLS, Observed, Plan, simulate
from tests.faults.troubled import Question, Scripts, SkippingLoop, label
from tests.servers import faults
from tests.servers.faults import Fault, FaultScript, status

pytestmark = pytest.mark.xdist_group("faults alone")

START = parse_instant("2024-03-01T12:00")
SLOT = 8 * MINUTE
SECRET = "s3cr3t-k3y-0f-n0b0dy"

FAULTS: dict[Fault, str] = {
    status(429, 1): "too many requests (HTTP 429)",
    status(429, 90): "too many requests (HTTP 429), no request is made before ",
    status(418, 90): "it has banned this address (HTTP 418), no request is made before ",
    status(500): "it answered HTTP 500 Internal Server Error",
    status(502): "it answered HTTP 502 Bad Gateway",
    status(503, 20): "it answered HTTP 503 Service Unavailable",
    status(504): "it answered HTTP 504 Gateway Timeout",
    faults.TIMEOUT: "no answer within 10 s",
    faults.DROP: "the connection broke while it should answer",
    faults.HTML: "it answered with a web page instead of data: <!DOCTYPE html>",
    faults.TRUNCATED: "its answer was cut off",
    faults.CUT: "its answer was cut off",
    faults.EMPTY: "its answer was empty",
    faults.NONE_ROWS: "it sent a candle without values: [None, None",
    faults.DUPLICATES: "",
    faults.UNSORTED: "",
    faults.late(1500): "",
    faults.late(90_000): "",
}
"""Each fault and what is said of it; nothing is said where nothing fails."""

FATAL = [fault for fault, text in FAULTS.items() if text]
STEALTHY = [fault for fault, text in FAULTS.items() if not text]
SHORT = [fault for fault in FATAL if fault.status not in (418,) and fault.retry_after != "90"]
"""Faults that a second try heals."""


def begin(fault: Fault) -> int:
    """The first minute of a fault's slot."""
    return START + MINUTE + list(FAULTS).index(fault) * SLOT


def outage(fault: Fault) -> tuple[int, int]:
    """When every request meets the fault; a silence that is asked for needs one request."""
    start = begin(fault) + 2 * MINUTE - 5_000
    long_silence = fault.retry_after == "90"
    return start, start + (6_000 if long_silence else 155_000)


def plan() -> Plan:
    between: list[tuple[int, int, Fault]] = []
    for fault in FAULTS:
        if fault not in FATAL or fault in SHORT:
            between.append((begin(fault), begin(fault) + 1000, fault))  # the hiccup
        between.append((*outage(fault), fault))
    # The exchange's first answers are bad as well.
    listing = FaultScript(at={1: status(503), 2: faults.HTML}, endpoints=("exchangeInfo",))
    candles = FaultScript(between=between)
    quiet = START + 150 * MINUTE
    skews = [(START, -800), (quiet, -3000), (quiet + 30 * MINUTE, 2500)]
    return Plan(
        START,
        220,
        Scripts({"klines": candles, "exchangeInfo": listing}),
        skews=skews,
        settings={"exit_trigger": "touch"},
    )


@pytest.fixture(scope="module")
def seen() -> Observed:
    before = os.environ.copy()
    os.environ[f"SIGNALDECK_{EXCHANGE.upper()}_API_KEY"] = SECRET
    os.environ[f"SIGNALDECK_{EXCHANGE.upper()}_SECRET"] = SECRET[::-1]
    try:
        with asyncio.Runner(loop_factory=SkippingLoop) as runner:
            return runner.run(simulate(plan()))
    finally:
        os.environ.clear()
        os.environ.update(before)


def ticks(fault: Fault) -> range:
    """The minutes of a fault's slot."""
    return range(begin(fault), begin(fault) + SLOT, MINUTE)


def events(seen: Observed, fault: Fault) -> list[Any]:
    """What the runs said of the exchange during a fault's slot."""
    return [e for e in seen.errors if e.stage != "validation" and e.when in ticks(fault)]


def statuses(seen: Observed, fault: Fault, symbol: str) -> list[tuple[bool, int]]:
    return [
        (s.stale, (s.when - begin(fault)) // MINUTE)
        for s in seen.statuses
        if s.symbol == symbol and s.when in ticks(fault)
    ]


def test_nothing_crashed(seen: Observed) -> None:
    assert checks.crashes(seen) == []
    assert {t.name for t in seen.troubles} == {label(fault) for fault in FAULTS} | {"HTTP 503"}


def test_every_bar_is_the_final_one(seen: Observed) -> None:
    assert checks.wrong_bars(seen) == []


async def test_every_exit_and_entry_is_that_of_a_backtest(seen: Observed) -> None:
    backtested = await checks.backtests(seen)
    assert checks.wrong_trades(seen, backtested) == []
    actions = [str(r.action) for found in seen.transitions.values() for r in found]
    assert all(actions.count(a) >= 5 for a in ("opened", "closed", "scheduled", "cancelled"))
    assert len(seen.transitions) == 20


def test_everything_served_is_settled_within_its_minute(seen: Observed) -> None:
    assert checks.unsettled(seen) == []
    assert checks.missed_decisions(seen) == []


def test_one_clear_event_a_failure(seen: Observed) -> None:
    assert checks.unclear_errors(seen) == []
    texts = [f"{event}\n{event.traceback}" for event in seen.errors]
    assert not any(SECRET in text or SECRET[::-1] in text for text in texts)


def test_what_is_said_of_late_data_is_true(seen: Observed) -> None:
    assert checks.wrong_statuses(seen) == []
    assert checks.slow_recoveries(seen) == []


@pytest.mark.parametrize("fault", FATAL, ids=label)
def test_an_outage(seen: Observed, fault: Fault) -> None:
    """Each tick of the outage is one event a symbol; the first tick after it finds all well."""
    said = events(seen, fault)
    symbols = sorted(event.symbol for event in said if event.stage == "exchange")
    per_symbol = symbols.count(SYMBOLS[0])
    assert symbols == sorted(SYMBOLS * per_symbol)
    assert 1 <= per_symbol <= 3
    for event in said:
        assert FAULTS[fault] in str(event)
    for symbol in SYMBOLS:
        late, here = statuses(seen, fault, symbol)
        assert (late[0], here[0]) == (True, False)
        assert late[1] == 2
        assert here[1] - late[1] == per_symbol
    last = max(trouble.until for trouble in seen.troubles if trouble.when in slot(fault))
    assert begin(fault) + here[1] * MINUTE - last <= MINUTE


@pytest.mark.parametrize("fault", SHORT, ids=label)
def test_a_hiccup_is_healed_by_the_next_try(seen: Observed, fault: Fault) -> None:
    start = begin(fault)
    hit = {t.symbol for t in seen.troubles if start <= t.when < start + MINUTE}
    assert hit == set(SYMBOLS)
    assert not [event for event in events(seen, fault) if event.when < start + 2 * MINUTE]


@pytest.mark.parametrize("fault", STEALTHY, ids=label)
def test_what_is_no_failure_is_no_error(seen: Observed, fault: Fault) -> None:
    assert events(seen, fault) == []
    hit = {t.symbol for t in seen.troubles if t.when in slot(fault)}
    assert hit == set(SYMBOLS)
    for symbol in SYMBOLS:
        said = statuses(seen, fault, symbol)
        real = {stamp + MINUTE for stamp in seen.real[symbol]}
        whole = all(minute in real for minute in ticks(fault))
        if whole and fault.ms < MINUTE:
            assert said == []
        elif whole:
            assert said == [(True, 2), (False, 4)]


def slot(fault: Fault) -> range:
    return range(begin(fault), begin(fault) + SLOT)


def test_an_exchange_with_a_wrong_clock_is_asked_once_a_minute(seen: Observed) -> None:
    assert checks.idle_requests(seen) == []
    assert {-800, -3000, 2500} <= set(seen.offsets)
    for symbol in SYMBOLS:
        quiet = checks.quiet_minutes(seen, symbol)
        assert sum(minute >= START + 150 * MINUTE for minute in quiet) >= 30
    # Every half an hour, not every minute.
    assert seen.time_requests == 1 + 220 // 30


# -- checks that find nothing prove nothing ----------------------------------------------------


def _unsettled(seen: Observed) -> Observed:
    """Of one symbol, the newest bar is not settled in one minute."""
    samples = list(seen.samples)
    at = (_quiet(seen) - seen.plan.start) // MINUTE
    settled = {
        name: until - MINUTE * (name[1] == "ETHUSDT") for name, until in samples[at].settled.items()
    }
    samples[at] = replace(samples[at], settled=settled)
    return replace(seen, samples=samples)


def _slow(seen: Observed) -> Observed:
    """After an outage nothing came for two minutes more."""
    end = outage(status(500))[1]
    lost = range(end, end + 2 * MINUTE + 25_000)
    calls = [replace(c, brought=0) if c.ended in lost else c for c in seen.calls]
    return replace(seen, calls=calls)


def _one_later(seen: Observed) -> Observed:
    name, found = next((n, f) for n, f in seen.transitions.items() if len(f) > 2)
    moved = [*found[:1], replace(found[1], when=found[1].when + MINUTE), *found[2:]]
    return replace(seen, transitions={**seen.transitions, name: moved})


def _vague(seen: Observed) -> Observed:
    at = next(n for n, event in enumerate(seen.errors) if event.stage == "exchange")
    event = seen.errors[at]
    failed = ExchangeError("it failed")
    failed.__cause__ = event.cause.__cause__
    vague = RunError(
        failed, stage="exchange", symbol=event.symbol, exchange_name=EXCHANGE, when=event.when
    )
    return replace(seen, errors=[*seen.errors[:at], vague, *seen.errors[at + 1 :]])


def _bar(seen: Observed) -> Observed:
    bars = list(seen.bars["BTCUSDT"])
    bars[70] = bars[70]._replace(close=bars[70].close * 1.0001)
    return replace(seen, bars={**seen.bars, "BTCUSDT": bars})


def _quiet(seen: Observed) -> int:
    return checks.quiet_minutes(seen, "ETHUSDT")[5]


DOCTORED: dict[str, tuple[Callable[[Observed], Observed], Callable[[Observed], list[str]]]] = {
    "a run that ended": (
        lambda s: replace(s, samples=[replace(s.samples[9], ended=(("drift", "BTCUSDT"),))]),
        checks.crashes,
    ),
    "a forming bar": (_bar, checks.wrong_bars),
    "a failure untold": (
        lambda s: replace(s, errors=[e for e in s.errors if e.symbol != "SOLUSDT"]),
        checks.unclear_errors,
    ),
    "a failure told twice": (
        lambda s: replace(s, errors=[*s.errors, s.errors[-1]]),
        checks.unclear_errors,
    ),
    "a vague error": (_vague, checks.unclear_errors),
    "a status twice": (
        lambda s: replace(s, statuses=[*s.statuses, s.statuses[-1]]),
        checks.wrong_statuses,
    ),
    "late data untold": (lambda s: replace(s, statuses=s.statuses[40:]), checks.wrong_statuses),
    "a bar not settled": (_unsettled, checks.unsettled),
    "a slow recovery": (_slow, checks.slow_recoveries),
    "a decision not made": (
        lambda s: replace(s, asked={name: set(list(at)[9:]) for name, at in s.asked.items()}),
        checks.missed_decisions,
    ),
    "a question too many": (
        lambda s: replace(s, questions=[*s.questions, Question(_quiet(s), "ETHUSDT", "1m", True)]),
        checks.idle_requests,
    ),
}


@pytest.mark.parametrize("what", DOCTORED)
def test_what_is_wrong_is_found(seen: Observed, what: str) -> None:
    doctor, check = DOCTORED[what]
    assert check(seen) == []
    assert check(doctor(seen)) != []


async def test_a_late_exit_is_found(seen: Observed) -> None:
    backtested = await checks.backtests(seen)
    assert checks.wrong_trades(_one_later(seen), backtested) != []
