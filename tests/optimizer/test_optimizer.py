"""Optimizers from schema to checked module (cases 188 to 194, defect D40)."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import (
    AlreadyRegisteredError,
    GeneratedCodeError,
    LanguageModelError,
    NotRegisteredError,
    Optimizer,
    OptimizerError,
    SchemaError,
    add_optimizer,
    ask_text,
    list_optimizers,
    listen_error,
    listen_optimizer_progress,
)
from tests.optimizer.bed import DAY_1, DAY_2, SYMBOL, TEST, add, bed, fields, rows_of, trend, volume
from tests.servers.ollama import Fault


async def test_one_strategy_per_training_range() -> None:
    asked: list[list[dict[str, str]]] = []

    def get_prompt(symbol: str, messages: list[dict[str, str]]) -> str:
        asked.append(messages)
        messages.append({"role": "user", "content": "changed by its owner"})
        return f"{symbol} {len(asked)}"

    async with bed() as (_, server):
        add(range_train=[DAY_1, DAY_2, DAY_1], source=[trend], get_prompt=get_prompt)
        found = await Optimizer.get_data("trend", symbol=SYMBOL)
    assert [(item.name, item.strategy) for item in found] == [
        ("train-1", "BTCUSDT 1"), ("train-2", "BTCUSDT 2"), ("train-3", "BTCUSDT 3"),
    ]  # fmt: skip
    assert [item.note for item in found] == ["", "the second day", ""]
    assert all(item.symbol == SYMBOL and item.sources == ("trend",) for item in found)
    # What get_prompt does to its messages reaches no record, and no record another.
    assert all(len(item.messages) == 2 for item in found)
    assert "03-02" in found[1].messages[0]["content"] and "03-01" in found[0].messages[0]["content"]
    assert server.asked == [], "a get_prompt of one's own decides whom to ask"


async def test_messages_of_all_sources_come_in_order() -> None:
    async with bed():
        add()
        first = (await Optimizer.get_data("trend", symbol=SYMBOL))[0]
    assert first.sources == ("trend", "volume")
    assert [message["role"] for message in first.messages] == ["user", "assistant"] * 2
    head, _, rows = first.messages[0]["content"].partition("\n\n")
    assert "trend" in head and rows.startswith('[{"id": 0, "day": "03-01", "trend": "up"}, ')
    assert first.messages[1]["content"] == "OK"
    assert "7.5" in first.messages[2]["content"]


async def test_messages_may_be_a_source_s_own_or_a_template_s() -> None:
    async def user(symbol: str, rows: Sequence[Any], name: str) -> str:
        return f"{name} of {symbol}: {len(rows)} rows"

    async with bed():
        source = {
            "name": "own", "fetch": trend, "user": user, "assistant": lambda *_: "!",
        }  # fmt: skip
        template = {
            "get_user_message": lambda symbol, rows, name: f"template {name}",
            "get_assistant_message": lambda symbol, rows, name: "understood",
        }
        add(source=[source, volume], template=template)
        first = (await Optimizer.get_data("trend", symbol=SYMBOL))[0]
    assert [message["content"] for message in first.messages] == [
        "own of BTCUSDT: 3 rows", "!", "template volume", "understood",
    ]  # fmt: skip


async def test_without_get_prompt_the_configured_model_words_the_strategy() -> None:
    async with bed() as (_, server):
        add(get_prompt=None)
        found = await Optimizer.get_data("trend", symbol=SYMBOL)
    assert [item.strategy for item in found] == [
        "Go long after three rising hours; take one percent, risk one percent."
    ] * 2
    assert [len(asked.messages) for asked in server.asked] == [5, 5]
    assert SYMBOL in server.asked[0].last and server.asked[0].format is None
    assert len(found[0].messages) == 4, "the question for the strategy is not data"


async def test_get_prompt_may_ask_the_model_itself() -> None:
    async with bed("ask me") as (_, server):
        add(get_prompt=lambda symbol, messages: ask_text(messages))
        found = await Optimizer.get_data("trend", symbol=SYMBOL)
    assert found[0].strategy == "ask me" and len(server.asked[0].messages) == 4


async def test_progress_is_told_before_each_source_and_at_the_end() -> None:
    told: list[Any] = []
    async with bed() as (engine, _):
        listen_optimizer_progress(told.append)
        add()
        await Optimizer.get_data("trend", symbol=SYMBOL)
        await engine.bus.flush()
    assert [event.progress for event in told] == [0, 0.25, 0.5, 0.75, 1]
    assert [event.processed_sources for event in told] == [0, 1, 2, 3, 4]
    assert {(event.optimizer_name, event.symbol, event.total_sources) for event in told} == {
        ("trend", SYMBOL, 4)
    }


async def test_callbacks_hear_of_everything_and_harm_nothing(tmp_path: Path) -> None:
    called: list[tuple[Any, ...]] = []
    errors: list[Any] = []

    def on_source_data(*args: Any) -> None:
        called.append(("source", *args[:2], len(args[2]), f"{args[3]:%m-%d}", f"{args[4]:%m-%d}"))
        args[2].clear()

    async def on_data(symbol: str, strategies: Any) -> None:
        called.append(("data", symbol, len(strategies)))
        raise RuntimeError("no wish to hear of it")

    def on_code(symbol: str, code: str) -> None:
        called.append(("code", symbol, "add_walker(" in code))

    def on_dump(symbol: str, path: str) -> None:
        called.append(("dump", symbol, path))

    async with bed() as (engine, _):
        listen_error(errors.append)
        callbacks = {
            "on_source_data": on_source_data, "on_data": on_data, "on_code": on_code,
            "on_dump": on_dump,
        }  # fmt: skip
        add(range_train=[DAY_1], callbacks=callbacks)
        path = await Optimizer.dump("trend", tmp_path, symbol="BTC/USDT")
        await engine.bus.flush()
    assert path == tmp_path / "trend_BTC_USDT.py" and path.is_file()
    assert called == [
        ("source", "BTC/USDT", "trend", 3, "03-01", "03-02"),
        ("source", "BTC/USDT", "volume", 2, "03-01", "03-02"),
        ("data", "BTC/USDT", 1), ("code", "BTC/USDT", True), ("dump", "BTC/USDT", str(path)),
    ]  # fmt: skip
    (error,) = errors
    assert error.stage == "callback" and "no wish to hear of it" in str(error)


async def test_the_module_has_everything_and_nothing_ran_it(tmp_path: Path) -> None:
    async with bed() as (engine, _):
        add()
        code = await Optimizer.get_code("trend", symbol=SYMBOL)
        again = await Optimizer.get_code("trend", tmp_path / "sub" / "mine.py", symbol=SYMBOL)
        assert engine.strategies.names() == () and engine.exchanges.names() == ()
    assert code == again == (tmp_path / "sub" / "mine.py").read_text(encoding="utf-8")
    calls = [
        (node.func.id, {word.arg: word.value for word in node.keywords})
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    count = [name for name, _ in calls]
    assert (count.count("add_strategy"), count.count("add_frame")) == (2, 3)
    assert count.count("add_walker") == count.count("open_exchange") == 1
    assert "async for _ in Walker.run(SYMBOL, walker_name=WALKER)" in code
    (walker,) = (words for name, words in calls if name == "add_walker")
    strategies = ast.literal_eval(walker["strategies"])
    names = [ast.literal_eval(w["strategy_name"]) for n, w in calls if n == "add_strategy"]
    assert strategies == names and len(set(names)) == 2
    assert 'interval="1m"' in code and 'interval="5m"' in code
    assert "start_date=datetime(2023, 3, 3, 12, 0, tzinfo=UTC)" in code
    assert code.count('"buy low"') == 2 and 'NOTE_2 = "the second day"' in code


async def test_other_strategies_get_other_names() -> None:
    words = iter("abc")
    async with bed():
        add(range_train=[DAY_1], get_prompt=lambda symbol, messages: next(words))
        one, two = [await Optimizer.get_code("trend", symbol=SYMBOL) for _ in range(2)]
    names = [line for code in (one, two) for line in code.splitlines() if "strategy_name=" in line]
    assert len(names) == 2 == len(set(names))


async def test_every_template_can_be_replaced() -> None:
    async with bed():
        template = {
            "get_top_banner": lambda symbol: "from engine import add_exchange, add_strategy",
            "get_exchange_template": lambda symbol, exchange: (
                f"add_exchange(exchange_name={exchange!r}, get_candles=lambda *_: [])"
            ),
            "get_strategy_template": lambda strategy, interval, prompt: (
                f"add_strategy(strategy_name={strategy!r}, interval={interval!r},\n"
                f"    get_signal=lambda symbol, when: None, note={prompt!r})"
            ),
            "get_frame_template": lambda symbol, frame, interval, start, end: "",
            "get_walker_template": lambda walker, exchange, frame, strategies: f"# {walker!r}",
            **{
                name: lambda *_: ""
                for name in (
                    "get_launcher_template", "get_text_template", "get_json_template",
                    "get_json_dump_template",
                )
            },
        }  # fmt: skip
        add(range_train=[DAY_1], template=template)
        code = await Optimizer.get_code("trend", symbol=SYMBOL)
    sections = code.split("\n\n\n")
    assert sections[0] == "from engine import add_exchange, add_strategy"
    assert [section.split("(")[0] for section in sections[2:4]] == ["add_exchange", "add_strategy"]
    assert "add_frame" not in code and "asyncio" not in code


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("import os\nos.system('true')", "imports os, which is not allowed"),
        ("__import__('os').system('true')", "uses __import__"),
        ("open('state.db', 'w')", "builtin open"),
        ("signal_of(", "was never closed"),
    ],
)
async def test_code_that_reaches_too_far_is_not_offered(
    strategy: str, words: str, tmp_path: Path
) -> None:
    async with bed():
        # An owner who lets the model write code, word for word.
        template = {"get_strategy_template": lambda name, interval, prompt: prompt}
        add(range_train=[DAY_1], template=template, get_prompt=lambda *_: strategy)
        with pytest.raises(GeneratedCodeError, match="refused and not written") as caught:
            await Optimizer.dump("trend", tmp_path, symbol=SYMBOL)
    assert any(words in problem for problem in caught.value.problems)
    assert strategy in caught.value.code and not list(tmp_path.iterdir())


async def test_owners_may_allow_further_imports() -> None:
    async with bed():
        template = {"get_text_template": lambda symbol: "import numpy as np\n\nONES = np.ones(3)"}
        add(range_train=[DAY_1], template=template, imports=["numpy"])
        assert "np.ones(3)" in await Optimizer.get_code("trend", symbol=SYMBOL)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"get_prompt": lambda *_: 1 / 0}, "get_prompt: ZeroDivisionError"),
        ({"get_prompt": lambda *_: "  "}, "get_prompt returned an empty text"),
        ({"get_prompt": lambda *_: None}, "get_prompt returned NoneType: return a text"),
        ({"get_prompt": lambda *_: "x" * 100_001}, "100001 characters"),
        ({"source": [rows_of(30), lambda **_: [{}]]}, "source 'source-2', row 0"),
        (
            {"source": [{"name": "s", "fetch": trend, "user": lambda *_: 3}]},
            "the user message of source 's' returned int",
        ),
        ({"template": {"get_user_message": lambda *_: [][0]}}, "IndexError"),
    ],
)
async def test_what_fails_is_named_with_optimizer_and_range(
    changes: dict[str, Any], words: str
) -> None:
    async with bed():
        add(**changes)
        with pytest.raises(OptimizerError) as caught:
            await Optimizer.get_data("trend", symbol=SYMBOL)
    assert str(caught.value).startswith(
        "optimizer 'trend', 2023-03-01 00:00 UTC to 2023-03-02 00:00 UTC: "
    )
    assert words in str(caught.value)


async def test_a_failing_template_is_named() -> None:
    async with bed():
        add(template={"get_walker_template": lambda: ""})
        with pytest.raises(OptimizerError, match="template get_walker_template: TypeError"):
            await Optimizer.get_code("trend", symbol=SYMBOL)


async def test_a_model_that_does_not_answer_ends_the_collection_clearly() -> None:
    async with bed(lambda _: Fault("status", 503, "busy")):
        add(get_prompt=None)
        with pytest.raises(LanguageModelError, match="status 503"):
            await Optimizer.get_data("trend", symbol=SYMBOL)


async def test_time_limits_hold_for_every_function() -> None:
    async def never(symbol: str, messages: Any) -> str:
        await asyncio.Event().wait()
        return ""

    async with bed():
        add(get_prompt=never, timeout_seconds=0.05)
        with pytest.raises(OptimizerError, match=r"get_prompt: took longer than 0.05 s"):
            await Optimizer.get_data("trend", symbol=SYMBOL)


async def test_registration() -> None:
    async with bed():
        for call in (Optimizer.get_data, Optimizer.get_code, Optimizer.dump):
            with pytest.raises(NotRegisteredError, match=r"'trend' not found.*add_optimizer"):
                await call("trend", symbol=SYMBOL)
        add(note="Ü")
        with pytest.raises(AlreadyRegisteredError):
            add()
        (schema,) = list_optimizers()
        assert schema.name == "trend" and schema.note == "Ü"
        for symbol in (None, "", 5):  # before anything is collected, which costs
            with pytest.raises(SchemaError, match=r"Optimizer: symbol is .*: must be text"):
                await Optimizer.get_data("trend", symbol=symbol)  # type: ignore[arg-type]
        assert [source.name for source in schema.source] == ["trend", "volume"]
        with pytest.raises(SchemaError, match="optimizer_name is missing; range_train is missing"):
            add_optimizer(source=[trend], range_test=TEST)
        assert [item.name for item in list_optimizers()] == ["trend"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"range_train": []}, "range_train"),
        ({"range_test": {**TEST, "end_date": DAY_1["start_date"]}}, "start_date is after end_date"),
        ({"range_test": {"start_date": "today", "end_date": "tomorrow"}}, "must be a datetime"),
        ({"source": []}, "source"),
        ({"source": trend}, "source is .*must be a list"),
        ({"source": ["rows"]}, "source"),
        ({"source": [trend, {"name": "trend", "fetch": trend}]}, "holds a name twice"),
        ({"get_prompt": "buy"}, "get_prompt"),
        ({"template": {"get_banner": trend}}, "get_banner unknown: use get_top_banner"),
        ({"callbacks": {"on_tick": trend}}, "on_tick unknown: use on_source_data"),
        ({"timeout_seconds": 0}, "timeout_seconds is 0"),
        ({"imports": ["numpy", "numpy"]}, "holds a name twice"),
        ({"exchange": "binance"}, "exchange is not a field"),
    ],
)
async def test_schemas_that_cannot_be_used_are_refused(changes: dict[str, Any], words: str) -> None:
    async with bed():
        with pytest.raises(SchemaError, match=words):
            add(**changes)
        assert list_optimizers() == []
        add_optimizer(fields())
        assert len(list_optimizers()) == 1


async def test_bare_functions_get_stable_names_of_their_own() -> None:
    async with bed():
        add(source=[trend, trend, lambda **page: [], rows_of(1)])
        assert [source.name for source in list_optimizers()[0].source] == [
            "trend", "trend-2", "source-3", "fetch",
        ]  # fmt: skip
