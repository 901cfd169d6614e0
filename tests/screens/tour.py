"""The way through all screens and dialogs by keys, as pictures and hostile texts travel it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen

from console.app import SignaldeckApp
from screens.backtests import BacktestsScreen
from screens.confirm import ConfirmDialog
from screens.deck import DeckScreen
from screens.detail import DetailDialog
from screens.help import HelpDialog
from screens.instance import InstanceScreen
from screens.life import LifeScreen
from screens.log import LogScreen
from screens.new_run import NewRunForm
from screens.performance import PerformanceScreen
from screens.preset_dialog import SavePresetDialog
from screens.result import ResultScreen
from screens.risk import RiskScreen
from screens.scheduled import ScheduledScreen
from screens.signals import SignalsScreen
from screens.text_screen import TextScreen
from screens.typed import TypedDialog
from screens.walkers import WalkersScreen
from tests.screens.bed import LARGE


@dataclass(frozen=True, slots=True)
class Stop:
    """One place to look at.

    Attributes:
        keys: what is pressed to get there from the stop before.
        kind: what is on top then.
        back: keys that leave it; the next stop's keys go on from there.
        small: it is a pane that only a small terminal hides, so only there it is a stop.
        aside: it is much like another stop; a short way leaves it out.
    """

    name: str
    keys: tuple[str, ...]
    kind: type[Screen[Any]]
    back: tuple[str, ...] = ()
    small: bool = False
    aside: bool = False


def _stop(name: str, keys: str, kind: type[Screen[Any]], back: str = "") -> Stop:
    return Stop(name, tuple(keys.split()), kind, tuple(back.split()))


def _aside(name: str, keys: str, kind: type[Screen[Any]], back: str = "") -> Stop:
    return replace(_stop(name, keys, kind, back), aside=True)


def _pane(name: str, keys: str, kind: type[Screen[Any]], back: str = "") -> Stop:
    return replace(_stop(name, keys, kind, back), aside=True)


TOUR = (
    _stop("deck", "", DeckScreen),
    _aside("deck-feed-held", "tab j j", DeckScreen, "g shift+tab"),
    _stop("deck-several", "v j v", DeckScreen),
    _stop("stop-several", "x", ConfirmDialog, "escape escape g"),
    _aside("stop", "x", ConfirmDialog, "escape"),
    _stop("close-now", "X", TypedDialog, "escape"),
    _aside("close-all", "ctrl+k", TypedDialog, "escape"),
    _stop("quit", "q", ConfirmDialog, "escape"),
    _stop("help", "question_mark j j", HelpDialog, "escape"),
    _stop("information", "I", DetailDialog, "escape"),
    _stop("new-run-live", "n", NewRunForm, "escape"),
    _stop("instance", "enter", InstanceScreen),
    _pane("instance-position", "tab", InstanceScreen),
    _pane("instance-events", "tab", InstanceScreen),
    _pane("instance-statistics", "tab", InstanceScreen),
    _pane("instance-settings", "tab tab", InstanceScreen),
    _stop("instance-report", "r", TextScreen, "escape escape"),
    _stop("signals", "2", SignalsScreen),
    _aside("life-closed", "j j j enter", LifeScreen, "escape"),
    _aside("entry", "j j j enter", DetailDialog, "escape"),
    _stop("life-open", "slash i d : s i g n a l - 5 0 enter g j enter", LifeScreen, "escape"),
    _aside(
        "signals-searched", "slash ctrl+u c l o s e d enter exclamation_mark j space",
        SignalsScreen, "space slash escape",
    ),
    _stop("scheduled", "3", ScheduledScreen),
    _pane("milestones", "tab", ScheduledScreen),
    _stop("risk", "4", RiskScreen),
    _pane("risk-positions", "tab", RiskScreen),
    _stop("backtests", "5", BacktestsScreen),
    _stop("result", "enter", ResultScreen),
    _pane("result-equity", "tab", ResultScreen),
    _pane("result-trades", "tab", ResultScreen),
    _pane("result-months", "tab", ResultScreen),
    _stop("result-report", "r", TextScreen, "escape escape"),
    _stop("new-run-backtest", "n", NewRunForm, "escape"),
    _aside("save-preset", "n ctrl+s j u n e space r u n", SavePresetDialog, "escape escape"),
    _aside("new-run-refused", "n ctrl+u s m a delete tab tab ctrl+u enter", NewRunForm, "escape"),
    _stop("walkers", "6", WalkersScreen),
    _pane("ranking", "tab", WalkersScreen),
    _pane("curves", "tab", WalkersScreen, "shift+tab shift+tab"),
    _stop("comparison", "r", TextScreen, "escape"),
    _stop("optimizers", "shift+tab j", WalkersScreen),
    _stop("optimizer", "enter", DetailDialog, "escape tab"),
    _stop("new-run-walker", "n", NewRunForm),
    _stop("new-run-optimizer", "shift+tab right tab", NewRunForm, "escape"),
    _stop("performance", "7", PerformanceScreen),
    _stop("log", "8 j j", LogScreen),
    _aside("log-line", "j enter", DetailDialog, "escape"),
)  # fmt: skip
"""Every screen and dialog, in the order of their keys."""


async def visit(
    app: SignaldeckApp, pilot: Pilot[None], *, short: bool = False
) -> AsyncIterator[Stop]:
    """Go from stop to stop, on a short way without those aside; it ends on Deck as it began."""
    for stop in TOUR:
        if (stop.small and app.size.width >= LARGE[0]) or (stop.aside and short):
            continue
        await pilot.press(*stop.keys)
        for _ in range(40):
            if isinstance(app.screen, stop.kind):
                break
            await pilot.pause(0.05)
        assert isinstance(app.screen, stop.kind), f"{stop.name}: {app.screen} is on top"
        yield stop
        await pilot.press(*stop.back)
    await pilot.press("1")
