"""Tells every platform how the parties of the others stand: one PUT for each platform and ClientInfo (HC-19).

What a viewer was told is kept, so what it still has to be told is a difference: the newest state only, whatever happened in
between, after a restart too. A viewer that connects anew is told everything. One process at a time holds a viewer; it sends one
PUT after the other to the same URL (AM-37), the latest change first, and stops when the directory changes, to compare again.

A PUT whose answer is lost is sent again. A viewer that refuses one with an OCPI code is asked again at the next change only.
A new party's CONNECTED is on its way within milliseconds of its registration. Only fills wait for it: a receiver is not marked
for an owner's objects before it has taken the ClientInfo of that owner (`workers.sync_fills`, D-26). What an owner pushes to all
in its first moments, and what a receiver that returns has missed, may arrive before a ClientInfo that changed meanwhile (AM-18).

Rules HC-01, HC-03 … HC-05, HC-07, HC-19, HC-20, AM-37; decisions D-18, D-26.
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import Enum, auto
from itertools import groupby, islice
from typing import Final
from urllib.parse import quote

import msgspec

from hub.delivery.judge import Judgement
from hub.delivery.prepare import Attempt, prepare_own
from hub.errors import StoreUnavailable
from hub.model.directory import Directory, Platform
from hub.model.outcome import Leg, Outcome, Verdict, object_name
from hub.ocpi.headers import CORRELATION_ID, REQUEST_ID
from hub.ocpi.modules import HUB_CLIENT_INFO, Interface, TrafficClass
from hub.routing.client_info import ClientInfo, RoleStanding, client_info, untold, visible_to
from hub.routing.rewrite import join
from hub.store import client_infos, platforms
from hub.store.leases import Held
from hub.telemetry import CLIENT_INFOS_SENT, get_logger
from workers.app import WorkerContext
from workers.calls import call
from workers.evidence import Evidence
from workers.leased import LEASE_SECONDS, LONGEST_PAUSE_SECONDS, LeasedWork

log = get_logger(__name__)

_MOST_VIEWERS: Final = 64
_PARTIES_AT_ONCE: Final = 4
_PUT_SECONDS: Final = 10.0
_STORE_SECONDS: Final = 15.0
_STORE_AGAIN_SECONDS: Final = 0.5
_TAKEN: Final = frozenset({Verdict.DELIVERED, Verdict.REFUSED})


class _End(Enum):
    """How far a viewer was told."""

    ALL = auto()
    OVERTAKEN = auto()
    """The directory has changed, or the worker stops."""
    TROUBLED = auto()


class Telling:
    """What one process tells its viewers; `work` runs it. A viewer is left after the PUTs that have begun."""

    def __init__(self, context: WorkerContext, evidence: Evidence) -> None:
        self._context = context
        self._evidence = evidence
        self.work: Final = LeasedWork(context.store, "client_infos", self._begin, client_infos.renew)

    async def _begin(self) -> float:
        """Take the viewers that may lack something, and read how all roles stand, not earlier than the directory at hand."""
        directory = self._context.keeper.current
        viewers = [viewer.platform_id for viewer in directory.platforms.values() if _endpoint(viewer)]
        room = _MOST_VIEWERS - len(self.work)
        if not viewers or room <= 0 or not self._context.keeper.may_send:
            return LONGEST_PAUSE_SECONDS
        name = secrets.token_hex(8)
        async with self._context.store.transaction() as connection:
            held = await client_infos.lease(
                connection, viewers, directory.version, name, seconds=LEASE_SECONDS, most=room
            )
            standings = await platforms.role_standings(connection) if held else ()
        for one in held:
            self.work.add(one, self._tell(one, directory, standings))
        return LONGEST_PAUSE_SECONDS

    async def _tell(self, held: Held, directory: Directory, standings: Sequence[RoleStanding]) -> None:
        """One viewer, until it knows all or something comes between; then the lease is given back."""
        try:
            end = await self._tell_all(held, directory, standings)
            async with self._context.store.connection() as connection:
                match end:
                    case _End.ALL:
                        await client_infos.finish(connection, held, directory.version)
                    case _End.OVERTAKEN:
                        await client_infos.give_back(connection, held)
                    case _End.TROUBLED:
                        await client_infos.put_off(connection, held)
        except StoreUnavailable as error:
            log.warning("viewer.not_told", platform_id=held.held_id, error=str(error))
        except Exception:
            log.exception("viewer.not_told", platform_id=held.held_id)
        self.work.wake()

    async def _tell_all(self, held: Held, directory: Directory, standings: Sequence[RoleStanding]) -> _End:
        async with self._context.store.connection() as connection:
            told = await client_infos.told(connection, held.held_id)
            now = await client_infos.read_time(connection)
        visible = visible_to(directory, held.held_id, standings)
        by_party = _by_party(untold(told, map(client_info, visible), now))
        viewer = directory.platforms[held.held_id]
        while some := list(islice(by_party, _PARTIES_AT_ONCE)):
            if self._context.stopping.is_set() or self._is_overtaken(directory):
                return _End.OVERTAKEN
            if not all(await asyncio.gather(*(self._tell_of(held, viewer, infos) for infos in some))):
                return _End.TROUBLED
        return _End.ALL

    def _is_overtaken(self, directory: Directory) -> bool:
        keeper = self._context.keeper
        return keeper.current.version != directory.version or not keeper.may_send

    async def _tell_of(self, held: Held, viewer: Platform, infos: Sequence[ClientInfo]) -> bool:
        """The roles of one party, one after the other; False when the viewer is in trouble or another process has it."""
        for info in infos:
            judgement = await self._put(viewer, info)
            if judgement.verdict not in _TAKEN or not await self._insist(lambda info=info: self._note(held, info)):  # type: ignore[misc]
                return False
        return True

    async def _note(self, held: Held, info: ClientInfo) -> bool:
        async with self._context.store.connection() as connection:
            return await client_infos.note_told(connection, held, info, seconds=LEASE_SECONDS)

    async def _insist(self, note: Callable[[], Awaitable[bool]]) -> bool:
        """Write down what was told, also when Postgres is away for a moment: else it would be told again."""
        deadline = time.monotonic() + _STORE_SECONDS
        while True:
            try:
                return await note()
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_STORE_AGAIN_SECONDS)

    async def _put(self, viewer: Platform, info: ClientInfo) -> Judgement:
        """One PUT, judged, counted and told to the ledger."""
        attempt = _prepared(viewer, info)
        judgement, _, seconds = await call(
            self._context.partners,
            self._evidence,
            viewer.platform_id,
            attempt,
            traffic=TrafficClass.PUSH,
            timeout=_PUT_SECONDS,
        )
        CLIENT_INFOS_SENT.labels(judgement.verdict.value).inc()
        self._context.outcomes.note(self._outcome(viewer, info, attempt, judgement, elapsed_ms=seconds * 1000))
        return judgement

    def _outcome(
        self, viewer: Platform, info: ClientInfo, attempt: Attempt, judgement: Judgement, *, elapsed_ms: float
    ) -> Outcome:
        said = f"{info.role} is {info.status}"
        return Outcome(
            at=int(time.time() * 1000),
            outcome_id=str(uuid.uuid4()),
            correlation_id=attempt.headers[CORRELATION_ID],
            request_id=attempt.headers[REQUEST_ID],
            leg=Leg.PRESENCE,
            kind="client_info.sent",
            verdict=judgement.verdict,
            platform_id=viewer.platform_id,
            from_party=str(self._context.keeper.current.hub_party),
            ocpi_version=viewer.version,
            module=HUB_CLIENT_INFO,
            interface=Interface.RECEIVER.value,
            method=attempt.method,
            object=object_name(HUB_CLIENT_INFO, *info.party.folded),
            http_status=judgement.http_status if judgement.is_partners else None,
            ocpi_status=judgement.ocpi_status,
            detail=f"{said}; {judgement.detail}" if judgement.detail else said,
            elapsed_ms=elapsed_ms,
        )


def _endpoint(viewer: Platform) -> str | None:
    """Where a platform wants to be told, while it is connected (HC-19)."""
    return viewer.endpoints.get((HUB_CLIENT_INFO, Interface.RECEIVER)) if viewer.is_connected else None


def _prepared(viewer: Platform, info: ClientInfo) -> Attempt:
    """PUT of the full object under the ids of the party that it describes, without routing headers (HC-01, HC-04, HC-05)."""
    endpoint, token = _endpoint(viewer), viewer.token
    assert endpoint is not None
    assert token is not None
    party = info.party
    return prepare_own(
        method="PUT",
        url=join(endpoint, f"{quote(party.country_code, safe='')}/{quote(party.party_id, safe='')}", ""),
        body=msgspec.json.encode(info.value()),
        token=token,
        request_id=str(uuid.uuid4()),
        correlation_id=str(uuid.uuid4()),
    )


def _by_party(infos: Sequence[ClientInfo]) -> Iterator[list[ClientInfo]]:
    """The ClientInfo objects of one URL together, parties in the order of their first."""
    order = {info.key[:2]: place for place, info in reversed(list(enumerate(infos)))}
    ordered = sorted(infos, key=lambda info: order[info.key[:2]])
    return (list(group) for _, group in groupby(ordered, key=lambda info: info.key[:2]))
