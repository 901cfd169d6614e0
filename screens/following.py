"""What a console that only follows says where it has nothing to show.

Some of what a screen is about is in no state file, and nothing can be started here: an empty table
must not tell the operator that there is none of it, nor which key would make one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final

from textual.widget import Widget

from screens.widgets.line_table import LineTable

_THERE: Final = "look where the runs are running"

EMPTY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "instances": "no live run in {file}, which is what this console follows",
        "running": "backtests are in {file} once they have finished: running ones are not seen",
        "finished": "no backtest has finished yet in {file}",
        "walkers": "no walker has finished yet in {file}: running ones are not seen",
        "optimizers": f"optimizers are not in {{file}}: {_THERE}",
        "profiles": f"risk profiles are not in {{file}}: {_THERE}",
        "holdings": f"who holds which slot is not in {{file}}: {_THERE}",
        "timings": f"measurements are not in {{file}}: {_THERE}",
        "load": f"measurements are not in {{file}}: {_THERE}",
        "log": "the log is not in {file}: read the file named above",
    }
)
"""Id of a table to what it says while it is empty; ``{file}`` is the state file's name."""


def word_empty_tables(screen: Widget, state: str) -> None:
    """Give the tables of a screen the words of a console that follows that state file."""
    # A name may hold anything, also what would be read as the name of a key.
    file = PurePath(state).name.replace("{", "(").replace("}", ")")
    for table in screen.query(LineTable[Any]):
        if words := EMPTY.get(table.id or ""):
            table.set_empty(words.replace("{file}", file))
