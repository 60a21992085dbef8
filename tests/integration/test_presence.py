"""Platforms that die, return, stammer or refuse, and the presence worker that looks at them (HC-14, HC-15, AM-39, D-10)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiohttp import web

from hub.messaging.topics import Topics
from tests.integration.partner_rig import eventually
from tests.integration.presence_rig import Came, Rig, Watched, ocpi, presence_rig, says_yes
from workers.leased import LEASE_SECONDS

DEFAULTS = {
    "HUB_PRESENCE_IDLE_SECONDS": "45",
    "HUB_PRESENCE_OFFLINE_SECONDS": "3",
    "HUB_PRESENCE_TIMEOUT_SECONDS": "4",
}


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Rig]:
    """A hub whose presence workers are quick."""
    async with presence_rig(database_url, kafka_bootstrap, topics, tmp_path) as made:
        yield made


@contextlib.asynccontextmanager
async def traffic(rig: Rig, watched: Watched) -> AsyncIterator[None]:
    """Calls to a platform, fifty each second: noted as what they come to."""

    async def call_for_ever() -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", watched.port)
                writer.close()
                rig.evidence.note(watched.platform_id, answered=True)
            except OSError:
                rig.evidence.note(watched.platform_id, answered=False)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(call_for_ever())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_under_traffic_a_death_and_a_return_are_each_known_within_five_seconds(rig: Rig) -> None:
    platform = await rig.add("EMSP NL/MSP")
    await rig.start(**DEFAULTS)
    await rig.until_looked_at(platform)

    async with traffic(rig, platform):
        await platform.off()
        await rig.until(platform, is_online=False, within_s=5)
    await platform.on()
    await rig.until(platform, is_online=True, within_s=5)

    updated = "select bool_and(last_updated > platform.created_at) from party join platform using (platform_id)"
    assert await rig.value(updated)


async def test_without_traffic_a_death_is_known_after_the_idle_time(rig: Rig) -> None:
    platform = await rig.add("EMSP NL/MSP")
    await rig.start(HUB_PRESENCE_IDLE_SECONDS="1")
    await rig.until_looked_at(platform)

    await platform.off()

    await rig.until(platform, is_online=False, within_s=5)


async def test_a_platform_whose_calls_are_answered_is_not_looked_at(rig: Rig) -> None:
    busy, quiet = await rig.add("EMSP NL/MSP"), await rig.add("EMSP NL/MS2")
    await rig.start(HUB_PRESENCE_IDLE_SECONDS="1.5")
    await rig.until_looked_at(busy)

    async with traffic(rig, busy):
        await rig.until_looked_at(quiet, 3)

    assert len(busy.looks) <= 1


async def test_a_look_is_a_get_of_the_versions_with_our_token_and_no_routing_headers(rig: Rig) -> None:
    platform = await rig.add("EMSP NL/MSP")
    await rig.start()
    await rig.until_looked_at(platform)

    (look,) = platform.looks
    assert look.method == "GET"
    assert platform.token in look.tokens
    assert {"x-request-id", "x-correlation-id"} <= look.headers.keys()
    assert not [name for name in look.headers if name.startswith("ocpi-")]


async def test_a_platform_that_answers_every_third_look_goes_offline_once_and_stays_there(rig: Rig) -> None:
    platform = await rig.add("EMSP NL/MSP")
    viewer = await rig.add("CPO NL/CPO")
    platform.script = _stammering(platform)
    await rig.start(HUB_PRESENCE_IDLE_SECONDS="0.2")

    await rig.until(platform, is_online=False, within_s=10)
    seen = len(platform.looks)
    await rig.until_looked_at(platform, seen + 12)

    assert not await rig.is_online(platform)
    assert viewer.told_of == [("NL/MSP", "EMSP", "CONNECTED"), ("NL/MSP", "EMSP", "OFFLINE")]


async def test_under_traffic_a_platform_that_hangs_goes_offline_in_little_more_than_the_time_of_one_look(
    rig: Rig,
) -> None:
    platform = await rig.add("EMSP NL/MSP")
    viewer = await rig.add("CPO NL/CPO")
    await rig.start(**DEFAULTS | {"HUB_PRESENCE_TIMEOUT_SECONDS": "2"})
    await rig.until_looked_at(platform)
    await rig.until_all_told()
    platform.script = _hanging

    rig.evidence.begin(platform.platform_id)

    await eventually(lambda: _is_told(viewer, "NL/MSP", "OFFLINE"))
    asked = [look.at for look in platform.looks]
    assert asked[2] - asked[1] < 2


async def test_a_platform_that_needs_seconds_for_every_answer_stays_online(rig: Rig) -> None:
    platform = await rig.add("EMSP NL/MSP")
    platform.script = _slow
    await rig.start(**DEFAULTS | {"HUB_PRESENCE_IDLE_SECONDS": "0.2"})

    async def is_third_look() -> bool:
        return len(platform.looks) >= 5

    await eventually(is_third_look, 30)

    assert await rig.is_online(platform)
    assert await rig.value("select streak from platform_evidence where platform_id = $1", platform.platform_id) == 0


async def test_a_refused_look_takes_offline_only_a_platform_whose_calls_are_not_answered(rig: Rig) -> None:
    working, silent = await rig.add("EMSP NL/MSP"), await rig.add("EMSP NL/MS2")
    working.script = silent.script = _refusing
    rig.evidence.note(working.platform_id, answered=True)
    await rig.evidence.stop()
    await rig.start()

    await rig.until(silent, is_online=False, within_s=10)
    await rig.until_looked_at(working, 1)

    assert await rig.is_online(working)


async def test_a_failed_call_to_a_platform_that_answers_looks_changes_nothing(rig: Rig) -> None:
    platform = await rig.add("EMSP NL/MSP")
    await rig.start()
    await rig.until_looked_at(platform)

    rig.evidence.note(platform.platform_id, answered=False)
    await rig.until_looked_at(platform, 2)

    assert await rig.is_online(platform)


async def test_a_suspended_or_unregistered_platform_is_not_looked_at(rig: Rig) -> None:
    others = [await rig.add("EMSP NL/MSP", status="suspended"), await rig.add("EMSP NL/MS2", status="unregistered")]
    platform = await rig.add("EMSP NL/MS3")
    await rig.start(HUB_PRESENCE_IDLE_SECONDS="0.2")

    await rig.until_looked_at(platform, 5)

    assert not [look for other in others for look in other.looks]


async def test_two_workers_share_the_looks(rig: Rig) -> None:
    platform = await rig.add("EMSP NL/MSP")
    await platform.off()
    await asyncio.gather(rig.start(), rig.start())
    await rig.until(platform, is_online=False, within_s=10)
    await platform.on()

    await rig.until(platform, is_online=True, within_s=5)

    assert len(platform.looks) == 2


async def test_what_a_worker_held_when_it_was_killed_is_looked_at_and_told_by_another_within_seconds(rig: Rig) -> None:
    platform, viewer = await rig.add("EMSP NL/MSP"), await rig.add("CPO NL/CPO")
    platform.script, viewer.script = _hanging, _hanging
    await rig.start(HUB_PRESENCE_TIMEOUT_SECONDS="60")

    async def are_held() -> bool:
        return bool(platform.looks and viewer.looks and viewer.told)

    await eventually(are_held)
    viewer.script = says_yes
    await rig.start(HUB_PRESENCE_TIMEOUT_SECONDS="1")
    await rig.kill(0)

    await eventually(lambda: _is_told(viewer, "NL/MSP", "OFFLINE"), 30)


async def test_a_look_that_takes_longer_than_a_lease_stays_with_its_worker(rig: Rig) -> None:
    platform = await rig.add("EMSP NL/MSP")
    platform.script = _hanging
    await rig.start(HUB_PRESENCE_TIMEOUT_SECONDS="60")
    await rig.start(HUB_PRESENCE_TIMEOUT_SECONDS="60")
    name = "select lease from platform_evidence where leased_until > now()"
    held = await eventually(lambda: rig.value(name))

    async def is_over_the_lease() -> bool:
        return time.monotonic() - platform.looks[0].at > LEASE_SECONDS + 1

    await eventually(is_over_the_lease)

    assert await rig.value(name) == held


async def test_a_worker_goes_on_by_itself_after_postgres_was_away(rig: Rig, postgres_url: str) -> None:
    platform, viewer = await rig.add("EMSP NL/MSP"), await rig.add("CPO NL/CPO")
    process = await rig.start(HUB_PRESENCE_IDLE_SECONDS="0.5")
    await rig.until_all_told()
    name = urlsplit(rig.database_url).path.removeprefix("/")
    server = await asyncpg.connect(postgres_url)
    await server.execute(f"alter database {name} allow_connections false")
    await server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)

    async def is_noticed() -> bool:
        return "presence.not_read" in rig.logged()

    await eventually(is_noticed)
    await platform.off()
    await server.execute(f"alter database {name} allow_connections true")
    await server.close()

    await rig.until(platform, is_online=False, within_s=15)
    await rig.until_all_told()
    assert viewer.told_of[-1] == ("NL/MSP", "EMSP", "OFFLINE")
    assert process.returncode is None


async def _is_told(viewer: Watched, party: str, status: str) -> bool:
    return (party, "EMSP", status) in viewer.told_of


def _stammering(watched: Watched):  # type: ignore[no-untyped-def]
    async def answer(came: Came) -> web.StreamResponse:
        if came.path == "/versions" and len(watched.looks) % 3 != 1:
            await asyncio.sleep(30)
        return ocpi()

    return answer


async def _hanging(_: Came) -> web.StreamResponse:
    await asyncio.sleep(30)
    return ocpi()


async def _slow(_: Came) -> web.StreamResponse:
    await asyncio.sleep(2.5)
    return ocpi()


async def _refusing(came: Came) -> web.StreamResponse:
    return ocpi(401, 2000) if came.path == "/versions" else ocpi()
