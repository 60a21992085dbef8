"""A rate that is set for a receiver holds for all fan-out workers together, and costs no other receiver anything."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.messaging.topics import Topics
from tests.integration.fanout_rig import Receiver, Rig, a_push, a_receiver, add_platform, fanout_rig
from tests.integration.partner_rig import eventually

RATE = 20
LIMIT = "insert into receiver (platform_id, country_code, party_id, rate) values ($1, 'NL', 'SLO', $2)"


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Rig]:
    async with fanout_rig(database_url, kafka_bootstrap, topics, tmp_path) as made:
        yield made


async def push_some(rig: Rig, count: int) -> float:
    """Push so many objects; the moment before."""
    began = time.monotonic()
    bodies = {"last_updated": "2026-06-01T10:00:00Z"}
    await rig.push(*(a_push("PUT", f"tariffs/T{number}", bodies) for number in range(count)))
    return began


def is_within(receiver: Receiver, began: float, workers: int) -> bool:
    """Whether no request came before the rate could let it begin; each worker may let some go at once."""
    at_once = workers + RATE * 0.1
    return all(came.at - began >= (number - at_once) / RATE for number, came in enumerate(receiver.received, 1))


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_receiver_gets_no_more_than_its_rate_from_all_workers_and_others_get_all_at_once(
    rig: Rig, workers: int
) -> None:
    async with a_receiver() as limited, a_receiver() as other:
        slow = await add_platform(rig.database_url, "EMSP NL/SLO", url=limited.url)
        await add_platform(rig.database_url, "EMSP NL/MSP", url=other.url)
        await rig.value(LIMIT, slow, RATE)
        for _ in range(workers):
            await rig.start()

        began = await push_some(rig, 60)

        async def has_come() -> bool:
            return len(other.received) == 60

        await eventually(has_come)
        assert len(limited.received) < 60
        await rig.until_committed()
        assert len(limited.received) == 60
        assert is_within(limited, began, workers)


async def test_a_rate_that_is_taken_away_holds_nothing_back_any_more(rig: Rig) -> None:
    async with a_receiver() as limited:
        slow = await add_platform(rig.database_url, "EMSP NL/SLO", url=limited.url)
        await rig.value(LIMIT, slow, 0.01)
        await rig.start()
        await push_some(rig, 20)

        async def has_come() -> bool:
            return bool(limited.received)

        await eventually(has_come)
        assert len(limited.received) < 20
        await rig.value("update receiver set rate = null where platform_id = $1 returning 1", slow)

        await rig.until_committed()
        assert len(limited.received) == 20
