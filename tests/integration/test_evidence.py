"""What calls to platforms come to is written down and announced, cheaply and whatever Postgres does (D-10)."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from hub.store.pool import Store
from tests.integration.fanout_rig import add_platform
from tests.integration.partner_rig import eventually
from workers.evidence import Evidence, patience_seconds


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The test's own look at the database."""
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def evidence(database_url: str) -> AsyncIterator[Evidence]:
    """The evidence of one process."""
    store = await Store.open(database_url, size=2)
    made = Evidence(store)
    made.start()
    yield made
    await made.stop()
    await store.close()


@pytest.fixture
async def platform(database_url: str) -> str:
    """A registered platform."""
    return await add_platform(database_url, "EMSP NL/MSP")


@pytest.fixture
async def notices(connection: asyncpg.Connection) -> list[str]:
    """What was announced."""
    heard: list[str] = []
    await connection.add_listener("presence", lambda *_: heard.append("heard"))
    return heard


async def seen(connection: asyncpg.Connection, platform: str) -> tuple[datetime | None, datetime | None]:
    """When calls to a platform were last answered and last failed, by the database's clock."""
    row = await connection.fetchrow(
        "select answered_at, failed_at from platform_evidence where platform_id = $1", platform
    )
    return (row["answered_at"], row["failed_at"]) if row else (None, None)


async def until_written(connection: asyncpg.Connection, platform: str, place: int) -> Any:
    """Wait until a moment is written, and give it."""

    async def look() -> datetime | None:
        return (await seen(connection, platform))[place]

    return await eventually(look, 5)


async def test_answers_are_written_and_nobody_is_woken(
    evidence: Evidence, connection: asyncpg.Connection, platform: str, notices: list[str]
) -> None:
    for _ in range(1000):
        evidence.note(platform, answered=True)

    assert await until_written(connection, platform, 0) <= await connection.fetchval("select clock_timestamp()")
    assert (await seen(connection, platform))[1] is None
    assert notices == []


async def test_the_first_failure_and_the_first_answer_after_it_are_announced_once_each(
    evidence: Evidence, connection: asyncpg.Connection, platform: str, notices: list[str]
) -> None:
    for number, answered in enumerate((False, True), 1):
        for _ in range(100):
            evidence.note(platform, answered=answered)

        async def is_heard(number: int = number) -> bool:
            await connection.fetchval("select 1")
            return len(notices) == number

        await eventually(is_heard, 0.9)

    answered_at, failed_at = await seen(connection, platform)
    assert answered_at is not None
    assert failed_at is not None
    assert answered_at > failed_at


async def test_a_call_that_waits_for_its_answer_counts_as_a_failure_after_a_while(
    evidence: Evidence, connection: asyncpg.Connection, platform: str
) -> None:
    evidence.begin(platform)

    await until_written(connection, platform, 1)


@pytest.mark.parametrize(("usual", "patience"), [(0.0, 0.3), (0.1, 0.3), (0.3, 0.45), (5.0, 0.5)])
def test_who_is_always_slow_is_given_a_little_more_time(usual: float, patience: float) -> None:
    assert patience_seconds(usual) == pytest.approx(patience)


async def test_calls_that_are_left_when_another_is_answered_count_as_failures_after_a_while(
    evidence: Evidence, connection: asyncpg.Connection, platform: str
) -> None:
    evidence.begin(platform)
    evidence.begin(platform)
    evidence.note(platform, answered=True)

    await until_written(connection, platform, 1)


async def test_a_call_that_the_hub_cut_off_says_nothing(
    evidence: Evidence, connection: asyncpg.Connection, platform: str, database_url: str
) -> None:
    stuck = await add_platform(database_url, "EMSP NL/MS2")
    evidence.begin(platform)
    evidence.leave(platform)
    evidence.begin(stuck)

    await until_written(connection, stuck, 1)

    assert await seen(connection, platform) == (None, None)


async def test_calls_that_are_slow_while_others_are_answered_are_no_failure(
    evidence: Evidence, connection: asyncpg.Connection, platform: str, database_url: str
) -> None:
    stuck = await add_platform(database_url, "EMSP NL/MS2")
    evidence.begin(stuck)

    async def is_written() -> bool:
        evidence.begin(platform)
        evidence.note(platform, answered=True)
        evidence.begin(platform)
        return (await seen(connection, stuck))[1] is not None

    await eventually(is_written, 5)

    assert (await seen(connection, platform))[1] is None


async def test_a_platform_that_is_gone_spoils_nobody_elses_evidence(
    evidence: Evidence, connection: asyncpg.Connection, platform: str
) -> None:
    evidence.note("00000000-0000-4000-8000-000000000000", answered=False)
    evidence.note(platform, answered=False)

    await until_written(connection, platform, 1)


async def test_what_was_noted_last_is_written_at_the_end(
    evidence: Evidence, connection: asyncpg.Connection, platform: str
) -> None:
    evidence.note(platform, answered=True)
    await evidence.stop()

    assert (await seen(connection, platform))[0] is not None


async def test_without_postgres_the_evidence_waits(
    evidence: Evidence, platform: str, postgres_url: str, database_url: str
) -> None:
    name = urlsplit(database_url).path.removeprefix("/")
    server = await asyncpg.connect(postgres_url)
    await server.execute(f"alter database {name} allow_connections false")
    await server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
    evidence.note(platform, answered=False)
    await evidence.stop()
    evidence.start()

    await server.execute(f"alter database {name} allow_connections true")
    await server.close()
    connection = await asyncpg.connect(database_url)
    await until_written(connection, platform, 1)
    await connection.close()
