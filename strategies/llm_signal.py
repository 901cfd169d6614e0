"""A language model decides: show it the newest candles and ask for a signal.

The model is asked through Ollama when a signal is due, never when this file is loaded. Where no
Ollama answers, every question is an error that says so, and the run goes on without signals. What
led to a signal is kept below `./dump/strategy`. A model has read about the past: what it makes of
old candles in a backtest says little about new ones.
"""

from __future__ import annotations

from datetime import UTC, datetime

from engine import Signal, add_strategy, ask_signal, dump_signal, get_average_price, get_candles

SHOWN = (("1h", 24), ("15m", 24), ("5m", 24), ("1m", 30))
TASK = (
    "You advise a trader. You are shown candles and asked for one signal. Trade in the direction "
    "of the hours, enter near the present price, take at least 1 percent and risk at most 1 "
    "percent. minute_estimated_time is at most 360. Answer wait when the picture is unclear."
)


@add_strategy(
    strategy_name="llm-signal",
    interval="15m",
    note="Shows candles to a language model (Ollama) and follows its answer",
)
async def llm_signal(symbol: str, when: datetime) -> Signal | None:
    """What the model answers to the newest candles; None when it says wait."""
    messages = [{"role": "system", "content": TASK}]
    for interval, limit in SHOWN:
        rows = [f"{symbol}, {interval}: open time (UTC), open, high, low, close, volume"]
        for bar in await get_candles(symbol, interval, limit):
            opened = datetime.fromtimestamp(bar.timestamp / 1000, UTC)
            prices = f"{bar.open:.8g}, {bar.high:.8g}, {bar.low:.8g}, {bar.close:.8g}"
            rows.append(f"{opened:%Y-%m-%d %H:%M}, {prices}, {bar.volume:.8g}")
        messages.append({"role": "user", "content": "\n".join(rows)})
    price = await get_average_price(symbol)
    question = f"It is {when:%Y-%m-%d %H:%M} UTC, the price is {price:.8g}. Is there a signal?"
    messages.append({"role": "user", "content": question})
    signal = await ask_signal(messages)
    if signal is not None:
        await dump_signal(str(signal.id), messages, signal)
    return signal
