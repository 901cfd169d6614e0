"""The demo with a Log screen that fails when it is opened, for `test_robustness`.

Usage: failing_console.py STATE ON_TERMINAL_LOSS, or STATE read-only
"""

from __future__ import annotations

import logging
import sys
import threading

from console import supervisor
from console.preferences import ConsoleSection
from screens.log import LogScreen


def leave_with_an_error() -> None:
    raise RuntimeError("a thread of a library has failed")


def fail(screen: LogScreen) -> None:
    logging.getLogger("library").warning("a library is not content")
    threading.Thread(target=leave_with_an_error).start()
    raise ZeroDivisionError("nobody has divided by nothing before")


if __name__ == "__main__":
    LogScreen.after_follow = fail  # type: ignore[method-assign]
    if sys.argv[2] == "read-only":
        sys.exit(supervisor.follow_demo(sys.argv[1]))
    supervisor.DEMO_CONSOLE = ConsoleSection.model_validate(  # type: ignore[misc]
        {"on_terminal_loss": sys.argv[2]}
    )
    sys.exit(supervisor.open_demo(None, sys.argv[1]))
