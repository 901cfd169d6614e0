"""The console's themes: few colours, each with one meaning, readable through a night.

Green and red mean gain and loss, amber means look here, blue means where you are; everything else
is a shade of grey. No meaning rests on colour alone: signs and words carry it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from textual.color import Color, ColorParseError
from textual.theme import Theme

from console.preferences import ConsoleSection, ThemeSection

PREFIX: Final = "signaldeck-"
"""Before the names of our themes among those of Textual's."""

DARK: Final = Theme(
    name="signaldeck-dark",
    primary="#7fb4d6",
    secondary="#8fa3b5",
    accent="#7fb4d6",
    warning="#e0b060",
    error="#e58a86",
    success="#86c79a",
    foreground="#d3dae1",
    background="#12161b",
    surface="#181d23",
    panel="#222932",
    dark=True,
    variables={
        "text-muted": "#909daa",
        "text-disabled": "#5c6772",
        "footer-background": "#181d23",
        "border": "#4d6b82",
        "border-blurred": "#323b45",
        "block-cursor-background": "#27405a",
        "block-cursor-foreground": "#eef3f7",
        "block-cursor-text-style": "none",
        "input-cursor-background": "#d3dae1",
        "input-cursor-foreground": "#12161b",
        "input-selection-background": "#2f506e",
        "scrollbar": "#2b343e",
        "scrollbar-hover": "#3a4652",
        "scrollbar-active": "#4d6b82",
        "scrollbar-background": "#12161b",
        "scrollbar-background-hover": "#12161b",
        "scrollbar-background-active": "#12161b",
        "scrollbar-corner-color": "#12161b",
        "cursor-row": "#20354a",
        "cursor-row-blurred": "#1c232b",
    },
)
"""Light text on near-black: the default."""

LIGHT: Final = Theme(
    name="signaldeck-light",
    primary="#1f6391",
    secondary="#5a6b7b",
    accent="#1f6391",
    warning="#825500",
    error="#b3312c",
    success="#1f6a3a",
    foreground="#22292f",
    background="#f6f5f1",
    surface="#ecebe6",
    panel="#dfded8",
    dark=False,
    variables={
        "text-muted": "#59636d",
        "text-disabled": "#9aa1a7",
        "footer-background": "#ecebe6",
        "border": "#7d9cb3",
        "border-blurred": "#c4c3bd",
        "block-cursor-background": "#c7dbea",
        "block-cursor-foreground": "#12181d",
        "block-cursor-text-style": "none",
        "input-cursor-background": "#22292f",
        "input-cursor-foreground": "#f6f5f1",
        "input-selection-background": "#bcd6ea",
        "scrollbar": "#cfcec8",
        "scrollbar-hover": "#b9b8b2",
        "scrollbar-active": "#7d9cb3",
        "scrollbar-background": "#f6f5f1",
        "scrollbar-background-hover": "#f6f5f1",
        "scrollbar-background-active": "#f6f5f1",
        "scrollbar-corner-color": "#f6f5f1",
        "cursor-row": "#cfe1ee",
        "cursor-row-blurred": "#e6e5df",
    },
)
"""Dark text on paper, for bright rooms."""

CONTRAST: Final = replace(
    DARK,
    name="signaldeck-contrast",
    primary="#7ad7ff",
    secondary="#d0d8e0",
    accent="#7ad7ff",
    warning="#ffd24a",
    error="#ff8a80",
    success="#6ff0a0",
    foreground="#ffffff",
    background="#000000",
    surface="#0c0f12",
    panel="#1a1f25",
    variables={
        **DARK.variables,
        "text-muted": "#c3ccd5",
        "text-disabled": "#98a2ac",
        "footer-background": "#0c0f12",
        "border": "#7ad7ff",
        "border-blurred": "#98a2ac",
        "block-cursor-background": "#005f9e",
        "block-cursor-foreground": "#ffffff",
        "input-cursor-background": "#ffffff",
        "input-cursor-foreground": "#000000",
        "input-selection-background": "#005f9e",
        "scrollbar": "#98a2ac",
        "scrollbar-hover": "#c3ccd5",
        "scrollbar-active": "#7ad7ff",
        "scrollbar-background": "#000000",
        "scrollbar-background-hover": "#000000",
        "scrollbar-background-active": "#000000",
        "scrollbar-corner-color": "#000000",
        "cursor-row": "#00477a",
        "cursor-row-blurred": "#2a3138",
    },
)
"""White on black, every text at least 7:1 against what it stands on."""

