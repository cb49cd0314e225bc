"""A program that keeps a pool busy and says how that ends: `driver.py ADDRESS`."""

from __future__ import annotations

import os
import sys
import time

import anyio

from batch_removebg import __version__
from batch_removebg.errors import BatchError
from batch_removebg.workers.ray_pool import RayPool


def work() -> int:
    time.sleep(0.2)
    return os.getpid()


async def main() -> None:
    try:
        async with RayPool.opened(sys.argv[1], version=__version__) as pool, anyio.create_task_group() as tasks:

            async def ask() -> None:
                while True:
                    print(await pool.isolated(30, work), flush=True)

            for _ in range(3):
                tasks.start_soon(ask)
    except* BatchError as errors:
        print("ended:", errors.exceptions[0], flush=True)
        sys.exit(getattr(errors.exceptions[0], "exit_code", 1))


if __name__ == "__main__":
    # By its own name, so that actors find `work`.
    from tests.ray import driver

    anyio.run(driver.main)
