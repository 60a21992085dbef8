"""What a relay keeps of confirmed pushes is written behind the call, also when the database is away or the relay stops."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from prometheus_client import REGISTRY

from hub.model.delivery import Receiver
from hub.model.directed import LARGEST_BYTES
from hub.model.envelope import Envelope
from hub.model.unit import UnitKey
from hub.ocpi.parties import PartyId
from hub.routing.decide import Destination
from hub.routing.plan import Plan, parse
from hub.store import directed_notes
from hub.store.directed_notes import Copy
from hub.store.pool import Store
from tests.integration.fanout_rig import a_push, add_platform
from tests.integration.partner_rig import eventually
from workers.directed import Directed

HELD = "select coalesce(array_agg(object_id order by object_id), '{}') from directed"
NOTED = "select coalesce(array_agg(object_id order by object_id), '{}') from directed_note"
LOCK = "select from directed_note where object_id = $1 for update"
WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
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


def a_copy(receiver: Destination, name: str) -> Copy:
    return Copy(Receiver(receiver.platform_id, receiver.party), UnitKey("tariffs", "NL", "CPO", name), 0.0)


async def add_notes(store: Store, receiver: Destination, *names: str) -> None:
    async with store.connection() as connection:
        for name in names:
            await directed_notes.note(connection, [a_copy(receiver, name)])


async def are_waiting(database_url: str, count: int) -> bool:
    """Whether so many connections wait for a row that another one holds."""
    connection = await asyncpg.connect(database_url)
    try:
        return bool(await connection.fetchval(WAITING) == count)
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


async def test_the_end_of_a_session_is_written_before_its_sender_hears_so(
    store: Store, emsp: Destination, database_url: str
) -> None:
    directed = Directed(store)
    ended = json.dumps({"id": "S1", "status": "COMPLETED", "last_updated": "2026-06-02T10:00:00Z"}).encode()

    await directed.keep(a_plan(a_push("PUT", "sessions/S1", ended), emsp), emsp)

    assert await value(database_url, HELD) == ["S1"]


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


async def test_a_push_that_cannot_be_noted_takes_no_other_with_it(
    store: Store, emsp: Destination, database_url: str
) -> None:
    gone = Destination(PartyId("DE", "MS2"), str(uuid.uuid4()), "http://127.0.0.1:1/")
    directed = Directed(store)
    kept = [(f"T{number}", gone if number == 4 else emsp) for number in range(9)]
    refused_before = not_kept()

    await asyncio.gather(
        *(directed.keep(a_plan(a_push("PUT", f"tariffs/{name}", BODY), place), place) for name, place in kept)
    )
    await directed.finish()

    assert await value(database_url, NOTED) == [name for name, place in kept if place is emsp]
    assert not_kept() - refused_before == 1


async def test_notes_that_lost_a_deadlock_are_written_all_the_same(
    store: Store, emsp: Destination, database_url: str
) -> None:
    """The relay holds A and waits for M, which goes at once, then for Z, which is held by who waits for A."""
    await add_notes(store, emsp, "A", "M", "Z")
    holds_m, holds_z = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        await holds_z.execute("set deadlock_timeout = '5min'")
        first, last = holds_m.transaction(), holds_z.transaction()
        await first.start()
        await last.start()
        await holds_m.execute(LOCK, "M")
        await holds_z.execute(LOCK, "Z")
        directed = Directed(store)
        async with asyncio.TaskGroup() as tasks:
            for name in ("A", "M", "N", "Z"):
                tasks.create_task(directed.keep(a_plan(a_push("PUT", f"tariffs/{name}", BODY), emsp), emsp))
            await eventually(lambda: are_waiting(database_url, 1), within_s=30)
            cycle = tasks.create_task(holds_z.execute(LOCK, "A"))
            await eventually(lambda: are_waiting(database_url, 2), within_s=30)
            await first.rollback()
            await cycle
            await last.rollback()
    finally:
        await holds_m.close()
        await holds_z.close()

    async def all_are_noted() -> bool:
        return await value(database_url, NOTED) == ["A", "M", "N", "Z"]

    await eventually(all_are_noted, within_s=30)


async def test_notes_are_ended_in_the_order_in_which_they_are_made(
    store: Store, emsp: Destination, database_url: str
) -> None:
    """Else two that do both at once would wait for each other."""
    await add_notes(store, emsp, "B", "A")
    other = await asyncpg.connect(database_url)
    try:
        async with store.connection() as connection, asyncio.TaskGroup() as tasks:
            holding = other.transaction()
            await holding.start()
            await other.execute(LOCK, "A")
            forgetting = directed_notes.forget(connection, [a_copy(emsp, "B"), a_copy(emsp, "A")])
            tasks.create_task(forgetting)
            await eventually(lambda: are_waiting(database_url, 1), within_s=30)
            await other.execute(LOCK, "B")
            await holding.rollback()
    finally:
        await other.close()

    assert await value(database_url, NOTED) == []


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
