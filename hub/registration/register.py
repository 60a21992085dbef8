"""Registration with its I/O: drives the handshake, stores its result in one transaction.

Rules CR-01 … CR-32, AU-07, AM-21, AM-22, AM-23; decisions D-08, D-09, D-14.
"""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec

from hub.errors import PartnerError
from hub.model.directory import OutboundToken, Platform, TokenKind
from hub.ocpi.headers import CORRELATION_ID, REQUEST_ID, authorization
from hub.ocpi.modules import CREDENTIALS, Interface
from hub.ocpi.parties import PartyId, Role
from hub.ocpi.status import CONNECT_BACK_FAILED, ENDPOINTS_MISSING, WRONG_REGISTRATION_STATE, Refusal
from hub.partners.client import PartnerClient
from hub.registration.handshake import Call, Learnt, Received, TheirCredentials, exchange, learn, read_credentials
from hub.store import platforms
from hub.store.directory import DirectoryKeeper, bump
from hub.store.pool import Connection, Store
from hub.store.secrets import Secrets, make_token
from hub.telemetry import get_logger

log = get_logger(__name__)

CALL_SECONDS: Final = 10.0
GRACE: Final = timedelta(minutes=10)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Identity:
    """How the hub presents itself to platforms."""

    party: PartyId
    name: str
    versions_url: str

    def credentials(self, token: str) -> dict[str, Any]:
        """The hub's Credentials object in 2.2.1: itself only, in role HUB (CR-22)."""
        role = {
            "role": Role.HUB.value,
            "business_details": {"name": self.name},
            "party_id": self.party.party_id,
            "country_code": self.party.country_code,
        }
        return {"token": token, "url": self.versions_url, "roles": [role]}


@dataclass(frozen=True, slots=True)
class Connected:
    """A handshake that succeeded."""

    platform_id: str
    version: str
    parties: tuple[str, ...]


