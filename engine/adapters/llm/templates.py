"""The text of generated strategy modules, section by section, and the messages a model learns from.

Each function is one template; an optimizer's schema may replace any of them. What is foreign to a
template (symbols, names, prompts) is written by `engine.adapters.llm.literals` alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from engine.adapters.llm.literals import assignment, keyword, listing, literal

USER_MESSAGE = "Here is the data of the source {name}. Read it, and answer OK."
"""What a model is told before the rows of a source."""

ASSISTANT_MESSAGE = "OK"
"""What the model is made to have answered."""

QUESTION = """\
From the data above, write a trading strategy for {symbol}, in words, as instructions to a trader
who sees only recent candles (1h, 15m, 5m, 1m) and has to answer "long", "short" or "wait" with an
entry price, a take-profit, a stop-loss and the minutes until the position expires. Name the
conditions under which to go long, to go short and to wait, and how to choose the levels. Answer
with the instructions alone."""
"""What the configured model is asked when the optimizer has no ``get_prompt`` of its own."""

_BANNER = '''\
"""Strategies that a language model wrote: read this file before you run it.

As a strategy file it registers strategies, frames, an exchange and a walker. Run as a program it
compares the strategies over the test range and writes the walker's report.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from engine import (
    Signal,
    Walker,
    add_frame,
    add_strategy,
    add_walker,
    ask_signal,
    ask_text,
    current_engine,
    dump_signal,
    get_candles,
    listen_error,
    listen_signal_backtest,
    listen_walker_progress,
    open_exchange,
)

MOST_MINUTES = 360'''

_DUMP = '''\
async def dump_conversation(signal: Signal, messages: list[dict[str, str]]) -> None:
    """Keep the conversation that led to a signal, below ./dump/strategy."""
    await dump_signal(str(signal.id), messages, signal)'''

_TEXT = '''\
async def answer_in_words(messages: list[dict[str, str]]) -> str:
    """The configured model's answer to a conversation."""
    return await ask_text(messages)'''

_JSON = '''\
async def answer_as_signal(messages: list[dict[str, str]]) -> Signal | None:
    """The configured model's answer as a signal; None when it says wait."""
    return await ask_signal(messages)'''

_STRATEGY = '''\
{prompt}


@add_strategy(
{name}
    interval={interval},
    note="Written by a language model, which it asks for every signal",
)
async def {function}(symbol: str, when: datetime) -> Signal | None:
    """What the model makes of the newest candles, told to follow the prompt above."""
    messages: list[dict[str, str]] = []
    for interval, limit in (("1h", 24), ("15m", 24), ("5m", 24), ("1m", 30)):
        rows = [f"{{symbol}}, {{interval}}: open time (UTC), open, high, low, close, volume"]
        for bar in await get_candles(symbol, interval, limit):
            opened = datetime.fromtimestamp(bar.timestamp / 1000, UTC)
            prices = f"{{bar.open:.8g}}, {{bar.high:.8g}}, {{bar.low:.8g}}, {{bar.close:.8g}}"
            rows.append(f"{{opened:%Y-%m-%d %H:%M}}, {{prices}}, {{bar.volume:.8g}}")
        messages.append({{"role": "user", "content": "\\n".join(rows)}})
        messages.append({{"role": "assistant", "content": "OK"}})
    question = (
        f"It is {{when:%Y-%m-%d %H:%M}} UTC. Is there a signal for {{symbol}} now? Follow this "
        f"strategy:\\n\\n{{{constant}}}\\n\\nAnswer wait when the picture is unclear. "
        f"minute_estimated_time is at most {{MOST_MINUTES}}."
    )
    messages.append({{"role": "user", "content": question}})
    signal = await answer_as_signal(messages)
    if signal is not None:
        await dump_conversation(signal, messages)
    return signal'''

_LAUNCHER = '''\
{symbol}
{walker}


def show_signal(result: Any) -> None:
    """One line for every signal that opened, closed or lapsed."""
    if result.action in ("opened", "closed", "cancelled"):
        print(f"{{result.strategy_name}}: {{result.action}} at {{result.current_price:.8g}}")


def show_progress(event: Any) -> None:
    """One line for every strategy that was compared."""
    print(f"{{event.current_strategy}}: {{event.metric}} {{event.metric_value}}")


