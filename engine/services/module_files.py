"""Files of generated modules: named after what they are for, written whole, executed by nobody."""

from __future__ import annotations

import os
import re
from itertools import count
from pathlib import Path
from typing import Final

from engine.reports.files import write_whole

_NOT_IN_NAMES: Final = re.compile(r"\W+", re.ASCII)
_LONGEST: Final = 100


def module_path(path: str | os.PathLike[str], optimizer_name: str, symbol: str) -> Path:
    """Where a module goes: ``path`` itself when it ends in ``.py``, else a file in that folder.

    The file's name is ``{optimizer_name}_{symbol}.py`` with every other character than letters,
    digits and underscores replaced, so that it can be imported.
    """
    target = Path(path).expanduser()
    if target.suffix == ".py":
        return target.absolute()
    name = _NOT_IN_NAMES.sub("_", f"{optimizer_name}_{symbol}")[:_LONGEST]
    name = f"_{name}" if name[:1].isdecimal() else name
    return (target / f"{name}.py").absolute()


def free_path(path: Path) -> Path:
    """``path``, or the first of ``name_2.py``, ``name_3.py``, ... where there is no file yet."""
    if not path.exists():
        return path
    numbered = (path.with_stem(f"{path.stem}_{number}") for number in count(2))
    return next(each for each in numbered if not each.exists())


def write_module(code: str, path: Path) -> Path:
    """Write a module as UTF-8, whole or not at all, creating the folders on the way.

    Raises:
        EngineError: it could not be written; an existing file is then unchanged.
    """
    return write_whole("module", code, path)
