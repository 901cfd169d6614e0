from __future__ import annotations

from pathlib import Path

import pytest

from screens.clipboard import copy_native


def program(folder: Path, name: str, body: str) -> dict[str, str]:
    """A clipboard program of that name, and the environment in which it is the only one."""
    script = folder / name
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return {"PATH": f"{folder}"}


async def test_the_text_reaches_the_program(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    out = tmp_path / "out"
    env = program(tmp_path / "bin", "xclip", f'while read -r line; do echo "$line"; done > {out}')
    assert await copy_native("BTCUSDT\t均线\n", {**env, "DISPLAY": ":0"}) == "xclip"
    assert out.read_text() == "BTCUSDT\t均线\n"


async def test_a_failing_program_is_passed_over(tmp_path: Path) -> None:
    env = program(tmp_path, "wl-copy", "exit 1") | program(tmp_path, "pbcopy", "exit 0")
    assert await copy_native("x", {**env, "WAYLAND_DISPLAY": "w"}) == "pbcopy"


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"DISPLAY": ":0", "SSH_CONNECTION": "1.2.3.4 5 6 7"},
        {"DISPLAY": ":0", "TEXTUAL_DRIVER": "console.web.driver:ViewerDriver"},
    ],
)
async def test_without_a_display_over_ssh_or_in_a_browser_nothing_runs(
    tmp_path: Path, extra: dict[str, str]
) -> None:
    env = program(tmp_path, "xclip", "exit 0")
    assert await copy_native("x", {**env, **extra}) == ""
