"""The few tones that text on a Line-API widget can have, and the styles they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from screens.text import fit

Tone: TypeAlias = Literal["", "muted", "strong", "gain", "loss", "warn", "accent", "alarm", "badge"]
"""What a piece of text means; the theme says how that looks."""

TONES: Final[tuple[Tone, ...]] = (
    "muted", "strong", "gain", "loss", "warn", "accent", "alarm", "badge",
)  # fmt: skip

TONE_CLASSES: Final = frozenset(f"tone--{tone}" for tone in TONES)
"""Component classes of a widget that draws with tones."""


def tone_css(widget: str) -> str:
    """The style rules of every tone, for the widget class of that name."""
    return f"""
    {widget} {{
        .tone--muted {{ color: $text-muted; }}
        .tone--strong {{ text-style: bold; }}
        .tone--gain {{ color: $success; }}
        .tone--loss {{ color: $error; }}
        .tone--warn {{ color: $warning; }}
        .tone--accent {{ color: $primary; }}
        .tone--alarm {{ color: $background; background: $warning; text-style: bold; }}
        .tone--badge {{ color: $warning; text-style: bold; }}
    }}
    """


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of text and what it means."""

    text: str
    tone: Tone = ""


Cells: TypeAlias = "Cell | tuple[Cell, ...]"
"""One piece of text, or several that stand side by side."""

StyleOf: TypeAlias = Callable[[Tone], Style]


def spans(cells: Cells) -> tuple[Cell, ...]:
    """The pieces of a cell as a tuple, however many there are."""
    return (cells,) if isinstance(cells, Cell) else cells


def width_of(cells: Iterable[Cell]) -> int:
    """Terminal cells that pieces of text take side by side."""
    return sum(cell_len(cell.text) for cell in cells)


def segments(cells: Cells, width: int, style_of: StyleOf, *, right: bool = False) -> list[Segment]:
    """Pieces of text in exactly ``width`` terminal cells, the last one cut where needed."""
    if isinstance(cells, Cell):
        return [Segment(fit(cells.text, width, right=right), style_of(cells.tone))]
    out: list[Segment] = []
    room = width
    if right and (spare := width - width_of(cells)) > 0:
        out.append(Segment(" " * spare, style_of("")))
        room -= spare
    for cell in cells:
        if room <= 0:
            break
        # What has many times more characters than there is room for is cut unmeasured.
        length = cell_len(cell.text) if len(cell.text) <= 4 * room + 100 else room + 1
        text = cell.text if length <= room else fit(cell.text, room)
        out.append(Segment(text, style_of(cell.tone)))
        room -= min(length, room)
    if room > 0:
        out.append(Segment(" " * room, style_of("")))
    return out


def two_sided(
    left: tuple[Cell, ...], right: tuple[Cell, ...], width: int, style_of: StyleOf
) -> Strip:
    """A line with text at both ends; where it gets tight the right end stays whole."""
    right_width = min(width_of(right), width)
    line = segments(left, width - right_width, style_of)
    line += segments(right, right_width, style_of)
    return Strip(line, width)


def tone_style(widget: Widget, tone: Tone) -> Style:
    """The style of a tone on a widget that has `TONE_CLASSES` among its component classes.

    It takes a tenth of a millisecond to work out: keep it until `notify_style_update`.
    """
    if not tone:
        return widget.rich_style
    return widget.rich_style + widget.get_component_rich_style(f"tone--{tone}", partial=True)


class ToneWidget(Widget):
    """A widget drawn line by line with tones."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES}
    DEFAULT_CSS = tone_css("ToneWidget")

    def __init__(self, *, id: str | None = None) -> None:
        self._tones: dict[Tone, Style] = {}
        super().__init__(id=id)

    def notify_style_update(self) -> None:
        """Another theme or state: other styles."""
        super().notify_style_update()
        self._tones.clear()

    def style_of(self, tone: Tone) -> Style:
        """The style of a tone on this widget."""
        if tone not in self._tones:
            self._tones[tone] = tone_style(self, tone)
        return self._tones[tone]
