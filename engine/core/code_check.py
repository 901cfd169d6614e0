"""Reads generated code before anybody may run it: does it compile, and what could it reach?

Generated modules use little of Python, so everything else is refused: imports outside a list, names
of those modules outside a list, builtins that reach beyond a calculation, private attributes. This
is a net under a review, not a wall: nobody can prove by reading what Python code will do, and an
operator decides whether it runs.
"""

from __future__ import annotations

import ast
import builtins
import math
import statistics
import symtable
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

Allowed: TypeAlias = Mapping[str, Collection[str] | None]
"""Modules that may be imported, to the names that may be taken from each; None means any."""

MOST_BYTES: Final = 1_000_000
"""Bytes of the largest module that is looked at."""

CHECKS: Final = (
    "compiles without warnings",
    "every name it uses is defined, no function is defined twice",
    "imports nothing but what a strategy needs",
    "reaches files, processes and the network through the engine's own functions alone",
    "holds no invisible characters, does not touch Python's internals",
)
"""What `problems_of` checks, for the operator."""


def _public(module: object) -> frozenset[str]:
    return frozenset(name for name in dir(module) if not name.startswith("_"))


ALLOWED: Final[Allowed] = {
    "__future__": {"annotations"},
    "asyncio": {
        "CancelledError", "Event", "Lock", "Semaphore", "TaskGroup", "create_task", "gather", "run",
        "sleep", "timeout", "wait_for",
    },
    "collections": {"Counter", "OrderedDict", "defaultdict", "deque"},
    "collections.abc": {
        "AsyncIterator", "Awaitable", "Callable", "Iterable", "Iterator", "Mapping", "Sequence",
    },
    "dataclasses": {"asdict", "astuple", "dataclass", "field", "replace"},
    "datetime": {"UTC", "date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal", "ROUND_DOWN", "ROUND_HALF_EVEN", "ROUND_HALF_UP", "ROUND_UP"},
    "fractions": {"Fraction"},
    "functools": {"cache", "lru_cache", "partial", "reduce"},
    "itertools": {
        "accumulate", "batched", "chain", "combinations", "count", "cycle", "islice", "pairwise",
        "permutations", "product", "repeat", "takewhile", "zip_longest",
    },
    "json": {"dumps", "loads"},
    "math": _public(math),
    "re": {
        "compile", "escape", "findall", "finditer", "fullmatch", "match", "search", "split", "sub",
    },
    "statistics": frozenset(statistics.__all__),
    "textwrap": {"dedent", "fill", "indent", "shorten"},
    "typing": {"Any", "Final", "Literal", "NamedTuple", "TypeAlias"},
    "uuid": {"uuid4"},
    "engine": {
        "Action", "Backtest", "CancelReason", "Cancelled", "Candle", "Candles", "CloseReason",
        "Closed", "Constant", "EngineError", "Heat", "LanguageModelError", "Mode", "Opened",
        "Partial", "Performance", "PnL", "Portfolio", "Position", "PositionSize", "Risk",
        "RiskCheck", "Schedule", "Scheduled", "Signal", "Walker", "add_exchange", "add_frame",
        "add_risk", "add_sizing", "add_strategy", "add_walker", "ask_signal", "ask_text",
        "current_engine", "dump_signal", "format_price", "format_quantity", "get_average_price",
        "get_candles", "get_config", "get_date", "get_mode", "listen_backtest_progress",
        "listen_done_backtest", "listen_done_walker", "listen_error", "listen_risk",
        "listen_signal", "listen_signal_backtest", "listen_walker", "listen_walker_complete",
        "listen_walker_progress", "open_exchange",
    },
    "engine.sync": {"format_price", "format_quantity", "get_average_price", "get_candles"},
}  # fmt: skip
"""What generated code may import."""

