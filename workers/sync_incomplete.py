"""Fetches objects of which the hub knows patches only, and puts them onto the log as if their owners had pushed them.

Decision D-12; rules AM-36, AM-42.
"""

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import Final

import asyncpg
import msgspec

from hub.delivery.judge import judge_answer
from hub.delivery.prepare import prepare
from hub.errors import LogUnavailable, PartnerError, StoreUnavailable
from hub.messaging.codec import encode, push_key
from hub.messaging.topics import PUSHES
from hub.model.directory import Platform
from hub.model.envelope import Envelope, Scenario
from hub.model.outcome import Leg, Outcome, Verdict, object_name
from hub.ocpi.modules import Interface, TrafficClass, find, segments
from hub.ocpi.parties import PartyId
from hub.ocpi.status import Refusal
from hub.routing.pull import Pulled, admit, names, pause_seconds, read_page, read_single
from hub.store import incomplete
from hub.store.incomplete import Lacking
from hub.telemetry import get_logger
from workers.app import WorkerContext

log = get_logger(__name__)

_POLL_SECONDS: Final = 1.0
_AT_ONCE: Final = 8
_PAGE: Final = 100
_MOST_PAGES: Final = 100
_LIST_SECONDS: Final = 300.0
_SETTLE_SECONDS: Final = 60.0
_SEND_SECONDS: Final = 10.0
_UNKNOWN: Final = 2003


class _Missing(Exception):
    """The owner does not have it, or does not offer it: `detail` says which."""


class _Failed(Exception):
    """It may be had later."""


