from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.adapters.cache.candle_cache import CandleCache
from engine.adapters.cache.stretches import Part
from engine.adapters.exchanges.cached import SETTLED_AFTER, CachedExchange
from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.bars import Candles
from engine.domain.errors import CandleDataError, ExchangeError
from engine.domain.schemas import ExchangeSchema
from engine.domain.settings import Settings
from engine.domain.time import DAY, MINUTE, from_ms
from engine.history import CoreChecks, cached
from engine.services.clock import SimulatedClock
from engine.services.market import Market
from tests.cache.cache_bed import KEY, T0, ExactExchange, bars, bars_at, minutes, part, stretch

SYMBOL, INTERVAL = KEY.symbol, KEY.interval
DAYS = 1440
LATER = T0 + 30 * DAY


def around(
    inner: Any, root: Path, now: Callable[[], int] | None = None, write_pause: float = 0.0
) -> CachedExchange:
    checks = CoreChecks(Settings())
    return CachedExchange(
        inner, CandleCache(root), KEY.exchange_name, checks=checks, now=now or inner.present,
        write_pause=write_pause,
    )  # fmt: skip


async def ask(exchange: CachedExchange, since: int, limit: int) -> Candles:
    rows = await exchange.get_candles(SYMBOL, INTERVAL, from_ms(since), limit)
    assert isinstance(rows, Candles)
    return rows


def check_stored(root: Path, inner: ExactExchange) -> None:
    """What is stored is final, and what it calls a hole is none of the exchange's bars."""
    stored = CandleCache(root).load(KEY)
    if stored is None:
        return
    final = [
        stamp
        for start, end in stored.part.covered
        for stamp in inner.stamps[(inner.stamps >= start) & (inner.stamps < end)].tolist()
    ]
    assert stored.candles == Candles(bars_at(final))
    assert stored.part.covered[-1][1] <= inner.now - SETTLED_AFTER


# -- the same as the exchange itself ---------------------------------------------------------------

GAPS = st.lists(st.tuples(st.integers(0, 400), st.sampled_from((1, 2, 15, 90))), max_size=5)
LONG_GAP = st.sampled_from((0, 0, 3 * DAYS, 8 * DAYS))
REQUEST = st.tuples(st.just("ask"), st.integers(-40, 520), st.sampled_from((1, 2, 7, 60, 300)))
OFF_GRID = st.tuples(st.just("ask"), st.just(0.5), st.integers(1, 20))
STEP = st.one_of(
    REQUEST, REQUEST, REQUEST, OFF_GRID,
    st.tuples(st.just("wait"), st.integers(1, 120), st.just(0)),
    st.tuples(st.sampled_from(("flush", "close", "crash", "beside")), st.just(0), st.just(0)),
)  # fmt: skip


