"""Executes strategy files: by path, afresh, under a private name, and never on ``sys.path``."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final
from uuid import uuid4

PREFIX: Final = "_signaldeck_strategy_"
"""What the module names of strategy files begin with."""


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """What a strategy file registered, or why it could not be loaded.

    Attributes:
        sha256: hash of the file's bytes (hex), "" when it could not be read.
        components: names by kind: ``{"strategy": ("sma-cross",), ...}``.
        error: ``file:line: message``, "" when all went well.
    """

    path: Path
    sha256: str = ""
    components: tuple[tuple[str, str], ...] = ()
    error: str = ""

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of one kind that this file registered."""
        return tuple(name for each, name in self.components if each == kind)


def file_of(files: Iterable[LoadedFile], strategy_name: str) -> LoadedFile | None:
    """The file that registered a strategy, None for one that was registered in code."""
    return next((file for file in files if strategy_name in file.names("strategy")), None)


def execute(path: Path, registered: Callable[[], tuple[tuple[str, str], ...]]) -> LoadedFile:
    """Run a strategy file and report what it registered.

    Args:
        path: the file.
        registered: the (kind, name) pairs registered so far, asked before and after.

    Returns:
        The result; a broken file is an ``error`` in it, never an exception.
    """
    before = set(registered())
    digest = ""
    try:
        source = path.read_bytes()
        digest = hashlib.sha256(source).hexdigest()
        code = compile(source, str(path), "exec", dont_inherit=True)
        name = f"{PREFIX}{uuid4().hex}"
        module = ModuleType(name)
        module.__file__ = str(path)
        # Dataclasses and pickling look a module up by name while its body runs.
        sys.modules[name] = module
        exec(code, module.__dict__)
    except Exception as error:
        return LoadedFile(path, digest, error=_describe(path, error))
    except SystemExit as error:
        return LoadedFile(path, digest, error=f"{path}: calls exit({error.code}) when loaded")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return LoadedFile(path, digest, error=_describe(path, error))
    new = tuple(item for item in registered() if item not in before)
    return LoadedFile(path, digest, new)


def _describe(path: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{path}:{error.lineno}: {type(error).__name__}: {error.msg}"
    if isinstance(error, OSError):
        return f"{path}: cannot be read: {error.strerror or error}"
    line: int | None = None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path):
            line = frame.lineno
    where = f"{path}:{line}" if line is not None else str(path)
    first = (str(error) or type(error).__name__).splitlines()[0]
    return f"{where}: {type(error).__name__}: {first}"