class Incomplete:
    """The fetches of one process."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    async def run_for_ever(self) -> None:
        """Fetch whatever is due; without Postgres it waits and goes on by itself."""
        while True:
            try:
                await self._fetch_due()
            except (StoreUnavailable, asyncpg.PostgresError) as error:
                log.warning("incomplete.not_read", error=repr(error))
            except Exception:
                log.exception("incomplete.not_read")
            await asyncio.sleep(_POLL_SECONDS)

    async def _fetch_due(self) -> None:
        if not self._context.keeper.may_send:
            return
        async with self._context.store.connection() as connection:
            await incomplete.tidy(connection)
            due = await incomplete.take(connection, limit=_AT_ONCE, seconds=_LIST_SECONDS + _SETTLE_SECONDS)
        await asyncio.gather(*(self._fetch(lacking) for lacking in due))

    async def _fetch(self, lacking: Lacking) -> None:
        """One attempt, and what it leads to: a push on the log, another attempt, or none before the next patch."""
        tail = "/".join(segments(lacking.tail)[:3])
        pause, is_given_up, detail, verdict = _SETTLE_SECONDS, False, "", Verdict.DELIVERED
        try:
            async with asyncio.timeout(_LIST_SECONDS):
                await self._pull(lacking, tail)
        except _Missing as error:
            pause, is_given_up, detail, verdict = 0.0, True, str(error), Verdict.REFUSED
        except (_Failed, PartnerError, LogUnavailable, msgspec.DecodeError, TimeoutError) as error:
            pause, detail, verdict = pause_seconds(lacking.tries), str(error) or type(error).__name__, Verdict.TROUBLED
        async with self._context.store.connection() as connection:
            await incomplete.put_off(connection, lacking.root, seconds=pause, detail=detail, is_given_up=is_given_up)
        if is_given_up:
            log.warning("object.given_up", object=object_name(lacking.root.module, *segments(tail)), detail=detail)
        self._tell(lacking, tail, verdict, detail)

    async def _pull(self, lacking: Lacking, tail: str) -> None:
        platform = self._context.keeper.current.platforms.get(lacking.platform_id)
        if platform is None or not platform.is_connected or platform.version is None:
            raise _Failed("the owner's platform is not connected")
        owner = PartyId(*segments(tail)[:2])
        if not self._context.keeper.current.owns(platform.platform_id, owner):
            raise _Failed("the owner is no party of this platform")
        raw = await self._get(platform, owner, lacking, segments(tail)[2])
        found = admit(platform.version, lacking.root, tail, lacking.query, raw)
        if isinstance(found, Refusal):
            raise _Failed(f"what the owner answered was refused: {found.message}")
        await self._push(platform, owner, lacking, tail, found)

    async def _get(self, platform: Platform, owner: PartyId, lacking: Lacking, object_id: str) -> bytes:
        """The object: by its own URL where the version has one, else out of the owner's list."""
        module = lacking.root.module
        base = platform.endpoints.get((module, Interface.SENDER), "").rstrip("/")
        if not base:
            raise _Missing(f"the owner offers no {module} as SENDER")
        single = find(platform.version or "", module, Interface.SENDER, object_id)
        if single is not None and "GET" in single.resource.operations:
            return read_single(await self._ask(platform, owner, f"{base}/{object_id}", TrafficClass.SINGLE))
        for page in range(_MOST_PAGES):
            url = f"{base}?offset={page * _PAGE}&limit={_PAGE}"
            entries = read_page(await self._ask(platform, owner, url, TrafficClass.LIST))
            for entry in entries:
                if names(lacking.root, entry):
                    return entry
            if not entries:
                break
        raise _Missing("the owner's list does not have it")

    async def _ask(self, platform: Platform, owner: PartyId, url: str, traffic: TrafficClass) -> bytes:
        assert platform.token is not None
        attempt = prepare(
            method="GET",
            url=url,
            body=b"",
            content_type="",
            token=platform.token,
            to_party=owner,
            from_party=self._context.keeper.current.hub_party,
            request_id=str(uuid.uuid4()),
            correlation_id=str(uuid.uuid4()),
        )
        timeout = self._context.settings.deadline_seconds(traffic)
        answer = await self._context.partners.send("GET", attempt.url, attempt.headers, None, timeout=timeout)
        judged = judge_answer(
            http_status=answer.http_status,
            headers=answer.headers,
            content=answer.body,
            method="GET",
            traffic=traffic,
            now=datetime.now(UTC),
        )
        if judged.verdict is Verdict.DELIVERED:
            return answer.body
        if answer.http_status == 404 or judged.ocpi_status == _UNKNOWN:
            raise _Missing(f"the owner does not know it: HTTP {answer.http_status}, OCPI {judged.ocpi_status}")
        raise _Failed(judged.detail or f"HTTP {answer.http_status}, OCPI {judged.ocpi_status}")

    async def _push(self, platform: Platform, owner: PartyId, lacking: Lacking, tail: str, found: Pulled) -> None:
        envelope = Envelope(
            version=platform.version or "",
            module=lacking.root.module,
            interface=Interface.RECEIVER,
            method="PUT",
            tail=tail,
            query=lacking.query,
            scenario=Scenario.BROADCAST,
            platform_id=platform.platform_id,
            from_party=owner,
            to_party=None,
            request_id=str(uuid.uuid4()),
            correlation_id=str(uuid.uuid4()),
            content_type="application/json",
            received_at=int(time.time() * 1000),
            body=found.body,
            known=lacking.known,
        )
        await self._context.durable.send(
            self._context.topics.name(PUSHES),
            value=envelope.body,
            key=push_key(lacking.root.module, owner, lacking.root.object_id),
            headers=encode(envelope),
            timeout=_SEND_SECONDS,
        )

    def _tell(self, lacking: Lacking, tail: str, verdict: Verdict, detail: str) -> None:
        self._context.outcomes.note(
            Outcome(
                at=int(time.time() * 1000),
                outcome_id=str(uuid.uuid4()),
                correlation_id=str(uuid.uuid4()),
                request_id="",
                leg=Leg.SYNC,
                kind="object.fetched",
                verdict=verdict,
                platform_id=lacking.platform_id,
                to_party=str(lacking.root.owner),
                module=lacking.root.module,
                interface=Interface.SENDER.value,
                method="GET",
                object=object_name(lacking.root.module, *segments(tail)),
                detail=detail or None,
            )
        )
