"""The demo with a Log screen that fails when it is opened, for `test_robustness`.

Usage: failing_console.py STATE ON_TERMINAL_LOSS
"""

from __future__ import annotations

import sys

from console import supervisor
from console.preferences import ConsoleSection
from screens.log import LogScreen


def fail(screen: LogScreen) -> None:
    raise ZeroDivisionError("nobody has divided by nothing before")


if __name__ == "__main__":
    LogScreen.after_follow = fail  # type: ignore[method-assign]
    supervisor.DEMO_CONSOLE = ConsoleSection.model_validate(  # type: ignore[misc]
        {"on_terminal_loss": sys.argv[2]}
    )
    sys.exit(supervisor.open_demo(None, sys.argv[1]))
