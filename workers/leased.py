"""What a process does with things that it holds by leases in Postgres, so that any number of processes may share the work.

A lease is short and renewed for as long as the work on it runs: a process that is killed delays what it held by `LEASE_SECONDS`
at most, and work that takes long loses nothing. Without Postgres all of it waits and goes on by itself.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

import asyncpg

from hub.errors import StoreUnavailable
from hub.store.leases import Held
from hub.store.pool import Connection, Store
from hub.telemetry import get_logger

log = get_logger(__name__)

LEASE_SECONDS: Final = 3.0
LONGEST_PAUSE_SECONDS: Final = 1.0
_RENEW_SECONDS: Final = 1.0

Begin = Callable[[], Awaitable[float]]
Renew = Callable[[Connection, Sequence[Held], float], Awaitable[None]]


class LeasedWork:
    """The work of one process. `begin` takes what is due and says in how many seconds more may be; `name` is for the log."""

    def __init__(self, store: Store, name: str, begin: Begin, renew: Renew) -> None:
        self._store = store
        self._name = name
        self._begin = begin
        self._renew = renew
        self._wake = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], Held] = {}
        self._renewing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How much is under way."""
        return len(self._tasks)

    def wake(self) -> None:
        """There may be something to begin."""
        self._wake.set()

    def add(self, held: Held, work: Coroutine[Any, Any, None]) -> None:
        """Do this; the lease is kept until it ends."""
        task = asyncio.create_task(work)
        self._tasks[task] = held
        task.add_done_callback(self._tasks.pop)
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew_while_busy())

    async def run_for_ever(self) -> None:
        """Begin whatever is due."""
        while True:
            self._wake.clear()
            pause = LONGEST_PAUSE_SECONDS
            try:
                pause = await self._begin()
            except StoreUnavailable as error:
                log.warning(f"{self._name}.not_read", error=str(error))
            except Exception:
                log.exception(f"{self._name}.not_read")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def drain(self, timeout: float) -> None:
        """Wait for what is under way."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=timeout)
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)

    async def _renew_while_busy(self) -> None:
        while self._tasks:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                async with self._store.connection() as connection:
                    await self._renew(connection, list(self._tasks.values()), LEASE_SECONDS)
            except (StoreUnavailable, asyncpg.PostgresError) as error:
                log.warning(f"{self._name}.not_renewed", error=repr(error))
