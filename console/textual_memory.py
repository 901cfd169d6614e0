"""Lets go of widgets that are gone, which Textual 8 keeps.

`StylesCache.get_inner_outer` remembers its answers together with the cache it was asked through, so
the drawn lines of every widget there ever was stay: those of a toast are some 30 kB, and a console
that runs for days shows thousands (https://github.com/Textualize/textual/issues/6665).
"""

from __future__ import annotations

from functools import lru_cache

from textual._styles_cache import StylesCache
from textual.color import Color
from textual.style import Style


@lru_cache(1024)
def _inner_and_outer(base_background: Color, background: Color) -> tuple[Style, Style]:
    return Style(background=base_background + background), Style(background=base_background)


def _of_any_widget(
    cache: StylesCache, base_background: Color, background: Color
) -> tuple[Style, Style]:
    return _inner_and_outer(base_background, background)


def let_go_of_removed_widgets() -> None:
    """Remember what is drawn around widgets by its colours alone, in the whole process."""
    StylesCache.get_inner_outer = _of_any_widget  # pyright: ignore[reportAttributeAccessIssue]
