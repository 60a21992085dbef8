"""The real fan-out worker in its own process, pushes on the real log, and scripted receivers on real sockets."""

import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from hub.messaging.codec import encode, push_key
from hub.messaging.topics import DEAD_LETTERS, PUSHES, Topics
from hub.model.envelope import Envelope, Scenario
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId
from hub.store.secrets import Secrets
from tests.integration.partner_rig import eventually

SECRETS_KEY = base64.b64encode(b"k" * 32).decode()
CPO = PartyId("NL", "CPO")
EMSP_MODULES = ("locations", "tariffs")
_ANSWER = b'{"status_code": 1000, "timestamp": "2026-06-01T10:00:00Z"}'

Script = Callable[["Received"], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Received:
    """One request that a receiver got; `path` is below its endpoint for the module."""

    number: int
    method: str
    module: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def object(self) -> str:
        """Module and id of the root object."""
        return "/".join((self.module, *self.path.split("/")[:3]))

    @property
    def party(self) -> str:
        """The party that it is for."""
        return f"{self.headers['ocpi-to-country-code']}/{self.headers['ocpi-to-party-id']}"

    def value(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def an_answer(http_status: int = 200, ocpi_status: int = 1000) -> web.Response:
    """An OCPI answer."""
    body = _ANSWER.replace(b"1000", str(ocpi_status).encode(), 1)
    return web.Response(status=http_status, body=body, content_type="application/json")


async def accepts(_: Received) -> web.Response:
    """The script of a receiver in good health."""
    return an_answer()


@dataclass
class Receiver:
    """A platform's functional endpoints: keeps what it gets and answers by its script."""

    url: str = ""
    script: Script = accepts
    received: list[Received] = field(default_factory=list)
    most_at_once: int = 0
    overlapping: list[str] = field(default_factory=list)
    _under_way: list[str] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take one request."""
        _, module, path = request.path_qs.split("/", 2)
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        came = Received(len(self.received), request.method, module, path, headers, body, time.monotonic())
        self.received.append(came)
        subject = came.object
        if subject in self._under_way:
            self.overlapping.append(subject)
        self._under_way.append(subject)
        self.most_at_once = max(self.most_at_once, len(self._under_way))
        try:
            return await self.script(came)
        finally:
            self._under_way.remove(subject)

    def of(self, object_id: str) -> list[Received]:
        """What came of one object, in order."""
        return [came for came in self.received if came.path.split("/")[2].partition("?")[0] == object_id]


@contextlib.asynccontextmanager
async def a_receiver(script: Script = accepts) -> AsyncIterator[Receiver]:
    """Listen on a free loopback port; requests under way are cut off at the end."""
    receiver = Receiver(script=script)
    runner = web.ServerRunner(web.Server(receiver.answer, access_log=None), shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


async def add_platform(
    database_url: str,
    *roles: str,
    url: str = "http://127.0.0.1:1",
    modules: Iterable[str] = EMSP_MODULES,
    status: str = "connected",
    quarantined: Iterable[str] = (),
) -> str:
    """Register a platform that offers these modules as RECEIVER; roles are `EMSP NL/MSP`. Returns its id."""
    platform_id = str(uuid.uuid4())
    secrets = Secrets(base64.b64decode(SECRETS_KEY))
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute(
                "insert into platform (platform_id, name, status, ocpi_version) values ($1, $2, $3, '2.2.1')",
                platform_id,
                " ".join(roles),
                status,
            )
            for entry in (*roles, *quarantined):
                role, party = entry.split()
                await connection.execute(
                    "insert into party (platform_id, country_code, party_id, role, is_invited, is_quarantined)"
                    " values ($1, $2, $3, $4, true, $5)",
                    platform_id,
                    *party.split("/"),
                    role,
                    entry in quarantined,
                )
            for module in modules:
                await connection.execute(
                    "insert into endpoint values ($1, $2, 'RECEIVER', $3)", platform_id, module, f"{url}/{module}"
                )
            sealed = secrets.seal(f"token-of-{platform_id}", platform_id)
            await connection.execute(
                "insert into outbound_token (platform_id, sealed, key_id) values ($1, $2, $3)",
                platform_id,
                sealed,
                secrets.key_id,
            )
            await _announce(connection)
    finally:
        await connection.close()
    return platform_id


async def _announce(connection: asyncpg.Connection) -> int:
    version: int = await connection.fetchval("update directory_version set version = version + 1 returning version")
    await connection.execute("select pg_notify('directory', $1)", str(version))
    return version


def a_push(method: str, path: str, body: bytes | dict[str, Any] = b"", **fields: Any) -> Envelope:
    """A push below NL/CPO; `path` is `module/id…`, a query may follow."""
    module, _, rest = path.partition("/")
    tail, _, query = rest.partition("?")
    known: dict[str, Any] = {
        "version": "2.2.1",
        "module": module,
        "interface": Interface.RECEIVER,
        "method": method,
        "tail": f"NL/CPO/{tail}",
        "query": query,
        "scenario": Scenario.BROADCAST,
        "platform_id": "",
        "from_party": CPO,
        "to_party": None,
        "request_id": f"request-{uuid.uuid4()}",
        "correlation_id": f"correlation-{uuid.uuid4()}",
        "content_type": "application/json",
        "received_at": int(time.time() * 1000),
        "body": body if isinstance(body, bytes) else json.dumps(body).encode(),
    }
    return Envelope(**(known | fields))


@dataclass
class Rig:
    """One hub's database and topics, a CPO that pushes, and as many fan-out workers as are started."""

    database_url: str
    bootstrap: str
    topics: Topics
    directory: Path
    cpo: str
    producer: AIOKafkaProducer
    settings: dict[str, str] = field(default_factory=dict)
    workers: list["Worker"] = field(default_factory=list)

    async def push(self, *pushes: Envelope) -> None:
        """Append pushes of the CPO in this order, and wait until the log holds them."""
        await self.append(*((_key(push), self._signed(push)) for push in pushes))

    def _signed(self, push: Envelope) -> Envelope:
        fields = {name: getattr(push, name) for name in push.__struct_fields__}
        return Envelope(**(fields | {"platform_id": push.platform_id or self.cpo}))

    async def append(self, *records: tuple[bytes, Envelope]) -> None:
        """Append envelopes under keys of the caller's choice."""
        topic = self.topics.name(PUSHES)
        sent = [
            await self.producer.send(topic, envelope.body, key=key, headers=encode(envelope))
            for key, envelope in records
        ]
        await asyncio.gather(*sent)

    async def append_raw(self, value: bytes, headers: Sequence[tuple[str, bytes]] = (), partition: int = 0) -> None:
        """Append a record that need not be a push."""
        await self.producer.send_and_wait(self.topics.name(PUSHES), value, headers=headers, partition=partition)

    async def start(self) -> "Worker":
        """Start a fan-out worker and wait until it is ready."""
        worker = Worker(self, len(self.workers))
        self.workers.append(worker)
        await worker.start()
        return worker

    async def committed(self) -> dict[int, int]:
        """The group's committed offset by partition, 0 where there is none."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            held = await admin.list_consumer_group_offsets(self.topics.group("fanout"))
        finally:
            await admin.close()
        found = {entry.partition: offset.offset for entry, offset in held.items()}
        return {entry.partition: max(0, found.get(entry.partition, 0)) for entry in self._partitions(PUSHES)}

    async def ends(self) -> dict[int, int]:
        """The end of the log by partition."""
        async with self._consumer() as consumer:
            held = await consumer.end_offsets(self._partitions(PUSHES))
        return {entry.partition: offset for entry, offset in held.items()}

    async def records(self, spec: Any = PUSHES) -> list[Any]:
        """Every record of a topic."""
        async with self._consumer() as consumer:
            partitions = self._partitions(spec)
            ends = await consumer.end_offsets(partitions)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            found: list[Any] = []
            while len(found) < sum(ends.values()):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
        return found

    async def dead_letters(self) -> list[Any]:
        """Every dead letter."""
        return await self.records(DEAD_LETTERS)

    async def until_committed(self, within_s: float = 20) -> None:
        """Wait until every record is released by all its receivers and committed."""
        ends = await self.ends()

        async def is_done() -> bool:
            return await self.committed() == ends

        await eventually(is_done, within_s)

    async def value(self, sql: str, *arguments: object) -> Any:
        """One value from the database."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    async def change_directory(self, sql: str, *arguments: object) -> int:
        """Change who is connected and tell every process; the directory's new version."""
        connection = await asyncpg.connect(self.database_url)
        try:
            async with connection.transaction():
                await connection.execute(sql, *arguments)
                return await _announce(connection)
        finally:
            await connection.close()

    async def is_held(self, version: int) -> bool:
        """Whether every process holds this version of the directory."""
        behind = "select count(*) from directory_holder where expires_at > now() and version < $1"
        return bool(await self.value(behind, version) == 0)

    def _partitions(self, spec: Any) -> list[TopicPartition]:
        return [TopicPartition(self.topics.name(spec), number) for number in range(self.topics.partitions(spec))]

    @contextlib.asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap)
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()


def _key(push: Envelope) -> bytes:
    return push_key(push.module, push.from_party, push.tail.split("/")[2])


class Worker:
    """One `hub worker fanout` in its own process."""

    def __init__(self, rig: Rig, number: int) -> None:
        self._rig = rig
        self._ready = rig.directory / f"worker-{number}.ready"
        self.log = rig.directory / f"worker-{number}.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it has joined the group."""
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HUB_")},
            "HUB_POSTGRES_URL": self._rig.database_url,
            "HUB_KAFKA_BOOTSTRAP": self._rig.bootstrap,
            "HUB_TOPIC_PREFIX": self._rig.topics.prefix,
            "HUB_TOPIC_PARTITIONS": str(self._rig.topics.partition_override),
            "HUB_SECRETS_KEY": SECRETS_KEY,
            "HUB_AGREEMENTS": "open",
            "HUB_PARTNER_NETWORKS": "127.0.0.0/8",
            "HUB_READY_FILE": str(self._ready),
            **self._rig.settings,
        }
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "infra.cli", "worker", "fanout", env=env, stderr=log
            )
        await eventually(self._is_ready, 30)

    async def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.log.read_text()
        return self._ready.exists()

    async def kill(self) -> None:
        """End it with SIGKILL."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """End it with SIGTERM and return its exit code."""
        return await self._end(signal.SIGTERM)

    async def ended(self) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), 30)

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self.ended()

    def events(self, name: str) -> list[dict[str, Any]]:
        """What it logged under this name."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]


@contextlib.asynccontextmanager
async def fanout_rig(
    database_url: str, bootstrap: str, topics: Topics, directory: Path, **settings: str
) -> AsyncIterator[Rig]:
    """A hub with one CPO (NL/CPO) and no receivers yet; `settings` are given to its workers."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    cpo = await add_platform(database_url, "CPO NL/CPO", modules=("tokens",))
    rig = Rig(database_url, bootstrap, topics, directory, cpo, producer, settings)
    try:
        yield rig
    finally:
        for worker in rig.workers:
            await worker.kill()
        await producer.stop()
