"""Every key of the console in one table: the id it is remapped by, its default, what it says.

Screens bind actions through `bind`, so the footer, the help and the palette say the same words, and
``[keys]`` of ``signaldeck.toml`` (handed to `App.set_keymap`) can move any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final
from unicodedata import lookup

from textual.binding import Binding
from textual.keys import Keys


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One key.

    Attributes:
        id: name it is remapped by.
        keys: default keys, comma separated, in Textual's names.
        description: word or two for the footer.
        tooltip: one sentence for the help and the palette.
        show: whether the footer lists it.
        priority: whether it works while a dialog or an input has the focus.
    """

    id: str
    keys: str
    description: str
    tooltip: str
    show: bool = True
    priority: bool = False


_TABLE: Final = (
    KeySpec("open", "enter", "Open", "Open what the cursor is on"),
    KeySpec("run.new", "n", "New run", "Start a live run, a backtest, a walker or an optimizer"),
    KeySpec("run.again", "s", "Start again", "Start a run that ended, or resume a draining one"),
    KeySpec(
        "run.stop", "x", "Stop",
        "Stop gracefully: no new signals, an open position is watched to its end",
    ),
    KeySpec("run.close", "X", "Close now", "Close the open position at market, right away"),
    KeySpec("run.cancel", "c", "Cancel", "Cancel the scheduled signal", show=False),
    KeySpec("run.stop_all", "ctrl+x", "Stop all", "Stop every live run gracefully", show=False),
    KeySpec("run.close_all", "ctrl+k", "Close all", "Close every open position now", show=False),
    KeySpec("search", "slash", "Search", "Show only lines that match what you type"),
    KeySpec("search.invert", "exclamation_mark", "Invert", "Show what does not match", False),
    KeySpec(
        "search.like", "f", "Only this",
        "Show only this run's lines, or what was shown before again", False,
    ),
    KeySpec("mark", "v", "Select", "Select this line for a command to several, or no more", False),
    KeySpec("mark.all", "V", "Select all", "Select all lines, or none", show=False),
    KeySpec("export", "e", "Export", "Write this table to a file: Markdown, CSV or JSON", False),
    KeySpec("log.level", "l", "Level", "Show only lines of this level and above"),
    KeySpec("run.skip", "S", "Skip", "Leave one strategy of a walker out; the others go on"),
    KeySpec("metric", "m", "Metric", "Rank by the next figure"),
    KeySpec("report", "r", "Report", "Show the report as Markdown"),
    KeySpec("chart.interval", "i", "Interval", "Draw candles of the next interval"),
    KeySpec("chart.volume", "u", "Volume", "Draw volumes below the candles, or not", show=False),
    KeySpec("sort", "o", "Sort", "Sort by the next column", show=False),
    KeySpec("sort.turn", "O", "Sort back", "Turn the order round", show=False),
    KeySpec("pause", "space", "Pause", "Hold the view still, or go on; all is collected", False),
    KeySpec("copy", "y", "Copy", "Copy the line under the cursor to the clipboard"),
    KeySpec("pane.next", "tab", "Pane", "Go to the next pane"),
    KeySpec("pane.previous", "shift+tab", "Pane back", "Go to the previous pane", show=False),
    KeySpec("back", "escape", "Back", "Go back"),
    KeySpec("help", "question_mark", "Help", "List every key and what it does"),
    KeySpec("about", "I", "Information", "Show versions, files and exchanges", show=False),
    KeySpec("palette", "ctrl+p", "Commands", "Find a command by name", priority=True),
    KeySpec(
        "suspend", "ctrl+z", "Suspend",
        "Stop the process until fg continues it; refused while live runs are running", False,
    ),
    KeySpec("quit", "q", "Quit", "Leave the console, after asking"),
    KeySpec("quit.always", "ctrl+q", "Quit", "Leave, also from a dialog", False, True),
    KeySpec("mode.deck", "1", "Deck", "Live runs and the signal feed", show=False),
    KeySpec("mode.signals", "2", "Signals", "The whole feed, with search", show=False),
    KeySpec("mode.scheduled", "3", "Scheduled", "Waiting signals and milestones", show=False),
    KeySpec("mode.risk", "4", "Risk", "Slots, rejections and invalid signals", show=False),
    KeySpec("mode.backtests", "5", "Backtests", "Running and finished backtests", show=False),
    KeySpec("mode.walkers", "6", "Walkers", "Strategies compared, and optimizers", show=False),
    KeySpec("mode.performance", "7", "Performance", "How long things take", show=False),
    KeySpec("mode.log", "8", "Log", "The program's log, with search", show=False),
    KeySpec("table.down", "j,down", "Down", "Move the cursor down", show=False),
    KeySpec("table.up", "k,up", "Up", "Move the cursor up", show=False),
    KeySpec("table.page_down", "pagedown", "Page down", "Move a page down", show=False),
    KeySpec("table.page_up", "pageup", "Page up", "Move a page up", show=False),
    KeySpec("table.top", "g,home", "Top", "Go to the first line; the feed follows again", False),
    KeySpec("table.bottom", "G,end", "Bottom", "Go to the last line", show=False),
    KeySpec("form.start", "enter", "Start", "Start the run as filled in"),
    KeySpec("form.next_choice", "down", "Next choice", "Take the next choice of the list"),
    KeySpec("form.previous_choice", "up", "Previous", "Take the previous choice", show=False),
    KeySpec(
        "form.next_field", "tab", "Next field", "Complete this field and go to the next",
        priority=True,
    ),
    KeySpec("form.previous_field", "shift+tab", "Field back", "Go to the field before", False),
    KeySpec(
        "form.preset", "ctrl+o", "Preset", "Go to the presets of the New-run form",
        priority=True,
    ),
    KeySpec(
        "form.save_preset", "ctrl+s", "Save preset", "Save the New-run form under a name",
        priority=True,
    ),
    KeySpec(
        "form.remove_preset", "ctrl+r", "Remove preset", "Remove the preset that is chosen",
        priority=True,
    ),
    KeySpec("choice.next", "right,space", "Change", "Take the next value", show=False),
    KeySpec("choice.previous", "left", "Change back", "Take the previous value", show=False),
    KeySpec("dialog.yes", "y", "Yes", "Do it", show=False),
    KeySpec("dialog.no", "n,escape", "No", "Leave everything as it is", show=False),
    KeySpec("dialog.next", "right,down", "Next", "Go to the next button", show=False),
    KeySpec("dialog.previous", "left,up", "Previous", "Go to the previous button", show=False),
)  # fmt: skip

