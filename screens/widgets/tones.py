"""The few tones that text on a Line-API widget can have, and the styles they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.dom import DOMNode
from textual.strip import Strip
from textual.widget import Widget

from screens.text import fit
from screens.widgets.whole_lines import WholeLines

Tone: TypeAlias = Literal["", "muted", "strong", "gain", "loss", "warn", "accent", "alarm", "badge"]
"""What a piece of text means; the theme says how that looks."""

TONES: Final[tuple[Tone, ...]] = (
    "muted", "strong", "gain", "loss", "warn", "accent", "alarm", "badge",
)  # fmt: skip


def tone_css(widget: str) -> str:
    """The style rules of every tone, for a widget class of that name with `PieceStyles`."""
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
    room = width - right_width
    # What has to be cut ends before the right end begins.
    gap = min(2, room) if right and width_of(left) > room else 0
    line = [*segments(left, room - gap, style_of), *segments(Cell(""), gap, style_of)]
    line += segments(right, right_width, style_of)
    return Strip(line, width)


class PieceStyles:
    """The styles that the pieces of a widget are drawn with, by the style sheet's class names.

    Each is worked out when it is first drawn with, which is why they are no component classes:
    Textual works out all of those whenever anything about a widget changes, most of them for
    nothing, and then draws all of the widget.

    Args:
        widget: whose pieces they are.
    """

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._alone: dict[str, Style] = {}
        self._whole: dict[str, Style] = {}

    def alone(self, name: str) -> Style:
        """What the style sheet says about pieces of that class, and nothing of the widget's."""
        known = self._alone.get(name)
        if known is None:
            node = DOMNode(classes=name)
            # As Textual does for component classes; there is no public way to the same end.
            node._attach(self._widget)  # pyright: ignore[reportPrivateUsage]
            self._widget.app.stylesheet.apply(node)
            known = self._alone[name] = node.styles.partial_rich_style
        return known

    def whole(self, name: str) -> Style:
        """The widget's own style with that of pieces of a class, "" for no class."""
        known = self._whole.get(name)
        if known is None:
            known = self._widget.rich_style
            known = self._whole[name] = known + self.alone(name) if name else known
        return known

    def tone(self, tone: Tone) -> Style:
        """The style of a tone."""
        return self.whole(f"tone--{tone}" if tone else "")

    def renew(self) -> bool:
        """The style sheet or the widget's state is another: whether that is to be seen."""
        alone, self._alone = self._alone, {}
        whole, self._whole = self._whole, {}
        return any(self.alone(name) != style for name, style in alone.items()) or any(
            self.whole(name) != style for name, style in whole.items()
        )


class ToneWidget(Widget):
    """A widget drawn line by line with tones."""

    ALLOW_SELECT = False
    DEFAULT_CSS = tone_css("ToneWidget")

    def __init__(self, *, id: str | None = None) -> None:
        self.pieces = PieceStyles(self)
        super().__init__(id=id)
        self._styles_cache = WholeLines()

    def notify_style_update(self) -> None:
        """Another theme or state: perhaps other styles."""
        super().notify_style_update()
        if self.pieces.renew():
            self.refresh()

    def style_of(self, tone: Tone) -> Style:
        """The style of a tone on this widget."""
        return self.pieces.tone(tone)
