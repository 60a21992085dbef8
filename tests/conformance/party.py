"""A scripted OCPI 2.2.1 platform: it keeps every request as it came, answers as it was told, and speaks to the hub.

Requests belong to a case by their correlation id, so cases do not see each other's traffic.
"""

import asyncio
import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web
from yarl import URL

BASE: Final = "/ocpi/2.2.1"
MODULES: Final = ("cdrs", "chargingprofiles", "commands", "locations", "sessions", "tariffs", "tokens")
EVERYTHING: Final = tuple((module, role) for module in MODULES for role in ("SENDER", "RECEIVER"))
WHEN: Final = "2026-06-01T10:00:00Z"
"""The timestamp of every answer of a scripted platform."""
_QUIET: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
_SECONDS: Final = 60.0


def new_id() -> str:
    """A fresh message id."""
    return str(uuid.uuid4())


def is_uuid(text: str | None) -> bool:
    """Whether it is a UUID in its usual form."""
    try:
        return str(uuid.UUID(text)) == (text or "").lower()
    except (TypeError, ValueError):
        return False


def new_token(party: str) -> str:
    """A token that a party makes."""
    return f"{party.replace('/', '-')}~{uuid.uuid4().hex[:12]}"


def pair(side: str, party: str | None) -> dict[str, str]:
    """The routing headers of one side; party as `NL/ABC`."""
    if party is None:
        return {}
    country_code, party_id = party.split("/")
    return {f"OCPI-{side}-country-code": country_code, f"OCPI-{side}-party-id": party_id}


def encoded(token: str) -> str:
    """The Authorization value of a token."""
    return "Token " + base64.b64encode(token.encode()).decode()


@dataclass(frozen=True, slots=True)
class Message:
    """Headers as they came and the bytes of a body."""

    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The value of a header, or None."""
        return next(iter(self.all(name)), None)

    def party(self, side: str) -> str | None:
        """TO or FROM as `NL/ABC`; None when both headers are absent."""
        country_code, party_id = self.header(f"OCPI-{side}-country-code"), self.header(f"OCPI-{side}-party-id")
        return None if country_code is None and party_id is None else f"{country_code}/{party_id}"

    @property
    def json(self) -> Any:
        """The parsed body; None when it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Received(Message):
    """A request that reached a platform; `target` is path and query as they stood in the request line."""

    method: str
    target: str

    @property
    def path(self) -> str:
        """What follows the base of the version, without the query: `/receiver/locations/…`."""
        return self.target.partition("?")[0].removeprefix(BASE)

    @property
    def query(self) -> str:
        """The raw query."""
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class Answer(Message):
    """What the hub answered."""

    status: int

    @property
    def code(self) -> int | None:
        """The OCPI status code."""
        found = self.json
        return found.get("status_code") if isinstance(found, dict) else None

    @property
    def pair(self) -> tuple[int, int | None]:
        """HTTP status and OCPI code."""
        return self.status, self.code

    @property
    def data(self) -> Any:
        """The member `data`."""
        found = self.json
        return found.get("data") if isinstance(found, dict) else None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a platform is told to answer; `is_mute` lets it answer never."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_mute: bool = False
    is_bare: bool = False
    """Without the headers that OCPI asks for."""
    delay_seconds: float = 0.0


MUTE: Final = Reply(is_mute=True)