_BUILTINS: Final = frozenset(
    {
        "abs", "all", "any", "bool", "bytes", "chr", "dict", "divmod", "enumerate", "filter",
        "float", "frozenset", "hash", "int", "isinstance", "issubclass", "iter", "len", "list",
        "map", "max", "min", "next", "ord", "pow", "print", "range", "repr", "reversed", "round",
        "set", "slice", "sorted", "str", "sum", "tuple", "zip", "ArithmeticError",
        "AssertionError", "AttributeError", "Exception", "IndexError", "KeyError", "LookupError",
        "NotImplementedError", "OverflowError", "RuntimeError", "StopIteration", "TimeoutError",
        "TypeError", "ValueError", "ZeroDivisionError",
    }
)  # fmt: skip
_ENGINE: Final = "current_engine"
_DUNDERS: Final = frozenset({"__name__"})
_ATTRIBUTES: Final = {
    # What reaches the interpreter from an ordinary object without an underscore.
    **dict.fromkeys(
        (
            "ag_code", "ag_frame", "cr_code", "cr_frame", "f_back", "f_builtins", "f_code",
            "f_globals", "f_locals", "gi_code", "gi_frame", "mro", "tb_frame", "tb_next",
        ),
        "reaches Python's internals",
    ),
    **dict.fromkeys(("format", "format_map"), "may read any attribute: use an f-string"),
}  # fmt: skip


def problems_of(source: str, extra: Sequence[str] = ()) -> list[str]:
    """Everything that is wrong with generated code, ``line N: what``, in the order of lines.

    Args:
        source: the module's text.
        extra: further modules that may be imported and used without limits.
    """
    if len(source.encode("utf-8", "replace")) > MOST_BYTES:
        return [f"line 1: it is larger than {MOST_BYTES} bytes"]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            compile(source, "<generated>", "exec", dont_inherit=True)
            tree = ast.parse(source)
            table = symtable.symtable(source, "<generated>", "exec")
    except SyntaxError as error:
        return [f"line {error.lineno or 1}: {error.msg}"]
    except (ValueError, RecursionError, MemoryError) as error:
        return [f"line 1: it cannot be compiled: {str(error) or type(error).__name__}"]
    found = [(item.lineno, str(item.message)) for item in caught]
    found += _invisible(source)
    reader = _Reader({**ALLOWED, **dict.fromkeys(extra)})
    try:
        reader.visit(tree)
        found += reader.found
        found += _undefined(tree, table)
    except RecursionError:
        found.append((1, "it is nested too deeply to be checked"))
    found += _defined_twice(tree)
    return [f"line {line}: {text}" for line, text in sorted(set(found))]


class _Reader(ast.NodeVisitor):
    """Collects what a module reaches beyond what generated code needs."""

    def __init__(self, allowed: Allowed) -> None:
        self.found: list[tuple[int, str]] = []
        self._allowed = allowed
        self._modules: dict[str, str] = {}
        self._entered: set[ast.AST] = set()

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name not in self._allowed:
                self._say(node, f"imports {alias.name}, which is not allowed")
            elif "." in alias.name and alias.asname is None:
                # `import a.b` binds a, through which all of a could be reached.
                self._say(node, f"imports {alias.name} by its path: use from {alias.name} import")
            else:
                self._modules[alias.asname or alias.name] = alias.name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        if module not in self._allowed:
            self._say(node, f"imports from {module}, which is not allowed")
            return
        names = self._allowed[module]
        for alias in node.names:
            if names is not None and alias.name not in names:
                self._say(node, f"imports {alias.name} from {module}, which is not allowed")
            elif alias.name == _ENGINE and alias.asname is not None:
                self._say(node, f"renames {_ENGINE}")

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        # The launcher enters the engine; whoever holds it could do what operators do.
        for item in node.items:
            call = item.context_expr
            if item.optional_vars is None and isinstance(call, ast.Call):
                self._entered.add(call.func)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        name = node.id
        if name.startswith("__") and name not in _DUNDERS:
            self._say(node, f"uses {name}")
        elif name == _ENGINE and node not in self._entered:
            self._say(node, f"uses {_ENGINE} for more than `async with {_ENGINE}():`")
        elif isinstance(node.ctx, ast.Load) and name in self._modules:
            self._say(node, f"uses the module {name} as a value: use one of its names")
        elif hasattr(builtins, name) and name not in _BUILTINS and name not in _DUNDERS:
            self._say(node, f"uses the builtin {name}, which is not allowed")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = node.attr
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            module = self._modules[node.value.id]
            names = self._allowed[module]
            refused = names is not None and name not in names
            if refused or name.startswith("_") or name == _ENGINE:
                self._say(node, f"uses {module}.{name}, which is not allowed")
            return
        if name.startswith("_"):
            self._say(node, f"uses the private attribute {name}")
        elif name in _ATTRIBUTES:
            self._say(node, f"uses .{name}, which {_ATTRIBUTES[name]}")
        self.visit(node.value)

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        for name in node.kwd_attrs:
            if name.startswith("_") or name in _ATTRIBUTES:
                self._say(node, f"matches the attribute {name}")
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self._say(node, "uses global: keep what a strategy remembers in an object of its own")

    def _say(self, node: ast.AST, text: str) -> None:
        self.found.append((getattr(node, "lineno", 1), text))


