"""``signaldeck doctor``: everything that must be right before a run, checked and said plainly."""

from __future__ import annotations

import asyncio
import json
import locale
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from console.discovery import SHIPPED, Workshop, configured_exchanges, equip, open_exchange
from console.logs import log_path
from console.outcomes import FAILED
from console.run_requests import exchange_names, exchange_symbols
from console.settings import ConfigError, Project, read_project
from engine import Engine
from engine.domain.errors import EngineError
from engine.domain.settings import Settings
from engine.language_models import look_at_models
from engine.runtime import ExchangeSpec, open_reader

OLDEST_PYTHON = (3, 11)
"""Oldest Python the program runs on."""

SMALLEST_TERMINAL = (80, 24)
"""Columns and lines the screens need at least."""

MODEL_SECONDS = 2.0
"""How long a language model's host may take to say what it has."""

_SHOWN_MODELS = 8
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        status: ``ok``, ``warn`` (works, but not fully) or ``fail``.
        fix: what to do about it, "" when ok.
    """

    name: str
    status: str
    detail: str
    fix: str = ""


def run_doctor(
    state: str | None,
    strategies: Path | None,
    config: Path | None,
    *,
    as_json: bool,
    unusable: Callable[[Project], Sequence[str]],
) -> int:
    """Check everything and print what was found.

    Args:
        state: ``--state``.
        strategies: ``--strategies``.
        config: ``--config``.
        as_json: print JSON.
        unusable: what the console would refuse of its keys and themes.

    Returns:
        The exit status: `FAILED` when a check failed.
    """
    checks = [*_environment()]
    try:
        project = read_project(state, strategies, config)
    except ConfigError as error:
        checks.append(Check("configuration", "fail", str(error), "correct the file"))
    else:
        if refused := "; ".join(unusable(project)):
            fix = "correct the file: the console does not start with it"
            checks.append(Check("configuration", "fail", refused, fix))
        else:
            checks.append(Check("configuration", "ok", _configured(project)))
        checks += [*_project_checks(project)]
    failed = any(check.status == "fail" for check in checks)
    if as_json:
        print(json.dumps({"ok": not failed, "checks": [asdict(c) for c in checks]}, indent=2))
    else:
        for check in checks:
            print(f"{check.status:<4}  {check.name}: {check.detail}")
            if check.fix:
                print(f"      {check.fix}")
    return FAILED if failed else 0


def _environment() -> Iterator[Check]:
    yield _python()
    yield from _packages()
    yield _terminal()
    yield _encoding()
    yield _log()


def _python() -> Check:
    found = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        return Check("python", "fail", found, "install Python 3.11 or newer")
    return Check("python", "ok", found)


def _packages() -> Iterator[Check]:
    found: list[str] = []
    missing: list[str] = []
    for requirement in requires("signaldeck") or ():
        name, optional = _NAME.match(requirement), "extra ==" in requirement
        if name is None or "extra == 'dev'" in requirement.replace('"', "'"):
            continue
        try:
            found.append(f"{name[0]} {version(name[0])}")
        except PackageNotFoundError:
            if not optional:
                missing.append(name[0])
    if missing:
        fix = "reinstall with: python -m pip install --force-reinstall signaldeck"
        yield Check("packages", "fail", f"missing: {', '.join(missing)}", fix)
    else:
        yield Check("packages", "ok", ", ".join([f"signaldeck {version('signaldeck')}", *found]))


def _terminal() -> Check:
    if not sys.stdout.isatty():
        return Check("terminal", "warn", "stdout is no terminal", "run the console in a terminal")
    columns, lines = shutil.get_terminal_size()
    colours = "no colour (NO_COLOR)" if os.environ.get("NO_COLOR") else "colour"
    found = f"{os.environ.get('TERM', 'unknown')}, {columns}x{lines}, {colours}"
    if (columns, lines) < SMALLEST_TERMINAL or lines < SMALLEST_TERMINAL[1]:
        return Check("terminal", "warn", found, "enlarge it to 80x24 at least")
    return Check("terminal", "ok", found)


def _encoding() -> Check:
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") != "utf8":
        fix = "set LANG (for example C.UTF-8), or charts and lines are drawn wrongly"
        return Check("encoding", "warn", encoding, fix)
    return Check("encoding", "ok", encoding)


def _log() -> Check:
    path = log_path()
    if problem := _unwritable(path):
        return Check("log", "warn", f"{path}: {problem}", "make its folder writable")
    return Check("log", "ok", str(path))


def _configured(project: Project) -> str:
    names = ", ".join(project.exchanges) or "none"
    return f"exchanges configured: {names}; settings changed: {', '.join(project.engine) or 'none'}"


def _project_checks(project: Project) -> Iterator[Check]:
    if project.state != ":memory:":
        problem = _unwritable(Path(project.state))
        yield Check(
            "state",
            "fail" if problem else "ok",
            f"{project.state}{': ' + problem if problem else ''}",
            "choose another place with --state" if problem else "",
        )
        if not problem and Path(project.state).exists():
            yield _state_file_check(project.state)
    yield from asyncio.run(_engine_checks(project))
    yield asyncio.run(_model_check(project))


async def _model_check(project: Project) -> Check:
    """The language model; a project that asks for none has nothing to mend."""
    found = await look_at_models(Settings().updated(project.engine), MODEL_SECONDS)
    asked = f"{found.model} at {found.host or 'no usable address'}"
    if found.problem and not found.wanted:
        return Check("ollama", "ok", f"not used: nothing is configured, and none at {found.host}")
    if found.problem:
        fix = "only strategies and optimizers that ask a model need it"
        return Check("ollama", "warn", f"{asked}: {found.problem}", fix)
    names = ", ".join(found.models[:_SHOWN_MODELS]) or "no models"
    more = len(found.models) - _SHOWN_MODELS
    listed = f"{names} and {more} more" if more > 0 else names
    if found.has_model:
        return Check("ollama", "ok", f"{asked} is there, beside {listed}")
    if not found.wanted:
        return Check("ollama", "ok", f"{found.host} answers with {listed}; not configured")
    fix = f"ollama pull {found.model}, or name another as model in [ollama] of signaldeck.toml"
    return Check("ollama", "warn", f"{asked} is not there, only {listed}", fix)


def _state_file_check(state: str) -> Check:
    """Whether the state file is sound and whole; its owner is not disturbed."""
    try:
        with open_reader(state) as reader:
            facts, owner = reader.facts(), reader.owner()
            unreadable = len(reader.snapshot(journal=0, commands=0).unreadable)
    except EngineError as error:
        return Check("state file", "fail", str(error), "do as it says, or choose another --state")
    holder = "nobody owns it"
    if owner is not None:
        ended = "" if owner.alive else " ended without closing it"
        holder = f"owner: process {owner.pid}{ended}, since {owner.started_at}"
    aside = facts.quarantined + unreadable
    found = (
        f"sound, schema {facts.version}, {facts.size / 1e6:.1f} MB, {holder}; "
        f"rows that cannot be read: {aside}"
    )
    if aside:
        fix = "they are kept in its table quarantine from the next start on, and are not used"
        return Check("state file", "warn", found, fix)
    return Check("state file", "ok", found)


async def _engine_checks(project: Project) -> list[Check]:
    async with Engine(state=":memory:", config=project.engine) as engine:
        # Configured exchanges are opened one by one, so that a bad one does not hide the others.
        workshop = equip(engine, project.model_copy(update={"exchanges": {}}))
        checks = [*_strategy_checks(project, workshop)]
        for name in exchange_names(engine, workshop):
            if name not in project.exchanges:
                origin = workshop.origin("exchange", name)
                checks.append(await _exchange_check(engine, name, origin))
    checks += [await _configured_check(spec) for spec in configured_exchanges(project)]
    return checks


def _strategy_checks(project: Project, workshop: Workshop) -> Iterator[Check]:
    for file in workshop.broken:
        yield Check("strategy file", "fail", file.error, "correct it, or move it away")
    names = [
        name for file in workshop.files for kind, name in file.components if kind == "strategy"
    ]
    folders = f"{project.strategies} and {SHIPPED}"
    if names:
        yield Check("strategies", "ok", f"{', '.join(names)} (from {folders})")
    else:
        yield Check("strategies", "fail", f"none in {folders}", "add a file that registers one")


async def _configured_check(spec: ExchangeSpec) -> Check:
    async with Engine(state=":memory:") as engine:
        try:
            open_exchange(engine, spec)
        except EngineError as error:
            fix = f"correct [exchanges.{spec.name}] in the configuration"
            return Check(f"exchange {spec.name}", "fail", str(error), fix)
        return await _exchange_check(engine, spec.name, "signaldeck.toml")


async def _exchange_check(engine: Engine, name: str, origin: str) -> Check:
    try:
        symbols = await exchange_symbols(engine, name)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Check(f"exchange {name}", "fail", text, f"see {origin}")
    found = ", ".join(symbols) or "it does not tell its symbols"
    return Check(f"exchange {name}", "ok", f"{found} (from {origin})")


def _unwritable(path: Path) -> str:
    """Why a file cannot be written where its folder is, or will be, made; "" when it can."""
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return f"{folder} is not a folder"
    target = path if path.exists() else folder
    return "" if os.access(target, os.W_OK) else f"{target} is not writable"
