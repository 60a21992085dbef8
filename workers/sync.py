"""The sync worker: receivers get all that they are entitled to, and objects known by patches only are fetched.

It works by locks in Postgres, so any number of these processes may run; what one that dies had begun is rolled back and done by
another.

Rules AM-35, AM-36, AM-42, BP-16; decisions D-08, D-12, D-13, D-26.
"""

import asyncio

from workers.app import WorkerContext
from workers.evidence import Evidence
from workers.sync_fills import Fills
from workers.sync_incomplete import Incomplete


async def run(context: WorkerContext) -> None:
    """Fill and fetch until told to stop; a transaction under way is rolled back and done anew by whoever comes next."""
    fills, evidence = Fills(context), Evidence(context.store)
    context.keeper.on_change = lambda _: fills.wake()
    tasks = [
        asyncio.create_task(fills.run_for_ever(), name="fills"),
        asyncio.create_task(Incomplete(context, evidence).run_for_ever(), name="incomplete"),
    ]
    evidence.start()
    context.ready()
    await context.stopping.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await evidence.stop()
