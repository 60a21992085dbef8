"""Real Postgres and Kafka, started once for all tests: embedded, or in containers where Docker answers.

Each test gets a database of its own, cloned from one that was migrated once, and topics under a prefix of its own with 4
partitions each. Both are removed behind it.
"""

import contextlib
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from hub.messaging.topics import Topics
from infra.dev.failures import StartFailure
from infra.dev.kafka import embedded_kafka
from infra.dev.postgres import embedded_postgres
from infra.migrate import migrate
from tests.integration.containers import docker_answers, kafka_container, postgres_container

PARTITIONS = 4
_TEMPLATE = "hub_template"


@pytest.fixture(scope="session")
def has_docker() -> bool:
    """Whether containers are to be used."""
    return docker_answers()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_url(has_docker: bool, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The server: the URL of its empty database `hub`. It survives SIGKILL; that it survives a power cut has its own test."""
    started = postgres_container() if has_docker else embedded_postgres(tmp_path_factory.mktemp("postgres"), _silent)
    async with started as url:
        await _run(url, "alter system set fsync = off")
        await _run(url, "select pg_reload_conf()")
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka_bootstrap(has_docker: bool, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The broker."""
    async with contextlib.AsyncExitStack() as stack:
        if has_docker:
            yield await stack.enter_async_context(kafka_container())
            return
        try:
            bootstrap = await stack.enter_async_context(embedded_kafka(tmp_path_factory.mktemp("kafka"), _silent))
        except StartFailure:  # another process took a chosen port meanwhile, or the machine was too busy: once more
            bootstrap = await stack.enter_async_context(embedded_kafka(tmp_path_factory.mktemp("kafka"), _silent))
        yield bootstrap


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_template(postgres_url: str) -> str:
    """The name of a database that holds the newest schema and nothing else."""
    await _run(postgres_url, f"create database {_TEMPLATE}")
    await migrate(url_of(postgres_url, _TEMPLATE))
    return _TEMPLATE


@pytest.fixture
async def database_url(postgres_url: str, migrated_template: str) -> AsyncIterator[str]:
    """A migrated database for one test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    await _run(postgres_url, f"create database {name} template {migrated_template}")
    yield url_of(postgres_url, name)
    await _run(postgres_url, f"drop database {name} with (force)")


@pytest.fixture
async def topics(kafka_bootstrap: str) -> AsyncIterator[Topics]:
    """All topics of the hub for one test."""
    made = Topics(f"test-{uuid.uuid4().hex[:12]}.", PARTITIONS)
    await made.apply(kafka_bootstrap)
    yield made
    await made.delete(kafka_bootstrap)


def url_of(postgres_url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return postgres_url.replace("/hub?", f"/{database}?", 1)


async def _run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def _silent(_: str) -> None:
    """Progress is for people who wait."""
