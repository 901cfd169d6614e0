"""The machine's own clipboard, for terminals that do not take OSC 52."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping

_PROGRAMS = (
    ("WAYLAND_DISPLAY", ("wl-copy",)),
    ("DISPLAY", ("xclip", "-selection", "clipboard")),
    ("DISPLAY", ("xsel", "--clipboard", "--input")),
    ("", ("pbcopy",)),
)
"""Variable that must be set, and the command that reads the text from its standard input."""


async def copy_native(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Copy with a program of this machine; its name, or "" when there is none to use.

    Over ssh, and in a browser, the machine's clipboard is not the operator's: nothing is run.
    """
    env = os.environ if environ is None else environ
    if env.get("SSH_CONNECTION") or env.get("TEXTUAL_DRIVER"):
        return ""
    for variable, command in _PROGRAMS:
        if variable and not env.get(variable):
            continue
        program = shutil.which(command[0], path=env.get("PATH"))
        if program and await _run((program, *command[1:]), text):
            return command[0]
    return ""


async def _run(command: tuple[str, ...], text: str) -> bool:
    silent = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=silent, stderr=silent
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(2):
            await process.communicate(text.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return process.returncode == 0
