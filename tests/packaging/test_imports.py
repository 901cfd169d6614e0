"""Rules that hold the packages apart, checked on the running program."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HEAVY = ("textual", "rich", "typer", "console", "screens", "strategies", "ccxt", "polars")
NETWORK = ("aiohttp", "aiosqlite", "httpx", "ollama")


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in memory after a statement in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_engine_loads_no_interface_and_no_adapter_library() -> None:
    assert not loaded_by("import engine, engine.sync") & {*HEAVY, *NETWORK}


def test_the_host_loads_no_textual() -> None:
    assert not loaded_by("import console.host, console.demo") & {"textual", "screens", "ccxt"}


def test_the_entry_of_worker_processes_loads_nothing() -> None:
    loaded = loaded_by("import console.entry")
    assert not loaded & {*HEAVY, *NETWORK, "numpy", "pydantic", "engine"} - {"console"}


def test_import_rules() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("line", (ROOT / "constraints.txt").read_text().splitlines())
def test_a_constraint_is_one_exact_version(line: str) -> None:
    name, version = line.split("==")
    assert name and version and not set(line) & set(" @:/;")


def test_every_dependency_is_constrained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").open()}
    assert {item.split(">")[0].split("<")[0].lower() for item in wanted} <= pinned
