"""The ``[console]`` table of ``signaldeck.toml``: how the console looks, and how it ends.

What becomes of live runs when nobody sees them any more is decided beforehand, because whoever
loses a terminal answers no questions.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Unattended: TypeAlias = Literal["continue", "drain", "quit"]
"""Go on without an interface; watch open positions to their end and quit; quit and keep them."""

Bell: TypeAlias = Literal["opened", "closed", "rejected", "error"]
"""What the terminal's bell can ring for."""


class ThemeSection(BaseModel):
    """One ``[console.themes.NAME]`` table: a theme of the user's, as far as it differs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = "dark"
    """The theme whose colours hold where none is given."""
    primary: str | None = None
    """Where you are: titles, the focus."""
    success: str | None = None
    """Gains."""
    error: str | None = None
    """Losses and errors."""
    warning: str | None = None
    """Look here."""
    foreground: str | None = None
    background: str | None = None
    surface: str | None = None
    """Behind header, footer and dialogs."""
    panel: str | None = None
    """Behind toasts and inputs."""
    variables: dict[str, str] = Field(default_factory=dict)
    """Further names of the theme, such as ``text-muted`` or ``cursor-row``."""

    @property
    def colors(self) -> dict[str, str]:
        """The named colours that are given, without the further ones."""
        return {
            name: value
            for name, value in self
            if name not in ("base", "variables") and value is not None
        }


class ConsoleSection(BaseModel):
    """The ``[console]`` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    theme: str = "dark"
    """``dark``, ``light``, ``contrast``, ``ansi``, or one of ``themes``."""
    clock: Literal["utc", "local"] = "utc"
    """``local`` shows the time of this machine beside UTC; tables are in UTC."""
    bell: tuple[Bell, ...] = ()
    """What the terminal's bell rings for; nothing by default."""
    on_terminal_loss: Unattended = "continue"
    """What becomes of live runs when the terminal is gone."""
    on_crash: Unattended = "drain"
    """What becomes of live runs when the interface cannot be shown any more."""
    themes: dict[str, ThemeSection] = Field(default_factory=dict[str, ThemeSection])
    """Themes of the user's, by name."""
