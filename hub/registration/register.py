"""Registration with its I/O: drives the handshake, stores its result in one transaction.

The result of a handshake is checked against the newest state before it is stored, since an operator, the platform itself or a
second request may have changed it while the partner was called: of two registrations with one token A only the first succeeds.

Rules CR-01 … CR-32, AU-07, AM-21, AM-22, AM-23; decisions D-08, D-09, D-14.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from hub.errors import PartnerError, StoreUnavailable
from hub.model.directory import OutboundToken, Platform, PlatformStatus, Quirk, TokenKind
from hub.ocpi.modules import CREDENTIALS, Interface
from hub.ocpi.parties import Role
from hub.ocpi.status import CONNECT_BACK_FAILED, PLATFORM_SUSPENDED, WRONG_REGISTRATION_STATE, Refusal
from hub.partners.client import PartnerClient
from hub.registration.calls import Call
from hub.registration.driver import drive, make_call
from hub.registration.handshake import TheirCredentials, Undecided, exchange, learn, read_credentials
from hub.registration.identity import Identity
from hub.registration.published import Learnt
from hub.store import platforms
from hub.store.directory import DirectoryKeeper, await_holders, bump
from hub.store.operators import order_writers
from hub.store.pool import Connection, Store
from hub.store.secrets import Secrets, make_token
from hub.telemetry import get_logger

log = get_logger(__name__)

GRACE: Final = timedelta(minutes=10)
_STORE_SECONDS: Final = 20.0
_STORE_AGAIN_SECONDS: Final = 0.5
HOLDERS_SECONDS: Final = 2.0
"""How long an answer waits for the other processes to take up new tokens. Longer than a notice takes, and short beside what a
client waits for its answer: a process that hangs must not make a registration fail that has succeeded."""

_ALREADY_REGISTERED: Final = Refusal(
    WRONG_REGISTRATION_STATE, "This platform is registered already: use PUT", allow=("GET", "PUT", "DELETE")
)
_NOT_REGISTERED: Final = Refusal(
    WRONG_REGISTRATION_STATE, "This platform is not registered (any more): use POST", allow=("GET", "POST")
)

T = TypeVar("T")


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
        self, platform: Platform, kind: TokenKind, token_hash: bytes, method: str, version: str, value: Any
    ) -> dict[str, Any] | Refusal:
        """POST or PUT credentials by a platform: connect back while its request is open, then answer with a new token.

        `token_hash` is that of the token it showed. Returns the hub's credentials with the platform's new token C, or the
        refusal; on a refusal everything stays as it was.
        """
        refusal = wrong_state(method, kind)
        if refusal is not None:
            return refusal
        theirs = read_credentials(version, value)
        if isinstance(theirs, Refusal):
            return theirs
        token = OutboundToken(theirs.token, _encoding(platform))
        learnt = await self._learn(theirs.url, token, wanted=version, roles=_roles(theirs))
        if isinstance(learnt, Refusal):
            log.warning("registration.failed", platform_id=platform.platform_id, reason=learnt.message)
            return learnt
        new_token = make_token()
        new_hash = self._secrets.hash_inbound(new_token)
        async with self._writing() as connection:
            changed = _changed_meanwhile(kind, await platforms.find_inbound(connection, token_hash))
            if changed is not None:
                return changed
            await platforms.add_token(connection, platform.platform_id, new_hash)
            taken = await self._connect(connection, platform.platform_id, learnt, learnt.token, theirs, new_hash)
        await self._take_up(taken)
        log.info("platform.registered", platform_id=platform.platform_id, method=method, version=version, by="platform")
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
        given = OutboundToken(token_a, _encoding(self._keeper.current.platforms.get(platform_id)))
        learnt = await self._learn(versions_url, given, wanted=None, roles=roles)
        if isinstance(learnt, Refusal):
            return learnt
        done = await self._exchange("POST", platform_id, learnt)
        return done.refusal if isinstance(done, Undecided) else done

    async def rotate(self, platform_id: str) -> Connected | Refusal | Undecided:
        """Give a platform a new token and get one from it, by PUT (CR-17, CR-18, AM-21).

        Where the platform may have taken the new token without the hub getting its own, the old and the new one both go on
        working; those of earlier such ends do not.
        """
        platform = self._keeper.current.platforms.get(platform_id)
        if platform is None or platform.token is None or platform.versions_url is None:
            return Refusal(CONNECT_BACK_FAILED, "the platform is not connected")
        roles = tuple(dict.fromkeys(entry.role for entry in platform.roles))
        learnt = await self._learn(platform.versions_url, platform.token, wanted=platform.version, roles=roles)
        if isinstance(learnt, Refusal):
            return learnt
        return await self._exchange("PUT", platform_id, learnt)

    async def unregister(self, platform_id: str) -> Refusal | None:
        """End the connection from the hub's side: DELETE at the platform, then both tokens are dead here too."""
        platform = self._keeper.current.platforms.get(platform_id)
        url = platform.endpoints.get((CREDENTIALS, Interface.SENDER)) if platform else None
        if platform is None or platform.token is None or url is None:
            return Refusal(CONNECT_BACK_FAILED, "the platform is not connected")
        received = await make_call(self._partners, Call("DELETE", url, platform.token))
        if isinstance(received, PartnerError) or received.http_status >= 300:
            reason = str(received) if isinstance(received, PartnerError) else f"HTTP {received.http_status}"
            log.warning("platform.not_told", platform_id=platform_id, reason=reason)
        await self._end(platform_id)
        return None

    async def retire_replaced_tokens(self, platform_id: str, used_hash: bytes) -> None:
        """The platform uses its newest token: those that it replaced open nothing any more (AM-21)."""
        async with self._writing() as connection:
            if await platforms.retire_tokens(connection, platform_id, used_hash):
                await bump(connection)

    async def _learn(
        self, url: str, token: OutboundToken, *, wanted: str | None, roles: tuple[Role, ...]
    ) -> Learnt | Refusal:
        """What a platform publishes, if none of it is the hub itself."""
        refusal = self.identity.refuse_own(url, {})
        if refusal is not None:
            return refusal
        learnt = await drive(self._partners, learn(url, token, wanted=wanted, roles=roles))
        if isinstance(learnt, Refusal):
            return learnt
        return self.identity.refuse_own(learnt.versions_url, learnt.endpoints) or learnt

    async def _exchange(self, method: str, platform_id: str, learnt: Learnt) -> Connected | Refusal | Undecided:
        """Offer a new token that already opens our versions, and store what comes back; on failure the token goes."""
        offered = make_token()
        token_hash = self._secrets.hash_inbound(offered)
        async with self._writing() as connection:
            await platforms.add_token(connection, platform_id, token_hash, datetime.now(UTC) + GRACE)
            await bump(connection)
        await self._reload()
        theirs = await drive(self._partners, exchange(method, learnt, self.identity.credentials(offered)))
        if not isinstance(theirs, TheirCredentials):
            await self._settle(platform_id, token_hash, keeps=isinstance(theirs, Undecided) and method == "PUT")
            return theirs
        taken = await self._insist(lambda: self._store_exchange(platform_id, learnt, theirs, token_hash))
        if isinstance(taken, Refusal):
            return taken
        await self._take_up(taken)
        log.info("platform.registered", platform_id=platform_id, method=method, version=learnt.version, by="hub")
        return Connected(platform_id, learnt.version, tuple(str(entry.party) for entry in theirs.roles))

    async def _settle(self, platform_id: str, token_hash: bytes, *, keeps: bool) -> None:
        """What becomes of a token on trial whose exchange did not end well."""
        async with self._writing() as connection:
            if keeps:
                await platforms.keep_undecided(connection, platform_id, token_hash)
            else:
                await platforms.drop_token(connection, token_hash)
            await bump(connection)
        await self._reload()

    async def _store_exchange(
        self, platform_id: str, learnt: Learnt, theirs: TheirCredentials, token_hash: bytes
    ) -> Refusal | int:
        async with self._writing() as connection:
            if await platforms.find_inbound(connection, token_hash) is None:
                return Refusal(CONNECT_BACK_FAILED, "the platform ended its connection meanwhile")
            outbound = OutboundToken(theirs.token, learnt.token.encoding)
            return await self._connect(connection, platform_id, learnt, outbound, theirs, token_hash)

    async def _insist(self, store: Callable[[], Awaitable[T]]) -> T:
        """Store what cannot be had again, also when Postgres is away for a moment. `store` may be repeated.

        Raises:
            StoreUnavailable: it stayed away.
        """
        deadline = time.monotonic() + _STORE_SECONDS
        while True:
            try:
                return await store()
            except StoreUnavailable as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("credentials.not_stored_yet", error=str(error))
                await asyncio.sleep(_STORE_AGAIN_SECONDS)

    async def _connect(
        self,
        connection: Connection,
        platform_id: str,
        learnt: Learnt,
        outbound: OutboundToken,
        theirs: TheirCredentials,
        token_hash: bytes,
    ) -> int:
        """Everything that a successful handshake changes, inside the caller's transaction; returns the directory's version."""
        sealed = self._secrets.seal(outbound.value, platform_id)
        await platforms.set_connection(connection, platform_id, learnt.version, learnt.versions_url)
        await platforms.replace_endpoints(connection, platform_id, learnt.endpoints)
        await platforms.replace_roles(connection, platform_id, theirs.roles)
        await platforms.set_outbound_token(connection, platform_id, sealed, self._secrets.key_id, outbound.encoding)
        await platforms.make_current(connection, platform_id, token_hash, datetime.now(UTC) + GRACE)
        return await bump(connection)

    async def _end(self, platform_id: str) -> None:
        async with self._writing() as connection:
            await platforms.end_connection(connection, platform_id)
            await bump(connection)
        await self._reload()
        log.info("platform.unregistered", platform_id=platform_id)

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[Connection]:
        """A transaction that is the only one to change the directory: what it reads holds until its end."""
        async with self._store.transaction() as connection:
            await order_writers(connection)
            yield connection

    async def _take_up(self, version: int) -> None:
        """Wait until every process shows the new token: the platform may drop the old one as soon as it is answered.

        `version` is that of the directory with the token, which this very process may fail to load.
        """
        await self._reload()
        try:
            held = await await_holders(self._store, version, timeout=HOLDERS_SECONDS)
        except StoreUnavailable:
            held = False
        if not held:
            log.warning("registration.not_everywhere_yet", version=version)

    async def _reload(self) -> None:
        """Take up what was just committed; where that fails the change holds all the same, and the keeper polls for it."""
        try:
            await self._keeper.refresh()
        except StoreUnavailable as error:
            log.warning("directory.not_renewed", error=str(error))


