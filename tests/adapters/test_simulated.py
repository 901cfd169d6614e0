"""The simulated market: one and the same from wherever it is looked at, and fit to trade on."""

from __future__ import annotations

import asyncio
import math
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.adapters.exchanges.simulated import (
    HISTORY_END,
    HISTORY_START,
    LISTINGS,
    SimulatedExchange,
    _exp,
)
from engine.domain.bars import Candle, Candles
from engine.domain.errors import NoDataError, SchemaError
from engine.domain.ports import Exchange
from engine.domain.time import DAY, MINUTE, from_ms, parse_instant

SYMBOLS = tuple(LISTINGS)
START = parse_instant("2023-03-01")
FIRST_MINUTE, LAST_MINUTE = HISTORY_START // MINUTE, HISTORY_END // MINUTE


def bars(market: SimulatedExchange, symbol: str, since: int, limit: int) -> Candles:
    return market.get_candles(symbol, "1m", from_ms(since), limit)


def month(symbol: str, seed: int = 1) -> Candles:
    return bars(SimulatedExchange(seed), symbol, START, 30 * 1440)


def test_it_is_an_exchange() -> None:
    market = SimulatedExchange()
    assert isinstance(market, Exchange)
    assert market.intervals() == {"1m"}
    assert len(market.symbols()) >= 6
    assert market.history() == (HISTORY_START, HISTORY_END)
    asyncio.run(market.close())


# --- random access ----------------------------------------------------------------------------


