"""The HTTP process and the relay as real processes, with scripted platforms on real sockets around them."""

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from aiohttp import web
from yarl import URL

from hub.messaging.topics import Topics
from hub.store.secrets import Secrets
from tests.integration.partner_rig import eventually

SECRETS_KEY = base64.b64encode(b"k" * 32).decode()
OPERATOR_TOKEN = "operator-token-of-this-test"
HUB = "NL/HUB"
INTERFACES = {
    "CPO": {
        "SENDER": ("locations", "sessions", "cdrs", "tariffs"),
        "RECEIVER": ("tokens", "commands", "chargingprofiles"),
    },
    "EMSP": {
        "SENDER": ("tokens", "commands", "chargingprofiles"),
        "RECEIVER": ("locations", "sessions", "cdrs", "tariffs"),
    },
}


@dataclass(frozen=True, slots=True)
class Came:
    """A request that reached a platform; `target` is the raw path with its query."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Got:
    """The hub's answer."""

    http: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        """Its JSON."""
        return json.loads(self.content)

    @property
    def ocpi(self) -> int:
        """Its OCPI status code."""
        return int(self.body["status_code"])

    @property
    def message(self) -> str:
        """Its status message."""
        return str(self.body["status_message"])

    @property
    def answered_by(self) -> str:
        """The party in OCPI-from-*."""
        return f"{self.headers['ocpi-from-country-code']}/{self.headers['ocpi-from-party-id']}"


Script = Callable[[Came], Awaitable[web.StreamResponse]]


def ocpi(code: int = 1000, http: int = 200, data: Any = None, headers: dict[str, str] | None = None) -> web.Response:
    """An OCPI answer."""
    body = {"status_code": code, "timestamp": "2026-06-02T10:00:00Z"} | ({} if data is None else {"data": data})
    return web.Response(status=http, text=json.dumps(body), content_type="application/json", headers=headers)


async def says_yes(_: Came) -> web.StreamResponse:
    """The script of a platform in good health."""
    return ocpi()


@dataclass
class Peer:
    """A registered platform: where it listens, what reached it, and the token that it shows to the hub."""

    party: str
    platform_id: str = ""
    url: str = ""
    token: str = field(default_factory=lambda: f"hub-{uuid.uuid4()}")
    script: Script = says_yes
    came: list[Came] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take one request and answer by the script."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        one = Came(request.method, request.raw_path, headers, await request.read(), time.time())
        self.came.append(one)
        return await self.script(one)