@settings(
    deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(gaps=GAPS, long_gap=LONG_GAP, age=st.integers(0, 700), steps=st.lists(STEP, max_size=25))
async def test_the_same_bars_as_the_exchange_itself(
    tmp_path_factory: pytest.TempPathFactory,
    gaps: list[tuple[int, int]],
    long_gap: int,
    age: int,
    steps: list[tuple[str, float, int]],
) -> None:
    missing = {minute for start, length in gaps for minute in range(start, start + length)}
    stamps = [T0 + m * MINUTE for m in range(500) if m not in missing]
    # After minute 250 there may be a silence of days.
    stamps = [stamp + (long_gap * MINUTE if stamp >= T0 + 250 * MINUTE else 0) for stamp in stamps]
    inner = ExactExchange(stamps, T0 + (long_gap + age) * MINUTE + 1)
    root = tmp_path_factory.mktemp("cache")
    exchange = around(inner, root)
    for what, first, second in steps:
        if what == "ask":
            since = T0 + int(first * MINUTE)
            if first > 250:
                since += long_gap * MINUTE
            assert await ask(exchange, since, second) == inner.answer(since, second)
        elif what == "wait":
            inner.now += int(first) * MINUTE + 1234
        elif what == "flush":
            await exchange.flush()
            check_stored(root, inner)
        elif what == "beside":  # another process fetches the same
            other = around(inner, root)
            await ask(other, T0 + 100 * MINUTE, 200)
            await other.flush()
        else:
            if what == "close":
                await exchange.close()
                inner.failing = None
            exchange = around(inner, root)
    await exchange.flush()
    check_stored(root, inner)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT"])
async def test_the_simulated_market_comes_out_the_same_from_its_cache(
    tmp_path: Path, symbol: str
) -> None:
    inner = SimulatedExchange(seed=3)
    for _ in range(2):
        exchange = around(inner, tmp_path, now=lambda: LATER)
        for first in range(0, 5 * DAYS, 777):
            since = from_ms(T0 + first * MINUTE)
            got = await exchange.get_candles(symbol, "1m", since, 1000)
            assert got == inner.get_candles(symbol, "1m", since, 1000)
        await exchange.close()


# -- what it asks for ----------------------------------------------------------------------------


async def test_only_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    inner = ExactExchange(bars(0, 3000, missing=[10, 11]).timestamp.tolist(), LATER)
    exchange = around(inner, tmp_path)
    await ask(exchange, T0, 100)
    await ask(exchange, T0 + 500 * MINUTE, 100)
    assert await ask(exchange, T0, 700) == inner.answer(T0, 700)
    assert inner.calls == [
        (T0, 100),
        (T0 + 500 * MINUTE, 100),
        (T0 + 102 * MINUTE, 398),
        (T0 + 600 * MINUTE, 102),
    ]
    inner.calls.clear()
    for since in range(0, 690, 13):
        await ask(exchange, T0 + since * MINUTE, 10)
    assert inner.calls == []


async def test_a_restart_asks_for_nothing_that_was_stored(tmp_path: Path) -> None:
    inner = ExactExchange(bars(0, 3000).timestamp.tolist(), LATER)
    first = around(inner, tmp_path)
    for page in range(10):
        await ask(first, T0 + page * 200 * MINUTE, 200)
    await first.flush()
    inner.calls.clear()
    second = around(inner, tmp_path)
    assert await ask(second, T0, 2000) == Candles(bars(0, 2000)) and inner.calls == []
    assert await ask(second, T0, 2010) == Candles(bars(0, 2010))
    assert inner.calls == [(T0 + 2000 * MINUTE, 10)]


async def test_what_another_process_stored_is_noticed_before_the_exchange_is_asked(
    tmp_path: Path,
) -> None:
    inner = ExactExchange(bars(0, 3000).timestamp.tolist(), LATER)
    exchange = around(inner, tmp_path)
    await ask(exchange, T0, 100)
    await exchange.flush()
    CandleCache(tmp_path).merge(KEY, [part(100, 500)])
    inner.calls.clear()
    assert await ask(exchange, T0 + 50 * MINUTE, 400) == Candles(bars(50, 400))
    assert inner.calls == []


async def test_what_is_held_comes_without_waiting(tmp_path: Path) -> None:
    inner = ExactExchange(bars(0, 3000).timestamp.tolist(), LATER)
    exchange = around(inner, tmp_path)
    await ask(exchange, T0, 500)
    coroutine = exchange.get_candles(SYMBOL, INTERVAL, from_ms(T0), 300)
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    assert done.value.value == Candles(bars(0, 300))


async def test_long_holes_are_believed_when_they_are_seen_again(tmp_path: Path) -> None:
    missing = [*range(100, 199), *range(300, 400)]
    inner = ExactExchange(bars(0, 600, missing).timestamp.tolist(), LATER)
    for expected in ([(0, 301)], [(300, 100)], []):
        inner.calls.clear()
        exchange = around(inner, tmp_path)
        assert await ask(exchange, T0, 301) == inner.answer(T0, 301)
        await exchange.flush()
        assert inner.calls == [(T0 + first * MINUTE, limit) for first, limit in expected]
    stored = CandleCache(tmp_path).load(KEY)
    assert stored is not None and stored.holes == 199 and len(stored.part.covered) == 1


async def test_an_empty_page_is_no_hole(tmp_path: Path) -> None:
    """An answer put together from pages, one of which came back empty by mistake."""
    inner = ExactExchange(bars(0, 600).timestamp.tolist(), LATER)
    whole = inner.stamps
    inner.stamps = bars(0, 600, range(100, 200)).timestamp
    exchange = around(inner, tmp_path)
    assert len(await ask(exchange, T0, 400)) == 400
    inner.stamps = whole
    assert await ask(exchange, T0, 400) == Candles(bars(0, 400))


async def test_an_exchange_that_forgets_leaves_no_holes(tmp_path: Path) -> None:
    """Some serve their newest bars alone, whatever they are asked for."""
    inner = ExactExchange(bars(0, 100).timestamp.tolist(), LATER)
    exchange = around(inner, tmp_path)
    await ask(exchange, T0, 100)
    for first in (1000, 1100):
        inner.stamps = bars(first, 720).timestamp
        await ask(exchange, T0 + 100 * MINUTE, 2000)
    await exchange.flush()
    merged = CandleCache(tmp_path).merge(KEY, [part(100, 900)])
    assert merged is not None and merged.holes == 0


async def test_silences_longer_than_a_week_are_never_believed(tmp_path: Path) -> None:
    start = T0 + 8 * DAY
    inner = ExactExchange([start + m * MINUTE for m in range(500)], LATER)
    exchange = around(inner, tmp_path)
    for _ in range(3):
        assert len(await ask(exchange, T0, 50)) == 50
    await exchange.flush()
    stored = CandleCache(tmp_path).load(KEY)
    assert stored is not None and stored.part.covered == ((start, start + 50 * MINUTE),)
    # Should the exchange learn of older bars, or somebody import them, they are seen.
    inner.stamps = bars(0, 100).timestamp
    assert await ask(exchange, T0, 50) == Candles(bars(0, 50))


# -- young bars ----------------------------------------------------------------------------------


async def test_a_live_run_is_not_written_every_minute(tmp_path: Path) -> None:
    now = T0 + 2 * DAY + 5000
    inner = ExactExchange(bars(0, 4 * DAYS).timestamp.tolist(), now)
    exchange = around(inner, tmp_path)
    await ask(exchange, now - DAY, DAYS)
    await exchange.flush()
    cache = CandleCache(tmp_path)
    written = cache.signature(KEY)
    assert written is not None
    for _ in range(120):
        inner.now += MINUTE
        since = (inner.now // MINUTE - 1) * MINUTE
        assert await ask(exchange, since, 1) == inner.answer(since, 1)
        await exchange.flush()
    assert cache.signature(KEY) == written
    # After a restart the two hours come in one request, and are written then.
    inner.calls.clear()
    restarted = around(inner, tmp_path)
    await ask(restarted, inner.now - DAY, DAYS)
    await restarted.flush()
    assert len(inner.calls) == 1 and cache.signature(KEY) != written
    check_stored(tmp_path, inner)


async def test_the_bar_that_forms_is_served_and_never_stored(tmp_path: Path) -> None:
    inner = ExactExchange(bars(0, 100).timestamp.tolist(), T0 + 60 * MINUTE + 100)
    exchange = around(inner, tmp_path)
    got = await ask(exchange, T0, 100)
    assert got[-1].timestamp == T0 + 60 * MINUTE
    await exchange.flush()
    stored = CandleCache(tmp_path).load(KEY)
    assert stored is not None and stored.part.covered == stretch(0, 50)
    inner.now += 30 * MINUTE
    assert await ask(exchange, T0, 100) == inner.answer(T0, 100)


async def test_the_newest_bar_is_not_stored_even_if_our_clock_is_hours_ahead(
    tmp_path: Path,
) -> None:
    inner = ExactExchange(bars(0, 100).timestamp.tolist(), T0 + 60 * MINUTE + 100)
    ahead = around(inner, tmp_path, now=lambda: inner.now + 6 * 60 * MINUTE)
    await ask(ahead, T0, 100)
    await ahead.flush()
    stored = CandleCache(tmp_path).load(KEY)
    assert stored is not None and stored.sidecar.last == T0 + 59 * MINUTE


# -- failures ------------------------------------------------------------------------------------


async def test_failures_of_the_exchange_are_its_own(tmp_path: Path) -> None:
    inner = ExactExchange(bars(0, 300).timestamp.tolist(), LATER)
    exchange = around(inner, tmp_path)
    await ask(exchange, T0, 100)
    inner.failing = ExchangeError("no connection")
    with pytest.raises(ExchangeError, match="no connection"):
        await ask(exchange, T0 + 50 * MINUTE, 100)
    assert await ask(exchange, T0, 100) == Candles(bars(0, 100))


async def test_holes_do_not_make_stored_history_useless_without_a_connection(
    tmp_path: Path,
) -> None:
    CandleCache(tmp_path).merge(KEY, [part(0, 200, missing=[30, 31])])
    inner = ExactExchange(bars(0, 300, missing=[30, 31]).timestamp.tolist(), LATER)
    inner.failing = ExchangeError("no connection")
    exchange = around(inner, tmp_path)
    assert await ask(exchange, T0, 200) == Candles(bars(0, 200, missing=[30, 31]))
    with pytest.raises(ExchangeError, match="no connection"):
        await ask(exchange, T0, 201)


class Odd:
    """An exchange that answers with whatever it is given, in the form of lists."""

    def __init__(self, answer: Callable[[int, int], Any]) -> None:
        self._answer = answer
        self.calls = 0

    def get_candles(self, symbol: str, interval: str, since: datetime, limit: int) -> Any:
        self.calls += 1
        minute = (int(since.timestamp() * 1000) - T0) // MINUTE
        return self._answer(minute, limit)

    async def close(self) -> None:
        pass


def lists(first: int, count: int) -> list[list[float]]:
    return [list(bar) for bar in Candles(bars(first, count))]


WRONG_PRICE = [T0 + 25 * MINUTE, 1e-9, 1e-9, 1e-9, 1e-9, 1.0]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "<html>",
        [[None] * 6],
        [[1, 2]],
        [*lists(20, 3), *lists(20, 3)],
        lists(20, 3)[::-1],
        [[T0 + 20 * MINUTE + 1, 1, 1, 1, 1, 1]],
    ],
    ids=["None", "HTML", "rows of None", "short rows", "twice", "backwards", "off the grid"],
)
async def test_answers_that_are_no_bars_in_order_pass_through_and_are_not_stored(
    tmp_path: Path, answer: Any
) -> None:
    exchange = around(Odd(lambda first, limit: answer), tmp_path, now=lambda: LATER)
    since = from_ms(T0 + 20 * MINUTE)
    assert await exchange.get_candles(SYMBOL, INTERVAL, since, 10) is answer
    await exchange.flush()
    assert CandleCache(tmp_path).load(KEY) is None
    # Behind stored bars it comes as what it is, so that whoever checks it says the same.
    CandleCache(tmp_path).merge(KEY, [part(0, 20)])
    rows: Any = await exchange.get_candles(SYMBOL, INTERVAL, from_ms(T0), 30)
    assert rows[:20] == lists(0, 20)
    assert rows[20:] == (answer if isinstance(answer, list) else [*(answer or [None])])


