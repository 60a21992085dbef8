"""More is pushed than can be delivered at once: what waits for all alike is waited for, who falls behind the others is marked."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hub.messaging.topics import Topics
from tests.integration.fanout_rig import Received, Rig, a_push, a_receiver, accepts, add_platform, fanout_rig
from tests.integration.partner_rig import eventually

PUSHED = 200
MARKS_EVER = "select is_called from marking"


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Rig]:
    async with fanout_rig(
        database_url, kafka_bootstrap, topics, tmp_path, HUB_PUSH_SECONDS="60", HUB_RECEIVER_BUDGET_BYTES="65536"
    ) as made:
        yield made


def pushes(day: int = 1) -> list[Any]:
    moment = f"2026-06-0{day}T10:00:00Z"
    return [
        a_push("PUT", f"locations/L{n}", {"id": f"L{n}", "evses": [], "last_updated": moment}) for n in range(PUSHED)
    ]


async def is_slowish(_: Received) -> web.Response:
    await asyncio.sleep(0.005)
    return await accepts(_)


async def test_a_burst_marks_nothing_for_receivers_that_take_it(rig: Rig) -> None:
    async with a_receiver(is_slowish) as one, a_receiver(is_slowish) as other:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=one.url)
        await add_platform(rig.database_url, "EMSP DE/MSP", url=other.url)
        await rig.push(*pushes())
        await rig.start()
        await rig.until_committed(60)

        assert (len(one.received), len(other.received)) == (PUSHED, PUSHED)
        assert await rig.value(MARKS_EVER) is False


async def test_a_burst_marks_only_who_hangs_while_the_others_take_it(rig: Rig) -> None:
    goes_on = asyncio.Event()

    async def hangs(received: Received) -> web.Response:
        await goes_on.wait()
        return await accepts(received)

    async with a_receiver() as one, a_receiver() as other, a_receiver(hangs) as hanging:
        for party, receiver in (("NL/MSP", one), ("DE/MSP", other), ("FR/MSP", hanging)):
            await add_platform(rig.database_url, f"EMSP {party}", url=receiver.url)
        await rig.start()

        for day in (1, 2):
            await rig.push(*pushes(day))
            await eventually(partial(has_got_all, one.received, day), 60)
            await eventually(partial(has_got_all, other.received, day), 60)
        assert len(hanging.received) <= 8
        assert await rig.value("select array_agg(distinct country_code) from dirty_mark") == ["FR"]
        goes_on.set()
        await rig.until_committed(60)
        await eventually(lambda: has_got_all(hanging.received, 2), 60)


async def test_a_burst_marks_who_is_held_by_its_rate_while_the_other_takes_it(rig: Rig) -> None:
    async with a_receiver() as one, a_receiver() as rated:
        await add_platform(rig.database_url, "EMSP NL/MSP", url=one.url)
        platform = await add_platform(rig.database_url, "EMSP FR/MSP", url=rated.url)
        rate = "insert into receiver (platform_id, country_code, party_id, rate) values ($1, 'FR', 'MSP', 2)"
        await rig.value(rate, platform)
        await rig.start()

        for day in (1, 2):
            await rig.push(*pushes(day))
            await eventually(partial(has_got_all, one.received, day), 60)

        assert await rig.value("select array_agg(distinct country_code) from dirty_mark") == ["FR"]


async def has_got_all(received: list[Received], day: int) -> bool:
    """Whether a receiver has every object as it was on that day."""
    state = {entry.path: entry.value()["last_updated"] for entry in received}
    return list(state.values()) == [f"2026-06-0{day}T10:00:00Z"] * PUSHED
