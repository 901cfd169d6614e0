"""Reading sources: pages, limits, pace, rows that come twice (case 193)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from engine import OptimizerError
from engine.domain.schemas import OptimizerRange, OptimizerSource
from engine.domain.time import to_ms
from engine.runs.sources import MOST_ROWS, SourceReader
from tests.optimizer.bed import DAY_1, SYMBOL, FakeTime, rows_of

SPAN = OptimizerRange.model_validate(DAY_1)


async def read(fetch: Callable[..., Any], time: FakeTime | None = None, seconds: float = 10) -> Any:
    reader = SourceReader(SYMBOL, seconds, (time or FakeTime()).pace)
    rows = await reader.read(OptimizerSource(name="data", fetch=fetch), SPAN)
    return rows, reader.warnings


async def test_pages_are_asked_for_until_one_is_short() -> None:
    pages: list[dict[str, Any]] = []
    fetch = rows_of(53)

    def recorded(**page: Any) -> Any:
        pages.append(page)
        return fetch(**page)

    rows, warnings = await read(recorded)
    assert [page["offset"] for page in pages] == [0, 25, 50]
    assert [row["id"] for row in rows] == list(range(53)) and warnings == []
    for page in pages:
        assert page["limit"] == 25 and page["symbol"] == SYMBOL
        assert (to_ms(page["start_date"]), to_ms(page["end_date"])) == (
            SPAN.start_date, SPAN.end_date,
        )  # fmt: skip
        assert page["start_date"].tzinfo is not None


async def test_a_full_last_page_is_followed_by_an_empty_one() -> None:
    offsets: list[int] = []

    async def fetch(offset: int, **page: Any) -> list[dict[str, int]]:
        offsets.append(offset)
        return [{"id": n} for n in range(offset, min(50, offset + 25))]

    rows, _ = await read(fetch)
    assert offsets == [0, 25, 50] and len(rows) == 50


async def test_of_two_rows_with_one_id_the_first_stays() -> None:
    first, second = {"id": "a", "of": 1}, {"id": "b", "of": 2}
    rows, _ = await read(lambda **page: [first, second, {"id": "a", "of": 3}])
    assert rows == [first, second]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ([{"id": n} for n in range(30)], "30 rows: return at most limit=25"),
        ([{"id": 1}, {"price": 3}], "row 1: .* is no mapping with an id"),
        ([{"id": None}], "row 0: .* is no mapping with an id"),
        ([{"id": [1]}], "row 0: .* is no mapping with an id"),
        ([["id"]], "row 0: .* is no mapping with an id"),
        (None, "fetch returned NoneType: return a list"),
        ("rows", "fetch returned str: return a list"),
        ({"id": 1}, "fetch returned dict: return a list"),
    ],
    ids=["long", "no-id", "none-id", "list-id", "list-row", "none", "text", "mapping"],
)
async def test_what_is_no_page_is_refused(page: Any, words: str) -> None:
    with pytest.raises(OptimizerError, match=f"source 'data'.*{words}"):
        await read(lambda **_: page)


async def test_a_failing_source_is_named_with_its_page() -> None:
    def fetch(offset: int, **page: Any) -> list[dict[str, int]]:
        if offset:
            raise ValueError("disk on fire")
        return [{"id": n} for n in range(25)]

    with pytest.raises(OptimizerError, match="source 'data', offset 25: ValueError: disk on fire"):
        await read(fetch)
    with pytest.raises(OptimizerError, match=r"called exit\(3\)"):
        await read(lambda **page: exit(3))


async def test_requests_keep_a_tenth_of_a_second_apart() -> None:
    time = FakeTime()

    async def fetch(limit: int, offset: int, **page: Any) -> list[dict[str, int]]:
        time.now += {0: 0.03, 25: 0.4, 50: 0.0}[offset]
        return [{"id": n} for n in range(offset, min(53, offset + limit))]

    await read(fetch, time)
    assert time.slept == pytest.approx([0.07, 0.0])


async def test_the_rest_of_an_endless_source_is_left_and_said() -> None:
    rows, warnings = await read(lambda offset, **page: [{"id": offset + n} for n in range(25)])
    assert len(rows) == MOST_ROWS
    assert warnings == [f"source 'data' has more than {MOST_ROWS} rows: the rest was not read"]


async def test_time_limits_hold_for_plain_and_async_sources() -> None:
    held = threading.Event()

    async def waits(**page: Any) -> list[Any]:
        await asyncio.Event().wait()
        return []

    def blocks(**page: Any) -> list[Any]:
        held.wait(30)
        return []

    for fetch in (waits, blocks):
        with pytest.raises(
            OptimizerError, match=r"source 'data', offset 0: took longer than 0.05 s"
        ):
            await read(fetch, seconds=0.05)
    held.set()


async def test_a_plain_source_does_not_hold_up_the_loop() -> None:
    loop, seen = asyncio.get_running_loop(), threading.Event()

    def fetch(**page: Any) -> list[Any]:
        loop.call_soon_threadsafe(seen.set)
        assert seen.wait(10), "the loop went on while this function was busy"
        return []

    assert await read(fetch) == ([], [])
