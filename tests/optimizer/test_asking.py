"""Strategies that ask a language model: in a run, outside of one, and when nobody answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import strategies
from engine import (
    Backtest,
    Closed,
    Engine,
    LanguageModelError,
    Signal,
    add_frame,
    add_strategy,
    ask_signal,
    ask_text,
    listen_error,
    open_exchange,
)
from engine.domain.time import from_ms, parse_instant
from tests.optimizer.bed import bed
from tests.servers.ollama import MODEL, Fault

SHIPPED = Path(strategies.__file__).parent / "llm_signal.py"
HELLO = [{"role": "user", "content": "hello"}]


async def backtest(name: str, start: str = "2023-03-01", end: str = "2023-03-01T03:00") -> Any:
    """A backtest on the simulated market: its trades and its errors."""
    errors: list[Any] = []
    listen_error(errors.append)
    open_exchange("simulated", "simulated")
    add_frame(
        frame_name="frame", interval="1m", start_date=from_ms(parse_instant(start)),
        end_date=from_ms(parse_instant(end)),
    )  # fmt: skip
    run = Backtest.run("BTCUSDT", strategy_name=name, exchange_name="simulated", frame_name="frame")
    trades: list[Closed] = [result async for result in run]
    return trades, errors


async def load(engine: Engine) -> None:
    assert engine.load_file(SHIPPED).error == ""


async def test_the_shipped_strategy_trades_what_the_model_says(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    async with bed() as (engine, server):
        await load(engine)
        assert server.asked == [], "loading the file asks nobody"
        trades, errors = await backtest("llm-signal")
        await engine.bus.flush()
    assert errors == [] and trades
    first = server.asked[0]
    assert first.format["required"] and first.messages[0]["role"] == "system"
    assert [len(m["content"].splitlines()) for m in first.messages[1:5]] == [25, 25, 25, 31]
    assert "It is 2023-03-01 00:00 UTC" in first.last
    ids = {trade.signal.id for trade in trades}
    assert len(ids) == len(trades)
    kept = {path.name for path in (tmp_path / "dump" / "strategy").iterdir()}
    assert ids <= kept and len(kept) == len(server.asked)


async def test_without_an_ollama_every_question_is_a_clear_error(monkeypatch: Any) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    async with Engine() as engine:
        await load(engine)
        trades, errors = await backtest("llm-signal", end="2023-03-01T00:29")
        await engine.bus.flush()
    assert trades == [] and len(errors) == 2
    assert all("no Ollama answers at http://127.0.0.1:1: start it" in str(e) for e in errors)
    assert all(error.stage == "get_signal" for error in errors)


@pytest.mark.parametrize(
    ("answer", "errors"),
    [('{"position": "wait"}', 0), ("let me think", 2), (Fault("status", 500, "oops"), 2)],
    ids=["wait", "no-signal", "failure"],
)
async def test_waiting_is_no_error_and_nonsense_is_one(
    answer: Any, errors: int, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    async with bed(lambda _: answer) as (engine, server):
        await load(engine)
        trades, heard = await backtest("llm-signal", end="2023-03-01T00:29")
        await engine.bus.flush()
    assert (trades, len(heard), len(server.asked)) == ([], errors, 2)
    assert not (tmp_path / "dump").exists()


async def test_the_time_limit_of_a_strategy_cuts_a_slow_model_off() -> None:
    async with bed(lambda _: Fault("hang")) as (engine, _):
        engine.configure({"max_signal_generation_seconds": 1})
        await load(engine)
        _, errors = await backtest("llm-signal", end="2023-03-01T00:14")
        await engine.bus.flush()
    (error,) = errors
    assert "took longer than 1 s" in str(error)


async def test_outside_of_a_run_and_of_another_model() -> None:
    async with bed(lambda asked: f"I am {asked.model}") as (engine, server):
        server.models = (MODEL, "other")
        assert await ask_text(HELLO) == f"I am {MODEL}"
        assert await ask_text(HELLO, model="other") == "I am other"
        engine.configure({"ollama_model": "other"})
        assert await ask_text(HELLO) == "I am other"
        with pytest.raises(LanguageModelError, match="not a signal"):
            await ask_signal(HELLO)
        with pytest.raises(LanguageModelError, match="needs a role"):
            await ask_text([{"content": "who speaks?"}])


async def test_every_signal_has_an_id_of_its_own() -> None:
    said = {
        "position": "short", "note": "n", "price_open": 1, "price_take_profit": 0.9,
        "price_stop_loss": 1.1, "minute_estimated_time": 5,
    }  # fmt: skip
    async with bed(json.dumps(said)):
        one, two = await ask_signal(HELLO), await ask_signal(HELLO)
    assert one is not None and two is not None and one.id != two.id
    assert isinstance(one, Signal) and one.position == "short" and one.price_open == 1


async def test_a_plain_strategy_may_hand_the_question_on() -> None:
    async with bed('{"position": "wait"}') as (engine, server):
        add_strategy(
            strategy_name="plain", interval="1h",
            get_signal=lambda symbol, when: ask_signal([{"role": "user", "content": symbol}]),
        )  # fmt: skip
        _, errors = await backtest("plain", end="2023-03-01T00:01")
        await engine.bus.flush()
    assert errors == [] and [asked.last for asked in server.asked] == ["BTCUSDT"]
