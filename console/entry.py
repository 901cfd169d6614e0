"""The installed command: kept tiny, because worker processes import the main module again."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path


def main() -> None:
    """Run ``signaldeck`` and exit with its status."""
    keep_out_working_directory()
    from console.cli import run

    gc.freeze()  # what the imports made stays: looking at it costs a fifth of a second at the end
    sys.exit(run(sys.argv[1:]))


def keep_out_working_directory() -> None:
    """Make sure that no file lying in the working directory is imported in place of ours.

    ``python -m`` and ``python -c`` put the working directory first on ``sys.path``; the second is
    how helper processes are started, and the environment variable reaches all of them.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    ours = Path(__file__).resolve().parent.parent
    try:
        here = Path.cwd()
    except OSError:
        return  # The folder was deleted: nothing can be imported from it.
    if here != ours:
        first = [path for path in sys.path[:1] if path and Path(path).resolve() != here]
        sys.path[:] = first + [path for path in sys.path[1:] if path]
