"""Where lives come from: a process that has imported everything and forks.

A Python that imports ccxt takes most of a second to start; a fork of one that already has takes
milliseconds, and hundreds are needed. It has no threads and no loop, so a fork of it is as good as
a new one. Orders come in on standard input, one per line; for each it prints the pid, and when the
life is over its exit status, negative for a signal. One life at a time.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from pathlib import Path

from engine.adapters.exchanges.ccxt_library import client_class
from tests.kills.life import live

OUTPUT = "output"
"""The file that a life's standard output and error are appended to."""


def main() -> None:
    client_class("binance")
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    waiting = 0
    for line in sys.stdin:
        if waiting:
            os.waitpid(waiting, 0)
        pid = os.fork()
        if pid == 0:
            os._exit(_child(line))
        print(pid, flush=True)
        # Reaped only when the end was told and new orders came: until then the pid is nobody else's
        # and may be killed.
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        by_itself = ended.si_code == os.CLD_EXITED
        print(ended.si_status if by_itself else -ended.si_status, flush=True)
        waiting = pid


def _child(orders: str) -> int:
    path = Path(json.loads(orders)["folder"]) / OUTPUT
    parent = os.dup(0)
    output = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        live(orders, parent)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    main()