KEYS: Final[Mapping[str, KeySpec]] = MappingProxyType({spec.id: spec for spec in _TABLE})
"""Every key by id, in the order the footer and the help list them."""

ORDER: Final[Mapping[str, int]] = MappingProxyType({key: at for at, key in enumerate(KEYS)})
"""Place of each id in that order."""


_KEY_NAMES: Final = frozenset(
    [*(key.value for key in Keys), "space", "question_mark", "slash", "plus", "minus"]
)

_SIGNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "escape": "esc", "question_mark": "?", "slash": "/", "exclamation_mark": "!",
        "pagedown": "page down", "pageup": "page up",
        "up": "↑", "down": "↓", "left": "←", "right": "→",
    }
)  # fmt: skip


def key_sign(key: str) -> str:
    """A key as people write it: ``esc``, ``?``, ``^p``."""
    key = key.strip()
    return _SIGNS.get(key) or key.replace("ctrl+", "^")


def bind(
    key_id: str,
    action: str,
    *,
    description: str | None = None,
    show: bool | None = None,
    priority: bool | None = None,
) -> Binding:
    """The binding of a key to an action, with the table's words unless others are given.

    Raises:
        KeyError: no key of that id is in the table.
    """
    spec = KEYS[key_id]
    return Binding(
        spec.keys,
        action,
        spec.description if description is None else description,
        show=spec.show if show is None else show,
        tooltip=spec.tooltip,
        priority=spec.priority if priority is None else priority,
        id=spec.id,
    )


