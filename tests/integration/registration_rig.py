"""The whole HTTP process of a hub on a real socket, and a scripted platform that registers there or is registered at."""

import base64
import contextlib
import json
import logging
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
import structlog
from aiohttp import web

from hub.app import HttpMeans, build_app, open_http_means
from hub.messaging.topics import Topics
from hub.settings import Settings
from hub.store.directory import bump
from infra.dev.partner.wire import authorization, presented_tokens
from tests.integration.conftest import PARTITIONS, url_of
from tests.integration.serving import served

OPERATOR_TOKEN = "operator-token-of-this-test"
SECRETS_KEY = base64.b64encode(b"k" * 32).decode()
MODULES = (("locations", "SENDER"), ("sessions", "SENDER"), ("tokens", "RECEIVER"), ("hubclientinfo", "RECEIVER"))


@dataclass(frozen=True, slots=True)
class Got:
    """An answer of the hub."""

    http_status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def status(self) -> tuple[int, int]:
        """HTTP and OCPI status."""
        return self.http_status, self.body["status_code"]

    @property
    def data(self) -> Any:
        """The `data` of the body."""
        return self.body["data"]

    @property
    def message(self) -> str:
        """The `status_message` of the body."""
        return str(self.body["status_message"])


@dataclass(frozen=True, slots=True)
class Invited:
    """A platform that may register."""

    platform_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Hub:
    """A running HTTP process."""

    url: str
    database: str
    means: HttpMeans
    session: aiohttp.ClientSession
    logged: list[str]
    """Every log line of the process, structured and other."""

    @property
    def versions_url(self) -> str:
        """What partners are given."""
        return f"{self.url}/ocpi/versions"

    @property
    def credentials_url(self) -> str:
        """The credentials endpoint of 2.2.1."""
        return f"{self.url}/ocpi/2.2.1/credentials"

    async def invite(self, party: str, *roles: str, **more: Any) -> Invited:
        """Make a platform and its token A, as an operator does; on return the process knows the token."""
        made = await self.operate("POST", "/invitations", party=party, roles=roles or ("CPO",), **more)
        await self.means.keeper.refresh()
        return Invited(made["platform_id"], made["token"])

    async def invite_more(self, platform_id: str, party: str, *roles: str) -> None:
        """Bind a further party to a platform."""
        await self.operate("POST", "/invitations", party=party, roles=roles or ("CPO",), platform_id=platform_id)

    async def operate(self, method: str, path: str, *, expected: tuple[int, ...] = (200, 201), **body: Any) -> Any:
        """Use the admin API."""
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        async with self.session.request(
            method, f"{self.url}/admin/v1{path}", json=body or None, headers=headers
        ) as came:
            assert came.status in expected, await came.text()
            return await came.json()

    async def show(self, platform_id: str) -> Any:
        """A platform as operators see it."""
        return await self.operate("GET", f"/platforms/{platform_id}")

    async def ask(
        self,
        method: str,
        path: str,
        token: str | None,
        *,
        body: Any = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        value: str | None = None,
    ) -> Got:
        """Send an OCPI request; `value` is an Authorization of another form than that of 2.2.1."""
        given = dict(headers or {})
        if value or token:
            given["Authorization"] = value or authorization(token or "")
        content = json.dumps(body).encode() if body is not None else content
        url = path if "://" in path else f"{self.url}/ocpi/{path}"
        async with self.session.request(method, url, data=content, headers=given, allow_redirects=False) as came:
            seen = {name.lower(): text for name, text in came.headers.items()}
            return Got(came.status, seen, await came.json() if method != "HEAD" else {})

    async def value(self, sql: str, *arguments: object) -> Any:
        """One value from the database."""
        async with self.means.store.connection() as connection:
            return await connection.fetchval(sql, *arguments)

    async def state(self, platform_id: str) -> str:
        """Everything that registration may change of a platform, to compare before and after."""
        parts = []
        async with self.means.store.connection() as connection:
            for table in ("platform", "party", "endpoint", "inbound_token", "outbound_token"):
                rows = await connection.fetch(
                    f"select t::text as row from {table} t where platform_id = $1 order by 1", platform_id
                )
                parts += [row["row"] for row in rows]
        return "\n".join(parts)

    async def dump(self) -> str:
        """The whole database as text."""
        parts = []
        async with self.means.store.connection() as connection:
            for table in await connection.fetch(
                "select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'"
            ):
                parts += [row["row"] for row in await connection.fetch(f"select t::text as row from {table['name']} t")]
        return "\n".join(parts)


