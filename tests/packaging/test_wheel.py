"""The wheel, installed into an environment of its own and used from another folder.

Its dependencies are not downloaded again: a ``.pth`` file leads to the packages of the environment
that runs the tests. ``.pth`` files in there are not followed, so the editable installation of the
working copy stays out of reach, and the packages under test can only come from the wheel. That the
wheel asks for everything it imports is checked by itself.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.console.cli_bed import environment
from tests.console.terminal_bed import Terminal

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("console", "engine", "screens", "strategies")
# The tests share one build, so they go to one worker of a parallel run.
pytestmark = pytest.mark.xdist_group("wheel")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, because building litters the source tree."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--no-deps", "-w", target, source], check=True, timeout=300)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands of an environment that has the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    install = ("--python", python, "install", "--no-deps", wheel)
    subprocess.run([*PIP, *install], check=True, timeout=300)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A working folder in which modules lie that must never be imported."""
    for name in (*PACKAGES, "json", "multiprocessing"):
        if name != "console":
            (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed by ' + __file__)\n")
    return tmp_path


def test_the_wheel_holds_what_the_program_needs_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {*PACKAGES, next(top for top in tops if top.endswith(".dist-info"))}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*")):
        if (
            path.suffix in (".py", ".tcss", ".sql", ".html", ".css", ".js")
            or path.name == "py.typed"
        ):
            assert str(path.relative_to(ROOT)) in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_everything_imported_is_asked_for(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
    asked: dict[str, set[str]] = {"": set(), "web": set()}
    for line in archive.read(metadata).decode().splitlines():
        extra = re.search(r"extra == .(\w+)", line)
        if line.startswith("Requires-Dist: ") and (name := extra[1] if extra else "") in asked:
            wanted = re.split(r"[^A-Za-z0-9._-]", line.removeprefix("Requires-Dist: "))[0]
            asked[name].add(wanted.lower())
    providers = packages_distributions()
    missing: dict[str, str] = {}
    for name in archive.namelist():
        if name.endswith(".py"):
            # What serves browsers is an extra, looked for before it is imported.
            served = name.startswith("console/web/") or name == "console/serve_command.py"
            known_of = asked[""] | (asked["web"] if served else set())
            for module in imported(archive.read(name).decode()):
                known = module in sys.stdlib_module_names or module in PACKAGES
                if not known and not known_of & {one.lower() for one in providers.get(module, ())}:
                    missing[module] = name
    assert not missing


def imported(source: str) -> set[str]:
    """Top-level names of the modules a source imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_a_backtest_from_another_folder(installed: Path, elsewhere: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            installed / "signaldeck", "backtest", "sma-cross", "--symbol", "BTCUSDT",
            "--exchange", "simulated", "--from", "2025-07-02", "--to", "2025-07-03", "--json",
        ],
        cwd=elsewhere, env=environment(tmp_path), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["trades"]
    assert Path(result["run"]["strategy_file"]).is_relative_to(installed.parent)


def test_every_package_comes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import console, engine, screens, strategies as s; print(console, engine, screens, s)"
    done = subprocess.run(
        [installed / "python", "-c", code],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.count(str(installed.parent)) == len(PACKAGES), done.stdout + done.stderr


def test_the_demo_from_another_folder(installed: Path, elsewhere: Path, tmp_path: Path) -> None:
    command = [installed / "signaldeck", "demo"]
    with Terminal(command, cwd=elsewhere, environment=environment(tmp_path)) as terminal:
        terminal.until("SIMULATED x60")
        terminal.press("q")
        terminal.until("Quit signaldeck?")
        terminal.press("\x1b[C\r")
        assert terminal.status() == 0