_EVERYWHERE: Final = frozenset({"palette", "quit.always"})
_FORM: Final = frozenset(key for key in KEYS if key.startswith(("form.", "choice.")))
_DIALOG: Final = frozenset(key for key in KEYS if key.startswith("dialog."))
_PAGES: Final = frozenset({"table.page_down", "table.page_up"})
_PLACES: Final = (
    frozenset(KEYS) - _FORM - _DIALOG,
    _FORM | _EVERYWHERE | {"back"},
    _DIALOG | _PAGES | _EVERYWHERE,
    _PAGES
    | _EVERYWHERE
    | {"back", "dialog.next", "dialog.previous"},  # where a word has to be typed
)
"""Keys that can be there at the same time: on a screen, in the form, in either kind of question."""

_FOLLOWED: Final = frozenset({"signals", "log"})
_RUNS: Final = frozenset({"deck", "scheduled", "instance"})
_ONLY_ON: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "search": _FOLLOWED, "search.invert": _FOLLOWED, "search.like": frozenset({"signals"}),
        "log.level": frozenset({"log"}),
        "run.skip": frozenset({"walkers"}), "metric": frozenset({"walkers"}),
        "run.close": _RUNS, "run.cancel": _RUNS,
        "run.stop_all": frozenset({"deck"}), "run.close_all": frozenset({"deck"}),
        "chart.interval": frozenset({"instance"}), "chart.volume": frozenset({"instance"}),
    }
)  # fmt: skip
"""Screens of the keys that only some have: two of them may share a key where they never meet."""


def keymap_problems(keymap: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with a remapping (id to comma separated keys): id to one sentence."""
    problems = _unusable(keymap)
    return problems or _shared(keymap)


def _shared(keymap: Mapping[str, str]) -> dict[str, str]:
    """Keys that would be two things at once, of which Textual silently drops one."""
    keys = {
        key_id: {
            binding.key
            for binding in Binding.make_bindings([Binding(keymap.get(key_id, spec.keys), "")])
        }
        for key_id, spec in KEYS.items()
    }
    problems: dict[str, str] = {}
    for key_id in keymap:
        for other in KEYS:
            if other == key_id or other in problems or not _meet(key_id, other):
                continue
            for key in sorted(keys[key_id] & keys[other]):
                problems[key_id] = (
                    f"{key_id!r} and {other!r} ({KEYS[other].description}) would both be on "
                    f"{key!r}: give one of them another key"
                )
    return problems


def _meet(one: str, other: str) -> bool:
    """Whether two keys can be there at the same time."""
    screens, others = _ONLY_ON.get(one), _ONLY_ON.get(other)
    if screens is not None and others is not None and not screens & others:
        return False
    return any(one in place and other in place for place in _PLACES)


def _unusable(keymap: Mapping[str, str]) -> dict[str, str]:
    problems: dict[str, str] = {}
    for key_id, keys in keymap.items():
        named = [key.strip() for key in keys.split(",") if key.strip()]
        unknown = [key for key in named if not _is_key(key)]
        if key_id not in KEYS:
            close = get_close_matches(key_id, KEYS, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            problems[key_id] = f"no key is called {key_id!r}: {hint}the names are {', '.join(KEYS)}"
        elif not named:
            problems[key_id] = (
                f"{key_id!r} is mapped to nothing: name at least one key, for example "
                f"{KEYS[key_id].keys!r}"
            )
        elif unknown:
            problems[key_id] = (
                f"{key_id!r} is mapped to {unknown[0]!r}, which is no key: use a character, or a "
                "name such as f5, ctrl+s, shift+tab, enter, pageup"
            )
    return problems


def _is_key(key: str) -> bool:
    """Whether Textual has a key of that name."""
    *modifiers, name = key.split("+") if len(key) > 1 else (key,)
    if not set(modifiers) <= {"ctrl", "shift", "alt", "super", "hyper", "meta"}:
        return False
    if len(name) == 1 or name in _KEY_NAMES:
        return True
    try:
        lookup(name.replace("_", " ").upper())
    except KeyError:
        return False
    return True
