"""The presence worker: finds out whether platforms can be reached, and tells every platform how the others stand.

It looks at platforms and concludes (`Looks`), and sends the ClientInfo objects that this and everything else that changes a
status leads to (`Telling`); it also renews tokens by the calendar (`renewals`). It alone changes whether a platform counts as
online; a handshake that succeeds does so too. Looking and telling work by leases in Postgres, so any number of these processes
may run; what one that dies held, another begins anew within four seconds.

Rules HC-*, AM-37, AM-39; decisions D-08, D-10, D-18, D-26.
"""

import asyncio
from typing import Final

from hub.store.listen import listen_for_ever
from hub.store.presence import CHANNEL
from workers.app import WorkerContext
from workers.evidence import Evidence
from workers.presence_looks import Looks
from workers.presence_telling import Telling
from workers.renewals import renew_until_stopped

_DRAIN_SECONDS: Final = 5.0


async def run(context: WorkerContext) -> None:
    """Look and tell until told to stop; what is under way is finished first."""
    evidence = Evidence(context.store)
    looks, telling = Looks(context), Telling(context, evidence)
    context.keeper.on_change = lambda _: telling.work.wake()
    evidence.start()
    tasks = [
        asyncio.create_task(looks.work.run_for_ever(), name="looks"),
        asyncio.create_task(telling.work.run_for_ever(), name="telling"),
        asyncio.create_task(listen_for_ever(context.store, CHANNEL, looks.work.wake), name="presence listen"),
    ]
    renewing = asyncio.create_task(renew_until_stopped(context), name="renewals")
    context.ready()
    await context.stopping.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.wait([renewing], timeout=context.settings.drain_seconds)
    await asyncio.gather(looks.work.drain(_DRAIN_SECONDS), telling.work.drain(_DRAIN_SECONDS))
    await evidence.stop()
