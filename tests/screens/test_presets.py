from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from textual import events
from textual.widgets import Button, Input, Static

from console.app import SignaldeckApp
from console.memory import PREFIX, Memory
from console.views import RunRequest
from engine.domain.changes import MetaSaved
from screens.backtests import BacktestsScreen
from screens.confirm import ConfirmDialog
from screens.new_run import NewRunForm
from screens.preset_dialog import SavePresetDialog
from screens.presets import (
    MOST,
    name_problem,
    named,
    preset_candidates,
    preset_hint,
    remove_preset,
    save_preset,
    saved_presets,
)
from tests.screens.album import painting as painting
from tests.screens.bed import SMALL, console, lines, toasts, until
from tests.screens.test_hostile_text import check

pytestmark = pytest.mark.usefixtures("painting")
"""Nobody looks at the terminal: what is drawn is asked of the widgets."""

LIVE = RunRequest("live", "sma-cross", "BTCUSDT, ETHUSDT", "simulated")
TEST = RunRequest("backtest", "breakout", "ETHUSDT", "simulated", "2024-01-05", "2024-01-20", "5m")
HOSTILE = "[red]\x1b[2J\n" + "W" * 10_000


def saved_names(memory: Memory, kind: str) -> list[str]:
    return [preset.name for preset in saved_presets(memory, kind)]


async def restarted(memory: Memory) -> Memory:
    """What the next process finds in the state file."""
    meta: dict[str, str] = {}

    async def commit(changes: object) -> None:
        assert isinstance(changes, list)
        meta.update({c.name: c.value for c in changes if isinstance(c, MetaSaved)})

    await memory.flush(commit)
    assert all(name.startswith(PREFIX) for name in meta)
    found = Memory()
    found.restore(meta)
    return found


async def test_presets_of_each_kind_are_kept_replaced_and_removed_whatever_the_case() -> None:
    memory = Memory()
    save_preset(memory, " nightly ", LIVE)
    save_preset(memory, "Alpha", replace(LIVE, symbol="XRPUSDT"))
    save_preset(memory, "nightly", TEST)
    assert saved_names(memory, "live") == ["Alpha", "nightly"]
    save_preset(memory, "NIGHTLY", replace(LIVE, symbol="SOLUSDT"))
    memory = await restarted(memory)
    kept = named(saved_presets(memory, "live"), "nightly")
    assert kept is not None and (kept.name, kept.request.symbol) == ("NIGHTLY", "SOLUSDT")
    assert [preset.request for preset in saved_presets(memory, "backtest")] == [TEST]
    walk = RunRequest("walker", "", "BTCUSDT", "simulated", strategies=("a", "b"))
    save_preset(memory, "both", walk)
    memory = await restarted(memory)
    assert saved_presets(memory, "walker")[0].request == walk
    assert dict(preset_candidates(saved_presets(memory, "walker"), None)[0].fills)[
        "strategy_name"
    ] == "a, b"  # fmt: skip
    remove_preset(memory, "walker", "Both")
    assert saved_presets(await restarted(memory), "walker") == ()


def test_names_that_cannot_be_told_apart_or_shown_are_refused() -> None:
    assert not any(map(name_problem, ("x", " [b]1 ", "ü" * 40, "{form.start}")))
    said = [name_problem(name) for name in ("  ", "a" * 41, "a\x1bb", "a\u200bb", "Last RUN")]
    assert [text.split(":")[0] for text in said] == [
        "a preset needs a name of 1 to 40 characters",
        "the name has 41 characters",
        "the name has characters that cannot be printed",
        "the name has characters that cannot be printed",
        "'Last RUN' is what ran last",
    ]
    memory = Memory()
    with pytest.raises(ValueError, match="41 characters"):
        save_preset(memory, "a" * 41, LIVE)
    with pytest.raises(ValueError, match="too long to be kept"):
        save_preset(memory, "long", replace(LIVE, symbol="B" * 70_000))
    assert saved_presets(memory, "live") == ()
    memory.remember("form.presets.live", {str(number): asdict(LIVE) for number in range(MOST)})
    save_preset(memory, "7", LIVE)
    with pytest.raises(ValueError, match="there are 100 live presets: remove one"):
        save_preset(memory, "one more", LIVE)


def test_what_cannot_be_read_is_left_out() -> None:
    memory, good = Memory(), asdict(LIVE)
    for broken in ([], "text", 7, {"1": None}, {"x": {"kind": "live"}}, {"x": [good]}):
        memory.remember("form.presets.live", broken)
        assert saved_presets(memory, "live") == (), broken
    memory.remember(
        "form.presets.live",
        {
            "good": good | {"later": 1}, "GOOD": good, " padded": good, "": good, HOSTILE: good,
            "of another kind": asdict(TEST), "numbers": good | {"symbol": 7}, "last run": good,
        },
    )  # fmt: skip
    assert [name.casefold() for name in saved_names(memory, "live")] == ["good"]


