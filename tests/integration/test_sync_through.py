"""A patch of an object that the hub does not hold goes out at once, and soon after it the whole object from its owner (D-12)."""

from pathlib import Path

from aiohttp import web
from aiokafka import AIOKafkaProducer

from hub.messaging.codec import encode, push_key
from hub.messaging.topics import PUSHES, Topics
from tests.integration.fanout_rig import CPO, Received, a_push, a_receiver, add_platform
from tests.integration.partner_rig import a_location, an_evse, eventually
from tests.integration.sync_rig import sync_rig
from tests.integration.test_sync_incomplete import an_owner, answering


async def test_a_patched_object_is_fetched_and_keeps_what_its_owner_pushed_meanwhile(
    database_url: str, kafka_bootstrap: str, topics: Topics, tmp_path: Path
) -> None:
    async def push(method: str, path: str, body: dict[str, object]) -> None:
        pushed = a_push(method, path, body, platform_id=platform_id)
        key = push_key("locations", CPO, "L1")
        await producer.send_and_wait(topics.name(PUSHES), pushed.body, key=key, headers=encode(pushed))

    async def owner(_: Received) -> web.Response:
        await push("PUT", "locations/L1/E9", an_evse("E9"))
        return answering(a_push("PUT", "locations/L1", a_location("L1")).body)

    async with (
        sync_rig(database_url, kafka_bootstrap, topics, tmp_path) as rig,
        AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer,
        a_receiver(owner) as cpo,
        a_receiver() as emsp,
    ):
        platform_id = await an_owner(rig, cpo.url)
        await add_platform(database_url, "EMSP NL/MSP", url=emsp.url)
        await rig.start()
        await rig.start_worker("fanout")
        patch: dict[str, object] = {"name": "New", "last_updated": "2020-01-01T00:00:00Z"}
        await push("PATCH", "locations/L1", patch)

        async def has_all() -> bool:
            puts = [came.value() for came in emsp.received if (came.method, came.path) == ("PUT", "NL/CPO/L1")]
            return bool(puts) and {"E9"} < {evse["uid"] for evse in puts[-1]["evses"]}

        await eventually(has_all, 30)
        listed = await rig.rows("select count(*) from listed where module = 'locations'")

    assert (emsp.received[0].method, emsp.received[0].value()) == ("PATCH", patch)
    assert listed == [(1,)]
