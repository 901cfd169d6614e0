"""What stays of widgets that are gone."""

from __future__ import annotations

import gc
import weakref

from textual.app import App
from textual.widgets import Static

from console.textual_memory import let_go_of_removed_widgets


async def test_a_removed_widget_leaves_nothing_behind() -> None:
    let_go_of_removed_widgets()
    app = App[None]()
    async with app.run_test() as pilot:
        widget = Static("some words")
        widget.styles.border = ("round", "red")
        await app.mount(widget)
        await pilot.pause()
        drawn = weakref.ref(widget._styles_cache)  # pyright: ignore[reportPrivateUsage]
        assert drawn() is not None
        await widget.remove()
        del widget
        # One that follows: what was drawn last is kept until something else is.
        await app.mount(Static("other words"))
        await pilot.pause()
        gc.collect()
        assert drawn() is None
