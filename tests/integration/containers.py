"""Postgres and Kafka in containers, for machines where Docker answers: the images of docker-compose.yml."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager

import asyncpg
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from infra.dev.ports import choose
from tests.integration.partner_rig import eventually

_POSTGRES = "postgres:18"
_KAFKA = "apache/kafka:4.3.1"
_HOST = "127.0.0.1"
_START_SECONDS = 120.0


def docker_answers() -> bool:
    """Whether there is a Docker engine to use."""
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


@asynccontextmanager
async def postgres_container() -> AsyncIterator[str]:
    """Run Postgres and yield the URL of an empty database `hub`."""
    (port,) = choose(_HOST, 1)
    url = f"postgresql://hub@{_HOST}:{port}/hub?sslmode=disable"

    async def answers() -> bool:
        try:
            connection = await asyncpg.connect(url, timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    env = {"POSTGRES_USER": "hub", "POSTGRES_DB": "hub", "POSTGRES_HOST_AUTH_METHOD": "trust"}
    with _container(_POSTGRES, env, {5432: port}):
        await eventually(answers, _START_SECONDS)
        yield url


@asynccontextmanager
async def kafka_container() -> AsyncIterator[str]:
    """Run one broker and yield its bootstrap address; it advertises the port of this machine."""
    (port,) = choose(_HOST, 1)
    bootstrap = f"{_HOST}:{port}"

    async def answers() -> bool:
        client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=2000)
        try:
            await client.bootstrap()
            return any(broker.port == port for broker in client.cluster.brokers())
        except KafkaError:
            return False
        finally:
            await client.close()

    env = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"BROKER://:{port},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"BROKER://{bootstrap}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKER",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_MESSAGE_MAX_BYTES": str(17 * 2**20),
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    }
    with _container(_KAFKA, env, {port: port}):
        await eventually(answers, _START_SECONDS)
        yield bootstrap


def _container(image: str, env: dict[str, str], ports: dict[int, int]) -> AbstractContextManager[object]:
    """One container; its ports are published on loopback only."""
    from testcontainers.core.container import DockerContainer

    made = DockerContainer(image, env=env)
    for inside, outside in ports.items():
        made.ports[f"{inside}/tcp"] = (_HOST, outside)  # type: ignore[assignment]
    return made