def _invisible(source: str) -> Iterator[tuple[int, str]]:
    """Characters that make a source read differently from what Python sees."""
    for number, line in enumerate(source.split("\n"), start=1):
        for character in line:
            if not character.isprintable() and character != "\t":
                yield number, f"holds the invisible character U+{ord(character):04X}"
                break


def _undefined(tree: ast.Module, table: symtable.SymbolTable) -> Iterator[tuple[int, str]]:
    """Names that nothing defines, or that the module's body uses before it defines them."""
    defined = {item.get_name() for item in table.get_symbols() if _is_bound(item)}
    known = defined | set(dir(builtins))  # builtins that are not allowed are named elsewhere
    missing = {
        item.get_name()
        for scope in _scopes(table)
        for item in scope.get_symbols()
        if item.is_referenced() and item.is_global() and item.get_name() not in known
    }
    missing |= {
        item.get_name()
        for item in table.get_symbols()
        if item.is_referenced() and item.get_name() not in known | _DUNDERS
    }
    missing = {name for name in missing if not name.startswith("__")}
    lines = {
        node.id: node.lineno
        for node in sorted(_names(tree), key=lambda name: name.lineno, reverse=True)
    }
    for name in missing:
        yield lines.get(name, 1), f"{name} is not defined"
    bound: set[str] = set()
    for statement in tree.body:
        bound |= _bound_by(statement)
        for node in _now(statement):
            if isinstance(node.ctx, ast.Load) and node.id in defined - bound - missing:
                yield node.lineno, f"{node.id} is used before it is defined"


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _scopes(child)


def _is_bound(item: symtable.Symbol) -> bool:
    return item.is_assigned() or item.is_imported() or item.is_namespace()


def _names(node: ast.AST) -> Iterator[ast.Name]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Name))


def _now(statement: ast.stmt) -> Iterator[ast.Name]:
    """Names that are looked up when a top-level statement is executed."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults]
            waiting += [default for default in node.args.kw_defaults if default]
        elif isinstance(node, ast.AnnAssign):
            waiting += [node.target, *([node.value] if node.value else [])]
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _bound_by(statement: ast.stmt) -> set[str]:
    """Names that are bound once a top-level statement has been executed."""
    bound: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound.add(node.rest)
    return bound


def _defined_twice(tree: ast.Module) -> Iterator[tuple[int, str]]:
    named = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    for before, after in pairwise(sorted(named, key=lambda node: (node.name, node.lineno))):
        if before.name == after.name:
            yield after.lineno, f"{after.name} is defined a second time"
