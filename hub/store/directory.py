"""Loads the `Directory` and keeps it current.

A change raises one version in its own transaction and announces it by NOTIFY; every process also polls, so a lost notice costs
seconds. Each process acknowledges the version that it holds under a lease: whoever revokes something waits until all hold it.
A process whose lease ran out must not send to partners (`may_send`).
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from hub.errors import ConfigurationError, StoreUnavailable
from hub.model.directory import (
    Directory,
    InboundToken,
    OutboundToken,
    PartyRole,
    Platform,
    PlatformStatus,
    Quirk,
    TokenKind,
)
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId, Role
from hub.store.pool import Connection, Store
from hub.store.secrets import Secrets
from hub.store.statements import load_statements
from hub.telemetry import DIRECTORY_VERSION, get_logger

log = get_logger(__name__)

SQL: Final = load_statements("directory")
POLL_SECONDS: Final = 5.0
LEASE_SECONDS: Final = 30.0


async def bump(connection: Connection) -> int:
    """Raise the directory's version inside the caller's transaction; processes are told when it commits."""
    version: int = await connection.fetchval(SQL["bump"])
    await connection.execute(SQL["notify"], str(version))
    return version


async def await_holders(store: Store, version: int, timeout: float = LEASE_SECONDS + 5) -> bool:
    """Wait until no live process holds an older version; False when `timeout` seconds were not enough."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        async with store.connection() as connection:
            if await connection.fetchval(SQL["behind"], version) == 0:
                return True
        await asyncio.sleep(0.05)
    return False