@contextlib.asynccontextmanager
async def a_hub(postgres_url: str, template: str, bootstrap: str, **changes: Any) -> AsyncIterator[Hub]:
    """Serve a hub with a database and topics of its own until the end of the block."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    topics = Topics(f"test-{uuid.uuid4().hex[:12]}.", PARTITIONS)
    await _run(postgres_url, f"create database {name} template {template}")
    await topics.apply(bootstrap)
    try:
        async with contextlib.AsyncExitStack() as stack:
            logged = stack.enter_context(_all_logs())
            listening = stack.enter_context(socket.socket())
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            known: dict[str, Any] = {
                "public_url": url,
                "postgres_url": url_of(postgres_url, name),
                "kafka_bootstrap": bootstrap,
                "topic_prefix": topics.prefix,
                "topic_partitions": PARTITIONS,
                "operator_token": OPERATOR_TOKEN,
                "secrets_key": SECRETS_KEY,
                "agreements": "open",
                "partner_networks": "127.0.0.0/8",
            }
            settings = Settings(**(known | changes))
            means = await stack.enter_async_context(open_http_means(settings))
            await stack.enter_async_context(served(build_app(means), listening))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            yield Hub(url, name, means, session, logged)
    finally:
        await topics.delete(bootstrap)
        await _run(postgres_url, f"drop database {name} with (force)")


@contextlib.contextmanager
def _all_logs() -> Iterator[list[str]]:
    """Collect structured and other log lines, debug level included."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    def keep(_: Any, method: str, event: Any) -> Any:
        lines.append(f"{method} {event}")
        raise structlog.DropEvent

    handler, root = Lines(), logging.getLogger()
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[structlog.processors.format_exc_info, keep])
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        structlog.configure(processors=before)


