"""What this program is and where its files are, for the information screen and for questions."""

from __future__ import annotations

import os
import platform
import sqlite3
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from console.logs import log_place
from console.settings import Project

MEMORY: Final = ":memory:"
"""The name of a state that ends with the process."""

_PACKAGES: Final = ("textual", "ccxt", "numpy", "pydantic")


@dataclass(frozen=True, slots=True)
class About:
    """A host's files and versions.

    Attributes:
        state: the state file, or `MEMORY`.
        files: what else is where, by name.
        versions: of the program and of what it is made with, by name.
    """

    state: str
    files: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()

    @property
    def keeps(self) -> bool:
        """Whether what live runs hold is there at the next start."""
        return self.state != MEMORY


def about(state: str, project: Project | None = None) -> About:
    """What a process with that state file uses."""
    files = [("log", log_place())]
    if project is not None:
        files += [("strategies", project.strategies), ("candle cache", project.cache)]
    found = [("signaldeck", _version("signaldeck")), ("Python", platform.python_version())]
    found += [(name, _version(name)) for name in _PACKAGES]
    found += [("SQLite", sqlite3.sqlite_version), ("process", str(os.getpid()))]
    return About(state, tuple(files), tuple(found))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
