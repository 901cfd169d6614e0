"""``signaldeck optimize``: collect sources, have a model word strategies, write them as a module.

The module is checked and written beside the project, not among its strategies: files in there are
executed as soon as anything opens them, and nobody has read this one yet.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shlex
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from console.discovery import equip
from console.outcomes import UsageProblem, say
from console.progress import progress_bar
from console.settings import Project
from engine import Engine, listen_optimizer_progress
from engine.core.notes import plain_text
from engine.domain.errors import NotRegisteredError
from engine.domain.events import OptimizerProgress
from engine.domain.optimizing import GeneratedModule
from engine.domain.time import iso, minute_text
from engine.optimizing import DEFAULT_FOLDER
from engine.services.module_files import free_path, module_path, write_module

_SHOWN = 160


@dataclass(frozen=True, slots=True)
class OptimizeOptions:
    """The options of the command, as typed."""

    optimizer: str
    symbol: str
    out: Path | None
    json: bool


def run_optimize(project: Project, options: OptimizeOptions) -> int:
    """Run the optimizer and write its module.

    Raises:
        UsageProblem: the options cannot be used.
        EngineError: a source, the model or the checks failed; nothing was written.
    """
    target = _target(options)
    # What a user's functions print belongs to the narration: stdout is this command's result.
    with redirect_stdout(sys.stderr):
        module = asyncio.run(_generate(project, options, target))
    for warning in module.warnings:
        say(f"warning: {warning}")
    strategies = Path(project.strategies).resolve()
    if strategies in target.resolve().parents:
        say(f"warning: {target} lies in the strategies folder: whatever opens that executes it")
    if options.json:
        print(json.dumps(_facts(module, target), indent=2, ensure_ascii=False))
    else:
        print("\n".join(_text(module, target, project)))
    return 0


def _target(options: OptimizeOptions) -> Path:
    """The file that will be written; said no to before anything is collected."""
    target = module_path(options.out or DEFAULT_FOLDER, options.optimizer, options.symbol)
    if options.out is not None and options.out.suffix == ".py" and target.exists():
        raise UsageProblem(f"{target} exists: remove it, or give another --out")
    folder = next(each for each in target.parents if each.exists())
    if not folder.is_dir():
        raise UsageProblem(f"{folder} is no folder: give another --out")
    return free_path(target)


async def _generate(project: Project, options: OptimizeOptions, target: Path) -> GeneratedModule:
    config = project.engine
    async with Engine(state=":memory:", config=config, cache=project.cache or None) as engine:
        workshop = equip(engine, project)
        try:
            run = engine.optimizer(options.optimizer, options.symbol)
        except NotRegisteredError as error:
            broken = "".join(f"\nbroken file: {file.error}" for file in workshop.broken)
            raise UsageProblem(f"{error}{broken}") from None
        with progress_bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed} of {task.total} sources"),
            TimeElapsedColumn(),
        ) as bar:
            total = len(run.schema.range_train) * len(run.schema.source)
            task = bar.add_task(_line(f"{options.optimizer} {options.symbol}"), total=total)

            def show(event: OptimizerProgress) -> None:
                bar.update(task, completed=event.processed_sources)
                if bar.disable:
                    say(f"{event.processed_sources} of {event.total_sources} sources collected")

            listen_optimizer_progress(show)
            module = await run.generate()
        await asyncio.to_thread(write_module, module.code, target)
        await run.dumped(str(target))
        return module


def _facts(module: GeneratedModule, target: Path) -> dict[str, object]:
    return {
        "optimizer": module.optimizer_name,
        "symbol": module.symbol,
        "written_by": module.written_by,
        "path": str(target),
        "sha256": hashlib.sha256(module.code.encode("utf-8")).hexdigest(),
        "walker": module.walker_name,
        "strategies": [
            {
                "name": name,
                "from": iso(item.start_date),
                "to": iso(item.end_date),
                "note": item.note,
                "sources": list(item.sources),
                "messages": len(item.messages),
                "strategy": item.strategy,
            }
            for name, item in zip(module.strategy_names, module.strategies, strict=True)
        ],
        "checks": list(module.checks),
        "warnings": list(module.warnings),
        "executed": False,
    }


def _text(module: GeneratedModule, target: Path, project: Project) -> list[str]:
    symbol = shlex.quote(_line(module.symbol))
    first, file = module.strategy_names[0], shlex.quote(_line(str(target)))
    folder = shlex.quote(_line(str(target.parent)))
    lines = [f"module      {_line(str(target))}", f"written by  {_line(module.written_by)}", ""]
    for name, item in zip(module.strategy_names, module.strategies, strict=True):
        note = f"  {plain_text(item.note)}" if item.note else ""
        span = f"{minute_text(item.start_date)} to {minute_text(item.end_date)}"
        lines += [f"{name}  learned from {span}{note}", f"  {_short(item.strategy)}"]
    lines += ["", "checked:", *(f"  {check}" for check in module.checks), ""]
    lines += [
        "Nobody has executed it. Read it first; to try it then:",
        f"  signaldeck backtest {first} --symbol {symbol} --exchange E --from D --to D \\",
        f"      --strategies {folder}",
        f"  {_environment(project)}python {file}",
        "The second compares its strategies over the test range. To keep it, move it to",
        f"  {_line(project.strategies)}",
    ]
    return lines


def _environment(project: Project) -> str:
    """What a program outside of this project has to be told about the configured model."""
    given = {"OLLAMA_HOST": project.ollama.host, "OLLAMA_MODEL": project.ollama.model}
    return "".join(f"{name}={shlex.quote(_line(value))} " for name, value in given.items() if value)


def _short(text: str) -> str:
    line = plain_text(text)
    return _line(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}...")


def _line(text: str) -> str:
    """Foreign text as a terminal may show it: no control characters."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