async def _run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that a scripted platform got; `tokens` are those that its Authorization may mean."""

    method: str
    path: str
    headers: dict[str, str]
    tokens: tuple[str, ...]
    body: Any


Script = Callable[[Seen], Awaitable[web.Response]]


@dataclass
class ScriptedPlatform:
    """A platform on a real socket that does right, unless `scripts` say otherwise for a method and path.

    `accepted` are the tokens that open its versions; `token` is the one that the hub shows, `inbound` the one that the hub gave.
    """

    url: str = ""
    roles: list[dict[str, Any]] = field(default_factory=list)
    modules: tuple[tuple[str, str], ...] = MODULES
    accepted: set[str] = field(default_factory=set)
    scripts: dict[str, Script] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    inbound: str = ""
    outbound: str = ""

    @property
    def versions_url(self) -> str:
        """What the hub is given."""
        return f"{self.url}/ocpi/versions"

    @property
    def calls(self) -> list[str]:
        """What it was asked, in order."""
        return [f"{seen.method} {seen.path}" for seen in self.seen]

    def credentials(self, **changes: Any) -> dict[str, Any]:
        """Its Credentials object, with a new token that opens its versions from now on."""
        self.outbound = f"b~{uuid.uuid4().hex}"
        self.accepted.add(self.outbound)
        return {"token": self.outbound, "url": self.versions_url, "roles": self.roles} | changes

    async def register(self, hub: Hub, shown: str, method: str = "POST", **changes: Any) -> Got:
        """POST or PUT its credentials at the hub, showing this token; on success it uses the new one."""
        before = self.outbound
        got = await hub.ask(method, hub.credentials_url, shown, body=self.credentials(**changes))
        if got.body["status_code"] == 1000:
            self.inbound = got.data["token"]
        else:
            self.accepted.discard(self.outbound)
            self.outbound = before
        return got

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take one request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        content = await request.read()
        seen = Seen(
            request.method,
            request.path_qs,
            headers,
            presented_tokens(headers.get("authorization", "")),
            json.loads(content) if content else None,
        )
        self.seen.append(seen)
        script = self.scripts.get(f"{seen.method} {seen.path}")
        if script is not None:
            return await script(seen)
        return self.usual(seen)

    def usual(self, seen: Seen) -> web.Response:
        """The right answer to a GET."""
        if not set(seen.tokens) & self.accepted:
            return said(http_status=401, status_code=2000)
        match seen.method, seen.path:
            case "GET", "/ocpi/versions":
                return said([{"version": "2.2.1", "url": f"{self.url}/ocpi/2.2.1"}])
            case "GET", "/ocpi/2.2.1":
                return said({"version": "2.2.1", "endpoints": self.endpoints()})
        return said(http_status=404, status_code=2000)

    def endpoints(self) -> list[dict[str, str]]:
        """What it publishes."""
        base = f"{self.url}/ocpi/2.2.1"
        return [{"identifier": "credentials", "role": "SENDER", "url": f"{base}/credentials"}] + [
            {"identifier": module, "role": role, "url": f"{base}/{role.lower()}/{module}"}
            for module, role in self.modules
        ]


def said(
    data: Any = None, *, http_status: int = 200, status_code: int = 1000, message: str | None = None
) -> web.Response:
    """An OCPI answer."""
    body = {"status_code": status_code, "status_message": message, "timestamp": "2026-06-01T10:00:00Z"}
    return web.json_response(body if data is None else {"data": data, **body}, status=http_status)


def a_role(party: str, role: str = "CPO", name: str = "Example Energy") -> dict[str, Any]:
    """One role of a Credentials object."""
    country_code, _, party_id = party.partition("/")
    details = {"name": name}
    return {"role": role, "country_code": country_code, "party_id": party_id, "business_details": details}


@contextlib.asynccontextmanager
async def a_platform(*roles: dict[str, Any]) -> AsyncIterator[ScriptedPlatform]:
    """Listen on a free loopback port until the end of the block."""
    platform = ScriptedPlatform(roles=list(roles))
    runner = web.ServerRunner(web.Server(platform.answer, access_log=None), shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    platform.url = f"http://{host}:{port}"
    try:
        yield platform
    finally:
        await runner.cleanup()


async def register(hub: Hub, platform: ScriptedPlatform, party: str = "NL/ENE", *roles: str) -> str:
    """Invite a party and let its platform register; returns the platform's id."""
    invited = await hub.invite(party, *roles)
    got = await platform.register(hub, invited.token)
    assert got.status == (200, 1000), got.message
    return invited.platform_id


async def client_infos(hub: Hub, viewer: ScriptedPlatform) -> dict[str, str]:
    """What hubclientinfo tells a registered platform: status by party."""
    got = await hub.ask("GET", "2.2.1/hubclientinfo", viewer.inbound)
    return {f"{info['country_code']}/{info['party_id']}": info["status"] for info in got.data}


async def forget_platforms(hub: Hub) -> None:
    """Drop all platforms with what hangs on them."""
    async with hub.means.store.transaction() as connection:
        await connection.execute("delete from platform")
        await bump(connection)
    await hub.means.keeper.refresh()


def answering(response: Callable[[], web.Response]) -> Script:
    """A script that always answers the same."""

    async def answer(_: Seen) -> web.Response:
        return response()

    return answer


def takes(hub: Hub, platform: ScriptedPlatform) -> Script:
    """A script that takes the hub's credentials: calls back with the offered token, then gives its own."""

    async def take(seen: Seen) -> web.Response:
        offered = seen.body["token"]
        for url in (seen.body["url"], f"{hub.url}/ocpi/2.2.1"):
            got = await hub.ask("GET", url, offered)
            assert got.status == (200, 1000), url
        replaced = set(seen.tokens)
        answer = said(platform.credentials())
        platform.accepted -= replaced
        platform.inbound = offered
        return answer

    return take
