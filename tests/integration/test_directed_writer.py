"""What a relay keeps of confirmed pushes is written behind the call, also when the database is away or the relay stops."""

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from prometheus_client import REGISTRY

from hub.model.directed import LARGEST_BYTES
from hub.model.envelope import Envelope
from hub.ocpi.parties import PartyId
from hub.routing.decide import Destination
from hub.routing.plan import Plan, parse
from hub.store.pool import Store
from tests.integration.fanout_rig import a_push, add_platform
from tests.integration.partner_rig import eventually
from workers.directed import Directed

HELD = "select coalesce(array_agg(object_id order by object_id), '{}') from directed"
NOTED = "select coalesce(array_agg(object_id order by object_id), '{}') from directed_note"
BODY = json.dumps({"id": "C1", "last_updated": "2026-06-02T10:00:00Z"}).encode()


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    made = await Store.open(database_url, size=2)
    yield made
    await made.close()


@pytest.fixture
async def emsp(database_url: str) -> Destination:
    platform_id = await add_platform(database_url, "EMSP DE/MS1")
    return Destination(PartyId("DE", "MS1"), platform_id, "http://127.0.0.1:1/")


def a_plan(envelope: Envelope, destination: Destination) -> Plan:
    return Plan(parse(envelope), destination, 1, None, "", envelope.body)


async def value(database_url: str, sql: str) -> list[str]:
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetchval(sql))
    finally:
        await connection.close()


def not_kept() -> float:
    return REGISTRY.get_sample_value("hub_directed_pushes_total", {"kept": "nothing"}) or 0.0


async def test_a_relay_that_stops_writes_what_is_left(store: Store, emsp: Destination, database_url: str) -> None:
    directed = Directed(store)
    for number in range(3):
        await directed.keep(a_plan(a_push("PUT", f"sessions/S{number}", BODY), emsp), emsp)

    await directed.finish()

    assert await value(database_url, HELD) == ["S0", "S1", "S2"]


async def test_while_the_database_is_away_replies_wait_a_moment_only_and_nothing_is_lost(
    store: Store, emsp: Destination, database_url: str, postgres_url: str
) -> None:
    directed = Directed(store)
    pushes = (
        a_push("PUT", "sessions/S1", BODY),
        a_push("POST", "cdrs", BODY, tail=""),
        a_push("PUT", "tariffs/T1", BODY),
    )
    name = urlsplit(database_url).path.strip("/")
    server = await asyncpg.connect(postgres_url)
    try:
        await server.execute(f"alter database {name} allow_connections false")
        await server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
        async with asyncio.timeout(15):
            for push in pushes:
                await directed.keep(a_plan(push, emsp), emsp)
        await server.execute(f"alter database {name} allow_connections true")
    finally:
        await server.close()

    async def all_are_kept() -> bool:
        return (await value(database_url, HELD), await value(database_url, NOTED)) == (["C1", "S1"], ["T1"])

    await eventually(all_are_kept)


async def test_large_bodies_that_wait_are_bounded_in_bytes(store: Store, emsp: Destination, database_url: str) -> None:
    directed = Directed(store)
    large = json.dumps({"id": "S", "remark": "x" * 8_000_000, "last_updated": "2026-06-02T10:00:00Z"}).encode()
    refused_before = not_kept()
    for number in range(20):
        await directed.keep(a_plan(a_push("PUT", f"sessions/S{number}", large), emsp), emsp)
    assert not_kept() - refused_before == 12

    await directed.finish()

    await directed.keep(a_plan(a_push("PUT", "sessions/S99", BODY), emsp), emsp)
    await directed.finish()
    assert await value(database_url, HELD) == ["S99"]


async def test_what_is_larger_than_is_kept_takes_nothing_else_with_it(
    store: Store, emsp: Destination, database_url: str
) -> None:
    directed = Directed(store)
    large = json.dumps({"id": "C9", "remark": "x" * LARGEST_BYTES}).encode()
    await asyncio.gather(
        directed.keep(a_plan(a_push("POST", "cdrs", large, tail=""), emsp), emsp),
        directed.keep(a_plan(a_push("POST", "cdrs", BODY, tail=""), emsp), emsp),
        directed.keep(a_plan(a_push("PUT", "sessions/S1", BODY), emsp), emsp),
        directed.keep(a_plan(a_push("PATCH", "sessions/S2", large), emsp), emsp),
    )

    await directed.finish()

    assert await value(database_url, HELD) == ["C1", "S1"]
