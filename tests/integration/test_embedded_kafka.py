"""The embedded Kafka: a real broker, at the same address after a kill and after a restart."""

import json
import os
import signal
import socket
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.dev.directory import claim
from infra.dev.kafka import Kafka
from infra.dev.supervisor import Supervisor
from tests.unit.supervisor_rig import eventually, running

LARGEST = os.urandom(16 * 2**20)


async def produce(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", compression_type="zstd", max_request_size=17 * 2**20
    )
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def make_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": str(17 * 2**20)})])
    finally:
        await admin.close()


async def test_records_outlive_a_kill_and_clients_find_the_broker_where_it_was(tmp_path: Path) -> None:
    path = claim(tmp_path)
    said: list[str] = []
    broker = Kafka(path, said.append)
    await broker.prepare()
    async with Supervisor(path / "run", said.append) as supervisor:
        await supervisor.start(broker.part())
        await make_topic(broker.bootstrap, "kept")
        await produce(broker.bootstrap, "kept", b"one", LARGEST)
        os.kill(supervisor.pid("kafka"), signal.SIGKILL)
        await eventually(lambda: "kafka is ready again" in said, within=30)
        await produce(broker.bootstrap, "kept", b"two")
        assert await consume(broker.bootstrap, "kept", 3) == [b"one", LARGEST, b"two"]
    assert running(tmp_path) == []


async def test_a_cluster_id_that_looks_like_an_option_is_taken_for_an_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.dev.kafka.uuid.uuid4", lambda: uuid.UUID(bytes=b"\xfb" + bytes(15)))
    path = claim(tmp_path)

    await Kafka(path, lambda _: None).prepare()

    assert "cluster.id=-" in (path / "kafka" / "data" / "meta.properties").read_text()


async def test_a_port_that_somebody_else_has_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    path = claim(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        (path / "kafka").mkdir()
        (path / "kafka" / "data").mkdir()
        (path / "kafka" / "ports.json").write_text(json.dumps([taken, taken]))
        broker = Kafka(path)
        await broker.prepare()
    assert broker.bootstrap != f"127.0.0.1:{taken}"
