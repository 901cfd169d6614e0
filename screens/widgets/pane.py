"""Titled panes that stand together where there is room and take turns where there is none.

On a short terminal the stack is an accordion: every title stays in sight, one pane is open, and the
key for the next pane opens the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.strip import Strip
from textual.widget import Widget

from screens.spelling import spell
from screens.widgets.tones import Cell, ToneWidget, two_sided
from screens.widgets.whole_lines import WholeLines

SHORT: Final = 30
"""Terminal lines below which a stack becomes an accordion."""

NARROW: Final = 110
"""Terminal columns below which panes never stand side by side."""


LEAST: Final = 7
"""Lines of a pane below which panes that stand above each other become an accordion."""


class PaneTitle(ToneWidget):
    """The line above a pane: its name, how much is in it, and a remark at the right."""

    DEFAULT_CSS = """
    PaneTitle {
        height: 1;
        background: $background;
        color: $foreground;
    }
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._note = ""
        self._remark: tuple[Cell, ...] = ()
        self._live = False
        self._folded = False

    def update(
        self,
        *,
        note: str | None = None,
        remark: tuple[Cell, ...] | None = None,
        live: bool | None = None,
        folded: bool | None = None,
    ) -> None:
        """Change what is given; draws only when something differs."""
        before = (self._note, self._remark, self._live, self._folded)
        self._note = self._note if note is None else note
        self._remark = self._remark if remark is None else remark
        self._live = self._live if live is None else live
        self._folded = self._folded if folded is None else folded
        if before != (self._note, self._remark, self._live, self._folded):
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The one line."""
        mark = "▸" if self._folded else "▾"
        left = (
            Cell(f"{mark} {self._title}", "accent" if self._live else "strong"),
            Cell(f"  {self._note}", "muted"),
        )
        right = (
            (Cell(spell(self, "{pane.next} opens it "), "muted"),) if self._folded else self._remark
        )
        return two_sided(left, right, self.size.width, self.style_of)


class Pane(Vertical):
    """A title and one widget that can have the focus.

    Args:
        title: its name.
        body: what it holds.
        counts: the title tells how many lines the body has, which is kept up while it is folded.
    """

    DEFAULT_CSS = """
    Pane { height: 1fr; }
    """

    def __init__(
        self, title: str, body: Widget, *, counts: bool = False, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self._styles_cache = WholeLines()
        self.counts = counts
        self.title = PaneTitle(title)
        self.body = body

    def compose(self) -> ComposeResult:
        """Title above body."""
        yield self.title
        yield self.body

    def fold(self, folded: bool) -> None:
        """Show the title alone, or all of it; said again, it would draw the whole screen."""
        if self.body.display is folded:
            self.body.display = not folded
            self.styles.height = 1 if folded else None
            self.title.update(folded=folded)

    def limit(self, lines: int | None) -> None:
        """Be so tall at most; to set what is set already would draw the whole screen."""
        before = self.styles.max_height
        if (None if before is None else before.value) != lines:
            self.styles.max_height = lines

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The title shows where the keys go."""
        self.title.update(live=True)

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """The keys go elsewhere."""
        self.title.update(live=False)

    def on_click(self, event: events.Click) -> None:
        """A click on the title of a folded pane opens it."""
        stack = self.parent
        if isinstance(stack, PaneStack) and not self.body.display:
            stack.open(self)


class PaneStack(Container):
    """Panes from top to bottom; an accordion where the terminal is short.

    Args:
        panes: top to bottom.
        accordion: False keeps all of them open on any terminal.

    The classes ``-short`` and ``-narrow`` let a screen's style sheet arrange the panes.
    """

    DEFAULT_CSS = """
    PaneStack { height: 1fr; layout: vertical; }
    """

    def __init__(
        self, panes: Sequence[Pane], *, accordion: bool = True, id: str | None = None
    ) -> None:
        super().__init__(*panes, id=id)
        self._styles_cache = WholeLines()
        self._panes = tuple(panes)
        self._accordion = accordion
        self._open = self._panes[0]

    @property
    def panes(self) -> tuple[Pane, ...]:
        """The panes in order."""
        return self._panes

    @property
    def short(self) -> bool:
        """Whether only one pane is open at a time."""
        return self.has_class("-short")

    def open(self, pane: Pane) -> None:
        """Give a pane the focus, unfolding it where it is folded."""
        self._open = pane
        self._arrange()
        self.screen.set_focus(pane.body)

    def step(self, by: int) -> None:
        """Open the pane so many places further on."""
        place = self._panes.index(self.current)
        self.open(self._panes[(place + by) % len(self._panes)])

    @property
    def current(self) -> Pane:
        """The pane with the focus, or the one that had it last."""
        focused = self.screen.focused if self.is_attached else None
        for pane in self._panes:
            if focused is not None and (pane is focused or pane in focused.ancestors):
                return pane
        return self._open

    def resized(self, width: int, height: int) -> None:
        """Arrange the panes for a terminal of that size."""
        self._open = self.current
        crowded = width < NARROW and height < LEAST * len(self._panes) + 4
        short = self._accordion and (height < SHORT or crowded)
        classes = {"-short": short, "-narrow": width < NARROW}
        self.update_classes(classes, update=self.is_attached)
        self._arrange()

    def _arrange(self) -> None:
        if self._accordion:
            for pane in self._panes:
                pane.fold(self.short and pane is not self._open)


if __name__ == "__main__":
    from screens.alone import show_alone
    from screens.widgets.choice import Choice

    first = Pane("Upper", Choice(("one", "two"), "one"))
    second = Pane("Lower", Choice(("three", "four"), "three"))
    stack = PaneStack([first, second])
    show_alone(stack, lambda: stack.resized(80, 24))
