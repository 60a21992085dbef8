"""What the exchange rig lacks for rough treatment: bytes as they are, the log itself, changes of the directory."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from hub.messaging.topics import Topics, TopicSpec
from infra.dev.ports import choose
from tests.integration.conftest import PARTITIONS, url_of
from tests.integration.exchange_rig import Exchange, Peer, exchange, register
from tests.integration.partner_rig import eventually

_FAULTS = ("Traceback", '"level": "error"', '"level": "critical"', "never retrieved", "Exception in")


@contextlib.asynccontextmanager
async def running_exchange(
    postgres_url: str, template: str, bootstrap: str, folder: Path, *, partitions: int = PARTITIONS, **settings: str
) -> AsyncIterator[Exchange]:
    """An exchange on a database and topics of its own."""
    name = f"hub_{uuid.uuid4().hex[:8]}"
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"create database {name} template {template}")
    topics = Topics(f"{name}.", partitions)
    await topics.apply(bootstrap)
    try:
        async with exchange(url_of(postgres_url, name), bootstrap, topics, folder, **settings) as rig:
            yield rig
    finally:
        await topics.delete(bootstrap)
        await connection.execute(f"drop database {name} with (force)")
        await connection.close()


async def change(rig: Exchange, sql: str, *arguments: object) -> None:
    """Change the database, and wait until every process holds the new directory."""
    connection = await asyncpg.connect(rig.database_url)
    try:
        await connection.execute(sql, *arguments)
        version = await connection.fetchval("update directory_version set version = version + 1 returning version")
        await connection.execute("select pg_notify('directory', '0')")

        async def is_held() -> bool:
            behind = "select count(*) from directory_holder where version < $1 and expires_at > now()"
            return bool(await connection.fetchval(behind, version) == 0)

        await eventually(is_held)
    finally:
        await connection.close()


async def value(rig: Exchange, sql: str, *arguments: object) -> Any:
    """One value from the database."""
    connection = await asyncpg.connect(rig.database_url)
    try:
        return await connection.fetchval(sql, *arguments)
    finally:
        await connection.close()


async def add(rig: Exchange, party: str, role: str, url: str) -> Peer:
    """Register one more platform, which listens at `url` by its own means."""
    peer = Peer(party, url=url)
    await register(rig.database_url, peer, role)
    await change(rig, "select 1")
    return peer


async def another_front(rig: Exchange, name: str) -> str:
    """Start one more HTTP process, and give its URL."""
    (port,) = choose("127.0.0.1", 1)
    await rig.start(name, "serve", HUB_PORT=str(port))
    return f"http://127.0.0.1:{port}"


def faults(rig: Exchange, *names: str) -> list[str]:
    """Every line in the logs of these processes that speaks of a fault of the hub itself."""
    lines = [line for name in names for line in rig.logged(name).splitlines()]
    return [line for line in lines if any(word in line for word in _FAULTS)]


async def append(
    rig: Exchange, spec: TopicSpec, *records: tuple[bytes, Iterable[tuple[str, bytes | None]]], partition: int = 0
) -> None:
    """Append records as some other process might."""
    producer = AIOKafkaProducer(bootstrap_servers=rig.bootstrap)
    await producer.start()
    try:
        for content, headers in records:
            await producer.send_and_wait(rig.topics.name(spec), content, headers=list(headers), partition=partition)
    finally:
        await producer.stop()


class Log:
    """Looks at the log of an exchange."""

    def __init__(self, rig: Exchange, consumer: AIOKafkaConsumer) -> None:
        self._topics = rig.topics
        self._consumer = consumer

    async def length(self, *specs: TopicSpec) -> int:
        """How many records these topics hold."""
        ends = await self._consumer.end_offsets([entry for spec in specs for entry in self._partitions(spec)])
        return sum(ends.values())

    async def records(self, spec: TopicSpec) -> list[Any]:
        """Every record of a topic."""
        partitions = self._partitions(spec)
        ends = await self._consumer.end_offsets(partitions)
        self._consumer.assign(partitions)
        await self._consumer.seek_to_beginning(*partitions)
        found: list[Any] = []
        while len(found) < sum(ends.values()):
            for batch in (await self._consumer.getmany(timeout_ms=200)).values():
                found += batch
        return found

    def _partitions(self, spec: TopicSpec) -> list[TopicPartition]:
        return [TopicPartition(self._topics.name(spec), number) for number in range(self._topics.partitions(spec))]


@contextlib.asynccontextmanager
async def a_log(rig: Exchange) -> AsyncIterator[Log]:
    """Look at the log."""
    consumer = AIOKafkaConsumer(bootstrap_servers=rig.bootstrap)
    await consumer.start()
    try:
        yield Log(rig, consumer)
    finally:
        await consumer.stop()


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One answer as it stood on the wire; `status` is 0 where the connection just ended."""

    status: int
    headers: dict[str, str]
    body: bytes


async def speak(rig: Exchange, *parts: bytes, then: Callable[[], Awaitable[object]] | None = None) -> RawAnswer:
    """Send bytes to the HTTP process, await `then` before the last part, and read one answer."""
    host, port = rig.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        with contextlib.suppress(ConnectionError):
            for number, part in enumerate(parts, 1):
                if then is not None and number == len(parts):
                    await then()
                writer.write(part)
                await writer.drain()
        async with asyncio.timeout(20):
            return await _read(reader)
    finally:
        writer.transport.abort()


async def hang_up(rig: Exchange, head: bytes) -> None:
    """Send the beginning of a request and end the connection."""
    host, port = rig.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> RawAnswer:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return RawAnswer(0, {}, b"")
    status, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return RawAnswer(int(status.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0))))