def wrong_state(method: str, kind: TokenKind) -> Refusal | None:
    """405 for a registration that exists already, or that does not exist yet (CR-12 … CR-14)."""
    is_registered = kind is TokenKind.ACCESS
    if method == "POST" and is_registered:
        return _ALREADY_REGISTERED
    if method in {"PUT", "DELETE"} and not is_registered:
        return _NOT_REGISTERED
    return None


def _changed_meanwhile(kind: TokenKind, standing: platforms.InboundStanding | None) -> Refusal | None:
    """Why a handshake that went well is not stored: its token was used up, or its platform shut out, since it began."""
    if standing is None:
        return _ALREADY_REGISTERED if kind is TokenKind.REGISTRATION else _NOT_REGISTERED
    if standing.status is PlatformStatus.SUSPENDED:
        return Refusal(PLATFORM_SUSPENDED, PLATFORM_SUSPENDED.message)
    return None


def _encoding(platform: Platform | None) -> str:
    """How a new token is shown at first; the handshake learns it otherwise (D-14)."""
    return "raw" if platform is not None and Quirk.RAW_TOKEN in platform.quirks else "base64"


def _roles(theirs: TheirCredentials) -> tuple[Role, ...]:
    return tuple(dict.fromkeys(entry.role for entry in theirs.roles))