class DirectoryKeeper:
    """Holds the current `Directory` of one process."""

    def __init__(
        self, store: Store, secrets: Secrets, *, hub_party: PartyId, agreements: str, process_id: str, name: str
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._hub_party = hub_party
        self._agreements = agreements
        self._process_id = process_id
        self._name = name
        self._current: Directory | None = None
        self._leased_until = 0.0
        self._changed = asyncio.Event()
        self._reload = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self.on_change: Callable[[Directory], None] | None = None

    @property
    def process_id(self) -> str:
        """The name under which this process holds its lease."""
        return self._process_id

    @property
    def current(self) -> Directory:
        """The snapshot to use for one piece of work from beginning to end."""
        assert self._current is not None, "the directory is read before it was loaded"
        return self._current

    @property
    def age_seconds(self) -> float:
        """How long ago the snapshot was last known to be current."""
        return max(0.0, time.monotonic() - (self._leased_until - LEASE_SECONDS))

    @property
    def may_send(self) -> bool:
        """Whether this process' lease runs, so that its snapshot may still be acted upon."""
        return time.monotonic() < self._leased_until

    async def start(self) -> None:
        """Load once, then stay current.

        Raises:
            StoreUnavailable: the first load did not succeed.
        """
        await self.refresh()
        self._tasks = [
            asyncio.create_task(self._poll(), name="directory poll"),
            asyncio.create_task(self._listen(), name="directory listen"),
        ]

    async def stop(self) -> None:
        """Stop and give the lease back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable):
            async with self._store.connection() as connection:
                await connection.execute(SQL["let_go"], self._process_id)

    async def refresh(self) -> None:
        """Load if there is a newer version, and renew the lease.

        Raises:
            StoreUnavailable: Postgres did not answer.
        """
        async with self._reload, self._store.connection() as connection:
            asked_at = time.monotonic()
            version = await connection.fetchval(SQL["version"])
            if self._current is None or version != self._current.version:
                self._swap(await self._load(connection))
            await connection.execute(SQL["hold"], self._process_id, self._name, self.current.version, LEASE_SECONDS)
            self._leased_until = asked_at + LEASE_SECONDS

    async def knows_token(self, token_hash: bytes) -> bool:
        """Whether the database has this inbound token; if so the snapshot was old and is loaded anew.

        Raises:
            StoreUnavailable: Postgres did not answer.
        """
        async with self._store.connection() as connection:
            found = await connection.fetchval(SQL["find_token"], token_hash)
        if found:
            await self.refresh()
        return bool(found)

    def _swap(self, directory: Directory) -> None:
        self._current = directory
        DIRECTORY_VERSION.set(directory.version)
        log.info("directory.loaded", version=directory.version, platforms=len(directory.platforms))
        if self.on_change:
            self.on_change(directory)

    async def _load(self, connection: Connection) -> Directory:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            version = await connection.fetchval(SQL["version"])
            platforms = await connection.fetch(SQL["platforms"])
            parties = await connection.fetch(SQL["parties"])
            endpoints = await connection.fetch(SQL["endpoints"])
            tokens = await connection.fetch(SQL["tokens"])
        return Directory.build(
            version,
            self._hub_party,
            self._agreements,
            self._platforms(platforms, parties, endpoints),
            {row["token_hash"]: _inbound(row) for row in tokens},
            time.monotonic(),
        )

    def _platforms(self, platforms: list[Any], parties: list[Any], endpoints: list[Any]) -> dict[str, Platform]:
        roles: dict[str, list[PartyRole]] = defaultdict(list)
        unlisted: dict[str, list[PartyRole]] = defaultdict(list)
        for row in parties:
            party = PartyId(row["country_code"], row["party_id"])
            entry = PartyRole(party, Role(row["role"]), row["platform_id"], row["is_quarantined"], row["visible_since"])
            (roles if row["is_listed"] else unlisted)[row["platform_id"]].append(entry)
        urls: dict[str, dict[tuple[str, Interface], str]] = defaultdict(dict)
        for row in endpoints:
            urls[row["platform_id"]][row["module"], Interface(row["interface"])] = row["url"]
        return {
            row["platform_id"]: Platform(
                platform_id=row["platform_id"],
                name=row["name"],
                status=PlatformStatus(row["status"]),
                version=row["ocpi_version"],
                versions_url=row["versions_url"],
                endpoints=urls[row["platform_id"]],
                roles=tuple(roles[row["platform_id"]]),
                token=self._outbound(row),
                is_online=row["is_online"],
                accepts_stale=row["stale"] == "accept",
                quirks=frozenset(quirk for quirk in Quirk if quirk in row["quirks"]),
                unlisted=tuple(unlisted[row["platform_id"]]),
            )
            for row in platforms
        }

    def _outbound(self, row: Any) -> OutboundToken | None:
        if row["sealed"] is None:
            return None
        try:
            encoding = "raw" if Quirk.RAW_TOKEN in row["quirks"] else row["encoding"]
            return OutboundToken(self._secrets.unseal(row["sealed"], row["platform_id"]), encoding)
        except ConfigurationError as error:
            log.error("outbound_token.unreadable", platform_id=row["platform_id"], error=str(error))
            return None

    async def _poll(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self.refresh()
            except StoreUnavailable as error:
                log.warning("directory.not_renewed", error=str(error))
            except Exception:
                log.exception("directory.not_renewed")

    async def _listen(self) -> None:
        while True:
            try:
                async with self._store.connection() as connection:
                    await self._listen_on(connection)
            except StoreUnavailable as error:
                log.warning("directory.not_listening", error=str(error))
            except Exception:
                log.exception("directory.not_listening")
            await asyncio.sleep(1)

    async def _listen_on(self, connection: Connection) -> None:
        """Listen until the connection ends."""
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        await connection.add_listener("directory", self._notified)
        self._changed.set()  # whatever was announced while nobody listened
        try:
            await ended.wait()
        finally:
            if not connection.is_closed():
                await connection.remove_listener("directory", self._notified)

    def _notified(self, *_: object) -> None:
        self._changed.set()


def _inbound(row: Any) -> InboundToken:
    return InboundToken(row["platform_id"], TokenKind(row["kind"]), row["expires_at"], row["is_replaced"])
