"""One line that says what a screen is about."""

from __future__ import annotations

from textual.strip import Strip

from screens.widgets.tones import Cell, ToneWidget, two_sided


class TitleLine(ToneWidget):
    """Text at the left, a remark at the right."""

    DEFAULT_CSS = """
    TitleLine {
        height: 1;
        background: $panel;
        color: $foreground;
    }
    """

    def __init__(self, left: tuple[Cell, ...], right: tuple[Cell, ...] = ()) -> None:
        super().__init__()
        self._left = left
        self._right = right

    def update(self, left: tuple[Cell, ...], right: tuple[Cell, ...] = ()) -> None:
        """Say something else; draws only when it differs."""
        if (left, right) != (self._left, self._right):
            self._left, self._right = left, right
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The one line."""
        return two_sided(self._left, self._right, self.size.width, self.style_of)


if __name__ == "__main__":
    from screens.alone import show_alone

    show_alone(TitleLine((Cell(" sma-cross  BTCUSDT", "strong"),), (Cell("stopped ", "warn"),)))
