"""How long a caller waits when Kafka does not take its request."""

import asyncio
import contextlib
import time

import pytest

from hub.errors import LogUnavailable
from hub.messaging.producer import Producer
from hub.messaging.rpc import Rpc
from hub.messaging.topics import Topics
from tests.unit.routing_objects import an_envelope

_START_BY_SECONDS = 0.2
_CONNECT_SECONDS = 3.0


async def test_a_caller_hears_at_start_by_that_kafka_took_nothing() -> None:
    """A broker that accepts connections and never answers, as one that is starved or half gone."""
    held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    server = await asyncio.start_server(lambda reader, writer: held.append((reader, writer)), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    producer = Producer.swift(f"{host}:{port}")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await producer.start()
    rpc = Rpc(f"{host}:{port}", Topics(), producer, slot=0, most_waiting=1)
    began = time.time()
    envelope = an_envelope(start_by=int((began + _START_BY_SECONDS) * 1000), deadline=int((began + 60) * 1000))

    with pytest.raises(LogUnavailable):
        await rpc.call(envelope, key=b"key", bulk=False)

    assert time.time() - began < _CONNECT_SECONDS - 0.5
    assert rpc.waiting == 0
    await producer.stop()
    for _, writer in held:
        writer.close()
    server.close()
    await server.wait_closed()
