"""What presence means for requests: none goes to a platform that is away, and they go again once it is back (OF-05, OF-06)."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.exchange_rig import Exchange, Got
from tests.integration.hub_rig import add, running_exchange
from tests.integration.partner_rig import eventually
from tests.integration.presence_rig import Watched

RECEIVER = "BE/MS9"


@pytest.fixture
async def rig(
    postgres_url: str, migrated_template: str, kafka_bootstrap: str, tmp_path: Path
) -> AsyncIterator[Exchange]:
    """A hub with a presence worker beside HTTP process and relay, all at their defaults."""
    async with running_exchange(postgres_url, migrated_template, kafka_bootstrap, tmp_path) as made:
        await made.start("presence", "worker", "presence")
        yield made


async def push(rig: Exchange) -> Got:
    """A request that only its receiver can answer."""
    return await rig.ask(rig.cpo, "PUT", "receiver/sessions/NL/CPO/S1", to=RECEIVER, body={"id": "S1"})


async def test_a_dead_receiver_is_known_from_the_requests_to_it_and_gets_them_again_when_it_is_back(
    rig: Exchange,
) -> None:
    receiver = Watched((f"EMSP {RECEIVER}",))
    await receiver.on()
    await add(rig, RECEIVER, "EMSP", receiver.url)
    assert (await push(rig)).ocpi == 1000

    await receiver.off()
    died_at = time.monotonic()

    async def is_refused_unasked() -> bool:
        got = await push(rig)
        assert got.ocpi == 4003
        return got.message.endswith("is offline")

    await eventually(is_refused_unasked, 5)
    assert time.monotonic() - died_at < 5
    await receiver.on()
    receiver.came.clear()

    async def is_answered() -> bool:
        return (await push(rig)).ocpi == 1000

    await eventually(is_answered, 5)
    await receiver.off()
    assert receiver.looks