async def main() -> None:
    """Compare the strategies over the test range and write the report."""
    async with current_engine():
        listen_error(lambda error: print(f"error: {{error}}"))
        listen_signal_backtest(show_signal)
        listen_walker_progress(show_progress)
        async for _ in Walker.run(SYMBOL, walker_name=WALKER):
            pass
        print(f"report: {{await Walker.dump(SYMBOL, WALKER)}}")


if __name__ == "__main__":
    asyncio.run(main())'''


def get_top_banner(symbol: str) -> str:
    """Docstring, imports and constants."""
    return _BANNER


def get_user_message(symbol: str, data: Sequence[Mapping[str, Any]], name: str) -> str:
    """What the model reads of a source: an instruction, a blank line, the rows as JSON."""
    rows = json.dumps([dict(row) for row in data], ensure_ascii=False, default=str)
    return f"{USER_MESSAGE.format(name=name)}\n\n{rows}"


def get_assistant_message(symbol: str, data: Sequence[Mapping[str, Any]], name: str) -> str:
    """What the model is made to have answered to a source."""
    return ASSISTANT_MESSAGE


def get_json_dump_template(symbol: str) -> str:
    """The function that keeps a conversation."""
    return _DUMP


def get_text_template(symbol: str) -> str:
    """The function that asks the model for words."""
    return _TEXT


def get_json_template(symbol: str) -> str:
    """The function that asks the model for a signal."""
    return _JSON


def get_exchange_template(symbol: str, exchange: str) -> str:
    """The exchange: Binance through ccxt, with the engine's cache and retries."""
    return f'open_exchange({literal(exchange)}, "ccxt", id="binance")'


def get_frame_template(
    symbol: str, frame: str, interval: str, start: datetime, end: datetime
) -> str:
    """One frame, training or test."""
    lines = [
        "add_frame(",
        keyword("frame_name", frame),
        keyword("interval", interval),
        f"    start_date={_date(start)},",
        f"    end_date={_date(end)},",
        ")",
    ]
    return "\n".join(lines)


def get_strategy_template(strategy: str, interval: str, prompt: str) -> str:
    """One strategy: it shows candles to the model and asks for a signal according to ``prompt``."""
    word = "".join(character if character.isalnum() else "_" for character in strategy)
    plain = word.encode("ascii", "ignore").decode()
    return _STRATEGY.format(
        prompt=assignment(f"PROMPT_{plain}".upper(), prompt),
        constant=f"PROMPT_{plain}".upper(),
        name=keyword("strategy_name", strategy),
        interval=literal(interval),
        function=f"ask_{plain}".lower(),
    )


def get_walker_template(walker: str, exchange: str, frame: str, strategies: Sequence[str]) -> str:
    """The walker that compares the strategies over the test frame."""
    lines = [
        "add_walker(",
        keyword("walker_name", walker),
        keyword("exchange_name", exchange),
        keyword("frame_name", frame),
        listing("strategies", strategies),
        ")",
    ]
    return "\n".join(lines)


def get_launcher_template(symbol: str, walker: str) -> str:
    """What the module does when it is run as a program."""
    return _LAUNCHER.format(
        symbol=assignment("SYMBOL", symbol), walker=assignment("WALKER", walker)
    )


def origin(optimizer_name: str, model: str, notes: Mapping[str, str]) -> str:
    """Where the module comes from, as constants; not a template that could be replaced."""
    lines = [assignment("OPTIMIZER", optimizer_name), assignment("WRITTEN_BY", model)]
    lines += [assignment(name, note) for name, note in notes.items()]
    return "\n".join(lines)


TEMPLATES: Mapping[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        get_top_banner, get_user_message, get_assistant_message, get_walker_template,
        get_exchange_template, get_frame_template, get_strategy_template, get_launcher_template,
        get_text_template, get_json_template, get_json_dump_template,
    )
}  # fmt: skip
"""The default templates by their names in ``OptimizerSchema.template``."""


def _date(when: datetime) -> str:
    parts = [when.year, when.month, when.day]
    if when.hour or when.minute:
        parts += [when.hour, when.minute]
    return f"datetime({', '.join(map(str, parts))}, tzinfo=UTC)"
