"""Who becomes entitled to objects is told of their owners before it is marked for the objects (D-26)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from hub.messaging.topics import Topics
from tests.integration.fanout_rig import add_platform
from tests.integration.partner_rig import eventually
from tests.integration.presence_rig import Came, Rig, Watched, ocpi, presence_rig, says_yes
from tests.integration.sync_rig import sync_rig


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Rig]:
    """A hub with a presence worker and a sync worker, whose CPO has pushed a Location."""
    async with (
        sync_rig(database_url, kafka_bootstrap, topics, tmp_path) as sync,
        presence_rig(database_url, kafka_bootstrap, topics, tmp_path) as made,
    ):
        await add_platform(database_url, "CPO NL/CPO", modules=["tokens"])
        await sync.store("locations", "NL/CPO", "L1")
        await asyncio.gather(sync.start(), made.start())
        yield made


async def add(rig: Rig, watched: Watched) -> None:
    """Register a platform that receives Locations and wants to be told of others."""
    await watched.on()
    rig.stack.push_async_callback(watched.off)
    await rig.register(watched)
    async with rig.changing() as connection:
        await connection.execute(
            "insert into endpoint values ($1, 'locations', 'RECEIVER', 'http://127.0.0.1:1')", watched.platform_id
        )


async def marked(rig: Rig, platform_id: str) -> bool:
    """Whether a receiver is marked for the Location."""
    return bool(await rig.value("select count(*) from dirty_mark where platform_id = $1", platform_id))


async def test_a_receiver_is_filled_once_it_has_taken_what_it_is_told_of_the_owner(rig: Rig) -> None:
    answers = asyncio.Event()

    async def waits(_: Came) -> web.StreamResponse:
        await answers.wait()
        return ocpi()

    receiver = Watched(("EMSP NL/MSP",), script=waits)
    await add(rig, receiver)

    async def is_being_told() -> bool:
        return bool(receiver.told)

    await eventually(is_being_told)
    other = await add_platform(rig.database_url, "EMSP NL/MS2")
    await eventually(lambda: marked(rig, other))
    assert not await marked(rig, receiver.platform_id)
    answers.set()

    await eventually(lambda: marked(rig, receiver.platform_id))


async def test_a_receiver_that_does_not_take_what_it_is_told_is_filled_nevertheless(rig: Rig) -> None:
    async def is_troubled(came: Came) -> web.StreamResponse:
        return ocpi(503, 3000) if came.path.startswith("/hubclientinfo") else await says_yes(came)

    receiver = Watched(("EMSP NL/MSP",), script=is_troubled)

    await add(rig, receiver)

    await eventually(lambda: marked(rig, receiver.platform_id))
    assert receiver.told
