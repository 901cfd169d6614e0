"""Themes of the configuration, and what is said about those that cannot be used."""

from __future__ import annotations

from textual.color import Color

from console.preferences import ConsoleSection
from console.themes import CONTRAST, DARK, LIGHT, PREFIX, THEMES, theme_problems, themes_of


def test_a_theme_of_the_users_is_a_built_in_one_with_other_colors() -> None:
    own = {"base": "light", "success": "#00aa00", "variables": {"cursor-row": "yellow"}}
    console = ConsoleSection.model_validate({"theme": "own", "themes": {"own": own}})
    assert theme_problems(console) == {}
    made = themes_of(console)[-1]
    assert (made.name, made.success, made.dark) == (f"{PREFIX}own", "#00aa00", False)
    assert made.variables["cursor-row"] == "yellow" and made.variables["border"] == "#7d9cb3"


def test_every_problem_is_named() -> None:
    themes = {
        "dark": {},
        "own": {"base": "dusk", "primary": "blueish", "variables": {"border": "7"}},
    }
    console = ConsoleSection.model_validate({"theme": "neon", "themes": themes})
    problems = theme_problems(console)
    own = ("themes", "own")
    assert list(problems) == [
        ("theme",), ("themes", "dark"), (*own, "base"), (*own, "primary"),
        (*own, "variables", "border"),
    ]  # fmt: skip
    assert problems["theme",].startswith("theme 'neon' is not known: use one of dark, light")
    assert problems[*own, "primary"].startswith("primary 'blueish' is no colour")


def test_every_text_is_readable_on_whatever_it_stands_on() -> None:
    for theme in (DARK, LIGHT):
        grounds = [theme.background, theme.surface, theme.panel]
        grounds += [theme.variables["cursor-row"], theme.variables["cursor-row-blurred"]]
        texts = [theme.foreground, theme.success, theme.error, theme.warning, theme.primary]
        for text in [*texts, theme.variables["text-muted"]]:
            for ground in grounds:
                assert contrast(text, ground) >= 4.5, (theme.name, text, ground)


def test_high_contrast_is_one() -> None:
    grounds = [CONTRAST.background, CONTRAST.surface, CONTRAST.panel]
    cursor = [CONTRAST.variables["cursor-row"]]
    texts = [CONTRAST.foreground, CONTRAST.success, CONTRAST.error, CONTRAST.warning]
    for text in [*texts, CONTRAST.primary, CONTRAST.variables["text-muted"]]:
        for ground in grounds:
            assert contrast(text, ground) >= 7.0, (text, ground)
    assert contrast(CONTRAST.foreground, cursor[0]) >= 7.0
    assert len({theme.name for theme in THEMES}) == 4


def contrast(text: str | None, ground: str | None) -> float:
    """WCAG 2 contrast ratio of two colours."""
    high, low = sorted((luminance(text), luminance(ground)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(color: str | None) -> float:
    parts = [part / 255 for part in Color.parse(color or "").rgb]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
