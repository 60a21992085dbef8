"""Fills: whoever becomes entitled to objects gets all of them, whoever ceases to be is forgotten.

A record that a process fans out under an older directory misses the new receiver, and so would the fill if it came before that
record was stored. So nothing is filled before every process holds a directory that has the receiver. That holds for new owners
too: what they push in their first moments may meet a process that does not know them yet.

A receiver is told of an owner by ClientInfo before it is filled with that owner's objects (D-26). One that does not take what it
is told is filled nevertheless, and so is everyone when nothing was told for half a minute: then no presence worker runs.

Rules AM-35, BP-16; decisions D-08, D-13, D-26.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Final

import asyncpg

from hub.errors import StoreUnavailable
from hub.model.directory import Directory
from hub.ocpi.parties import PartyId
from hub.routing.entitlement import Owners, Share, Step, entitlements, steps
from hub.store import client_infos, fills
from hub.store.directory import await_holders
from hub.telemetry import get_logger
from workers.app import WorkerContext

log = get_logger(__name__)

_POLL_SECONDS: Final = 1.0
_OWNERS_AT_ONCE: Final = 1
_TOLD_SECONDS: Final = 0.2
_LONGEST_UNTOLD_SECONDS: Final = 30.0


class Fills:
    """The fills that one process does."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._wake = asyncio.Event()
        self._untold_since: dict[Share, float] = {}

    def wake(self) -> None:
        """The directory has changed."""
        self._wake.set()

    async def run_for_ever(self) -> None:
        """Keep fills equal to what receivers are entitled to; without Postgres it waits and goes on by itself."""
        while True:
            self._wake.clear()
            pause = _POLL_SECONDS
            try:
                pause = await self._level()
            except (StoreUnavailable, asyncpg.PostgresError) as error:
                log.warning("fills.not_done", error=repr(error))
            except Exception:
                log.exception("fills.not_done")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _level(self) -> float:
        """Do what is due; says in how many seconds more may be."""
        directory = self._context.keeper.current
        async with self._context.store.connection() as connection:
            due = steps(entitlements(directory), await fills.read(connection))
        shares = {step.share for step in due}
        self._untold_since = {share: since for share, since in self._untold_since.items() if share in shares}
        if not due:
            return _POLL_SECONDS
        if not await await_holders(self._context.store, directory.version):
            log.warning("fills.delayed", version=directory.version, count=len(due))
            return _POLL_SECONDS
        for step in due:
            if self._context.keeper.current is not directory:
                return 0.0
            await self._withdraw(step, directory.version)
            for owners in _chunks(await self._told(step, directory)):
                await self._grant(step, owners, directory.version)
        return _TOLD_SECONDS if self._untold_since else _POLL_SECONDS

    async def _told(self, step: Step, directory: Directory) -> Owners:
        """The owners to fill with now: all but those of which the receiver is still to be told."""
        untold: Owners = frozenset()
        if step.granted:
            async with self._context.store.connection() as connection:
                untold = await client_infos.still_to_tell(connection, step.share.receiver.platform_id, step.granted)
        if not untold:
            self._untold_since.pop(step.share, None)
            return step.granted
        now = time.monotonic()
        since = self._untold_since.setdefault(step.share, now)
        if not directory.platforms[step.share.receiver.platform_id].is_online:
            self._untold_since[step.share] = now
        elif now - since > _LONGEST_UNTOLD_SECONDS:
            _tell("receiver.not_told", step, owners=len(untold))
            return step.granted
        return step.granted - untold

    async def _withdraw(self, step: Step, version: int) -> None:
        if not step.withdrawn and not step.is_over:
            return
        async with self._context.store.transaction() as connection:
            held = await fills.take(connection, step.share, version)
            if held is None:
                return
            await fills.withdraw(connection, step.share, step.withdrawn, held, version, is_over=step.is_over)
        _tell("receiver.withdrawn", step, owners=len(step.withdrawn))

    async def _grant(self, step: Step, owners: Owners, version: int) -> None:
        """Fill with some owners, unless another process has done so meanwhile."""
        async with self._context.store.transaction() as connection:
            held = await fills.take(connection, step.share, version)
            if held is None or owners <= held:
                return
            marked = await fills.grant(connection, step.share, owners - held, held, version)
        _tell("receiver.filled", step, owners=len(owners), marked=marked)


def _chunks(owners: Owners) -> Iterator[frozenset[PartyId]]:
    """Some owners for each transaction, so that none is long and a restart goes on where it was."""
    ordered = sorted(owners)
    for start in range(0, len(ordered), _OWNERS_AT_ONCE):
        yield frozenset(ordered[start : start + _OWNERS_AT_ONCE])


def _tell(event: str, step: Step, **counts: int) -> None:
    receiver, module = step.share
    log.info(event, platform_id=receiver.platform_id, party=str(receiver.party), module=module, **counts)
