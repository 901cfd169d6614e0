"""Whatever a strategy answers, the run goes on, says so, and loses nothing it holds."""

from __future__ import annotations

import asyncio
import math
from collections import UserDict
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import Signal, SignalValidationError
from tests.runs.bed import bed, long, minute_of

BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine makes no example a failure."""

FIELDS = (
    "position", "price_take_profit", "price_stop_loss", "minute_estimated_time", "price_open",
    "note", "id",
)  # fmt: skip


class Hostile:
    """Refuses everything that is asked of it."""

    def _refuse(self, *_: Any) -> Any:
        raise RuntimeError("hostile")

    __repr__ = __str__ = __eq__ = __hash__ = __float__ = __bool__ = __len__ = __iter__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __index__ = __getitem__ = __format__ = _refuse


class HostileMapping(UserDict[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("hostile")


value = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.binary(max_size=3),
    st.sampled_from(
        ["long", "short", "wait", "LONG", "", 100, 100.0, 110, 90, 5, math.nan, math.inf, -1, 0,
         10**400, Decimal("100"), np.float64(110), np.array([1.0, 2.0]), np.array([]), [], {}, (),
         object(), long, "\ud800", "x" * 10_000, datetime(2024, 1, 1)]
    ),
    st.builds(Hostile),
)  # fmt: skip
answers = st.one_of(
    value,
    st.dictionaries(st.sampled_from((*FIELDS, "other")), value),
    st.fixed_dictionaries(dict.fromkeys(FIELDS, value)),
    st.builds(Signal, value, value, value, value, price_open=value, note=value, id=value),
    st.builds(Signal, st.just("long"), value, value, value, price_open=value),
    st.builds(Signal, st.just("short"), st.just(90), st.just(110), st.just(5), note=value,
              id=value),
    st.lists(value, max_size=3),
    st.builds(HostileMapping),
    st.builds(iter, st.just(())),
)  # fmt: skip


@settings(BUSY, max_examples=200)
@given(answers, st.booleans(), st.sampled_from(("vwap", "touch")))
def test_no_answer_ends_a_run(answer: Any, plain: bool, trigger: str) -> None:
    """The odd answer comes at minute 1; a good signal comes as soon as the run is flat again."""

    async def check() -> None:
        def get_signal(symbol: str, when: datetime) -> Any:
            return answer if minute_of(when) == 1 else long(3)

        async def waiting(symbol: str, when: datetime) -> Any:
            return get_signal(symbol, when)

        async with bed(frame=(1, 12), config={"exit_trigger": trigger}) as made:
            made.strategy(get_signal if plain else waiting, risk_list=())
            results = await made.results()
            assert made.instance().status == "done"
            # Whatever became of it: nothing is left open and every close follows an opening.
            opened = [r.signal.id for r in made.heard["signal"] if r.action == "opened"]
            closed = [r.signal.id for r in made.heard["signal"] if r.action == "closed"]
            assert opened == closed
            assert len(results) >= 1
            for error in made.heard["error"]:
                assert minute_of(error.when) == 1
                assert error.stage in ("validation", "get_signal")
                assert str(error)
            scheduled = [r for r in made.heard["signal"] if r.action == "scheduled"]
            accepted = bool(scheduled) or min(
                minute_of(r.signal.scheduled_at) for r in results
            ) == 1  # fmt: skip
            silent = not made.heard["error"]
            no_signal = answer is None or _waits(answer)
            assert silent == (accepted or no_signal), "an error, a signal, or none was wanted"

    asyncio.run(check())


def _waits(answer: Any) -> bool:
    if isinstance(answer, Signal):
        return isinstance(answer.position, str) and answer.position == "wait"
    if isinstance(answer, dict):
        position = answer.get("position")
        return isinstance(position, str) and position == "wait"
    return False


@pytest.mark.parametrize("live", [False, True], ids=["backtest", "live"])
@pytest.mark.parametrize(
    "answer",
    [
        Signal("long", math.nan, 90, 5),
        {"position": "long"},
        {},
        "long",
        Hostile(),
        HostileMapping(),
        Signal(Hostile(), 110, 90, 5),  # type: ignore[arg-type]
        Signal(np.array([1, 2]), 110, 90, 5),  # type: ignore[arg-type]
        Signal("long", 110, 90, 5, note=Hostile()),  # type: ignore[arg-type]
        Signal("long", 110, 90, 5, id=Hostile()),  # type: ignore[arg-type]
        True,
    ],
    ids=range(11),
)
async def test_nonsense_is_one_error_event_with_a_traceback(answer: Any, live: bool) -> None:
    async def get_signal(symbol: str, when: datetime) -> Any:
        return answer if minute_of(when) == 1 else None

    async with bed(live=live, frame=(0, 4)) as made:
        made.strategy(get_signal)
        if live:
            made.instance().start()
            await made.until(4)
        else:
            await made.results()
        [error] = made.heard["error"]
        assert error.stage == "validation"
        assert minute_of(error.when) == 1
        assert error.traceback
        assert made.actions() == []


async def test_a_refused_signal_lists_all_its_faults_and_uses_the_slot_up() -> None:
    calls: list[int] = []

    async def get_signal(symbol: str, when: datetime) -> Any:
        calls.append(minute_of(when))
        return {"position": "long", "price_take_profit": 90, "price_stop_loss": 110,
                "minute_estimated_time": 0}  # fmt: skip

    async with bed(frame=(0, 7)) as made:
        made.strategy(get_signal, interval="3m")
        assert await made.results() == []
        assert calls == [0, 3, 6]
        for error in made.heard["error"]:
            assert isinstance(error.cause, SignalValidationError)
            assert set(error.cause.codes) == {"tp_side", "sl_side", "minutes", "stopped_out",
                                              "already_taken"}  # fmt: skip


@pytest.mark.parametrize("answer", [None, Signal("wait", 0, 0, 0), {"position": "wait"}])
async def test_no_signal_is_no_error(answer: Any) -> None:
    async def get_signal(symbol: str, when: datetime) -> Any:
        return answer

    async with bed(frame=(0, 5)) as made:
        made.strategy(get_signal)
        assert await made.results() == []
        assert made.heard["error"] == []
