"""The installed command without its start: forked from a process that has made the imports.

Each call is a process of its own that ends like any other. What depends on how a process starts
(the script itself, signals, terminals, hostile folders) is tested with the script.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.console.cli_bed import COMMAND

ROOT = Path(__file__).resolve().parents[2]
_LONGEST = 1 << 18


class WarmCommand:
    """Runs ``signaldeck`` with arguments, one call after the other.

    Args:
        environment: of the process that is forked; each call has its own on top.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"from tests.console.warm import serve; serve({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=dict(environment),
            pass_fds=[theirs.fileno()], start_new_session=True,
        )  # fmt: skip
        theirs.close()

    def run(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """What the command said and its exit status.

        Raises:
            TimeoutError: it did not end in time; it is killed.
        """
        request = {"arguments": [*arguments], "cwd": str(cwd), "environment": dict(environment)}
        with (
            open(os.devnull, "rb") as nothing,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            self._link.settimeout(timeout)
            files = [nothing.fileno(), out.fileno(), err.fileno()]
            socket.send_fds(self._link, [json.dumps(request).encode()], files)
            try:
                status = int(self._link.recv(16))
            except TimeoutError:
                self.close()
                raise
            texts: list[str] = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        return subprocess.CompletedProcess([*arguments], status, *texts)

    def close(self) -> None:
        """End the process, and a call that is under way."""
        self._link.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def serve(descriptor: int) -> None:
    """In the forked process: a child for each request. Only the children return from here."""
    importlib.import_module("console.cli")
    gc.freeze()  # looking at them in each child would copy their pages
    with socket.socket(fileno=descriptor) as link:
        while True:
            message, files, *_ = socket.recv_fds(link, _LONGEST, 3)
            if not message:
                os._exit(0)
            child = os.fork()
            if not child:
                break
            for file in files:
                os.close(file)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            link.send(str(status).encode())
    request = json.loads(message)
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.argv = [str(COMMAND), *request["arguments"]]
    from console.entry import main

    main()
