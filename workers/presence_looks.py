"""Looks at platforms when the rules say so, and writes down what that leads to.

A look is a GET of the platform's versions with our token. Whether a platform changes is decided on the newest evidence, inside
the transaction that writes it, and together with it the platform's parties change and the directory's version rises.

Rules HC-14, HC-15, HC-16, AM-39; decision D-10.
"""

import asyncio
import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from hub.delivery.prepare import prepare_own
from hub.delivery.presence import Look, Pace, Presence, after_look, look_of, next_look
from hub.errors import AnswerTooLarge, PartnerError, StoreUnavailable
from hub.model.directory import OutboundToken, Platform
from hub.store import client_infos, operators, presence
from hub.store.directory import bump
from hub.store.leases import Held
from hub.store.platforms import touch_roles
from hub.store.pool import Connection
from hub.telemetry import LOOKS, PLATFORM_TURNS, get_logger
from workers.app import WorkerContext
from workers.leased import LEASE_SECONDS, LONGEST_PAUSE_SECONDS, LeasedWork

log = get_logger(__name__)

_MOST_AT_ONCE: Final = 100
_SHORTEST_PAUSE_SECONDS: Final = 0.05


class _Shown(NamedTuple):
    """What one look has shown; `began` by the event loop's clock."""

    look: Look
    detail: str
    began: float

    def ago(self) -> timedelta:
        """How long ago it began."""
        return timedelta(seconds=asyncio.get_running_loop().time() - self.began)


class Looks:
    """The looks of one process; `work` runs them."""

    def __init__(self, context: WorkerContext) -> None:
        settings = context.settings
        self._context = context
        self._pace = Pace(
            idle=timedelta(seconds=settings.presence_idle_seconds),
            offline=timedelta(seconds=settings.presence_offline_seconds),
        )
        self._timeout = settings.presence_timeout_seconds
        self.work: Final = LeasedWork(context.store, "presence", self._begin_due, presence.renew)

    async def _begin_due(self) -> float:
        """Start what is due now; says in how many seconds more may be."""
        async with self._context.store.connection() as connection:
            known = await presence.read(connection)
            if known is None or not self._context.keeper.may_send:
                return LONGEST_PAUSE_SECONDS
            looked_at = {key: one for key, one in known.by_platform.items() if self._can_be_asked(key)}
            moments = {key: next_look(one, self._pace) for key, one in looked_at.items()}
            due = {key: looked_at[key] for key, moment in moments.items() if moment is None or moment <= known.now}
            await self._begin(connection, dict(list(due.items())[: _MOST_AT_ONCE - len(self.work)]))
        later = [(moment - known.now).total_seconds() for key, moment in moments.items() if moment and key not in due]
        return max(min([*later, LONGEST_PAUSE_SECONDS]), _SHORTEST_PAUSE_SECONDS)

    async def _begin(self, connection: Connection, due: Mapping[str, Presence]) -> None:
        if not due:
            return
        for held in await presence.lease(connection, due, secrets.token_hex(8), LEASE_SECONDS):
            self.work.add(held, self._look(held))

    def _can_be_asked(self, platform_id: str) -> bool:
        platform = self._context.keeper.current.platforms.get(platform_id)
        return platform is not None and platform.token is not None and platform.versions_url is not None

    async def _look(self, held: Held) -> None:
        """One look to its end; where it cannot be written the lease runs out and somebody looks anew."""
        platform = self._context.keeper.current.platforms.get(held.held_id)
        if platform is None or platform.token is None or platform.versions_url is None:
            return
        shown = await self._ask_twice(platform.versions_url, platform.token)
        try:
            if not await self._conclude(platform, held, shown, may_change=False):
                await self._conclude(platform, held, shown, may_change=True)
        except StoreUnavailable as error:
            log.warning("look.not_stored", platform_id=platform.platform_id, error=str(error))
        except Exception:
            log.exception("look.not_stored", platform_id=platform.platform_id)
        self.work.wake()

    async def _ask_twice(self, versions_url: str, token: OutboundToken) -> list[_Shown]:
        """Ask, and ask again beside it when half of the time has passed without an answer; the first answer counts.

        A platform that hangs is so found out in the time of one look, and a slow one still has all of that time to answer.
        """
        loop = asyncio.get_running_loop()
        began = [loop.time()]
        asks = {asyncio.create_task(self._ask(versions_url, token, self._timeout))}
        done, _ = await asyncio.wait(asks, timeout=self._timeout / 2)
        if not done:
            began.append(loop.time())
            asks.add(asyncio.create_task(self._ask(versions_url, token, self._timeout / 2)))
        shown: list[tuple[Look, str]] = []
        for ask in asyncio.as_completed(asks):
            shown.append(await ask)
            if shown[-1][0] is not Look.SILENT:
                shown = shown[-1:]
                break
        for task in asks:
            task.cancel()
        return [_Shown(look, detail, moment) for (look, detail), moment in zip(shown, began, strict=False)]

    async def _ask(self, versions_url: str, token: OutboundToken, seconds: float) -> tuple[Look, str]:
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
                attempt.method, attempt.url, attempt.headers, None, timeout=seconds
            )
        except AnswerTooLarge as error:
            return Look.ALIVE, str(error)
        except PartnerError as error:
            return Look.SILENT, str(error)
        return look_of(answer.http_status), f"HTTP {answer.http_status}"

    async def _conclude(self, platform: Platform, held: Held, shown: Sequence[_Shown], *, may_change: bool) -> bool:
        """Write what looks lead to; False, and nothing is written, when that is a change and `may_change` does not hold.

        A change waits for its turn among the writers of the directory before it reads, so that nothing it has seen can change.
        """
        async with self._context.store.transaction() as connection:
            if may_change:
                await operators.order_writers(connection)
            known = await presence.read_leased(connection, held)
            if known is None:
                return True
            after = known.presence
            for look in shown:
                after = after_look(after, look.look, known.now - look.ago(), known.now, self._pace)
            is_change = after.is_online is not known.presence.is_online
            if is_change and not may_change:
                return False
            await presence.store_look(connection, platform.platform_id, after)
            if is_change:
                await _change(connection, platform.platform_id, is_online=after.is_online)
        last = shown[-1]
        LOOKS.labels(last.look.value).inc(len(shown))
        log.debug("platform.looked_at", platform_id=platform.platform_id, look=last.look.value, detail=last.detail)
        if is_change:
            PLATFORM_TURNS.labels("online" if after.is_online else "offline").inc()
            log.warning(
                "platform.came_back" if after.is_online else "platform.went_offline",
                platform_id=platform.platform_id,
                name=platform.name,
                look=last.look.value,
                detail=last.detail,
            )
        return True


async def _change(connection: Connection, platform_id: str, *, is_online: bool) -> None:
    """Everything that changes with whether a platform can be reached, inside the caller's transaction (HC-16)."""
    await presence.set_online(connection, platform_id, is_online=is_online)
    await touch_roles(connection, platform_id)
    if is_online:
        await client_infos.try_now(connection, platform_id)
    await bump(connection)
