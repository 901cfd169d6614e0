"""A part of a screen that is bound to topics of the snapshot and drawn when one of them moved."""

from __future__ import annotations

from typing import ClassVar

from console.views import DeckSnapshot


class Panel:
    """Mixed into a widget; its screen calls the two methods while the widget is visible.

    Attributes:
        topics: counters of `console.views.Versions` the panel is drawn from.
    """

    topics: ClassVar[tuple[str, ...]] = ()

    def show(self, snapshot: DeckSnapshot) -> None:
        """Draw a snapshot in which one of the topics moved."""
        raise NotImplementedError

    def tick(self) -> None:
        """A second has passed; redraw what counts time."""
