from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.console.cli_bed import Run, csv_rows, environment
from tests.console.warm import WarmCommand


@pytest.fixture
def run(tmp_path: Path, warm: WarmCommand) -> Run:
    """Run the command in a folder of its own: ``run("list", "--json")``.

    Or ``program=[...]``: something else, or the command's own script.
    """
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()

    def call(
        *arguments: str, cwd: Path = work, program: Sequence[str | Path] = ()
    ) -> subprocess.CompletedProcess[str]:
        if not program:
            return warm.run(arguments, cwd, environment(home), timeout=120)
        return subprocess.run(
            [*program, *arguments],
            cwd=cwd,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder that `run` runs in."""
    return tmp_path / "work"


@pytest.fixture(scope="session")
def bars_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days of BTCUSDT from 2025-07-01 on, the same as the exchange ``simulated`` has."""
    path = tmp_path_factory.mktemp("data") / "BTCUSDT-1m-2025-07.csv"
    path.write_text("\n".join(csv_rows()) + "\n", encoding="utf-8")
    return path
