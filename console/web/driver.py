"""What a viewer process draws through: Textual's web driver, with a sign of life added.

The driver talks in packets on standard output and has none that says "I still turn". With one a
second, a viewer whose interface hangs falls silent and the server can end it; and a viewer whose
server is gone notices. A page that has the focus from its first moment keeps it: the driver takes
every page for one that was not gone to yet.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final

from textual.drivers.web_driver import WebDriver
from textual.events import AppFocus

BEAT_SECONDS: Final = 1.0
"""How often a sign of life is given."""


class ViewerDriver(WebDriver):
    """Draws on a page in a browser."""

    _focused = False

    def start_application_mode(self) -> None:
        """Begin to draw, and to give signs of life."""
        super().start_application_mode()
        # The driver has only asked for its blur to be sent, so this is looked at behind it.
        self._app.call_later(self._focus_again)
        self._beat(asyncio.get_running_loop())

    def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
        """What the page tells; called on the thread that reads."""
        if packet_type in ("focus", "blur"):
            self._focused = packet_type == "focus"
        super().on_meta(packet_type, payload)

    def _focus_again(self) -> None:
        if self._focused:
            self._app.post_message(AppFocus())

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.exit_event.is_set():
            return
        try:
            self.write_meta({"type": "alive"})
        except OSError:
            os.kill(os.getpid(), signal.SIGTERM)  # Nobody reads: leave as when asked to.
        else:
            loop.call_later(BEAT_SECONDS, self._beat, loop)
