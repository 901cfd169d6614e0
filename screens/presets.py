"""What the New-run form says, kept under names: the presets of each kind of run.

They are in the console's memory, so they are there again after a restart. What cannot be read, or
has a name that nobody could have given, is left out: it was written by hand or by another version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from console.memory import Memory
from console.views import RunRequest
from screens.candidates import Candidate, form_values, joined
from screens.form_fields import LABELS, SHOWN
from screens.text import clean, many

LAST_RUN: Final = "last run"
"""The choice beside the presets that is always there once something was started."""

LONGEST_NAME: Final = 40
"""Characters of a name, so that it can be told from others in a list."""

MOST: Final = 100
"""Presets of one kind; more could not be looked through."""

_ALL: Final[TypeAdapter[dict[str, Any]]] = TypeAdapter(dict[str, Any])
_REQUEST: Final[TypeAdapter[RunRequest]] = TypeAdapter(RunRequest)


@dataclass(frozen=True, slots=True)
class Preset:
    """What a form said under a name; ``symbol`` is as typed and may name several."""

    name: str
    request: RunRequest


def saved_presets(memory: Memory, kind: str) -> tuple[Preset, ...]:
    """The presets of a kind of run by name, without those that cannot be read."""
    try:
        kept = _ALL.validate_python(memory.recall(_place(kind)))
    except ValidationError:
        return ()
    found: dict[str, Preset] = {}
    for name, value in kept.items():
        try:
            request = _REQUEST.validate_python(value)
        except ValidationError:
            continue
        if not name_problem(name) and name == name.strip() and request.kind == kind:
            found.setdefault(name.casefold(), Preset(name, request))
    return tuple(found[key] for key in sorted(found))


def name_problem(name: str) -> str:
    """Why a name cannot be given; "" when it can."""
    name = name.strip()
    if not name:
        return f"a preset needs a name of 1 to {LONGEST_NAME} characters"
    if len(name) > LONGEST_NAME:
        return f"the name has {len(name):,} characters: give it at most {LONGEST_NAME}"
    if not name.isprintable():
        return "the name has characters that cannot be printed: type letters, digits or signs"
    if name.casefold() == LAST_RUN:
        return f"{name!r} is what ran last: give another name"
    return ""


def named(presets: Iterable[Preset], name: str) -> Preset | None:
    """The preset of a name, whatever its case."""
    wanted = name.strip().casefold()
    return next((preset for preset in presets if preset.name.casefold() == wanted), None)


def save_preset(memory: Memory, name: str, request: RunRequest) -> None:
    """Keep what a form says under a name, in place of what was kept under it.

    Raises:
        ValueError: the name cannot be given, or there is no room for it; the message says which.
    """
    problem = name_problem(name)
    if problem:
        raise ValueError(problem)
    others = _without(memory, request.kind, name)
    if len(others) >= MOST:
        raise ValueError(f"there are {MOST} {request.kind} presets: remove one that is not used")
    try:
        _keep(memory, request.kind, (*others, Preset(name.strip(), request)))
    except ValueError as error:
        raise ValueError(
            "together the presets are too long to be kept: shorten the settings of this one, or "
            "remove another"
        ) from error


def remove_preset(memory: Memory, kind: str, name: str) -> None:
    """Forget a preset."""
    _keep(memory, kind, _without(memory, kind, name))


def _without(memory: Memory, kind: str, name: str) -> tuple[Preset, ...]:
    presets = saved_presets(memory, kind)
    taken = named(presets, name)
    return tuple(preset for preset in presets if preset is not taken)


def _keep(memory: Memory, kind: str, presets: Sequence[Preset]) -> None:
    kept = {preset.name: asdict(preset.request) for preset in presets}
    memory.remember(_place(kind), kept or None)


def _place(kind: str) -> str:
    return f"form.presets.{kind}"


def preset_candidates(presets: Iterable[Preset], last: RunRequest | None) -> tuple[Candidate, ...]:
    """What the Preset field offers: the saved ones, then what ran last."""
    every = [*presets, *([Preset(LAST_RUN, last)] if last is not None else [])]
    return tuple(
        Candidate(
            preset.name,
            summary(preset.request),
            fills=(
                ("preset", preset.name),
                *form_values(preset.request, SHOWN[preset.request.kind]),
            ),
        )
        for preset in every
    )


def summary(request: RunRequest) -> str:
    """What a form says, in one line: strategies, symbols, frame."""
    strategies = joined(request.strategies) or request.strategy_name or "no strategy"
    frame = f" {request.start} to {request.end}" if request.start or request.end else ""
    return clean(f"{strategies} on {request.symbol or 'no symbol'}{frame}")


def differences(kept: RunRequest, new: RunRequest) -> tuple[str, ...]:
    """What a form says otherwise than a preset of its kind, one line for each field."""
    fields = SHOWN[new.kind]
    pairs = zip(form_values(kept, fields), form_values(new, fields), strict=True)
    return tuple(
        clean(f"{LABELS[field]}: {was or 'empty'}, then {now or 'empty'}")
        for (field, was), (_, now) in pairs
        if was != now
    )


def preset_hint(
    typed: str, presets: Sequence[Preset], last: RunRequest | None, request: RunRequest
) -> str:
    """What stands below the Preset field, with ids of keys in braces.

    Args:
        typed: what the field holds.
        presets: the saved ones of the form's kind.
        last: what ran last of that kind.
        request: what the form says.
    """
    if typed.casefold() == LAST_RUN and last is not None:
        return "as it ran last" if request == last else "as it ran last, changed since"
    chosen = named(presets, typed)
    if chosen is not None:
        change = "save" if request == chosen.request else "save the change"
        return f"{{form.save_preset}} {change}  {{form.remove_preset}} remove"
    if presets or last is not None:
        kept = f"{many(len(presets), 'preset')}: " if presets else ""
        return f"{kept}{{form.preset}} choose  {{form.save_preset}} save"
    return "{form.save_preset} saves this form under a name"
