"""Notes what calls to platforms come to, for the presence worker to conclude from (D-10).

A note costs no I/O. Changed platforms are written about once a second; a turn from answers to failures, or back, is written at
once and announced. Without Postgres the notes wait, one per platform.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Final

import asyncpg

from hub.errors import StoreUnavailable
from hub.store import presence
from hub.store.pool import Store
from hub.store.presence import Seen
from hub.telemetry import get_logger

log = get_logger(__name__)

_FLUSH_SECONDS: Final = 1.0
_SHORTEST_PAUSE_SECONDS: Final = 0.1
_LAST_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Calls:
    """When calls to one platform were last answered and last failed, in monotonic seconds, as far as that is not written yet."""

    answered_at: float | None = None
    failed_at: float | None = None
    is_failing: bool = False

    def forget(self, answered_at: float | None, failed_at: float | None) -> None:
        """These moments are written."""
        if self.answered_at == answered_at:
            self.answered_at = None
        if self.failed_at == failed_at:
            self.failed_at = None


class Evidence:
    """The evidence of one process. An answer is any that shows that the platform takes our token (`is_usable`)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls: dict[str, _Calls] = {}
        self._changed: set[str] = set()
        self._is_turn = False
        self._turned = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._flush_for_ever(), name="evidence")

    async def stop(self) -> None:
        """Write what is left, if that is possible at once, and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable, TimeoutError, asyncpg.PostgresError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._flush()

    def note(self, platform_id: str, answered: bool) -> None:
        """A call to a platform was answered, or it failed: no connection, no answer in time, address refused."""
        calls = self._calls.setdefault(platform_id, _Calls())
        if answered:
            calls.answered_at = time.monotonic()
        else:
            calls.failed_at = time.monotonic()
        self._changed.add(platform_id)
        if calls.is_failing is answered:
            calls.is_failing = not answered
            self._is_turn = True
            self._turned.set()

    async def _flush_for_ever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await self._turned.wait()
            self._turned.clear()
            try:
                await self._flush()
            except (StoreUnavailable, asyncpg.PostgresError) as error:
                log.warning("evidence.not_stored", error=repr(error))
                await asyncio.sleep(_FLUSH_SECONDS)
            except Exception:
                log.exception("evidence.not_stored")
            await asyncio.sleep(_SHORTEST_PAUSE_SECONDS)

    async def _flush(self) -> None:
        """Write what is new; each moment is written once, as seconds ago by the time that the connection is there."""
        if not self._changed:
            return
        changed, self._changed = self._changed, set()
        is_turn, self._is_turn = self._is_turn, False
        news = [
            (platform_id, calls.answered_at, calls.failed_at)
            for platform_id in sorted(changed)
            for calls in (self._calls[platform_id],)
        ]
        try:
            async with self._store.transaction() as connection:
                now = time.monotonic()
                seen = [
                    Seen(platform_id, _ago(answered, now), _ago(failed, now)) for platform_id, answered, failed in news
                ]
                await presence.note(connection, seen, is_turn=is_turn)
        except BaseException:
            self._changed |= changed
            self._is_turn |= is_turn
            raise
        for platform_id, answered, failed in news:
            self._calls[platform_id].forget(answered, failed)


def _ago(moment: float | None, now: float) -> float | None:
    return None if moment is None else max(0.0, now - moment)