@pytest.mark.parametrize(
    "bad",
    [[T0 + 25 * MINUTE, 1, 0, 2, 1, 1], [T0 + 25 * MINUTE, 1, 2, -1, 1, 1], WRONG_PRICE],
    ids=["high below low", "negative", "a thousand times too low"],
)
async def test_bars_that_fail_a_check_are_served_and_not_stored(
    tmp_path: Path, bad: list[float]
) -> None:
    CandleCache(tmp_path).merge(KEY, [part(0, 25)])
    exchange = around(Odd(lambda first, limit: [bad]), tmp_path, now=lambda: LATER)
    rows: Any = await exchange.get_candles(SYMBOL, INTERVAL, from_ms(T0 + 25 * MINUTE), 1)
    assert [list(row) for row in rows] == [bad]
    await exchange.flush()
    stored = CandleCache(tmp_path).load(KEY)
    assert stored is not None and len(stored.candles) == 25


@pytest.mark.parametrize("form", ["lists", "mappings", "awaitable"])
async def test_rows_in_any_form_are_stored(tmp_path: Path, form: str) -> None:
    async def later(rows: Sequence[Any]) -> Sequence[Any]:
        return rows

    def answer(first: int, limit: int) -> Sequence[Any] | Awaitable[Sequence[Any]]:
        rows = lists(first, limit)
        if form == "mappings":
            return [dict(zip(Candles.empty().columns()._fields, row, strict=True)) for row in rows]
        return later(rows) if form == "awaitable" else rows

    inner = Odd(answer)
    exchange = around(inner, tmp_path, now=lambda: LATER)
    for _ in range(3):
        assert await ask(exchange, T0, 50) == Candles(bars(0, 50))
    assert inner.calls == 1


