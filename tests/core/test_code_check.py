"""What generated code may and may not hold."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import engine
from engine.core.code_check import ALLOWED, problems_of

REFUSED = {
    # imports
    "import os": "imports os",
    "import os.path as math": "imports os.path",
    "from os import system": "imports from os",
    "from . import engine": "imports from .",
    "from engine.runtime import Engine": "imports from engine.runtime",
    "from engine import Engine": "imports Engine from engine",
    "from engine import Live": "imports Live from engine",
    "from engine import *": "imports * from engine",
    "import collections.abc": "by its path",
    "from asyncio import create_subprocess_shell": "imports create_subprocess_shell",
    "from typing import get_type_hints": "imports get_type_hints",
    # the names of allowed modules
    "import asyncio\nasyncio.create_subprocess_shell('true')": "asyncio.create_subprocess_shell",
    "import json\njson.codecs.open('x')": "json.codecs",
    "import json as j\nj.decoder": "json.decoder",
    "import math\nmath.__loader__": "math.__loader__",
    "import asyncio\nx = asyncio\nx.subprocess": "asyncio as a value",
    "import asyncio\nf = [asyncio][0].subprocess": "asyncio as a value",
    # the engine's own program
    "from engine import current_engine\ncurrent_engine().load_file('x')": "current_engine for more",
    "from engine import current_engine as e\ne().store": "renames current_engine",
    "import engine\nengine.current_engine()": "engine.current_engine",
    "import engine\nengine.runtime.Engine()": "engine.runtime",
    # builtins and internals
    "eval('1')": "builtin eval",
    "exec('1')": "builtin exec",
    "run = exec\nrun('1')": "builtin exec",
    "compile('1', '', 'eval')": "builtin compile",
    "open('x')": "builtin open",
    "getattr(1, 'real')": "builtin getattr",
    "type(1)": "builtin type",
    "vars()": "builtin vars",
    "input()": "builtin input",
    "breakpoint()": "builtin breakpoint",
    "__import__('os')": "uses __import__",
    "__builtins__['eval']": "uses __builtins__",
    "x = __file__": "uses __file__",
    "().__class__.__base__.__subclasses__()": "attribute __subclasses__",
    "(lambda: 1).__globals__": "attribute __globals__",
    "int.mro()": ".mro",
    "(i for i in ()).gi_frame.f_builtins": ".gi_frame",
    "'{0.__class__}'.format(1)": "any attribute",
    "'{x.__class__}'.format_map({})": "any attribute",
    "match 1:\n    case int(__class__=c):\n        print(c)": "matches the attribute __class__",
    "class A:\n    def f(self):\n        return self._secret": "private attribute _secret",
    "def f():\n    global x\n    x = 1": "uses global",
    # code that would fail, or is not what it looks like
    "def f(:": "line 1",
    "x = (1,": "never closed",
    "x = '\\d'": "invalid escape",
    "x = 1 is 1": "literal",
    "\0": "null bytes",
    "x = y\ny = 1": "y is used before it is defined",
    "def f():\n    return missing": "missing is not defined",
    "f'{missing}'": "missing is not defined",
    "class A:\n    x = missing": "missing is not defined",
    "@missing\ndef f(): ...": "missing is not defined",
    "def f(x=later): ...\nlater = 1": "later is used before",
    "def f(): ...\ndef f(): ...": "f is defined a second time",
    "x = '\N{RIGHT-TO-LEFT OVERRIDE}'": "invisible character U+202E",
    "x = 1 # \N{ZERO WIDTH SPACE}": "invisible character U+200B",
    "x = " + "(" * 300 + ")" * 300: "nested",
    "x = " + "-" * 50_000 + "1": "cannot be compiled",
    "x = 1\n" * 200_000: "larger than",
}

FINE = (
    "",
    "import math\nprint(math.sqrt(2), math.pi)",
    "from math import sqrt as root",
    "import engine\nengine.add_frame",
    "from engine import Signal, get_candles\nfrom engine.sync import get_candles as plain",
    "from collections.abc import Callable\nfrom dataclasses import dataclass, replace",
    "import re\nPATTERN = re.compile('x')",
    "def f(a, *b, c=1, **d):\n    return [a + x for x in b if (y := x)] and y + c, d",
    "def outer():\n    n = 0\n    def f():\n        nonlocal n\n        n += 1\n    return f",
    "class A:\n    x = 1\n    def f(self) -> 'A':\n        return A()\n",
    "try:\n    x = 1\nexcept ValueError as error:\n    print(error)\nprint(x)",
    "match 1:\n    case [a, *b]:\n        print(a, b)\n    case {'k': v, **r}:\n        print(r)",
    "def later():\n    return LIMIT\nLIMIT = 1\nlater()",
    "if __name__ == '__main__':\n    print(1)",
    "x = [open_ for open_ in (1, 2)]\nprint(f'{x!r:>{10}}', *x)",
    "x: int = 1\ny = lambda z: z + x\nprint(y(1))",
    "from engine import current_engine\nasync def f():\n    async with current_engine(): ...",
    "text = 'import os; __import__ .format( eval('",
)


@pytest.mark.parametrize("code", REFUSED, ids=lambda code: repr(code[:40]))
def test_refused(code: str) -> None:
    problems = problems_of(code)
    assert any(REFUSED[code] in problem for problem in problems), problems
    assert all(problem.startswith("line ") for problem in problems)


@pytest.mark.parametrize("code", FINE, ids=lambda code: repr(code[:40]))
def test_fine(code: str) -> None:
    assert problems_of(code) == []


def test_further_modules_may_be_allowed() -> None:
    code = "import numpy as np\nfrom statistics import mean\nnp.linalg.norm([mean([1])])"
    assert problems_of(code) == ["line 1: imports numpy, which is not allowed"]
    assert problems_of(code, ("numpy",)) == []
    assert problems_of(code + "\nx = np", ("numpy",)) == [
        "line 4: uses the module np as a value: use one of its names"
    ]


def test_every_problem_is_named_in_the_order_of_lines() -> None:
    assert problems_of("import os\n\nopen(missing)") == [
        "line 1: imports os, which is not allowed",
        "line 3: missing is not defined",
        "line 3: uses the builtin open, which is not allowed",
    ]


@pytest.mark.parametrize("module", ALLOWED)
def test_the_list_names_things_that_exist_and_no_modules(module: str) -> None:
    names = ALLOWED[module]
    assert names is not None
    found = importlib.import_module(module)
    for name in names:
        if (module, name) == ("itertools", "batched"):
            continue  # from Python 3.12 on
        assert type(getattr(found, name)) is not type(importlib), f"{module}.{name} is a module"
    if module == "engine":
        assert set(names) <= set(engine.__all__)


def test_shipped_strategies_pass_with_what_they_use() -> None:
    for path in Path(__file__).parents[2].joinpath("strategies").glob("[!_]*.py"):
        assert problems_of(path.read_text(encoding="utf-8"), ("numpy",)) == []
