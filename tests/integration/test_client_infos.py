"""What platforms are told of each other, and how often (HC-01 … HC-07, HC-19, HC-20, AM-37, D-18, D-26)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer

from hub.messaging.codec import decode_outcomes
from hub.messaging.topics import OUTCOMES, Topics
from hub.model.outcome import Leg, Verdict
from hub.store import platforms
from hub.store.pool import Store
from hub.store.statements import load_statements
from tests.integration.partner_rig import eventually
from tests.integration.presence_rig import Came, Rig, Watched, ocpi, presence_rig


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Rig]:
    """A hub whose presence workers are quick."""
    async with presence_rig(database_url, kafka_bootstrap, topics, tmp_path) as made:
        yield made


async def set_status(rig: Rig, platform: Watched, status: str) -> None:
    """Change where a platform stands, as an operator's command or its own DELETE does."""
    async with rig.changing() as connection:
        await connection.execute("update platform set status = $2 where platform_id = $1", platform.platform_id, status)
        await platforms.touch_roles(connection, platform.platform_id)


@pytest.mark.parametrize("thing", ["presence", "client_infos", "platforms"])
async def test_every_named_statement_prepares(thing: str, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for name, statement in load_statements(thing).items():
            assert await connection.prepare(statement), name
    finally:
        await connection.close()


async def test_a_viewer_is_told_of_everyone_that_it_may_exchange_data_with_once(rig: Rig) -> None:
    cpo = await rig.add("CPO NL/CPO", "CPO NL/CP2")
    emsp = await rig.add("EMSP NL/MSP", "NSP NL/MSP", "EMSP NL/MS2")
    other = await rig.add("EMSP DE/MS3")
    await rig.start()
    await rig.until_all_told()

    assert sorted(cpo.told_of) == [
        ("DE/MS3", "EMSP", "CONNECTED"),
        ("NL/MS2", "EMSP", "CONNECTED"),
        ("NL/MSP", "EMSP", "CONNECTED"),
        ("NL/MSP", "NSP", "CONNECTED"),
    ]
    for viewer in (emsp, other):
        assert sorted(viewer.told_of) == [("NL/CP2", "CPO", "CONNECTED"), ("NL/CPO", "CPO", "CONNECTED")]


async def test_a_client_info_is_put_under_the_ids_that_it_describes_without_routing_headers(rig: Rig) -> None:
    await rig.add("CPO NL/CPO")
    emsp = await rig.add("EMSP NL/MSP")
    await rig.start()
    await rig.until_all_told()

    (came,) = emsp.told
    assert (came.method, came.path) == ("PUT", "/hubclientinfo/NL/CPO")
    assert came.body.keys() == {"country_code", "party_id", "role", "status", "last_updated"}
    assert emsp.token in came.tokens
    assert came.headers["content-type"] == "application/json"
    assert {"x-request-id", "x-correlation-id"} <= came.headers.keys()
    assert not [name for name in came.headers if name.startswith("ocpi-")]


async def test_a_death_and_a_return_reach_each_viewer_once_and_the_others_of_its_kind_never(rig: Rig) -> None:
    cpo, second = await rig.add("CPO NL/CPO"), await rig.add("CPO NL/CP2")
    emsp, rival = await rig.add("EMSP NL/MSP"), await rig.add("EMSP NL/MS2")
    await rig.start()
    await rig.until_all_told()

    await emsp.off()
    rig.evidence.note(emsp.platform_id, answered=False)
    await rig.until(emsp, is_online=False, within_s=5)
    await rig.until_all_told()
    await emsp.on()
    await rig.until(emsp, is_online=True, within_s=5)
    await rig.until_all_told()

    for viewer in (cpo, second):
        statuses = [status for party, _, status in viewer.told_of if party == "NL/MSP"]
        assert statuses == ["CONNECTED", "OFFLINE", "CONNECTED"]
        assert len(viewer.told) == 4
    assert len(rival.told) == len(emsp.told) == 2


async def test_suspension_and_the_end_of_a_connection_are_told(rig: Rig) -> None:
    first, second = await rig.add("EMSP NL/MSP"), await rig.add("EMSP NL/MS2")
    cpo = await rig.add("CPO NL/CPO")
    await rig.start()
    await rig.until_all_told()
    cpo.came.clear()

    await set_status(rig, first, "suspended")
    await rig.until_all_told()
    await set_status(rig, second, "unregistered")
    await rig.until_all_told()

    assert cpo.told_of == [("NL/MSP", "EMSP", "SUSPENDED"), ("NL/MS2", "EMSP", "OFFLINE")]
    assert len(first.told) == len(second.told) == 1


async def test_a_party_is_told_when_it_is_invited_when_it_connects_and_when_its_role_is_dropped(rig: Rig) -> None:
    cpo = await rig.add("CPO NL/CPO")
    await rig.start()
    invited = await rig.add("EMSP NL/MSP", status="invited")
    await rig.until_all_told()
    await set_status(rig, invited, "connected")
    await rig.until_all_told()

    async with rig.changing() as connection:
        await connection.execute(
            "update party set is_listed = false, last_updated = now() where platform_id = $1", invited.platform_id
        )
    await rig.until_all_told()

    assert [status for _, _, status in cpo.told_of] == ["PLANNED", "CONNECTED", "OFFLINE"]


async def test_what_a_viewer_may_not_see_any_more_is_suspended_for_it(rig: Rig) -> None:
    cpo = await rig.add("CPO NL/CPO")
    gone = await rig.add("EMSP NL/MSP")
    await rig.start()
    await rig.until_all_told()

    async with rig.changing() as connection:
        await connection.execute("delete from platform where platform_id = $1", gone.platform_id)
    await rig.until_all_told()

    assert [status for _, _, status in cpo.told_of] == ["CONNECTED", "SUSPENDED"]


async def test_a_viewer_that_was_away_is_told_the_newest_state_only(rig: Rig) -> None:
    cpo = await rig.add("CPO NL/CPO")
    back_and_forth, suspended = await rig.add("EMSP NL/MSP"), await rig.add("EMSP NL/MS2")
    await rig.start()
    await rig.until_all_told()
    cpo.came.clear()
    await cpo.off()
    rig.evidence.note(cpo.platform_id, answered=False)
    await rig.until(cpo, is_online=False, within_s=5)

    for status in ("suspended", "connected"):
        await set_status(rig, back_and_forth, status)
    for status in ("unregistered", "suspended"):
        await set_status(rig, suspended, status)
    await cpo.on()
    await rig.until(cpo, is_online=True, within_s=5)
    await rig.until_all_told()

    assert sorted(cpo.told_of) == [("NL/MS2", "EMSP", "SUSPENDED"), ("NL/MSP", "EMSP", "CONNECTED")]


async def test_a_viewer_in_trouble_is_tried_again_until_it_takes_the_newest_state(rig: Rig) -> None:
    cpo, emsp = await rig.add("CPO NL/CPO"), await rig.add("EMSP NL/MSP")
    await rig.start()
    await rig.until_all_told()
    cpo.came.clear()
    cpo.script = _troubled

    await set_status(rig, emsp, "suspended")

    async def is_tried() -> bool:
        return len(cpo.told) >= 2

    await eventually(is_tried)
    await set_status(rig, emsp, "unregistered")
    cpo.script = _well
    cpo.came.clear()
    await rig.until_all_told()

    assert cpo.told_of == [("NL/MSP", "EMSP", "OFFLINE")]


async def test_a_client_info_that_is_refused_is_not_sent_again_before_it_changes(rig: Rig) -> None:
    cpo, emsp = await rig.add("CPO NL/CPO"), await rig.add("EMSP NL/MSP")
    cpo.script = _refusing
    await rig.start()
    await rig.until_all_told()
    await rig.add("EMSP NL/MS2")
    await rig.until_all_told()
    await set_status(rig, emsp, "suspended")
    await rig.until_all_told()

    assert [party for party, _, _ in cpo.told_of] == ["NL/MSP", "NL/MS2", "NL/MSP"]


async def test_two_workers_tell_everything_once(rig: Rig) -> None:
    viewers = [await rig.add(f"CPO NL/C{number:02}") for number in range(6)]
    emsps = [await rig.add(f"EMSP NL/M{number:02}") for number in range(6)]
    await asyncio.gather(rig.start(), rig.start())
    await rig.until_all_told()

    for emsp in emsps:
        await set_status(rig, emsp, "suspended")
    await rig.until_all_told()

    for viewer in viewers:
        last = {party: status for party, _, status in viewer.told_of}
        assert last == {f"NL/M{number:02}": "SUSPENDED" for number in range(6)}
        assert len(set(viewer.told_of)) == len(viewer.told_of)


async def test_a_restart_tells_nothing_anew(rig: Rig) -> None:
    cpo = await rig.add("CPO NL/CPO")
    await rig.add("EMSP NL/MSP")
    await rig.start()
    await rig.until_all_told()
    await rig.kill()

    await rig.start()
    late = await rig.add("EMSP NL/MS2")
    await rig.until_all_told()

    assert [party for party, _, _ in cpo.told_of] == ["NL/MSP", "NL/MS2"]
    assert late.told_of == [("NL/CPO", "CPO", "CONNECTED")]


async def test_a_viewer_that_registers_anew_is_told_everything_again(rig: Rig, database_url: str) -> None:
    cpo = await rig.add("CPO NL/CPO")
    await rig.add("EMSP NL/MSP")
    await rig.start()
    await rig.until_all_told()
    store = await Store.open(database_url, size=1)
    async with store.connection() as connection:
        sealed = await connection.fetchrow("select * from outbound_token where platform_id = $1", cpo.platform_id)

    async with rig.changing() as connection:
        await platforms.end_connection(connection, cpo.platform_id)
    async with rig.changing() as connection:
        await platforms.set_connection(connection, cpo.platform_id, "2.2.1", f"{cpo.url}/versions")
        await platforms.set_outbound_token(connection, cpo.platform_id, sealed["sealed"], sealed["key_id"], "base64")
    await rig.until_all_told()
    await store.close()

    assert cpo.told_of == [("NL/MSP", "EMSP", "CONNECTED")] * 2


async def test_each_client_info_that_is_sent_is_told_to_the_ledger(
    rig: Rig, topics: Topics, kafka_bootstrap: str
) -> None:
    await rig.add("CPO NL/CPO", is_told=False)
    emsp = await rig.add("EMSP NL/MSP")
    await rig.start()
    await rig.until_all_told()

    consumer = AIOKafkaConsumer(
        topics.name(OUTCOMES), bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    try:
        outcome = decode_outcomes((await asyncio.wait_for(consumer.getone(), 10)).value)[0]
    finally:
        await consumer.stop()
    assert (outcome.leg, outcome.kind, outcome.verdict) == (Leg.PRESENCE, "client_info.sent", Verdict.DELIVERED)
    assert (outcome.object, outcome.platform_id) == ("hubclientinfo/NL/CPO", emsp.platform_id)
    assert outcome.detail == "CPO is CONNECTED"


async def _troubled(came: Came) -> web.StreamResponse:
    return ocpi(503, 3000) if came.path.startswith("/hubclientinfo") else ocpi()


async def _refusing(came: Came) -> web.StreamResponse:
    return ocpi(200, 2001) if came.path.startswith("/hubclientinfo") else ocpi()


async def _well(_: Came) -> web.StreamResponse:
    return ocpi()