class Registrar:
    """Connects platforms, in both directions."""

    def __init__(
        self, *, store: Store, secrets: Secrets, keeper: DirectoryKeeper, partners: PartnerClient, identity: Identity
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._keeper = keeper
        self._partners = partners
        self.identity = identity

    async def receive(
        self, platform: Platform, kind: TokenKind, method: str, version: str, value: Any
    ) -> dict[str, Any] | Refusal:
        """POST or PUT credentials by a platform: connect back while its request is open, then answer with a new token.

        Returns the hub's credentials with the platform's new token C, or the refusal; on a refusal everything stays as it was.
        """
        refusal = wrong_state(method, kind)
        if refusal is not None:
            return refusal
        theirs = read_credentials(version, value)
        if isinstance(theirs, Refusal):
            return theirs
        token = OutboundToken(theirs.token)
        learnt = await self._drive(learn(theirs.url, token, wanted=version, roles=_roles(theirs)))
        if isinstance(learnt, Refusal):
            log.warning("registration.failed", platform_id=platform.platform_id, reason=learnt.message)
            return learnt
        new_token = make_token()
        async with self._store.transaction() as connection:
            token_hash = self._secrets.hash_inbound(new_token)
            await platforms.add_token(connection, platform.platform_id, token_hash)
            await self._connect(connection, platform.platform_id, learnt, learnt.token, theirs, token_hash)
        await self._keeper.refresh()
        log.info("platform.registered", platform_id=platform.platform_id, method=method, version=version)
        return self.identity.credentials(new_token)

    async def end(self, platform: Platform, kind: TokenKind) -> Refusal | None:
        """DELETE credentials by a platform: both tokens are dead, everything else stays (D-08)."""
        refusal = wrong_state("DELETE", kind)
        if refusal is not None:
            return refusal
        await self._end(platform.platform_id)
        return None

    async def connect(
        self, platform_id: str, versions_url: str, token_a: str, roles: tuple[Role, ...]
    ) -> Connected | Refusal:
        """Register at a platform as Sender: with its token A, at its versions URL (CR-03 … CR-05, CR-32)."""
        given = OutboundToken(token_a)
        learnt = await self._drive(learn(versions_url, given, wanted=None, roles=roles))
        if isinstance(learnt, Refusal):
            return learnt
        return await self._exchange("POST", platform_id, learnt)

    async def rotate(self, platform_id: str) -> Connected | Refusal:
        """Give a platform a new token and get one from it, by PUT (CR-17, CR-18, AM-21)."""
        platform = self._keeper.current.platforms.get(platform_id)
        if platform is None or platform.token is None or platform.versions_url is None:
            return Refusal(CONNECT_BACK_FAILED, "the platform is not connected")
        roles = tuple(dict.fromkeys(entry.role for entry in platform.roles))
        learnt = await self._drive(learn(platform.versions_url, platform.token, wanted=platform.version, roles=roles))
        if isinstance(learnt, Refusal):
            return learnt
        return await self._exchange("PUT", platform_id, learnt)

    async def unregister(self, platform_id: str) -> Refusal | None:
        """End the connection from the hub's side: DELETE at the platform, then both tokens are dead here too."""
        platform = self._keeper.current.platforms.get(platform_id)
        url = platform.endpoints.get((CREDENTIALS, Interface.SENDER)) if platform else None
        if platform is None or platform.token is None or url is None:
            return Refusal(CONNECT_BACK_FAILED, "the platform is not connected")
        received = await self._call(Call("DELETE", url, platform.token))
        if isinstance(received, PartnerError):
            log.warning("platform.not_told", platform_id=platform_id, reason=str(received))
        await self._end(platform_id)
        return None

    async def retire_replaced_tokens(self, platform_id: str) -> None:
        """The platform uses its newest token: those that it replaced open nothing any more (AM-21)."""
        async with self._store.transaction() as connection:
            if await platforms.retire_tokens(connection, platform_id):
                await bump(connection)

    async def _exchange(self, method: str, platform_id: str, learnt: Learnt) -> Connected | Refusal:
        """Offer a new token that already opens our versions, and store what comes back; on failure the token goes."""
        if (CREDENTIALS, Interface.SENDER) not in learnt.endpoints:
            return Refusal(ENDPOINTS_MISSING, "the platform has no credentials endpoint")
        offered = make_token()
        token_hash = self._secrets.hash_inbound(offered)
        async with self._store.transaction() as connection:
            await platforms.add_token(connection, platform_id, token_hash, datetime.now(UTC) + GRACE)
            await bump(connection)
        await self._keeper.refresh()
        theirs = await self._drive(exchange(method, learnt, learnt.token, self.identity.credentials(offered)))
        if isinstance(theirs, Refusal):
            async with self._store.transaction() as connection:
                await platforms.drop_token(connection, token_hash)
                await bump(connection)
            await self._keeper.refresh()
            return theirs
        async with self._store.transaction() as connection:
            outbound = OutboundToken(theirs.token, learnt.token.encoding)
            await self._connect(connection, platform_id, learnt, outbound, theirs, token_hash)
        await self._keeper.refresh()
        log.info("platform.registered", platform_id=platform_id, method=method, version=learnt.version, by="hub")
        return Connected(platform_id, learnt.version, tuple(str(entry.party) for entry in theirs.roles))

    async def _connect(
        self,
        connection: Connection,
        platform_id: str,
        learnt: Learnt,
        outbound: OutboundToken,
        theirs: TheirCredentials,
        token_hash: bytes,
    ) -> None:
        """Everything that a successful handshake changes, inside the caller's transaction."""
        sealed = self._secrets.seal(outbound.value, platform_id)
        await platforms.set_connection(connection, platform_id, learnt.version, learnt.versions_url)
        await platforms.replace_endpoints(connection, platform_id, learnt.endpoints)
        await platforms.replace_roles(connection, platform_id, theirs.roles)
        await platforms.set_outbound_token(connection, platform_id, sealed, self._secrets.key_id, outbound.encoding)
        await platforms.make_current(connection, platform_id, token_hash, datetime.now(UTC) + GRACE)
        await bump(connection)

    async def _end(self, platform_id: str) -> None:
        async with self._store.transaction() as connection:
            await platforms.end_connection(connection, platform_id)
            await bump(connection)
        await self._keeper.refresh()
        log.info("platform.unregistered", platform_id=platform_id)

    async def _drive(self, flow: Generator[Call, Received, T]) -> T:
        """Make the calls of a handshake one after the other."""
        try:
            call = next(flow)
            while True:
                call = flow.send(await self._call(call))
        except StopIteration as done:
            result: T = done.value
            return result

    async def _call(self, call: Call) -> Received:
        headers = {
            "Authorization": authorization(call.token.value, call.token.encoding),
            REQUEST_ID: str(uuid4()),
            CORRELATION_ID: str(uuid4()),
            "Accept": "application/json",
        }
        body = None
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            body = msgspec.json.encode(call.body)
        try:
            return await self._partners.send(call.method, call.url, headers, body, CALL_SECONDS)
        except PartnerError as error:
            return error


def wrong_state(method: str, kind: TokenKind) -> Refusal | None:
    """405 for a registration that exists already, or that does not exist yet (CR-12 … CR-14)."""
    is_registered = kind is TokenKind.ACCESS
    if method == "POST" and is_registered:
        return Refusal(
            WRONG_REGISTRATION_STATE, "This platform is registered already: use PUT", allow=("GET", "PUT", "DELETE")
        )
    if method in {"PUT", "DELETE"} and not is_registered:
        return Refusal(WRONG_REGISTRATION_STATE, "This platform is not registered yet: use POST", allow=("GET", "POST"))
    return None


def _roles(theirs: TheirCredentials) -> tuple[Role, ...]:
    return tuple(dict.fromkeys(entry.role for entry in theirs.roles))
