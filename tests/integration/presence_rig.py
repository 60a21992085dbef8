"""Presence workers as real processes, and platforms on real sockets that they look at and tell of each other."""

import asyncio
import base64
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp import web

from hub.messaging.topics import Topics
from hub.store.pool import Store
from hub.store.secrets import Secrets
from infra.dev.partner.wire import presented_tokens
from tests.integration.partner_rig import eventually
from tests.integration.worker_processes import Workers, worker_env
from workers.evidence import Evidence

SECRETS_KEY = base64.b64encode(b"k" * 32).decode()
QUICK = {
    "HUB_PRESENCE_IDLE_SECONDS": "600",
    "HUB_PRESENCE_OFFLINE_SECONDS": "0.3",
    "HUB_PRESENCE_TIMEOUT_SECONDS": "0.5",
}

Script = Callable[["Came"], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Came:
    """A request that reached a platform."""

    method: str
    path: str
    headers: dict[str, str]
    tokens: tuple[str, ...]
    body: Any
    at: float

    @property
    def info(self) -> tuple[str, str, str]:
        """Of a ClientInfo: party, role and status."""
        return f"{self.body['country_code']}/{self.body['party_id']}", self.body["role"], self.body["status"]


def ocpi(http_status: int = 200, status_code: int = 1000) -> web.Response:
    """An OCPI answer."""
    return web.json_response({"status_code": status_code, "timestamp": "2026-06-01T10:00:00Z"}, status=http_status)


async def says_yes(_: Came) -> web.StreamResponse:
    """The script of a platform in good health."""
    return ocpi()


@dataclass
class Watched:
    """A platform that can be switched off and on again at the same port."""

    roles: tuple[str, ...]
    platform_id: str = ""
    port: int = 0
    script: Script = says_yes
    came: list[Came] = field(default_factory=list)
    _runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """The token that the hub shows to it."""
        return f"token-of-{self.platform_id}"

    @property
    def looks(self) -> list[Came]:
        """The still-alive checks."""
        return [one for one in self.came if one.path == "/versions"]

    @property
    def told(self) -> list[Came]:
        """The ClientInfo objects that came."""
        return [one for one in self.came if one.path.startswith("/hubclientinfo/")]

    @property
    def told_of(self) -> list[tuple[str, str, str]]:
        """Party, role and status of each ClientInfo that came, in order."""
        return [one.info for one in self.told]

    async def on(self) -> None:
        """Listen."""
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def off(self) -> None:
        """Be gone: connections are refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        content = await request.read()
        tokens = presented_tokens(headers.get("authorization", ""))
        value = json.loads(content) if content else None
        one = Came(request.method, request.raw_path, headers, tokens, value, time.monotonic())
        self.came.append(one)
        return await self.script(one)


@dataclass
class Rig(Workers):
    """One database, its platforms, and as many presence workers as are started."""

    evidence: Evidence
    stack: contextlib.AsyncExitStack

    async def start(self, **settings: str) -> asyncio.subprocess.Process:
        """Start a presence worker and wait until it is ready."""
        return await self.start_worker("presence", **settings)

    async def add(self, *roles: str, is_told: bool = True, status: str = "connected") -> Watched:
        """Register a platform that listens; roles are `EMSP NL/MSP`."""
        watched = Watched(roles)
        await watched.on()
        self.stack.push_async_callback(watched.off)
        await self.register(watched, is_told=is_told, status=status)
        return watched

    async def register(self, watched: Watched, *, is_told: bool = True, status: str = "connected") -> None:
        """Write a platform as a handshake would."""
        watched.platform_id = str(uuid.uuid4())
        secrets = Secrets(base64.b64decode(SECRETS_KEY))
        async with self.changing() as connection:
            await connection.execute(
                "insert into platform (platform_id, name, status, ocpi_version, versions_url)"
                " values ($1, $2, $3, '2.2.1', $4)",
                *(watched.platform_id, " ".join(watched.roles), status, f"{watched.url}/versions"),
            )
            for entry in watched.roles:
                role, party = entry.split()
                await connection.execute(
                    "insert into party (platform_id, country_code, party_id, role, is_invited, business_details)"
                    " values ($1, $2, $3, $4, true, '{}')",
                    *(watched.platform_id, *party.split("/"), role),
                )
            if is_told:
                await connection.execute(
                    "insert into endpoint values ($1, 'hubclientinfo', 'RECEIVER', $2)",
                    *(watched.platform_id, f"{watched.url}/hubclientinfo"),
                )
            await connection.execute(
                "insert into outbound_token (platform_id, sealed, key_id) values ($1, $2, $3)",
                *(watched.platform_id, secrets.seal(watched.token, watched.platform_id), secrets.key_id),
            )

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[asyncpg.Connection]:
        """Change the database; every process is told at the end."""
        connection = await asyncpg.connect(self.database_url)
        try:
            async with connection.transaction():
                yield connection
                version = await connection.fetchval(
                    "update directory_version set version = version + 1 returning version"
                )
                await connection.execute("select pg_notify('directory', $1)", str(version))
        finally:
            await connection.close()

    async def value(self, sql: str, *arguments: object) -> Any:
        """One value from the database."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    async def is_online(self, watched: Watched) -> bool:
        """Whether a platform counts as reachable."""
        return bool(await self.value("select is_online from platform where platform_id = $1", watched.platform_id))

    async def until(self, watched: Watched, *, is_online: bool, within_s: float) -> float:
        """Wait until a platform counts as reachable, or not any more; the seconds that it took."""
        started = time.monotonic()

        async def is_so() -> bool:
            return await self.is_online(watched) is is_online

        await eventually(is_so, within_s)
        return time.monotonic() - started

    async def until_all_told(self, within_s: float = 15) -> None:
        """Wait until every connected viewer knows all that is true under the directory's version."""

        async def is_so() -> bool:
            sql = (
                "select bool_and(coalesce(told_version, 0) >= (select version from directory_version))"
                " from platform join endpoint using (platform_id) left join client_info_viewer on viewer_id = platform_id"
                " where module = 'hubclientinfo' and status = 'connected' and is_online"
            )
            return bool(await self.value(sql))

        await eventually(is_so, within_s)

    async def until_looked_at(self, watched: Watched, count: int = 1) -> None:
        """Wait until a platform was looked at so often, and the last look is written down."""

        async def is_so() -> bool:
            sql = "select looked_at is not null and leased_until < now() from platform_evidence where platform_id = $1"
            return len(watched.looks) >= count and bool(await self.value(sql, watched.platform_id))

        await eventually(is_so)


@contextlib.asynccontextmanager
async def presence_rig(
    database_url: str, bootstrap: str, topics: Topics, folder: Path, **settings: str
) -> AsyncIterator[Rig]:
    """A hub without platforms and without workers; `settings` are given to its workers."""
    env = worker_env(database_url, bootstrap, topics, SECRETS_KEY) | QUICK | settings
    async with contextlib.AsyncExitStack() as stack:
        store = await Store.open(database_url, size=2)
        stack.push_async_callback(store.close)
        evidence = Evidence(store)
        evidence.start()
        stack.push_async_callback(evidence.stop)
        rig = Rig(database_url, env, folder, evidence, stack)
        try:
            yield rig
        finally:
            await rig.kill_all()