async def test_damaged_files_are_a_warning_and_fetched_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = CandleCache(tmp_path)
    merged = cache.merge(KEY, [part(0, 100)])
    assert merged is not None
    data = cache.path(KEY).with_name(merged.sidecar.data)
    data.write_bytes(data.read_bytes()[:-1])
    inner = ExactExchange(bars(0, 300).timestamp.tolist(), LATER)
    exchange = around(inner, tmp_path)
    with caplog.at_level(logging.WARNING, "signaldeck.cache"):
        assert await ask(exchange, T0, 100) == Candles(bars(0, 100))
    assert str(cache.path(KEY)) in caplog.text and "set aside" in caplog.text
    await exchange.flush()
    again = cache.load(KEY)
    assert inner.calls == [(T0, 100)] and again is not None and len(again.candles) == 100


async def test_damage_while_running_is_repaired_by_the_next_write(tmp_path: Path) -> None:
    inner = ExactExchange(bars(0, 300).timestamp.tolist(), LATER)
    exchange = around(inner, tmp_path)
    await ask(exchange, T0, 100)
    await exchange.flush()
    exchange.cache.path(KEY).write_text("{")
    assert await ask(exchange, T0, 50) == Candles(bars(0, 50))
    assert await ask(exchange, T0, 150) == Candles(bars(0, 150))
    await exchange.flush()
    check_stored(tmp_path, inner)
    assert await ask(around(inner, tmp_path), T0, 150) == Candles(bars(0, 150))


