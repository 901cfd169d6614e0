"""A program that starts a worker, says its process id, and waits for its own end."""

from __future__ import annotations

import asyncio
import sys

from engine.runs.workers import WorkerPool, WorkerProgress


async def main() -> None:
    pool = WorkerPool("tests.runs.worker_entries:reports_until_stopped")

    def say(progress: WorkerProgress) -> None:
        print(progress.when, flush=True)

    await pool.submit(None, say).result()


if __name__ == "__main__":
    WorkerPool.start_forkserver("engine.runs.workers")
    sys.path.insert(0, "")
    asyncio.run(main())
