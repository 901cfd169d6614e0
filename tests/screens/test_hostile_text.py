"""Texts that people, strategies and exchanges gave, at their worst, on every screen and dialog."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import fields, is_dataclass, replace
from itertools import cycle
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from textual.command import CommandList, CommandPalette
from textual.pilot import Pilot
from textual.widget import Widget

from console.app import SignaldeckApp
from console.trouble import Trouble
from console.views import InstanceDetail
from screens.detail import DetailDialog
from screens.export import exported
from screens.sample import SampleHost, frozen_clock, instance_detail, snapshot
from screens.signals import SignalsScreen
from screens.trouble import TroubleScreen
from screens.widgets.line_table import LineTable
from screens.widgets.text_view import TextView
from tests.screens.album import Painting
from tests.screens.album import painting as painting
from tests.screens.bed import LARGE, SMALL
from tests.screens.tour import visit

CODES = (
    "instance_id run_id signal_id mode action status flags position side level kind metric "
    "interval frame_interval frame_intervals start end badge"
)
"""Fields that only the engine writes, from words of its own."""

PIECES = st.sampled_from(
    ["[red]", "[/]", "[b", "]]", "$error", "\\[", "%s", "{pane.next}", "🚀", "👩\u200d👧", "均线",
     "e\u0301", "\u202e", "\u200f", "שלום", "\x1b[31m", "\x1b]52;c;eA==\x07", "\x9b2J", "\t",
     "\r\n", "\n", "\x00", "\x7f", "\ud800", "x" * 10_000, "界" * 5_000, "\u0301" * 10_000]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=20), min_size=1, max_size=6).map("".join)
WORST = (
    "\x1b[31m[red]均线🚀\u202e\t\x07",
    "[/]\r\n\x9b2J" + "界" * 5_000,
    "\u0301" * 10_000 + "[b\ud800|\\",
    "",
    "%s\\[{pane.next}$error",
)
MARKUP = "[/][$error][b"


def spoiled(value: Any, texts: Iterator[str], seen: dict[int, Any]) -> Any:
    """The same value, with one of the texts before every text that others may write."""
    if id(value) in seen:
        return seen[id(value)][1]
    new = value
    if type(value) is str:
        new = next(texts) + value
    elif isinstance(value, tuple):
        new = tuple(spoiled(item, texts, seen) for item in value)
    elif isinstance(value, Mapping):
        new = {key: spoiled(item, texts, seen) for key, item in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        changes = {
            part.name: spoiled(getattr(value, part.name), texts, seen)
            for part in fields(value)
            if part.init and part.name not in CODES.split()
        }
        new = replace(value, **changes)
    if new is not value and not isinstance(value, str):
        seen[id(value)] = (value, new)
    return new


class SpoiledHost(SampleHost):
    """Serves the sample with the texts in it, and refuses with them."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._spoil: Callable[[Any], Any] = lambda value: spoiled(value, texts, {})
        super().__init__(self._spoil(snapshot()))
        self.about = self._spoil(self.about)

    def instance_detail(self, run_id: str, interval: str) -> Future[InstanceDetail]:
        views = {view.instance_id: view for view in self.snapshot.instances}
        answer: Future[InstanceDetail] = Future()
        answer.set_result(self._spoil(instance_detail(views[run_id], interval)))
        return answer


def check(app: SignaldeckApp, name: str) -> None:
    """The lines of every widget fill it, and nothing in them is for the terminal."""
    for widget in app.screen.query(Widget):
        # Textual's own widgets are filled up while the screen is put together.
        ours = type(widget).__module__.startswith("screens.") and not widget.children
        for y in range(widget.size.height if ours and widget.region.area else 0):
            strip = widget.render_line(y)
            assert strip.cell_length == widget.size.width, (name, widget, y, strip.text)
    for strip in app.screen._compositor.render_strips():  # pyright: ignore[reportPrivateUsage]
        assert strip.cell_length == app.size.width, (name, strip.text)
        assert strip.text.isprintable(), (name, strip.text)