async def test_a_cache_that_cannot_be_used_is_a_warning_and_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    inner = ExactExchange(bars(0, 300).timestamp.tolist(), LATER)
    exchange = around(inner, tmp_path / "file" / "candles")
    with caplog.at_level(logging.WARNING, "signaldeck.cache"):
        for _ in range(3):
            assert await ask(exchange, T0, 100) == Candles(bars(0, 100))
        await exchange.close()
    assert "SIGNALDECK_CACHE" in caplog.text


async def test_contradictions_with_the_store_do_not_end_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inner = ExactExchange(bars(0, 300).timestamp.tolist(), LATER)
    exchange = around(inner, tmp_path, write_pause=3600.0)
    await ask(exchange, T0 + 100 * MINUTE, 1)
    await exchange.flush()
    await ask(exchange, T0, 50)
    # Before this is written, somebody imports other bars of the same time.
    other = bars_at(minutes(*range(60)), salt=9)
    CandleCache(tmp_path).merge(KEY, [Part(other, stretch(0, 60))])
    with pytest.raises(CandleDataError, match=r"row 0 at 2024-01-01 00:00 .* differs"):
        await exchange.flush()
    assert "not stored" in caplog.text
    # What is stored counts from now on, because nobody can tell who is right.
    assert await ask(exchange, T0 + 50 * MINUTE, 5) == Candles(other)[50:55]