ANSI: Final = Theme(
    name="signaldeck-ansi",
    ansi=True,
    primary="ansi_bright_blue",
    secondary="ansi_cyan",
    accent="ansi_bright_blue",
    warning="ansi_yellow",
    error="ansi_bright_red",
    success="ansi_green",
    foreground="ansi_white",
    background="ansi_black",
    surface="ansi_black",
    panel="ansi_black",
    boost="ansi_black",
    dark=True,
    variables={
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "text-muted": "ansi_bright_black",
        "text-disabled": "ansi_bright_black",
        "footer-background": "ansi_black",
        "border": "ansi_blue",
        "border-blurred": "ansi_bright_black",
        "block-cursor-background": "ansi_blue",
        "block-cursor-foreground": "ansi_bright_white",
        "block-cursor-text-style": "none",
        "input-cursor-background": "ansi_white",
        "input-cursor-foreground": "ansi_black",
        "input-selection-background": "ansi_blue",
        "scrollbar": "ansi_bright_black",
        "scrollbar-hover": "ansi_white",
        "scrollbar-active": "ansi_white",
        "scrollbar-background": "ansi_black",
        "scrollbar-background-hover": "ansi_black",
        "scrollbar-background-active": "ansi_black",
        "scrollbar-corner-color": "ansi_black",
        "cursor-row": "ansi_blue",
        "cursor-row-blurred": "ansi_black",
    },
)
"""The terminal's own sixteen colours, for terminals that have no others or have good ones."""

THEMES: Final = (DARK, LIGHT, CONTRAST, ANSI)
"""The console's own themes, default first."""

BY_NAME: Final[Mapping[str, Theme]] = MappingProxyType(
    {theme.name.removeprefix(PREFIX): theme for theme in THEMES}
)
"""The console's own themes by the names that people configure."""


def themes_of(console: ConsoleSection) -> tuple[Theme, ...]:
    """All themes there are: the console's own, then the user's."""
    return (*THEMES, *(_made(name, section) for name, section in console.themes.items()))


def theme_problems(console: ConsoleSection) -> dict[tuple[str, ...], str]:
    """What cannot be used of a configuration: path of the key in ``[console]`` to one sentence."""
    known = [*BY_NAME, *console.themes]
    problems: dict[tuple[str, ...], str] = {}
    if console.theme not in known:
        problems["theme",] = f"theme {console.theme!r} is not known: use one of {', '.join(known)}"
    for name, section in console.themes.items():
        where = ("themes", name)
        if name in BY_NAME:
            problems[where] = f"themes.{name} is a built-in theme: give yours another name"
        if section.base not in BY_NAME:
            problems[*where, "base"] = (
                f"base {section.base!r} is not known: use one of {', '.join(BY_NAME)}"
            )
        colors = {(key,): value for key, value in section.colors.items()}
        colors |= {("variables", key): value for key, value in section.variables.items()}
        for key, value in colors.items():
            if not (key[-1].endswith("-style") or _is_color(value)):
                problems[*where, *key] = (
                    f"{key[-1]} {value!r} is no colour: write it as '#7fb4d6', or name one"
                )
    return problems


def _made(name: str, section: ThemeSection) -> Theme:
    base = BY_NAME[section.base]
    return replace(
        base, name=PREFIX + name, variables={**base.variables, **section.variables},
        **section.colors,
    )  # fmt: skip


def _is_color(text: str) -> bool:
    try:
        Color.parse(text)
    except ColorParseError:
        return False
    return True
