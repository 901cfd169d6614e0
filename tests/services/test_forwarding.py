"""A logger of the user's hears what the engine logs, and which run it is about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from engine import Engine, set_logger
from engine.domain.time import to_ms
from engine.services.forwarding import ROOT
from tests.runs.bed import SYMBOL, T0, bed

Told = tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any]]


class Notebook:
    def __init__(self) -> None:
        self.told: list[Told] = []

    def debug(self, *told: Any) -> None:
        self.told.append(("debug", *told))

    def info(self, *told: Any) -> None:
        self.told.append(("info", *told))

    def warn(self, *told: Any) -> None:
        self.told.append(("warn", *told))


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    root = logging.getLogger(ROOT)
    before = (root.level, list(root.handlers))
    yield
    assert (root.level, root.handlers) == before


async def test_a_failing_strategy_is_told_with_its_contexts() -> None:
    notebook = Notebook()

    def get_signal(symbol: str, when: datetime) -> None:
        raise ValueError("no")

    async with bed(frame=(0, 0)) as made:
        set_logger(notebook)
        made.strategy(get_signal)
        await made.results()
    [(level, topic, payload, method, execution)] = [t for t in notebook.told if "no" in str(t[2])]
    assert (level, topic) == ("info", "signaldeck.run")
    assert payload["message"].endswith("get_signal failed: ValueError: no")
    assert method["strategy_name"] == "asked"
    assert (execution["symbol"], to_ms(execution["when"])) == (SYMBOL, T0)


async def test_levels_errors_and_the_context_of_a_run() -> None:
    notebook, log = Notebook(), logging.getLogger(f"{ROOT}.test")

    def get_signal(symbol: str, when: datetime) -> None:
        log.info("asked about %s", symbol)
        try:
            raise KeyError("x")
        except KeyError:
            log.error("failed", exc_info=True)
        log.debug("kept back, since nobody wants to know")

    async with bed(frame=(0, 0)) as made:
        set_logger(notebook)
        made.strategy(get_signal)
        await made.results()
    own = [t for t in notebook.told if t[1] == f"{ROOT}.test"]
    assert [(t[0], t[2]["message"]) for t in own] == [
        ("info", "asked about BTCUSDT"), ("warn", "failed")
    ]  # fmt: skip
    assert isinstance(own[1][2]["error"], KeyError) and "error" not in own[0][2]
    method, execution = own[0][3], own[0][4]
    assert method == {
        "strategy_name": "asked", "exchange_name": "memory", "frame_name": "frame"
    }  # fmt: skip
    assert (execution["symbol"], execution["backtest"]) == (SYMBOL, True)
    assert to_ms(execution["when"]) == T0


async def test_one_engine_hears_nothing_of_another_and_nothing_after_its_end() -> None:
    first, second, log = Notebook(), Notebook(), logging.getLogger(f"{ROOT}.test")
    async with Engine():
        set_logger(first)
        log.info("one")
        async with Engine():
            log.info("two")
            set_logger(second)
            log.info("three")
        log.info("four")
        set_logger(None)
        log.warning("five")
    log.warning("six")
    assert [t[2]["message"] for t in first.told] == ["one", "four"]
    assert [t[2]["message"] for t in second.told] == ["three"]


async def test_a_logger_that_raises_harms_nothing() -> None:
    class Broken(Notebook):
        def info(self, *told: Any) -> None:
            raise RuntimeError("full")

    async with bed(frame=(0, 3)) as made:
        set_logger(Broken())
        made.strategy(lambda s, w: 1 / 0)
        assert await made.results() == []
        assert made.errors() == ["ZeroDivisionError: division by zero"] * 4
