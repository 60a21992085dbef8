"""The sync worker: receivers get all that they are entitled to, whenever they become so.

It works by locks in Postgres, so any number of these processes may run; what one that dies had begun is rolled back and done by
another.

Rules AM-35, BP-16; decisions D-08, D-13, D-26.
"""

import asyncio

from workers.app import WorkerContext
from workers.sync_fills import Fills


async def run(context: WorkerContext) -> None:
    """Fill until told to stop; a transaction under way is rolled back and done anew by whoever comes next."""
    fills = Fills(context)
    context.keeper.on_change = lambda _: fills.wake()
    task = asyncio.create_task(fills.run_for_ever(), name="fills")
    context.ready()
    await context.stopping.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