async def test_many_pages_are_few_writes(tmp_path: Path) -> None:
    inner = ExactExchange(bars(0, 2000).timestamp.tolist(), LATER)
    exchange = around(inner, tmp_path, write_pause=3600.0)
    for page in range(20):
        await ask(exchange, T0 + page * 100 * MINUTE, 100)
    waiting = CandleCache(tmp_path).load(KEY)
    assert waiting is None or len(waiting.candles) == 100, "the first page alone may be written"
    inner.calls.clear()
    assert await ask(exchange, T0, 2000) == Candles(bars(0, 2000)) and not inner.calls
    await exchange.close()
    stored = CandleCache(tmp_path).load(KEY)
    assert stored is not None and len(stored.candles) == 2000


# -- the rest of the protocol ----------------------------------------------------------------------


async def test_everything_else_is_the_exchange_s_own(tmp_path: Path) -> None:
    inner = ExactExchange(bars(0, 300).timestamp.tolist(), LATER)
    exchange = around(inner, tmp_path)
    assert exchange.format_price("X", 1.239) == inner.format_price("X", 1.239)
    assert exchange.format_quantity("X", 1.2394) == inner.format_quantity("X", 1.2394)
    assert exchange.intervals() == inner.intervals()
    assert await exchange.symbols() == inner.symbols()
    assert exchange.history() == inner.history()
    assert not len(await ask(exchange, T0, 0)) and inner.calls == [(T0, 0)]
    await ask(exchange, T0, 100)
    await exchange.close()
    assert str(inner.failing) == "closed"
    stored = CandleCache(tmp_path).load(KEY)
    assert stored is not None and len(stored.candles) == 100


@pytest.mark.parametrize("at_most", [10**9, 500, 37])
async def test_a_market_sees_the_same_history(tmp_path: Path, at_most: int) -> None:
    """Also of an exchange that gives fewer bars at once than it is asked for."""
    missing = [*range(700, 760), 1500, *range(2000, 2700)]
    inner = ExactExchange(bars(0, 6000, missing).timestamp.tolist(), LATER)
    inner.at_most = at_most
    clock = SimulatedClock(LATER)

    async def series(get_candles: Callable[..., Any], first: int, count: int) -> Candles:
        schema = ExchangeSchema(exchange_name="x", get_candles=get_candles, intervals=("1m",))
        market = Market(schema, Settings(), clock)
        until = T0 + (first + count) * MINUTE
        loaded = await market.ensure(SYMBOL, T0 + first * MINUTE, until)
        return Candles(loaded.columns)

    spans = ((2600, 600), (100, 3000), (0, 5000))
    seen = [await series(inner.get_candles, first, count) for first, count in spans]
    for (first, count), expected in zip((*spans, *spans), (*seen, *seen), strict=True):
        exchange = cached(inner, "x", tmp_path, Settings(), clock)
        assert await series(exchange.get_candles, first, count) == expected
        await exchange.flush()
    # What was loaded, and its long holes confirmed, can be loaded without a connection.
    inner.failing = ExchangeError("no connection")
    for (first, count), expected in zip(spans, seen, strict=True):
        exchange = cached(inner, "x", tmp_path, Settings(), clock)
        assert await series(exchange.get_candles, first, count) == expected