def check_files(table: LineTable[Any]) -> None:
    """Programs read an exported table as what it shows, whatever its cells hold."""
    titles = [" ".join(title.split()) for title in table.row_text(None).split("\t")]
    cells = [table.row_text(row).split("\t") for row in table.rows]
    assert all(len(row) == len(titles) and "".join(row).isprintable() for row in cells), table
    lines = list(csv.reader(io.StringIO(exported(table, "csv"), newline=""), strict=True))
    assert [len(line) for line in lines] == [len(titles)] * (len(cells) + 1), table
    read = json.loads(exported(table, "json"))
    assert [len(line) for line in read] == [len(titles)] * len(cells), table
    if not isinstance(table, TextView):
        drawn = exported(table, "markdown").splitlines()
        bars = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in drawn]
        assert bars == [len(titles) + 1] * (len(cells) + 2), table


async def look_at_all(texts: tuple[str, ...], size: tuple[int, int], painting: Painting) -> None:
    """Large the short way; small the whole way, and all that can be done on it."""
    host = SpoiledHost(cycle(texts))
    app = SignaldeckApp(host, frozen_clock=frozen_clock)
    whole = size == SMALL
    written: set[str | None] = set()
    async with app.run_test(size=size, notifications=True) as pilot:
        async for stop in visit(app, pilot, short=not whole):
            await painting.at_rest(pilot)
            check(app, stop.name)
            if whole and isinstance(app.screen, DetailDialog):
                await pilot.press("y")
                assert app.clipboard.replace("\n", "").isprintable()
            for table in app.screen.query(LineTable) if whole else ():
                if table.id not in written and table.rows:
                    written.add(table.id)
                    check_files(table)
        if whole:
            assert len(written) > 15
            await look_up(app, pilot, painting, texts)
        await refuse(app, host, pilot, texts[0])
        app.push_screen(TroubleScreen(app.context, Trouble("3f9a61", "Deck", texts[0], texts[1])))
        await painting.at_rest(pilot)
        check(app, "trouble")


async def look_up(
    app: SignaldeckApp, pilot: Pilot[None], painting: Painting, texts: tuple[str, ...]
) -> None:
    """The palette, whose sentences name runs; expressions, typed or of a line; a notice."""
    host = app.host
    assert isinstance(host, SampleHost)
    first, *others = host.snapshot.instances
    named = replace(first, strategy_name=MARKUP)
    host.swap(replace(host.snapshot, instances=(named, *others)), "instances")
    await pilot.press("ctrl+p")
    await painting.at_rest(pilot)
    assert isinstance(app.screen, CommandPalette)
    check(app, "palette")
    listed = app.screen.query_one(CommandList).options
    assert any(MARKUP in str(option.prompt) for option in listed)
    await pilot.press("escape", "2", "j", "f")
    signals = app.screen
    assert isinstance(signals, SignalsScreen)
    for text in ("", *texts, f"symbol:{texts[0]}"):
        signals.bar.text = text or signals.bar.text
        await painting.at_rest(pilot)
        check(app, f"searched for {text[:20]!r}")
    signals.bar.text = ""
    await pilot.press("g", "1")
    host.swap(host.snapshot, notice=host.snapshot.feed[1])
    await painting.at_rest(pilot)
    check(app, "notice")


async def refuse(app: SignaldeckApp, host: SpoiledHost, pilot: Pilot[None], text: str) -> None:
    """An answer of the host that is a toast."""
    host.refusal = text
    await pilot.press("x", "y")
    await pilot.pause()
    check(app, "toast")


@given(texts=st.lists(TEXTS, min_size=4, max_size=9).map(tuple), size=st.just(LARGE))
@example(texts=WORST, size=SMALL)
@settings(
    max_examples=1, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
async def test_no_text_breaks_a_screen(
    painting: Painting, texts: tuple[str, ...], size: tuple[int, int]
) -> None:
    await look_at_all(texts, size, painting)
