"""How a command ends: an exit status, and one clear message on stderr when it failed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from console.logs import log_path, open_log
from console.run_requests import RequestError
from console.settings import ConfigError
from engine.domain.errors import EngineError

FAILED = 1
"""Exit status of a command that was understood and did not succeed."""

BAD_USAGE = 2
"""Exit status of a command that cannot be carried out as written."""


class UsageProblem(EngineError):
    """Options that cannot be used as given."""


def say(text: str) -> None:
    """Narrate on stderr; stdout is data."""
    print(text, file=sys.stderr)


@dataclass(slots=True)
class Ending:
    """How a command ended; `reporting` exits with its status."""

    status: int = 0


@contextmanager
def reporting() -> Generator[Ending]:
    """Turn every failure inside into a message and an exit status, never a traceback."""
    ending = Ending()
    try:
        yield ending
        # What was printed has to reach its reader before the command is a success.
        sys.stdout.flush()
    except (UsageProblem, RequestError, ConfigError) as error:
        say(f"signaldeck: {error}")
        raise typer.Exit(BAD_USAGE) from None
    except EngineError as error:
        say(f"signaldeck: {error}")
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        say("signaldeck: interrupted")
        raise typer.Exit(FAILED) from None
    except BrokenPipeError:
        # The reader of stdout left (``| head``); what Python flushes at exit must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILED) from None
    except Exception as error:
        where = "" if (problem := open_log()) else f"; details are in {log_path()}"
        logging.getLogger("signaldeck").exception("internal error")
        say(f"signaldeck: internal error: {type(error).__name__}: {error}{where}{problem}")
        raise typer.Exit(FAILED) from None
    if ending.status:
        raise typer.Exit(ending.status)