def reply(code: int = 1000, data: Any = None, *, status: int = 200, message: str = "", **headers: str) -> Reply:
    """An OCPI answer; header names are given with `_` for `-`."""
    body: dict[str, Any] = {} if data is None else {"data": data}
    body |= {"status_code": code, "timestamp": WHEN} | ({"status_message": message} if message else {})
    return Reply(status, json.dumps(body).encode(), {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass(frozen=True, slots=True)
class Role:
    """A role of a party, as in credentials."""

    party: str
    role: str

    @property
    def json(self) -> dict[str, Any]:
        """As in the credentials object."""
        country_code, party_id = self.party.split("/")
        details = {"name": f"Party {party_id}"}
        return {"role": self.role, "country_code": country_code, "party_id": party_id, "business_details": details}


class Platform:
    """One platform of the suite; listens from `start` to `stop`."""

    def __init__(self, *roles: Role, offers: Sequence[tuple[str, str]] = EVERYTHING) -> None:
        self.roles = roles
        self.party = roles[0].party
        self.offers = (*offers, ("hubclientinfo", "RECEIVER"))
        self.token_b = new_token(self.party)
        self.token = ""
        self.platform_id = ""
        self.received: list[Received] = []
        self.hub_endpoints: dict[tuple[str, str], str] = {}
        self.versions: list[dict[str, str]] | None = None
        self.details: dict[str, Any] | None = None
        self.paths: dict[tuple[str, str], Reply] = {}
        """What is answered at a method and path, whoever asks: `("POST", "/ocpi/2.2.1/credentials")`."""
        self.wants = ""
        """The only Authorization value that it takes; any if empty."""
        self.url = ""
        self._scripts: dict[str, list[Reply]] = {}
        self._changed = asyncio.Event()
        self._muted = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._session: aiohttp.ClientSession | None = None

    @property
    def versions_url(self) -> str:
        """Where its versions are."""
        return f"{self.url}/ocpi/versions"

    async def start(self) -> None:
        """Listen; again on the same port after a stop."""
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{tail:.*}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, auto_decompress=False, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"
        if self._session is None:
            self._session = aiohttp.ClientSession(
                skip_auto_headers=_QUIET, timeout=aiohttp.ClientTimeout(_SECONDS), auto_decompress=False
            )

    async def stop(self) -> None:
        """Listen no more."""
        self._muted.set()
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner, self._muted = None, asyncio.Event()

    async def close(self) -> None:
        """End for good."""
        await self.stop()
        if self._session is not None:
            await self._session.close()

    def credentials(self, **changes: Any) -> dict[str, Any]:
        """Its credentials object."""
        roles = [role.json for role in self.roles]
        return {"token": self.token_b, "url": self.versions_url, "roles": roles} | changes

    def script(self, correlation_id: str, *replies: Reply) -> None:
        """Answer the requests of one correlation id so, in this order; the last one again and again."""
        self._scripts[correlation_id] = list(replies)

    def got(self, correlation_id: str) -> list[Received]:
        """The requests of one correlation id."""
        return [entry for entry in self.received if entry.header("X-Correlation-ID") == correlation_id]

    async def await_got(self, correlation_id: str, count: int = 1, seconds: float = 20.0) -> list[Received]:
        """Those requests, once there are so many or the time is up."""

        def found() -> list[Received]:
            return self.got(correlation_id)

        await self.until(lambda: len(found()) >= count, seconds)
        return found()

    async def until(self, condition: Any, seconds: float = 20.0) -> bool:
        """Whether something came true of what was received, looked at on each arrival."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return bool(condition())
        return True

    async def send(
        self,
        method: str,
        interface: str,
        module: str,
        tail: str = "",
        *,
        body: Any = None,
        to: str | None = None,
        sender: str | None = "",
        correlation_id: str = "",
        request_id: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A request of a functional module: `tail` is what follows the hub's endpoint URL, `sender` "" its first party."""
        url = self.hub_endpoints[module, interface] + tail
        routing = pair("to", to) | pair("from", self.party if sender == "" else sender)
        ids = {"X-Request-ID": request_id or new_id(), "X-Correlation-ID": correlation_id or new_id()}
        return await self.ask(method, url, body=body, headers=ids | routing | dict(headers or {}))

    async def ask(
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = "",
    ) -> Answer:
        """Any request; bytes go out as they are, other bodies as JSON. Token "" is its own, None none at all."""
        assert self._session is not None
        given = dict(headers or {})
        if token is not None and "authorization" not in {name.lower() for name in given}:
            given["Authorization"] = encoded(token or self.token)
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if content is not None and "content-type" not in {name.lower() for name in given}:
            given["Content-Type"] = "application/json"
        target = URL(url, encoded=True)
        async with self._session.request(method, target, data=content, headers=given, allow_redirects=False) as answer:
            text = await answer.read()
            raw = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.raw_headers)
            return Answer(raw, text, answer.status)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        raw = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers)
        entry = Received(raw, await request.read(), request.method, request.raw_path)
        self.received.append(entry)
        self._changed.set()
        told = self._told(entry)
        if told.is_mute:
            await self._muted.wait()
        if told.delay_seconds:
            await asyncio.sleep(told.delay_seconds)
        headers = {} if told.is_bare else _echo(entry)
        if told.body:
            headers["Content-Type"] = "application/json"
        return web.Response(status=told.status, body=told.body, headers=headers | dict(told.headers))

    def _told(self, entry: Received) -> Reply:
        if self.wants and entry.header("Authorization") != self.wants:
            return reply(2000, status=401)
        scripted = self._scripts.get(entry.header("X-Correlation-ID") or "")
        if scripted:
            return scripted.pop(0) if len(scripted) > 1 else scripted[0]
        path = entry.target.partition("?")[0]
        if (entry.method, path) in self.paths:
            return self.paths[entry.method, path]
        if path == f"{BASE}/credentials":
            return self._exchange(entry)
        if path == "/ocpi/versions":
            return reply(data=self.versions or [{"version": "2.2.1", "url": f"{self.url}{BASE}"}])
        if path == BASE:
            return reply(data=self.details or self._describe())
        return _usual(entry)

    def _exchange(self, entry: Received) -> Reply:
        """Take the hub's credentials, and give new ones of its own."""
        if entry.method == "DELETE":
            return reply()
        self.token = entry.json["token"]
        if entry.method == "PUT":
            self.token_b = new_token(self.party)
        return reply(data=self.credentials())

    def _describe(self) -> dict[str, Any]:
        own = {"identifier": "credentials", "role": "SENDER", "url": f"{self.url}{BASE}/credentials"}
        offered = [
            {"identifier": module, "role": role, "url": f"{self.url}{BASE}/{role.lower()}/{module}"}
            for module, role in self.offers
        ]
        return {"version": "2.2.1", "endpoints": [own, *offered]}


def _echo(entry: Received) -> dict[str, str]:
    headers = {name: entry.header(name) for name in ("X-Request-ID", "X-Correlation-ID")}
    routing = pair("to", entry.party("from")) | pair("from", entry.party("to"))
    return {name: value for name, value in headers.items() if value is not None} | routing


def _usual(entry: Received) -> Reply:
    """What a friendly platform answers."""
    if entry.method == "GET":
        is_list = entry.path.count("/") == 2
        return reply(data=[] if is_list else {"id": "of the receiver"})
    if entry.path.endswith("/authorize"):
        return reply(data={"allowed": "ALLOWED"})
    if "/commands/" in entry.path or "/chargingprofiles/" in entry.path:
        return reply(data={"result": "ACCEPTED", "timeout": 30})
    return reply()