def test_the_hint_says_what_can_be_done() -> None:
    presets = saved_presets(_with(LIVE), "live")
    changed = replace(LIVE, symbol="SOLUSDT")
    assert preset_hint("", (), None, LIVE) == "{form.save_preset} saves this form under a name"
    assert preset_hint("", presets, None, LIVE).startswith("1 preset: {form.preset} choose")
    assert preset_hint("mine", presets, None, LIVE).startswith("{form.save_preset} save  ")
    assert "save the change" in preset_hint("MINE", presets, None, changed)
    assert preset_hint("last run", presets, LIVE, LIVE) == "as it ran last"
    assert preset_hint("last run", presets, LIVE, changed) == "as it ran last, changed since"


def _with(request: RunRequest, name: str = "mine") -> Memory:
    memory = Memory()
    save_preset(memory, name, request)
    return memory


def form(app: SignaldeckApp) -> NewRunForm:
    assert isinstance(app.screen, NewRunForm)
    return app.screen


def send(app: SignaldeckApp, text: str) -> None:
    """Keys of one packet."""
    names = {"\t": "tab", "\r": "enter", "\x13": "ctrl+s", "\x0f": "ctrl+o", " ": "space"}
    for key in text:
        app.post_message(events.Key(names.get(key, key), key if len(key) == 1 else None))


async def test_a_form_is_saved_under_a_name_and_picked_after_a_restart() -> None:
    async with console(size=SMALL) as (app, host, pilot):
        send(app, "5nbre\tsim\tETH\x13june run\r")
        await until(pilot, lambda: saved_names(host.memory, "backtest"))
        kept = saved_presets(host.memory, "backtest")[0]
        assert (kept.name, kept.request) == ("june run", form(app).request())
        assert kept.request.strategy_name == "breakout" and kept.request.symbol == "ETHUSDT"
        await until(pilot, lambda: "preset june run saved" in toasts(app))
        assert form(app).fields["preset"].value == "june run"

        await pilot.press("ctrl+u", *"BTC", "ctrl+s")
        assert isinstance(app.screen, SavePresetDialog) and app.screen.field.value == "june run"
        await pilot.press("enter")
        assert isinstance(app.screen, ConfirmDialog)
        assert isinstance(app.focused, Button) and str(app.focused.label) == "No"
        detail = str(app.screen.query_one("#detail", Static).render())
        assert detail == "Symbols: ETHUSDT, then BTCUSDT"
        await pilot.press("enter")
        assert isinstance(app.screen, SavePresetDialog)
        assert saved_presets(host.memory, "backtest") == (kept,)
        app.screen.field.select_all()
        await pilot.press(*"Last Run", "enter")
        assert "is what ran last" in str(app.screen.message.render())
        app.screen.field.select_all()
        await pilot.press(*"JUNE RUN", "enter", "right", "enter")
        assert saved_names(host.memory, "backtest") == ["JUNE RUN"]
        assert saved_presets(host.memory, "backtest")[0].request.symbol == "BTCUSDT"
        memory = await restarted(host.memory)
        save_preset(memory, "other", TEST)

    async with console(size=SMALL, memory=memory) as (app, host, pilot):
        await pilot.press("5", "n", "ctrl+o")
        assert [line.strip() for line in lines(form(app).choices)[1:3]] == ["▸ JUNE RUN", "other"]
        await pilot.press(*"nothing", "enter")
        await until(pilot, lambda: "not started" in str(form(app).status.render()))
        assert host.commands == [], "a preset that is none starts nothing else"
        await pilot.press("ctrl+u", *"ot", "enter")
        assert form(app).request() == TEST and host.commands == [], "it is looked at first"
        assert form(app).fields["strategy_name"].control.has_focus
        await pilot.press("tab", "ctrl+r")
        assert isinstance(app.screen, ConfirmDialog)
        await pilot.press("n", "ctrl+r", "y")
        assert saved_names(memory, "backtest") == ["JUNE RUN"] and form(app).request() == TEST
        await pilot.press("ctrl+r")
        assert "no saved preset is chosen" in toasts(app)
        send(app, "\x0fjun\r\r")
        await until(pilot, lambda: isinstance(app.screen, BacktestsScreen))
        assert host.commands == ["start backtest breakout BTCUSDT"]
        await pilot.press("n")
        assert form(app).fields["preset"].value == "JUNE RUN", "what ran last has that name"


async def test_hostile_presets_and_moved_keys() -> None:
    memory = _with(replace(LIVE, strategy_name=HOSTILE, symbol=HOSTILE), "[b]{form.start}\\")
    save_preset(memory, "W" * 40, LIVE)
    moved = {"form.save_preset": "f5", "form.preset": "f6", "form.remove_preset": "f7"}
    async with console(size=SMALL, memory=memory, keymap=moved) as (app, _, pilot):
        await pilot.press("n", "f6")
        hint = lines(form(app).fields["preset"].query_one("FieldMessage"))[0]
        assert hint.strip() == "2 presets: f6 choose  f5 save"
        assert "f5 save" in str(form(app).query_one("#hint").render())
        for keys in (("down",), ("f5",), ("enter",), ("f7",)):
            await pilot.press(*keys)
            await pilot.pause()
            check(app, f"after {keys}")
        await pilot.press("y", "f5")
        assert isinstance(app.screen, SavePresetDialog)
        app.screen.query_one(Input).value = HOSTILE
        await pilot.press("enter")
        check(app, "a name nobody can give")
        assert isinstance(app.screen, SavePresetDialog)
        assert saved_names(memory, "live") == ["W" * 40]
