"""Whoever becomes entitled to objects is marked for all of them, once every process knows it (AM-35, D-08, D-13, D-26)."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from hub.messaging.topics import Topics
from hub.model.delivery import Receiver
from hub.ocpi.parties import PartyId
from hub.store import fills
from hub.store.statements import load_statements
from tests.integration.fanout_rig import add_platform
from tests.integration.sync_rig import Rig, sync_rig

SLOW_HOLDER = "insert into directory_holder values ('slow', 'fanout', 0, now() + interval '1 hour')"


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Rig]:
    """A hub whose CPO has pushed two Locations and a Tariff."""
    async with sync_rig(database_url, kafka_bootstrap, topics, tmp_path) as made:
        await add_platform(database_url, "CPO NL/CPO", modules=["tokens"])
        await made.store("locations", "NL/CPO", "L1", "L2")
        await made.store("tariffs", "NL/CPO", "T1")
        yield made


async def test_every_statement_prepares_on_the_schema(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for thing in ("fills", "incomplete"):
            for name, statement in load_statements(thing).items():
                assert await connection.prepare(statement), name
    finally:
        await connection.close()


async def test_a_new_receiver_is_marked_for_all_that_it_may_see(rig: Rig) -> None:
    await rig.start()

    receiver = await add_platform(rig.database_url, "EMSP NL/MSP")

    await rig.until_marked(receiver, "L1", "L2", "T1")
    await rig.until_filled(receiver, "locations", "tariffs")


async def test_nothing_is_filled_while_a_process_does_not_know_the_receiver(rig: Rig) -> None:
    await rig.run(SLOW_HOLDER)
    await rig.start()
    receiver = await add_platform(rig.database_url, "EMSP NL/MSP")
    await rig.until_told()
    await rig.store("locations", "NL/CPO", "STORED-BY-THE-SLOW-ONE")
    assert await rig.marked(receiver) == []

    await rig.run("delete from directory_holder where process_id = 'slow'")

    await rig.until_marked(receiver, "L1", "L2", "STORED-BY-THE-SLOW-ONE", "T1")


async def test_a_suspended_receiver_is_forgotten_and_filled_anew_when_it_is_back(rig: Rig) -> None:
    receiver = await add_platform(rig.database_url, "EMSP NL/MSP")
    await rig.start()
    await rig.until_marked(receiver, "L1", "L2", "T1")

    await rig.change("update platform set status = 'suspended' where platform_id = $1", receiver)
    await rig.until_filled(receiver)
    assert await rig.marked(receiver) == []

    await rig.change("update platform set status = 'connected' where platform_id = $1", receiver)
    await rig.until_marked(receiver, "L1", "L2", "T1")


async def test_an_endpoint_that_is_gone_ends_its_module_only(rig: Rig) -> None:
    receiver = await add_platform(rig.database_url, "EMSP NL/MSP")
    await rig.start()
    await rig.until_marked(receiver, "L1", "L2", "T1")

    await rig.change("delete from endpoint where platform_id = $1 and module = 'tariffs'", receiver)

    await rig.until_filled(receiver, "locations")
    assert await rig.marked(receiver) == ["L1", "L2"]


async def test_a_receiver_that_wants_no_catch_up_is_noted_and_not_marked(rig: Rig) -> None:
    receiver = await add_platform(rig.database_url, "EMSP NL/MSP", status="suspended")
    await rig.run("insert into receiver values ($1, 'NL', 'MSP', false, 'none')", receiver)
    await rig.start()

    await rig.change("update platform set status = 'connected' where platform_id = $1", receiver)

    await rig.until_filled(receiver, "locations", "tariffs")
    assert await rig.marked(receiver) == []


async def test_a_receiver_that_is_filled_anew_is_marked_for_all_again(rig: Rig) -> None:
    receiver = await add_platform(rig.database_url, "EMSP NL/MSP")
    await rig.start()
    await rig.until_marked(receiver, "L1", "L2", "T1")
    await rig.run("delete from dirty_mark")

    connection = await asyncpg.connect(rig.database_url)
    try:
        await fills.renew(connection, Receiver(receiver, PartyId("NL", "MSP")))
    finally:
        await connection.close()

    await rig.until_marked(receiver, "L1", "L2", "T1")


async def test_what_was_delivered_is_not_filled_again_when_another_owner_comes(rig: Rig) -> None:
    receiver = await add_platform(rig.database_url, "EMSP NL/MSP")
    await rig.start()
    await rig.until_marked(receiver, "L1", "L2", "T1")
    await rig.run("delete from dirty_mark")
    await rig.store("locations", "DE/NEW", "N1")

    await add_platform(rig.database_url, "CPO DE/NEW", modules=[])

    await rig.until_marked(receiver, "N1")


async def test_two_workers_fill_once(rig: Rig) -> None:
    await rig.start()
    await rig.start()

    receivers = [await add_platform(rig.database_url, f"EMSP NL/M{number}") for number in range(10)]

    for receiver in receivers:
        await rig.until_filled(receiver, "locations", "tariffs")
    assert [row[0] for row in await rig.rows("select last_value from marking")] == [30]
    assert await rig.rows("select count(*) from dirty_mark where marked_at > since + interval '1 ms'") == [(0,)]
