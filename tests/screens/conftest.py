"""What the apps of all these tests share: style sheets that are read once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from textual.css.stylesheet import Stylesheet


@pytest.fixture(scope="session", autouse=True)
def style_sheets_are_read_once() -> Iterator[None]:
    """Reading them is a third of a start, and an app of the next test has the same."""
    read: dict[tuple[Any, ...], Any] = {}
    really_read = Stylesheet._parse_rules

    def parse_rules(self: Stylesheet, css: str, read_from: Any, *more: Any, **named: Any) -> Any:
        colours = frozenset(self._variables.items())
        key = (colours, css, read_from, more, *named.items())
        if key not in read:
            read[key] = really_read(self, css, read_from, *more, **named)
        return read[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", parse_rules)
        yield


@pytest.fixture(scope="session", autouse=True)
def idleness_is_noticed_sooner() -> Iterator[None]:
    """A pilot looks three times per key whether the app is idle, each time for a little more than a
    frame; both are less than a third here of what they are.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textual.screen.UPDATE_PERIOD", 0.004)
        patch.setattr("textual._wait.SLEEP_GRANULARITY", 0.006)
        patch.setattr("textual._wait.SLEEP_IDLE", 0.0003)
        yield