@given(
    symbol=st.sampled_from(SYMBOLS),
    start=st.integers(FIRST_MINUTE - 50, LAST_MINUTE - 500),
    minutes=st.integers(1, 25_000),
    cuts=st.lists(st.integers(0, 25_000), max_size=5),
    seed=st.sampled_from([1, 7, -3]),
)
@settings(max_examples=25, deadline=None)
def test_bars_do_not_depend_on_how_they_are_asked_for(
    symbol: str, start: int, minutes: int, cuts: list[int], seed: int
) -> None:
    def span(first: int, end: int) -> list[Candle]:
        """All bars of a span of minutes, from a market that has computed nothing yet."""
        fresh = SimulatedExchange(seed, now=lambda: end * MINUTE)
        return list(bars(fresh, symbol, first * MINUTE, minutes))

    whole = span(start, start + minutes)
    edges = [start, *(start + cut for cut in sorted(cuts) if cut < minutes), start + minutes]
    assert [bar for first, end in pairwise(edges) for bar in span(first, end)] == whole
    for bar in whole[:: max(1, len(whole) // 3)]:
        assert bars(SimulatedExchange(seed), symbol, bar.timestamp, 1)[0] == bar


@given(limit=st.integers(0, 300), symbol=st.sampled_from(["BTCUSDT", "DOGEUSDT"]))
@settings(max_examples=40, deadline=None)
def test_limit_counts_bars_and_not_minutes(limit: int, symbol: str) -> None:
    market = SimulatedExchange()
    # The pages cross the edge between two blocks of a week.
    edge = START // (7 * DAY) * (7 * DAY)
    got = bars(market, symbol, edge - 150 * MINUTE, limit)
    assert len(got) == limit
    assert list(got) == list(bars(market, symbol, edge - 150 * MINUTE, 400))[:limit]


def test_evicted_blocks_come_back_the_same() -> None:
    market = SimulatedExchange()
    before = list(bars(market, "BTCUSDT", START, 50))
    bars(market, "ETHUSDT", START, 70 * 7 * 1440)
    assert list(bars(market, "BTCUSDT", START, 50)) == before


def test_the_market_is_the_same_on_every_machine() -> None:
    digest = sha256()
    for symbol in ("BTCUSDT", "DOGEUSDT"):
        for column in bars(SimulatedExchange(), symbol, START, 15_000).columns():
            digest.update(column.astype(column.dtype.newbyteorder("<")).tobytes())
    assert digest.hexdigest() == "3c200e9d62e19264df35433ff08f7664cd7323179969708974990bd6b2ebe0ca"


def test_seed_and_symbol_make_the_market() -> None:
    one, other = month("BTCUSDT"), month("BTCUSDT", seed=2)
    assert not np.array_equal(one.close, other.close)
    assert one == month("BTCUSDT")
    with pytest.raises(SchemaError, match="seed of a simulated market is '1'"):
        SimulatedExchange("1")  # type: ignore[arg-type]


# --- a market to trade on ---------------------------------------------------------------------


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_bars_are_candles(symbol: str) -> None:
    c = month(symbol)
    assert (np.diff(c.timestamp) > 0).all()
    assert (c.timestamp % MINUTE == 0).all()
    assert (c.high >= np.maximum(c.open, c.close)).all()
    assert (c.low <= np.minimum(c.open, c.close)).all()
    assert (c.low > 0).all()
    assert (c.volume > 0).all()
    together = np.diff(c.timestamp) == MINUTE
    assert np.array_equal(c.open[1:][together], c.close[:-1][together])


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_prices_are_on_the_tick(symbol: str) -> None:
    market, c = SimulatedExchange(), month(symbol)
    for price in (*c.high[:200], *c.close[:200]):
        assert float(market.format_price(symbol, price)) == price
    for volume in c.volume[:200]:
        assert float(market.format_quantity(symbol, volume)) == volume
    assert len(np.unique(c.close)) > 1000


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_returns_look_like_a_market(symbol: str) -> None:
    c = month(symbol)
    returns = np.diff(np.log(c.close))
    assert 0.0004 < returns.std() < 0.0016
    assert abs(returns.mean()) < 5e-5
    assert np.mean(returns**4) / np.mean(returns**2) ** 2 > 5  # fat tails
    by_hour = np.abs(returns[: len(returns) // 60 * 60]).reshape(-1, 60).mean(axis=1)
    assert np.quantile(by_hour, 0.9) > 2.5 * np.quantile(by_hour, 0.1)  # calm and violent hours
    assert np.corrcoef(np.abs(returns), c.volume[1:])[0, 1] > 0.3


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_percent_is_reached_several_times_a_day(symbol: str) -> None:
    c = month(symbol)
    touches, entry = 0, float(c.close[0])
    for high, low, close in zip(c.high.tolist(), c.low.tolist(), c.close.tolist(), strict=True):
        if high >= 1.01 * entry or low <= 0.99 * entry:
            touches, entry = touches + 1, close
    assert touches / 30 >= 3


def test_trends_and_ranges() -> None:
    # Twelve-hour moves against the path walked for them: far apart in trends, near in ranges.
    close = np.log(month("SOLUSDT").close[: 43_200 // 720 * 720]).reshape(-1, 720)[:, ::20]
    path = np.abs(np.diff(close, axis=1)).sum(axis=1)
    efficiency = np.abs(close[:, -1] - close[:, 0]) / path
    assert efficiency.max() > 0.35
    assert efficiency.min() < 0.05


def test_symbols_move_together_but_not_in_step() -> None:
    one, other = (np.diff(np.log(month(symbol).close)) for symbol in ("BTCUSDT", "ETHUSDT"))
    assert 0.1 < np.corrcoef(one, other)[0, 1] < 0.7


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_prices_stay_within_bounds_for_twenty_years(symbol: str) -> None:
    market = SimulatedExchange()
    base = LISTINGS[symbol].base_price
    for day in range(HISTORY_START, HISTORY_END, 45 * DAY):
        c = bars(market, symbol, day, 1440)
        assert 0.3 * base < c.low.min()
        assert c.high.max() < 3.5 * base


def holes_of(symbol: str) -> np.ndarray:
    """Lengths in minutes of the holes in sixty days."""
    steps = np.diff(bars(SimulatedExchange(), symbol, START, 60 * 1440).timestamp) // MINUTE
    return steps[steps > 1] - 1


def test_gaps() -> None:
    for symbol, listing in LISTINGS.items():
        holes = holes_of(symbol)
        assert (len(holes) > 0) == (listing.gap_chance > 0)
        assert (holes <= 20).all()
    holes = holes_of("DOGEUSDT")
    assert 2 < len(holes) / 60 < 6
    assert holes.max() > 4
    assert np.median(holes) <= 4


# --- what can be seen -------------------------------------------------------------------------


@given(offset=st.integers(-3 * MINUTE, 3 * MINUTE))
@settings(deadline=None)
def test_only_closed_bars_are_served(offset: int) -> None:
    now = START + offset
    market = SimulatedExchange(now=lambda: now)
    got = bars(market, "BTCUSDT", START - 10 * MINUTE, 100)
    assert got[-1].timestamp + MINUTE <= now < got[-1].timestamp + 2 * MINUTE
    assert market.history() == (HISTORY_START, got[-1].timestamp + MINUTE)


def test_a_bar_appears_when_it_closes_and_never_changes() -> None:
    clock = [START]
    market = SimulatedExchange(now=lambda: clock[0])
    assert not len(bars(market, "BTCUSDT", START, 5))
    clock[0] += MINUTE - 1
    assert not len(bars(market, "BTCUSDT", START, 5))
    clock[0] += 1
    first = bars(market, "BTCUSDT", START, 5)
    assert [candle.timestamp for candle in first] == [START]
    clock[0] += DAY
    assert bars(market, "BTCUSDT", START, 1) == first


def test_ends_of_history() -> None:
    market = SimulatedExchange()
    assert bars(market, "BTCUSDT", 0, 1)[0].timestamp == HISTORY_START
    assert len(bars(market, "BTCUSDT", HISTORY_END - 3 * MINUTE, 100)) == 3
    assert not len(bars(market, "BTCUSDT", HISTORY_END, 100))
    early = SimulatedExchange(now=lambda: HISTORY_START - DAY)
    assert not len(bars(early, "BTCUSDT", 0, 100))
    assert early.history() == (HISTORY_START, HISTORY_START)


def test_since_between_minutes_starts_at_the_next_bar() -> None:
    market = SimulatedExchange()
    assert bars(market, "BTCUSDT", START + 1, 1)[0].timestamp == START + MINUTE


def test_what_is_not_there_is_named() -> None:
    market = SimulatedExchange()
    with pytest.raises(NoDataError, match="does not list NOPE: use one of BTCUSDT, ETHUSDT"):
        bars(market, "NOPE", START, 1)
    with pytest.raises(NoDataError, match="serves 1m bars, not 5m"):
        market.get_candles("BTCUSDT", "5m", from_ms(START), 1)
    with pytest.raises(NoDataError):
        market.format_price("NOPE", 1.0)


def test_numbers_are_written_by_tick() -> None:
    market = SimulatedExchange()
    assert market.format_price("BTCUSDT", 42685.3456789) == "42685.3"
    assert market.format_price("DOGEUSDT", 0.1) == "0.100000"
    assert market.format_quantity("DOGEUSDT", 1234.5678) == "1235"
    assert market.format_price("BTCUSDT", math.nan) == "nan"


@given(st.floats(-4, 4))
def test_the_exponential_is_one(x: float) -> None:
    assert _exp(np.array([x]))[0] == pytest.approx(math.exp(x), rel=1e-12)
