"""Keeps what receivers have confirmed of directed pushes: Sessions and CDRs for GET All, notes of copies that are theirs alone.

Everything is written many at a time behind the call, so that the way of a message waits for no statement of its own. The reply
waits only for what nobody would send again: a CDR, a note, and the end of a Session. Any other push of a Session is followed by
one that brings the later state, should a relay be killed before it has written. Without Postgres what is to be written waits
here, up to a bound in number and in bytes.

Decision D-04; rules GA-10, OB-06, RT-18.
"""

import asyncio
import contextlib
import time
from typing import Final, NamedTuple

import asyncpg

from hub.errors import StoreUnavailable
from hub.model.directed import DIRECTED_MODULES, ends_session
from hub.routing.decide import Destination
from hub.routing.directed import directed_copy, directed_push
from hub.routing.plan import Plan
from hub.store import directed_notes
from hub.store.directed import store_pushes
from hub.store.directed_notes import Copy
from hub.store.pool import Store
from hub.telemetry import DIRECTED_PUSHES, get_logger
from workers.planning import STORE_SECONDS

log = get_logger(__name__)

_GATHER_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 0.5
_MOST_AT_ONCE: Final = 500
_MOST_BYTES_AT_ONCE: Final = 8 * 2**20
_MOST_WAITING: Final = 20_000
_MOST_WAITING_BYTES: Final = 64 * 2**20
_HAS_MORE_TO_COME: Final = "sessions"


class _Confirmed(NamedTuple):
    """One push that its receiver took; `written` is set when nothing is left to be done for it."""

    made: Plan
    destination: Destination
    at: float
    written: asyncio.Event

    @property
    def size(self) -> int:
        """Bytes of its body."""
        return len(self.made.parsed.envelope.body)


class Directed:
    """What one relay has to keep."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Confirmed] = []
        self._waiting_bytes = 0
        self._hurry = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._is_ending = False

    async def keep(self, made: Plan, destination: Destination) -> None:
        """Take a push that its receiver has confirmed; returns as soon as its caller may be told."""
        entry = _Confirmed(made, destination, time.monotonic(), asyncio.Event())
        if len(self._waiting) >= _MOST_WAITING or self._waiting_bytes + entry.size > _MOST_WAITING_BYTES:
            DIRECTED_PUSHES.labels("nothing").inc()
            log.error("directed.not_kept", correlation_id=made.parsed.envelope.correlation_id, error="too much waits")
            return
        self._waiting.append(entry)
        self._waiting_bytes += entry.size
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all(), name="directed")
        envelope = made.parsed.envelope
        if envelope.module == _HAS_MORE_TO_COME and not ends_session(envelope.body):
            return
        self._hurry.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STORE_SECONDS):
                await entry.written.wait()

    async def finish(self) -> None:
        """Write what is left; give up after a moment."""
        self._is_ending = True
        self._hurry.set()
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=STORE_SECONDS)
        if self._waiting:
            log.error("directed.not_kept", count=len(self._waiting), error="the relay stops")

    async def _write_all(self) -> None:
        """An error other than the store's absence halves what is written at once, until the push is found that it comes of."""
        most = _MOST_AT_ONCE
        while self._waiting:
            await self._gather()
            batch = self._first(most)
            try:
                await self._write(batch)
            except (StoreUnavailable, asyncpg.DeadlockDetectedError) as error:
                log.warning("directed.delayed", count=len(self._waiting), error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            except Exception:
                self._hurry.set()
                if len(batch) > 1:
                    most = len(batch) // 2
                    continue
                DIRECTED_PUSHES.labels("nothing").inc()
                log.exception("directed.not_kept", correlation_id=batch[0].made.parsed.envelope.correlation_id)
            else:
                most = min(2 * most, _MOST_AT_ONCE)
            self._done(batch)

    async def _gather(self) -> None:
        """Let more come, unless somebody waits for what is there."""
        if self._is_ending:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GATHER_SECONDS):
                await self._hurry.wait()
        self._hurry.clear()

    def _first(self, most: int) -> list[_Confirmed]:
        batch: list[_Confirmed] = []
        size = 0
        for entry in self._waiting[:most]:
            size += entry.size
            if batch and size > _MOST_BYTES_AT_ONCE:
                break
            batch.append(entry)
        return batch

    def _done(self, batch: list[_Confirmed]) -> None:
        del self._waiting[: len(batch)]
        for entry in batch:
            self._waiting_bytes -= entry.size
            entry.written.set()

    async def _write(self, batch: list[_Confirmed]) -> None:
        now = time.monotonic()
        pushes, copies, unnamed = [], [], 0
        for entry in batch:
            parsed = entry.made.parsed
            if parsed.envelope.module in DIRECTED_MODULES:
                push = directed_push(parsed, entry.destination)
                if push is None:
                    unnamed += 1
                else:
                    pushes.append(push)
            elif (found := directed_copy(parsed, entry.destination)) is not None:
                copies.append(Copy(*found, now - entry.at))
        refused = await store_pushes(self._store, pushes)
        for key, error in refused.items():
            log.warning("directed.not_kept", module=key.module, owner=str(key.owner), error=error)
        if copies:
            async with self._store.connection() as connection:
                await directed_notes.note(connection, copies)
        held = sum(push.key not in refused for push in pushes)
        DIRECTED_PUSHES.labels("held").inc(held)
        DIRECTED_PUSHES.labels("noted").inc(len(copies))
        DIRECTED_PUSHES.labels("nothing").inc(unnamed + len(pushes) - held)
