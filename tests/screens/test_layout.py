"""What the operator arranged is there at the next start; what does not fit is left out."""

from __future__ import annotations

import json

import pytest

from console.memory import Memory
from screens.deck import DeckScreen
from screens.log import LogScreen
from screens.signals import SignalsScreen
from tests.screens.bed import console, until


async def test_a_start_brings_back_screen_filters_orders_and_the_chosen_run() -> None:
    memory = Memory()
    async with console(memory=memory) as (app, _, pilot):
        deck = app.screen
        assert isinstance(deck, DeckScreen)
        await pilot.press("o", "o", "O", "j", "j")
        chosen, order = deck.instances.current, deck.instances.order
        assert chosen is not None and order[0] == "strategy" and order[1]
        await pilot.press("2", "slash", *"btc", "enter", "8", "l", "l")
        await until(pilot, lambda: memory.recall("filter.signals") == "btc")
    async with console(memory=memory) as (app, _, pilot):
        assert isinstance(app.screen, LogScreen) and app.screen.lines.level == "warning"
        await pilot.press("1")
        deck = app.screen
        assert isinstance(deck, DeckScreen) and deck.instances.order == order
        assert deck.instances.current is not None
        assert deck.instances.current.instance_id == chosen.instance_id
        await pilot.press("2")
        signals = app.screen
        assert isinstance(signals, SignalsScreen) and signals.bar.text == "btc"
        await until(pilot, lambda: 0 < len(signals.table.rows) < signals.table.total)


async def test_what_does_not_fit_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    damaged = {
        "screen": "charts", "chosen": ["DOGEUSDT", "gone", "simulated"], "filter.signals": 7,
        "sort.instances": ["height", True], "sort.scheduled": "left", "log.level": "loud",
    }  # fmt: skip
    memory = Memory()
    memory.restore({f"console.{name}": json.dumps(value) for name, value in damaged.items()})
    async with console(memory=memory) as (app, _, pilot):
        assert isinstance(app.screen, DeckScreen) and app.screen.instances.order == ("", False)
        await pilot.press("2", "3", "8")
        assert isinstance(app.screen, LogScreen) and app.screen.lines.level == "debug"
    for name in damaged:
        assert f"remembered as {name} does not fit" in caplog.text
