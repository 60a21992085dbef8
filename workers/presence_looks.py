"""Looks at platforms when the rules say so, and writes down what that leads to.

A look is a GET of the platform's versions with our token. Whether a platform changes is decided on the newest evidence, inside
the transaction that writes it, and together with it the platform's parties change and the directory's version rises.

Rules HC-14, HC-15, HC-16, AM-39; decision D-10.
"""

import asyncio
import contextlib
import secrets
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from hub.delivery.prepare import prepare_own
from hub.delivery.presence import Look, Pace, Presence, after_look, look_of, next_look
from hub.errors import AnswerTooLarge, PartnerError, StoreUnavailable
from hub.model.directory import OutboundToken, Platform
from hub.store import client_infos, operators, presence
from hub.store.directory import bump
from hub.store.platforms import touch_roles
from hub.store.pool import Connection
from hub.telemetry import LOOKS, PLATFORM_TURNS, get_logger
from workers.app import WorkerContext

log = get_logger(__name__)

_MOST_AT_ONCE: Final = 100
_LEASE_MARGIN_SECONDS: Final = 5.0
_SHORTEST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0


class Looks:
    """The looks of one process."""

    def __init__(self, context: WorkerContext) -> None:
        settings = context.settings
        self._context = context
        self._pace = Pace(
            idle=timedelta(seconds=settings.presence_idle_seconds),
            offline=timedelta(seconds=settings.presence_offline_seconds),
        )
        self._timeout = settings.presence_timeout_seconds
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """There may be something to look at."""
        self._wake.set()

    async def drain(self, timeout: float) -> None:
        """Wait for the looks under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    async def run_for_ever(self) -> None:
        """Look whenever something is due; without Postgres it waits and goes on by itself."""
        while True:
            self._wake.clear()
            pause = _LONGEST_PAUSE_SECONDS
            try:
                pause = await self._begin_due()
            except StoreUnavailable as error:
                log.warning("presence.not_read", error=str(error))
            except Exception:
                log.exception("presence.not_read")
            await asyncio.sleep(_SHORTEST_PAUSE_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _begin_due(self) -> float:
        """Start what is due now; says in how many seconds more may be."""
        async with self._context.store.connection() as connection:
            known = await presence.read(connection)
            if known is None or not self._context.keeper.may_send:
                return _LONGEST_PAUSE_SECONDS
            looked_at = {key: one for key, one in known.by_platform.items() if self._can_be_asked(key)}
            moments = {key: next_look(one, self._pace) for key, one in looked_at.items()}
            due = {key: looked_at[key] for key, moment in moments.items() if moment is None or moment <= known.now}
            await self._begin(connection, dict(list(due.items())[: _MOST_AT_ONCE - len(self._tasks)]))
        later = [(moment - known.now).total_seconds() for key, moment in moments.items() if moment and key not in due]
        return min([*later, _LONGEST_PAUSE_SECONDS])

    async def _begin(self, connection: Connection, due: Mapping[str, Presence]) -> None:
        if not due:
            return
        lease = secrets.token_hex(8)
        seconds = self._timeout + _LEASE_MARGIN_SECONDS
        for platform_id in await presence.lease(connection, due, lease, seconds):
            task = asyncio.create_task(self._look(platform_id, lease))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _can_be_asked(self, platform_id: str) -> bool:
        platform = self._context.keeper.current.platforms.get(platform_id)
        return platform is not None and platform.token is not None and platform.versions_url is not None

    async def _look(self, platform_id: str, lease: str) -> None:
        """One look to its end; where it cannot be written the lease runs out and somebody looks anew."""
        platform = self._context.keeper.current.platforms.get(platform_id)
        if platform is None or platform.token is None or platform.versions_url is None:
            return
        began = asyncio.get_running_loop().time()
        look, detail = await self._ask(platform.versions_url, platform.token)
        LOOKS.labels(look.value).inc()
        took = timedelta(seconds=asyncio.get_running_loop().time() - began)
        try:
            if not await self._conclude(platform, lease, look, took, detail, may_change=False):
                await self._conclude(platform, lease, look, took, detail, may_change=True)
        except StoreUnavailable as error:
            log.warning("look.not_stored", platform_id=platform_id, error=str(error))
        except Exception:
            log.exception("look.not_stored", platform_id=platform_id)
        self.wake()

    async def _ask(self, versions_url: str, token: OutboundToken) -> tuple[Look, str]:
        """GET a platform's versions."""
        attempt = prepare_own(
            method="GET",
            url=versions_url,
            body=b"",
            token=token,
            request_id=str(uuid.uuid4()),
            correlation_id=str(uuid.uuid4()),
        )
        try:
            answer = await self._context.partners.send(
                attempt.method, attempt.url, attempt.headers, None, timeout=self._timeout
            )
        except AnswerTooLarge as error:
            return Look.ALIVE, str(error)
        except PartnerError as error:
            return Look.SILENT, str(error)
        return look_of(answer.http_status), f"HTTP {answer.http_status}"

    async def _conclude(
        self, platform: Platform, lease: str, look: Look, took: timedelta, detail: str, *, may_change: bool
    ) -> bool:
        """Write what a look leads to; False, and nothing is written, when that is a change and `may_change` does not hold.

        A change waits for its turn among the writers of the directory before it reads, so that nothing it has seen can change.
        """
        async with self._context.store.transaction() as connection:
            if may_change:
                await operators.order_writers(connection)
            known = await presence.read_leased(connection, platform.platform_id, lease)
            if known is None:
                return True
            after = after_look(known.presence, look, known.now - took, known.now, self._pace)
            is_change = after.is_online is not known.presence.is_online
            if is_change and not may_change:
                return False
            await presence.store_look(connection, platform.platform_id, after)
            if is_change:
                await _change(connection, platform.platform_id, is_online=after.is_online)
        log.debug("platform.looked_at", platform_id=platform.platform_id, look=look.value, detail=detail)
        if is_change:
            PLATFORM_TURNS.labels("online" if after.is_online else "offline").inc()
            log.warning(
                "platform.came_back" if after.is_online else "platform.went_offline",
                platform_id=platform.platform_id,
                name=platform.name,
                look=look.value,
                detail=detail,
            )
        return True


async def _change(connection: Connection, platform_id: str, *, is_online: bool) -> None:
    """Everything that changes with whether a platform can be reached, inside the caller's transaction (HC-16)."""
    await presence.set_online(connection, platform_id, is_online=is_online)
    await touch_roles(connection, platform_id)
    if is_online:
        await client_infos.try_now(connection, platform_id)
    await bump(connection)
