"""Notes what calls to platforms come to, for the presence worker to conclude from (D-10).

A note costs no I/O. Changed platforms are written about once a second; a turn from answers to failures, or back, is written at
once and announced. A call that has waited for its answer for a while, with no other answer meanwhile, counts as a failure until
one comes: deadlines are too long to find out by them that a platform hangs. Without Postgres the notes wait, one per platform.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Final

from hub.store import presence
from hub.store.pool import Store
from hub.store.presence import Seen
from hub.telemetry import get_logger

log = get_logger(__name__)

_FLUSH_SECONDS: Final = 1.0
_CHECK_SECONDS: Final = 0.05
_LEAST_PATIENCE_SECONDS: Final = 0.3
_MOST_PATIENCE_SECONDS: Final = 0.5
_FORGETS: Final = 0.95
_SHORTEST_PAUSE_SECONDS: Final = 0.1
_LAST_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Calls:
    """When calls to one platform were last answered and last failed, in monotonic seconds, as far as that is not written yet."""

    answered_at: float | None = None
    failed_at: float | None = None
    is_failing: bool = False
    under_way: int = 0
    usual: float = 0.0
    """How many seconds answers take lately, the slow ones."""
    waiting_since: float | None = None
    """Since when nothing has come of the calls under way; None where none is, or that is noted."""

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
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to write."""
        self._tasks = [
            asyncio.create_task(self._flush_for_ever(), name="evidence"),
            asyncio.create_task(self._check_for_ever(), name="evidence check"),
        ]

    async def stop(self) -> None:
        """Write what is left, if that is possible at once, and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                await self._flush()
        except Exception as error:
            log.warning("evidence.not_stored", error=repr(error))

    def begin(self, platform_id: str) -> None:
        """A call to a platform begins; `note` says what has come of it, or `leave` that it was cut off."""
        calls = self._calls.setdefault(platform_id, _Calls())
        calls.under_way += 1
        if calls.waiting_since is None:
            calls.waiting_since = time.monotonic()

    def note(self, platform_id: str, answered: bool, seconds: float = 0.0) -> None:
        """A call to a platform was answered in so long, or it failed: no connection, no answer in time, address refused."""
        calls = self._calls.setdefault(platform_id, _Calls())
        if answered:
            calls.usual = max(seconds, _FORGETS * calls.usual)
        self._end(calls)
        self._add(platform_id, calls, answered)

    def leave(self, platform_id: str) -> None:
        """A call was cut off by the hub itself, which says nothing about the platform."""
        self._end(self._calls[platform_id])

    def _end(self, calls: _Calls) -> None:
        calls.under_way = max(0, calls.under_way - 1)
        calls.waiting_since = time.monotonic() if calls.under_way else None

    def _add(self, platform_id: str, calls: _Calls, answered: bool) -> None:
        if answered:
            calls.answered_at = time.monotonic()
        else:
            calls.failed_at = time.monotonic()
        self._changed.add(platform_id)
        if calls.is_failing is answered:
            calls.is_failing = not answered
            self._is_turn = True
            self._turned.set()

    async def _check_for_ever(self) -> None:
        """Find the platforms of which calls have waited for too long."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            now = time.monotonic()
            for platform_id, calls in self._calls.items():
                if calls.waiting_since is not None and now - calls.waiting_since > patience_seconds(calls.usual):
                    calls.waiting_since = None
                    self._add(platform_id, calls, answered=False)

    async def _flush_for_ever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await self._turned.wait()
            self._turned.clear()
            try:
                await self._flush()
            except Exception as error:
                log.warning("evidence.not_stored", error=repr(error))
                await asyncio.sleep(_FLUSH_SECONDS)
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


def patience_seconds(usual: float) -> float:
    """How long calls to a platform may wait that usually takes so long: who is slow need not be looked at for each call."""
    return min(max(_LEAST_PATIENCE_SECONDS, 1.5 * usual), _MOST_PATIENCE_SECONDS)


def _ago(moment: float | None, now: float) -> float | None:
    return None if moment is None else max(0.0, now - moment)