@dataclass
class Exchange:
    """The running parts."""

    url: str
    database_url: str
    bootstrap: str
    topics: Topics
    env: dict[str, str]
    folder: Path
    session: aiohttp.ClientSession
    cpo: Peer
    emsp: Peer
    other: Peer
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def peers(self) -> tuple[Peer, ...]:
        """All platforms."""
        return self.cpo, self.emsp, self.other

    def reset(self) -> None:
        """Forget what came; every platform is in good health again."""
        for peer in self.peers:
            peer.came.clear()
            peer.script = says_yes

    async def start(self, name: str, *words: str, **more: str) -> None:
        """Start `hub …` and wait until it is ready."""
        ready = self.folder / f"{name}-{uuid.uuid4().hex}.ready"
        with (self.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "infra.cli",
                *words,
                env=self.env | {"HUB_READY_FILE": str(ready)} | more,
                stderr=log,
            )
        self.processes[name] = process

        async def is_ready() -> bool:
            assert process.returncode is None, (self.folder / f"{name}.log").read_text()[-3000:]
            return ready.exists()

        await eventually(is_ready, 30)

    async def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End one process."""
        process = self.processes.pop(name)
        if process.returncode is None:
            process.send_signal(number)
        await process.wait()

    async def ask(
        self,
        peer: Peer,
        method: str,
        path: str,
        *,
        to: str | None = None,
        body: Any = None,
        raw: bytes | None = None,
        headers: dict[str, str | None] | None = None,
        base: str | None = None,
    ) -> Got:
        """One request by a platform; `path` is below /ocpi/2.2.1/, or a whole URL."""
        given = {
            "Authorization": "Token " + base64.b64encode(peer.token.encode()).decode(),
            **_pair("from", peer.party),
        }
        given |= {"X-Request-ID": str(uuid.uuid4()), "X-Correlation-ID": str(uuid.uuid4())}
        given |= _pair("to", to) if to else {}
        if body is not None or raw is not None:
            given["Content-Type"] = "application/json"
        given = {name: value for name, value in {**given, **(headers or {})}.items() if value is not None}
        content = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        url = path if "://" in path else f"{base or self.url}/ocpi/2.2.1/{path}"
        async with self.session.request(
            method, URL(url, encoded=True), data=content, headers=given, allow_redirects=False
        ) as answer:
            seen = {name.lower(): value for name, value in answer.headers.items()}
            return Got(answer.status, seen, await answer.read())

    def logged(self, name: str) -> str:
        """What a process wrote to its log."""
        return (self.folder / f"{name}.log").read_text()


def _pair(side: str, party: str) -> dict[str, str]:
    country_code, party_id = party.split("/")
    return {f"OCPI-{side}-country-code": country_code, f"OCPI-{side}-party-id": party_id}


async def register(database_url: str, peer: Peer, role: str) -> None:
    """Write a platform with all endpoints of its role, as a handshake would."""
    secrets = Secrets(base64.b64decode(SECRETS_KEY))
    peer.platform_id = str(uuid.uuid4())
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute(
                "insert into platform (platform_id, name, status, ocpi_version, versions_url)"
                " values ($1, $2, 'connected', '2.2.1', $3)",
                peer.platform_id,
                peer.party,
                f"{peer.url}/versions",
            )
            await connection.execute(
                "insert into party (platform_id, country_code, party_id, role, is_invited) values ($1, $2, $3, $4, true)",
                peer.platform_id,
                *peer.party.split("/"),
                role,
            )
            for interface, modules in INTERFACES[role].items():
                for module in modules:
                    await connection.execute(
                        "insert into endpoint values ($1, $2, $3, $4)",
                        peer.platform_id,
                        module,
                        interface,
                        f"{peer.url}/{interface.lower()}/{module}",
                    )
            await connection.execute(
                "insert into inbound_token (token_hash, platform_id, kind) values ($1, $2, 'access')",
                secrets.hash_inbound(peer.token),
                peer.platform_id,
            )
            await connection.execute(
                "insert into outbound_token (platform_id, sealed, key_id) values ($1, $2, $3)",
                peer.platform_id,
                secrets.seal(f"theirs-{peer.party}", peer.platform_id),
                secrets.key_id,
            )
            await connection.execute("update directory_version set version = version + 1")
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def exchange(
    database_url: str, bootstrap: str, topics: Topics, folder: Path, **settings: str
) -> AsyncIterator[Exchange]:
    """One CPO (NL/CPO) and two eMSPs (DE/MS1, FR/MS2) around an HTTP process and a relay."""
    port = _free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")} | {
        "HUB_POSTGRES_URL": database_url,
        "HUB_KAFKA_BOOTSTRAP": bootstrap,
        "HUB_TOPIC_PREFIX": topics.prefix,
        "HUB_TOPIC_PARTITIONS": str(topics.partition_override),
        "HUB_SECRETS_KEY": SECRETS_KEY,
        "HUB_OPERATOR_TOKEN": OPERATOR_TOKEN,
        "HUB_AGREEMENTS": "open",
        "HUB_PARTNER_NETWORKS": "127.0.0.0/8",
        "HUB_PORT": str(port),
        "HUB_PUBLIC_URL": f"http://127.0.0.1:{port}",
        **settings,
    }
    async with contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(_listening(Peer(party))) for party in ("NL/CPO", "DE/MS1", "FR/MS2")]
        for peer, role in zip(peers, ("CPO", "EMSP", "EMSP"), strict=True):
            await register(database_url, peer, role)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        rig = Exchange(
            f"http://127.0.0.1:{port}",
            database_url,
            bootstrap,
            topics,
            env,
            folder,
            session,
            peers[0],
            peers[1],
            peers[2],
        )
        try:
            await asyncio.gather(rig.start("serve", "serve"), rig.start("relay", "worker", "relay"))
            yield rig
        finally:
            await asyncio.gather(*(rig.end(name, signal.SIGKILL) for name in list(rig.processes)))


@contextlib.asynccontextmanager
async def _listening(peer: Peer) -> AsyncIterator[Peer]:
    runner = web.ServerRunner(web.Server(peer.answer, access_log=None), shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    peer.url = f"http://{host}:{port}"
    try:
        yield peer
    finally:
        await runner.cleanup()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
