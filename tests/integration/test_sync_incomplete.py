"""What the hub knows by a patch only is fetched from its owner and pushed to all (D-12, AM-36, AM-42)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition

from hub.messaging.codec import decode
from hub.messaging.records import Record
from hub.messaging.topics import PUSHES, Topics
from hub.model.envelope import Envelope
from hub.model.unit import Place
from tests.integration.fanout_rig import Received, a_receiver, add_platform
from tests.integration.partner_rig import a_location, a_tariff, eventually
from tests.integration.sync_rig import Rig, sync_rig


@pytest.fixture
async def rig(database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Rig]:
    """A hub with one sync worker."""
    async with sync_rig(database_url, kafka_bootstrap, topics, tmp_path) as made:
        await made.start()
        yield made


async def an_owner(rig: Rig, url: str) -> str:
    """Register a CPO whose lists are at a URL."""
    platform_id = await add_platform(rig.database_url, "CPO NL/CPO", modules=[])
    for module in ("locations", "tariffs"):
        await rig.change(
            "insert into endpoint values ($1, $2, 'SENDER', $3)", platform_id, module, f"{url}/{module}/all"
        )
    return platform_id


async def patch(rig: Rig, platform_id: str, module: str, object_id: str, evse_uid: str = "", offset: int = 0) -> None:
    """Write what a patch without a base leaves in the store."""
    tail = "/".join(part for part in ("NL/CPO", object_id, evse_uid) if part)
    await rig.run(
        "insert into unit (module, country_code, party_id, object_id, evse_uid, is_incomplete, last_updated, clock,"
        " log_epoch, log_partition, log_offset, platform_id, tail, query)"
        " values ($1, 'NL', 'CPO', $2, $3, true, now(), now(), 'e', 0, $4, $5, $6, '')"
        " on conflict (module, country_code, party_id, object_id, evse_uid) do update set log_offset = excluded.log_offset",
        *(module, object_id, evse_uid, offset, platform_id, tail),
    )


async def pushed(rig: Rig, topics: Topics) -> list[Envelope]:
    """Everything on the log of pushes."""
    consumer = AIOKafkaConsumer(bootstrap_servers=rig.env["HUB_KAFKA_BOOTSTRAP"], auto_offset_reset="earliest")
    await consumer.start()
    try:
        parts = [TopicPartition(topics.name(PUSHES), number) for number in range(topics.partitions(PUSHES))]
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        found: list[Envelope] = []
        while any([await consumer.position(part) < ends[part] for part in parts]):
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                found += [
                    decode(Record(r.topic, r.partition, r.offset, r.timestamp, r.key, tuple(r.headers), r.value))
                    for r in batch
                ]
        return found
    finally:
        await consumer.stop()


async def until_pushed(rig: Rig, topics: Topics) -> Envelope:
    """The one push, once it is there."""
    found: list[Envelope] = []

    async def is_there() -> bool:
        found[:] = await pushed(rig, topics)
        return bool(found)

    await eventually(is_there)
    assert len(found) == 1
    return found[0]


async def until_put_off(rig: Rig, *, is_given_up: bool) -> str:
    """Wait until an attempt has failed; says why."""
    found: list[str] = []

    async def is_so() -> bool:
        rows = await rig.rows("select detail from incomplete where is_given_up = $1 and detail <> ''", is_given_up)
        found[:] = [row[0] for row in rows]
        return bool(found)

    await eventually(is_so)
    return found[0]


def answering(data: bytes) -> web.Response:
    """An OCPI answer with these bytes as data."""
    body = b'{"data": %b, "status_code": 1000, "timestamp": "2026-06-01T10:00:00Z"}' % data
    return web.Response(body=body, content_type="application/json")


@pytest.mark.parametrize("evse_uid", ["", "E9"])
async def test_an_object_known_by_a_patch_is_pushed_with_the_owners_own_bytes(
    rig: Rig, topics: Topics, evse_uid: str
) -> None:
    raw = json.dumps(a_location("L1", x_vendor=1.50), indent=1).replace("1.5", "1.500").encode()

    async def script(_: Received) -> web.Response:
        return answering(raw)

    async with a_receiver(script) as server:
        platform_id = await an_owner(rig, server.url)
        await patch(rig, platform_id, "locations", "L1", evse_uid)

        envelope = await until_pushed(rig, topics)

    assert (envelope.method, envelope.tail, envelope.body) == ("PUT", "NL/CPO/L1", raw)
    asked = server.received[0]
    assert (asked.method, asked.path, asked.party) == ("GET", "all/L1", "NL/CPO")
    assert asked.headers["ocpi-from-party-id"] == "HUB"


async def test_a_fetched_object_tells_what_was_known_before_its_owner_was_asked(rig: Rig, topics: Topics) -> None:
    platform_id = ""

    async def script(_: Received) -> web.Response:
        await patch(rig, platform_id, "locations", "L1", "E9", offset=5)
        return answering(json.dumps(a_location("L1")).encode())

    async with a_receiver(script) as server:
        platform_id = await an_owner(rig, server.url)
        await patch(rig, platform_id, "locations", "L1", offset=3)

        envelope = await until_pushed(rig, topics)

    assert envelope.known == Place("e", 3)


async def test_a_tariff_is_found_in_its_owners_list(rig: Rig, topics: Topics) -> None:
    async def script(_: Received) -> web.Response:
        return answering(json.dumps([a_tariff("T0"), a_tariff("T1")]).encode())

    async with a_receiver(script) as server:
        platform_id = await an_owner(rig, server.url)
        await patch(rig, platform_id, "tariffs", "T1")

        envelope = await until_pushed(rig, topics)

    assert json.loads(envelope.body) == a_tariff("T1")


async def test_a_list_is_read_along_the_owners_links(rig: Rig, topics: Topics) -> None:
    async def script(came: Received) -> web.Response:
        answer = answering(json.dumps([a_tariff(f"T{came.number}")]).encode())
        answer.headers.add("Link", '<https://elsewhere.test/>; rel="last"')
        answer.headers.add("Link", f'<{server.url}/tariffs/all/{came.number + 1}>; rel="next"')
        return answer

    async with a_receiver(script) as server:
        await patch(rig, await an_owner(rig, server.url), "tariffs", "T3")

        envelope = await until_pushed(rig, topics)

    assert json.loads(envelope.body) == a_tariff("T3")
    assert [came.path.partition("?")[0] for came in server.received] == ["all", "all/1", "all/2", "all/3"]


async def test_a_link_to_elsewhere_is_not_followed(rig: Rig) -> None:
    async def script(_: Received) -> web.Response:
        answer = answering(b"[]")
        answer.headers["Link"] = '<https://elsewhere.test/tariffs>; rel="next"'
        return answer

    async with a_receiver(script) as server:
        await patch(rig, await an_owner(rig, server.url), "tariffs", "T3")
        assert "list does not have it" in await until_put_off(rig, is_given_up=True)


async def test_an_owner_that_asks_for_time_is_given_it(rig: Rig) -> None:
    async def script(_: Received) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "500"})

    async with a_receiver(script) as server:
        await patch(rig, await an_owner(rig, server.url), "locations", "L1")
        await until_put_off(rig, is_given_up=False)

    ((seconds,),) = await rig.rows("select extract(epoch from next_try_at - now())::int from incomplete")
    assert 400 < seconds <= 500


async def test_an_owner_that_fails_is_asked_again(rig: Rig, topics: Topics) -> None:
    async def script(came: Received) -> web.Response:
        return web.Response(status=503) if came.number == 0 else answering(json.dumps(a_location("L1")).encode())

    async with a_receiver(script) as server:
        platform_id = await an_owner(rig, server.url)
        await patch(rig, platform_id, "locations", "L1")

        await until_pushed(rig, topics)

    assert len(server.received) == 2


async def test_an_object_of_another_owner_is_refused_and_given_up_after_several_wrong_answers(
    rig: Rig, topics: Topics
) -> None:
    async def script(_: Received) -> web.Response:
        return answering(json.dumps(a_location("L1", party_id="XXX")).encode())

    async with a_receiver(script) as server:
        await patch(rig, await an_owner(rig, server.url), "locations", "L1")
        assert "party_id: contradicts the URL" in await until_put_off(rig, is_given_up=False)
        await rig.run("update incomplete set wrong_answers = 4, next_try_at = now()")
        assert "party_id: contradicts the URL" in await until_put_off(rig, is_given_up=True)

    assert await pushed(rig, topics) == []


async def test_what_the_owner_does_not_know_is_given_up_until_a_later_patch(rig: Rig) -> None:
    async def script(_: Received) -> web.Response:
        return web.json_response({"status_code": 2003, "timestamp": "2026-06-01T10:00:00Z"}, status=404)

    async with a_receiver(script) as server:
        platform_id = await an_owner(rig, server.url)
        await patch(rig, platform_id, "locations", "L1")
        assert "does not know it" in await until_put_off(rig, is_given_up=True)
        assert len(server.received) == 1

        await patch(rig, platform_id, "locations", "L1", offset=7)

        async def is_asked_again() -> bool:
            return len(server.received) == 2

        await eventually(is_asked_again)


async def test_nothing_is_asked_of_a_platform_that_is_offline(rig: Rig, topics: Topics) -> None:
    async def script(_: Received) -> web.Response:
        return answering(json.dumps(a_location("L1")).encode())

    async with a_receiver(script) as server:
        platform_id = await an_owner(rig, server.url)
        await rig.change("update platform set is_online = false where platform_id = $1", platform_id)
        await patch(rig, platform_id, "locations", "L1")
        await rig.until_told()
        assert server.received == []

        await rig.change("update platform set is_online = true where platform_id = $1", platform_id)

        await until_pushed(rig, topics)
